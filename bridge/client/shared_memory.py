"""The reader's side of shared memory: a bridge's file, and frames copied out of it.

A copy counts only if the slot's `seq` was the doorbell's before and after it. Source: protocols/shared-memory.md,
Reading.
"""

from __future__ import annotations

import mmap
import os
import threading
from dataclasses import replace
from typing import Final

import numpy as np

from bridge.codec.frame import FrameHeader
from bridge.codec.messages import Memory
from bridge.codec.shared_memory import FIELDS_BYTES, decode_page, place_doorbell
from bridge.errors import FrameDecodeError
from bridge.types import FrameFlags

_NOT_SHARED: Final = 0xFFFF & ~int(FrameFlags.SHARED_MEMORY)


class MemoryReader:
    """One mapped file of a bridge, read only.

    Attributes:
        nonce: what tells this file from any other.
        torn: frames that were taken from us before they were copied.
    """

    def __init__(self, memory: Memory) -> None:
        """Map the file that `memory` names.

        Raises:
            OSError: it isn't there, or can't be read: another host, or another user.
            FrameDecodeError: it is another file than the one meant.
        """
        flags = os.O_RDONLY
        for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
            flags |= getattr(os, name, 0)
        file = os.open(memory.file, flags)
        try:
            length = os.fstat(file).st_size
            self._page = decode_page(os.read(file, FIELDS_BYTES), length)
            page = self._page
            if (page.nonce, page.slots, page.slot_stride) != (memory.nonce, memory.slots, memory.stride):
                raise FrameDecodeError(
                    "the file of that name is another one: the bridge is on another host", value="nonce"
                )
            self._mapping = mmap.mmap(file, page.file_bytes, access=mmap.ACCESS_READ)
        finally:
            os.close(file)
        self.nonce = page.nonce
        self.torn = 0
        self._bytes = memoryview(self._mapping)
        self._words = self._bytes.cast("Q")
        self._fence = threading.Lock()

    def copy(self, header: FrameHeader) -> tuple[FrameHeader, memoryview] | None:
        """A doorbell's frame as it would have come over the link, in memory of its own; None if it was taken from us.

        Raises FrameDecodeError: the doorbell points outside of the file.
        """
        seq_at, _, payload_at = place_doorbell(self._page, header)
        word = seq_at // 8
        # A look beyond a file that somebody made shorter ends the process (SIGBUS).
        if self._mapping.size() < self._page.file_bytes or self._words[word] != header.seq:
            self.torn += 1
            return None
        out = np.empty(header.payload_bytes, np.uint8)
        out.data[:] = self._bytes[payload_at : payload_at + header.payload_bytes]
        with self._fence:
            pass  # Python's only fence: the copy is over before seq is looked at again, on ARM too
        if self._words[word] != header.seq:
            self.torn += 1
            return None
        return replace(header, flags=header.flags & _NOT_SHARED, slot=None, seq=None), out.data.toreadonly()

    def close(self) -> None:
        """Let go of the file. Frames that were copied stay. Safe to call twice."""
        self._words.release()
        self._bytes.release()
        self._mapping.close()
