"""Depth to grey: every number of small tables by hand."""

import numpy as np
import pytest

from bridge.codec.depth import grey_of_depth
from bridge.types import Fill

NAN, INF = float("nan"), float("inf")


def grey(rows, near=0.0, far=1.0, dtype=np.float32, **options):
    made = grey_of_depth(np.array(rows, dtype), near, far, **options)
    assert made.dtype == np.uint8
    assert made.flags.c_contiguous
    return made.tolist()


def test_near_is_black_and_far_is_white():
    assert grey([[0.0, 0.2, 0.5, 1.0]]) == [[0, 51, 128, 255]]
    assert grey([[0.0, 0.2, 0.5, 1.0]], invert=True) == [[255, 204, 127, 0]]


def test_between_any_two_numbers_and_clipped_to_them():
    assert grey([[1.0, 2.0, 4.0, 6.0, 9.0]], near=2, far=6) == [[0, 0, 128, 255, 255]]


def test_near_may_be_the_larger_number():
    """A reversed depth buffer: 1 is near, 0 is the far plane."""
    assert grey([[1.0, 0.8, 0.0]], near=1, far=0) == [[0, 51, 255]]
    assert grey([[1.0, 0.8, 0.0]], near=1, far=0, invert=True) == [[255, 204, 0]]


def test_whole_numbers_of_a_depth_camera():
    """Millimetres."""
    assert grey([[500, 1250, 2000, 65535]], near=500, far=2000, dtype=np.uint16) == [[0, 128, 255, 255]]


def test_halves():
    assert grey([[0.0, 0.5, 1.0]], dtype=np.float16) == [[0, 128, 255]]


@pytest.mark.parametrize("far", [1.0, 65504.0, 3e38])
def test_numbers_that_are_not_finite_stay_at_their_ends(far):
    assert grey([[NAN, INF, -INF, 0.0]], far=far) == [[255, 255, 0, 0]]
    assert grey([[NAN, INF, -INF, 0.0]], near=far, far=0.0) == [[255, 0, 255, 255]]


HOLES = [[NAN, INF, -INF, 0.0, 5.0, 0.4]]


def test_holes_become_an_end():
    assert grey(HOLES, fill=Fill.FAR) == [[255, 255, 255, 255, 255, 102]]
    assert grey(HOLES, fill=Fill.NEAR) == [[0, 0, 0, 0, 0, 102]]
    assert grey(HOLES, fill=Fill.NEAR, invert=True) == [[255, 255, 255, 255, 255, 153]]


def test_zero_between_near_and_far_is_no_hole():
    assert grey([[-1.0, 0.0, 1.0, 2.0]], near=-1, far=1, fill=Fill.NEAR) == [[0, 128, 255, 0]]


@pytest.mark.parametrize(
    ("rows", "filled"),
    [
        # of the same row, the left one of two equally near
        ([[0.2, NAN, NAN, NAN, 0.4]], [[51, 51, 51, 102, 102]]),
        ([[NAN, NAN, 0.2]], [[51, 51, 51]]),
        ([[0.2, 0.0, 9.0]], [[51, 51, 51]]),
        # a row without any: the nearest row, the upper of two
        ([[0.2, NAN], [NAN, NAN], [NAN, 0.4]], [[51, 51], [51, 51], [102, 102]]),
        ([[NAN, NAN], [NAN, NAN], [NAN, 0.4], [0.2, 0.2]], [[102, 102], [102, 102], [102, 102], [51, 51]]),
        # nothing at all
        ([[NAN, 0.0], [INF, 7.0]], [[255, 255], [255, 255]]),
        # nothing to do
        ([[0.2, 0.4]], [[51, 102]]),
    ],
)
def test_the_nearest_good_pixel(rows, filled):
    assert grey(rows, fill=Fill.NEAREST) == filled


def test_the_nearest_good_pixel_against_a_slow_search():
    numbers = np.random.default_rng(4)
    plane = numbers.random((17, 23)).astype(np.float32) * 0.9 + 0.05
    plane[numbers.random(plane.shape) < 0.7] = NAN
    plane[3:6] = 0.0
    made = grey_of_depth(plane, 0, 1, fill=Fill.NEAREST)
    good = np.isfinite(plane) & (plane != 0)
    rows = [row for row in range(17) if good[row].any()]
    for row in range(17):
        source = min(rows, key=lambda other: (abs(other - row), other))
        columns = np.flatnonzero(good[source])
        for column in range(23):
            nearest = min(columns, key=lambda other: (abs(other - column), other))
            assert made[row, column] == round(float(plane[source, nearest]) * 255), (row, column)
