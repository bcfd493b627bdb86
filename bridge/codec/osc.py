"""OSC 1.0 packets to values and back: messages, bundles, time tags, type tags `i f s b h d t T F N I S c r [ ]`.

Structure is checked before anything is built: packet size, bundle depth, number of elements, 4-byte alignment,
NULs. Arguments are then walked by the tag table below, in one pass. An unknown type tag is an error, since its
length is not known and every argument behind it would be misread.

Quirks of real senders that are taken:

* text that is not UTF-8 is read as Latin-1 (OscJack sends `é` as the byte 0xE9);
* a message that ends after its address has no arguments (old senders leave out the type tag string then);
* a last blob with no padding, with part of it, or with up to four zero bytes too many; padding of any content;
* `c` in two bytes, where the argument bytes are exactly what the tags need that way.

NaN and infinity pass here; the check of a value against its parameter refuses them.
Source: OSC 1.0 specification; wire contract, section OSC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from pythonosc.osc_message_builder import BuildError, OscMessageBuilder

from bridge.codec.osc_pattern import has_pattern, match_address, match_part
from bridge.errors import OscDecodeError

__all__ = [
    "IMMEDIATELY",
    "IMPULSE",
    "OscArgument",
    "OscBundle",
    "OscColor",
    "OscImpulse",
    "OscLimits",
    "OscMessage",
    "decode_packet",
    "encode_osc_message",
    "has_pattern",
    "match_address",
    "match_part",
    "time_tag_to_unix",
]


class OscImpulse(Enum):
    """The argument of type tag `I` (infinitum, or a bang): it has no value, it happened."""

    IMPULSE = "I"


IMPULSE: Final = OscImpulse.IMPULSE


class OscColor(NamedTuple):
    """The argument of type tag `r`: four ints 0..255."""

    red: int
    green: int
    blue: int
    alpha: int


OscArgument: TypeAlias = "bool | int | float | str | bytes | OscColor | OscImpulse | tuple[OscArgument, ...] | None"
"""`i h t` int (a time tag is its 64 bits), `f d` float, `s S c` str, `b` bytes, `r` OscColor, `T F` bool, `N` None,
`I` IMPULSE, `[ ]` a tuple."""


class OscMessage(msgspec.Struct, frozen=True):
    """One OSC message.

    Attributes:
        address: begins with `/`; may hold a pattern (see `has_pattern`).
        arguments: the values, arrays as tuples.
        tags: the type tags without the comma, brackets included; empty if the sender left them out.
    """

    address: str
    arguments: tuple[OscArgument, ...] = ()
    tags: str = ""


class OscBundle(msgspec.Struct, frozen=True):
    """Messages and bundles that take effect together, in order.

    Attributes:
        time_tag: when, as 64-bit NTP time (see `time_tag_to_unix`).
        elements: what, in the order sent; may be empty.
    """

    time_tag: int
    elements: tuple[OscMessage | OscBundle, ...] = ()


@dataclass(frozen=True, slots=True)
class OscLimits:
    """What a packet may hold at most.

    Attributes:
        max_packet_bytes: a datagram's length; 65,507 is the most that UDP over IPv4 carries.
        max_bundle_depth: bundles in bundles; 1 allows no bundle in a bundle.
        max_elements: messages and inner bundles in one packet, all depths together.
        max_arguments: type tags of one message.
        max_array_depth: arrays in arrays.
    """

    max_packet_bytes: int = 65_507
    max_bundle_depth: int = 4
    max_elements: int = 1_000
    max_arguments: int = 1_024
    max_array_depth: int = 4


IMMEDIATELY: Final = 1
"""The time tag that means now."""

_BUNDLE_PREFIX: Final = b"#bundle\0"
_BUNDLE_HEAD_BYTES: Final = 16
_NTP_TO_UNIX_S: Final = 2_208_988_800
_DEFAULT_LIMITS: Final = OscLimits()

_INT32: Final = Struct(">i")
_TIME_TAG: Final = Struct(">Q")
_CHARACTER: Final = {2: Struct(">H"), 4: Struct(">I")}
_COLOR: Final = Struct(">4B")
_NUMBERS: Final = {"i": _INT32, "f": Struct(">f"), "h": Struct(">q"), "d": Struct(">d"), "t": _TIME_TAG}
_NO_BYTES: Final[dict[str, bool | OscImpulse | None]] = {"T": True, "F": False, "N": None, "I": IMPULSE}
_FIXED_BYTES: Final = {tag: number.size for tag, number in _NUMBERS.items()} | {"r": 4} | dict.fromkeys("TFNI[]", 0)


def decode_packet(data: bytes | bytearray | memoryview, limits: OscLimits = _DEFAULT_LIMITS) -> OscMessage | OscBundle:
    """Give the message or bundle that one datagram holds.

    Takes time linear in the packet's length. Raises OscDecodeError (108) for everything that is not OSC, is over
    `limits`, or has a type tag that is not in the table; no other exception, whatever the bytes.
    Source: OSC 1.0; wire contract, section OSC.
    """
    length = len(data) if type(data) is bytes else memoryview(data).nbytes
    if length > limits.max_packet_bytes:
        raise OscDecodeError(
            f"packet of {length} bytes > limit of {limits.max_packet_bytes}; send fewer messages per packet",
            value=length,
            limit=limits.max_packet_bytes,
        )
    packet = data if type(data) is bytes else bytes(data)
    if packet[:1] == b"/":
        return _decode_message(packet, 0, length, limits)
    if packet.startswith(_BUNDLE_PREFIX):
        return _decode_bundle(packet, 0, length, limits, 1, [limits.max_elements])
    raise _bad_start(packet, 0, length)


def time_tag_to_unix(tag: int) -> float | None:
    """Give a time tag as wall-clock seconds since 1970, or None for "immediately" (the tag 1).

    Tags count from 1900, so some results are negative: a moment long past, to be done now like the 0.0 of a sender
    that writes 1970. Good to about a microsecond. Raises nothing for 0 <= tag < 2^64.
    """
    if tag == IMMEDIATELY:
        return None
    return (tag >> 32) - _NTP_TO_UNIX_S + (tag & 0xFFFFFFFF) / 2**32


def encode_osc_message(address: str, *arguments: OscArgument, tags: str | None = None) -> bytes:
    """Give one OSC message as a datagram, built by python-osc.

    Without `tags` each argument gets the smallest tag that holds it: bool `T F`, None `N`, int `i` or `h`, float `f`
    (`d` if it is too large for one), str `s`, bytes `b`, OscColor `r`. With `tags`, one letter of `i f s b h d r T F N`
    for each argument. Text ends at its first NUL, as OSC has it; characters that UTF-8 can't carry become `?`.
    Raises ValueError for what can't be sent: an int over 64 bits, an array, an impulse (python-osc has no tag for it),
    a value that doesn't fit its tag, an address that doesn't begin with `/`.
    """
    if not address.startswith("/"):
        raise ValueError(f"OSC address {address!r} must begin with /")
    if tags is not None and len(tags) != len(arguments):
        raise ValueError(f"{len(tags)} OSC type tags for {len(arguments)} arguments")
    builder = OscMessageBuilder(address=_sendable(address))
    for position, argument in enumerate(arguments):
        tag = _tag_of(argument) if tags is None else tags[position]
        value: Any = argument
        if isinstance(argument, str):
            value = _sendable(argument)
        elif isinstance(argument, OscColor):
            value = int.from_bytes(bytes(argument), "big")
        elif argument == b"":
            value = _EmptyBlob()
        builder.add_arg(value, tag)
    try:
        return bytes(builder.build().dgram)
    except (BuildError, OverflowError) as error:
        raise ValueError(f"{address}: arguments {arguments!r} can't be sent as OSC: {error}") from error


class _EmptyBlob(bytes):
    """python-osc refuses a blob that is false; OSC has blobs of 0 bytes."""

    def __bool__(self) -> bool:
        return True


def _sendable(text: str) -> str:
    return text.partition("\0")[0].encode("utf-8", "replace").decode("utf-8")


def _tag_of(argument: OscArgument) -> str:
    if argument is None:
        return "N"
    if isinstance(argument, bool):
        return "T" if argument else "F"
    if isinstance(argument, int):
        if -(2**31) <= argument < 2**31:
            return "i"
        if -(2**63) <= argument < 2**63:
            return "h"
    elif isinstance(argument, float):
        return "d" if 3.4028234e38 < abs(argument) < float("inf") else "f"
    elif isinstance(argument, str):
        return "s"
    elif isinstance(argument, bytes):
        return "b"
    elif isinstance(argument, OscColor):
        return "r"
    raise ValueError(f"{argument!r} can't be sent as an OSC argument")


def _decode_bundle(
    packet: bytes, start: int, end: int, limits: OscLimits, depth: int, elements_left: list[int]
) -> OscBundle:
    """Decode the bundle in packet[start:end]; recursion ends at `limits.max_bundle_depth`."""
    if depth > limits.max_bundle_depth:
        raise OscDecodeError(
            f"bundles are nested more than {limits.max_bundle_depth} deep", value=depth, limit=limits.max_bundle_depth
        )
    if end - start < _BUNDLE_HEAD_BYTES:
        raise OscDecodeError(f"bundle of {end - start} bytes < {_BUNDLE_HEAD_BYTES} bytes of prefix and time tag")
    time_tag: int = _TIME_TAG.unpack_from(packet, start + len(_BUNDLE_PREFIX))[0]
    elements: list[OscMessage | OscBundle] = []
    position = start + _BUNDLE_HEAD_BYTES
    while position < end:
        if end - position < 4:
            raise OscDecodeError(f"{end - position} bytes at {position} are too few for an element's size")
        size: int = _INT32.unpack_from(packet, position)[0]
        position += 4
        if size <= 0 or size > end - position:
            raise OscDecodeError(
                f"bundle element at {position} has size {size}, must be 1..{end - position}",
                value=size,
                limit=end - position,
            )
        element_end = position + size
        # Only the last blob of a packet may go without its padding: behind it nothing can be misread.
        if size & 3 and element_end != len(packet):
            raise OscDecodeError(f"bundle element at {position} has size {size}, not a multiple of 4", value=size)
        if not elements_left[0]:
            raise OscDecodeError(f"more than {limits.max_elements} elements in one packet", limit=limits.max_elements)
        elements_left[0] -= 1
        if packet[position] == 0x2F:
            elements.append(_decode_message(packet, position, element_end, limits))
        elif packet.startswith(_BUNDLE_PREFIX, position, element_end):
            elements.append(_decode_bundle(packet, position, element_end, limits, depth + 1, elements_left))
        else:
            raise _bad_start(packet, position, element_end)
        position = element_end
    return OscBundle(time_tag, tuple(elements))


def _decode_message(packet: bytes, start: int, end: int, limits: OscLimits) -> OscMessage:
    """Decode the message in packet[start:end], which begins with `/`."""
    address, position = _string(packet, start, start, end, "address")
    if position == end:
        return OscMessage(address)
    if packet[position] != 0x2C:
        raise OscDecodeError(f"{_shown(address)}: type tags at {position} don't begin with a comma")
    tags, position = _string(packet, position, start, end, "type tags")
    tags = tags[1:]
    numbers = _numbers(tags) if len(tags) <= 16 else None
    if numbers is None:
        return OscMessage(address, _arguments(packet, start, position, end, tags, limits), tags)
    if end - position != numbers.size:
        raise OscDecodeError(
            f"{_shown(address)}: type tags {tags!r} need {numbers.size} bytes of arguments, {end - position} are here",
            value=end - position,
            limit=numbers.size,
        )
    return OscMessage(address, numbers.unpack_from(packet, position), tags)


def _shown(address: str) -> str:
    """Give the beginning of an address for a message that may end in a terminal: control characters escaped."""
    return repr(address[:80])[1:-1]


@lru_cache(maxsize=512)
def _numbers(tags: str) -> Struct | None:
    """Give one Struct for a whole run of plain numbers, the most common kind of message, or None."""
    formats = [_NUMBERS[tag].format[1:] for tag in tags if tag in _NUMBERS]
    return Struct(">" + "".join(formats)) if len(formats) == len(tags) else None


def _arguments(
    packet: bytes, start: int, position: int, end: int, tags: str, limits: OscLimits
) -> tuple[OscArgument, ...]:
    """Walk the arguments of packet[position:end] by their tags, left to right."""
    if len(tags) > limits.max_arguments:
        raise OscDecodeError(
            f"{len(tags)} type tags in one message > limit of {limits.max_arguments}",
            value=len(tags),
            limit=limits.max_arguments,
        )
    character_bytes = _character_bytes(tags, end - position) if "c" in tags else 4
    arguments: list[OscArgument] = []
    outer: list[list[OscArgument]] = []
    padding_left = 0
    for tag in tags:
        if tag in "sS":
            text, position = _string(packet, position, start, end, "string")
            arguments.append(text)
            padding_left = 0
        elif tag in _NUMBERS:
            number = _NUMBERS[tag]
            if end - position < number.size:
                raise _short(tag, position, number.size, end)
            arguments.append(number.unpack_from(packet, position)[0])
            position += number.size
            padding_left = 0
        elif tag in _NO_BYTES:
            arguments.append(_NO_BYTES[tag])
        elif tag == "b":
            blob, position = _blob(packet, position, start, end)
            arguments.append(blob)
            padding_left = 4
        elif tag == "r":
            if end - position < 4:
                raise _short(tag, position, 4, end)
            arguments.append(OscColor(*_COLOR.unpack_from(packet, position)))
            position += 4
            padding_left = 0
        elif tag == "c":
            if end - position < character_bytes:
                raise _short(tag, position, character_bytes, end)
            arguments.append(_character(_CHARACTER[character_bytes].unpack_from(packet, position)[0], position))
            position += character_bytes
            padding_left = 0
        elif tag == "[":
            if len(outer) == limits.max_array_depth:
                raise OscDecodeError(
                    f"arrays are nested more than {limits.max_array_depth} deep", limit=limits.max_array_depth
                )
            outer.append(arguments)
            arguments = []
        elif tag == "]":
            if not outer:
                raise OscDecodeError(f"type tags {tags[:80]!r} close an array that none opened")
            array = tuple(arguments)
            arguments = outer.pop()
            arguments.append(array)
        else:
            raise OscDecodeError(
                f"unknown type tag {tag!r}; known are i f s b h d t T F N I S c r [ ]",
                value=tag,
                limit="i f s b h d t T F N I S c r [ ]",
            )
    if outer:
        raise OscDecodeError(f"type tags {tags[:80]!r} leave an array open")
    # `padding_left` is for senders that pad a last blob of a multiple of 4 bytes by four more.
    if end - position > padding_left or packet.count(0, position, end) != end - position:
        raise OscDecodeError(f"{end - position} bytes at {position} are left over behind the last argument")
    return tuple(arguments)


def _character_bytes(tags: str, available: int) -> int:
    """Give the width of each `c`: 4, or 2 if the tags need exactly the bytes there are only that way."""
    sizes = [_FIXED_BYTES.get(tag) for tag in tags if tag != "c"]
    others = sum(size for size in sizes if size is not None)
    return 2 if None not in sizes and others + 2 * tags.count("c") == available else 4


def _character(code: int, position: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise OscDecodeError(f"character {code:#x} at {position} is not a Unicode character", value=code)
    return chr(code)


def _string(packet: bytes, position: int, start: int, end: int, what: str) -> tuple[str, int]:
    """Give the padded string at `position` and the position behind its padding, aligned from `start`."""
    nul = packet.find(0, position, end)
    if nul < 0:
        raise OscDecodeError(f"{what} at {position} has no NUL before the end at {end}")
    behind = start + ((nul - start) | 3) + 1
    if behind > end or packet.count(0, nul, behind) != behind - nul:
        raise OscDecodeError(f"{what} at {position} is not padded with NULs to a multiple of 4 bytes")
    raw = packet[position:nul]
    try:
        return raw.decode(), behind
    except UnicodeDecodeError:
        return raw.decode("latin-1"), behind


def _blob(packet: bytes, position: int, start: int, end: int) -> tuple[bytes, int]:
    """Give the blob at `position` and the position behind its padding, as far as there is any."""
    if end - position < 4:
        raise _short("b", position, 4, end)
    size: int = _INT32.unpack_from(packet, position)[0]
    position += 4
    if not 0 <= size <= end - position:
        raise OscDecodeError(
            f"blob at {position} has size {size}, must be 0..{end - position}", value=size, limit=end - position
        )
    blob_end = position + size
    behind = start + ((blob_end - start + 3) & ~3)
    return packet[position:blob_end], min(behind, end)


def _short(tag: str, position: int, needed: int, end: int) -> OscDecodeError:
    return OscDecodeError(
        f"argument of type {tag!r} at {position} needs {needed} bytes, {end - position} are left",
        value=end - position,
        limit=needed,
    )


def _bad_start(packet: bytes, start: int, end: int) -> OscDecodeError:
    if start == end:
        return OscDecodeError("packet is empty, must begin with / or #bundle")
    return OscDecodeError(
        f"{end - start} bytes at {start} begin with {packet[start : min(end, start + 8)]!r}, not with / or #bundle"
    )
