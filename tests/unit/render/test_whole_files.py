"""Files that are there whole or not at all."""

import errno
import hashlib
import os
import re
from pathlib import Path

import pytest

from bridge.render.whole_files import MARK, file_facts, remove_parts, whole_file, write_whole


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


def test_what_killed_renders_leave(tmp_path: Path) -> None:
    """Of these files alone: another chunk may be at work beside."""
    ours, other, name = tmp_path / "shot.v1.0001.png", tmp_path / "shot.v1.0002.png", tmp_path / ".0001.png"
    parts = [tmp_path / f".{path.stem}.0a1b2c3d{MARK}{path.suffix}" for path in (ours, other)]
    for path in (*parts, name, ours):
        path.write_bytes(b"x")
    assert remove_parts([ours, tmp_path / "none" / "0001.png"]) == 1
    assert sorted(tmp_path.iterdir()) == sorted([parts[1], name, ours])


def test_facts(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"abc", sync=True)
    assert file_facts(tmp_path / "a") == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
