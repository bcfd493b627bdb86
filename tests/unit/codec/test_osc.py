"""OSC packets: literals written from OSC 1.0, the quirks of real senders, and every fault by itself."""

import math
import struct
from typing import Any

import pytest

from bridge.codec.osc import (
    IMMEDIATELY,
    IMPULSE,
    OscBundle,
    OscColor,
    OscLimits,
    OscMessage,
    decode_packet,
    encode_osc_message,
    time_tag_to_unix,
)
from bridge.errors import ErrorCode, OscDecodeError


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return raw + bytes(4 - len(raw) % 4)


def message(tags: str, arguments: bytes = b"", address: str = "/a") -> bytes:
    return text(address) + text("," + tags) + arguments


def bundle(*elements: bytes, time_tag: int = IMMEDIATELY) -> bytes:
    head = b"#bundle\0" + struct.pack(">Q", time_tag)
    return head + b"".join(struct.pack(">i", len(element)) + element for element in elements)


GOOD: list[tuple[str, bytes, tuple[Any, ...]]] = [
    ("", b"", ()),
    ("i", b"\xff\xff\xff\xfe", (-2,)),
    ("f", b"\x3f\x00\x00\x00", (0.5,)),
    ("s", b"abc\0", ("abc",)),
    ("s", b"abcd\0\0\0\0", ("abcd",)),
    ("s", b"\0\0\0\0", ("",)),
    ("b", b"\0\0\0\x02xy\0\0", (b"xy",)),
    ("b", b"\0\0\0\0", (b"",)),
    ("h", b"\x00\x20\0\0\0\0\0\x01", (2**53 + 1,)),
    ("d", b"\x3f\xf8\0\0\0\0\0\0", (1.5,)),
    ("t", b"\x83\xaa\x7e\x80\0\0\0\0", (0x83AA7E80_00000000,)),
    ("TFNI", b"", (True, False, None, IMPULSE)),
    ("S", b"sym\0", ("sym",)),
    ("c", b"\0\0\0A", ("A",)),
    ("c", b"\0\x01\xf9\x8a", ("\U0001f98a",)),
    ("r", b"\x01\x02\x03\xff", (OscColor(1, 2, 3, 255),)),
    ("ifs", b"\0\0\0\x01\x3f\x80\0\0abcd\0\0\0\0", (1, 1.0, "abcd")),
    ("iii", b"\0\0\0\x01\0\0\0\x02\0\0\0\x03", (1, 2, 3)),
    ("i[fs]T", b"\0\0\0\x01\x3f\x80\0\0z\0\0\0", (1, (1.0, "z"), True)),
    ("[[i][]]", b"\0\0\0\x01", (((1,), ()),)),
    ("bi", b"\0\0\0\x01x\0\0\0\0\0\0\x05", (b"x", 5)),
]


@pytest.mark.parametrize(("tags", "arguments", "expected"), GOOD)
def test_arguments_of_every_type(tags: str, arguments: bytes, expected: tuple[Any, ...]) -> None:
    assert decode_packet(message(tags, arguments)) == OscMessage("/a", expected, tags)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like(kind: type) -> None:
    assert decode_packet(kind(message("i", b"\0\0\0\x07"))) == OscMessage("/a", (7,), "i")


def test_bool_and_int_stay_apart() -> None:
    decoded = decode_packet(message("Ti", b"\0\0\0\x01"))
    assert isinstance(decoded, OscMessage)
    assert [type(argument) for argument in decoded.arguments] == [bool, int]


@pytest.mark.parametrize("raw", [b"\x7f\xc0\0\0", b"\x7f\x80\0\0", b"\xff\x80\0\0"])
def test_nan_and_infinity_pass(raw: bytes) -> None:
    decoded = decode_packet(message("f", raw))
    assert isinstance(decoded, OscMessage)
    (value,) = decoded.arguments
    assert isinstance(value, float)
    assert not math.isfinite(value)


# --- what real senders do ---


def test_text_that_is_not_utf8_is_latin1() -> None:
    assert decode_packet(message("s", b"caf\xe9\0\0\0\0")) == OscMessage("/a", ("café",), "s")
    assert decode_packet(message("s", "café".encode() + b"\0\0\0")) == OscMessage("/a", ("café",), "s")
    assert decode_packet(text(b"/\xe9")) == OscMessage("/é")


def test_no_type_tags_at_all() -> None:
    assert decode_packet(text("/texbridge/main/run")) == OscMessage("/texbridge/main/run")


@pytest.mark.parametrize("padding", range(7))
def test_last_blob_padded_wrongly_or_not_at_all(padding: int) -> None:
    packet = message("b", b"\0\0\0\x03xyz" + bytes(padding))
    expected = OscMessage("/a", (b"xyz",), "b")
    if padding <= 5:
        assert decode_packet(packet) == expected
    else:
        with pytest.raises(OscDecodeError):
            decode_packet(packet)


def test_blob_padding_of_any_content() -> None:
    assert decode_packet(message("b", b"\0\0\0\x03xyz\xff")) == OscMessage("/a", (b"xyz",), "b")
    assert decode_packet(message("bi", b"\0\0\0\x03xyz\xff\0\0\0\1")) == OscMessage("/a", (b"xyz", 1), "bi")


def test_unpadded_blob_at_the_end_of_a_bundle() -> None:
    blob = message("b", b"\0\0\0\x03xyz")
    expected = OscMessage("/a", (b"xyz",), "b")
    assert decode_packet(bundle(blob)) == OscBundle(1, (expected,))
    assert decode_packet(bundle(bundle(blob))) == OscBundle(1, (OscBundle(1, (expected,)),))
    with pytest.raises(OscDecodeError, match="multiple of 4"):
        decode_packet(bundle(blob, message("")))


@pytest.mark.parametrize(
    ("tags", "arguments", "expected"),
    [
        ("c", b"\0A", ("A",)),
        ("ci", b"\0A\0\0\0\x01", ("A", 1)),
        ("cc", b"\0A\0B", ("A", "B")),
        ("cT", b"\0A", ("A", True)),
    ],
)
def test_characters_in_two_bytes(tags: str, arguments: bytes, expected: tuple[Any, ...]) -> None:
    assert decode_packet(message(tags, arguments)) == OscMessage("/a", expected, tags)


# --- bundles ---


def test_bundle_keeps_order_and_time() -> None:
    packet = bundle(message("i", b"\0\0\0\x01"), message("T", address="/b"), time_tag=0x83AA7E80_00000000)
    assert decode_packet(packet) == OscBundle(
        0x83AA7E80_00000000, (OscMessage("/a", (1,), "i"), OscMessage("/b", (True,), "T"))
    )


def test_empty_bundle() -> None:
    assert decode_packet(bundle()) == OscBundle(1, ())


def nested(depth: int) -> bytes:
    packet = message("")
    for _ in range(depth):
        packet = bundle(packet)
    return packet


def test_bundle_depth_is_capped() -> None:
    decode_packet(nested(4))
    for depth in (5, 3000):
        with pytest.raises(OscDecodeError, match="4 deep"):
            decode_packet(nested(depth))


def test_elements_are_counted_over_all_depths() -> None:
    limits = OscLimits(max_elements=6)
    inner = bundle(message(""), message(""))
    decode_packet(bundle(inner, inner), limits)
    with pytest.raises(OscDecodeError, match="more than 6 elements"):
        decode_packet(bundle(inner, inner, message("")), limits)
    with pytest.raises(OscDecodeError, match="more than 1000"):
        decode_packet(bundle(*[message("")] * 5000))


# --- faults ---


def test_largest_datagram_is_taken_and_one_byte_more_refused() -> None:
    head = message("b")
    body = struct.pack(">i", 65_507 - len(head) - 4) + bytes(65_507 - len(head) - 4)
    assert decode_packet(head + body)
    with pytest.raises(OscDecodeError) as caught:
        decode_packet(head + body + b"\0")
    assert (caught.value.value, caught.value.limit) == (65_508, 65_507)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"/",
        b"\0",
        b"a\0\0\0,\0\0\0",
        b"/abc",
        b"/a\0",
        b"/a\0x,\0\0\0",
        b"/a\0\0i\0\0\0\0\0\0\1",
        b"/a\0\0,i",
        b"/a\0\0,iii",
        b"/a\0\0,\0\0x",
        message("i"),
        message("i", b"\0\0\0"),
        message("i", b"\0\0\0\1\0\0\0\2"),
        message("ii", b"\0\0\0\1"),
        message("", b"\0\0\0\0"),
        message("T", b"\0\0\0\0"),
        message("sT", b"abc\0\0\0\0\0"),
        message("s", b"abcd"),
        message("s", b"abc\0\0"),
        message("s", b"a\0xy"),
        message("r", b"\1\2\3"),
        message("c", b"\0\0\0"),
        message("c", b"\0\x11\0\0"),
        message("c", b"\0\0\xd8\0"),
        message("cs", b"\0Aa\0"),
        message("t", b"\0\0\0\1"),
        message("b", b"\0\0\0"),
        message("b", b"\xff\xff\xff\xff"),
        message("b", b"\x7f\xff\xff\xff\0\0\0\0"),
        message("b", b"\0\0\0\5abcd"),
        message("bi", b"\0\0\0\1x"),
        message("Q"),
        message("iQ", b"\0\0\0\1\0\0\0\2"),
        message("m", b"\0\0\0\0"),
        text("/a") + text(b",\xff"),
        message("[i", b"\0\0\0\1"),
        message("i]", b"\0\0\0\1"),
        message("[[[[[]]]]]"),
        message("T" * 1025),
        b"#bundle",
        b"#bundle\0" + bytes(7),
        b"#bundel\0" + bytes(8),
        b"#bundle\0" + bytes(8) + b"\0\0\0",
        b"#bundle\0" + bytes(8) + bytes(4),
        bundle(b"abc\0"),
        bundle(message("") + b"\0", message("")),
        bundle(message("i")),
        bundle() + b"\0\0\0\x0c" + message(""),
        bundle() + b"\x7f\xff\xff\xff" + message(""),
        bundle() + b"\xff\xff\xff\xff" + message(""),
    ],
)
def test_faults(packet: bytes) -> None:
    with pytest.raises(OscDecodeError) as caught:
        decode_packet(packet)
    assert caught.value.code is ErrorCode.BAD_OSC
    assert len(str(caught.value)) < 300, "the sender's bytes don't fill a log"


@pytest.mark.parametrize(
    "packet",
    [
        "2362756e646c65000000000000000001fffffffc",
        "2362756e646c65000000000000000001fffffffc000000000000000000000000",
        "2362756e646c65000000000000000001000000082f6100002c000000fffffff0",
    ],
)
@pytest.mark.timeout(5)
def test_a_size_that_points_backwards_ends(packet: str) -> None:
    """A negative element size: python-osc 1.10.2 never returns from these 20 and 32 bytes."""
    with pytest.raises(OscDecodeError, match="size -"):
        decode_packet(bytes.fromhex(packet))


def test_every_truncation_of_a_bundle_is_an_error_or_a_shorter_bundle() -> None:
    packet = bundle(message("ifs", b"\0\0\0\x01\x3f\x80\0\0abcd\0\0\0\0"), message("b", b"\0\0\0\4wxyz"))
    taken = []
    for length in range(len(packet)):
        try:
            taken.append((length, decode_packet(packet[:length])))
        except OscDecodeError:
            pass
    assert [length for length, _ in taken] == [16, 48]


# --- time ---


@pytest.mark.parametrize(
    ("tag", "unix"),
    [
        (1, None),
        (0, -2_208_988_800.0),
        (0x83AA7E80_00000000, 0.0),
        (0x83AA7E80_80000000, 0.5),
        (0xFFFFFFFF_00000000, 2_085_978_495.0),
    ],
)
def test_time_tag_to_unix(tag: int, unix: float | None) -> None:
    assert time_tag_to_unix(tag) == unix


# --- encoding ---


@pytest.mark.parametrize(
    ("arguments", "tags"),
    [
        ((), ""),
        ((1, -(2**31), 2**31 - 1), "iii"),
        ((2**31, -(2**63)), "hh"),
        ((0.5, 1e300), "fd"),
        (("text", "é", ""), "sss"),
        ((b"blob", b""), "bb"),
        ((True, False, None), "TFN"),
        ((OscColor(1, 2, 3, 4),), "r"),
    ],
)
def test_encode_chooses_the_smallest_tag(arguments: tuple[Any, ...], tags: str) -> None:
    packet = encode_osc_message("/texbridge/main/x", *arguments)
    assert len(packet) % 4 == 0
    assert decode_packet(packet) == OscMessage("/texbridge/main/x", arguments, tags)


def test_encode_is_the_specifications_bytes() -> None:
    assert encode_osc_message("/ab", 1, "x") == b"/ab\0,is\0\0\0\0\1x\0\0\0"


def test_encode_with_tags() -> None:
    packet = encode_osc_message("/a", 1, 2, 0.5, tags="hfd")
    assert decode_packet(packet) == OscMessage("/a", (1, 2.0, 0.5), "hfd")


def test_encode_sends_text_that_utf8_or_osc_cant_carry() -> None:
    assert decode_packet(encode_osc_message("/a", "x\ud800y", "one\0two")) == OscMessage("/a", ("x?y", "one"), "ss")


@pytest.mark.parametrize(
    ("address", "arguments", "tags"),
    [
        ("a", (), None),
        ("/a", (2**63,), None),
        ("/a", ((1, 2),), None),
        ("/a", (IMPULSE,), None),
        ("/a", (1,), ""),
        ("/a", (1,), "Q"),
        ("/a", (2**40,), "i"),
        ("/a", ("x",), "i"),
    ],
)
def test_encode_refuses(address: str, arguments: tuple[Any, ...], tags: str | None) -> None:
    with pytest.raises(ValueError):
        encode_osc_message(address, *arguments, tags=tags)


@pytest.mark.parametrize("rest", [text("no tags"), text(",ff") + b"1234"])
def test_a_message_of_an_error_moves_no_terminal(rest: bytes) -> None:
    with pytest.raises(OscDecodeError) as caught:
        decode_packet(text("/\x1b]0;title\x07\x9b2J") + rest)
    assert caught.value.message.isprintable()
    assert "]0;title" in caught.value.message
