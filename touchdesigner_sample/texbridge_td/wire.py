"""What is on the wire: the part of msgpack that the engine link uses, frames, parts, and TCP's lengths.

Everything that comes in is checked: whatever the bytes, only WireError is raised. Sources: protocols/engine-link.md,
protocols/frame.md, protocols/registry.md.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

MAX_DEPTH = 16
MAX_NODES = 65_536
HEADER = struct.Struct("<4sHHIIQIBBHIIIIQII")
PART = struct.Struct("<4sHHIIIIII")

PREVIEW, LAST_SET, HELD, BOTTOM_LEFT, LINEAR, PREMULTIPLIED, LAST_OF_SET, SHARED_MEMORY = (1 << n for n in range(8))

FORMATS = {
    "rgba8": 1, "bgra8": 2, "rgb8": 3, "r8": 4, "rgba16f": 5, "rgba32f": 6, "r16": 7, "r16f": 8, "r32f": 9,
    "bc1": 16, "bc3": 17, "bc7": 18, "jpeg": 64, "png": 65,
}  # fmt: skip
PIXEL_BYTES = {1: 4, 2: 4, 3: 3, 4: 1, 5: 8, 6: 16, 7: 2, 8: 2, 9: 4}
BLOCK_BYTES = {16: 8, 17: 16, 18: 16}
ENCODED = (64, 65)


class WireError(Exception):
    """Bytes that are not what the pages say. `code` is a number of protocols/errors.md."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


# --- msgpack -----------------------------------------------------------------------------------------------


def pack(value: Any) -> bytes:
    """Give a value as msgpack, each number in its shortest form, floats as float64.

    None, bool, int (-2^63 .. 2^64-1), float, str, bytes, list, tuple, dict. Raises TypeError, OverflowError.
    """
    out = bytearray()
    _pack(value, out)
    return bytes(out)


def _pack(value: Any, out: bytearray) -> None:
    if value is None:
        out.append(0xC0)
    elif value is True or value is False:
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _pack_int(value, out)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xCB, value)
    elif isinstance(value, str):
        data = value.encode("utf-8")
        _pack_length(len(data), out, (0xA0, 32), (0xD9, 0xDA, 0xDB))
        out += data
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        _pack_length(len(data), out, None, (0xC4, 0xC5, 0xC6))
        out += data
    elif isinstance(value, (list, tuple)):
        _pack_length(len(value), out, (0x90, 16), (None, 0xDC, 0xDD))
        for item in value:
            _pack(item, out)
    elif isinstance(value, dict):
        _pack_length(len(value), out, (0x80, 16), (None, 0xDE, 0xDF))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    else:
        raise TypeError(f"{type(value).__name__} can't be sent: {value!r}")


def _pack_int(value: int, out: bytearray) -> None:
    if 0 <= value < 128 or -32 <= value < 0:
        out.append(value & 0xFF)
        return
    if value >= 0:
        forms = ((1 << 8, ">BB", 0xCC), (1 << 16, ">BH", 0xCD), (1 << 32, ">BI", 0xCE), (1 << 64, ">BQ", 0xCF))
    else:
        forms = ((1 << 7, ">Bb", 0xD0), (1 << 15, ">Bh", 0xD1), (1 << 31, ">Bi", 0xD2), (1 << 63, ">Bq", 0xD3))
    for limit, form, first in forms:
        if value < limit if value >= 0 else -value <= limit:
            out += struct.pack(form, first, value)
            return
    raise OverflowError(f"{value} has more than 64 bits")


def _pack_length(length: int, out: bytearray, short: Any, firsts: Any) -> None:
    if short is not None and length < short[1]:
        out.append(short[0] | length)
    elif firsts[0] is not None and length < 1 << 8:
        out += struct.pack(">BB", firsts[0], length)
    elif length < 1 << 16:
        out += struct.pack(">BH", firsts[1], length)
    else:
        out += struct.pack(">BI", firsts[2], length)


def unpack_map(data: Any) -> dict[str, Any]:
    """Give the one map that a message is. Raises WireError 102, 106 or 107."""
    view = memoryview(data)
    if not len(view) or not (0x80 <= view[0] <= 0x8F or view[0] in (0xDE, 0xDF)):
        raise WireError(102, "a message is a msgpack map")
    reader = _Unpacker(view)
    value = reader.value(1)
    if reader.at != len(view):
        raise WireError(107, f"{len(view) - reader.at} bytes after the message")
    return value


class _Unpacker:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.nodes = 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise WireError(102, "the message is cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH + 1:
            raise WireError(106, "too many values, or too deep")
        first = self.number(">B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first <= 0x8F:
            return self.map(first & 15, depth)
        if first <= 0x9F:
            return self.list(first & 15, depth)
        if first <= 0xBF:
            return self.text(first & 31)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _NUMBERS:
            return self.number(_NUMBERS[first])
        if first in _TEXTS:
            return self.text(self.number(_TEXTS[first]))
        if first in _BYTES:
            return bytes(self.take(self.number(_BYTES[first])))
        if first in (0xDC, 0xDD):
            return self.list(self.number(">H" if first == 0xDC else ">I"), depth)
        if first in (0xDE, 0xDF):
            return self.map(self.number(">H" if first == 0xDE else ">I"), depth)
        if first == 0xC1:
            raise WireError(102, "the byte c1 is not msgpack")
        raise WireError(107, "extension types (timestamps, LZ4) are not used on this link")

    def text(self, length: int) -> str:
        try:
            return str(self.take(length), "utf-8")
        except UnicodeDecodeError:
            raise WireError(107, "a text is not UTF-8") from None

    def list(self, count: int, depth: int) -> list:
        self.room(count, depth)
        return [self.value(depth + 1) for _ in range(count)]

    def map(self, count: int, depth: int) -> dict[str, Any]:
        self.room(count, depth)
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if isinstance(key, bytes):
                key = self._as_text(key)
            if not isinstance(key, str):
                raise WireError(107, "a key is not text")
            if key in found:
                raise WireError(106, f"the key {key!r} is there twice")
            found[key] = self.value(depth + 1)
        return found

    def room(self, count: int, depth: int) -> None:
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise WireError(106, "too deep, or too many values")

    @staticmethod
    def _as_text(data: bytes) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise WireError(107, "a key is not UTF-8") from None


_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}


# --- frames ------------------------------------------------------------------------------------------------


class Header(NamedTuple):
    """A frame's header by the names of protocols/frame.md; `slot` and `seq` in a doorbell alone."""

    magic: bytes
    header_bytes: int
    flags: int
    stream: int
    number: int
    request: int
    index: int
    output: int
    mips: int
    format: int
    width: int
    height: int
    row_pitch: int
    payload_bytes: int
    client_time: int
    comfy_us: int
    bridge_us: int
    slot: int | None = None
    seq: int | None = None


def read_frame(message: Any) -> tuple[Header, memoryview]:
    """Give the header, and the payload without a copy (empty in a doorbell). Raises WireError 103."""
    view = memoryview(message)
    if len(view) < HEADER.size:
        raise WireError(103, f"a frame has 64 bytes at least, this one {len(view)}")
    header = Header(*HEADER.unpack_from(view))
    doorbell = bool(header.flags & SHARED_MEMORY)
    start = header.header_bytes
    if header.magic != b"TXB1" or start < (80 if doorbell else 64) or start % 16 or start > len(view):
        raise WireError(103, f"no frame header: magic {header.magic!r}, header_bytes {start}")
    payload = view[start:]
    if len(payload) != (0 if doorbell else header.payload_bytes):
        raise WireError(103, f"{len(payload)} bytes of payload, payload_bytes {header.payload_bytes}")
    check_geometry(header)
    if doorbell:
        slot, _, seq = struct.unpack_from("<IIQ", view, 64)
        header = header._replace(slot=slot, seq=seq)
    return header, payload


def check_geometry(header: Header) -> None:
    """Raise WireError 103 unless size, mips, row_pitch and payload_bytes agree. An unknown format passes."""
    width, height, mips = header.width, header.height, header.mips
    if not width or not height or not mips or not max(width, height) >> (mips - 1):
        raise WireError(103, f"{width}x{height} with {mips} mip levels")
    if header.format in ENCODED:
        if header.row_pitch or mips != 1 or header.flags & BOTTOM_LEFT or not header.payload_bytes:
            raise WireError(103, "an encoded picture with pitch, mips or flag 8, or an empty one")
        return
    if header.format not in PIXEL_BYTES and header.format not in BLOCK_BYTES:
        return
    pitch = total = 0
    for level in range(mips):
        w, h = max(width >> level, 1), max(height >> level, 1)
        if header.format in BLOCK_BYTES:
            row, rows = (w + 3) // 4 * BLOCK_BYTES[header.format], (h + 3) // 4
        else:
            row, rows = w * PIXEL_BYTES[header.format], h
        pitch = pitch or row
        total += row * rows
    if (header.row_pitch, header.payload_bytes) != (pitch, total):
        raise WireError(
            103, f"row_pitch {header.row_pitch}, payload_bytes {header.payload_bytes}: not {pitch}, {total}"
        )


class PartAssembler:
    """Parts of one large message, until it is whole. Raises WireError 104 or 105: the link is no good any more."""

    def __init__(self, max_total_bytes: int) -> None:
        self.max_total_bytes = max_total_bytes
        self._whole: Any = None
        self._first = (0, 0, 0)
        self._next = self._filled = self._size = 0

    def feed(self, item: Any) -> memoryview | None:
        """Take one part; give the whole message with the last one, else None."""
        view = memoryview(item)
        if len(view) < PART.size or bytes(view[:4]) != b"TXBP":
            raise WireError(104, "a part has 32 bytes and begins with TXBP")
        _, start, _, message, part, parts, offset, total, _ = PART.unpack_from(view)
        data = view[start:]
        if start < PART.size or not len(data):
            raise WireError(104, f"header_bytes {start} of a part of {len(view)} bytes")
        if total > self.max_total_bytes:
            raise WireError(105, f"a message of {total} bytes, the limit is {self.max_total_bytes}")
        if part == 0 and self._whole is None:
            if len(data) > total:
                raise WireError(104, "a part is longer than its message")
            self._whole = memoryview(np.empty(total, np.uint8))
            self._first, self._size, self._next, self._filled = (message, parts, total), len(data), 0, 0
        if self._whole is None or part != self._next or (message, parts, total) != self._first:
            raise WireError(104, f"part {part} of message {message} was not expected here")
        last = part == parts - 1
        if part >= parts or offset != self._filled or len(data) > self._size or len(data) > total - offset:
            raise WireError(104, f"part {part} doesn't fit where it says")
        if len(data) != (total - offset if last else self._size):
            raise WireError(104, f"part {part} has {len(data)} bytes")
        self._whole[offset : offset + len(data)] = data
        self._next, self._filled = part + 1, offset + len(data)
        if not last:
            return None
        whole, self._whole = self._whole, None
        return whole


class LengthReader:
    """A TCP stream as messages. The socket writes into `buffer()`, so that a frame is never copied."""

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._length = bytearray(4)
        self._into = memoryview(self._length)
        self._in_message = False
        self._filled = 0

    @property
    def waiting(self) -> int:
        """Bytes that came and are no whole message yet, the length counted."""
        return self._filled + (4 if self._in_message else 0)

    def buffer(self) -> memoryview:
        """Where the next bytes go."""
        return self._into[self._filled :]

    def filled(self, count: int) -> memoryview | None:
        """So many bytes were written into `buffer()`; give the message that is whole now. Raises 105, 111."""
        self._filled += count
        if self._filled < len(self._into):
            return None
        self._filled = 0
        if self._in_message:
            message, self._into, self._in_message = self._into, memoryview(self._length), False
            return message
        (length,) = struct.unpack("<I", self._length)
        if length == 0:
            raise WireError(111, "a message of no bytes")
        if length > self.max_message_bytes:
            raise WireError(105, f"a message of {length} bytes, the limit is {self.max_message_bytes}")
        self._into, self._in_message = memoryview(np.empty(length, np.uint8)), True
        return None
