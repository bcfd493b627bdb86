"""Pictures between two pictures, for fades. Channels are those of the source without its alpha: payloads get 255.

Numbers are mixed as they are stored (sRGB-encoded for colours), which is what a fader on a lighting desk looks like.
"""

from __future__ import annotations

import numpy as np

from bridge.codec.pixels import Channels, Pixels, eight_bits, resize_pixels


def shade_pixels(pixels: Pixels, level: float) -> Pixels:
    """Give a picture between black (`level` 0) and itself (1), opaque. Its own alpha is dropped, not blended."""
    flat = _opaque(pixels)
    if flat.is_float:
        return Pixels(flat.array.astype(np.float32) * np.float32(min(1.0, max(0.0, level))), flat.channels)
    top = np.iinfo(flat.array.dtype).max
    table = np.rint(np.arange(top + 1) * min(1.0, max(0.0, level))).astype(flat.array.dtype)
    return Pixels(np.take(table, flat.array), flat.channels)


def mix_pixels(old: Pixels, new: Pixels, share: float) -> Pixels:
    """Give a picture between `old` (`share` 0) and `new` (1), opaque, of the size of `new`.

    Floats and integers are mixed in 8 bits; other pictures of different channels can't be mixed: there `new` is given.
    """
    one, two = _opaque(old), _opaque(new)
    if one.is_float is not two.is_float:
        one, two = eight_bits(one), eight_bits(two)
    if one.channels is not two.channels:
        return two
    if one.size != two.size:
        one = resize_pixels(one, two.size)
    if two.is_float:
        part = np.float32(min(1.0, max(0.0, share)))
        floats = one.array.astype(np.float32)
        return Pixels(floats + (two.array - floats) * part, two.channels)
    weight = round(min(1.0, max(0.0, share)) * 256)
    wide = one.array.astype(np.uint32) * (256 - weight) + two.array.astype(np.uint32) * weight
    return Pixels((wide >> 8).astype(two.array.dtype), two.channels)


def _opaque(pixels: Pixels) -> Pixels:
    if pixels.channels is Channels.RGBA:
        return Pixels(pixels.array, Channels.RGB)  # the fourth byte means nothing there
    if pixels.channels is Channels.RGBAF:
        return Pixels(pixels.array, Channels.RGBF)
    if pixels.channels is Channels.LA:
        return Pixels(np.ascontiguousarray(pixels.array[..., :1]), Channels.L)
    return pixels
