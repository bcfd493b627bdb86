"""The demo's own idea of a picture, and what it notices."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

from bridge.cli import expected
from bridge.cli.expected import Moments, gradient_pixels, worst_difference

CORNERS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0))


def opaque(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def test_it_imports_nothing_of_the_bridge():
    tree = ast.parse(Path(expected.__file__).read_text(encoding="utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.startswith("bridge")]


def test_corners_are_near_their_colours():
    pixels = gradient_pixels(CORNERS, 64, 48, 0.5)
    assert pixels.shape == (48, 64, 3)
    for place, color in (((0, 0), CORNERS[0]), ((0, -1), CORNERS[1]), ((-1, 0), CORNERS[2]), ((-1, -1), CORNERS[3])):
        assert np.abs(pixels[place] / 255 - color).max() < 0.2


@pytest.mark.parametrize("channel", range(4))
def test_one_byte_in_any_channel_is_noticed(channel):
    pixels = gradient_pixels(CORNERS, 64, 48, 0.5)
    frame = opaque(pixels)
    assert worst_difference(frame, pixels) == 0
    frame[20, 30, channel] ^= 0x40
    assert worst_difference(frame, pixels) == 64


def test_another_size_or_layout_is_wrong():
    pixels = gradient_pixels(CORNERS, 64, 48, 0.5)
    assert worst_difference(opaque(pixels[:, ::2]), pixels) == 255
    assert worst_difference(pixels, pixels) == 255


def moving(place):
    """Four colours that come back to where they were after 24 steps, as the demo's do."""
    turn = [round(127 + 120 * math.sin((place + corner * 6) * math.tau / 24)) for corner in range(4)]
    return tuple((level, 255 - level, 90) for level in turn)


def shown(colors):
    corners = tuple(tuple(level / 255 for level in color) for color in colors)
    return opaque(gradient_pixels(corners, 64, 48, 0.5))


def test_moments_are_found_in_order_also_where_they_come_again():
    moments = Moments(0.5)
    for place in range(72):
        moments.add(float(place), moving(place))
    for place in (0, 1, 1, 5, 23, 30, 50, 71):
        match = moments.find(shown(moving(place)), at=100.0)
        assert (match.place, match.sent_at, match.difference) == (place, float(place), 0)


def test_what_was_not_sent_is_wrong_and_forgotten():
    moments = Moments(0.5)
    for place in range(10):
        moments.add(float(place), moving(place))
    torn = (*moving(3)[:2], *moving(7)[2:])  # half of one, half of another
    assert moments.find(shown(torn), at=100.0).difference > 1
    assert moments.find(shown(moving(3)), at=100.0).place == 3


def test_backwards_is_wrong():
    moments = Moments(0.5)
    for place in range(10):
        moments.add(float(place), moving(place))
    assert moments.find(shown(moving(6)), at=100.0).difference == 0
    assert moments.find(shown(moving(4)), at=100.0).difference > 1


def test_before_it_was_sent_is_wrong():
    moments = Moments(0.5)
    for place in range(10):
        moments.add(float(place), moving(place))
    assert moments.find(shown(moving(6)), at=5.5).difference > 1
