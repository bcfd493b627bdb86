"""The sRGB curve and its tables."""

import numpy as np
import pytest

from bridge.codec.light import encoded_bytes, encoded_of, float_table, linear_of, linear_pixels, linear_table
from bridge.codec.pixels import Channels, Pixels


@pytest.mark.parametrize(
    ("encoded", "linear"),
    [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.21404), (0.735357, 0.5), (1.0, 1.0)],
)
def test_the_curve_is_the_piecewise_one(encoded: float, linear: float) -> None:
    assert linear_of(np.array([encoded]))[0] == pytest.approx(linear, abs=2e-6)
    assert encoded_of(np.array([linear]))[0] == pytest.approx(encoded, abs=2e-5)


def test_every_byte_survives_the_way_there_and_back() -> None:
    assert (encoded_bytes(float_table("u1", "<f4", True)) == np.arange(256)).all()


def test_floats_are_exact_shares() -> None:
    assert (float_table("u1", "<f4", False) == np.arange(256, dtype="f4") / np.float32(255)).all()
    assert float_table("<u2", "<f4", False)[[0, 65535]].tolist() == [0.0, 1.0]
    assert float_table("u1", "<f2", True)[[0, 255]].tolist() == [0.0, 1.0]


def test_linear_bytes_are_rounded() -> None:
    assert linear_table("u1", "u1")[[0, 13, 50, 128, 255]].tolist() == [0, 1, 8, 55, 255]
    assert linear_table("u1", "<u2")[[0, 1, 255]].tolist() == [0, 20, 65535]


@pytest.mark.parametrize(
    ("array", "channels", "right"),
    [
        ([[[128, 50, 255, 7]]], Channels.RGBA, [55, 8, 255, 7]),
        ([[[128, 7]]], Channels.LA, [55, 7]),
        ([[[128]]], Channels.L, [55]),
    ],
)
def test_linear_pixels_keep_alpha(array: list, channels: Channels, right: list[int]) -> None:
    assert linear_pixels(Pixels(np.array(array, "u1"), channels)).array[0, 0].tolist() == right


def test_linear_grey_of_16_bits() -> None:
    made = linear_pixels(Pixels(np.array([[[0], [32768], [65535]]], "<u2"), Channels.L16))
    assert made.array.ravel().tolist() == [0, round(linear_of(np.array([32768 / 65535]))[0] * 65535), 65535]
