"""Pictures between two pictures."""

import numpy as np
import pytest

from bridge.codec.blends import mix_pixels, shade_pixels
from bridge.codec.pixels import Channels, Pixels

DEPTH = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 4, Channels.RGBA: 4, Channels.L16: 1}


def _pixels(channels, value, size=(2, 3)):
    dtype = np.uint16 if channels is Channels.L16 else np.uint8
    return Pixels(np.full((*size, DEPTH[channels]), value, dtype), channels)


@pytest.mark.parametrize("channels", DEPTH)
def test_shades_go_from_black_to_the_picture_without_alpha(channels):
    pixels = _pixels(channels, 200)
    for level, expected in ((0.0, 0), (0.5, 100), (1.0, 200), (-1.0, 0), (2.0, 200)):
        shade = shade_pixels(pixels, level)
        assert shade.channels in (Channels.L, Channels.RGB, Channels.L16)
        assert (shade.array == expected).all()
        assert shade.size == pixels.size
    assert (pixels.array == 200).all()


def test_mixes_go_from_one_to_the_other_at_its_size():
    old, new = _pixels(Channels.RGB, 0, (4, 4)), _pixels(Channels.RGBA, 200)
    for share, expected in ((0.0, 0), (0.5, 100), (1.0, 200)):
        mixed = mix_pixels(old, new, share)
        assert mixed.size == new.size
        assert (mixed.array[..., :3] == expected).all()
    assert mix_pixels(_pixels(Channels.L, 0), new, 0.0).array.max() == 200  # other channels: no mix
