"""Files that another program holds: on Windows they can be neither replaced nor removed meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.app.whole_files import TRIES, write_whole


class Holder:
    """Plays a program that has the file open for so many tries, as Windows sees it (WinError 32)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tries: int) -> None:
        self.left = tries
        self.waits: list[float] = []
        self._replace = os.replace
        monkeypatch.setattr(os, "replace", self.replace)

    def replace(self, source: Path, target: Path) -> None:
        if self.left:
            self.left -= 1
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        self._replace(source, target)


def test_new_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "Jörg 山田.toml"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_held_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "binding.toml"
    path.write_bytes(b"old")
    holder = Holder(monkeypatch, 3)
    write_whole(path, b"new", sleep=holder.waits.append)
    assert path.read_bytes() == b"new"
    assert holder.waits == [0.01, 0.02, 0.04]


def test_one_that_stays_held_is_told_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "binding.toml"
    path.write_bytes(b"old")
    holder = Holder(monkeypatch, 1000)
    with pytest.raises(PermissionError):
        write_whole(path, b"new", sleep=holder.waits.append)
    assert len(holder.waits) == TRIES - 1
    assert sum(holder.waits) < 10
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_can_not_be_removed_is_no_second_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that is told is the first one."""
    holder = Holder(monkeypatch, 1000)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "held too")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(PermissionError, match="being used by another process"):
        write_whole(tmp_path / "x", b"new", sleep=holder.waits.append)
