"""Is a picture the right way round? The test card as it came against the card as it is drawn, and the usual faults."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridge.app.pictures.card import SIDE, Picture, draw_card
from bridge.types import ENCODED_FORMATS, FrameFlags, Origin, PixelFormat

EXACT: Final = 2.0
"""The largest difference of a level, of 255, that rounding alone makes."""

LOSSY: Final = 8.0
"""The mean difference that JPEG makes of the card, whose checker it can't keep, at most."""

GREYS: Final = frozenset({PixelFormat.R8, PixelFormat.R16, PixelFormat.R16F, PixelFormat.R32F})
SHEET_COLUMNS: Final = 3
LABEL_HEIGHT: Final = 56
MARGIN: Final = 12

Levels = NDArray[np.float64]
_SAMPLE: Final = (slice(None, None, 3), slice(None, None, 3))
"""Every third pixel of every third row is enough to tell faults apart, and meets both colours of the checker."""


def _same(card: Levels) -> Levels:
    return card


def _decoded(card: Levels) -> Levels:
    """sRGB to linear light, levels 0..255."""
    part = card / 255
    return np.asarray(np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) * 255)


def _encoded(card: Levels) -> Levels:
    """Linear light to sRGB, levels 0..255."""
    part = card / 255
    return np.asarray(np.where(part <= 0.0031308, part * 12.92, 1.055 * part ** (1 / 2.4) - 0.055) * 255)


ROUND: Final[dict[str, Callable[[Levels], Levels]]] = {
    "": _same,
    "upside down": lambda card: card[::-1],
    "mirrored": lambda card: card[:, ::-1],
    "turned by 180 degrees": lambda card: card[::-1, ::-1],
}
SWAPPED: Final[dict[str, Callable[[Levels], Levels]]] = {"": _same, "red and blue swapped": lambda c: c[..., ::-1]}
GAMMA: Final[dict[str, Callable[[Levels], Levels]]] = {
    "": _same,
    "too dark (decoded twice)": _decoded,
    "washed out (encoded twice)": _encoded,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a picture of the card is: `fault` is empty if it is right, else what is wrong in words."""

    fault: str
    difference: float


def judge(levels: Levels, *, exact: bool = True) -> Judgement:
    """Compare a picture of the card, `[512, 512, 3]` or grey `[512, 512]`, levels 0..255, row 0 at the top.

    The difference is the largest of a level if `exact`, else the mean.
    """
    right = draw_card().astype(np.float64)
    difference = _difference(levels, right, exact)
    if difference <= (EXACT if exact else LOSSY):
        return Judgement("", difference)
    faults = itertools.product(ROUND.items(), SWAPPED.items(), GAMMA.items())
    best, words = min(
        (
            (
                _difference(levels[_SAMPLE], gamma(swap(turn(right))[_SAMPLE]), False),
                [turn_words, swap_words, gamma_words],
            )
            for (turn_words, turn), (swap_words, swap), (gamma_words, gamma) in faults
        ),
        key=lambda found: found[0],
    )
    named = ", ".join(word for word in words if word)
    if best > LOSSY or not named:
        named = "not the test card" if best > 4 * LOSSY else f"{named or 'right side up'}, but with other levels"
    return Judgement(named, difference)


def _difference(levels: Levels, card: Levels, exact: bool) -> float:
    if levels.shape[:2] != card.shape[:2]:
        return 255.0
    wanted = card if levels.ndim == 3 else card @ np.array([0.299, 0.587, 0.114])
    apart = np.abs(levels - wanted)
    return float(apart.max() if exact else apart.mean())


def judge_frame(format: int, flags: int, origin: Origin, pixels: Any, data: bytes, *, lossy: bool = False) -> Judgement:
    """Judge one frame of the card. `pixels` as the client gives them, None for encoded formats: then `data` is read.

    `lossy` says that the picture came from ComfyUI as JPEG or WebP: levels are then close, not equal.

    Looks at the flags too: the origin that was asked for, and sRGB-encoded, as the card's output is a colour.
    """
    kind = PixelFormat(format)
    encoded = kind in ENCODED_FORMATS
    bottom = bool(flags & FrameFlags.BOTTOM_LEFT)
    if bottom != (origin is Origin.BOTTOM_LEFT and not encoded):
        return Judgement(f"flag 8 says {'bottom_left' if bottom else 'top_left'}", 0.0)
    if flags & FrameFlags.LINEAR:
        return Judgement("flag 16 says linear; the card is sRGB-encoded", 0.0)
    if encoded:
        with Image.open(io.BytesIO(data)) as picture:
            levels = np.asarray(picture.convert("RGB"), np.float64)
        return judge(levels, exact=not lossy and kind is not PixelFormat.JPEG)
    array = np.asarray(pixels)
    scale = 1.0 if array.dtype == np.uint8 else 1 / 257 if array.dtype == np.uint16 else 255.0
    levels = array.astype(np.float64) * scale
    if bottom:
        levels = levels[::-1]
    if kind in GREYS:
        return judge(levels[..., 0], exact=not lossy)
    if levels.shape[2] == 4 and (levels[..., 3] != 255).any():
        return Judgement("alpha isn't 255", float(np.abs(levels[..., 3] - 255).max()))
    levels = levels[..., :3]
    return judge(levels[..., ::-1] if kind is PixelFormat.BGRA8 else levels, exact=not lossy)


# --- what to subscribe to, and what wrong looks like ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine wants: format and origin to subscribe to, and the call that takes the bytes."""

    name: str
    format: str
    origin: str
    call: str


ENGINES: Final = (
    Engine("Unity", "rgba8", "bottom_left", "Texture2D(w, h, RGBA32, false, linear: false).LoadRawTextureData"),
    Engine("Unreal", "bgra8", "top_left", "UTexture2D PF_B8G8R8A8, SRGB on, UpdateTextureRegions"),
    Engine("Godot", "rgba8", "top_left", "Image.create_from_data(w, h, false, FORMAT_RGBA8, data)"),
    Engine("TouchDesigner", "rgba8", "bottom_left", "Script TOP, copyNumpyArray of [h, w, 4] uint8"),
    Engine("WebGL2", "rgba8", "bottom_left", "texSubImage2D, SRGB8_ALPHA8 or RGBA8, UNPACK_FLIP_Y_WEBGL off"),
)

WRONG: Final[tuple[tuple[str, str, Callable[[Levels], Levels]], ...]] = (
    ("right", "nothing to do", _same),
    ("upside down", "subscribe with the other origin", ROUND["upside down"]),
    ("mirrored", "turn the quad, or its u", ROUND["mirrored"]),
    ("red and blue swapped", "bgra8 for rgba8, or the reverse", SWAPPED["red and blue swapped"]),
    ("too dark", "decoded twice: mark it sRGB once", _decoded),
    ("washed out", "encoded twice: one conversion less", _encoded),
)
"""Label, what to do, and how it comes about, for each picture of the sheet."""


def wrong_picture(change: Callable[[Levels], Levels]) -> Picture:
    """Give the card as it looks after a change, `[512, 512, 3]` uint8."""
    return np.asarray(np.rint(change(draw_card().astype(np.float64))).clip(0, 255), np.uint8)


def draw_sheet() -> Image.Image:
    """Give the sheet: the card as it should be, and as it looks with each usual fault, labelled."""
    rows = -(-len(WRONG) // SHEET_COLUMNS)
    width, height = SIDE + MARGIN, SIDE + LABEL_HEIGHT + MARGIN
    sheet = Image.new("RGB", (SHEET_COLUMNS * width + MARGIN, rows * height + MARGIN), (16, 16, 16))
    draw = ImageDraw.Draw(sheet)
    large, small = _font(24), _font(17)
    for place, (label, remedy, change) in enumerate(WRONG):
        left = MARGIN + place % SHEET_COLUMNS * width
        top = MARGIN + place // SHEET_COLUMNS * height
        draw.text((left, top), label.upper(), fill=(255, 255, 255), font=large)
        draw.text((left, top + 29), remedy, fill=(190, 190, 190), font=small)
        # At full size: scaled bytes would turn the checker into another grey.
        sheet.paste(Image.fromarray(wrong_picture(change)), (left, top + LABEL_HEIGHT))
    return sheet


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Give Pillow's own font, in this size where Pillow was built for that."""
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        return ImageFont.load_default()
