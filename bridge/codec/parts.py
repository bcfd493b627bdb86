"""Parts: a large message cut into pieces for a peer whose socket takes only small ones, and put together again.

Only one message of a connection is in parts at a time; whole messages may stand between its parts.
Source: protocols/frame.md, Parts; vectors: protocols/vectors/part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from bridge.errors import ErrorCode, PartDecodeError

MAGIC: Final = b"TXBP"
HEADER_BYTES: Final = 32
MIN_MESSAGE_BYTES: Final = 1_024
"""The smallest `max_message_bytes` that a peer may name in `hello`."""

_HEADER: Final = struct.Struct("<4sHHIIIIII")
_U32_MAX: Final = 0xFFFF_FFFF


def split_message(message: bytes | bytearray | memoryview, max_message_bytes: int, number: int) -> Iterator[bytes]:
    """Give the parts of a message, each of `max_message_bytes` but the last, header included.

    Always makes parts, if only one: the caller sends a message that fits as it stands. `number` counts the
    connection's messages in parts from 0, modulo 2^32. Raises ValueError for an empty message, one of 4 GiB or more,
    and a `max_message_bytes` that has no room for a byte behind the 32 of the header.
    """
    view = memoryview(message).cast("B")
    total = len(view)
    room = max_message_bytes - HEADER_BYTES
    if room < 1 or not 1 <= total <= _U32_MAX:
        raise ValueError(f"{total} bytes can't be cut into messages of {max_message_bytes} bytes")
    parts = -(-total // room)
    for part in range(parts):
        offset = part * room
        head = _HEADER.pack(MAGIC, HEADER_BYTES, 0, number & _U32_MAX, part, parts, offset, total, 0)
        yield head + view[offset : offset + room]


class PartAssembler:
    """Puts the parts of one connection together, one message after the other.

    It holds at most `max_total_bytes`, and only bytes that have really come. After an error it is empty; the
    connection should end, since the sender lost count.
    """

    def __init__(self, max_total_bytes: int) -> None:
        self.max_total_bytes = max_total_bytes
        self._begin()

    def _begin(self) -> None:
        self._bytes = bytearray()
        self._key = (0, 0, 0)  # message, parts, total
        self._size = 0
        self._next = 0

    @property
    def waiting(self) -> int:
        """How many bytes of an unfinished message are held."""
        return len(self._bytes)

    def feed(self, part: bytes | bytearray | memoryview) -> bytes | None:
        """Take one part; give the whole message if this was its last one, else None.

        Raises PartDecodeError: 104 for a part that is malformed, repeated, out of order or of another size than its
        message's first, 105 for a message of more than `max_total_bytes` (at its first part).
        """
        try:
            whole = self._take(memoryview(part).cast("B"))
        except PartDecodeError:
            self._begin()
            raise
        if whole is not None:
            self._begin()
        return whole

    def _take(self, view: memoryview) -> bytes | None:
        if len(view) <= HEADER_BYTES:
            raise PartDecodeError(f"part of {len(view)} bytes must be longer than its header of {HEADER_BYTES}")
        magic, header_bytes, _, message, part, parts, offset, total, _ = _HEADER.unpack_from(view)
        if magic != MAGIC:
            raise PartDecodeError(f"part begins with {magic!r}, not {MAGIC!r}")
        if not HEADER_BYTES <= header_bytes < len(view):
            raise PartDecodeError(
                f"header_bytes {header_bytes} must be in {HEADER_BYTES}..{len(view) - 1}",
                field="header_bytes",
                value=header_bytes,
            )
        piece = view[header_bytes:]
        if total > self.max_total_bytes:
            raise PartDecodeError(
                f"message of {total} bytes in parts > limit of {self.max_total_bytes}",
                code=ErrorCode.MESSAGE_TOO_LARGE,
                field="total",
                value=total,
                limit=self.max_total_bytes,
            )
        if part != self._next:
            raise PartDecodeError(
                f"part {part} of message {message}, must be part {self._next}",
                field="part",
                value=part,
                limit=self._next,
            )
        if part == 0:
            self._key = (message, parts, total)
            self._size = len(piece)
            if parts != -(-total // len(piece)):
                raise PartDecodeError(
                    f"{parts} parts of {len(piece)} bytes don't make {total} bytes", field="parts", value=parts
                )
        elif (message, parts, total) != self._key:
            raise PartDecodeError(
                f"part {part} is of message {message} ({parts} parts, {total} bytes), must be of message "
                f"{self._key[0]} ({self._key[1]} parts, {self._key[2]} bytes)",
                field="message",
                value=message,
                limit=self._key[0],
            )
        held = len(self._bytes)
        expected = min(self._size, total - held)
        if offset != held or len(piece) != expected:
            raise PartDecodeError(
                f"part {part} has {len(piece)} bytes at {offset}, must have {expected} at {held}",
                field="offset",
                value=offset,
                limit=held,
            )
        if parts == 1:
            return bytes(piece)
        self._bytes += piece
        self._next += 1
        return bytes(self._bytes) if self._next == parts else None
