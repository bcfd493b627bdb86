"""Frame header, parts and TCP framing: round trips, any cut, and any bytes give a value or the family's error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codec.frame import (
    FrameHeader,
    decode_frame,
    encode_frame_header,
    mip_levels,
    payload_bytes,
    tight_row_pitch,
)
from bridge.codec.framing import LengthDecoder, encode_length
from bridge.codec.parts import PartAssembler, split_message
from bridge.errors import FrameDecodeError, FramingDecodeError, PartDecodeError
from bridge.types import ENCODED_FORMATS, PixelFormat

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)


@st.composite
def headers(draw: st.DrawFn) -> FrameHeader:
    pixel_format = draw(st.sampled_from(PixelFormat))
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    encoded = pixel_format in ENCODED_FORMATS
    mips = 1 if encoded else draw(st.integers(1, mip_levels(width, height)))
    size = draw(st.integers(1, 50)) if encoded else payload_bytes(pixel_format, width, height, mips)
    doorbell = draw(st.booleans())
    flags = draw(U16) & ~128 & (~8 if encoded else ~0) | (128 if doorbell else 0)
    return FrameHeader(
        flags=flags,
        stream=draw(U32),
        number=draw(U32),
        request=draw(U64),
        index=draw(U32),
        output=draw(st.integers(0, 255)),
        mips=mips,
        format=int(pixel_format),
        width=width,
        height=height,
        row_pitch=tight_row_pitch(pixel_format, width),
        payload_bytes=size,
        client_time=draw(U64),
        comfy_us=draw(U32),
        bridge_us=draw(U32),
        slot=draw(U32) if doorbell else None,
        seq=draw(U64) if doorbell else None,
    )


def with_payload(header: FrameHeader) -> bytes:
    return encode_frame_header(header) + (b"" if header.slot is not None else b"\x5a" * header.payload_bytes)


@given(headers())
def test_frames_round_trip(header: FrameHeader) -> None:
    message = with_payload(header)
    decoded, payload = decode_frame(message)
    assert decoded == header
    assert bytes(payload) == message[80 if header.slot is not None else 64 :]


@given(headers(), st.data())
def test_cut_or_lengthened_frames_are_refused(header: FrameHeader, data: st.DataObject) -> None:
    message = with_payload(header)
    for wrong in (message[: data.draw(st.integers(0, len(message) - 1))], message + b"x"):
        with pytest.raises(FrameDecodeError):
            decode_frame(wrong)


@given(headers(), st.data())
def test_damaged_frames(header: FrameHeader, data: st.DataObject) -> None:
    message = bytearray(with_payload(header))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, min(len(message), 80) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_frame(message)
    except FrameDecodeError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_as_frame_and_part(data: bytes) -> None:
    for message in (data, b"TXB1" + data):
        try:
            decode_frame(message)
        except FrameDecodeError:
            pass
    assembler = PartAssembler(100)
    for message in (data, b"TXBP\x20\0" + data):
        try:
            assembler.feed(message)
        except PartDecodeError:
            pass
        assert assembler.waiting <= 100


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=200), st.integers(33, 100)), max_size=4))
def test_parts_round_trip(messages: list[tuple[bytes, int]]) -> None:
    assembler = PartAssembler(200)
    for number, (message, limit) in enumerate(messages):
        parts = list(split_message(message, limit, number))
        assert all(len(part) <= limit for part in parts)
        answers = [assembler.feed(part) for part in parts]
        assert answers == [None] * (len(parts) - 1) + [message]


@given(st.binary(min_size=3, max_size=60), st.data())
def test_parts_in_any_wrong_order_are_refused(message: bytes, data: st.DataObject) -> None:
    parts = list(split_message(message, 33, 0))
    order = data.draw(st.permutations(range(len(parts))))
    assembler = PartAssembler(100)
    if order == sorted(order):
        return
    # A message of which a part came too early is never given, and its other parts are refused too.
    answers = []
    for place in order:
        try:
            answers.append(assembler.feed(parts[place]))
        except PartDecodeError:
            answers.append(b"refused")
    assert b"refused" in answers
    assert message not in answers


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.lists(st.integers(1, 200), min_size=1))
def test_framing_does_not_depend_on_the_cuts(messages: list[bytes], steps: list[int]) -> None:
    stream = b"".join(encode_length(len(message)) + message for message in messages)
    fed, driven = LengthDecoder(300), LengthDecoder(300)
    got_fed: list[bytes] = []
    got_driven: list[bytes] = []
    position = turn = 0
    while position < len(stream):
        chunk = stream[position : position + steps[turn % len(steps)]]
        got_fed += [bytes(message) for message in fed.feed(chunk)]
        room = driven.get_buffer(-1)
        room[: len(chunk)] = chunk
        got_driven += [bytes(message) for message in driven.buffer_updated(len(chunk))]
        position += len(chunk)
        turn += 1
    assert got_fed == got_driven == messages


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=4), st.integers(1, 70_000))
def test_large_messages_too(lengths: list[int], step: int) -> None:
    messages = [bytes([index + 1]) * length for index, length in enumerate(lengths)]
    stream = b"".join(encode_length(len(message)) + message for message in messages)
    step = max(step, len(stream) // 50)
    decoder = LengthDecoder(200_000)
    got = [bytes(m) for at in range(0, len(stream), step) for m in decoder.feed(stream[at : at + step])]
    assert got == messages
    assert decoder.waiting == 0


@given(st.binary(max_size=100), st.integers(1, 20))
def test_any_bytes_as_a_stream(data: bytes, step: int) -> None:
    decoder = LengthDecoder(1000)
    for at in range(0, len(data), step):
        try:
            decoder.feed(data[at : at + step])
        except FramingDecodeError:
            with pytest.raises(FramingDecodeError):
                decoder.feed(b"x")
            return
    assert decoder.waiting <= len(data)
