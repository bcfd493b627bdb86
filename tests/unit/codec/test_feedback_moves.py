"""Zoom, turn, shift and colours that hold: exact where it can be, and against a second way of doing it."""

import math

import numpy as np
import pytest

from bridge.codec.feedback_moves import color_statistics, match_gains, move_picture
from bridge.codec.pixels import Channels, Pixels
from bridge.types import ColorMatch, Edge, PictureMove, Size


def rgb(array):
    wide = np.full((*array.shape[:2], 4), 255, np.uint8)
    wide[..., :3] = array
    return Pixels(wide, Channels.RGB)


def noise(height=24, width=32, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def moved(array, size=None, match=None, **move):
    return move_picture(rgb(array), PictureMove(**move), size, match).array[..., :3]


def by_hand(array, zoom=1.0, rotate=0.0, x=0.0, y=0.0, edge=Edge.MIRROR):
    """Pixel by pixel, as the module's head says it."""
    height, width = array.shape[:2]
    out = np.zeros_like(array)

    def sample(column, row):
        def place(at, count):
            if edge is Edge.MIRROR:
                at = (at + 0.5) % (2 * count)
                at = (at if at < count else 2 * count - at) - 0.5
            return min(max(at, 0), count - 1)

        column, row = place(column, width), place(row, height)
        left, top = math.floor(column), math.floor(row)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        across, down = column - left, row - top
        above = array[top, left] * (1 - across) + array[top, right] * across
        below = array[bottom, left] * (1 - across) + array[bottom, right] * across
        return above * (1 - down) + below * down

    turn = math.radians(rotate)
    for row in range(height):
        for column in range(width):
            u = column + 0.5 - width / 2 - x * width
            v = row + 0.5 - height / 2 - y * height
            back = (u * math.cos(turn) + v * math.sin(turn)) / zoom, (v * math.cos(turn) - u * math.sin(turn)) / zoom
            out[row, column] = np.floor(sample(back[0] + width / 2 - 0.5, back[1] + height / 2 - 0.5) + 0.5)
    return out


def test_nothing_to_do_is_the_same_picture():
    pixels = rgb(noise())
    assert move_picture(pixels, PictureMove()) is pixels
    assert move_picture(pixels, PictureMove(rotate=360), pixels.size, ColorMatch(0, (0,) * 3, (0,) * 3)) is pixels


@pytest.mark.parametrize("edge", Edge)
@pytest.mark.parametrize(
    "move",
    [
        {"zoom": 1.3},
        {"zoom": 0.4},
        {"rotate": 30},
        {"rotate": -200, "zoom": 0.7},
        {"x": 0.25, "y": -0.1},
        {"x": 3.2},
        {"x": 29.3, "y": -17.2, "rotate": 10},
        {"zoom": 1.02, "rotate": 1.5, "x": 0.01, "y": 0.02},
    ],
)
def test_as_the_words_say(move, edge):
    array = noise()
    difference = np.abs(moved(array, edge=edge, **move).astype(int) - by_hand(array, edge=edge, **move))
    assert difference.max() <= 1  # a sum in 32 bits may round the other way


def test_whole_turns_and_shifts_are_exact():
    array = noise(16, 16)
    assert (moved(array, rotate=90) == np.rot90(array, -1)).all()
    assert (moved(array, rotate=180) == array[::-1, ::-1]).all()
    assert (moved(array, x=0.25)[:, 4:] == array[:, :-4]).all()
    assert (moved(array, x=0.25)[:, :4] == array[:, 3::-1]).all()  # mirrored at the edge
    assert (moved(array, y=0.25, edge=Edge.CLAMP)[:4] == array[:1]).all()


def test_the_content_grows_and_keeps_its_shape_where_the_sides_differ():
    array = np.zeros((40, 80, 3), np.uint8)
    array[18:22, 38:42] = 255
    big = moved(array, zoom=2.0)[..., 0] > 127
    assert (big.any(axis=1).sum(), big.any(axis=0).sum()) == (8, 8)
    turned = moved(np.where(np.arange(80)[None, :, None] < 40, array, 255).astype(np.uint8), rotate=90)
    assert turned[30:, 40].min() == 255  # the right half has come down
    assert turned[:10, 40].max() == 0


def test_another_size():
    array = np.repeat(np.repeat(noise(8, 8), 2, axis=0), 2, axis=1)
    small = moved(array, Size(8, 8))
    assert (small == array[::2, ::2]).all()
    assert moved(array, Size(24, 10)).shape == (10, 24, 3)


@pytest.mark.parametrize("channels", [Channels.L, Channels.LA, Channels.RGBA, Channels.L16])
def test_every_kind_of_pixels(channels):
    depth = {Channels.L: 1, Channels.LA: 2, Channels.RGBA: 4, Channels.L16: 1}[channels]
    array = np.random.default_rng(5).integers(0, 256, (6, 6, depth), np.uint8)
    pixels = Pixels((array.astype("<u2") * 257) if channels is Channels.L16 else array, channels)
    out = move_picture(pixels, PictureMove(rotate=180))
    assert out.channels is (Channels.L if channels is Channels.L16 else channels)
    assert (out.array == array[::-1, ::-1]).all()


def test_colours_come_back_to_what_they_were():
    first = noise(64, 64, 2)
    mean, deviation = color_statistics(rgb(first))
    faded = (first * np.float32(0.6) + np.array([20, 40, 0], np.float32)).astype(np.uint8)
    held = moved(faded, match=ColorMatch(1.0, mean, deviation))
    again_mean, again_deviation = color_statistics(rgb(held))
    assert np.allclose(again_mean, mean, atol=0.01)
    assert np.allclose(again_deviation, deviation, atol=0.01)
    half = color_statistics(rgb(moved(faded, match=ColorMatch(0.5, mean, deviation))))[0]
    faded_mean = color_statistics(rgb(faded))[0]
    assert np.allclose(half, [(one + two) / 2 for one, two in zip(mean, faded_mean, strict=True)], atol=0.01)


def test_gains_are_bounded():
    match = ColorMatch(1.0, (0.5,), (0.25,))
    assert match_gains((0.1,), (0.0,), match) == ((1.0, pytest.approx(0.4)),)  # flat: moved, not blown up
    assert match_gains((0.5,), (0.01,), match)[0][0] == 2.0
    assert match_gains((0.5,), (0.9,), match)[0][0] == 0.5
    assert match_gains((0.5,) * 3, (0.2,) * 3, match) == ((1.0, 0.0),) * 3  # grey is no measure for colours
