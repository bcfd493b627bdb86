"""Files that are there whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

MARK: Final = ".texbridge-part"
_TRIES: Final = 20
_AGAIN_S: Final = 0.1
_READ_BYTES: Final = 1 << 20


@contextlib.contextmanager
def whole_file(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Give the name to write to; at the end it becomes `path`, after an error it is gone.

    The suffix is the file's own, since libraries go by it. `sync` brings it to the disk before it gets its name: a file
    that nobody checks later must not be empty after a power cut. Raises OSError.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{MARK}{path.suffix}")
    try:
        yield part
        if sync:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        _rename(part, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, part, str(part)):
            error.filename = str(path)  # a full disk's words name no file, or one that nobody knows
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _rename(part: Path, path: Path) -> None:
    """Give a file its name. Windows refuses as long as a scanner or a viewer has it open: a moment, usually."""
    for _ in range(_TRIES if sys.platform == "win32" else 0):
        try:
            os.replace(part, path)
        except PermissionError:
            time.sleep(_AGAIN_S)
        else:
            return
    os.replace(part, path)


def write_whole(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file whole or not at all. Raises OSError."""
    with whole_file(path, sync=sync) as part:
        part.write_bytes(data)


def remove_parts(paths: Iterable[Path]) -> int:
    """Remove what killed renders left of these files; give how many there were."""
    stems: dict[Path, set[str]] = {}
    for path in paths:
        stems.setdefault(path.parent, set()).add(path.stem)
    removed = 0
    for folder, names in stems.items():
        if not folder.is_dir():
            continue
        for part in folder.glob(f".*{MARK}*"):
            if part.name[1:].rsplit(".", 3)[0] in names:
                with contextlib.suppress(OSError):
                    part.unlink()
                    removed += 1
    return removed


def file_facts(path: Path) -> dict[str, Any]:
    """Give a file's length and SHA-256. Raises OSError."""
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, 64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
