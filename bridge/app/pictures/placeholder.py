"""Pictures that no workflow made: what a newcomer gets before there is a picture, and black."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from bridge.app.config.pictures import DRAWN
from bridge.app.pictures.card import draw_card
from bridge.codec.pixels import Channels, Pixels, decode_picture
from bridge.errors import ConfigError, PictureDecodeError
from bridge.frames.payloads import Payload, make_payload
from bridge.types import Fit, OutputKind, PayloadSpec, Sink, Size

CELL: Final = 32
DARK, LIGHT = 40, 52
MAX_FILE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A picture that stands in for a stream's own. `draw` makes it in another size at once, without filtering."""

    pixels: Pixels
    draw: Callable[[Size], Pixels] | None = None


def still_payload(
    still: Still, spec: PayloadSpec, size: Size, sink: Sink, kind: OutputKind = OutputKind.COLOR
) -> Payload:
    """A picture brought to `size`, or to the spec's own, as a payload owned by the caller.

    Raises:
        TexbridgeError: the form can't be made, or no buffer is left.
    """
    target = spec.size or size
    pixels = still.pixels if still.draw is None or spec.fit is not Fit.STRETCH else still.draw(target)
    return make_payload(pixels, replace(spec, size=target), sink, kind)


def black_payload(spec: PayloadSpec, size: Size, sink: Sink, kind: OutputKind = OutputKind.COLOR) -> Payload:
    """Black of `size`, or of the spec's own, alpha 255, as a payload owned by the caller. Raises as above."""
    return make_payload(_black(spec.size or size), replace(spec, size=None), sink, kind)


@cache
def drawn_still(word: str) -> Still:
    """Give `test_card`, `checkerboard` (a quiet grey one) or `black`, each made once."""
    if word == "checkerboard":
        return Still(_checkerboard(Size(2 * CELL, 2 * CELL)), _checkerboard)
    if word == "black":
        return Still(_black(Size(1, 1)), _black)
    card = draw_card()
    pixels = np.full((*card.shape[:2], 4), 255, np.uint8)
    pixels[:, :, :3] = card
    still = Pixels(pixels, Channels.RGB)
    return Still(still, partial(_enlarged, still))


def find_still(text: str, of: str) -> Still:
    """Give the picture that a `placeholder` names: a word of ours, or a file. Raises as `read_still`."""
    return drawn_still(text) if text in DRAWN else read_still(Path(text), of)


def read_still(path: Path, of: str) -> Still:
    """Give the picture of the file that a `placeholder` names; `of` says whose, for messages: `[streams.main]`.

    Raises:
        ConfigError: it can't be read, is over 64 MiB, or no PNG, JPEG or WebP.
    """
    where = f"placeholder {path} of {of}"
    otherwise = f"or take placeholder out of {of}"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{where} is over {MAX_FILE_BYTES >> 20} MiB: use a smaller picture, {otherwise}")
        return Still(decode_picture(path.read_bytes()))
    except OSError as error:
        raise ConfigError(
            f"{where} can't be read: {error.strerror or error}. Put a PNG, JPEG or WebP there, {otherwise}"
        ) from error
    except PictureDecodeError as error:
        raise ConfigError(
            f"{where}: {error.message}. It must be a PNG, JPEG or WebP: save it as one, {otherwise}"
        ) from (error)


def _checkerboard(size: Size) -> Pixels:
    width, height = size
    rows, columns = (np.arange(side) // CELL % 2 for side in (height, width))
    grey = (rows.astype(np.uint8)[:, None] ^ columns.astype(np.uint8)[None, :]) * np.uint8(LIGHT - DARK)
    grey += np.uint8(DARK)
    return _grey(grey)


def _black(size: Size) -> Pixels:
    return _grey(np.zeros((size.height, size.width), np.uint8))


def _enlarged(pixels: Pixels, size: Size) -> Pixels:
    """Each pixel as a block: a card's edges stay sharp, and it takes a tenth of the time. Smaller ones are filtered."""
    if size == pixels.size or size.width < pixels.size.width or size.height < pixels.size.height:
        return pixels  # brought to it by who makes the payload
    words = pixels.array.view("<u4")[:, :, 0]
    columns, rows = (np.arange(new) * old // new for new, old in zip(size, pixels.size, strict=True))
    wide = np.take(np.take(words, columns, axis=1), rows, axis=0)
    return Pixels(wide.view(np.uint8).reshape(size.height, size.width, 4), pixels.channels)


def _grey(grey: np.ndarray) -> Pixels:
    return Pixels(grey[:, :, None], Channels.L)
