"""Mip levels against a plain mean over areas, level by level."""

import numpy as np
import pytest

from bridge.codec.light import encoded_of, linear_of
from bridge.codec.mips import mip_chain
from bridge.codec.pixels import Channels, Pixels
from bridge.types import OutputKind, Size


def photo(height: int, width: int, channels: int, dtype: str = "u1") -> np.ndarray:
    random = np.random.default_rng(height * 1000 + width)
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def area_mean(array: np.ndarray, axis: int) -> np.ndarray:
    """Half as long along an axis, each the integral over its share: slow, by shares of single pixels."""
    length = array.shape[axis]
    half = max(1, length // 2)
    weights = np.zeros((half, length))
    for place in range(half):
        begin, end = place * length / half, (place + 1) * length / half
        for source in range(length):
            weights[place, source] = max(0.0, min(end, source + 1) - max(begin, source))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, array, axes=(1, axis)), 0, axis)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (7, 1), (1, 6), (16, 9), (33, 20)])
def test_sizes_are_halves_rounded_down(size: tuple[int, int]) -> None:
    levels = list(mip_chain(Pixels(photo(size[1], size[0], 4), Channels.RGB)))
    wanted = [Size(*size)]
    while wanted[-1] != (1, 1):
        wanted.append(Size(max(1, wanted[-1].width // 2), max(1, wanted[-1].height // 2)))
    assert [level.size for level in levels] == wanted
    assert all(level.channels is Channels.RGB and level.array.flags.c_contiguous for level in levels)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (3, 2), (13, 1)])
def test_colours_are_averaged_as_light(size: tuple[int, int]) -> None:
    array = photo(size[1], size[0], 4)
    light = linear_of(array[..., :3] / 255)
    for level in list(mip_chain(Pixels(array, Channels.RGB)))[1:]:
        light = area_mean(area_mean(light, 0), 1)
        assert np.abs(level.array[..., :3] - encoded_of(light) * 255).max() < 0.52


@pytest.mark.parametrize("kind", [OutputKind.DATA, OutputKind.MASK])
def test_data_is_averaged_as_numbers(kind: OutputKind) -> None:
    array = photo(5, 6, 4)
    numbers = array.astype(float)
    for level in list(mip_chain(Pixels(array, Channels.RGBA), kind))[1:]:
        numbers = area_mean(area_mean(numbers, 0), 1)
        assert np.abs(level.array - numbers).max() < 0.51


def test_a_checker_of_black_and_white_is_the_grey_of_half_the_light() -> None:
    checker = np.indices((4, 4)).sum(axis=0) % 2 * 255
    array = checker.astype("u1")[..., None]
    assert [int(level.array[0, 0, 0]) for level in mip_chain(Pixels(array, Channels.L))][1:] == [188, 188]
    assert int(list(mip_chain(Pixels(array, Channels.L), OutputKind.DATA))[1].array[0, 0, 0]) == 128


def test_what_cannot_be_seen_does_not_bleed() -> None:
    array = np.zeros((2, 2, 4), "u1")
    array[0, 0] = (200, 100, 50, 255)
    array[0, 1] = (0, 255, 0, 0)
    *_, last = mip_chain(Pixels(array, Channels.RGBA))
    assert np.abs(last.array[0, 0, :3].astype(int) - (200, 100, 50)).max() <= 1
    assert last.array[0, 0, 3] == 64


def test_what_is_transparent_altogether_keeps_its_mean_colour() -> None:
    array = np.zeros((2, 2, 4), "u1")
    array[..., 0] = 90
    *_, last = mip_chain(Pixels(array, Channels.RGBA))
    assert last.array[0, 0].tolist() == [90, 0, 0, 0]


@pytest.mark.parametrize("kind", [OutputKind.COLOR, OutputKind.DATA])
def test_16_bits_stay_16_bits(kind: OutputKind) -> None:
    array = photo(6, 6, 1, "<u2")
    level = list(mip_chain(Pixels(array, Channels.L16), kind))[1].array
    numbers = array / 65535
    mean = area_mean(area_mean(linear_of(numbers) if kind is OutputKind.COLOR else numbers, 0), 1)
    right = encoded_of(mean) if kind is OutputKind.COLOR else mean
    assert level.dtype == np.dtype("<u2")
    assert np.abs(level - right * 65535).max() < 1
