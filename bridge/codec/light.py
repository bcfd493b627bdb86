"""sRGB-encoded numbers and linear ones: tables that take the one to the other, and numbers to floats.

The curve is the exact piecewise one of IEC 61966-2-1: `v / 12.92` up to 0.04045, else `((v + 0.055) / 1.055) ^ 2.4`.
Tables have 256 or 65,536 entries; a table of 65,536 pairs takes two channels in one look-up, which is twice as fast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.codec.pixels import Channels, PixelArray, Pixels

Depth = Literal["u1", "<u2"]
FloatType = Literal["<f2", "<f4"]

_LINEAR_STEPS: Final = 65_535
BLOCK_ROWS: Final = 32
"""Rows per step where a pass needs intermediate arrays: they stay in the processor's cache."""


def linear_of(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear numbers 0..1 of sRGB-encoded ones 0..1."""
    low: NDArray[np.float64] = encoded / 12.92
    high: NDArray[np.float64] = ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, low, high)


def encoded_of(linear: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB-encoded numbers 0..1 of linear ones 0..1."""
    wide = linear.astype(np.float64)
    return np.where(wide <= 0.0031308, wide * 12.92, 1.055 * wide ** (1 / 2.4) - 0.055)


def signed_linear(encoded: NDArray[Any]) -> NDArray[np.float32]:
    """Linear floats of sRGB-encoded ones of any size: beyond 1 the curve goes on, below 0 it is mirrored."""
    if encoded.dtype == np.float16:
        linear: NDArray[np.float32] = np.take(_linear_halves(), encoded.view("<u2"))
        return linear
    wide = encoded.astype(np.float64)
    made: NDArray[np.float32] = np.copysign(linear_of(np.abs(wide)), wide).astype(np.float32)
    return made


def signed_encoded(linear: NDArray[Any]) -> NDArray[np.float32]:
    """The way back from `signed_linear`."""
    made: NDArray[np.float32] = np.copysign(encoded_of(np.abs(linear)), linear).astype(np.float32)
    return made


@lru_cache(maxsize=1)
def _linear_halves() -> PixelArray:
    """The linear float of every half float, by its bits; what is no number is nothing here."""
    with np.errstate(invalid="ignore"):
        halves = np.arange(65_536, dtype="<u2").view("<f2").astype(np.float64)
    halves[~np.isfinite(halves)] = 0
    return _kept(np.copysign(linear_of(np.abs(halves)), halves).astype(np.float32))


@lru_cache(maxsize=1)
def _linear_short() -> PixelArray:
    """As `_linear_halves`, rounded to halves."""
    return _kept(_linear_halves().clip(-65_504, 65_504).astype("<f2"))


@lru_cache(maxsize=16)
def float_table(depth: Depth, dtype: FloatType, linear: bool) -> PixelArray:
    """0..255 or 0..65,535 as floats 0..1, made linear if asked."""
    top = np.iinfo(depth).max
    numbers = np.arange(top + 1) / top
    return _kept((linear_of(numbers) if linear else numbers).astype(dtype))


@lru_cache(maxsize=4)
def linear_table(depth: Depth, to: Depth) -> PixelArray:
    """sRGB-encoded integers as linear integers of the depth `to`, rounded."""
    top = np.iinfo(depth).max
    return _kept(np.rint(linear_of(np.arange(top + 1) / top) * np.iinfo(to).max).astype(to))


@lru_cache(maxsize=1)
def _encoded_bytes() -> PixelArray:
    """The 8-bit sRGB number of each linear one of 16 bits; twenty steps of those make the darkest step of these."""
    return _kept(np.rint(encoded_of(np.arange(_LINEAR_STEPS + 1) / _LINEAR_STEPS) * 255).astype("u1"))


def encoded_bytes(linear: NDArray[np.float32]) -> PixelArray:
    """8-bit sRGB-encoded numbers of linear floats 0..1."""
    steps = linear * np.float32(_LINEAR_STEPS)
    steps += np.float32(0.5)
    index = steps.clip(0, _LINEAR_STEPS).astype("<u2")
    return np.take(_encoded_bytes(), index)


@lru_cache(maxsize=16)
def _float_pairs(dtype: FloatType, linear: bool, last: Literal["colour", "alpha", "opaque"]) -> PixelArray:
    """Two bytes, the first one low, as two floats in one word. The second byte is a colour, alpha, or nothing."""
    first = float_table("u1", dtype, linear)
    second = {
        "colour": first,
        "alpha": float_table("u1", dtype, False),
        "opaque": np.ones(256, dtype),
    }[last]
    pairs = np.empty((256, 256, 2), dtype)
    pairs[:, :, 0] = first[None, :]
    pairs[:, :, 1] = second[:, None]
    return _kept(pairs.view("<u4" if dtype == "<f2" else "<u8").reshape(65_536))


@lru_cache(maxsize=2)
def _byte_pairs(alpha: bool) -> PixelArray:
    """Two sRGB-encoded bytes as two linear ones in one word; with `alpha` the second stays as it is."""
    first = linear_table("u1", "u1").astype("<u2")
    second = np.arange(256, dtype="<u2") if alpha else first
    return _kept((first[None, :] | second[:, None] << np.uint16(8)).astype("<u2").reshape(65_536))


def _kept(table: PixelArray) -> PixelArray:
    table.flags.writeable = False
    return table


def float_words(pixels: Pixels, target: PixelArray, dtype: FloatType, *, linear: bool, flip: bool) -> None:
    """Fill `target`, `[height, width, 4]` floats, with a picture of four bytes a pixel. RGB gets alpha 1."""
    pairs = pixels.array.view("<u2")
    pairs = pairs[::-1] if flip else pairs
    words = target.view("<u4" if dtype == "<f2" else "<u8")
    colours = _float_pairs(dtype, linear, "colour")
    last = _float_pairs(dtype, linear, "opaque" if pixels.channels is Channels.RGB else "alpha")
    for row in range(0, len(words), BLOCK_ROWS):
        block, into = pairs[row : row + BLOCK_ROWS], words[row : row + BLOCK_ROWS]
        into[..., 0] = np.take(colours, block[..., 0])
        into[..., 1] = np.take(last, block[..., 1])


def linear_pixels(pixels: Pixels, *, halves: bool = False) -> Pixels:
    """The same picture with linear numbers of the same depth, alpha as it is. 8 bits of them show bands in the dark.

    Floats then have 32 bits; with `halves` half floats stay that.
    """
    array = pixels.array
    if pixels.is_float:
        short = halves and array.dtype == np.float16
        made = np.take(_linear_short(), array.view("<u2")) if short else signed_linear(array)
        if pixels.channels is Channels.RGBAF:
            made[..., 3] = array[..., 3]
        return Pixels(made, pixels.channels)
    if pixels.channels is Channels.L16:
        return Pixels(np.take(linear_table("<u2", "<u2"), array), Channels.L16)
    if pixels.channels is Channels.L:
        return Pixels(np.take(linear_table("u1", "u1"), array), Channels.L)
    pairs = array.view("<u2")
    made = np.empty_like(pairs)
    made[..., -1] = np.take(_byte_pairs(True), pairs[..., -1])
    if made.shape[2] == 2:
        made[..., 0] = np.take(_byte_pairs(False), pairs[..., 0])
    return Pixels(made.view("u1").reshape(array.shape), pixels.channels)
