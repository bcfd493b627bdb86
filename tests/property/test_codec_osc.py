"""OSC: any bytes give a value or OscDecodeError; what python-osc understands too is read the same."""

import math
import struct
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle as TheirBundle
from pythonosc.osc_message import OscMessage as TheirMessage

from bridge.codec.osc import (
    OscBundle,
    OscColor,
    OscMessage,
    decode_packet,
    encode_osc_message,
    match_address,
    match_part,
    time_tag_to_unix,
)
from bridge.errors import OscDecodeError

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
ADDRESS = st.text("abcdefghijk/_0123456789?*[]{},é", max_size=20).map(lambda tail: "/" + tail)

# One argument: its tag, its value, its bytes. Written here with struct, so that no codec is its own judge.
ARGUMENT = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda value: ("i", value, struct.pack(">i", value))),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("h", value, struct.pack(">q", value))),
    st.floats(width=32).map(lambda value: ("f", value, struct.pack(">f", value))),
    st.floats().map(lambda value: ("d", value, struct.pack(">d", value))),
    st.integers(0, 2**64 - 1).map(lambda value: ("t", value, struct.pack(">Q", value))),
    TEXT.map(lambda value: ("s", value, padded(value.encode()))),
    st.binary(min_size=1, max_size=9).map(
        lambda value: ("b", value, struct.pack(">i", len(value)) + value + bytes(-len(value) % 4))
    ),
    st.tuples(*[st.integers(0, 255)] * 4).map(lambda value: ("r", OscColor(*value), bytes(value))),
    st.sampled_from([("T", True, b""), ("F", False, b""), ("N", None, b"")]),
)


def padded(raw: bytes) -> bytes:
    return raw + bytes(4 - len(raw) % 4)


def in_array(items: list[tuple[str, Any, bytes]]) -> tuple[str, Any, bytes]:
    tags = "".join(tag for tag, _, _ in items)
    return f"[{tags}]", tuple(value for _, value, _ in items), b"".join(raw for _, _, raw in items)


ARGUMENTS = st.lists(st.one_of(ARGUMENT, st.lists(ARGUMENT, max_size=3).map(in_array)), max_size=6)


def build(address: str, arguments: list[tuple[str, Any, bytes]]) -> bytes:
    tags = "".join(tag for tag, _, _ in arguments)
    return padded(address.encode()) + padded(("," + tags).encode()) + b"".join(raw for _, _, raw in arguments)


MESSAGE = st.builds(build, ADDRESS, ARGUMENTS)


def bundled(elements: list[bytes], time_tag: int) -> bytes:
    head = b"#bundle\0" + struct.pack(">Q", time_tag)
    return head + b"".join(struct.pack(">i", len(element)) + element for element in elements)


TIME_TAG = st.integers(0, 2**64 - 1)
BUNDLE = st.builds(
    bundled,
    st.lists(st.one_of(MESSAGE, st.builds(bundled, st.lists(MESSAGE, max_size=2), TIME_TAG)), max_size=3),
    TIME_TAG,
)
PACKET = st.one_of(MESSAGE, BUNDLE)


def comparable(value: Any) -> Any:
    """NaN as a word, a colour and a time tag as their numbers, arrays as tuples: what both sides can be brought to."""
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, OscColor):
        return comparable(int.from_bytes(bytes(value), "big"))
    if isinstance(value, tuple) and value and isinstance(value[0], datetime):
        # python-osc's time tag: a date to the second, and the fraction as it came.
        seconds = round((value[0] - datetime(1900, 1, 1)).total_seconds())  # noqa: DTZ001
        return comparable(seconds << 32 | value[1])
    if isinstance(value, list | tuple):
        return tuple(comparable(item) for item in value)
    return (type(value).__name__, value)


@given(ADDRESS, ARGUMENTS)
def test_a_message_is_read_as_it_was_built(address: str, arguments: list[tuple[str, Any, bytes]]) -> None:
    decoded = decode_packet(build(address, arguments))
    assert isinstance(decoded, OscMessage)
    assert decoded.address == address
    assert decoded.tags == "".join(tag for tag, _, _ in arguments)
    assert comparable(decoded.arguments) == comparable([value for _, value, _ in arguments])


@given(ADDRESS, ARGUMENTS)
def test_python_osc_reads_the_same(address: str, arguments: list[tuple[str, Any, bytes]]) -> None:
    packet = build(address, arguments)
    ours = decode_packet(packet)
    theirs = TheirMessage(packet)
    assert isinstance(ours, OscMessage)
    assert ours.address == theirs.address
    assert comparable(ours.arguments) == comparable(theirs.params)


@given(st.lists(MESSAGE, max_size=4), st.integers(2, 2**64 - 1))
def test_python_osc_reads_the_same_bundle(messages: list[bytes], time_tag: int) -> None:
    packet = bundled(messages, time_tag)
    ours = decode_packet(packet)
    theirs = TheirBundle(packet)
    assert isinstance(ours, OscBundle)
    assert len(ours.elements) == theirs.num_contents
    for element, other in zip(ours.elements, theirs, strict=True):
        assert isinstance(element, OscMessage)
        assert (element.address, comparable(element.arguments)) == (other.address, comparable(other.params))
    unix = time_tag_to_unix(ours.time_tag)
    assert unix is not None
    assert abs(unix - theirs.timestamp) < 1e-3


@given(st.binary(max_size=200))
def test_any_bytes(packet: bytes) -> None:
    accept_or_refuse(packet)
    accept_or_refuse(b"#bundle\0" + packet)
    accept_or_refuse(b"/a\0\0," + packet)


@given(PACKET, st.data())
def test_damaged_packets(packet: bytes, data: st.DataObject) -> None:
    damaged = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1)) if damaged else 0
        how = data.draw(st.sampled_from(["set", "cut", "insert", "repeat"]))
        if how == "set" and damaged:
            damaged[place] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del damaged[place:]
        elif how == "insert":
            damaged[place:place] = data.draw(st.binary(max_size=8))
        else:
            damaged += damaged[:place]
    accept_or_refuse(bytes(damaged))


def accept_or_refuse(packet: bytes) -> None:
    try:
        decoded = decode_packet(packet)
    except OscDecodeError:
        return
    assert isinstance(decoded, OscMessage | OscBundle)


@given(
    ADDRESS,
    st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(width=32, allow_nan=False),
            TEXT,
            st.binary(max_size=9),
            st.booleans(),
            st.none(),
            st.builds(OscColor, *[st.integers(0, 255)] * 4),
        ),
        max_size=5,
    ),
)
def test_what_is_encoded_is_decoded(address: str, arguments: list[Any]) -> None:
    decoded = decode_packet(encode_osc_message(address, *arguments))
    assert isinstance(decoded, OscMessage)
    assert decoded.address == address
    assert comparable(decoded.arguments) == comparable(arguments)


NAME = st.text("abc-_019", max_size=8)
PATTERN = st.text("abc-_?*[]{}!,", max_size=12)


def matches_slowly(pattern: str, name: str) -> bool:
    """The same rules the plain way: try everything, backtrack."""
    if not pattern:
        return not name
    head = pattern[0]
    if head == "*":
        return any(matches_slowly(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    if head == "?":
        return bool(name) and matches_slowly(pattern[1:], name[1:])
    if head == "[":
        end = pattern.find("]")
        body = pattern[1:end]
        negated = body.startswith("!")
        body = body.removeprefix("!")
        taken: set[str] = set()
        while body:
            if len(body) > 2 and body[1] == "-":
                taken |= {chr(code) for code in range(ord(body[0]), ord(body[2]) + 1)}
                body = body[3:]
            else:
                taken.add(body[0])
                body = body[1:]
        return bool(name) and (name[0] in taken) is not negated and matches_slowly(pattern[end + 1 :], name[1:])
    if head == "{":
        end = pattern.find("}")
        words = pattern[1:end].split(",")
        return any(name.startswith(word) and matches_slowly(pattern[end + 1 :], name[len(word) :]) for word in words)
    return bool(name) and name[0] == head and matches_slowly(pattern[1:], name[1:])


def is_well_formed(pattern: str) -> bool:
    position = 0
    while position < len(pattern):
        if pattern[position] in "]}":
            return False
        if pattern[position] in "[{":
            end = pattern.find("]" if pattern[position] == "[" else "}", position)
            if end < 0 or (pattern[position] == "{" and "{" in pattern[position + 1 : end]):
                return False
            position = end
        position += 1
    return True


@given(PATTERN, NAME)
def test_patterns_match_as_the_plain_way_does(pattern: str, name: str) -> None:
    assert match_part(pattern, name) is (is_well_formed(pattern) and matches_slowly(pattern, name))


@given(NAME, st.lists(NAME, min_size=1, max_size=4))
def test_every_name_matches_itself_and_a_star(name: str, parts: list[str]) -> None:
    assert match_part(name, name)
    assert match_part("*", name)
    address = "/" + "/".join(parts)
    assert match_address(address, address)
    assert match_address("/*" * len(parts), address)
    assert not match_address("/*" * (len(parts) + 1), address)
