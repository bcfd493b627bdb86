"""Pixels to the bytes that an engine uploads as they are: `rgba8 bgra8 rgb8 r8 r16 rgba16f rgba32f r16f r32f`.

Either origin, with or without mip levels, encoded or linear, written into a buffer that the caller lends; flip and
swizzle in one pass. Block formats are made of `rgba8` by who has a compressor; `jpeg` and `png` are files, made by
`encode_picture`.

What is decided here:
- colour becomes one channel by luma of the encoded numbers (see `pixels`), which is then made linear if asked;
- floats are v / 255 or v / 65535, so 0..1; linear ones go through the exact curve, by table;
- a picture of floats stays what it is in float formats, beyond 0..1 too; in all others it is cut to 0..1 and rounded,
  after it was made linear if asked;
- linear integers are rounded: 8 bits of them show bands in the dark, which is why engines want sRGB there;
- on this processor and numpy, words swapped by a copy between byte orders are the quickest way to BGRA without a
  library: 0.34 ms for 1024 x 1024, 0.16 by OpenCV, 1.3 by slices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from bridge.codec.frame import mip_levels, payload_bytes, tight_row_pitch
from bridge.codec.light import BLOCK_ROWS, FloatType, float_table, float_words, linear_pixels, linear_table
from bridge.codec.mips import mip_chain
from bridge.codec.pixels import (
    Channels,
    PixelArray,
    Pixels,
    eight_bits,
    float_grey,
    grey8,
    resize_pixels,
    sixteen_bits,
)
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.types import ENCODED_FORMATS, Origin, OutputKind, PayloadSpec, PixelFormat, Size

PAYLOAD_FORMATS: Final = (
    PixelFormat.RGBA8,
    PixelFormat.BGRA8,
    PixelFormat.RGB8,
    PixelFormat.R8,
    PixelFormat.R16,
    PixelFormat.RGBA16F,
    PixelFormat.RGBA32F,
    PixelFormat.R16F,
    PixelFormat.R32F,
    PixelFormat.JPEG,
    PixelFormat.PNG,
)
"""What is made everywhere, in the order that `welcome.formats` lists; block formats come on top where they can be."""

BLOCK_FORMATS: Final = frozenset({PixelFormat.BC1, PixelFormat.BC3, PixelFormat.BC7})

MAX_PAYLOAD_DIMENSION: Final = 16_384
MAX_PAYLOAD_PIXELS: Final = 64_000_000

_OPAQUE: Final = np.uint32(0xFF000000)
_GREY: Final = np.uint32(0x00010101)
_SWAP_ROWS: Final = 128
_NEAR_FLOATS: Final = 1 << 13
"""So many pixels of floats are made at once."""
_LARGEST_HALF: Final = np.float32(65_504)
_NEAR_PIXELS: Final = 1 << 17
"""So many words are still near the processor when they are looked at for the second time."""
_FLOAT_TYPES: Final[dict[PixelFormat, FloatType]] = {
    PixelFormat.RGBA16F: "<f2",
    PixelFormat.R16F: "<f2",
    PixelFormat.RGBA32F: "<f4",
    PixelFormat.R32F: "<f4",
}


class PayloadGeometry(NamedTuple):
    """The size fields of a frame header. For `jpeg` and `png` both `row_pitch` and `payload_bytes` are 0."""

    width: int
    height: int
    row_pitch: int
    payload_bytes: int
    mips: int = 1


def payload_geometry(size: Size, spec: PayloadSpec) -> PayloadGeometry:
    """Width, height, tight row pitch, bytes and mip levels of a payload made by `spec` from a picture of `size`.

    Raises:
        InvalidValueError: a size that is empty or too large (305), in pixels or in bytes.
        NotAllowedError: mips in a file format, which has one level.
    """
    width, height = spec.size or size
    if not (
        0 < width <= MAX_PAYLOAD_DIMENSION
        and 0 < height <= MAX_PAYLOAD_DIMENSION
        and width * height <= MAX_PAYLOAD_PIXELS
    ):
        raise InvalidValueError(
            f"size {width} x {height}: 1..{MAX_PAYLOAD_DIMENSION} a side and {MAX_PAYLOAD_PIXELS} pixels are allowed",
            code=ErrorCode.BAD_SIZE,
            field="size",
            value=(width, height),
            limit=MAX_PAYLOAD_DIMENSION,
        )
    if spec.format in ENCODED_FORMATS:
        if spec.mips:
            raise NotAllowedError(f"{spec.format.word} is a file: it has no mips", field="mips", value=True)
        return PayloadGeometry(width, height, 0, 0)
    levels = mip_levels(width, height) if spec.mips else 1
    total = payload_bytes(spec.format, width, height, levels)
    return PayloadGeometry(width, height, tight_row_pitch(spec.format, width), total, levels)


def write_pixels(pixels: Pixels, spec: PayloadSpec, out: memoryview, kind: OutputKind = OutputKind.COLOR) -> None:
    """Fill `out` with the payload that `spec` asks for: resized, then each level flipped and swizzled in one pass.

    `out` must be writable and have exactly `payload_geometry(...).payload_bytes`. The bytes are little-endian.
    `kind` says how mip levels are averaged. `spec.linear` is for colours: whoever calls leaves it out for data.

    Raises:
        InvalidValueError, NotAllowedError: as `payload_geometry`, and for formats that are no rows of pixels.
        ValueError: `out` has another length; the caller's mistake.
    """
    geometry = payload_geometry(pixels.size, spec)
    if spec.format in ENCODED_FORMATS or spec.format in BLOCK_FORMATS:
        raise InvalidValueError(f"{spec.format.word} is not rows of pixels", code=ErrorCode.UNSUPPORTED_FORMAT)
    if out.nbytes != geometry.payload_bytes:
        raise ValueError(f"buffer of {out.nbytes} bytes for a payload of {geometry.payload_bytes}")
    target = np.frombuffer(out.cast("B"), "u1")
    at = 0
    for level in payload_levels(pixels, spec, kind):
        size = payload_bytes(spec.format, *level.size)
        _write_level(level, spec, target[at : at + size])
        at += size


def payload_levels(pixels: Pixels, spec: PayloadSpec, kind: OutputKind) -> list[Pixels]:
    """The picture at the size of `spec`, and its further mip levels where it asks for them."""
    if spec.size is not None:
        pixels = resize_pixels(pixels, spec.size, spec.fit)
    return list(mip_chain(pixels, kind)) if spec.mips else [pixels]


def _write_level(pixels: Pixels, spec: PayloadSpec, target: PixelArray) -> None:
    flip, linear = spec.origin is Origin.BOTTOM_LEFT, spec.linear
    width, height = pixels.size
    dtype = _FLOAT_TYPES.get(spec.format)
    if pixels.is_float:
        _write_float_level(pixels, spec, target)
        return
    if dtype is not None:
        if spec.format in (PixelFormat.R16F, PixelFormat.R32F):
            np.copyto(target.view(dtype).reshape(height, width), _rows(_float_grey(pixels, dtype, linear), flip))
        else:
            _write_floats(pixels, target.view(dtype).reshape(height, width, 4), dtype, linear, flip)
        return
    if spec.format is PixelFormat.R16:
        _write_r16(pixels, target.view("<u2").reshape(height, width), flip, linear)
        return
    if spec.format is PixelFormat.R8:
        grey = grey8(pixels)
        if linear:
            grey = np.take(linear_table("u1", "u1"), grey)
        np.copyto(target.reshape(height, width), _rows(grey, flip))
        return
    if linear:
        pixels = linear_pixels(pixels)
    if spec.format is PixelFormat.RGB8:
        _write_rgb8(pixels, target.reshape(height, width, 3), flip)
    else:
        _write_words(pixels, target.view("<u4").reshape(height, width), flip, spec.format is PixelFormat.BGRA8)


def _rows(array: PixelArray, flip: bool) -> PixelArray:
    return array[::-1] if flip else array


def _write_words(pixels: Pixels, target: PixelArray, flip: bool, swap: bool) -> None:
    """One 32-bit word per pixel: RGBA, or BGRA with `swap`."""
    if pixels.channels in (Channels.L, Channels.L16):
        np.multiply(_rows(grey8(pixels), flip), _GREY, out=target, dtype=np.uint32)
        np.bitwise_or(target, _OPAQUE, out=target)
        return
    if pixels.channels is Channels.LA:
        pairs = _rows(pixels.array.view("<u2")[..., 0], flip)
        for block in _blocks(len(target), BLOCK_ROWS):
            word = pairs[block].astype(np.uint32)
            grey = word & np.uint32(0xFF)
            grey *= _GREY
            word >>= np.uint32(8)
            word <<= np.uint32(24)
            np.bitwise_or(word, grey, out=target[block])
        return
    words = _rows(pixels.array.view("<u4")[..., 0], flip)
    opaque = pixels.channels is Channels.RGB
    if not swap:
        if opaque:
            np.bitwise_or(words, _OPAQUE, out=target)
        else:
            np.copyto(target, words)
        return
    for block in _blocks(len(target), _SWAP_ROWS):
        source, into = words[block], target[block]
        # Bytes R G B A reversed are A B G R; one byte down that is B G R, and the alpha comes back on top.
        np.copyto(into, source.view(">u4"))
        np.right_shift(into, np.uint32(8), out=into)
        np.bitwise_or(into, _OPAQUE if opaque else source & _OPAQUE, out=into)


def write_rgb_words(array: PixelArray, spec: PayloadSpec, out: memoryview) -> None:
    """Write `[height, width, 3]` bytes as the `rgba8` or `bgra8` of `spec`, opaque, in one pass and nothing between.

    Each word is read where its pixel begins, with a byte of the next one; only the very last would read past the end.
    `spec` asks for nothing else: no other size, no mips, no linear colours. `out` has exactly four bytes a pixel.
    """
    height, width, _ = array.shape
    target = _rows(np.frombuffer(out.cast("B"), "<u4").reshape(height, width), spec.origin is Origin.BOTTOM_LEFT)
    swap = spec.format is PixelFormat.BGRA8
    dtype = ">u4" if swap else "<u4"
    upper: PixelArray = np.ndarray((height - 1, width), dtype, array, 0, (3 * width, 3))
    last: PixelArray = np.ndarray((width - 1,), dtype, array, (height - 1) * width * 3, (3,))
    for source, into in ((upper, target[:-1]), (last, target[-1, :-1])):
        # Copied first, for which numpy has a loop over words that lie anywhere; the rest in place, while it is at hand.
        for block in _blocks(len(source), max(1, _NEAR_PIXELS // width) if source is upper else width):
            np.copyto(into[block], source[block])
            if swap:  # read the other way round R G B x is x B G R; one byte down that is B G R
                np.right_shift(into[block], np.uint32(8), out=into[block])
            np.bitwise_or(into[block], _OPAQUE, out=into[block])
    red, green, blue = (int(value) for value in array[-1, -1])
    word = (red << 16 | green << 8 | blue) if swap else (blue << 16 | green << 8 | red)
    target[-1, -1] = np.uint32(word | int(_OPAQUE))


def _blocks(height: int, rows: int) -> list[slice]:
    return [slice(row, row + rows) for row in range(0, height, rows)]


def _write_rgb8(pixels: Pixels, target: PixelArray, flip: bool) -> None:
    if pixels.channels in (Channels.RGB, Channels.RGBA):
        source = _rows(pixels.array, flip)
        for channel in range(3):
            target[..., channel] = source[..., channel]
        return
    grey = _rows(grey8(pixels), flip)
    for channel in range(3):
        target[..., channel] = grey


def _write_r16(pixels: Pixels, target: PixelArray, flip: bool, linear: bool) -> None:
    if pixels.channels is Channels.L16:
        grey = pixels.array[..., 0]
        if linear:
            grey = np.take(linear_table("<u2", "<u2"), grey)
        np.copyto(target, _rows(grey, flip))
    elif linear:
        np.copyto(target, _rows(np.take(linear_table("u1", "<u2"), grey8(pixels)), flip))
    else:
        np.multiply(_rows(grey8(pixels), flip), np.uint16(257), out=target, dtype=np.uint16)


def _write_float_level(pixels: Pixels, spec: PayloadSpec, target: PixelArray) -> None:
    """A level of floats, some rows at a time: what stands between stays near the processor."""
    (width, height), flip = pixels.size, spec.origin is Origin.BOTTOM_LEFT
    rows = target.reshape(height, -1)
    is_copy = not spec.linear and rows.shape[1] == pixels.array[0].nbytes and spec.format in _FLOAT_TYPES
    for block in _blocks(height, height if is_copy else max(1, _NEAR_FLOATS // width)):
        part = Pixels(pixels.array[block], pixels.channels)
        start, end = block.start, block.start + len(part.array)
        _write_float_rows(part, spec, (rows[height - end : height - start] if flip else rows[start:end]).reshape(-1))


def _write_float_rows(pixels: Pixels, spec: PayloadSpec, target: PixelArray) -> None:
    width, height = pixels.size
    flip = spec.origin is Origin.BOTTOM_LEFT
    dtype = _FLOAT_TYPES.get(spec.format)
    if spec.linear:
        pixels = linear_pixels(pixels, halves=spec.format is PixelFormat.RGBA16F)
    if dtype is not None:
        _write_own_floats(pixels, target.view(dtype).reshape(height, width, -1), flip)
    elif spec.format is PixelFormat.R16:
        np.copyto(target.view("<u2").reshape(height, width), _rows(sixteen_bits(pixels), flip))
    else:
        _write_level(eight_bits(pixels), replace(spec, linear=False), target)


def _write_own_floats(pixels: Pixels, target: PixelArray, flip: bool) -> None:
    """Floats as they are, one or four per pixel; what a half can't hold becomes its largest."""
    if target.shape[2] == 1 and pixels.channels is not Channels.LF:
        source = float_grey(pixels)[..., None]
    else:
        source = pixels.array
    if target.dtype.itemsize < source.dtype.itemsize:
        source = source.clip(-_LARGEST_HALF, _LARGEST_HALF)
    if target.shape[2] == source.shape[2]:
        np.copyto(target, _rows(source, flip), casting="same_kind")
    else:
        np.copyto(target[..., :3], _rows(source, flip), casting="same_kind")
    if target.shape[2] == 4 and pixels.channels is not Channels.RGBAF:
        target[..., 3] = 1


def _float_grey(pixels: Pixels, dtype: FloatType, linear: bool) -> PixelArray:
    """One float per pixel `[height, width]`; 16-bit grey keeps its 16 bits."""
    if pixels.channels is Channels.L16:
        return np.take(float_table("<u2", dtype, linear), pixels.array[..., 0])
    return np.take(float_table("u1", dtype, linear), grey8(pixels))


def _write_floats(pixels: Pixels, target: PixelArray, dtype: FloatType, linear: bool, flip: bool) -> None:
    """Four floats per pixel."""
    if pixels.channels in (Channels.RGB, Channels.RGBA):
        float_words(pixels, target, dtype, linear=linear, flip=flip)
        return
    target[..., :3] = _rows(_float_grey(pixels, dtype, linear), flip)[..., None]
    if pixels.channels is Channels.LA:
        target[..., 3] = _rows(np.take(float_table("u1", dtype, False), pixels.array[..., 1]), flip)
    else:
        target[..., 3] = 1
