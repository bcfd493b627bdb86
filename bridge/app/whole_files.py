"""Files that are there whole or not at all, also where another program holds the old one for a moment."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TRIES: Final = 10
FIRST_WAIT_S: Final = 0.01
"""Doubled at each try: about five seconds in all."""


def write_whole(path: Path, data: bytes, *, private: bool = False, sleep: Callable[[float], None] = time.sleep) -> None:
    """Put `data` in the place of a file, or make it; who reads meanwhile gets the old or the new one, whole.

    With `private` it is the user's alone from the first byte (where files have modes), and on the disk itself before
    it takes the place of the old one, so that a power cut leaves one of the two.

    Windows refuses to replace a file that a program has open or mapped (an editor, a virus scanner): then it is tried
    again for some seconds. In the end nothing is left beside the old file, if that can be removed.

    Raises:
        OSError: it can't be written, or stays held.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if private:
            _write_private(fresh, data)
        else:
            fresh.write_bytes(data)
        for attempt in range(TRIES):
            try:
                os.replace(fresh, path)
                return
            except PermissionError:
                if attempt == TRIES - 1 or path.is_dir():
                    raise
                sleep(FIRST_WAIT_S * 2**attempt)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
