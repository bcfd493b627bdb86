"""Blends of payloads: exact numbers, both ends, and what can't be mixed."""

import itertools

import numpy as np
import pytest

from bridge.frames.leases import BufferPool
from bridge.frames.mixing import MIXED_FORMATS, can_mix, mix_payloads
from bridge.frames.payloads import Payload
from bridge.types import BYTES_PER_PIXEL, FrameFlags, PixelFormat

POOL = BufferPool(1 << 24)


def payload(array, pixel_format, width=8, height=None):
    data = np.ascontiguousarray(array).tobytes()
    lease = POOL.lend(len(data))
    lease.view[:] = data
    rows = len(data) // (width * BYTES_PER_PIXEL[pixel_format]) if height is None else height
    return Payload(pixel_format, width, rows, width * BYTES_PER_PIXEL[pixel_format], len(data), FrameFlags(0), lease)


def numbers(pixel_format, seed):
    dtype = np.dtype(MIXED_FORMATS[pixel_format])
    count = 8 * 3 * BYTES_PER_PIXEL[pixel_format] // dtype.itemsize
    random = np.random.default_rng(seed)
    if dtype.kind == "f":
        return random.random(count).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, count, dtype, endpoint=True)


@pytest.mark.parametrize("pixel_format", MIXED_FORMATS)
def test_both_ends_are_the_pictures_themselves_and_between_it_only_grows(pixel_format):
    one, two = numbers(pixel_format, 1), numbers(pixel_format, 2)
    old, new = payload(one, pixel_format), payload(two, pixel_format)
    steps = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        mixed = mix_payloads(old, new, share, POOL)
        steps.append(np.frombuffer(mixed.data, one.dtype).astype(float))
        assert (mixed.width, mixed.height, mixed.format) == (new.width, new.height, new.format)
        mixed.release()
    assert (steps[0] == one).all()
    assert np.allclose(steps[-1], two, atol=1e-6)
    for earlier, later in itertools.pairwise(steps):
        assert ((later - earlier) * np.sign(two.astype(float) - one) >= -1e-6).all()
    old.release()
    new.release()


def test_exact_numbers():
    old, new = (
        payload(np.array([0, 10, 255, 100, 7, 7, 0, 1], np.uint8), PixelFormat.R8),
        payload(np.array([255, 20, 0, 100, 7, 8, 1, 0], np.uint8), PixelFormat.R8),
    )
    mixed = mix_payloads(old, new, 0.25, POOL)
    assert list(mixed.data) == [64, 13, 191, 100, 7, 7, 0, 1]
    for each in (old, new, mixed):
        each.release()


def test_more_than_fits_in_one_go():
    one = np.zeros((300, 300, 4), np.uint8)
    two = np.full((300, 300, 4), 200, np.uint8)
    old, new = payload(one, PixelFormat.RGBA8, 300), payload(two, PixelFormat.RGBA8, 300)
    mixed = mix_payloads(old, new, 0.5, POOL)
    assert set(bytes(mixed.data)) == {100}
    for each in (old, new, mixed):
        each.release()


def test_other_sizes_and_formats_are_not_mixed():
    small, large = payload(np.zeros(8, np.uint8), PixelFormat.R8), payload(np.zeros(16, np.uint8), PixelFormat.R8)
    assert not can_mix(small, large)
    with pytest.raises(ValueError, match="can't be mixed"):
        mix_payloads(small, large, 0.5, POOL)
    small.release()
    large.release()
