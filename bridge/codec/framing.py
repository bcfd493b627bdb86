"""TCP's length prefix: a u32 little-endian before each message.

`LengthDecoder` is one state machine with two faces: `feed(data)` for bytes that are at hand, `get_buffer` and
`buffer_updated` for `asyncio.BufferedProtocol`, where a large message is received into its own memory without a copy.
Source: protocols/engine-link.md; vectors: protocols/vectors/framing.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from bridge.errors import ErrorCode, FramingDecodeError

LENGTH_BYTES: Final = 4

_LENGTH: Final = struct.Struct("<I")
_SCRATCH_BYTES: Final = 64 * 1024
_HTTP: Final = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI")


def encode_length(length: int) -> bytes:
    """Give the four bytes before a message of `length` bytes. Raises ValueError outside 1..2^32 - 1."""
    if not 1 <= length <= 0xFFFF_FFFF:
        raise ValueError(f"a message of {length} bytes has no length prefix, must be 1..{0xFFFF_FFFF}")
    return _LENGTH.pack(length)


class LengthDecoder:
    """Cuts a byte stream into messages.

    Small messages come out as `bytes`. One that doesn't fit the 64 KiB of scratch comes as a `memoryview` of memory
    that is its own: nothing writes there again. Memory for it is taken when its length is known, at most
    `max_message_bytes`, and touched only as bytes arrive. `max_message_bytes` may be changed between calls; it counts
    for the next length read. After an error the decoder gives the same error again: the stream has lost its place.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._filled = 0
        self._large: memoryview | None = None
        self._large_filled = 0
        self._fault: FramingDecodeError | None = None

    @property
    def waiting(self) -> int:
        """How many bytes of an unfinished message are held, its length prefix included."""
        return self._filled if self._large is None else LENGTH_BYTES + self._large_filled

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes | memoryview]:
        """Take any bytes of the stream; give the messages that they complete.

        Raises FramingDecodeError: 111 for a length of 0, 105 for one over `max_message_bytes`. Messages that were
        whole before the bad length are then in the error's `messages`.
        """
        view = memoryview(data).cast("B")
        messages: list[bytes | memoryview] = []
        try:
            while len(view):
                room = self.get_buffer(len(view))
                count = min(len(room), len(view))
                room[:count] = view[:count]
                view = view[count:]
                messages += self.buffer_updated(count)
        except FramingDecodeError as error:
            error.messages = (*messages, *error.messages)
            raise
        return messages

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place for the next bytes of the stream, never empty. `sizehint` is not needed."""
        if self._large is None:
            return self._scratch[self._filled :]
        return self._large[self._large_filled :]

    def buffer_updated(self, count: int) -> list[bytes | memoryview]:
        """Take notice of `count` bytes written to the last `get_buffer`; give the messages that they complete.

        Raises as `feed` does.
        """
        if self._fault is not None:
            self._fault.messages = ()
            raise self._fault
        if self._large is not None:
            self._large_filled += count
            if self._large_filled < len(self._large):
                return []
            message = self._large
            self._large = None
            return [message]
        self._filled += count
        return self._cut()

    def _cut(self) -> list[bytes | memoryview]:
        """Cut the scratch into messages and keep what is left over at its begin."""
        scratch = self._scratch
        end = self._filled
        position = 0
        messages: list[bytes | memoryview] = []
        while end - position >= LENGTH_BYTES:
            length: int = _LENGTH.unpack_from(scratch, position)[0]
            if not 1 <= length <= self.max_message_bytes:
                self._fault = self._bad_length(length)
                self._fault.messages = tuple(messages)
                raise self._fault
            begin = position + LENGTH_BYTES
            if length <= end - begin:
                position = begin + length
                messages.append(bytes(scratch[begin:position]))
            elif LENGTH_BYTES + length > len(scratch):
                self._begin_large(length, scratch[begin:end])
                position = end
            else:
                break
        if position:
            # Slices of one memoryview may overlap: the copy goes by way of memmove.
            scratch[: end - position] = scratch[position:end]
            self._filled = end - position
        return messages

    def _begin_large(self, length: int, first: memoryview) -> None:
        # numpy gives memory without writing to it: a length alone costs a peer four bytes and us no pages.
        self._large = np.empty(length, np.uint8).data
        self._large[: len(first)] = first
        self._large_filled = len(first)

    def _bad_length(self, length: int) -> FramingDecodeError:
        if length == 0:
            return FramingDecodeError("length 0: a message has at least 1 byte", field="length", value=0, limit=1)
        swapped = int.from_bytes(length.to_bytes(4, "little"), "big")
        hint = "; lengths are u32 little-endian" if 0 < swapped <= self.max_message_bytes else ""
        hint = "; this is HTTP, which has a door of its own" if length.to_bytes(4, "little") in _HTTP else hint
        return FramingDecodeError(
            f"length {length} > limit of {self.max_message_bytes} bytes{hint}",
            code=ErrorCode.MESSAGE_TOO_LARGE,
            field="length",
            value=length,
            limit=self.max_message_bytes,
        )
