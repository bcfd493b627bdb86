"""What a restart command prints: its end is kept for the log, and it fills no disk."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import IO, Final

MOST_BYTES: Final = 1 << 20
TAIL_BYTES: Final = 2_000
"""How much goes into the log, from the end."""


class RestartOutput:
    """A file for what a command and all that it leaves running print.

    A file, not a pipe: a ComfyUI that the command started goes on printing when nobody reads any more, and a broken
    pipe would end it. What is over `MOST_BYTES` is thrown away by `bound`, to be called now and then.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.file = _open()

    def bound(self) -> None:
        """Throw what was printed away if it is over the limit, and keep its end."""
        if self._size() > self._most_bytes:
            kept = self._end()
            os.ftruncate(self.file.fileno(), 0)
            self.file.seek(0)
            self.file.write(kept)
            self.file.flush()

    def tail(self) -> str:
        """The end of it as one printable line."""
        lines = (" ".join(line.split()) for line in self._end().decode("utf-8", "replace").splitlines())
        return "".join(c if c.isprintable() else "?" for c in " | ".join(line for line in lines if line)) or "nothing"

    def close(self) -> None:
        """Look after it no more."""
        self.file.close()

    def _size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def _end(self) -> bytes:
        self.file.seek(max(0, self._size() - TAIL_BYTES))
        return self.file.read(TAIL_BYTES)


def _open() -> IO[bytes]:
    """Where the disk takes no file its words are lost, and the command runs all the same."""
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    except OSError:
        return open(os.devnull, "r+b", buffering=0)
    if sys.platform != "win32":
        import fcntl

        # Whoever prints, prints at the end, wherever that is after the file was made shorter.
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file
