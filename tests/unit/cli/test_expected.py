"""The demo's own idea of a picture, and what it notices."""

import ast
from pathlib import Path

import numpy as np
import pytest

from bridge.cli import expected
from bridge.cli.expected import gradient_pixels, worst_difference

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
