"""Floats, linear colours and mips as payload bytes; the older formats are in test_pixels."""

import numpy as np
import pytest

from bridge.codec import frame
from bridge.codec.light import linear_of
from bridge.codec.mips import mip_chain
from bridge.codec.payloads import PAYLOAD_FORMATS, payload_geometry, write_pixels
from bridge.codec.pixels import Channels, Pixels, grey8
from bridge.types import ENCODED_FORMATS, Origin, OutputKind, PayloadSpec, PixelFormat, Size

RAW = [known for known in PAYLOAD_FORMATS if known not in ENCODED_FORMATS]
FLOATS = {"rgba16f": ("<f2", 4), "rgba32f": ("<f4", 4), "r16f": ("<f2", 1), "r32f": ("<f4", 1)}
SHAPES = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 4, Channels.RGBA: 4, Channels.L16: 1}


def picture(channels: Channels, height: int = 5, width: int = 6) -> Pixels:
    dtype = "<u2" if channels is Channels.L16 else "u1"
    random = np.random.default_rng(3)
    array = random.integers(0, np.iinfo(dtype).max, (height, width, SHAPES[channels]), dtype=dtype, endpoint=True)
    return Pixels(array, channels)


def written(pixels: Pixels, spec: PayloadSpec, kind: OutputKind = OutputKind.COLOR) -> bytes:
    out = bytearray(payload_geometry(pixels.size, spec).payload_bytes)
    write_pixels(pixels, spec, memoryview(out), kind)
    return bytes(out)


def right_floats(pixels: Pixels, wide: bool, linear: bool) -> np.ndarray:
    """[height, width, 1 or 4] by plain arithmetic."""
    array, top = pixels.array, 65535 if pixels.channels is Channels.L16 else 255
    if pixels.channels in (Channels.L, Channels.LA, Channels.L16):
        colour = np.repeat(array[..., :1] / top, 3, axis=2)
    else:
        colour = array[..., :3] / top
    if not wide:
        grey = array[..., :1] / top if pixels.channels is Channels.L16 else grey8(pixels)[..., None] / 255
        return linear_of(grey) if linear else grey
    alpha = array[..., -1:] / 255 if pixels.channels in (Channels.LA, Channels.RGBA) else np.ones_like(colour[..., :1])
    return np.concatenate((linear_of(colour) if linear else colour, alpha), axis=2)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("word", FLOATS)
@pytest.mark.parametrize("channels", SHAPES)
def test_floats(channels: Channels, word: str, origin: Origin, linear: bool) -> None:
    dtype, depth = FLOATS[word]
    pixels = picture(channels)
    spec = PayloadSpec(PixelFormat[word.upper()], origin, linear=linear)
    made = np.frombuffer(written(pixels, spec), dtype).reshape(5, 6, depth)
    if origin is Origin.BOTTOM_LEFT:
        made = made[::-1]
    tolerance = 5e-4 if dtype == "<f2" else 1e-7
    assert np.abs(made - right_floats(pixels, depth == 4, linear)).max() <= tolerance


@pytest.mark.parametrize("format", [PixelFormat.RGBA8, PixelFormat.BGRA8, PixelFormat.RGB8])
def test_linear_bytes(format: PixelFormat) -> None:
    pixels = picture(Channels.RGBA)
    depth = 3 if format is PixelFormat.RGB8 else 4
    made = np.frombuffer(written(pixels, PayloadSpec(format, linear=True)), "u1").reshape(5, 6, depth)
    colours = made[..., [2, 1, 0]] if format is PixelFormat.BGRA8 else made[..., :3]
    assert (colours == np.rint(linear_of(pixels.array[..., :3] / 255) * 255)).all()
    if depth == 4:
        assert (made[..., 3] == pixels.array[..., 3]).all()


@pytest.mark.parametrize("format", [PixelFormat.R8, PixelFormat.R16])
def test_linear_grey_is_the_luma_made_linear(format: PixelFormat) -> None:
    pixels = picture(Channels.RGB)
    dtype = "u1" if format is PixelFormat.R8 else "<u2"
    made = np.frombuffer(written(pixels, PayloadSpec(format, linear=True)), dtype).reshape(5, 6)
    assert (made == np.rint(linear_of(grey8(pixels) / 255) * np.iinfo(dtype).max)).all()


@pytest.mark.parametrize("kind", [OutputKind.COLOR, OutputKind.DATA])
@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("format", RAW)
def test_mips_are_every_level_on_its_own(format: PixelFormat, origin: Origin, kind: OutputKind) -> None:
    pixels = picture(Channels.RGBA, 7, 12)
    spec = PayloadSpec(format, origin, mips=True)
    geometry = payload_geometry(pixels.size, spec)
    assert geometry.mips == frame.mip_levels(12, 7) == 4
    assert geometry.payload_bytes == frame.payload_bytes(format, 12, 7, 4)
    alone = PayloadSpec(format, origin)
    assert written(pixels, spec, kind) == b"".join(written(level, alone) for level in mip_chain(pixels, kind))


def test_mips_of_another_size_begin_with_that_size() -> None:
    spec = PayloadSpec(PixelFormat.RGBA8, size=Size(5, 3), mips=True)
    assert len(written(picture(Channels.RGB), spec)) == 4 * (5 * 3 + 2 * 1 + 1)
