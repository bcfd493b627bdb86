"""The structure of msgpack bytes, read without building a value: what a small message may cost is known before.

One pass over the type bytes; the bodies of text and binary are stepped over, so that megabytes of pixels cost
nothing. Needed because a list claims its memory at its head: 5 KB of nested heads could take hundreds of megabytes.
Source: the msgpack specification; reliability: depth, node count and extension types are capped before building.
"""

from __future__ import annotations

from typing import Final

from bridge.errors import ErrorCode, MessageDecodeError

_LZ4_EXTENSION: Final = 98
_TIMESTAMP_EXTENSION: Final = 255  # -1 as a byte
_MAX_STEPS_FOR_ID: Final = 1_024

# Whole length of a value by its first byte; 0 means that more must be read.
_LENGTHS: Final = bytes(
    1 if byte < 0x80 or byte >= 0xE0 or byte in (0xC0, 0xC2, 0xC3)
    else 1 + (byte & 31) if 0xA0 <= byte <= 0xBF
    else {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.get(byte, 0)
    for byte in range(256)
)  # fmt: skip
# Bytes of the length word behind the first byte.
_BODY_WORDS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINER_WORDS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_EXTENSION_TYPE_AT: Final = {0xC7: 2, 0xC8: 3, 0xC9: 5, 0xD4: 1, 0xD5: 1, 0xD6: 1, 0xD7: 1, 0xD8: 1}


def check_structure(data: bytes | bytearray | memoryview, max_depth: int, max_nodes: int) -> None:
    """Return if `data` is exactly one msgpack map, whole, and within the limits.

    A map or list counts one level of depth; each key, value and item counts one node. Raises MessageDecodeError:
    102 for bytes that are not a map, or one that ends early; 106 for too deep or too many nodes; 107 for bytes behind
    the map, and for an extension type in it. Its `id` is not set: see `find_id`.
    """
    _check_first(data)
    end = len(data)
    position = 0
    nodes = 1
    left = 1
    outer: list[int] = []
    while True:
        while not left:
            if not outer:
                if position != end:
                    raise _not_whole(position, end)
                return
            left = outer.pop()
        left -= 1
        if position >= end:
            raise _not_whole(position, end)
        first = data[position]
        length = _LENGTHS[first]
        if length:
            position += length
            continue
        if first < 0xA0:
            count = (first & 15) << (first < 0x90)
            position += 1
        elif first in _BODY_WORDS:
            word = _BODY_WORDS[first]
            behind = position + 1 + word
            if behind > end:
                raise _not_whole(behind, end)
            position = behind + int.from_bytes(data[position + 1 : behind], "big")
            continue
        elif first in _CONTAINER_WORDS:
            behind = position + 1 + _CONTAINER_WORDS[first]
            if behind > end:
                raise _not_whole(behind, end)
            count = int.from_bytes(data[position + 1 : behind], "big") << (first >= 0xDE)
            position = behind
        else:
            raise _bad_type(data, position, end)
        nodes += count
        if nodes > max_nodes:
            raise MessageDecodeError(
                f"message has {nodes} or more values > limit of {max_nodes}",
                code=ErrorCode.MESSAGE_TOO_COMPLEX,
                value=nodes,
                limit=max_nodes,
            )
        if count > end - position:
            raise _not_whole(position + count, end)
        outer.append(left)
        left = count
        if len(outer) > max_depth:
            raise MessageDecodeError(
                f"message is nested more than {max_depth} deep",
                code=ErrorCode.MESSAGE_TOO_COMPLEX,
                value=len(outer),
                limit=max_depth,
            )


def find_id(data: bytes | bytearray | memoryview) -> int | None:
    """Give the top level's `id` of a message that could not be decoded, or None if it can't be read.

    Looks at a bounded number of values, and raises nothing, whatever the bytes.
    """
    try:
        first = data[0]
        word = 0 if first < 0x90 else _CONTAINER_WORDS.get(first, 0)
        entries = int.from_bytes(data[1 : 1 + word], "big") if word else first & 15
        position = 1 + word
        steps = _MAX_STEPS_FOR_ID
        for _ in range(entries):
            behind, steps = _skip(data, position, steps)
            # "id" as a short text, or as text or binary with a length byte.
            if behind - position <= 4 and bytes(data[behind - 2 : behind]) == b"id" and data[position] >= 0xA0:
                return _whole_number(data, behind)
            position, steps = _skip(data, behind, steps)
    except IndexError:
        pass
    return None


def _skip(data: bytes | bytearray | memoryview, position: int, steps: int) -> tuple[int, int]:
    """Give the position behind the value at `position`, and the steps left. Raises IndexError where there are none."""
    left = 1
    while steps:
        if not left:
            return position, steps
        steps -= 1
        left -= 1
        first = data[position]
        length = _LENGTHS[first]
        if length:
            position += length
        elif first < 0xA0:
            left += (first & 15) << (first < 0x90)
            position += 1
        elif first in _BODY_WORDS:
            behind = position + 1 + _BODY_WORDS[first]
            position = behind + int.from_bytes(data[position + 1 : behind], "big")
        elif first in _CONTAINER_WORDS:
            behind = position + 1 + _CONTAINER_WORDS[first]
            left += int.from_bytes(data[position + 1 : behind], "big") << (first >= 0xDE)
            position = behind
        elif 0xD4 <= first <= 0xD8:
            position += 2 + (1 << (first - 0xD4))
        elif first in _EXTENSION_TYPE_AT:
            behind = position + _EXTENSION_TYPE_AT[first]
            position = behind + 1 + int.from_bytes(data[position + 1 : behind], "big")
        else:
            break
    raise IndexError


def _whole_number(data: bytes | bytearray | memoryview, position: int) -> int | None:
    first = data[position]
    if first < 0x80:
        return first
    if 0xCC <= first <= 0xCF:
        word = bytes(data[position + 1 : position + 1 + (1 << (first - 0xCC))])
        return int.from_bytes(word, "big") if len(word) == 1 << (first - 0xCC) else None
    return None


def _check_first(data: bytes | bytearray | memoryview) -> None:
    if not len(data):
        raise MessageDecodeError("message is empty, must be a msgpack map", code=ErrorCode.NOT_MSGPACK)
    first = data[0]
    if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
        return
    if first in _EXTENSION_TYPE_AT:
        raise MessageDecodeError(
            f"{_extension_words(data, 0)}; a message is a plain msgpack map", code=ErrorCode.NOT_MSGPACK, value=first
        )
    if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
        raise MessageDecodeError(
            "message is a msgpack array, must be a map: use names as keys, not numbers",
            code=ErrorCode.NOT_MSGPACK,
            value=first,
        )
    raise MessageDecodeError(
        f"message begins with byte {first:#04x}, must be a msgpack map (0x80-0x8f, 0xde, 0xdf)",
        code=ErrorCode.NOT_MSGPACK,
        value=first,
    )


def _extension_words(data: bytes | bytearray | memoryview, position: int) -> str:
    at = position + _EXTENSION_TYPE_AT[data[position]]
    kind = data[at] if at < len(data) else None
    if kind == _LZ4_EXTENSION:
        return "msgpack extension 98 is LZ4 compression, which is not taken: switch it off in the sender"
    if kind == _TIMESTAMP_EXTENSION:
        return "msgpack extension -1 is a timestamp, which is not taken: send a number or text"
    return f"msgpack extension {kind} is not taken"


def _bad_type(data: bytes | bytearray | memoryview, position: int, end: int) -> MessageDecodeError:
    if data[position] == 0xC1:
        return MessageDecodeError(f"byte 0xc1 at {position} is not msgpack", code=ErrorCode.NOT_MSGPACK)
    return MessageDecodeError(f"{_extension_words(data, position)} (at {position} of {end} bytes)")


def _not_whole(position: int, end: int) -> MessageDecodeError:
    if position < end:
        return MessageDecodeError(f"{end - position} bytes follow the message, must be none", value=end - position)
    return MessageDecodeError(
        f"message ends after {end} bytes, in the middle of a value", code=ErrorCode.NOT_MSGPACK, value=end
    )
