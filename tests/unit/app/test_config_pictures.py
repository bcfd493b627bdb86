"""`[pictures]`, and what streams say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.app.config.config import load_config
from bridge.app.pictures.placeholder import drawn_still, find_still
from bridge.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "texbridge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults() -> None:
    pictures = load_config(None, {}).pictures
    assert (pictures.placeholder, pictures.keep_last_frame, pictures.folder) == ("test_card", False, "")


def test_files_begin_where_the_configuration_is_and_words_are_words(tmp_path: Path) -> None:
    text = """
        [pictures]
        placeholder = "house.png"
        folder = "kept"
        [streams.a]
        workflow = "gradient"
        placeholder = "black"
        [streams.b]
        workflow = "gradient"
        placeholder = "b.png"
        keep_last_frame = true
    """
    config = load_config(write(tmp_path, text), {})
    assert config.pictures.placeholder == str(tmp_path / "house.png")
    assert config.pictures.folder == str(tmp_path / "kept")
    assert config.streams["a"].placeholder == "black"
    assert config.streams["a"].keep_last_frame is None
    assert config.streams["b"].placeholder == str(tmp_path / "b.png")
    assert config.streams["b"].keep_last_frame is True


def test_by_the_environment() -> None:
    environment = {"TEXBRIDGE_PICTURES_KEEP_LAST_FRAME": "true", "TEXBRIDGE_PICTURES_PLACEHOLDER": "checkerboard"}
    pictures = load_config(None, environment).pictures
    assert (pictures.placeholder, pictures.keep_last_frame) == ("checkerboard", True)


@pytest.mark.parametrize("line", ["keep_last_frame = 3", "folder_mb = 0", "keep = true", "placeholder = 3"])
def test_what_is_wrong_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.split()[0]):
        load_config(write(tmp_path, f"[pictures]\n{line}\n"), {})


def test_a_word_that_is_no_word_is_a_file(tmp_path: Path) -> None:
    assert find_still("black", "[pictures]") is drawn_still("black")
    with pytest.raises(ConfigError, match=r"blakc of \[pictures\] can't be read: .*take placeholder out of"):
        find_still(str(tmp_path / "blakc"), "[pictures]")
