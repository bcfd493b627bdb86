"""Videos: what is in the file, by another look at it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import ConfigError
from bridge.render.video import VideoFile, VideoForm, parse_fps

av = pytest.importorskip("av")


def frames(count: int = 5, height: int = 32, width: int = 48) -> list[Any]:
    return [np.full((height, width, 3), (200, 40 * place, 90), np.uint8) for place in range(count)]


def write(path: Path, form: VideoForm, pictures: list[Any]) -> None:
    with VideoFile(path, form) as video:
        for picture in pictures:
            video.add(picture)


@pytest.mark.parametrize(
    ("codec", "suffix", "name", "pixel_format"),
    [
        ("h264", ".mp4", "h264", "yuv420p"),
        ("h264", ".mkv", "h264", "yuv420p"),
        ("prores", ".mov", "prores", "yuv422p10le"),
    ],
)
def test_codec_rate_tags_and_colours(tmp_path: Path, codec: str, suffix: str, name: str, pixel_format: str) -> None:
    path = tmp_path / f"a{suffix}"
    form = VideoForm(Fraction(24000, 1001), codec)
    form.check(path)
    write(path, form, frames())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == (name, pixel_format, 48, 32)
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 13)
        assert stream.average_rate == Fraction(24000, 1001)
        found = list(container.decode(stream))
    assert len(found) == 5
    for picture, given in zip(found, frames(), strict=True):
        shown = picture.reformat(format="rgb24", src_colorspace=1, src_color_range=1, threads=1).to_ndarray()
        assert np.abs(shown.astype(int) - given).max() <= 6
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_it_may_start_before_it_is_loaded(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", VideoForm(Fraction(25)), frames())
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize(("codec", "suffix"), [("h264", "mp4"), ("prores", "mov")])
def test_the_same_frames_are_the_same_file(tmp_path: Path, codec: str, suffix: str) -> None:
    for number in range(8):
        write(tmp_path / f"{number}.{suffix}", VideoForm(Fraction(25), codec), frames(12))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(ConfigError, match="frame 6 of the video is 64x32"):
        write(tmp_path / "a.mp4", VideoForm(Fraction(25)), [*frames(), *frames(1, 32, 64)])
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("size", "pixel_format", "right"),
    [
        ((48, 32), None, True),
        ((47, 32), None, False),
        ((48, 31), None, False),
        ((48, 31), "yuv422p", True),
        ((47, 31), "yuv444p", True),
    ],
)
def test_odd_sides(tmp_path: Path, size: tuple[int, int], pixel_format: str | None, right: bool) -> None:
    form = VideoForm(Fraction(25), pixel_format=pixel_format)
    width, height = size
    if right:
        form.check_size(width, height)
        write(tmp_path / "a.mp4", form, frames(2, height, width))
        assert (tmp_path / "a.mp4").exists()
        return
    with pytest.raises(ConfigError, match="its sides must be even"):
        write(tmp_path / "a.mp4", form, frames(2, height, width))


@pytest.mark.parametrize(
    ("text", "fps"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("25.0", Fraction(25)),
        ("0.5", Fraction(1, 2)),
    ],
)
def test_rates(text: str, fps: Fraction) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["0", "-24", "x", "24/0", "1001", "nan", ""])
def test_no_rates(text: str) -> None:
    with pytest.raises(ConfigError, match="--fps"):
        parse_fps(text)


def test_prores_is_for_mov() -> None:
    with pytest.raises(ConfigError, match=r"goes into \.mov: -o shot\.mov"):
        VideoForm(Fraction(24), "prores").check(Path("shot.mp4"))
