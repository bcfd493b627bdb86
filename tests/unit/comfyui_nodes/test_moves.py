"""How the pack moves pictures, where torch is installed: held to the bridge's own way."""

from __future__ import annotations

import numpy as np
import pytest
from node_pack import load_with_torch

from bridge.codec.feedback_moves import color_statistics, match_gains, move_picture
from bridge.codec.pixels import Channels, Pixels
from bridge.types import ColorMatch, Edge, PictureMove

torch = pytest.importorskip("torch")
moves = load_with_torch("moves")

ARRAY = np.random.default_rng(8).integers(0, 256, (20, 28, 4), np.uint8)
TENSOR = torch.from_numpy((ARRAY / 255).astype(np.float32))[None]


def in_bytes(tensor):
    return np.floor(tensor[0].numpy() * 255 + 0.5).astype(int)


@pytest.mark.parametrize("edge", Edge)
@pytest.mark.parametrize(
    "numbers", [(1.0, 0.0, 0.0, 0.0), (1.1, 0.0, 0.1, 0.0), (0.6, 33.0, 0.0, -0.2), (2.0, -90, 3, 0)]
)
def test_the_bridges_way_gives_the_same(edge, numbers):
    ours = move_picture(Pixels(ARRAY, Channels.RGBA), PictureMove(*numbers, edge)).array
    theirs = moves.moved(TENSOR, *numbers, edge.value)
    assert np.abs(ours.astype(int) - in_bytes(theirs)).max() <= 1


def test_gains_and_colours_are_the_same_and_the_kept_picture_stays_as_it_is():
    mean, deviation = color_statistics(Pixels(ARRAY, Channels.RGBA))
    match = ColorMatch(0.6, tuple(number * 0.7 for number in mean), tuple(number * 1.4 for number in deviation))
    found = moves.gains(TENSOR, match.amount, match.mean, match.deviation)
    assert np.allclose(found, match_gains(mean, deviation, match), atol=1e-4)
    before = TENSOR.clone()
    ours = move_picture(Pixels(ARRAY, Channels.RGBA), PictureMove(), None, match).array
    assert np.abs(ours.astype(int) - in_bytes(moves.matched(TENSOR, found))).max() <= 1
    assert torch.equal(before, TENSOR)
    assert moves.gains(TENSOR, 0.6, (0.5,), (0.2,)) == []


def test_image_and_mask_as_load_image_gives_them():
    image, mask = moves.image_and_mask(TENSOR)
    assert image.shape == (1, 20, 28, 3)
    assert torch.equal(mask, 1 - TENSOR[..., 3])
    image, mask = moves.image_and_mask(TENSOR[..., :1])
    assert image.shape == (1, 20, 28, 3)
    assert mask.shape == (1, 64, 64)
