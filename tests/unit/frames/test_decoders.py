"""Fast decoders give what Pillow gives; what they refuse, Pillow gets."""

import importlib.machinery
import sys
from types import ModuleType

import numpy as np
import pytest
from pictures import jpeg, photo, png

from bridge.codec.pixels import decode_picture, read_picture_header
from bridge.errors import PictureDecodeError
from bridge.frames import decoders as module
from bridge.frames.decoders import Decoders
from bridge.types import Origin, PayloadSpec, PixelFormat, Size

PHOTO = photo(67, 45)
GREY = PHOTO[..., 0]
ALPHA = np.dstack((PHOTO, GREY))


@pytest.fixture(scope="module")
def real() -> Decoders:
    made = Decoders()
    made.load()
    return made


def same(one, two) -> bool:
    depth = 3 if one.channels.value == "RGB" else one.array.shape[2]
    return one.channels is two.channels and bool((one.array[..., :depth] == two.array[..., :depth]).all())


@pytest.mark.parametrize(
    "data",
    [
        jpeg(PHOTO),
        jpeg(PHOTO, 75, subsampling=0),
        jpeg(PHOTO, 75, subsampling=1),
        jpeg(PHOTO, 40, progressive=True),
        jpeg(GREY),
        png(PHOTO),
        png(ALPHA),
        png(GREY),
        png(np.dstack((PHOTO[..., 0], PHOTO[..., 1]))),
    ],
    ids=["420", "444", "422", "progressive", "grey jpeg", "rgb", "rgba", "grey png", "grey alpha"],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_pixels_are_pillows_to_the_bit(real: Decoders, data: bytes, kind: type) -> None:
    assert same(real.decode(kind(data)), decode_picture(data))


@pytest.mark.parametrize(("word", "order"), [("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3]), ("rgb8", [0, 1, 2])])
def test_a_jpeg_is_decoded_straight_into_a_payload(real: Decoders, word: str, order: list[int]) -> None:
    data = jpeg(PHOTO)
    header, spec = read_picture_header(data), PayloadSpec(PixelFormat[word.upper()])
    if not real.writes(header, spec):
        pytest.skip("simplejpeg is not installed")
    out = bytearray(45 * 67 * len(order))
    assert real.decode_into(data, header, spec, memoryview(out))
    right = np.dstack((decode_picture(data).array[..., :3], np.full(GREY.shape, 255, "u1")))
    assert (np.frombuffer(out, "u1").reshape(45, 67, -1) == right[..., order]).all()


@pytest.mark.parametrize(
    "spec",
    [
        PayloadSpec(PixelFormat.RGBA8, Origin.BOTTOM_LEFT),
        PayloadSpec(PixelFormat.RGBA8, size=Size(8, 8)),
        PayloadSpec(PixelFormat.RGBA8, mips=True),
        PayloadSpec(PixelFormat.RGBA8, linear=True),
        PayloadSpec(PixelFormat.R8),
        PayloadSpec(PixelFormat.RGBA16F),
        PayloadSpec(PixelFormat.JPEG),
    ],
)
def test_what_needs_more_than_decoding_goes_another_way(real: Decoders, spec: PayloadSpec) -> None:
    assert not real.writes(read_picture_header(jpeg(PHOTO)), spec)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("whole", [jpeg(PHOTO), jpeg(PHOTO, progressive=True), png(PHOTO)])
def test_files_that_are_cut_short_end_as_with_pillow(real: Decoders, whole: bytes, cut: float) -> None:
    data = whole[: int(len(whole) * cut)]
    try:
        right = decode_picture(data)
    except PictureDecodeError:
        with pytest.raises(PictureDecodeError):
            real.decode(data)
    else:
        assert same(real.decode(data), right)


@pytest.mark.parametrize("place", range(200, 900, 100))
def test_damaged_files_end_as_with_pillow(real: Decoders, place: int) -> None:
    for whole in (jpeg(PHOTO), png(PHOTO)):
        data = bytearray(whole)
        data[place] ^= 0x5A
        try:
            right = decode_picture(bytes(data))
        except PictureDecodeError:
            with pytest.raises(PictureDecodeError):
                real.decode(bytes(data))
        else:
            assert same(real.decode(bytes(data)), right)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    """Decoders with a simplejpeg of our own, whose decoder `refuse` can break."""
    package = ModuleType("simplejpeg")
    calls: list[str] = []

    def decode_jpeg(data, colorspace, buffer):
        calls.append(colorspace)
        if package.refuses:
            raise ValueError("premature end")
        buffer[...] = 7
        return buffer

    package.decode_jpeg, package.refuses, package.calls = decode_jpeg, False, calls
    monkeypatch.setitem(sys.modules, "simplejpeg", package)
    there = importlib.machinery.ModuleSpec("simplejpeg", None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: there if name == "simplejpeg" else None)
    return package


def test_nothing_is_used_before_it_is_loaded(fake: ModuleType) -> None:
    made = Decoders()
    assert same(made.decode(jpeg(PHOTO)), decode_picture(jpeg(PHOTO)))
    assert made.in_use()["jpeg"].startswith("Pillow")
    made.load()
    assert made.in_use()["jpeg"].startswith("simplejpeg")
    assert made.in_use()["png"].startswith("Pillow")
    assert (made.decode(jpeg(PHOTO)).array == 7).all()
    made.unload()
    assert same(made.decode(jpeg(PHOTO)), decode_picture(jpeg(PHOTO)))


def test_a_refused_picture_goes_to_pillow_and_that_is_told_once(
    fake: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    made = Decoders()
    made.load()
    fake.refuses = True
    for _ in range(3):
        assert same(made.decode(jpeg(PHOTO)), decode_picture(jpeg(PHOTO)))
    out = memoryview(bytearray(45 * 67 * 4))
    assert not made.decode_into(jpeg(PHOTO), read_picture_header(jpeg(PHOTO)), PayloadSpec(PixelFormat.RGBA8), out)
    assert caplog.text.count("simplejpeg refuses a picture") == 1
    assert (made.counts["simplejpeg_refused"], made.counts["pillow"]) == (4, 3)


def test_a_file_over_the_limit_reaches_no_decoder(fake: ModuleType) -> None:
    made = Decoders()
    made.load()
    with pytest.raises(PictureDecodeError):
        made.decode(jpeg(PHOTO), module.PictureLimits(max_pixels=100))
    assert not fake.calls


def test_a_broken_installation_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    there = importlib.machinery.ModuleSpec("simplejpeg", None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: there if name == "simplejpeg" else None)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    made = Decoders()
    made.load()
    assert made.in_use()["jpeg"].startswith("Pillow")
    assert "simplejpeg is installed and can't be imported" in caplog.text
