"""Loops in the embedded server's memory, held to the bridge's own way: two implementations of one page."""

import numpy as np
import pytest

from bridge.codec.feedback_moves import color_statistics, move_picture
from bridge.codec.pixels import Channels, Pixels
from bridge.embedded.kept import KeptStore, matched, moved
from bridge.types import ColorMatch, Edge, PictureMove, Size

ARRAY = np.random.default_rng(8).integers(0, 256, (20, 28, 4), np.uint8)


def both(move, size=None, match=None):
    """The same picture by the bridge and by the server, as bytes."""
    ours = move_picture(Pixels(ARRAY, Channels.RGBA), move, size, match).array
    source = (ARRAY / 255).astype(np.float32)[None]
    width, height = size or (0, 0)
    theirs = moved(source, move.zoom, move.rotate, move.x, move.y, move.edge.value, width, height)
    numbers = ([], []) if match is None else (list(match.mean), list(match.deviation))
    theirs = matched(theirs, source, 0.0 if match is None else match.amount, *numbers)
    return ours.astype(int), np.floor(theirs[0] * 255 + 0.5).astype(int)


@pytest.mark.parametrize("edge", Edge)
@pytest.mark.parametrize("size", [None, Size(16, 24)])
@pytest.mark.parametrize(
    "numbers",
    [(1.0, 0.0, 0.0, 0.0), (1.1, 0.0, 0.1, 0.0), (0.6, 33.0, 0.0, -0.2), (1.0, 90.0, 0.5, 0.0), (2.0, -7.5, 0, 0)],
)
def test_the_bridges_way_gives_the_same(edge, size, numbers):
    ours, theirs = both(PictureMove(*numbers, edge), size)
    assert np.abs(ours - theirs).max() <= 1


def test_colours_that_hold_are_the_same():
    mean, deviation = color_statistics(Pixels(ARRAY[::2], Channels.RGBA))
    match = ColorMatch(0.7, tuple(number * 0.8 for number in mean), tuple(number * 1.3 for number in deviation))
    ours, theirs = both(PictureMove(1.05, 2.0), None, match)
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(ours[..., :3] - both(PictureMove(1.05, 2.0))[0][..., :3]).mean() > 5


def test_the_last_two_of_a_loop_are_kept():
    store = KeptStore()
    for step in range(3):
        store.keep(f"loop/{step}", np.zeros((1, 1, 1, 3), np.float32))
    assert [store.get(f"loop/{step}") is None for step in range(3)] == [True, False, False]
    for other in range(20):
        store.keep(f"other{other}/0", np.zeros((1, 1, 1, 3), np.float32))
    assert store.get("loop/2") is None
    with pytest.raises(ValueError, match="LOOP/STEP"):
        store.keep("loop", np.zeros((1, 1, 1, 3), np.float32))
    store.clear()
    assert store.get("other19/0") is None
