"""Parts: literals from the wire contract, splitting, and each fault."""

import struct

import pytest

from bridge.codec.parts import PartAssembler, split_message
from bridge.errors import ErrorCode, PartDecodeError

# 10 bytes in messages of 36: three parts, written from the contract.
TEN = bytes(range(10))
TEN_PARTS = [
    bytes.fromhex("54584250 2000 0000 07000000 00000000 03000000 00000000 0a000000 00000000 00010203"),
    bytes.fromhex("54584250 2000 0000 07000000 01000000 03000000 04000000 0a000000 00000000 04050607"),
    bytes.fromhex("54584250 2000 0000 07000000 02000000 03000000 08000000 0a000000 00000000 0809"),
]


def part(message: int, number: int, parts: int, offset: int, total: int, data: bytes, header: int = 32) -> bytes:
    return struct.pack("<4sHHIIIIII", b"TXBP", header, 0, message, number, parts, offset, total, 0) + data


def test_split_gives_the_contracts_bytes() -> None:
    assert list(split_message(TEN, 36, 7)) == TEN_PARTS


def test_assembler_gives_the_message_at_its_last_part() -> None:
    assembler = PartAssembler(10)
    assert [assembler.feed(piece) for piece in TEN_PARTS] == [None, None, TEN]
    assert assembler.waiting == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("length", [1, 991, 992, 993, 1984, 5000])
def test_round_trip(length: int, kind: type) -> None:
    message = bytes(index % 251 for index in range(length))
    assembler = PartAssembler(5000)
    for number in range(2):
        pieces = list(split_message(kind(message), 1024, number))
        assert all(len(piece) == 1024 for piece in pieces[:-1])
        assert len(pieces[-1]) <= 1024
        answers = [assembler.feed(kind(piece)) for piece in pieces]
        assert answers == [None] * (len(pieces) - 1) + [message]


@pytest.mark.parametrize(("length", "limit"), [(0, 1024), (5, 32), (5, 0)])
def test_split_refuses(length: int, limit: int) -> None:
    with pytest.raises(ValueError):
        list(split_message(bytes(length), limit, 0))


def test_number_wraps() -> None:
    assert next(split_message(b"x", 64, 2**32))[8:12] == bytes(4)


@pytest.mark.parametrize("kept", [0, 1, 4, 8, 16, 24, 31, 32, 35])
def test_a_cut_part_is_refused(kept: int) -> None:
    with pytest.raises(PartDecodeError):
        PartAssembler(10).feed(part(0, 0, 1, 0, 4, b"abcd")[:kept])


@pytest.mark.parametrize(
    "pieces",
    [
        [part(0, 1, 2, 2, 4, b"cd")],
        [part(0, 0, 2, 0, 4, b"ab"), part(0, 0, 2, 0, 4, b"ab")],
        [part(0, 0, 3, 0, 6, b"ab"), part(0, 2, 3, 4, 6, b"ef")],
        [part(0, 0, 2, 0, 4, b"ab"), part(1, 1, 2, 2, 4, b"cd")],
        [part(0, 0, 2, 0, 4, b"ab"), part(0, 1, 3, 2, 4, b"cd")],
        [part(0, 0, 2, 0, 4, b"ab"), part(0, 1, 2, 2, 5, b"cd")],
        [part(0, 0, 2, 0, 4, b"ab"), part(0, 1, 2, 3, 4, b"cd")],
        [part(0, 0, 3, 0, 6, b"ab"), part(0, 1, 3, 2, 6, b"cde")],
        [part(0, 0, 2, 0, 4, b"ab"), part(0, 1, 2, 2, 4, b"c")],
        [part(0, 0, 2, 0, 3, b"ab"), part(0, 1, 2, 2, 3, b"cd")],
        [part(0, 0, 0, 0, 1, b"a")],
        [part(0, 0, 9, 0, 4, b"ab")],
        [part(0, 0, 1, 0, 0, b"a")],
        [part(0, 0, 1, 1, 1, b"a")],
        [part(0, 0, 1, 0, 1, b"a", header=28)],
        [part(0, 0, 1, 0, 1, b"a", header=33)],
        [b"TXB1" + part(0, 0, 1, 0, 1, b"a")[4:]],
    ],
)
def test_faults(pieces: list[bytes]) -> None:
    assembler = PartAssembler(100)
    for piece in pieces[:-1]:
        assert assembler.feed(piece) is None
    with pytest.raises(PartDecodeError) as caught:
        assembler.feed(pieces[-1])
    assert caught.value.code is ErrorCode.BAD_PART
    assert assembler.waiting == 0, "nothing is kept of a message that went wrong"
    assert assembler.feed(part(9, 0, 1, 0, 2, b"ok")) == b"ok"


def test_too_large_is_said_at_the_first_part() -> None:
    assembler = PartAssembler(8)
    with pytest.raises(PartDecodeError) as caught:
        assembler.feed(part(0, 0, 2, 0, 9, b"abcde"))
    assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
    assert (caught.value.value, caught.value.limit) == (9, 8)


def test_a_grown_header_is_passed_over() -> None:
    assert PartAssembler(8).feed(part(0, 0, 1, 0, 2, b"\xff" * 16 + b"ok", header=48)) == b"ok"


def test_a_callers_buffer_may_change_afterwards() -> None:
    assembler = PartAssembler(8)
    first = bytearray(part(0, 0, 2, 0, 4, b"ab"))
    assembler.feed(first)
    first[32:] = b"xx"
    assert assembler.feed(part(0, 1, 2, 2, 4, b"cd")) == b"abcd"
