"""Pixels to files, read back by other decoders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge.codec.light import float_table, linear_of
from bridge.errors import ConfigError
from bridge.render.patterns import FilePattern
from bridge.render.png16 import decode_png16
from bridge.render.writers import FileForm, exact_bytes, file_form, in_8_bits, in_16_bits, read_back
from bridge.render.written_files import file_digest
from bridge.types import OutputKind

RANDOM = np.random.default_rng(2)
BYTES = RANDOM.integers(0, 256, (12, 10, 4), np.uint8)
FLOATS = RANDOM.random((12, 10, 4), np.float32)
OF_BYTES = np.take(float_table("u1", "<f4", False), BYTES)


def form(format: str, kind: OutputKind = OutputKind.COLOR, **more: Any) -> FileForm:
    return FileForm(format, kind, **more)


def test_png_of_8_bits(tmp_path: Path) -> None:
    facts = form("png").write(tmp_path / "a.png", BYTES)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), BYTES[..., :3])
    assert facts == {"bytes": (tmp_path / "a.png").stat().st_size, "sha256": file_digest(tmp_path / "a.png")}
    assert np.array_equal(read_back(tmp_path / "a.png"), BYTES[..., :3])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_alpha_where_it_is_asked_for(tmp_path: Path) -> None:
    form("png", alpha=True).write(tmp_path / "a.png", BYTES)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), BYTES)


def test_a_mask_is_grey(tmp_path: Path) -> None:
    form("png", OutputKind.MASK, alpha=True).write(tmp_path / "a.png", BYTES)
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, image.size) == ("L", (10, 12))
        assert np.array_equal(np.asarray(image), BYTES[..., 0])
    form("jpeg", OutputKind.MASK).write(tmp_path / "a.jpg", BYTES)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "L"


@pytest.mark.parametrize(("given", "wide"), [(BYTES, BYTES.astype(int) * 257), (FLOATS, np.rint(FLOATS * 65535))])
def test_png_of_16_bits(tmp_path: Path, given: Any, wide: Any) -> None:
    form("png", bits=16).write(tmp_path / "a.png", given)
    found = decode_png16((tmp_path / "a.png").read_bytes())
    assert found is not None
    assert np.array_equal(found, wide[..., :3])
    assert np.array_equal(read_back(tmp_path / "a.png"), in_8_bits(given)[..., :3])


def test_a_mask_of_16_bits(tmp_path: Path) -> None:
    form("png", OutputKind.MASK, bits=16).write(tmp_path / "a.png", FLOATS)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), in_16_bits(FLOATS)[..., 0])
    assert read_back(tmp_path / "a.png").shape == (12, 10, 3)


def test_jpeg(tmp_path: Path) -> None:
    flat = np.full((16, 16, 4), (200, 100, 50, 255), np.uint8)
    form("jpeg", alpha=True).write(tmp_path / "a.jpg", flat)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "RGB"
        assert np.abs(np.asarray(image).astype(int) - flat[..., :3]).max() <= 2


@pytest.mark.parametrize("given", [BYTES, FLOATS])
def test_exr_is_linear_half(tmp_path: Path, given: Any) -> None:
    exr = pytest.importorskip("OpenEXR")
    form("exr").write(tmp_path / "a.exr", given)
    wanted = linear_of((given / 255 if given.dtype == np.uint8 else given).astype(np.float64))[..., :3]
    with exr.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        channels = file.channels()
        assert sorted(channels) == ["B", "G", "R"]
        for place, name in enumerate("RGB"):
            assert channels[name].pixels.dtype == np.float16
            assert np.allclose(channels[name].pixels, wanted[..., place], rtol=1e-3, atol=1e-6)
    assert np.abs(read_back(tmp_path / "a.exr").astype(int) - in_8_bits(given)[..., :3]).max() <= (given is FLOATS)


def test_exr_of_data_is_what_it_is(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    form("exr", OutputKind.DATA).write(tmp_path / "d.exr", FLOATS)
    form("exr", OutputKind.MASK).write(tmp_path / "m.exr", FLOATS)
    with exr.File(str(tmp_path / "d.exr"), separate_channels=True) as file:
        assert np.array_equal(file.channels()["G"].pixels, FLOATS[..., 1].astype(np.float16))
    with exr.File(str(tmp_path / "m.exr"), separate_channels=True) as file:
        assert list(file.channels()) == ["Y"]
        assert np.array_equal(file.channels()["Y"].pixels, FLOATS[..., 0].astype(np.float16))


def test_exr_has_alpha_multiplied_in(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    half = np.full((2, 2, 4), (255, 128, 0, 128), np.uint8)
    form("exr", alpha=True).write(tmp_path / "a.exr", half)
    with exr.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        channels = {name: float(channel.pixels[0, 0]) for name, channel in file.channels().items()}
    assert channels["A"] == pytest.approx(128 / 255, rel=1e-3)
    assert channels["R"] == pytest.approx(128 / 255, rel=1e-3)
    assert channels["B"] == 0


def test_the_same_pixels_are_the_same_file(tmp_path: Path) -> None:
    for format, bits, suffix in (("png", 8, "png"), ("png", 16, "png"), ("jpeg", 8, "jpg"), ("exr", 8, "exr")):
        if format == "exr":
            pytest.importorskip("OpenEXR")
        made = form(format, bits=bits)
        first = made.write(tmp_path / f"a.{suffix}", BYTES)
        assert made.write(tmp_path / f"b.{suffix}", BYTES) == first


def test_bytes_are_known_from_floats() -> None:
    assert exact_bytes(BYTES) is BYTES
    found = exact_bytes(OF_BYTES)
    assert found is not None
    assert np.array_equal(found, BYTES)
    nearly = OF_BYTES.copy()
    nearly[3, 3, 1] += np.float32(1e-4)
    for other in (FLOATS, nearly, OF_BYTES + np.float32(1), np.full((1, 1, 4), np.nan, np.float32)):
        assert exact_bytes(other) is None


def test_floats_that_are_none() -> None:
    odd = np.array([np.nan, -1, 2, np.inf], np.float32).reshape(1, 1, 4)
    assert in_8_bits(odd).ravel().tolist() == [0, 0, 255, 255]
    assert in_16_bits(odd).ravel().tolist() == [0, 0, 65535, 65535]


def test_forms_by_suffix() -> None:
    def made(name: str, **more: Any) -> FileForm:
        options = {"bits": 16, "alpha": False, "quality": 90} | more
        return file_form(FilePattern(name, "-o"), OutputKind.COLOR, **options)

    assert made("%d.PNG") == form("png", bits=16, quality=90)
    assert made("%d.jpeg") == form("jpeg", quality=90)
    assert made("%d.png").wants_more
    assert not made("%d.png", bits=8).wants_more
    assert made("%d.jpg").facts == {"format": "jpeg", "kind": "color", "bits": 8, "quality": 90, "color": "srgb"}
    with pytest.raises(ConfigError, match=r"\.tif is not written"):
        made("%d.tif")


def test_nothing_half_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        form("png", bits=16, alpha=True).write(tmp_path / "a.png", BYTES[..., :2])  # two channels are no picture
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(OSError, match=r"a\.png"):
        read_back(tmp_path / "a.png")
