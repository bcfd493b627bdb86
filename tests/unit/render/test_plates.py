"""Pictures that go in: what each kind of file becomes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge.codec.light import linear_of
from bridge.errors import ConfigError
from bridge.render.plates import Plates, encoded_colour, refuse_missing
from bridge.render.written_files import file_digest

RANDOM = np.random.default_rng(4)
RGB = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)
GREY16 = RANDOM.integers(0, 65536, (6, 8), np.uint16)
FLOAT = RANDOM.random((6, 8), np.float32)


def read(path: Path, more: str = "") -> dict[str, object]:
    plate = Plates(f"depth={path}{more}").read(1)
    assert plate.sha256 == file_digest(path)
    return plate.value


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_files_go_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path)
    assert read(path) == {"encoded": path.read_bytes()}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_a_measure(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREY16).save(path)
    value = read(path)
    assert (value["format"], value["width"], value["height"]) == ("r16", 8, 6)
    assert value["data"] == GREY16.astype("<u2").tobytes()


def test_a_tiff_of_floats(tmp_path: Path) -> None:
    Image.fromarray(FLOAT).save(tmp_path / "a.tiff")
    value = read(tmp_path / "a.tiff")
    assert (value["format"], value["data"]) == ("r32f", FLOAT.tobytes())


@pytest.mark.parametrize(
    ("mode", "format"), [("RGB", "rgb8"), ("L", "r8"), ("RGBA", "rgba8"), ("P", "rgb8"), ("CMYK", "rgb8")]
)
def test_other_tiffs(tmp_path: Path, mode: str, format: str) -> None:
    Image.fromarray(RGB).convert(mode).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif")["format"] == format


def test_a_tiff_of_whole_numbers(tmp_path: Path) -> None:
    Image.fromarray(GREY16.astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match=r"a\.tif: whole numbers of 32 bits"):
        read(tmp_path / "a.tif")


def test_an_array_of_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLOAT)
    assert read(tmp_path / "a.npy")["format"] == "r32f"


def test_depth_in_exr(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    exr.File({}, {"Z": FLOAT * 1000, "other": FLOAT}).write(str(tmp_path / "a.exr"))
    value = read(tmp_path / "a.exr")
    assert (value["format"], value["data"]) == ("r32f", (FLOAT * 1000).tobytes())
    assert read(tmp_path / "a.exr", "[other]")["data"] == FLOAT.tobytes()


def test_colour_in_exr_becomes_encoded(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    linear = linear_of(RGB / 255.0).astype(np.float32)
    exr.File({}, {"RGB": linear}).write(str(tmp_path / "a.exr"))
    value = read(tmp_path / "a.exr")
    assert (value["format"], value["data"]) == ("rgb8", RGB.tobytes())


def test_alpha_is_divided_out() -> None:
    pixels = np.array([[[0.5, 0.25, 0, 0.5], [0, 0, 0, 0], [2, np.nan, np.inf, 1]]], np.float32)
    assert encoded_colour(pixels).tolist() == [[[255, 188, 0, 128], [0, 0, 0, 0], [255, 0, 255, 255]]]


def test_one_for_all_or_one_a_frame(tmp_path: Path) -> None:
    for frame in (1, 2, 4):
        Image.new("L", (2, 2), frame).save(tmp_path / f"d.{frame:04}.png")
    plates = Plates(f"depth={tmp_path}/d.%04d.png")
    assert (plates.name, plates.is_sequence) == ("depth", True)
    assert plates.path(4) == tmp_path / "d.0004.png"
    assert plates.missing((1, 2, 3, 4, 5)) == [3, 5]
    refuse_missing([plates], (1, 2, 4))
    with pytest.raises(ConfigError) as caught:
        refuse_missing([plates], tuple(range(1, 20)))
    assert f"--image depth: 16 of its pictures are missing: {tmp_path / 'd.0003.png'}, " in str(caught.value)
    assert "and 11 more" in str(caught.value)
    one = Plates(f"depth={tmp_path}/d.0001.png")
    assert not one.is_sequence
    assert one.missing((7, 8)) == []
    with pytest.raises(ConfigError, match="1 of its pictures are missing"):
        refuse_missing([Plates(f"depth={tmp_path}/none.png")], (7, 8))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth", "must be NAME=FILE"),
        ("=x.png", "must be NAME=FILE"),
        ("depth=", "must be NAME=FILE"),
        ("depth=x.gif", ".gif is not read"),
        ("depth=x", "a file without a suffix is not read"),
        ("depth=%04d/x.png", "not into a folder's"),
    ],
)
def test_no_plates(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Plates(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("suffix", ["exr", "tif", "npy", "png"])
def test_a_file_that_is_none(tmp_path: Path, suffix: str) -> None:
    if suffix == "exr":
        pytest.importorskip("OpenEXR")
    (tmp_path / f"a.{suffix}").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=rf"can't read the picture .*a\.{suffix}"):
        read(tmp_path / f"a.{suffix}")
