"""What is judged of an order before anything is started."""

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.render.frame_numbers import parse_frames
from bridge.render.order import Order
from bridge.render.outputs import parse_target
from bridge.render.plates import Plates
from bridge.render.video import VideoForm


def order(*out: str, frames: str = "1001-1003", **more: Any) -> Order:
    return Order(
        workflow="sky",
        frames=parse_frames(frames),
        targets=tuple(map(parse_target, out)),
        video=VideoForm(Fraction(24)),
        **more,
    )


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (("%04d.png", "%04d.png"), "-o %04d.png is there twice"),
        (("%04d.png", "matte=%d.png"), "both are 1001.png"),
        (("a_#.png", "matte=./a_%04d.png"), "both are a_1001.png"),
        (("1%03d.png", "matte=%d.png"), "both are 1001.png"),
    ],
)
def test_no_file_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Any, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    frames = "1-3,1001" if out[0].startswith("1%") else "1001-1003"
    with pytest.raises(ConfigError) as caught:
        order(*out, frames=frames).check()
    assert words in str(caught.value)


def test_pictures_that_go_in_are_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plates").mkdir()
    for frame in (1001, 1002, 1003):
        Path(f"plates/d.{frame}.png").write_bytes(b"x")
    plates = (Plates("depth=plates/d.%04d.png"),)
    with pytest.raises(ConfigError, match="--image depth: both are"):
        order("plates/d.####.png", plates=plates, overwrite=True).check()
    if sys.platform != "win32":  # where a link takes a privilege
        Path("link").symlink_to("plates", target_is_directory=True)
        with pytest.raises(ConfigError, match="--image depth: both are"):
            order("link/d.####.png", plates=plates, overwrite=True).check()
    order("plates/e.####.png", plates=plates, overwrite=True).check()


def test_sheet_and_manifest_are_no_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--sheet: both are"):
        order("%04d.png", sheet=Path("1002.png")).check()
    with pytest.raises(ConfigError, match="the manifest: both are"):
        order("%04d.png", manifest=Path("1002.png")).check()
