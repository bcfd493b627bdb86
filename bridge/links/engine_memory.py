"""An engine's own shared memory file, from which the bridge takes pictures: opened with care, read by copying.

`EngineFile.open(path, nonce, slots, stride, max_bytes)`, then `read_slot(slot, seq) -> (FrameHeader, bytes)` as often
as a message names a slot. The bytes are the bridge's own: the slot is free again when the call returns.

The file belongs to a program that may be wrong, or hostile: it is read with file reads and never mapped where it could
be made shorter (a mapping that loses its file ends the process), every place is checked against its length of now, and
nothing of a file that isn't ours is ever told. Source: protocols/shared-memory.md, To the bridge.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.codec.frame import FrameHeader
from bridge.codec.shared_memory import (
    FIELDS_BYTES,
    SLOT_PAYLOAD_AT,
    MemoryPage,
    SlotPlace,
    decode_page,
    decode_slot,
    place_slot,
)
from bridge.errors import ErrorCode, FrameDecodeError, InvalidValueError, NotAllowedError

MAX_PATH_BYTES: Final = 4_096
_SEQ: Final = struct.Struct("<Q")

Read = Callable[[int, int], bytes]
"""`read(length, offset)` gives the bytes there, fewer at the end of the file."""


class EngineFile:
    """One engine's file, open until `close`. `open` makes it."""

    def __init__(self, page: MemoryPage, read: Read, close: Callable[[], None]) -> None:
        self.page = page
        self._read = read
        self._close = close

    @classmethod
    def open(cls, path: str, nonce: int, slots: int, stride: int, max_bytes: int) -> EngineFile:
        """Open the file that an engine names.

        Raises:
            NotAllowedError: not absolute, not there, no regular file of our own user, too large ... (411).
            FrameDecodeError: its page is none, or says another nonce, number of slots or stride (103).
        """
        file = _open_own(path)
        try:
            length = os.fstat(file).st_size
            if length > max_bytes:
                raise _refused(f"has {length} bytes, the limit is {max_bytes} (limits.shared_memory_mb)")
            read, close = _reader(file)
        except BaseException:
            os.close(file)
            raise
        try:
            page = decode_page(read(FIELDS_BYTES, 0), length)
            for field, told, found in (
                ("nonce", nonce, page.nonce),
                ("slots", slots, page.slots),
                ("stride", stride, page.slot_stride),
            ):
                if told != found:
                    raise FrameDecodeError(
                        f"memory says {field} {told}, the file has another: it is not the file that was meant",
                        field=field,
                        value=told,
                    )
        except BaseException:
            close()
            raise
        return cls(page, read, close)

    def read_slot(self, slot: int, seq: int, max_payload_bytes: int | None = None) -> tuple[FrameHeader, bytes]:
        """Copy a picture: the slot's header, whose place and size have been checked, and its payload.

        Raises:
            FrameDecodeError: no such slot, it was written over, or its header contradicts itself (103).
            InvalidValueError: a payload over `max_payload_bytes` (309).
        """
        place = place_slot(self.page, slot, seq)
        before, header = decode_slot(self.page, self._read(SLOT_PAYLOAD_AT, place.seq_at))
        if before != seq:
            raise _overwritten(slot, seq)
        if max_payload_bytes is not None and header.payload_bytes > max_payload_bytes:
            raise InvalidValueError(
                f"slot {slot} holds {header.payload_bytes} bytes > limit of {max_payload_bytes}",
                code=ErrorCode.TOO_LONG,
                field="slot",
                value=header.payload_bytes,
                limit=max_payload_bytes,
            )
        payload = self._read(header.payload_bytes, place.payload_at)
        if len(payload) != header.payload_bytes or self._seq(place) != seq:
            raise _overwritten(slot, seq)
        return header, payload

    def _seq(self, place: SlotPlace) -> int | None:
        data = self._read(_SEQ.size, place.seq_at)
        return int(_SEQ.unpack(data)[0]) if len(data) == _SEQ.size else None

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        close, self._close = self._close, _nothing
        close()


def _open_own(path: str) -> int:
    """Give a file descriptor of a regular file that belongs to our own user. Raises NotAllowedError (411)."""
    if not path or "\0" in path or len(path.encode("utf-8", "replace")) > MAX_PATH_BYTES or not os.path.isabs(path):
        raise _refused("must be named by an absolute path")
    if sys.platform == "win32":
        _check_windows_path(path, tempfile.gettempdir())
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)  # O_NONBLOCK: a named pipe shall not hold up the loop
    try:
        file = os.open(path, flags)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise _refused(f"can't be opened: {words}") from error
    found = os.fstat(file)
    get_user = getattr(os, "getuid", None)
    if not stat.S_ISREG(found.st_mode) or (get_user is not None and found.st_uid != get_user()):
        os.close(file)
        raise _refused("must be a regular file that belongs to the bridge's own user")
    return file


def _check_windows_path(path: str, temporary: str) -> None:
    """A file on a local drive, below the user's folder for temporary files. Raises NotAllowedError (411)."""
    if path.startswith(("\\\\", "//")):
        raise _refused("must be on a local drive")  # before anything asks the network, and shows it who we are
    try:
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(temporary))
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise _refused(f"must be below {temporary}")


def _reader(file: int) -> tuple[Read, Callable[[], None]]:
    """How to read from a file descriptor, which now belongs to the reader."""
    read: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)
    if read is None:
        return _map(file)
    there = read

    def read_all(length: int, offset: int) -> bytes:
        data = there(file, length, offset)
        while len(data) < length:
            more = there(file, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    return read_all, lambda: os.close(file)


def _map(file: int) -> tuple[Read, Callable[[], None]]:
    """Windows has no `pread`, and keeps a mapped file from being made shorter."""
    import mmap

    mapping = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    os.close(file)
    return lambda length, offset: mapping[offset : offset + length], mapping.close


def _refused(why: str) -> NotAllowedError:
    return NotAllowedError(
        f"memory: the file {why}; send pictures in messages instead", code=ErrorCode.NOT_SUPPORTED, field="file"
    )


def _overwritten(slot: int, seq: int) -> FrameDecodeError:
    return FrameDecodeError(
        f"slot {slot} has not seq {seq}: it was written over before it was read; the picture is dropped",
        field="seq",
        value=seq,
    )


def _nothing() -> None:
    """A file that is closed."""
