"""The frame header: literals from the wire contract, each fault by itself."""

import struct
from dataclasses import replace

import pytest

from bridge.codec.frame import (
    DOORBELL_BYTES,
    HEADER_BYTES,
    FrameHeader,
    decode_frame,
    encode_doorbell,
    encode_frame_header,
    encode_slot_header,
    mip_levels,
    payload_bytes,
    tight_row_pitch,
)
from bridge.errors import ErrorCode, FrameDecodeError
from bridge.types import FrameFlags, PixelFormat

HEADER = FrameHeader(
    flags=FrameFlags.LAST_SET | FrameFlags.BOTTOM_LEFT | FrameFlags.LAST_OF_SET,
    stream=0x01020304,
    number=0x05060708,
    request=0x1112131415161718,
    index=0x21222324,
    output=3,
    mips=1,
    format=PixelFormat.RGBA8,
    width=2,
    height=2,
    row_pitch=8,
    payload_bytes=16,
    client_time=0x3132333435363738,
    comfy_us=0x41424344,
    bridge_us=0x51525354,
)
# Written from the table in the wire contract, not by the codec.
HEADER_WIRE = bytes.fromhex(
    "54584231 4000 4a00 04030201 08070605 1817161514131211 24232221 03 01 0100 02000000 02000000 08000000 10000000"
    "3837363534333231 44434241 54535251"
)
PAYLOAD = bytes(range(16))


def wire(**changes: int) -> bytes:
    """The header with fields changed, and a payload of the right length for it."""
    header = replace(HEADER, **changes)
    return encode_frame_header(header) + bytes(header.payload_bytes)


def test_header_is_the_contracts_bytes() -> None:
    assert encode_frame_header(HEADER) == HEADER_WIRE
    assert len(HEADER_WIRE) == HEADER_BYTES


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_decode_gives_header_and_a_view_of_the_payload(kind: type) -> None:
    message = kind(HEADER_WIRE + PAYLOAD)
    header, payload = decode_frame(message)
    assert header == HEADER
    assert payload == PAYLOAD
    assert payload.obj is (message.obj if kind is memoryview else message), "no copy"


def test_times_saturate() -> None:
    header, _ = decode_frame(encode_frame_header(replace(HEADER, comfy_us=2**40, bridge_us=2**32)) + PAYLOAD)
    assert (header.comfy_us, header.bridge_us) == (2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": 2**32},
        {"number": -1},
        {"request": 2**64},
        {"output": 256},
        {"format": 65536},
        {"bridge_us": -1},
        {"flags": FrameFlags.SHARED_MEMORY},
        {"slot": 1, "seq": 2},
        {"flags": FrameFlags.SHARED_MEMORY, "slot": 1},
        {"flags": FrameFlags.SHARED_MEMORY, "slot": 2**32, "seq": 2},
    ],
)
def test_encode_refuses_what_does_not_fit(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        encode_frame_header(replace(HEADER, **changes))


def test_doorbell_has_slot_and_seq_and_no_payload() -> None:
    doorbell = replace(HEADER, flags=FrameFlags.SHARED_MEMORY, slot=3, seq=18)
    message = encode_frame_header(doorbell)
    assert len(message) == DOORBELL_BYTES
    assert message[4:6] == b"\x50\x00"
    assert message[64:] == bytes.fromhex("03000000 00000000 1200000000000000")
    assert decode_frame(message) == (doorbell, b"")


def test_a_frame_s_doorbell_and_its_slot_s_header() -> None:
    header = replace(HEADER, client_time=77)
    bell = replace(header, flags=header.flags | FrameFlags.SHARED_MEMORY, slot=3, seq=18)
    assert encode_doorbell(header, 3, 18) == encode_frame_header(bell)
    assert encode_slot_header(header) == encode_frame_header(replace(HEADER, client_time=0))
    assert encode_slot_header(bell) == encode_slot_header(header)


@pytest.mark.parametrize("length", range(len(HEADER_WIRE + PAYLOAD)))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(FrameDecodeError):
        decode_frame((HEADER_WIRE + PAYLOAD)[:length])


def test_trailing_garbage_is_refused() -> None:
    with pytest.raises(FrameDecodeError) as caught:
        decode_frame(HEADER_WIRE + PAYLOAD + b"x")
    assert caught.value.field == "payload_bytes"
    assert caught.value.code is ErrorCode.BAD_FRAME


def test_a_grown_header_is_passed_over() -> None:
    message = bytearray(HEADER_WIRE + b"\xff" * 32 + PAYLOAD)
    struct.pack_into("<H", message, 4, 96)
    header, payload = decode_frame(message)
    assert header == HEADER
    assert payload == PAYLOAD


@pytest.mark.parametrize("header_bytes", [0, 48, 63, 65, 72, 96, 65520])
def test_a_wrong_header_length_is_refused(header_bytes: int) -> None:
    message = bytearray(HEADER_WIRE + PAYLOAD)
    struct.pack_into("<H", message, 4, header_bytes)
    with pytest.raises(FrameDecodeError) as caught:
        decode_frame(message)
    assert caught.value.field == "header_bytes"


def test_a_doorbell_in_64_bytes_is_refused() -> None:
    message = bytearray(HEADER_WIRE)
    struct.pack_into("<H", message, 6, 128)
    with pytest.raises(FrameDecodeError):
        decode_frame(message)


def test_wrong_magic() -> None:
    with pytest.raises(FrameDecodeError, match="TXB2"):
        decode_frame(b"TXB2" + HEADER_WIRE[4:] + PAYLOAD)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 0, "payload_bytes": 0}, "width"),
        ({"height": 0, "payload_bytes": 0}, "width"),
        ({"mips": 0}, "mips"),
        ({"mips": 3}, "mips"),
        ({"row_pitch": 12}, "row_pitch"),
        ({"row_pitch": 0}, "row_pitch"),
        ({"payload_bytes": 12}, "payload_bytes"),
        ({"format": PixelFormat.JPEG, "flags": 0}, "format"),
        ({"format": PixelFormat.PNG, "row_pitch": 0, "flags": 8}, "format"),
        ({"format": PixelFormat.PNG, "row_pitch": 0, "flags": 0, "mips": 2}, "format"),
        ({"format": PixelFormat.PNG, "row_pitch": 0, "flags": 0, "payload_bytes": 0}, "format"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, int], field: str) -> None:
    with pytest.raises(FrameDecodeError) as caught:
        decode_frame(wire(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 48, "row_pitch": 77, "payload_bytes": 3},
        {"flags": 0xFF00},
        {"mips": 2, "payload_bytes": 20},
        {"format": PixelFormat.BC1, "width": 5, "height": 5, "row_pitch": 16, "payload_bytes": 32},
        {"format": PixelFormat.PNG, "flags": 0, "row_pitch": 0, "payload_bytes": 7},
    ],
)
def test_what_must_pass(changes: dict[str, int]) -> None:
    assert decode_frame(wire(**changes))[0] == replace(HEADER, **changes)


@pytest.mark.parametrize(
    ("pixel_format", "width", "expected"),
    [
        (PixelFormat.RGBA8, 3, 12),
        (PixelFormat.RGB8, 3, 9),
        (PixelFormat.R8, 3, 3),
        (PixelFormat.RGBA16F, 3, 24),
        (PixelFormat.RGBA32F, 3, 48),
        (PixelFormat.R16, 3, 6),
        (PixelFormat.R32F, 3, 12),
        (PixelFormat.BC1, 5, 16),
        (PixelFormat.BC3, 4, 16),
        (PixelFormat.BC7, 1, 16),
        (PixelFormat.JPEG, 3, 0),
    ],
)
def test_tight_row_pitch(pixel_format: PixelFormat, width: int, expected: int) -> None:
    assert tight_row_pitch(pixel_format, width) == expected
    assert tight_row_pitch(int(pixel_format), width) == expected


def test_payload_bytes() -> None:
    assert payload_bytes(PixelFormat.RGBA8, 4, 2, 3) == 32 + 8 + 4
    assert payload_bytes(PixelFormat.BC1, 8, 8, 4) == 32 + 8 + 8 + 8
    for bad in (PixelFormat.PNG, 48):
        with pytest.raises(ValueError):
            payload_bytes(bad, 1, 1, 1)


@pytest.mark.parametrize(("width", "height", "levels"), [(1, 1, 1), (2, 1, 2), (512, 512, 10), (3, 5, 3)])
def test_mip_levels(width: int, height: int, levels: int) -> None:
    assert mip_levels(width, height) == levels
