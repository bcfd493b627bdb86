"""The layout of a shared memory file: its page, its slots, and what a doorbell may point at. Pure: bytes come in.

A reader trusts nothing that is in a file: whatever stands there, every place that comes out of this module lies inside
the file, or FrameDecodeError (103) is raised. Doorbells themselves are frames, see `codec.frame`.
Source: protocols/shared-memory.md; vectors: protocols/vectors/memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.codec.frame import HEADER_BYTES, FrameHeader, decode_frame_header
from bridge.errors import FrameDecodeError

MAGIC: Final = b"TXBS"
VERSION: Final = 1
PAGE_BYTES: Final = 4_096
MIN_SLOTS: Final = 4
SLOT_HEADER_AT: Final = 64
SLOT_PAYLOAD_AT: Final = SLOT_HEADER_AT + HEADER_BYTES
FIELDS_BYTES: Final = 40

_PAGE: Final = struct.Struct("<4sHHIIIIQQ")
_SEQ: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """The first page of a shared memory file.

    Attributes:
        slots: how many, u32, at least 4.
        slot_stride: bytes from one slot to the next, u32, a multiple of 4,096.
        capacity: payload bytes that a slot holds, u32, 1 .. slot_stride - 128.
        generation: counts the files of one subject, u32.
        nonce: random, u64; proves that two sides mean the same file.
        pid: the writer's process, u64; for people.
    """

    slots: int
    slot_stride: int
    capacity: int
    generation: int
    nonce: int
    pid: int

    @property
    def file_bytes(self) -> int:
        """The length of the file."""
        return PAGE_BYTES + self.slots * self.slot_stride

    def slot_at(self, slot: int) -> int:
        """Where a slot begins, and with it its seq; the header is 64 bytes further, the payload 128."""
        return PAGE_BYTES + slot * self.slot_stride


class SlotPlace(NamedTuple):
    """Where in the file the three things of one slot are."""

    seq_at: int
    header_at: int
    payload_at: int


def page_for(payload_bytes: int, slots: int, *, generation: int, nonce: int, pid: int) -> MemoryPage:
    """Give the page of a file whose slots hold payloads of this size.

    Raises ValueError for a size or number of slots that no page can say.
    """
    stride = -(-(SLOT_PAYLOAD_AT + payload_bytes) // PAGE_BYTES) * PAGE_BYTES
    if slots < MIN_SLOTS or payload_bytes < 1 or stride > 0xFFFF_FFFF:
        raise ValueError(f"{slots} slots for {payload_bytes} bytes; at least {MIN_SLOTS}, and 1 to 2^32 - 4,224 bytes")
    return MemoryPage(slots, stride, payload_bytes, generation, nonce, pid)


def encode_page(page: MemoryPage) -> bytes:
    """Give the 40 bytes at the beginning of a file; the rest of the page is zero.

    Raises ValueError for a number that its field can't hold.
    """
    try:
        return _PAGE.pack(
            MAGIC, VERSION, 0, page.slots, page.slot_stride, page.capacity, page.generation, page.nonce, page.pid
        )
    except struct.error as error:
        raise ValueError(f"{page} does not fit the file: {error}") from error


def decode_page(data: bytes | bytearray | memoryview, file_bytes: int) -> MemoryPage:
    """Give the page that begins with `data` (40 bytes or more) of a file that is `file_bytes` long.

    Raises FrameDecodeError (103) and nothing else: cut short, another magic or version, fewer than 4 slots, stride or
    capacity impossible, or slots that don't lie inside the file.
    """
    view = memoryview(data).cast("B")
    if len(view) < FIELDS_BYTES:
        raise FrameDecodeError(f"shared memory page of {len(view)} bytes < {FIELDS_BYTES}", value=len(view))
    magic, version, _, slots, stride, capacity, generation, nonce, pid = _PAGE.unpack_from(view)
    if magic != MAGIC:
        raise FrameDecodeError(f"the file begins with {magic!r}, not {MAGIC!r}: it is no shared memory of texbridge")
    if version != VERSION:
        raise FrameDecodeError(
            f"shared memory of version {version}, only {VERSION} is read here",
            field="version",
            value=version,
            limit=VERSION,
        )
    if slots < MIN_SLOTS:
        raise FrameDecodeError(
            f"{slots} slots, must be {MIN_SLOTS} or more", field="slots", value=slots, limit=MIN_SLOTS
        )
    if not stride or stride % PAGE_BYTES:
        raise FrameDecodeError(
            f"slot_stride {stride} must be a multiple of {PAGE_BYTES}", field="slot_stride", value=stride
        )
    if not 1 <= capacity <= stride - SLOT_PAYLOAD_AT:
        raise FrameDecodeError(
            f"capacity {capacity} must be 1..{stride - SLOT_PAYLOAD_AT} (slot_stride - {SLOT_PAYLOAD_AT})",
            field="capacity",
            value=capacity,
            limit=stride - SLOT_PAYLOAD_AT,
        )
    page = MemoryPage(slots, stride, capacity, generation, nonce, pid)
    if page.file_bytes > file_bytes:
        raise FrameDecodeError(
            f"{slots} slots of {stride} bytes need {page.file_bytes} bytes, the file has {file_bytes}",
            field="slots",
            value=page.file_bytes,
            limit=file_bytes,
        )
    return page


def place_slot(page: MemoryPage, slot: int, seq: int) -> SlotPlace:
    """Give where a slot's seq, header and payload are.

    Raises FrameDecodeError (103): no such slot, or an odd seq, which means that it is being written.
    """
    if not 0 <= slot < page.slots:
        raise FrameDecodeError(
            f"slot {slot} is outside 0..{page.slots - 1}", field="slot", value=slot, limit=page.slots - 1
        )
    if seq & 1 or not 0 <= seq <= 0xFFFF_FFFF_FFFF_FFFF:
        raise FrameDecodeError(
            f"seq {seq} must be even and 64 bits: an odd one is being written", field="seq", value=seq
        )
    begin = page.slot_at(slot)
    return SlotPlace(begin, begin + SLOT_HEADER_AT, begin + SLOT_PAYLOAD_AT)


def place_doorbell(page: MemoryPage, header: FrameHeader) -> SlotPlace:
    """Give where the payload of a doorbell lies; all of it is inside the slot.

    Raises FrameDecodeError (103): no doorbell, as `place_slot`, or a payload over the capacity.
    """
    if header.slot is None or header.seq is None:
        raise FrameDecodeError("a frame with its payload behind it is no doorbell", field="flags", value=header.flags)
    place = place_slot(page, header.slot, header.seq)
    _check_capacity(page, header)
    return place


def decode_slot(page: MemoryPage, data: bytes | bytearray | memoryview) -> tuple[int, FrameHeader]:
    """Give the seq and the header at the beginning of a slot (128 bytes or more), whose payload fits the slot.

    Raises FrameDecodeError (103): cut short, a header that is none or has flag 128, or a payload over the capacity.
    """
    view = memoryview(data).cast("B")
    if len(view) < SLOT_PAYLOAD_AT:
        raise FrameDecodeError(f"slot of {len(view)} bytes < {SLOT_PAYLOAD_AT}", value=len(view))
    header = decode_frame_header(view[SLOT_HEADER_AT:SLOT_PAYLOAD_AT])
    _check_capacity(page, header)
    return int(_SEQ.unpack_from(view)[0]), header


def _check_capacity(page: MemoryPage, header: FrameHeader) -> None:
    if header.payload_bytes > page.capacity:
        raise FrameDecodeError(
            f"payload_bytes {header.payload_bytes} > capacity {page.capacity} of a slot",
            field="payload_bytes",
            value=header.payload_bytes,
            limit=page.capacity,
        )
