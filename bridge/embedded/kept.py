"""The last pictures of loops, which the next prompt takes from memory; and how they move on their way. Written anew.

Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

import math
import re
import time
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KEEP_S: Final = 120.0
MAX_LOOPS: Final = 16
_OF_A_LOOP: Final = 2

Floats = NDArray[np.float32]


class KeptStore:
    """Pictures [1, height, width, channel] by `LOOP/STEP`. Thread-safe, bounded: the last two of each loop."""

    def __init__(self) -> None:
        self._pictures: dict[str, tuple[Floats, float]] = {}
        self._lock = Lock()

    def keep(self, name: str, picture: Floats) -> None:
        """Keep a picture. Raises ValueError for a name that is none."""
        if re.fullmatch(r"[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}", name) is None:
            raise ValueError(f"keep {name[:80]!r} is not LOOP/STEP, each 1 to 64 letters, digits, - or _")
        loop = name.partition("/")[0] + "/"
        with self._lock:
            self._pictures.pop(name, None)
            self._pictures[name] = picture, time.monotonic() + KEEP_S
            own = [other for other in self._pictures if other.startswith(loop)]
            for old in own[:-_OF_A_LOOP]:
                del self._pictures[old]
            self._expire()
            while len({other.partition("/")[0] for other in self._pictures}) > MAX_LOOPS:
                del self._pictures[next(iter(self._pictures))]

    def get(self, name: str) -> Floats | None:
        """The picture, kept a while longer from now."""
        with self._lock:
            self._expire()
            kept = self._pictures.get(name)
            if kept is None:
                return None
            self._pictures[name] = kept[0], time.monotonic() + KEEP_S
            return kept[0]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._pictures.clear()

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [name for name, (_, ends_at) in self._pictures.items() if ends_at <= now]:
            del self._pictures[name]


def moved(
    picture: Floats, zoom: float, rotate: float, x: float, y: float, edge: str, width: int, height: int
) -> Floats:
    """A picture [1, height, width, channel] zoomed, turned and shifted, in its own size or width x height."""
    if not zoom > 0:
        raise ValueError(f"zoom {zoom} is not over 0")
    _, rows, columns, _ = picture.shape
    width, height = width or columns, height or rows
    if zoom == 1 and not rotate % 360 and not x and not y and (width, height) == (columns, rows):
        return picture
    turn = math.radians(rotate)
    right = np.arange(width) + 0.5 - width / 2 - x * width
    down = (np.arange(height) + 0.5 - height / 2 - y * height)[:, None]
    source_x = (right * math.cos(turn) + down * math.sin(turn)) / zoom * columns / width + columns / 2 - 0.5
    source_y = (down * math.cos(turn) - right * math.sin(turn)) / zoom * rows / height + rows / 2 - 0.5
    x0, x1, part_x = _neighbours(source_x, columns, edge)
    y0, y1, part_y = _neighbours(source_y, rows, edge)
    pixels: Any = picture[0]
    above = pixels[y0, x0] * (1 - part_x) + pixels[y0, x1] * part_x
    below = pixels[y1, x0] * (1 - part_x) + pixels[y1, x1] * part_x
    result: Floats = (above * (1 - part_y) + below * part_y).astype(np.float32)
    return result[None]


def _neighbours(places: Any, count: int, edge: str) -> tuple[Any, Any, Any]:
    if edge == "mirror":
        folded = (places + 0.5) % (2 * count)
        places = np.minimum(folded, 2 * count - folded) - 0.5
    places = places.clip(0, count - 1)
    low = places.astype(int)
    return low, (low + 1).clip(max=count - 1), (places - low)[..., None]


def matched(picture: Floats, source: Floats, amount: float, mean: list[float], deviation: list[float]) -> Floats:
    """A picture, cut to 0..1, its colours brought to mean and deviation by what `source` has of them."""
    result = picture.clip(0, 1).astype(np.float32)
    colors = source.shape[3] - (source.shape[3] in (2, 4))
    if not amount or len(mean) != colors:
        return result
    for channel in range(colors):
        plane = source[..., channel].clip(0, 1).astype(np.float64)
        own = plane.std()
        gain = min(2.0, max(0.5, deviation[channel] / own)) if own >= 1 / 1024 else 1.0
        whole = plane.mean() * gain
        result[..., channel] = result[..., channel] * (1 + amount * (gain - 1)) + amount * (mean[channel] - whole)
    return result.clip(0, 1)
