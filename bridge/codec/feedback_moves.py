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
from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridge.codec.pixels import Channels, Pixels, eight_bits, grey8
from bridge.types import ColorMatch, Edge, PictureMove, Size

__all__ = ["color_statistics", "match_gains", "move_picture"]

LEAST_GAIN: Final = 0.5
MOST_GAIN: Final = 2.0
FLAT: Final = 1 / 1024
"""A deviation below this says nothing of contrast: the gain is 1."""

MOST_FRAME: Final = 6
"""A picture is given a frame of what lies beyond its edges, and sampled by Pillow, which knows no edges; but not where
it would become so many times larger."""

Array = NDArray[Any]


def color_statistics(pixels: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour channel, 0..1; alpha is left out, 16 bits count as 8."""
    colors, _ = _planes(pixels)
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(colors.shape[2]):
        shares = np.bincount(colors[..., channel].reshape(-1), minlength=256) / (colors.shape[0] * colors.shape[1])
        mean = float(shares @ levels)
        means.append(mean)
        deviations.append(math.sqrt(max(0.0, float(shares @ (levels - mean) ** 2))))
    return tuple(means), tuple(deviations)


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
    pixels = eight_bits(pixels)
    moved = not move.is_still or size != pixels.size
    if pixels.channels is Channels.L16:
        pixels = Pixels(np.ascontiguousarray(grey8(pixels)[..., None]), Channels.L)
    if not moved and (match is None or not match.amount):
        return pixels
    colors, alpha = _planes(pixels)
    gains: tuple[tuple[float, float], ...] = ()
    if match is not None and match.amount:
        gains = match_gains(*color_statistics(pixels), match)
    planes = [colors[..., channel] for channel in range(colors.shape[2])]
    if alpha is not None:
        planes.append(alpha[..., 0])
    result = np.empty((size.height, size.width, pixels.array.shape[2]), np.uint8)
    if pixels.channels is Channels.RGB:
        result[..., 3] = 255
    sampled = _sampled(planes, move, size) if moved else (plane.astype(np.float32) for plane in planes)
    for channel, plane in enumerate(sampled):
        scale, offset = gains[channel] if channel < len(gains) else (1.0, 0.0)
        if scale != 1.0:
            plane *= np.float32(scale)
        plane += np.float32(offset * 255 + 0.5)
        if gains:
            np.clip(plane, 0, 255.5, out=plane)
        result[..., channel] = plane  # the fraction is dropped: rounded, as a half was added
    return Pixels(result, pixels.channels)


def _planes(pixels: Pixels) -> tuple[Array, Array | None]:
    """Colours and alpha as arrays of bytes `[height, width, n]`."""
    pixels = eight_bits(pixels)
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


def _sampled(planes: list[Array], move: PictureMove, size: Size) -> Iterator[Array]:
    """Planes [height, width] of bytes, sampled for each pixel of a picture of `size`: arrays of floats of one's own."""
    height, width = planes[0].shape
    turn = math.radians(move.rotate)
    cosine, sine = math.cos(turn) / move.zoom, math.sin(turn) / move.zoom
    if not math.remainder(move.rotate, 90):
        cosine, sine = round(math.cos(turn)) / move.zoom, round(math.sin(turn)) / move.zoom
    across, down = width / size.width, height / size.height
    left, top = -size.width / 2 - move.x * size.width, -size.height / 2 - move.y * size.height
    # The place in the source, in pixels from its left and upper edge, of a place (x, y) of the result.
    to_x = (across * cosine, across * sine, across * (left * cosine + top * sine) + width / 2)
    to_y = (-down * sine, down * cosine, down * (top * cosine - left * sine) + height / 2)
    corners = [(x, y) for x in (0, size.width) for y in (0, size.height)]
    columns, rows = ([a * x + b * y + c for x, y in corners] for a, b, c in (to_x, to_y))
    margins = (
        (max(0, math.ceil(-min(rows))) + 1, max(0, math.ceil(max(rows) - height)) + 1),
        (max(0, math.ceil(-min(columns))) + 1, max(0, math.ceil(max(columns) - width)) + 1),
    )
    framed = (height + sum(margins[0])) * (width + sum(margins[1]))
    if framed > MOST_FRAME * (width + 4) * (height + 4):
        yield from _gathered(planes, move.edge, size, to_x, to_y)
        return
    mode: Literal["symmetric", "edge"] = "symmetric" if move.edge is Edge.MIRROR else "edge"
    places = (*to_x[:2], to_x[2] + margins[1][0], *to_y[:2], to_y[2] + margins[0][0])
    for plane in planes:
        image = Image.fromarray(np.pad(plane, margins, mode).astype(np.float32))
        yield np.array(image.transform(size, Image.Transform.AFFINE, places, Image.Resampling.BILINEAR))


def _gathered(
    planes: list[Array], edge: Edge, size: Size, to_x: tuple[float, ...], to_y: tuple[float, ...]
) -> Iterator[Array]:
    """The same for places far outside, where a frame around the picture would be many times larger than it."""
    height, width = planes[0].shape
    x, y = np.arange(size.width)[None] + 0.5, np.arange(size.height)[:, None] + 0.5
    left, right, share_x = _between(to_x[0] * x + to_x[1] * y + (to_x[2] - 0.5), width, edge)
    upper, lower, share_y = _between(to_y[0] * x + to_y[1] * y + (to_y[2] - 0.5), height, edge)
    for plane in planes:
        above = plane[upper, left] * (1 - share_x) + plane[upper, right] * share_x
        below = plane[lower, left] * (1 - share_x) + plane[lower, right] * share_x
        yield above * (1 - share_y) + below * share_y


def _between(places: Array, count: int, edge: Edge) -> tuple[Array, Array, Array]:
    """The two neighbours of each place, 0..count-1, and the share of the second."""
    if edge is Edge.MIRROR:
        places = np.mod(places + 0.5, 2 * count)
        places = np.where(places < count, places, 2 * count - places) - 0.5
    places = np.clip(places, 0, count - 1)
    first = np.floor(places).astype(np.intp)
    share = (places - first).astype(np.float32)
    return first, np.minimum(first + 1, count - 1), share
