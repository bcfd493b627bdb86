"""Pictures that no workflow made: the placeholder that a newcomer gets before there is a picture, and black."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge.codec.pixels import Channels, Pixels, encode_picture, payload_geometry, write_pixels
from bridge.frames.packets import Payload
from bridge.types import ENCODED_FORMATS, FrameFlags, Origin, OutputKind, PayloadSpec, Sink, Size

CELL = 32
DARK, LIGHT = 40, 52


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


def _payload(grey: np.ndarray, spec: PayloadSpec, sink: Sink, kind: OutputKind) -> Payload:
    pixels = Pixels(grey[:, :, None], Channels.L)
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
