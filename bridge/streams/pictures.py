"""One picture against its parameter: an encoded file, or raw pixels. Its lengths are checked once, here.

Source: wire contract, Engine link (`image`) and Pixel formats.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from bridge.errors import DecodeError, ErrorCode, InvalidValueError, NotAllowedError
from bridge.streams.names import nearest, plain, shown
from bridge.types import BYTES_PER_PIXEL, FORMATS_BY_WORD, Origin, ParameterSpec, Picture, PixelFormat, RawPicture

RAW_FORMATS: Final = tuple(pixel_format.word for pixel_format in BYTES_PER_PIXEL)
"""What raw pixels may come as: every uncompressed format of the registry."""

MAX_SIDE: Final = 16_384
_RAW: Final = "{width, height, format, origin, data: bytes}"
_SHAPES: Final = f"{{encoded: bytes}}, {_RAW} or {{slot, seq}}"
_KINDS: Final = ("encoded", "data", "slot")


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """How large one value may be: text in characters, a picture in bytes and pixels.

    `check_picture` looks at an encoded picture's header and raises a DecodeError (109) for what can't be used.
    """

    max_text: int = 100_000
    max_picture_bytes: int = 64 * 1024 * 1024
    max_picture_pixels: int = 64_000_000
    check_picture: Callable[[bytes], object] | None = None


def check_image(spec: ParameterSpec, raw: object, limits: ValueLimits) -> Picture | RawPicture:
    """Give `raw` as the checked value of an image parameter. A checked value comes back as it is.

    - `{encoded: bytes}`: a PNG, JPEG or WebP file, looked at by `limits.check_picture`.
    - `{width, height, format, origin, data: bytes}`: raw pixels, exactly width x height x bytes per pixel.
    - `{slot, seq}`: only from a session whose shared memory the bridge reads; whoever does that puts raw pixels here.

    Numbers inside floating-point pixels are not looked at: one that is not finite is a hole, or black (see
    `codec.engine_pictures`).
    Raises: InvalidValueError (301 wrong_type, 303 not_a_choice for the origin, 305 bad_size, 306 unsupported_format,
    308 not_finite, 309 too_long), NotAllowedError (411 not_supported) and DecodeError (109 bad_picture).
    """
    if isinstance(raw, Picture | RawPicture):
        return raw
    if not isinstance(raw, Mapping):
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is not a picture like {_SHAPES}", _SHAPES)
    kinds = [kind for kind in _KINDS if kind in raw]
    if len(kinds) != 1:
        what = f"has both `{kinds[0]}` and `{kinds[1]}`" if kinds else "has no `encoded` file and no `data`"
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"{what}; send {_SHAPES}", _SHAPES)
    if kinds[0] == "encoded":
        return _encoded(spec, raw["encoded"], limits)
    if kinds[0] == "data":
        return _raw(spec, raw, limits)
    raise NotAllowedError(
        f"{spec.name}: this connection has no shared memory that the bridge reads; send {{..., data: bytes}}",
        code=ErrorCode.NOT_SUPPORTED,
        field=spec.name,
        value="slot",
        limit="encoded, data",
    )


def _refuse(spec: ParameterSpec, raw: object, code: ErrorCode, what: str, limit: object) -> NoReturn:
    raise InvalidValueError(
        f"{spec.name}: {shown(raw)} {what}", code=code, field=spec.name, value=plain(raw), limit=limit
    )


def _bytes(spec: ParameterSpec, raw: object, limits: ValueLimits, what: str) -> bytes:
    if not isinstance(raw, bytes | bytearray | memoryview):
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is not {what}", what)
    data = bytes(raw)
    if not data:
        _refuse(spec, data, ErrorCode.WRONG_TYPE, f"is empty; this must be {what}", what)
    if len(data) > limits.max_picture_bytes:
        words = f"is over the limit of {limits.max_picture_bytes} bytes"
        _refuse(spec, data, ErrorCode.TOO_LONG, words, limits.max_picture_bytes)
    return data


def _encoded(spec: ParameterSpec, raw: object, limits: ValueLimits) -> Picture:
    data = _bytes(spec, raw, limits, "the bytes of a PNG, JPEG or WebP file")
    if limits.check_picture is not None:
        try:
            limits.check_picture(data)
        except DecodeError as error:
            raise DecodeError(
                f"{spec.name}: {error.message}", code=error.code, field=spec.name, value=error.value, limit=error.limit
            ) from error
    return Picture(data, hashlib.sha256(data).hexdigest())


def _raw(spec: ParameterSpec, raw: Mapping[str, object], limits: ValueLimits) -> RawPicture:
    missing = [word for word in ("width", "height", "format", "origin") if word not in raw]
    if missing:
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"has no `{missing[0]}`; raw pixels are {_RAW}", _RAW)
    pixel_format = _format(spec, raw["format"])
    origin = raw["origin"]
    if not isinstance(origin, str) or origin not in tuple(Origin):
        origins = "top_left, bottom_left"
        _refuse(spec, origin, ErrorCode.NOT_A_CHOICE, f"is no origin; say which row comes first: {origins}", origins)
    width, height = (_side(spec, word, raw[word]) for word in ("width", "height"))
    if width * height > limits.max_picture_pixels:
        raise InvalidValueError(
            f"{spec.name}: {width} x {height} has {width * height} pixels, more than {limits.max_picture_pixels}",
            code=ErrorCode.BAD_SIZE,
            field=spec.name,
            value=[width, height],
            limit=limits.max_picture_pixels,
        )
    data = _bytes(spec, raw["data"], limits, "the bytes of pixels")
    pixel_bytes = BYTES_PER_PIXEL[pixel_format]
    if len(data) != width * height * pixel_bytes:
        raise DecodeError(
            f"{spec.name}: data of {len(data)} bytes; {width} x {height} of {pixel_format.word} at {pixel_bytes} bytes "
            f"a pixel are {width * height * pixel_bytes}, rows not padded",
            code=ErrorCode.BAD_PICTURE,
            field=spec.name,
            value=len(data),
            limit=width * height * pixel_bytes,
        )
    return RawPicture(width, height, pixel_format, Origin(origin), data)


def _format(spec: ParameterSpec, raw: object) -> PixelFormat:
    pixel_format = FORMATS_BY_WORD.get(raw) if isinstance(raw, str) else None
    if pixel_format is None or pixel_format not in BYTES_PER_PIXEL:
        close = nearest(raw, RAW_FORMATS) if isinstance(raw, str) and pixel_format is None else None
        hint = f"; nearest is {close!r}" if close else ""
        if pixel_format is not None:
            hint = "; a file goes as {encoded}" if pixel_format in (PixelFormat.JPEG, PixelFormat.PNG) else ""
        words = f"is no format of raw pixels{hint}; there are {', '.join(RAW_FORMATS)}"
        _refuse(spec, raw, ErrorCode.UNSUPPORTED_FORMAT, words, ", ".join(RAW_FORMATS))
    return pixel_format


def _side(spec: ParameterSpec, word: str, raw: object) -> int:
    limit = f"1..{MAX_SIDE}"
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is no {word}; it is a whole number of pixels", limit)
    if isinstance(raw, float) and not math.isfinite(raw):
        _refuse(spec, raw, ErrorCode.NOT_FINITE, f"is no {word}: it is not finite", limit)
    if raw != int(raw) or not 1 <= raw <= MAX_SIDE:
        _refuse(spec, raw, ErrorCode.BAD_SIZE, f"is no {word}; it is a whole number {limit}", limit)
    return int(raw)
