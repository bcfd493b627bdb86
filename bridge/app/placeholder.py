"""Pictures that no workflow made: the placeholder that a newcomer gets before there is a picture, and black."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from bridge.codec.pixels import (
    Channels,
    Pixels,
    decode_picture,
    encode_picture,
    payload_geometry,
    resize_pixels,
    write_pixels,
)
from bridge.errors import ConfigError, PictureDecodeError
from bridge.frames.packets import Payload
from bridge.types import ENCODED_FORMATS, FrameFlags, Origin, OutputKind, PayloadSpec, Sink, Size

CELL = 32
DARK, LIGHT = 40, 52
MAX_FILE_BYTES: Final = 64 * 1024 * 1024


def placeholder_payload(spec: PayloadSpec, size: Size, sink: Sink, kind: OutputKind = OutputKind.COLOR) -> Payload:
    """A quiet grey checkerboard of `size`, or of the spec's own, as a payload owned by the caller.

    Raises:
        TexbridgeError: the form can't be made, or no buffer is left.
    """
    width, height = spec.size or size
    rows, columns = (np.arange(side) // CELL % 2 for side in (height, width))
    grey = (rows.astype(np.uint8)[:, None] ^ columns.astype(np.uint8)[None, :]) * np.uint8(LIGHT - DARK)
    grey += np.uint8(DARK)
    return _payload(grey, spec, sink, kind)


def black_payload(spec: PayloadSpec, size: Size, sink: Sink, kind: OutputKind = OutputKind.COLOR) -> Payload:
    """Black of `size`, or of the spec's own, alpha 255, as a payload owned by the caller. Raises as above."""
    width, height = spec.size or size
    return _payload(np.zeros((height, width), np.uint8), spec, sink, kind)


def picture_payload(
    pixels: Pixels, spec: PayloadSpec, size: Size, sink: Sink, kind: OutputKind = OutputKind.COLOR
) -> Payload:
    """A picture brought to `size`, or to the spec's own, as a payload owned by the caller. Raises as above."""
    target = spec.size or size
    sized = pixels if pixels.size == target else resize_pixels(pixels, target, spec.fit)
    return _pixels_payload(sized, spec, sink, kind)


def read_placeholder(path: Path) -> Pixels:
    """Give the pixels of the file that a stream's `placeholder` names.

    Raises:
        ConfigError: it can't be read, is over 64 MiB, or no PNG, JPEG or WebP.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"placeholder {path} is over {MAX_FILE_BYTES >> 20} MiB; use a smaller picture")
        return decode_picture(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"placeholder {path} can't be read: {error.strerror or error}") from error
    except PictureDecodeError as error:
        raise ConfigError(f"placeholder {path}: {error.message}; it must be a PNG, JPEG or WebP") from error


def _payload(grey: np.ndarray, spec: PayloadSpec, sink: Sink, kind: OutputKind) -> Payload:
    return _pixels_payload(Pixels(grey[:, :, None], Channels.L), spec, sink, kind)


def _pixels_payload(pixels: Pixels, spec: PayloadSpec, sink: Sink, kind: OutputKind) -> Payload:
    spec = replace(spec, size=None)  # it was drawn in that size
    width, height, row_pitch, payload_bytes = payload_geometry(pixels.size, spec)
    encoded = encode_picture(pixels, spec.format, 90) if spec.format in ENCODED_FORMATS else b""
    lease = sink.lend(len(encoded) or payload_bytes)
    if encoded:
        lease.view[:] = encoded
    else:
        write_pixels(pixels, spec, lease.view)
    flags = FrameFlags.BOTTOM_LEFT if spec.origin is Origin.BOTTOM_LEFT and not encoded else FrameFlags(0)
    if kind is not OutputKind.COLOR:
        flags |= FrameFlags.LINEAR
    return Payload(spec.format, width, height, row_pitch, len(encoded) or payload_bytes, flags, lease)
