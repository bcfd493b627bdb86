"""The three folders of a ComfyUI (input, temp, output) as bytes in memory, bounded."""

from __future__ import annotations

import hashlib
import posixpath
import re
from threading import Lock
from typing import Final, NamedTuple

from bridge.embedded.kept import KeptStore
from bridge.embedded.pictures import PictureStore

FOLDERS: Final = ("input", "temp", "output")
PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ROOT: Final = "/embedded"
"""How paths begin in messages; nothing is written to a disk."""


class FileKey(NamedTuple):
    """Where a file is: `folder` is one of FOLDERS, `subfolder` has no leading or trailing slash."""

    folder: str
    subfolder: str
    name: str

    @property
    def path(self) -> str:
        """The path that messages show."""
        return posixpath.join(ROOT, *self)


class EscapeError(ValueError):
    """A name or subfolder leads out of its folder."""


class FullError(ValueError):
    """A file is larger than the whole store may be."""


class FileStore:
    """Uploads and results. Thread-safe. The oldest files go when there are more than `limit_bytes`."""

    def __init__(self, limit_bytes: int = 256 << 20) -> None:
        self._files: dict[FileKey, bytes] = {}
        self._digests: dict[FileKey, str] = {}
        self._bytes = 0
        self._limit_bytes = limit_bytes
        self._lock = Lock()
        self.pictures = PictureStore(limit_bytes)
        """Pictures sent to `/texbridge/image`, beside the files."""
        self.kept = KeptStore()
        """Last pictures of loops, for their next prompts."""

    @staticmethod
    def key(folder: str, subfolder: str, name: str) -> FileKey:
        """A checked key. Raises EscapeError for a path that leaves the folder, or no name at all."""
        path = posixpath.normpath((f"{subfolder}/{name}" if subfolder else name).replace("\\", "/"))
        if name in ("", ".", "..") or path.startswith(("..", "/")) or "\0" in path:
            raise EscapeError(f"{subfolder!r} / {name!r} leads out of {folder}")
        head, tail = posixpath.split(path)
        return FileKey(folder, head, tail)

    @classmethod
    def annotated_key(cls, text: str, folder: str = "input") -> FileKey:
        """The key of `sub/x.png`, or of `x.png [temp]` in another folder. Raises EscapeError."""
        if match := re.fullmatch(r"(.*?) ?\[(input|temp|output)\]", text):
            text, folder = match[1], match[2]
        return cls.key(folder, "", text)

    def read(self, key: FileKey) -> bytes | None:
        """The bytes of a file, None if there is none."""
        with self._lock:
            return self._files.get(key)

    def write(self, key: FileKey, data: bytes) -> None:
        """Keep a file. Raises FullError if it alone is over the limit."""
        if len(data) > self._limit_bytes:
            raise FullError(f"{key.name} has {len(data)} bytes > limit {self._limit_bytes}")
        with self._lock:
            self._remove(key)
            while self._bytes + len(data) > self._limit_bytes:
                self._remove(next(iter(self._files)))
            self._files[key] = data
            self._bytes += len(data)

    def write_upload(self, key: FileKey, data: bytes, overwrite: bool) -> FileKey:
        """Keep an upload as ComfyUI does: other bytes under a taken name become `x (1).png` unless `overwrite`."""
        if not overwrite:
            stem, suffix = posixpath.splitext(key.name)
            number = 0
            while (held := self.read(key)) is not None and held != data:
                number += 1
                key = key._replace(name=f"{stem} ({number}){suffix}")
            if held is not None:
                return key
        self.write(key, data)
        return key

    def digest(self, key: FileKey) -> str:
        """SHA-256 of a file, "" if there is none."""
        with self._lock:
            if key in self._files and key not in self._digests:
                self._digests[key] = hashlib.sha256(self._files[key]).hexdigest()
            return self._digests.get(key, "")

    def names(self, folder: str) -> list[str]:
        """The pictures at the top of a folder, sorted: the choices of LoadImage."""
        with self._lock:
            keys = list(self._files)
        return sorted(
            key.name
            for key in keys
            if key.folder == folder and not key.subfolder and key.name.lower().endswith(PICTURE_SUFFIXES)
        )

    def next_number(self, folder: str, subfolder: str, prefix: str) -> int:
        """One more than the highest number of `<prefix>_00001_.png` and the like in a folder."""
        pattern = re.compile(re.escape(prefix) + r"_(\d+)_", re.IGNORECASE)
        with self._lock:
            names = [key.name for key in self._files if key.folder == folder and key.subfolder == subfolder]
        return 1 + max((int(match[1]) for name in names if (match := pattern.match(name))), default=0)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._files.clear()
            self._digests.clear()
            self._bytes = 0
        self.pictures.clear()
        self.kept.clear()

    def _remove(self, key: FileKey) -> None:
        self._digests.pop(key, None)
        if (data := self._files.pop(key, None)) is not None:
            self._bytes -= len(data)
