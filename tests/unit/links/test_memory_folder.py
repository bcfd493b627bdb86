"""Where shared memory files are made, who owns them, and how those of the dead are removed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from bridge.codec.shared_memory import decode_page, page_for
from bridge.links import memory_folder
from bridge.links.memory_folder import MemoryFolder, folder_candidates

PAGE = page_for(1000, 4, generation=1, nonce=7, pid=os.getpid())


def names(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_a_file_is_private_reserved_and_says_what_it_is(tmp_path: Path) -> None:
    folder = MemoryFolder([tmp_path / "a"])
    path, mapping = folder.create(PAGE)
    try:
        assert path.parent == tmp_path / "a"
        assert path.is_absolute()
        found = path.stat()
        assert found.st_size == PAGE.file_bytes
        if os.name == "posix":
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert found.st_blocks * 512 >= PAGE.file_bytes, "a sparse file would end us when the disk is full"
        assert decode_page(path.read_bytes(), found.st_size) == PAGE
    finally:
        mapping.close()
        folder.remove(path)
        folder.close()
    assert names(tmp_path / "a") == []


def test_two_files_have_names_that_nobody_guesses(tmp_path: Path) -> None:
    folder = MemoryFolder([tmp_path])
    made = [folder.create(PAGE) for _ in range(2)]
    secrets = {path.stem.rpartition("-")[2] for path, _ in made}
    assert len(secrets) == 2
    assert {len(secret) for secret in secrets} == {32}
    for path, mapping in made:
        mapping.close()
        folder.remove(path)
    folder.close()


def test_files_of_an_owner_that_is_gone_are_removed_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    alive = MemoryFolder([tmp_path])
    kept, mapping = alive.create(PAGE)
    dead = MemoryFolder([tmp_path])
    left, other = dead.create(PAGE)
    other.close()
    assert dead._lock is not None
    os.close(dead._lock)  # as the end of a process does; nothing of its files is removed
    assert left.exists()
    newcomer = MemoryFolder([tmp_path])
    assert kept.exists()
    assert not left.exists()
    assert names(tmp_path) == [".lock", ".lock", ".txbs"]
    mapping.close()
    alive.remove(kept)
    alive.close()
    newcomer.close()
    assert names(tmp_path) == []


def test_a_pid_says_nothing(tmp_path: Path) -> None:
    """The pid in a dead owner's file may be anybody's by now, ours too."""
    (tmp_path / ("0" * 16 + "-1-" + "1" * 32 + ".txbs")).write_bytes(b"")
    (tmp_path / ("0" * 16 + ".lock")).write_bytes(b"")
    (tmp_path / ("2" * 16 + "-1-" + "1" * 32 + ".txbs")).write_bytes(b"")  # an owner without a lock is none
    folder = MemoryFolder([tmp_path])
    assert names(tmp_path) == [".lock"]
    folder.close()


def test_foreign_files_stay(tmp_path: Path) -> None:
    for name in ("notes.txt", "abc.lock", "0" * 16 + "-1.txbs", "x" * 16 + ".lock"):
        (tmp_path / name).write_bytes(b"")
    MemoryFolder([tmp_path]).close()
    assert len(list(tmp_path.iterdir())) == 4


class Windows:
    """Removing fails while somebody has the file mapped."""

    def __init__(self) -> None:
        self.mapped: set[Path] = set()

    def remove(self, path: Path) -> None:
        if path in self.mapped:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        os.unlink(path)


def test_a_file_that_is_still_mapped_is_removed_later(tmp_path: Path) -> None:
    windows = Windows()
    folder = MemoryFolder([tmp_path], windows.remove)
    path, mapping = folder.create(PAGE)
    mapping.close()
    windows.mapped.add(path)
    folder.remove(path)
    assert path.exists()
    assert folder.left == {path}
    windows.mapped.clear()
    again, mapping = folder.create(PAGE)
    mapping.close()
    assert not path.exists()
    assert not folder.left
    folder.remove(again)
    folder.close()


def test_what_can_not_be_removed_at_the_end_is_the_next_ones(tmp_path: Path) -> None:
    windows = Windows()
    folder = MemoryFolder([tmp_path], windows.remove)
    path, mapping = folder.create(PAGE)
    mapping.close()
    windows.mapped.add(path)
    folder.remove(path)
    folder.close()
    assert names(tmp_path) == [".lock", ".txbs"]
    second = MemoryFolder([tmp_path], windows.remove)  # a reader still has it: the lock stays too
    assert names(tmp_path) == [".lock", ".lock", ".txbs"]
    second.close()
    MemoryFolder([tmp_path]).close()
    assert names(tmp_path) == []


def test_no_space_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    folder = MemoryFolder([tmp_path])
    with pytest.raises(OSError, match="No space"):
        folder.create(PAGE)
    assert names(tmp_path) == [".lock"]
    folder.close()


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_without_fallocate_zeros_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    if error is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:

        def refuse(*_: int) -> None:
            raise OSError(error, "not here")

        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    page = page_for(900_000, 4, generation=1, nonce=7, pid=1)
    folder = MemoryFolder([tmp_path])
    path, mapping = folder.create(page)
    assert path.stat().st_size == page.file_bytes
    assert path.stat().st_blocks * 512 >= page.file_bytes
    mapping.close()
    folder.remove(path)
    folder.close()


def test_the_next_folder_is_taken_where_one_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    folder = MemoryFolder([tmp_path / "file", tmp_path / "link", tmp_path / "good"])
    assert folder.path == tmp_path / "good"
    assert not list((tmp_path / "elsewhere").iterdir())
    folder.close()
    with pytest.raises(OSError, match="file"):
        MemoryFolder([tmp_path / "file"])
    with pytest.raises(OSError, match="no folder"):
        MemoryFolder([])


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no user numbers")
def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    MemoryFolder([tmp_path]).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(OSError, match=f"belongs to user {owner}"):
        MemoryFolder([tmp_path])


def test_where_files_are(tmp_path: Path) -> None:
    assert folder_candidates("/there") == [Path("/there")]
    linux = folder_candidates(platform="linux", shm=str(tmp_path))
    assert linux[0].parent == tmp_path
    assert len(linux) == 2
    without = folder_candidates(platform="linux", shm=str(tmp_path / "nothing"))
    assert without == linux[1:]
    assert folder_candidates(platform="darwin", shm=str(tmp_path)) == without
    assert folder_candidates(platform="win32", shm=str(tmp_path)) == without


def test_big_endian_machines_share_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_folder.sys, "byteorder", "big")
    with pytest.raises(OSError, match="little-endian"):
        MemoryFolder([tmp_path])


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    """Cleaners of temporary folders, or a logout, take everything away from a bridge that runs for weeks."""
    folder = MemoryFolder([tmp_path / "a"])
    path, mapping = folder.create(PAGE)
    for file in (tmp_path / "a").iterdir():
        file.unlink()
    (tmp_path / "a").rmdir()
    again, other = folder.create(PAGE)
    assert again.exists()
    assert again != path
    assert names(tmp_path / "a") == [".lock", ".txbs"]
    MemoryFolder([tmp_path / "a"]).close()
    assert again.exists(), "it has an owner"
    mapping.close()
    other.close()
    folder.remove(path)
    folder.remove(again)
    folder.close()
    assert names(tmp_path / "a") == []
