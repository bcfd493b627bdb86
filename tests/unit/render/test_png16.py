"""PNG files of 16 bits a channel: another decoder reads them back."""

import io

import numpy as np
import pytest
from PIL import Image

from bridge.render.png16 import decode_png16, encode_png16

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 48)])
def test_round_trip(channels: int, size: tuple[int, int]) -> None:
    pixels = RANDOM.integers(0, 65536, (*size, channels), np.uint16)
    data = encode_png16(pixels, srgb=True)
    back = decode_png16(data)
    assert back is not None
    assert np.array_equal(back, pixels)
    assert encode_png16(pixels, srgb=True) == data


def test_pillow_reads_grey_to_the_bit() -> None:
    pixels = RANDOM.integers(0, 65536, (9, 6, 1), np.uint16)
    with Image.open(io.BytesIO(encode_png16(pixels, srgb=False))) as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image), pixels[..., 0])


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (4, "RGBA")])
def test_pillow_reads_colour_of_8_bits(channels: int, mode: str) -> None:
    """It gives the high byte, which is the pixel where both bytes are the same."""
    pixels = RANDOM.integers(0, 256, (9, 6, channels), np.uint16)
    with Image.open(io.BytesIO(encode_png16(pixels * np.uint16(257), srgb=True))) as image:
        assert image.mode == mode
        assert image.info["srgb"] == 0
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("cut", [0, 7, 20, 40, 60])
def test_what_is_not_ours(cut: int) -> None:
    data = encode_png16(RANDOM.integers(0, 65536, (9, 6, 3), np.uint16), srgb=True)
    assert decode_png16(data[:cut]) is None
    with io.BytesIO() as file:
        Image.new("RGB", (4, 4)).save(file, "PNG")
        assert decode_png16(file.getvalue()) is None
