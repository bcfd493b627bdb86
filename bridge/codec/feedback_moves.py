"""What is done to a picture before it goes back into its own workflow: zoom, turn, shift, and colours that hold.

Where a pixel comes from. Offsets from the middle are in pixels, x to the right and y down, turns are clockwise. A
pixel of the result whose centre lies at (u, v) from the middle is what the source has at

    (u - x * width, v - y * height), turned back by `rotate`, divided by `zoom`

and, where the source has another size, scaled to it. So the content grows, turns and moves by the numbers of each
picture. Sampled bilinearly between pixel centres; beyond the edge the picture is mirrored there, or its last pixels go
on (`clamp`).

Colours are held by mean and deviation, each channel by itself, on the sRGB-encoded numbers as they are: fast, the same
on every device, and what drifts in a loop is exactly these two. The gain is kept within 0.5 to 2, so that a flat
picture isn't blown up. The node pack does the same in ComfyUI's memory (protocols/comfyui-nodes.md), on floats.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.codec.pixels import Channels, Pixels, grey8
from bridge.types import ColorMatch, Edge, PictureMove, Size

__all__ = ["color_statistics", "match_gains", "move_picture"]

LEAST_GAIN: Final = 0.5
MOST_GAIN: Final = 2.0
FLAT: Final = 1 / 1024
"""A deviation below this says nothing of contrast: the gain is 1."""

_BAND_PIXELS: Final = 1 << 16
"""So many pixels are sampled at once: what they need stays in the processor's cache."""

Array = NDArray[Any]


def color_statistics(pixels: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour channel, 0..1; alpha is left out, 16 bits count as 8."""
    colors, _ = _planes(pixels)
    flat = colors.reshape(-1, colors.shape[2]).astype(np.float32)
    mean, deviation = flat.mean(axis=0, dtype=np.float64) / 255, flat.std(axis=0, dtype=np.float64) / 255
    return tuple(float(number) for number in mean), tuple(float(number) for number in deviation)


def match_gains(
    mean: tuple[float, ...], deviation: tuple[float, ...], match: ColorMatch
) -> tuple[tuple[float, float], ...]:
    """For each channel (scale, offset): `value * scale + offset` has the match's mean and deviation, as far as it says.

    Channels of another number than the match's are left as they are.
    """
    if len(mean) != len(match.mean):
        return tuple((1.0, 0.0) for _ in mean)
    gains = []
    for own_mean, own_deviation, wanted_mean, wanted in zip(mean, deviation, match.mean, match.deviation, strict=True):
        gain = 1.0 if own_deviation < FLAT else min(MOST_GAIN, max(LEAST_GAIN, wanted / own_deviation))
        gains.append((1 + match.amount * (gain - 1), match.amount * (wanted_mean - own_mean * gain)))
    return tuple(gains)


def move_picture(
    pixels: Pixels, move: PictureMove, size: Size | None = None, match: ColorMatch | None = None
) -> Pixels:
    """The picture as it goes back: 8 bits, of `size` (None: its own). The same pixels if nothing is to be done."""
    size = pixels.size if size is None else size
    moved = not move.is_still or size != pixels.size
    if pixels.channels is Channels.L16:
        pixels = Pixels(np.ascontiguousarray(grey8(pixels)[..., None]), Channels.L)
    if not moved and (match is None or not match.amount):
        return pixels
    colors, alpha = _planes(pixels)
    gains: tuple[tuple[float, float], ...] = ()
    if match is not None and match.amount:
        gains = match_gains(*color_statistics(pixels), match)
    planes = colors if alpha is None else np.concatenate((colors, alpha), axis=2)
    floats = planes.astype(np.float32)
    if moved:
        floats = _sampled(floats, move, size)
    for channel, (scale, offset) in enumerate(gains):
        floats[..., channel] = floats[..., channel] * np.float32(scale) + np.float32(offset * 255)
    floats += np.float32(0.5)
    np.clip(floats, 0.5, 255.5, out=floats)
    return _pixels(floats.astype(np.uint8), pixels.channels)


def _planes(pixels: Pixels) -> tuple[Array, Array | None]:
    """Colours and alpha as arrays of bytes `[height, width, n]`."""
    match pixels.channels:
        case Channels.RGBA:
            return pixels.array[..., :3], pixels.array[..., 3:]
        case Channels.RGB:
            return pixels.array[..., :3], None
        case Channels.LA:
            return pixels.array[..., :1], pixels.array[..., 1:]
        case Channels.L16:
            return grey8(pixels)[..., None], None
        case _:
            return pixels.array, None


def _pixels(array: Array, channels: Channels) -> Pixels:
    if channels is Channels.RGB:
        wide = np.full((*array.shape[:2], 4), 255, np.uint8)
        wide[..., :3] = array
        array = wide
    return Pixels(np.ascontiguousarray(array), channels)


def _sampled(source: Array, move: PictureMove, size: Size) -> Array:
    """`source` [height, width, n] of floats, sampled for each pixel of a picture of `size`."""
    height, width = source.shape[:2]
    u = np.arange(size.width, dtype=np.float64) + 0.5 - size.width / 2 - move.x * size.width
    v = np.arange(size.height, dtype=np.float64) + 0.5 - size.height / 2 - move.y * size.height
    turn = math.radians(move.rotate)
    cosine, sine = math.cos(turn) / move.zoom, math.sin(turn) / move.zoom
    across, down = width / size.width, height / size.height
    if not math.remainder(move.rotate, 360):  # rows and columns can be sampled one after the other
        rows, columns = v / move.zoom * down + height / 2 - 0.5, u / move.zoom * across + width / 2 - 0.5
        upper, lower, share = _between(rows, height, move.edge)
        tall = source[upper]
        tall += (source[lower] - tall) * share[:, None, None]
        left, right, share = _between(columns, width, move.edge)
        result: Array = tall[:, left]
        result += (tall[:, right] - result) * share[None, :, None]
        return result
    flat = np.ascontiguousarray(source).reshape(height * width, -1)
    result = np.empty((size.height, size.width, source.shape[2]), np.float32)
    step = max(1, _BAND_PIXELS // size.width)
    for top in range(0, size.height, step):
        part = v[top : top + step, None]
        columns = (u[None] * cosine + part * sine) * across + width / 2 - 0.5
        rows = (part * cosine - u[None] * sine) * down + height / 2 - 0.5
        left, right, share_x = _between(columns, width, move.edge)
        upper, lower, share_y = _between(rows, height, move.edge)
        upper, lower = upper * width, lower * width
        share_x, share_y = share_x[..., None], share_y[..., None]
        above = flat.take(upper + left, axis=0)
        above += (flat.take(upper + right, axis=0) - above) * share_x
        below = flat.take(lower + left, axis=0)
        below += (flat.take(lower + right, axis=0) - below) * share_x
        above += (below - above) * share_y
        result[top : top + step] = above
    return result


def _between(places: Array, count: int, edge: Edge) -> tuple[Array, Array, Array]:
    """The two neighbours of each place, 0..count-1, and the share of the second."""
    if edge is Edge.MIRROR:
        places = np.mod(places + 0.5, 2 * count)
        places = np.where(places < count, places, 2 * count - places) - 0.5
    places = np.clip(places, 0, count - 1)
    first = np.floor(places).astype(np.intp)
    share = (places - first).astype(np.float32)
    return first, np.minimum(first + 1, count - 1), share
