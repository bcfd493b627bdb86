"""A program that started this one and ends: its end of standard input closes, however it ended."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO


def when_input_ends(stop: Callable[[], None], source: BinaryIO | None = None) -> None:
    """Call `stop` on the running loop when standard input (or `source`) has ended; what comes through it is dropped.

    A pipe closes when its other side ends, also when that is killed: on every system, without anybody's process number.
    """
    loop = asyncio.get_running_loop()
    stream = source if source is not None else sys.stdin.buffer

    def read() -> None:
        try:
            while stream.read1(4096) if hasattr(stream, "read1") else stream.read(1):
                pass
        except (OSError, ValueError):  # closed under us
            pass
        try:
            loop.call_soon_threadsafe(stop)
        except RuntimeError:  # the loop has ended before
            return

    threading.Thread(target=read, name="texbridge-parent", daemon=True).start()
