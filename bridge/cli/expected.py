"""What `gradient` looks like without clouds, computed from the colours alone.

The demo compares frames with this. It imports nothing of the bridge on purpose: a mistake there can't hide here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALL = 32
"""The gradient is made at this size, softened, and then scaled up."""

REACH = 6
TOLERANCE = 1
"""Levels: ComfyUI cuts `picture * 255` off to whole numbers, and float32 may land one beside."""


def gradient_pixels(
    corners: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]],
    width: int,
    height: int,
    blur: float,
) -> NDArray[np.uint8]:
    """Give the picture `[height, width, 3]`, row 0 at the top, of four colours 0..1.

    Corners are top left, top right, bottom left, bottom right. Source: workflows/gradient/README.md.
    """
    top_left, top_right, bottom_left, bottom_right = (np.array(corner[:3], float) for corner in corners)
    x, y = _ramp(width, blur)[None, :, None], _ramp(height, blur)[:, None, None]
    picture = (1 - y) * ((1 - x) * top_left + x * top_right) + y * ((1 - x) * bottom_left + x * bottom_right)
    levels: NDArray[np.uint8] = (picture * 255).astype(np.uint8)
    return levels


def _ramp(pixels: int, blur: float) -> NDArray[np.float64]:
    offset = np.arange(-REACH, REACH + 1)
    weight = np.exp(-((offset / REACH) ** 2) / (2 * blur * blur))
    near = np.pad((np.arange(SMALL) + 0.5) / SMALL, REACH, "reflect")
    soft = np.convolve(near, weight / weight.sum(), "valid")
    places = (np.arange(pixels) + 0.5) * SMALL / pixels - 0.5
    return np.asarray(np.interp(places, np.arange(SMALL), soft))


def worst_difference(pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int:
    """Give by how many levels a picture `[height, width, 4]` differs at most from an opaque `[height, width, 3]` one.

    255 if their sizes differ.
    """
    if pixels.shape != (*expected.shape[:2], 4):
        return 255
    color = np.abs(pixels[:, :, :3].astype(int) - expected.astype(int)).max()
    return int(max(color, 255 - int(pixels[:, :, 3].min())))
