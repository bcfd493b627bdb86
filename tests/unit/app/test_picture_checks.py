"""What doctor says of placeholders and last pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from bridge.app.config.config import load_config
from bridge.app.doctor.picture_checks import picture_checks
from bridge.app.doctor.verdicts import Check, Verdict


def checks(**config: Any) -> list[Check]:
    return picture_checks(load_config(None, {}, config))


def test_the_defaults() -> None:
    assert checks() == [Check("placeholders", Verdict.OK, "test_card")]


def test_a_file_that_is_none_is_bad_with_what_to_do(tmp_path: Path) -> None:
    streams = {"main": {"workflow": "gradient", "placeholder": str(tmp_path / "nix.png")}}
    (check,) = checks(streams=streams, pictures={"placeholder": "black"})
    assert check.verdict is Verdict.BAD
    assert "nix.png of [streams.main] can't be read" in check.found
    assert check.advice.startswith("Put a PNG, JPEG or WebP there")
    Image.new("RGB", (8, 8)).save(tmp_path / "nix.png")
    assert checks(streams=streams)[0].found == "test_card, and 1 of streams"


def test_the_folder_of_last_pictures(tmp_path: Path) -> None:
    pictures = {"keep_last_frame": True, "folder": str(tmp_path / "a" / "b")}
    assert checks(pictures=pictures)[1] == Check("last pictures", Verdict.OK, f"kept in {tmp_path / 'a' / 'b'}")
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").write_text("a file", encoding="utf-8")
    check = checks(pictures=pictures)[1]
    assert check.verdict is Verdict.WARN
    assert "is no folder" in check.found
