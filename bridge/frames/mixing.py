"""Payloads between two payloads of one form, for cross-fades: the numbers of both, mixed where they lie.

Numbers are mixed as they are stored. Whole ones by 256ths and rounded: `(old * (256 - w) + new * w + 128) >> 8` with
`w = round(256 * share)`, so that equal numbers stay what they are and nothing is lost at either end. Half floats are
mixed as floats and rounded once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.frames.payloads import Payload
from bridge.types import PixelFormat, Sink

MIXED_FORMATS: Final = {
    PixelFormat.RGBA8: "u1",
    PixelFormat.BGRA8: "u1",
    PixelFormat.RGB8: "u1",
    PixelFormat.R8: "u1",
    PixelFormat.R16: "<u2",
    PixelFormat.RGBA16F: "<f2",
    PixelFormat.R16F: "<f2",
    PixelFormat.RGBA32F: "<f4",
    PixelFormat.R32F: "<f4",
}
"""What can be mixed: blocks and files would have to be made anew for each blend."""

_AT_ONCE: Final = 1 << 16
"""So many numbers are mixed at once: what that needs stays in the processor's cache."""

Array = NDArray[Any]


def can_mix(old: Payload, new: Payload) -> bool:
    """Whether two payloads are of one form and size, of a format that can be mixed."""
    same = (old.format, old.width, old.height, old.payload_bytes, old.mips, old.flags) == (
        new.format,
        new.width,
        new.height,
        new.payload_bytes,
        new.mips,
        new.flags,
    )
    return same and new.format in MIXED_FORMATS


def mix_payloads(old: Payload, new: Payload, share: float, sink: Sink) -> Payload:
    """A payload with `share` (0..1) of the new one and the rest of the old one, owned by the caller.

    Raises:
        ValueError: they can't be mixed, see `can_mix`.
        BridgeError: no buffer left (603).
    """
    if not can_mix(old, new):
        raise ValueError(f"payloads of {old.format.word} and {new.format.word} can't be mixed")
    lease = sink.lend(new.payload_bytes)
    try:
        dtype = MIXED_FORMATS[new.format]
        one, two, out = (np.frombuffer(view, dtype) for view in (old.data, new.data, lease.view))
        mix = _mix_floats if out.dtype.kind == "f" else _mix_whole
        for start in range(0, out.size, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            mix(one[part], two[part], min(1.0, max(0.0, share)), out[part])
        del one, two, out
    except BaseException:
        lease.release()
        raise
    return replace(new, lease=lease)


def _mix_whole(one: Array, two: Array, share: float, out: Array) -> None:
    wide = np.uint16 if out.dtype.itemsize == 1 else np.uint32
    weight = round(256 * share)
    mixed = np.multiply(one, wide(256 - weight), dtype=wide)
    mixed += np.multiply(two, wide(weight), dtype=wide)
    mixed += wide(128)
    mixed >>= wide(8)
    out[...] = mixed


def _mix_floats(one: Array, two: Array, share: float, out: Array) -> None:
    mixed = two.astype(np.float32)
    mixed -= one
    mixed *= np.float32(share)
    mixed += one
    out[...] = mixed
