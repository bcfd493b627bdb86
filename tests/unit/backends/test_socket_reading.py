"""Frames by RFC 6455, 5.2: whole, cut anywhere and byte by byte; the library's side notes what it is given."""

import struct

import pytest

from bridge.backends.socket_reading import SCRATCH_BYTES, FrameReader

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n"
LIMIT = 300_000


class Library:
    def __init__(self, answer=ANSWER):
        self.answer = answer
        self.passed = b""
        self.messages = []
        self.begun = 0
        self.open = False
        self.fragmented = False

    def data_received(self, data):
        assert isinstance(data, bytes)
        self.passed += data
        self.open = self.passed[: len(ANSWER)] == ANSWER

    def takes_frames(self):
        return self.open and not self.fragmented

    def begins(self):
        self.begun += 1

    def take(self, is_text, data):
        self.messages.append((is_text, bytes(data)))


def frame(data, first=0x82, mask=b""):
    masked = 0x80 if mask else 0
    if len(data) < 126:
        head = struct.pack(">BB", first, masked | len(data))
    elif len(data) < 1 << 16:
        head = struct.pack(">BBH", first, masked | 126, len(data))
    else:
        head = struct.pack(">BBQ", first, masked | 127, len(data))
    return head + mask + data


def fed(reader, data, piece):
    """Put `data` into the reader's buffers, at most `piece` bytes at a time, as a transport does."""
    at = 0
    while at < len(data):
        buffer = reader.get_buffer(-1)
        count = min(piece, len(buffer), len(data) - at)
        assert count
        buffer[:count] = data[at : at + count]
        reader.buffer_updated(count)
        at += count


BIG = bytes(range(256)) * 1000  # longer than what is read at once
PING, CLOSE = frame(b"are you there", 0x89), frame(struct.pack(">H", 1000), 0x88)
STREAM = [frame(b"one", 0x81), frame(b""), PING, frame(b"x" * 125), frame(b"y" * 126), frame(BIG), frame(b"z" * 65536)]
MESSAGES = [(True, b"one"), (False, b""), (False, b"x" * 125), (False, b"y" * 126), (False, BIG), (False, b"z" * 65536)]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000, SCRATCH_BYTES, 1 << 20])
def test_messages_go_past_the_library_and_the_rest_comes_to_it_as_it_was(piece):
    library = Library()
    reader = FrameReader(library, LIMIT)
    fed(reader, ANSWER + b"".join(STREAM) + CLOSE, piece)
    assert library.messages == MESSAGES
    assert library.passed == ANSWER + PING + CLOSE
    assert library.begun == len(STREAM) + 1


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_a_refusal_is_the_library_s_with_its_body(piece):
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n\x82\x01a\x82\x01b"
    library = Library()
    fed(FrameReader(library, LIMIT), answer, piece)
    assert library.passed == answer
    assert library.messages == []


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    "strange",
    [
        frame(b"t", 0x01) + frame(b"wo", 0x80),
        frame(b"compressed", 0xC2),
        frame(b"no such opcode", 0x83),
        frame(b"masked", 0x82, mask=b"mask"),
        frame(b"", 0x82, mask=b"mask"),
        frame(bytes(LIMIT + 1)),
    ],
    ids=["fragments", "reserved bit", "opcode", "mask", "mask of nothing", "too large"],
)
def test_what_is_no_whole_plain_message_is_the_library_s_to_judge(strange, piece):
    library = Library()
    fed(FrameReader(library, LIMIT), ANSWER + strange + frame(b"next"), piece)
    assert library.passed == ANSWER + strange
    assert library.messages == [(False, b"next")]


def test_within_a_fragmented_message_the_library_gets_all():
    library = Library()
    reader = FrameReader(library, LIMIT)
    fed(reader, ANSWER + frame(b"first", 0x02), 1 << 20)
    library.fragmented = True
    fed(reader, frame(b"not allowed here"), 1 << 20)
    assert library.passed == ANSWER + frame(b"first", 0x02) + frame(b"not allowed here")
    assert library.messages == []
