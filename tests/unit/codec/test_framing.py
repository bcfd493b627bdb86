"""TCP's length prefix: whole, byte by byte, cut anywhere, and as a BufferedProtocol would drive it."""

import pytest

from bridge.codec.framing import LengthDecoder, encode_length
from bridge.errors import ErrorCode, FramingDecodeError

LIMIT = 1 << 20
SMALL = [b"\x80", b"\x81\xa1a\x00", bytes(300)]
LARGE = [b"a" * 65531, b"b" * 65532, b"c" * 65533, b"d", b"e" * 200_000, b"f" * 5]


def wire(messages: list[bytes]) -> bytes:
    return b"".join(encode_length(len(message)) + message for message in messages)


def drive(decoder: LengthDecoder, data: bytes, step: int) -> list[bytes]:
    """As asyncio does it: take the buffer, write at most `step` bytes, report how many."""
    messages = []
    while data:
        room = decoder.get_buffer(-1)
        assert len(room) > 0
        count = min(step, len(room), len(data))
        room[:count] = data[:count]
        data = data[count:]
        messages += decoder.buffer_updated(count)
    return [bytes(message) for message in messages]


def test_encode_length() -> None:
    assert encode_length(1) == b"\x01\0\0\0"
    assert encode_length(0x04030201) == b"\x01\x02\x03\x04"
    for bad in (0, -1, 2**32):
        with pytest.raises(ValueError):
            encode_length(bad)


@pytest.mark.parametrize("messages", [[], SMALL, LARGE, LARGE + SMALL])
@pytest.mark.parametrize("step", [7, 4096, 65536, 10**7])
def test_any_cut_gives_the_same(messages: list[bytes], step: int) -> None:
    data = wire(messages)
    decoder = LengthDecoder(LIMIT)
    fed = [message for at in range(0, len(data), step) for message in decoder.feed(data[at : at + step])]
    assert [bytes(message) for message in fed] == messages
    assert decoder.waiting == 0
    assert drive(LengthDecoder(LIMIT), data, step) == messages


def test_byte_by_byte() -> None:
    decoder = LengthDecoder(LIMIT)
    data = wire(SMALL)
    assert [message for index in range(len(data)) for message in decoder.feed(data[index : index + 1])] == SMALL


def test_waiting_counts_what_is_held() -> None:
    decoder = LengthDecoder(LIMIT)
    assert decoder.feed(b"\x01\x00\x00\x00\x80\x02\x00\x00\x00\x81") == [b"\x80"]
    assert decoder.waiting == 5
    decoder = LengthDecoder(LIMIT)
    decoder.feed(encode_length(100_000) + bytes(10))
    assert decoder.waiting == 14


def test_a_large_message_is_received_into_its_own_memory() -> None:
    decoder = LengthDecoder(LIMIT)
    decoder.feed(encode_length(200_000) + b"x")
    room = decoder.get_buffer(-1)
    assert len(room) == 199_999
    room[:] = b"y" * 199_999
    (message,) = decoder.buffer_updated(199_999)
    assert bytes(message) == b"x" + b"y" * 199_999
    assert isinstance(message, memoryview)
    assert message.obj is room.obj, "no copy"
    decoder.feed(encode_length(200_000) + b"z" * 200_000)
    assert bytes(message[:2]) == b"xy", "nothing writes into a message that was given away"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0\0\0", ErrorCode.BAD_LENGTH),
        (b"\xff\xff\xff\xff", ErrorCode.MESSAGE_TOO_LARGE),
        (encode_length(LIMIT + 1), ErrorCode.MESSAGE_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.MESSAGE_TOO_LARGE),
    ],
)
def test_a_bad_length_ends_it(data: bytes, code: ErrorCode) -> None:
    decoder = LengthDecoder(LIMIT)
    with pytest.raises(FramingDecodeError) as caught:
        decoder.feed(wire(SMALL) + data)
    assert caught.value.code is code
    assert list(caught.value.messages) == SMALL, "whole messages before it are not lost"
    for more in (b"x", b"y" * 100_000):
        with pytest.raises(FramingDecodeError) as again:
            decoder.feed(more)
        assert again.value.code is code
        assert again.value.messages == ()


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"\0\0\0\x14" + b"x" * 20, "lengths are u32 little-endian"),
        (b"GET / HTTP/1.1\r\n\r\n", "this is HTTP, which has a door of its own"),
        (b"\xff\xff\xff\xff", f"limit of {LIMIT} bytes"),
    ],
)
def test_a_length_of_another_kind_is_told(data: bytes, hint: str) -> None:
    with pytest.raises(FramingDecodeError) as caught:
        LengthDecoder(LIMIT).feed(data)
    assert caught.value.message.endswith(hint)


def test_the_limit_may_be_raised_after_hello() -> None:
    decoder = LengthDecoder(4)
    assert decoder.feed(wire([b"abcd"])) == [b"abcd"]
    decoder.max_message_bytes = 8
    assert decoder.feed(wire([b"12345678"])) == [b"12345678"]
