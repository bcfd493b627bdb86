"""Depth as an engine or a depth camera has it, one number a pixel, to the grey picture that a node takes.

`near` becomes black and `far` white, straight in between, and what lies beyond either is clipped to it. `near` may be
the larger number: reversed depth buffers have it so.

A hole is a number that is not finite, one beyond `far`, and 0, which depth cameras give where they saw nothing (but
not where 0 lies between `near` and `far`). `fill` says what holes become: `none` keeps them (not a number becomes far,
infinity whichever end it lies at), `near` and `far` are those ends, `nearest` is the nearest good pixel of the same
row (of two equally near the left one); in rows without one, the nearest row that has one (the upper of two). With no
good pixel at all everything is far.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.types import Fill

__all__ = ["grey_of_depth"]

Plane = NDArray[Any]


def grey_of_depth(depth: Plane, near: float, far: float, *, invert: bool = False, fill: Fill = Fill.NONE) -> Plane:
    """The grey picture of a depth plane: uint8 `[height, width]`, contiguous.

    Args:
        depth: `[height, width]` of uint16, float16 or float32.
        near, far: numbers of the plane's own kind; not equal.
        invert: near white and far black.
        fill: what becomes of holes.
    """
    # Once more in 64 bits only where 32 would lose the range: near and far may be as far apart as a float allows.
    numbers = depth.astype(np.float32)
    with np.errstate(all="ignore"):
        scaled = (numbers - np.float32(near)) * np.float32(1.0 / (far - near))
    if fill is not Fill.NONE:
        holes = ~np.isfinite(numbers) | (scaled > 1)
        if not min(near, far) < 0 < max(near, far):
            holes |= numbers == 0
        if fill is Fill.NEAREST:
            scaled = _fill_nearest(scaled, holes)
        else:
            scaled[holes] = 1.0 if fill is Fill.FAR else 0.0
    np.nan_to_num(scaled, copy=False, nan=1.0)
    np.clip(scaled, 0.0, 1.0, out=scaled)
    scaled *= np.float32(255)
    grey: Plane = np.rint(scaled, out=scaled).astype(np.uint8)
    return np.subtract(255, grey, dtype=np.uint8) if invert else grey


def _fill_nearest(plane: Plane, holes: Plane) -> Plane:
    """The plane with each hole as the nearest good pixel of its row; empty rows as the nearest row."""
    if not holes.any():
        return plane
    good_rows: Plane = np.logical_not(holes.all(axis=1))
    if not good_rows.any():
        return np.ones_like(plane)
    columns = _nearest_good(~holes)
    filled = np.take_along_axis(plane, columns, axis=1)
    if not good_rows.all():
        filled = filled[_nearest_good(good_rows[None, :])[0]]
    return filled


def _nearest_good(good: Plane) -> Plane:
    """For each place of each row, where the nearest good place of that row is; rows without one give anything."""
    length = good.shape[1]
    places = np.arange(length, dtype=np.int32)[None, :]
    before = np.maximum.accumulate(np.where(good, places, -length), axis=1)
    after = np.minimum.accumulate(np.where(good, places, 2 * length)[:, ::-1], axis=1)[:, ::-1]
    nearest: Plane = np.where(places - before <= after - places, before, after)
    return np.clip(nearest, 0, length - 1)
