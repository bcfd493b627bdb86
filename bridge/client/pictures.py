"""A picture as an image parameter's value: a file's bytes, or a numpy array as raw pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Origin

_FORMATS: Final = {
    ("u1", 1): ("r8",),
    ("u1", 3): ("rgb8",),
    ("u1", 4): ("rgba8", "bgra8"),
    ("u2", 1): ("r16",),
    ("f2", 1): ("r16f",),
    ("f2", 3): ("rgba16f",),
    ("f2", 4): ("rgba16f",),
    ("f4", 1): ("r32f",),
    ("f4", 3): ("rgba32f",),
    ("f4", 4): ("rgba32f",),
}
"""What an array's type and channels may be; the first is meant where nothing is said."""


def picture_value(
    picture: bytes | bytearray | memoryview | NDArray[Any] | Mapping[str, Any],
    *,
    format: str | None = None,
    origin: Origin | str = Origin.TOP_LEFT,
) -> dict[str, Any]:
    """Give a picture as `set`, `run` and `image` send it.

    Args:
        picture: the bytes of a PNG, JPEG or WebP file; an array `[height, width]` or `[height, width, channel]`; or a
            value as it is sent, which comes back as it is.
        format: a word of the registry, e.g. `bgra8`. By the array's type if absent: uint8 is `r8`, `rgb8` or `rgba8`,
            uint16 `r16`, float16 and float32 `r16f`, `r32f`, `rgba16f` or `rgba32f`; three channels of floats get an
            alpha of 1.
        origin: which row is the array's first.

    Raises:
        InvalidValueError: an array of another shape or type (306), or a word that is no origin (303).
    """
    if isinstance(picture, Mapping):
        return dict(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return {"encoded": bytes(picture)}
    array = np.asarray(picture)
    channels = array.shape[2] if array.ndim == 3 else 1
    known = _FORMATS.get((f"{array.dtype.kind}{array.dtype.itemsize}", channels), ()) if array.size else ()
    word = format or (known[0] if known else "")
    if array.ndim not in (2, 3) or word not in known:
        raise InvalidValueError(
            f"an array {array.shape} of {array.dtype} is no picture{f' of format {format}' if format else ''}; right "
            "are [height, width] of uint8, uint16, float16 or float32, and [height, width, 3 or 4] of uint8, float16 "
            "or float32",
            code=ErrorCode.UNSUPPORTED_FORMAT,
            field="format",
            value=f"{array.dtype} {array.shape}"[:80],
            limit=", ".join(known) or None,
        )
    if origin not in tuple(Origin):
        origins = ", ".join(Origin)
        raise InvalidValueError(
            f"origin {origin!r} must be one of {origins}",
            code=ErrorCode.NOT_A_CHOICE,
            field="origin",
            value=origin,
            limit=origins,
        )
    if channels == 3 and array.dtype.kind == "f":  # the registry has no three channels of floats
        array = np.concatenate((array, np.ones((*array.shape[:2], 1), array.dtype)), axis=2)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "width": array.shape[1],
        "height": array.shape[0],
        "format": word,
        "origin": str(Origin(origin)),
        "data": little.tobytes(),
    }
