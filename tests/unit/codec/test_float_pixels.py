"""Pictures of floats: no bit lost where there is room for it, rounded once where there is not."""

import io

import numpy as np
import pytest
from PIL import Image

from bridge.codec.blends import mix_pixels, shade_pixels
from bridge.codec.feedback_moves import color_statistics, move_picture
from bridge.codec.light import linear_of, signed_encoded, signed_linear
from bridge.codec.mips import mip_chain
from bridge.codec.payloads import payload_geometry, write_pixels
from bridge.codec.pixels import Channels, Pixels, eight_bits, encode_picture, grey8, resize_pixels, solid_pixels
from bridge.types import Fit, Origin, OutputKind, PayloadSpec, PictureMove, PixelFormat, Size

FLOATS = {"rgba16f": ("<f2", 4), "rgba32f": ("<f4", 4), "r16f": ("<f2", 1), "r32f": ("<f4", 1)}
WIDTH = 1001


def gradient(channels: Channels = Channels.RGBF, dtype: str = "<f2") -> Pixels:
    """Steps of 1/1000 from left to right, in two rows of which the upper one is turned round; alpha 0.25."""
    steps = np.arange(WIDTH, dtype=np.float64) / 1000
    array = np.empty((2, WIDTH, 1 if channels is Channels.LF else 4), dtype)
    array[0, :, :] = steps[::-1, None]
    array[1, :, :] = steps[:, None]
    if array.shape[2] == 4:
        array[..., 3] = 0.25
    return Pixels(array, channels)


def written(pixels: Pixels, spec: PayloadSpec, kind: OutputKind = OutputKind.COLOR) -> bytes:
    out = bytearray(payload_geometry(pixels.size, spec).payload_bytes)
    write_pixels(pixels, spec, memoryview(out), kind)
    return bytes(out)


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("word", FLOATS)
@pytest.mark.parametrize("channels", [Channels.LF, Channels.RGBF, Channels.RGBAF])
def test_floats_are_the_same_floats(channels: Channels, word: str, origin: Origin) -> None:
    dtype, depth = FLOATS[word]
    pixels = gradient(channels)
    made = np.frombuffer(written(pixels, PayloadSpec(PixelFormat[word.upper()], origin)), dtype)
    made = made.reshape(2, WIDTH, depth)
    made = made[::-1] if origin is Origin.BOTTOM_LEFT else made
    assert (made[..., 0] == pixels.array[..., 0]).all()
    if depth == 4:
        assert (made[..., :3] == pixels.array[..., :1]).all()
        assert (made[..., 3] == (0.25 if channels is Channels.RGBAF else 1)).all()


def test_a_copy_is_all_that_the_same_format_needs() -> None:
    pixels = gradient(Channels.RGBAF)
    assert written(pixels, PayloadSpec(PixelFormat.RGBA16F)) == pixels.array.tobytes()


@pytest.mark.parametrize("channels", [Channels.LF, Channels.RGBF, Channels.RGBAF])
def test_integers_are_rounded(channels: Channels) -> None:
    pixels = gradient(channels)
    exact = pixels.array[..., 0].astype(np.float64)
    wide = np.frombuffer(written(pixels, PayloadSpec(PixelFormat.R16)), "<u2").reshape(2, WIDTH)
    assert np.abs(wide - exact * 65535).max() <= 0.51
    assert len(np.unique(wide)) > 990
    for format, depth in ((PixelFormat.RGBA8, 4), (PixelFormat.BGRA8, 4), (PixelFormat.RGB8, 3), (PixelFormat.R8, 1)):
        made = np.frombuffer(written(pixels, PayloadSpec(format)), "u1").reshape(2, WIDTH, depth)
        assert np.abs(made[..., 0] - exact * 255).max() <= 0.51
        if depth == 4:
            assert (made[..., 3] == (64 if channels is Channels.RGBAF else 255)).all()


@pytest.mark.parametrize("word", ["rgba16f", "rgba32f", "r16", "rgba8"])
def test_linear_ones_go_through_the_curve_once(word: str) -> None:
    pixels = gradient()
    exact = linear_of(pixels.array[..., 0].astype(np.float64))
    data = written(pixels, PayloadSpec(PixelFormat[word.upper()], linear=True))
    dtype, top = {"rgba16f": ("<f2", 1), "rgba32f": ("<f4", 1), "r16": ("<u2", 65535), "rgba8": ("u1", 255)}[word]
    made = np.frombuffer(data, dtype).reshape(2, WIDTH, -1)[..., 0]
    assert np.abs(made - exact * top).max() <= {"rgba16f": 3e-4, "rgba32f": 1e-6, "r16": 0.51, "rgba8": 0.51}[word]


def test_alpha_is_never_made_linear() -> None:
    made = np.frombuffer(written(gradient(Channels.RGBAF), PayloadSpec(PixelFormat.RGBA32F, linear=True)), "<f4")
    assert (made.reshape(2, WIDTH, 4)[..., 3] == 0.25).all()


def test_numbers_beyond_full_scale_stay_in_floats_and_are_cut_elsewhere() -> None:
    pixels = Pixels(np.array([[[-2.0], [0.5], [1.5], [1e6]]], "<f4"), Channels.LF)
    assert np.frombuffer(written(pixels, PayloadSpec(PixelFormat.R32F)), "<f4").tolist() == [-2, 0.5, 1.5, 1e6]
    assert np.frombuffer(written(pixels, PayloadSpec(PixelFormat.R16F)), "<f2").tolist() == [-2, 0.5, 1.5, 65504]
    assert np.frombuffer(written(pixels, PayloadSpec(PixelFormat.R16)), "<u2").tolist() == [0, 32768, 65535, 65535]
    assert list(written(pixels, PayloadSpec(PixelFormat.R8))) == [0, 128, 255, 255]


def test_the_curve_goes_on_and_comes_back() -> None:
    numbers = np.array([-1.5, -0.01, 0, 0.02, 0.5, 1, 3], np.float32)
    assert np.abs(signed_encoded(signed_linear(numbers)) - numbers).max() < 1e-6
    halves = numbers.astype("<f2")
    assert np.abs(signed_linear(halves) - signed_linear(halves.astype(np.float32))).max() < 1e-6


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("channels", [Channels.LF, Channels.RGBF, Channels.RGBAF])
def test_other_sizes_are_those_of_bytes_with_more_between(channels: Channels, fit: Fit) -> None:
    random = np.random.default_rng(9).random((24, 40, 1 if channels is Channels.LF else 4), np.float32)
    pixels = Pixels(random, channels)
    for size in (Size(17, 31), Size(40, 12), Size(80, 80)):
        made, bytes_ = resize_pixels(pixels, size, fit), resize_pixels(eight_bits(pixels), size, fit)
        assert (made.size, made.channels, made.array.dtype) == (size, channels, np.float32)
        shown = slice(0, 3) if channels is Channels.RGBF else slice(None)
        # Where alpha is near 0, bytes know little of the colour below.
        sure = bytes_.array[..., -1:] > 48 if channels is Channels.RGBAF else np.True_
        difference = np.abs(made.array * 255 - bytes_.array)[..., shown] * sure
        assert difference.max() <= (9 if channels is Channels.RGBAF else 1.6)


@pytest.mark.parametrize("kind", [OutputKind.COLOR, OutputKind.DATA])
@pytest.mark.parametrize("channels", [Channels.LF, Channels.RGBF, Channels.RGBAF])
def test_mips_are_those_of_bytes(channels: Channels, kind: OutputKind) -> None:
    random = np.random.default_rng(9).integers(60, 256, (13, 20, 1 if channels is Channels.LF else 4))
    floats = Pixels((random / 255).astype("<f2"), channels)
    whole = eight_bits(floats)
    for one, two in zip(mip_chain(floats, kind), mip_chain(whole, kind), strict=True):
        shown = slice(0, 3) if channels is Channels.RGBF else slice(None)
        assert np.abs(one.array * np.float32(255) - two.array)[..., shown].max() < 1


def test_files() -> None:
    with Image.open(io.BytesIO(encode_picture(gradient(Channels.LF), PixelFormat.PNG))) as image:
        assert image.mode.startswith("I;16")
        assert len(np.unique(np.asarray(image))) > 990
    for channels, mode in ((Channels.RGBF, "RGB"), (Channels.RGBAF, "RGBA")):
        with Image.open(io.BytesIO(encode_picture(gradient(channels), PixelFormat.PNG))) as image:
            assert image.mode == mode
            assert (np.asarray(image)[..., :3] == eight_bits(gradient(channels)).array[..., :3]).all()
        with Image.open(io.BytesIO(encode_picture(gradient(channels), PixelFormat.JPEG))) as image:
            assert image.size == (WIDTH, 2)


def test_blends_and_feedback() -> None:
    floats = gradient(Channels.RGBAF)
    half = shade_pixels(floats, 0.5)
    assert half.channels is Channels.RGBF
    assert np.allclose(half.array[..., :3], floats.array[..., :3].astype(np.float32) / 2)
    mixed = mix_pixels(floats, half, 0.5)
    assert np.allclose(mixed.array[..., :3], floats.array[..., :3].astype(np.float32) * 0.75, atol=1e-6)
    with_bytes = mix_pixels(solid_pixels(Size(WIDTH, 2)), floats, 0.5)
    assert with_bytes.array.dtype == np.uint8
    assert np.abs(with_bytes.array[..., 0] - floats.array[..., 0].astype(np.float32) * 127.5).max() <= 1
    assert move_picture(floats, PictureMove()).channels is Channels.RGBA
    assert np.allclose(color_statistics(floats)[0], 0.5, atol=0.01)


def test_equal_channels_are_exactly_that_grey() -> None:
    assert (grey8(gradient()) == grey8(gradient(Channels.LF))).all()
