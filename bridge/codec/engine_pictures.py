"""Pictures from an engine to the files that ComfyUI's LoadImage opens quickest.

Measured on ComfyUI v0.3.64 (two CPU cores, photo-like 1024 x 1024, writing the file + upload + LoadImage): JPEG of
quality 95 24 ms, PPM 31 ms, BMP of 32 bits 33 ms, TIFF 36 ms, PNG at its lightest 171 ms. So colour goes as JPEG,
exact pixels as PPM and PGM, which are a line of text and the rows, and alpha as a 32-bit BMP. A PNG is written only for
a ComfyUI that is far away, where the way costs more than the writing.

What is decided here:
- floats are 0..1 and encoded as the format's 8-bit sibling would be: no curve is applied. Less is 0, more is 1, and
  not a number is 0, as a GPU saturates;
- a one-channel measure (`r16`, `r16f`, `r32f`) becomes 8-bit grey by near and far (see `depth`): LoadImage keeps 8
  bits of whatever it opens. `r8` is a finished picture;
- an encoded picture that nothing is to be done to goes as it came.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.codec.depth import grey_of_depth
from bridge.codec.picture_header import PictureLimits
from bridge.codec.pixels import Channels, Pixels, decode_picture, encode_picture, pixels_from_array, resize_pixels
from bridge.types import BYTES_PER_PIXEL, Origin, Picture, PictureRule, PixelFormat, RawPicture, Size

__all__ = ["UPLOAD_QUALITY", "picture_file", "picture_pixels"]

UPLOAD_QUALITY: Final = 95
"""Of JPEGs: a generation changes far more than this takes away."""

MEASURES: Final = {PixelFormat.R16: 65_535.0, PixelFormat.R16F: 1.0, PixelFormat.R32F: 1.0}
"""Formats whose numbers are measures, with the `far` that holds where none is said; `near` is then 0."""

_DTYPES: Final = {
    PixelFormat.R16: "<u2",
    PixelFormat.RGBA16F: "<f2",
    PixelFormat.R16F: "<f2",
    PixelFormat.RGBA32F: "<f4",
    PixelFormat.R32F: "<f4",
}

Array = NDArray[Any]


def picture_file(
    picture: Picture | RawPicture,
    rule: PictureRule,
    size: Size | None,
    limits: PictureLimits | None = None,
    *,
    far: bool = False,
) -> bytes | bytearray:
    """The file that goes up for a picture of an engine.

    Args:
        size: the stream's, for `rule.fit`; None: the graph has none, and the picture stays as large as it is.
        far: it goes over the internet: exact pixels are compressed.

    Raises:
        PictureDecodeError: an encoded picture must be decoded for `rule`, and can't be.
    """
    if isinstance(picture, Picture) and not rule.moves_pixels:
        return picture.data
    pixels = picture_pixels(picture, rule, size, limits)
    is_grey = pixels.channels in (Channels.L, Channels.L16)
    with_alpha = rule.alpha and pixels.channels in (Channels.RGBA, Channels.LA)
    if far and (is_grey or with_alpha):
        return encode_picture(pixels, PixelFormat.PNG)
    if is_grey:
        return _grey_file(pixels)
    if with_alpha:
        return _bitmap(pixels)
    if rule.lossless:
        return encode_picture(_opaque(pixels), PixelFormat.PNG) if far else _color_file(pixels)
    return encode_picture(pixels, PixelFormat.JPEG, UPLOAD_QUALITY)


def picture_pixels(
    picture: Picture | RawPicture, rule: PictureRule, size: Size | None, limits: PictureLimits | None = None
) -> Pixels:
    """The pixels of a picture of an engine, by its rule: measured, turned, mirrored and fitted. Raises as above."""
    pixels = decode_picture(picture.data, limits) if isinstance(picture, Picture) else _pixels(picture, rule)
    array = pixels.array
    if rule.rotate:
        array = np.rot90(array, -(rule.rotate // 90))
    if rule.mirror_x:
        array = array[:, ::-1]
    if array is not pixels.array:
        pixels = Pixels(np.ascontiguousarray(array), pixels.channels)
    if rule.fit is not None and size is not None:
        pixels = resize_pixels(pixels, size, rule.fit)
    return pixels


def _pixels(raw: RawPicture, rule: PictureRule) -> Pixels:
    """Raw pixels as they are meant: rows from the top, 8 bits."""
    channels = BYTES_PER_PIXEL[raw.format] // np.dtype(_DTYPES.get(raw.format, "u1")).itemsize
    array = np.frombuffer(raw.data, _DTYPES.get(raw.format, "u1")).reshape(raw.height, raw.width, channels)
    if raw.origin is Origin.BOTTOM_LEFT:
        array = array[::-1]
    if raw.format in MEASURES:
        near = 0.0 if rule.near is None else rule.near
        far = MEASURES[raw.format] if rule.far is None else rule.far
        grey = grey_of_depth(array[..., 0], near, far, invert=rule.invert, fill=rule.fill)
        return Pixels(grey[..., None], Channels.L)
    if array.dtype.kind == "f":
        array = _saturated(array)
    if raw.format is PixelFormat.BGRA8:
        array = _swapped(array)
    return pixels_from_array(array)


def _saturated(array: Array) -> Array:
    """Floats 0..1 as 8 bits, rounded; less is 0, more 255, not a number 0."""
    with np.errstate(all="ignore"):
        scaled = array.astype(np.float32)
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.clip(scaled, 0.0, 1.0, out=scaled)
        scaled *= np.float32(255)
        return np.rint(scaled, out=scaled).astype(np.uint8)


def _swapped(array: Array) -> Array:
    """B G R A as R G B A, in whole words: several times faster than channel by channel."""
    words = np.ascontiguousarray(array).view("<u4")[..., 0]
    turned = words.byteswap()  # A R G B
    turned >>= np.uint32(8)  # A is gone: R G B 0, the lowest byte first
    turned |= words & np.uint32(0xFF000000)
    return turned.astype("<u4", copy=False).view("u1").reshape(array.shape)


def _opaque(pixels: Pixels) -> Pixels:
    """The same colours without the alpha that nobody uses."""
    if pixels.channels is Channels.LA:
        return Pixels(np.ascontiguousarray(pixels.array[..., :1]), Channels.L)
    return Pixels(pixels.array, Channels.RGB)


def _grey_file(pixels: Pixels) -> bytearray:
    """A PGM: a line of text, then the rows from the top, a byte each."""
    grey = pixels.array[..., 0]
    if pixels.channels is Channels.L16:
        grey = (grey.astype(np.uint32) * 255 + 32_895 >> 16).astype(np.uint8)  # round(v / 257), exact for every v
    file, rows = _file(b"P5\n%d %d\n255\n" % pixels.size, pixels.size, 1)
    rows[..., 0] = grey
    return file


def _color_file(pixels: Pixels) -> bytearray:
    """A PPM: a line of text, then the rows from the top, R G B each."""
    file, rows = _file(b"P6\n%d %d\n255\n" % pixels.size, pixels.size, 3)
    for channel in range(3):
        rows[..., channel] = pixels.array[..., channel if pixels.array.shape[2] == 4 else 0]
    return file


def _bitmap(pixels: Pixels) -> bytearray:
    """A BMP with a version 4 header, whose masks say that the bytes are R G B A and alpha counts."""
    width, height = pixels.size
    pixel_bytes = width * height * 4
    head = struct.pack("<2sIHHI", b"BM", 122 + pixel_bytes, 0, 0, 122)
    # A negative height: rows from the top. 3: the masks that follow hold. Then "sRGB" and no gamma table.
    head += struct.pack("<IiiHHIIiiII", 108, width, -height, 1, 32, 3, pixel_bytes, 2835, 2835, 0, 0)
    head += struct.pack("<IIII4s48x", 0xFF, 0xFF00, 0xFF0000, 0xFF000000, b"BGRs")
    file, rows = _file(head, pixels.size, 4)
    if pixels.channels is Channels.LA:
        rows[..., :3] = pixels.array[..., :1]
        rows[..., 3] = pixels.array[..., 1]
    else:
        rows[...] = pixels.array
    return file


def _file(head: bytes, size: Size, channels: int) -> tuple[bytearray, Array]:
    """A file of `head` and room for rows, and those rows as an array over the same bytes."""
    file = bytearray(len(head) + size.width * size.height * channels)
    file[: len(head)] = head
    rows = np.frombuffer(file, np.uint8, offset=len(head)).reshape(size.height, size.width, channels)
    return file, rows
