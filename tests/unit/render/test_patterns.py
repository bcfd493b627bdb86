"""File names with a place for the frame's number."""

from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.render.patterns import FilePattern


@pytest.mark.parametrize(
    ("text", "name", "is_sequence", "suffix", "stem"),
    [
        ("out/%04d.png", "out/0042.png", True, ".png", ""),
        ("out/shot.%06d.EXR", "out/shot.000042.EXR", True, ".exr", "shot"),
        ("out/####.png", "out/0042.png", True, ".png", ""),
        ("out/a_#.png", "out/a_42.png", True, ".png", "a"),
        ("f%d.jpg", "f42.jpg", True, ".jpg", "f"),
        ("f%1d.jpg", "f42.jpg", True, ".jpg", "f"),
        ("shot.mp4", "shot.mp4", False, ".mp4", "shot"),
        ("100%%_%03d.png", "100%_042.png", True, ".png", "100%"),
        ("#7/x.png", "#7/x.png", False, ".png", "x"),
    ],
)
def test_names(text: str, name: str, is_sequence: bool, suffix: str, stem: str) -> None:
    pattern = FilePattern(text, "-o")
    assert pattern.path(42) == Path(name)
    assert (pattern.is_sequence, pattern.suffix, pattern.stem) == (is_sequence, suffix, stem)
    assert pattern.folder == Path(name).parent


def test_digits_are_never_cut() -> None:
    assert FilePattern("%02d.png", "-o").path(12345) == Path("12345.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a file's name"),
        ("out/", "is not a file's name"),
        ("%04d_%04d.png", "2 places"),
        ("%04d_####.png", "2 places"),
        ("%x.png", "%04d or ####"),
        ("50%.png", "%04d or ####, a percent sign %%"),
        ("%04d/x.png", "not into a folder's"),
    ],
)
def test_no_names(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FilePattern(text, "-o")
    assert words in str(caught.value)
    assert "%%%" not in str(caught.value)
    assert str(caught.value).startswith("-o ")
