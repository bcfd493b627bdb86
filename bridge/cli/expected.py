"""What `gradient` looks like without clouds, computed from the colours alone.

The demo compares frames with this. It imports nothing of the bridge on purpose: a mistake there can't hide here.
"""

from __future__ import annotations

from dataclasses import dataclass

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


Colors = tuple[tuple[int, int, int], ...]
"""Four colours 0..255: top left, top right, bottom left, bottom right."""


@dataclass(frozen=True, slots=True)
class Match:
    """What of the sent a picture shows: its place in the order of sending, when it was sent, and how far off it is."""

    place: int
    sent_at: float
    difference: int


class Moments:
    """What was sent, in order, and which of it a picture shows.

    Pictures come in the order of what they show: one that shows something sent before what the last one showed is as
    wrong as one that shows nothing that was sent.
    """

    def __init__(self, blur: float) -> None:
        self._blur = blur
        self._sent: list[tuple[float, Colors]] = []
        self._last = 0

    def add(self, sent_at: float, colors: Colors) -> None:
        """Note what is sent; times grow."""
        self._sent.append((sent_at, colors))

    def find(self, pixels: NDArray[np.uint8], at: float) -> Match:
        """Give the first moment, from that of the last picture on, that this one shows, which came in at `at`.

        If it shows none, the match is the nearest one with a difference over TOLERANCE, and is not remembered.
        """
        best = Match(self._last, at, 256)
        for place in range(self._last, len(self._sent)):
            sent_at, colors = self._sent[place]
            if sent_at > at:
                break
            corners = [tuple(level / 255 for level in color) for color in colors]
            height, width = pixels.shape[:2]
            expected = gradient_pixels((corners[0], corners[1], corners[2], corners[3]), width, height, self._blur)
            difference = worst_difference(pixels, expected)
            if difference < best.difference:
                best = Match(place, sent_at, difference)
            if difference <= TOLERANCE:
                self._last = place
                break
        return best
