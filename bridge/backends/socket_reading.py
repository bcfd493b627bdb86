"""Whole messages of a WebSocket read straight into memory of their own; the `websockets` library does the rest.

A picture of a megabyte comes in dozens of pieces. The library keeps each as bytes, adds it to a bytearray and cuts the
message out of that: the picture is copied three times. Here the socket writes it where it stays. Only whole data frames
are taken past the library; the handshake, control frames, fragments and whatever breaks the protocol or the limit is
handed to it byte by byte as it came, so it answers pings, closes, and judges as ever. Source: RFC 6455, 5.2.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import numpy as np

SCRATCH_BYTES: Final = 64 * 1024
"""What is read at once while no message is known to be longer."""

_HEAD_END: Final = b"\r\n\r\n"
_WHOLE_TEXT, _WHOLE_BINARY = 0x81, 0x82
_MOST_HEADER: Final = 10


class Inner(Protocol):
    """What the library's connection does with bytes, and what is asked of it."""

    def connection_made(self, transport: asyncio.BaseTransport, /) -> None: ...

    def connection_lost(self, exc: Exception | None, /) -> None: ...

    def data_received(self, data: bytes, /) -> None: ...

    def eof_received(self) -> bool | None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def takes_frames(self) -> bool:
        """Whether whole data frames may go past the library: it is open, and no fragmented message is under way."""
        ...

    def begins(self) -> None:
        """The first bytes of a message are here."""
        ...

    def take(self, is_text: bool, data: memoryview) -> None:
        """One whole message, in memory of its own."""
        ...


class FrameReader(asyncio.BufferedProtocol):
    """Between the transport and the library's connection `inner`. Messages over `max_message_bytes` are the library's
    to refuse."""

    def __init__(self, inner: Inner, max_message_bytes: int) -> None:
        self.inner = inner
        self._max_bytes = max_message_bytes
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._kept = 0
        """Bytes of an unfinished frame header at the scratch's beginning."""
        self._handshake: bytes | None = b""
        """The last bytes of the server's answer, until its end is seen."""
        self._message: memoryview | None = None
        self._got = 0
        self._is_text = False
        self._passing = 0
        """So many bytes of a frame still go to the library."""
        self._passes_all = False

    # --- asyncio's call-backs --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._message = None
        self.inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._message is not None:
            return self._message[self._got :]
        return self._scratch[self._kept :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._message is not None:
            self._got += nbytes
            if self._got == len(self._message):
                self._hand_over()
            return
        end = self._kept + nbytes
        self._kept = 0
        at = 0
        if self._handshake is not None:
            at = self._pass_handshake(end)
        while at < end:
            at, stays = self._next(at, end)
            if stays:
                break
        if at < end:  # the beginning of a frame header
            rest = bytes(self._scratch[at:end])
            self._scratch[: len(rest)] = rest
            self._kept = len(rest)

    # --- the stream's parts ----------------------------------------------------------------------------------

    def _pass_handshake(self, end: int) -> int:
        """Give the library the server's answer up to its end, or all there is; the result is where that was."""
        assert self._handshake is not None
        before = len(self._handshake)
        seen = self._handshake + self._scratch[:end]
        found = seen.find(_HEAD_END)
        if found < 0:
            self._handshake = seen[-3:]
            self.inner.data_received(bytes(self._scratch[:end]))
            return end
        at = found + len(_HEAD_END) - before
        self._handshake = None
        self.inner.data_received(bytes(self._scratch[:at]))
        self._passes_all = not self.inner.takes_frames()  # refused: what follows is the answer's body
        return at

    def _next(self, at: int, end: int) -> tuple[int, bool]:
        """Deal with what begins at `at`; the result is where the next begins, and whether it has to wait for more."""
        if self._passes_all:
            return self._pass(at, end), False
        if self._passing:
            upto = min(end, at + self._passing)
            self._passing -= upto - at
            return self._pass(at, upto), False
        head = bytes(self._scratch[at : min(end, at + _MOST_HEADER)])
        length, header_bytes = _frame_length(head)
        if not header_bytes:
            return at, True
        self.inner.begins()
        whole = head[0] in (_WHOLE_TEXT, _WHOLE_BINARY) and not head[1] & 0x80 and length <= self._max_bytes
        if not (whole and self.inner.takes_frames()):
            self._passing = header_bytes + length
            return at, False
        start = at + header_bytes
        upto = min(end, start + length)
        self._message = np.empty(length, np.uint8).data
        self._is_text = head[0] == _WHOLE_TEXT
        self._got = upto - start
        self._message[: self._got] = self._scratch[start:upto]
        if self._got == length:
            self._hand_over()
        return upto, False

    def _pass(self, at: int, upto: int) -> int:
        self.inner.data_received(bytes(self._scratch[at:upto]))
        return upto

    def _hand_over(self) -> None:
        message, self._message = self._message, None
        assert message is not None
        self.inner.take(self._is_text, message)


def _frame_length(head: bytes) -> tuple[int, int]:
    """Payload and header bytes of the frame that begins so; the latter is 0 as long as more is needed to know.

    A mask, which no server sends, is counted as payload: the library refuses the frame at its header.
    """
    if len(head) < 2:
        return 0, 0
    short = head[1] & 0x7F
    mask = 4 if head[1] & 0x80 else 0
    if short < 126:
        return short + mask, 2
    size = 2 if short == 126 else 8
    if len(head) < 2 + size:
        return 0, 0
    return int.from_bytes(head[2 : 2 + size], "big") + mask, 2 + size
