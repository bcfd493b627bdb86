"""Whatever bytes a shared memory file holds: DecodeError's family alone, and every place inside the file."""

from __future__ import annotations

import struct
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bridge.codec.frame import FrameHeader, decode_frame, encode_frame_header
from bridge.codec.shared_memory import (
    MemoryPage,
    decode_page,
    decode_slot,
    encode_page,
    page_for,
    place_doorbell,
    place_slot,
)
from bridge.errors import DecodeError

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
PAGES = st.builds(
    lambda payload, slots, generation, nonce, pid: page_for(
        payload, slots, generation=generation, nonce=nonce, pid=pid
    ),
    st.integers(1, 2**32 - 2 * 4096),
    st.integers(4, 2**32 - 1),
    U32,
    U64,
    U64,
)
BELL = FrameHeader(192, 1, 2, 3, 0, 0, 1, 1, 16, 16, 64, 1024, slot=0, seq=2)


@given(PAGES)
def test_a_page_comes_back(page: MemoryPage) -> None:
    assert decode_page(encode_page(page), page.file_bytes) == page
    assert page.slot_stride % 4096 == 0
    assert page.capacity + 128 <= page.slot_stride < page.capacity + 128 + 4096


@given(st.binary(max_size=60), st.integers(0, 2**40))
def test_any_bytes_for_a_page(data: bytes, length: int) -> None:
    for candidate in (data, b"TXBS\1\0" + data):
        try:
            page = decode_page(candidate, length)
        except DecodeError:
            continue
        assert page.file_bytes <= length


@given(U32, U32, U32, st.integers(0, 2**40))
def test_any_numbers_in_a_page(slots: int, stride: int, capacity: int, length: int) -> None:
    data = struct.pack("<4sHHIIIIQQ", b"TXBS", 1, 0, slots, stride, capacity, 1, 2, 3)
    try:
        page = decode_page(data, length)
    except DecodeError:
        return
    last = place_slot(page, page.slots - 1, 2)
    assert last.payload_at + page.capacity <= page.file_bytes <= length


@given(PAGES, st.integers(-1, 2**32), st.integers(-1, 2**64), st.integers(1, 64), st.integers(1, 64))
def test_any_doorbell_points_inside_the_file_or_is_refused(
    page: MemoryPage, slot: int, seq: int, width: int, height: int
) -> None:
    size = width * height * 4
    bell = replace(BELL, slot=slot, seq=seq, width=width, height=height, row_pitch=width * 4, payload_bytes=size)
    try:
        place = place_doorbell(page, bell)
    except DecodeError:
        return
    assert 0 <= slot < page.slots
    assert seq % 2 == 0
    assert page.slot_at(slot) == place.seq_at
    assert place.payload_at + size <= page.slot_at(slot) + page.slot_stride <= page.file_bytes


@given(st.binary(max_size=200))
def test_any_bytes_for_a_slot(data: bytes) -> None:
    page = page_for(4096, 4, generation=1, nonce=1, pid=1)
    for candidate in (data, data[:64].ljust(64, b"\0") + b"TXB1\x40\0\0\0" + data):
        try:
            _, header = decode_slot(page, candidate)
        except DecodeError:
            continue
        assert header.payload_bytes <= page.capacity


@given(st.integers(0, 127), st.integers(0, 255))
def test_a_slot_with_one_byte_changed_is_read_or_refused(place: int, value: int) -> None:
    page = page_for(1024, 4, generation=1, nonce=1, pid=1)
    header = replace(BELL, flags=64, slot=None, seq=None)
    data = bytearray(struct.pack("<Q", 2) + bytes(56) + encode_frame_header(header))
    data[place] = value
    try:
        _, found = decode_slot(page, data)
    except DecodeError:
        return
    assert found.payload_bytes <= page.capacity


@given(st.binary(max_size=120))
def test_any_bytes_for_a_doorbell(data: bytes) -> None:
    page = page_for(1024, 4, generation=1, nonce=1, pid=1)
    for candidate in (data, encode_frame_header(BELL)[:40] + data):
        try:
            place_doorbell(page, decode_frame(candidate)[0])
        except DecodeError:
            continue
