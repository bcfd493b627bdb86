"""Where the body of a request ends, strictly: what two readers could understand differently is refused.

Pure. Source: RFC 9112, sections 6 and 7.1; chunk extensions and trailers, which nobody needs here, are refused.
"""

from __future__ import annotations

import re
from typing import Final

MAX_BODY_BYTES: Final = 12 * 1024
"""Of a request; only administration takes any."""
BODILESS: Final = (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT")

_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_LONGEST_LINE: Final = 10
_RAW_PER_BYTE: Final = 8
"""Chunks of one byte take six."""


class RefusedBodyError(Exception):
    """A body that is not taken: the HTTP status, and words for the client."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class LengthBody:
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    @property
    def over(self) -> bool:
        """True when all of it was there."""
        return self._left == 0

    def feed(self, data: bytes) -> int:
        """Give how many bytes at the beginning of `data` are the body's."""
        taken = min(self._left, len(data))
        self._left -= taken
        return taken


class ChunkedBody:
    """A body in chunks."""

    def __init__(self, max_body_bytes: int) -> None:
        self.over = False
        """True when all of it was there."""
        self._max_body_bytes = max_body_bytes
        self._bytes = self._raw_bytes = 0
        self._data_left = 0
        self._line = b""
        self._after_data = self._last = False

    def feed(self, data: bytes) -> int:
        """Give how many bytes at the beginning of `data` are the body's. Raises RefusedBodyError."""
        at = 0
        while at < len(data) and not self.over:
            if self._data_left:
                taken = min(self._data_left, len(data) - at)
                self._data_left -= taken
                self._after_data = not self._data_left
                at += taken
                continue
            end = data.find(b"\n", at, at + _LONGEST_LINE)
            piece = data[at : at + _LONGEST_LINE] if end < 0 else data[at : end + 1]
            self._line += piece
            at += len(piece)
            if end >= 0:
                self._line_over()
            elif len(self._line) >= _LONGEST_LINE:
                raise RefusedBodyError(400, "a chunk has no size, or more in its line than that")
        self._raw_bytes += at
        if self._raw_bytes > self._max_body_bytes * _RAW_PER_BYTE:
            raise _too_large(self._max_body_bytes)
        return at

    def _line_over(self) -> None:
        line, self._line = self._line, b""
        if self._after_data or self._last:
            if line != b"\r\n":
                what = "after the last chunk nothing may stand" if self._last else "a chunk is longer than its size"
                raise RefusedBodyError(400, what)
            self.over, self._after_data = self._last, False
            return
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise RefusedBodyError(400, "a chunk has no size, or more in its line than that")
        size = int(match[1], 16)
        self._last, self._data_left = size == 0, size
        self._bytes += size
        if self._bytes > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)


def body_of(head: bytes, max_body_bytes: int = MAX_BODY_BYTES) -> LengthBody | ChunkedBody | None:
    """Give what reads the body that a request's head announces; None if it has none.

    Raises:
        RefusedBodyError: 400 for a length that is none or said twice, a length beside chunks, another transfer coding,
            a body of a method that has none here; 413 for one over `max_body_bytes`.
    """
    lines = head.split(b"\n")
    lengths, codings = [], []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                lengths.append(value.strip())
            case b"transfer-encoding":
                codings.append(value.strip().lower())
    if not lengths and not codings:
        return None
    if lengths and codings:
        raise RefusedBodyError(400, "Content-Length and Transfer-Encoding in one request")
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise RefusedBodyError(400, "Content-Length must be one number")
    if codings and codings != [b"chunked"]:
        raise RefusedBodyError(400, "Transfer-Encoding can only be chunked")
    size = int(lengths[0]) if lengths else None
    if size == 0:
        return None
    if lines[0].split(b" ", 1)[0].upper() in BODILESS:
        raise RefusedBodyError(400, "a request here has no body")
    if size is None:
        return ChunkedBody(max_body_bytes)
    if size > max_body_bytes:
        raise _too_large(max_body_bytes)
    return LengthBody(size)


def _too_large(max_body_bytes: int) -> RefusedBodyError:
    return RefusedBodyError(413, f"the body is over {max_body_bytes} bytes")
