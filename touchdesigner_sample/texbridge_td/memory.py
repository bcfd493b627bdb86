"""Frames out of shared memory: the bridge's file, mapped read only. Source: protocols/shared-memory.md."""

from __future__ import annotations

import mmap
import os
import struct
import threading
from typing import Any, NamedTuple

import numpy as np

from texbridge_td.wire import HEADER, SHARED_MEMORY, Header, WireError, check_geometry

PAGE_BYTES = 4096
PAGE = struct.Struct("<4sHHIIIIQQ")


class Page(NamedTuple):
    """The first 40 bytes of a file."""

    slots: int
    slot_stride: int
    capacity: int
    generation: int
    nonce: int
    pid: int


def read_page(data: Any, file_bytes: int) -> Page:
    """Give the page of a file that is `file_bytes` long. Raises WireError 103."""
    if len(data) < PAGE.size:
        raise WireError(103, "the file is too short")
    magic, version, _, *fields = PAGE.unpack_from(data)
    page = Page(*fields)
    if magic != b"TXBS" or version != 1:
        raise WireError(103, f"no shared memory of version 1: {magic!r}, {version}")
    stride = page.slot_stride
    if page.slots < 4 or not stride or stride % 4096 or not 1 <= page.capacity <= stride - 128:
        raise WireError(103, f"the page doesn't add up: {page}")
    if PAGE_BYTES + page.slots * stride > file_bytes:
        raise WireError(103, f"the file has {file_bytes} bytes, too few for {page.slots} slots of {stride}")
    return page


def place_doorbell(page: Page, header: Header) -> tuple[int, int, int]:
    """Give where `seq`, header and payload of a doorbell's slot lie. Raises WireError 103."""
    if header.slot is None or header.seq is None or header.slot >= page.slots:
        raise WireError(103, f"slot {header.slot} of {page.slots}")
    if header.seq % 2 or header.payload_bytes > page.capacity:
        raise WireError(103, f"seq {header.seq}, {header.payload_bytes} bytes of {page.capacity}")
    start = PAGE_BYTES + header.slot * page.slot_stride
    return start, start + 64, start + 128


def read_slot(page: Page, data: Any) -> tuple[int, Header]:
    """Give `seq` and the header of a slot's first 128 bytes. Raises WireError 103."""
    if len(data) < 128:
        raise WireError(103, "a slot begins with 128 bytes")
    header = Header(*HEADER.unpack_from(data, 64))
    if header.magic != b"TXB1" or header.header_bytes != 64 or header.flags & SHARED_MEMORY:
        raise WireError(103, "no frame header in the slot")
    if header.payload_bytes > page.capacity:
        raise WireError(103, f"{header.payload_bytes} bytes of {page.capacity}")
    check_geometry(header)
    return struct.unpack_from("<Q", data)[0], header


class MemoryReader:
    """One mapped file. Raises OSError (not there, not ours to read) or WireError (another file than the one meant)."""

    def __init__(self, message: dict[str, Any]) -> None:
        flags = os.O_RDONLY
        for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
            flags |= getattr(os, name, 0)
        file = os.open(message["file"], flags)
        try:
            page = self._page = read_page(os.read(file, PAGE.size), os.fstat(file).st_size)
            wanted = (message["nonce"], message["slots"], message["stride"])
            if (page.nonce, page.slots, page.slot_stride) != wanted:
                raise WireError(103, "the file of that name is another one: the bridge is on another host")
            length = PAGE_BYTES + page.slots * page.slot_stride
            self._mapping = mmap.mmap(file, length, access=mmap.ACCESS_READ)
        finally:
            os.close(file)
        self._bytes = memoryview(self._mapping)
        self._words = self._bytes.cast("Q")
        self._fence = threading.Lock()

    def copy(self, header: Header) -> memoryview | None:
        """Give a doorbell's payload in memory of its own; None if the slot was taken for a newer picture meanwhile."""
        seq_at, _, payload_at = place_doorbell(self._page, header)
        word = seq_at // 8
        if self._words[word] != header.seq:
            return None
        out = memoryview(np.empty(header.payload_bytes, np.uint8))
        out[:] = self._bytes[payload_at : payload_at + header.payload_bytes]
        with self._fence:
            pass  # a fence: the copy is over before seq is looked at again
        return out if self._words[word] == header.seq else None

    def close(self) -> None:
        """Let go of the file; copies stay."""
        self._words.release()
        self._bytes.release()
        self._mapping.close()
