"""Every usual fault is recognised by its name, in every format; and what is right is called right."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from bridge.app.doctor.orientation import (
    ENGINES,
    GAMMA,
    LOSSY,
    ROUND,
    SWAPPED,
    WRONG,
    draw_sheet,
    judge,
    judge_frame,
    wrong_picture,
)
from bridge.app.pictures.card import SIDE, draw_card
from bridge.codec.payloads import PAYLOAD_FORMATS, payload_geometry, write_pixels
from bridge.codec.pixels import Channels, Pixels, encode_picture
from bridge.types import BYTES_PER_PIXEL, FORMATS_BY_WORD, FrameFlags, Origin, PayloadSpec, PixelFormat

CARD = draw_card()
LEVELS = CARD.astype(np.float64)


@pytest.mark.parametrize(("turn", "swap", "gamma"), [*itertools.product(ROUND, SWAPPED, GAMMA)])
def test_every_fault_and_every_pair_of_them_has_its_name(turn: str, swap: str, gamma: str) -> None:
    levels = GAMMA[gamma](SWAPPED[swap](ROUND[turn](LEVELS)))
    words = ", ".join(word for word in (turn, swap, gamma) if word)
    assert judge(np.rint(levels)).fault == words
    assert judge(np.rint(levels), exact=False).fault == words


def test_rounding_is_no_fault() -> None:
    noise = np.random.default_rng(1).integers(-2, 3, LEVELS.shape)
    judgement = judge(LEVELS + noise)
    assert judgement.fault == ""
    assert judgement.difference == 2.0


@pytest.mark.parametrize("levels", [np.zeros_like(LEVELS), LEVELS[:256], np.full_like(LEVELS, 255.0)])
def test_another_picture_is_not_the_card(levels: np.ndarray) -> None:
    assert judge(levels).fault == "not the test card"


def test_a_slip_that_has_no_name_is_told_all_the_same() -> None:
    levels = LEVELS.copy()
    levels[100, 100] += 40
    assert "other levels" in judge(levels).fault


def payload(kind: PixelFormat, origin: Origin) -> tuple[np.ndarray | None, bytes]:
    """The card as this build makes it: pixels as the client shows them, or a file."""
    rgba = np.dstack((CARD, np.full((SIDE, SIDE), 255, np.uint8)))
    pixels = Pixels(rgba, Channels.RGB)
    if kind in (PixelFormat.JPEG, PixelFormat.PNG):
        return None, encode_picture(pixels, kind, 85)
    spec = PayloadSpec(kind, origin)
    out = bytearray(payload_geometry(pixels.size, spec).payload_bytes)
    write_pixels(pixels, spec, memoryview(out))
    floats = {"rgba16f": "<f2", "r16f": "<f2", "rgba32f": "<f4", "r32f": "<f4"}
    dtype = "<u2" if kind is PixelFormat.R16 else floats.get(kind.word, "u1")
    return np.frombuffer(out, dtype).reshape(SIDE, SIDE, -1), b""


def flags(kind: PixelFormat, origin: Origin) -> int:
    bottom = origin is Origin.BOTTOM_LEFT and kind not in (PixelFormat.JPEG, PixelFormat.PNG)
    return int(FrameFlags.BOTTOM_LEFT if bottom else 0)


KINDS = [kind for kind in PAYLOAD_FORMATS if kind in BYTES_PER_PIXEL or kind in (PixelFormat.JPEG, PixelFormat.PNG)]


@pytest.mark.parametrize(("kind", "origin"), [*itertools.product(KINDS, Origin)])
def test_every_format_that_this_build_makes_is_right(kind: PixelFormat, origin: Origin) -> None:
    pixels, data = payload(kind, origin)
    judgement = judge_frame(kind, flags(kind, origin), origin, pixels, data)
    assert judgement.fault == ""
    assert judgement.difference <= (LOSSY if kind is PixelFormat.JPEG else 0.6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[::-1], "upside down"),
        (lambda p: p[:, ::-1], "mirrored"),
        (lambda p: p[..., [2, 1, 0, 3]], "red and blue swapped"),
    ],
)
@pytest.mark.parametrize(("kind", "origin"), [*itertools.product((PixelFormat.RGBA8, PixelFormat.BGRA8), Origin)])
def test_bytes_that_are_wrong_are_seen(change, words: str, kind: PixelFormat, origin: Origin) -> None:
    pixels, _ = payload(kind, origin)
    assert pixels is not None
    assert judge_frame(kind, flags(kind, origin), origin, change(pixels), b"").fault == words


@pytest.mark.parametrize("kind", [PixelFormat.RGBA8, PixelFormat.R8, PixelFormat.RGBA16F])
def test_a_card_that_came_as_jpeg_is_right_and_upside_down_is_seen(kind: PixelFormat) -> None:
    """What JPEG leaves of colours at edges is far from equal, and no fault."""
    pixels, _ = payload(kind, Origin.TOP_LEFT)
    assert pixels is not None
    pixels = pixels.copy()
    pixels[100, 100, 0] = 0 if pixels[100, 100, 0] else pixels.max()
    assert "other levels" in judge_frame(kind, 0, Origin.TOP_LEFT, pixels, b"").fault
    judgement = judge_frame(kind, 0, Origin.TOP_LEFT, pixels, b"", lossy=True)
    assert judgement.fault == ""
    assert 0 < judgement.difference < LOSSY
    assert judge_frame(kind, 0, Origin.TOP_LEFT, pixels[::-1], b"", lossy=True).fault == "upside down"


def test_flags_that_are_wrong_are_seen() -> None:
    pixels, _ = payload(PixelFormat.RGBA8, Origin.TOP_LEFT)
    assert "flag 8" in judge_frame(PixelFormat.RGBA8, 8, Origin.TOP_LEFT, pixels, b"").fault
    assert "flag 8" in judge_frame(PixelFormat.RGBA8, 0, Origin.BOTTOM_LEFT, pixels, b"").fault
    assert "flag 16" in judge_frame(PixelFormat.RGBA8, 16, Origin.TOP_LEFT, pixels, b"").fault


def test_alpha_that_is_not_opaque_is_seen() -> None:
    pixels, _ = payload(PixelFormat.RGBA8, Origin.TOP_LEFT)
    assert pixels is not None
    pixels = pixels.copy()
    pixels[0, 0, 3] = 254
    assert "alpha" in judge_frame(PixelFormat.RGBA8, 0, Origin.TOP_LEFT, pixels, b"").fault


def test_a_file_that_is_upside_down_is_seen() -> None:
    file = io.BytesIO()
    Image.fromarray(CARD[::-1]).save(file, "JPEG", quality=85)
    judgement = judge_frame(PixelFormat.JPEG, 0, Origin.TOP_LEFT, None, file.getvalue())
    assert judgement.fault == "upside down"


def test_the_sheet_has_a_picture_of_every_fault() -> None:
    sheet = np.asarray(draw_sheet())
    assert sheet.shape[0] > 2 * SIDE
    assert sheet.shape[1] > 3 * SIDE
    for _, _, change in WRONG:
        picture = wrong_picture(change)
        places = np.argwhere((sheet == picture[0, 0]).all(axis=2))
        assert any(
            np.array_equal(sheet[y : y + SIDE, x : x + SIDE], picture)
            for y, x in places
            if y + SIDE <= sheet.shape[0] and x + SIDE <= sheet.shape[1] and x in (12, 536, 1060)
        )


def test_what_is_told_to_engines_can_be_subscribed_to() -> None:
    assert {"Unity", "Unreal", "Godot", "TouchDesigner", "WebGL2"} == {engine.name for engine in ENGINES}
    for engine in ENGINES:
        assert FORMATS_BY_WORD[engine.format] in PAYLOAD_FORMATS
        assert Origin(engine.origin)
