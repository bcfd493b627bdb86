"""Where shared memory files are, who owns them, and how those of an owner that is gone are removed.

Every owner (a bridge that runs) has a token, a file `TOKEN.lock` that it holds locked as long as it lives, and its
memory files `TOKEN-N-SECRET.txbs`. A lock that can be had has no owner: unlike a pid it is never given to another
process, and it is right in containers that share the folder. Source: protocols/shared-memory.md, From the bridge.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bridge.codec.shared_memory import MemoryPage, encode_page

logger = logging.getLogger("bridge.links.memory")

SHM: Final = "/dev/shm"
"""Linux' memory file system: nothing of it is ever written to a disk."""

_NAME: Final = re.compile(r"([0-9a-f]{16})(?:\.lock|-[0-9]+-[0-9a-f]{32}\.txbs)")
_ZEROS: Final = bytes(1 << 20)
_NO_FALLOCATE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def folder_candidates(named: str = "", platform: str = sys.platform, shm: str = SHM) -> list[Path]:
    """Give the folders to try, best first: the one that the configuration names, alone; else the system's."""
    if named:
        return [Path(named)]
    get_user = getattr(os, "getuid", None)
    name = f"texbridge-{get_user()}" if get_user is not None else "texbridge"
    folders = [Path(tempfile.gettempdir()) / name]
    if platform.startswith("linux") and os.path.isdir(shm):
        folders.insert(0, Path(shm) / name)
    return folders


class MemoryFolder:
    """The folder of this process's memory files. Methods may be called from any thread.

    Attributes:
        path: the folder, 0700, the user's own.
        left: files that could not be removed yet: Windows keeps what somebody has mapped.
    """

    def __init__(self, candidates: Iterable[Path], remove: Callable[[Path], None] = os.unlink) -> None:
        """Take the first folder that can be used, and remove what owners left there that are gone.

        Raises:
            OSError: none can be used; its words say why for each.
        """
        self._remove = remove
        self._count = 0
        self.left: set[Path] = set()
        if sys.byteorder != "little":
            raise OSError("shared memory is little-endian, this machine is not")
        problems = []
        for path in candidates:
            try:
                _make_private(path)
                self._token, lock = _own(path)
                self._lock: int | None = lock
            except OSError as error:
                problems.append(f"{path}: {error.strerror or error}")
                continue
            self.path = path
            self.clean()
            return
        raise OSError("; ".join(problems) or "no folder is named")

    def create(self, page: MemoryPage) -> tuple[Path, mmap.mmap]:
        """Make a file by its page, every byte of it reserved, and map it.

        Raises:
            OSError: no space, no rights, too many files; nothing is left of the file then.
        """
        self.retry()
        if not os.path.exists(self.path / f"{self._token}.lock"):
            self._own_again()
        self._count += 1
        path = self.path / f"{self._token}-{self._count}-{secrets.token_hex(16)}.txbs"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        file = os.open(path, flags, 0o600)
        try:
            reserve(file, page.file_bytes)
            mapping = mmap.mmap(file, page.file_bytes)
        except BaseException:
            os.close(file)
            self.remove(path)
            raise
        os.close(file)
        begin = encode_page(page)
        mapping[: len(begin)] = begin
        return path, mapping

    def _own_again(self) -> None:
        """Somebody removed our lock, or the whole folder: without it our files would count as nobody's."""
        _make_private(self.path)
        token, lock = _own(self.path)
        before, self._lock, self._token = self._lock, lock, token
        if before is not None:
            os.close(before)

    def remove(self, path: Path) -> None:
        """Remove a file; one that can't be removed yet is tried again with the next file that is made or removed."""
        self.left.add(path)
        self.retry()

    def retry(self) -> None:
        """Try again to remove what could not be removed."""
        for path in list(self.left):
            if self._gone(path):
                self.left.discard(path)

    def clean(self) -> int:
        """Remove the files of owners that are gone; gives how many files that were."""
        by_owner: dict[str, list[Path]] = {}
        try:
            for entry in self.path.iterdir():
                if match := _NAME.fullmatch(entry.name):
                    by_owner.setdefault(match[1], []).append(entry)
        except OSError as error:
            logger.warning("shared memory folder %s can't be read: %s", self.path, error)
        removed = 0
        for token, paths in by_owner.items():
            if token != self._token:
                removed += self._clean_owner(token, paths)
        if removed:
            logger.debug("removed %d shared memory files of a bridge that is gone", removed)
        return removed

    def _clean_owner(self, token: str, paths: list[Path]) -> int:
        lock = self.path / f"{token}.lock"
        file: int | None = None
        try:
            file = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            pass  # it is made before the first file and removed after the last: without it nobody is there
        except OSError:
            return 0  # Windows: somebody has it open, and so is alive
        try:
            if file is not None and not _try_lock(file):
                return 0
            files = [path for path in paths if path != lock]
            removed = sum(self._gone(path) for path in files)
            if removed < len(files):
                return removed  # the lock stays, so that whoever comes next tries again
        finally:
            if file is not None:
                os.close(file)
        if file is not None:
            self._gone(lock)
        return removed

    def _gone(self, path: Path) -> bool:
        try:
            self._remove(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            logger.debug("shared memory %s can't be removed yet: %s", path, error)
            return False
        return True

    def close(self) -> None:
        """Remove what is left, and give up the lock. What can't be removed now is the next bridge's to remove."""
        self.retry()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)
            if not self.left:
                self._gone(self.path / f"{self._token}.lock")


def reserve(file: int, length: int) -> None:
    """Give a new file its length, so that writing to it later can't fail for want of space.

    A write through a mapping that finds no space ends the process (SIGBUS), so the file system is asked now; one that
    can't reserve gets zeros. Raises OSError: no space.
    """
    allocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        try:
            allocate(file, 0, length)
            return
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise
    left = length
    while left:
        left -= os.write(file, _ZEROS[:left] if left < len(_ZEROS) else _ZEROS)


def _make_private(path: Path) -> None:
    """Make a folder that is the user's alone, or see that it is. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.ENOTDIR, "is no folder")
    get_user = getattr(os, "getuid", None)
    if get_user is None:
        return  # Windows: the folder for temporary files is the user's own
    if found.st_uid != get_user():
        raise OSError(errno.EPERM, f"belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


def _own(path: Path) -> tuple[str, int]:
    """Take a token and lock its file. Raises OSError."""
    for _ in range(16):
        token = secrets.token_hex(8)
        lock = path / f"{token}.lock"
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        # Somebody who cleans may have had the lock just before us, and removed the file.
        try:
            if _try_lock(file) and os.path.exists(lock):
                return token, file
        except OSError:
            os.close(file)
            raise
        os.close(file)
    raise OSError(errno.EAGAIN, "no lock could be had")


def _try_lock(file: int) -> bool:
    """Lock a file until it is closed, or the process ends; False if somebody else has the lock."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    else:
        import fcntl

        try:
            # Not lockf: that one belongs to the process, and two owners in one process would not see each other.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
