"""OpenEXR in: which channels are taken, and where they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import ConfigError
from bridge.render.exr import read_exr, write_exr

exr = pytest.importorskip("OpenEXR")
RANDOM = np.random.default_rng(3)
A, B, C, D = (RANDOM.random((6, 8), np.float32) for _ in range(4))


def save(path: Path, channels: dict[str, Any], **header: Any) -> Path:
    exr.File({"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage, **header}, channels).write(str(path))
    return path


@pytest.mark.parametrize(
    ("channels", "wanted"),
    [
        ({"Z": A}, A),
        ({"anything": A}, A),
        ({"depth.Z": A, "id.X": B}, A),
        ({"Y": A, "A": B}, A),
        ({"ViewLayer.Depth.Z": B, "ViewLayer.Combined.X": A}, B),
    ],
)
def test_a_measure(tmp_path: Path, channels: dict[str, Any], wanted: Any) -> None:
    found = read_exr(save(tmp_path / "a.exr", channels))
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted)


def test_a_colour(tmp_path: Path) -> None:
    found = read_exr(save(tmp_path / "a.exr", {"R": A, "G": B, "B": C, "Z": D}))
    assert np.array_equal(found, np.stack([A, B, C, np.ones_like(A)], axis=2))
    found = read_exr(save(tmp_path / "b.exr", {"R": A, "G": B, "B": C, "A": D}))
    assert np.array_equal(found, np.stack([A, B, C, D], axis=2))


def test_a_channel_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.exr", {"R": A, "G": B, "B": C, "depth.Z": D})
    assert np.array_equal(read_exr(path, "depth.Z"), D)
    with pytest.raises(ConfigError, match=r"no channel 'W'; it has .*depth\.Z"):
        read_exr(path, "W")


def test_no_channel_that_is_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"as in FILE\.exr\[Z\]"):
        read_exr(save(tmp_path / "a.exr", {"one": A, "two": B}))


def test_half_floats(tmp_path: Path) -> None:
    assert np.array_equal(read_exr(save(tmp_path / "a.exr", {"Z": A.astype(np.float16)})), A.astype(np.float16))


def test_a_smaller_data_window(tmp_path: Path) -> None:
    """A cropped render: what was not written is 0. The header's windows are corners, both included."""
    corners = (np.array([0, 0], np.int32), np.array([11, 9], np.int32))
    data = (np.array([2, 1], np.int32), np.array([9, 6], np.int32))
    found = read_exr(save(tmp_path / "a.exr", {"Z": A}, displayWindow=corners, dataWindow=data))
    assert found.shape == (10, 12)
    assert np.array_equal(found[1:7, 2:10], A)
    assert not found[0].any()
    assert not found[:, 10:].any()


def test_a_larger_data_window(tmp_path: Path) -> None:
    """Overscan is left out."""
    display = (np.array([0, 0], np.int32), np.array([3, 3], np.int32))
    data = (np.array([-2, -1], np.int32), np.array([5, 4], np.int32))
    found = read_exr(save(tmp_path / "a.exr", {"Z": A}, displayWindow=display, dataWindow=data))
    assert np.array_equal(found, A[1:5, 2:6])


@pytest.mark.parametrize("content", [None, b"", b"no picture at all"])
def test_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.exr"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r"a\.exr"):
        read_exr(path)


def test_what_is_too_large_for_a_half(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", np.full((2, 2, 1), 1e9, np.float32))
    assert read_exr(tmp_path / "a.exr").max() == 65504
