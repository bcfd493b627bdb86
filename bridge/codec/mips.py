"""Mip levels: each half as wide and high as the one before, rounded down, at least 1, down to 1x1.

A box filter that is right for every size: each pixel of a level is the mean of exactly its share of the level before,
so an odd side has weights over three pixels and nothing moves. Colours are averaged as light: decoded from sRGB,
averaged, encoded again, as GPUs do for sRGB textures and engines do at import; averages of encoded numbers make fine
bright detail go dark in the distance. They are weighted by alpha, so that what can't be seen bleeds into nothing; alpha
itself is the plain mean. `data` and `mask` outputs are averaged as the numbers that they are, each channel alone.
All levels come from the exact level before, and are rounded to the picture's own depth once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.codec.light import encoded_bytes, encoded_of, float_table, float_words, linear_pixels, signed_encoded
from bridge.codec.pixels import Channels, Pixels
from bridge.types import OutputKind

Floats = NDArray[np.float32]

_LEAST_WEIGHT: Final = np.float32(1 / 65_536)
"""What a pixel of alpha 0 weighs: where all are, their colours still have a mean."""


def mip_chain(pixels: Pixels, kind: OutputKind = OutputKind.COLOR) -> Iterator[Pixels]:
    """The picture itself, then every further level, the last one 1x1; all of the picture's channels and depth."""
    yield pixels
    if pixels.size == (1, 1):
        return
    color = kind is OutputKind.COLOR
    weighted = color and pixels.channels in (Channels.RGBA, Channels.LA, Channels.RGBAF)
    level = _floats(pixels, color)
    if weighted:
        alpha = level[..., -1:]
        alpha *= 1 - _LEAST_WEIGHT
        alpha += _LEAST_WEIGHT
        level[..., :-1] *= alpha
    while level.shape[:2] != (1, 1):
        level = _halved(_halved(level, 0), 1)
        shown = level
        if weighted:
            shown = level.copy()
            shown[..., :-1] /= shown[..., -1:]
            shown[..., -1] -= _LEAST_WEIGHT
            shown[..., -1] /= 1 - _LEAST_WEIGHT
        yield _pixels(shown, pixels.channels, color)


def _floats(pixels: Pixels, color: bool) -> Floats:
    """The numbers as floats, full scale 1, colours as light."""
    if pixels.is_float:
        return (linear_pixels(pixels) if color else pixels).array.astype(np.float32)
    if pixels.channels in (Channels.RGB, Channels.RGBA):
        made = np.empty((*pixels.array.shape[:2], 4), "<f4")
        float_words(pixels, made, "<f4", linear=color, flip=False)
        return made
    if pixels.channels is Channels.L16:
        return np.take(float_table("<u2", "<f4", color), pixels.array)
    made = np.take(float_table("u1", "<f4", color), pixels.array)
    if pixels.channels is Channels.LA:
        made[..., 1] = np.take(float_table("u1", "<f4", False), pixels.array[..., 1])
    return made


def _pixels(level: Floats, channels: Channels, color: bool) -> Pixels:
    """A level at the picture's own depth again; floats have 32 bits."""
    if channels in (Channels.LF, Channels.RGBF, Channels.RGBAF):
        shown = signed_encoded(level) if color else level
        if color and channels is Channels.RGBAF:
            shown[..., 3] = level[..., 3]
        return Pixels(shown, channels)
    if channels is Channels.L16:
        numbers: NDArray[Any] = encoded_of(level.clip(0, 1)) if color else level
        return Pixels(np.rint(numbers * 65_535).clip(0, 65_535).astype("<u2"), channels)
    if not color:
        return Pixels(_bytes(level), channels)
    made = encoded_bytes(level)
    if channels in (Channels.RGBA, Channels.LA):
        made[..., -1] = _bytes(level[..., -1])
    return Pixels(made, channels)


def _bytes(level: Floats) -> NDArray[np.uint8]:
    return np.rint(level * 255).clip(0, 255).astype("u1")


def _halved(level: Floats, axis: int) -> Floats:
    """Half as many rows (axis 0) or columns (axis 1), each the mean of its share."""
    length = level.shape[axis]
    if length == 1:
        return level
    view = level if axis == 0 else level.swapaxes(0, 1)
    half = length // 2
    if length % 2 == 0:
        made = view[0::2] + view[1::2]
        made *= np.float32(0.5)
    else:
        place = np.arange(half, dtype=np.float32).reshape(half, 1, 1)
        made = view[0 : 2 * half : 2] * ((half - place) / length)
        made += view[1 : 2 * half : 2] * np.float32(half / length)
        made += view[2 : 2 * half + 1 : 2] * ((place + 1) / length)
    return made if axis == 0 else made.swapaxes(0, 1)
