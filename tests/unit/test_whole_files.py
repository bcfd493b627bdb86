"""Files that another program holds: on Windows they can be neither replaced nor removed meanwhile."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from bridge.whole_files import TRIES, whole_file, write_whole


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


@pytest.mark.parametrize("sync", [False, True])
def test_the_name_comes_last(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "0001.png"
    path.write_bytes(b"old")
    with whole_file(path, sync=sync) as part:
        assert part.parent == tmp_path
        assert part.suffix == ".png"
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail() -> None:
        with whole_file(path) as part:
            part.write_bytes(b"ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("named", [False, True])
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, named: bool) -> None:
    path = tmp_path / "a.png"

    def fail() -> None:
        with whole_file(path) as part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([str(part)] if named else []))

    with pytest.raises(OSError, match=re.escape(repr(str(path)))):
        fail()
