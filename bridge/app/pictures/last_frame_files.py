"""The folder with the last picture of each stream: one file a stream, whole or not at all, few and bounded.

A file is a ZIP without compression: `set.json` says which stream and workflow it was and of what kinds its outputs
are; `0.png`, `1.png` ... are the pictures as ComfyUI sent them, whatever sort they are. Everything here blocks: it is
for a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bridge.codec.picture_header import PictureLimits
from bridge.codec.pixels import Pixels, decode_picture, encode_picture
from bridge.errors import PictureDecodeError
from bridge.frames.packets import Undecoded
from bridge.streams.names import STREAM_NAME
from bridge.types import PixelFormat
from bridge.whole_files import write_whole

MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 256 << 20
MAX_OUTPUTS: Final = 16
MAX_STORY_BYTES: Final = 16 << 10
STALE_S: Final = 60.0
"""A half-written file of this age is nobody's: its writer was killed."""


class _Story(msgspec.Struct, frozen=True):
    """`set.json`."""

    stream: str
    workflow: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptSet:
    """The pictures of all outputs of a stream's last set; `kinds` are those of the outputs."""

    workflow: str
    kinds: tuple[str, ...]
    pictures: tuple[Pixels, ...]


class DamagedFileError(Exception):
    """The file is not one that was written here, or not any more."""


def user_cache_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Give the folder for what can be made anew: %LOCALAPPDATA%, ~/Library/Caches, or XDG's."""
    home = Path(environment.get("USERPROFILE" if platform == "win32" else "HOME") or Path.home())
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "texbridge"
    if platform == "darwin":
        return home / "Library" / "Caches" / "texbridge"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "texbridge"


def file_name(stream: str) -> str:
    """Give the name of a stream's file: no path, no name that Windows reserves, and unlike every other stream's.

    Some file systems take `Main` and `main` for one: a name with capitals gets a mark of its own.
    """
    if not STREAM_NAME.fullmatch(stream):
        raise ValueError(f"{stream!r} is no stream's name")
    mark = "" if stream == stream.lower() else "." + hashlib.sha256(stream.encode()).hexdigest()[:8]
    return f"stream-{stream}{mark}.zip"


class LastFrameFolder:
    """The folder; at most `max_bytes` and 64 files of ours in it, the newest."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def write(
        self, stream: str, workflow: str, kinds: Sequence[str], pictures: Sequence[bytes | Pixels | Undecoded]
    ) -> None:
        """Keep a stream's last set in place of the one before; `pictures` are files, or what one is made of.

        Raises:
            OSError: it can't be written, or is larger than the folder may be.
        """
        data = _packed(_Story(stream, workflow, tuple(kinds)), pictures)
        if len(data) > min(self._max_bytes, MAX_FILE_BYTES):
            raise OSError(f"its {len(data) >> 20} MB are more than pictures.folder_mb allows")
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path / file_name(stream)
        self._make_room(len(data), path)
        write_whole(path, data, private=True)

    def read(self, stream: str, limits: PictureLimits | None = None) -> KeptSet | None:
        """Give a stream's last set; None if none was kept.

        Raises:
            OSError: it is there and can't be read.
            DamagedFileError: it is no such file.
        """
        path = self.path / file_name(stream)
        try:
            data = _read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return _unpacked(data, stream, limits)
        except PictureDecodeError as error:
            raise DamagedFileError(f"{path} is damaged: {error.message}") from error
        except (
            Exception
        ) as error:  # zipfile has no error family of its own: struct, key, value, runtime and zlib errors
            raise DamagedFileError(f"{path} is damaged: {error}") from error

    def _make_room(self, need: int, path: Path) -> None:
        """Remove what was written longest ago until `need` bytes more are no more than there may be."""
        found: list[tuple[float, int, Path]] = []
        for other in self.path.glob("stream-*.zip"):
            with contextlib.suppress(OSError):
                state = other.stat()
                if other != path:
                    found.append((state.st_mtime, state.st_size, other))
        for left in self.path.glob(".stream-*.zip*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_S:
                    left.unlink()
        found.sort(key=lambda entry: entry[0])
        total = need + sum(size for _, size, _ in found)
        while found and (total > self._max_bytes or len(found) >= MAX_FILES):
            _, size, oldest = found.pop(0)
            oldest.unlink(missing_ok=True)
            total -= size


def _read_file(path: Path) -> bytes:
    """Give what a file holds; a pipe or a device in its place is neither waited for nor read without an end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DamagedFileError(f"{path} is no file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DamagedFileError(f"{path} is over {MAX_FILE_BYTES >> 20} MiB")
    return data


def _packed(story: _Story, pictures: Sequence[bytes | Pixels | Undecoded]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("set.json", msgspec.json.encode(story))
        for place, picture in enumerate(pictures):
            if not isinstance(picture, bytes):
                pixels = picture if isinstance(picture, Pixels) else picture.pixels()
                picture = encode_picture(pixels, PixelFormat.PNG)
            archive.writestr(f"{place}.png", picture)
    return buffer.getvalue()


def _unpacked(data: bytes, stream: str, limits: PictureLimits | None) -> KeptSet:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) > MAX_OUTPUTS + 1 or any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
            raise ValueError("it holds what was not written here")
        if entries["set.json"].file_size > MAX_STORY_BYTES:
            raise ValueError("set.json is too large")
        story = msgspec.json.decode(archive.read("set.json"), type=_Story)
        if story.stream != stream or not story.kinds or len(story.kinds) > MAX_OUTPUTS:
            raise ValueError(f"it is of stream {story.stream[:64]!r}")
        pictures = [decode_picture(archive.read(f"{place}.png"), limits) for place in range(len(story.kinds))]
    return KeptSet(story.workflow, story.kinds, tuple(pictures))
