"""Files that are there whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

MARK: Final = ".texbridge-part"
"""In the name of every file that is not whole yet."""

TRIES: Final = 10
FIRST_WAIT_S: Final = 0.01
"""Doubled at each try: about five seconds in all."""


@contextlib.contextmanager
def whole_file(path: Path, *, sync: bool = False, sleep: Callable[[float], None] = time.sleep) -> Iterator[Path]:
    """Give the name to write to; at the end it becomes `path`, after an error it is gone, if it can be removed.

    The suffix is the file's own, since libraries go by it. `sync` brings it to the disk before it gets its name: a file
    that nobody checks later must not be empty after a power cut.

    Windows refuses to replace a file that a program has open or mapped (an editor, a virus scanner): then it is tried
    again for some seconds.

    Raises:
        OSError: it can't be written, or stays held.
    """
    part = part_name(path)
    try:
        yield part
        if sync:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        _rename(part, path, sleep)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, part, str(part)):
            error.filename = str(path)  # a full disk's words name no file, or one that nobody knows
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def part_name(path: Path) -> Path:
    """Give another name beside a file, which no other has: for what is not whole yet, or is put aside for a moment."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{MARK}{path.suffix}")


def write_whole(
    path: Path,
    data: bytes,
    *,
    sync: bool = False,
    private: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put `data` in the place of a file, or make it; who reads meanwhile gets the old or the new one, whole.

    With `private` it is the user's alone from the first byte (where files have modes), and on the disk itself before
    it takes the place of the old one. Raises as `whole_file`.
    """
    with whole_file(path, sync=sync or private, sleep=sleep) as part:
        if private:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        else:
            part.write_bytes(data)


def _rename(part: Path, path: Path, sleep: Callable[[float], None]) -> None:
    for attempt in range(TRIES):
        try:
            os.replace(part, path)
            return
        except PermissionError:
            if attempt == TRIES - 1 or path.is_dir():
                raise
            sleep(FIRST_WAIT_S * 2**attempt)
