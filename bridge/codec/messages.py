"""Messages of the engine link: msgpack maps to typed records and back.

Each record is one op in one direction; its fields are the map's, by the same names. A field that is None is not sent.
`params`, `tracks` and image values stay as they came: they are checked against the workflow's parameters, not here
(text in them may still be bytes, whole numbers may be floats).

What senders do and is taken: whole numbers as float64 or float32, text as binary, nil for a missing field, unknown
fields. Extension types, duplicate keys, keys that aren't text, depth and size over the limits are refused.
Source: protocols/engine-link.md; vectors: protocols/vectors/message.
"""

from __future__ import annotations

import difflib
import enum
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import msgpack
import msgspec

from bridge.codec.bridge_messages import (
    Accepted,
    BridgeMessage,
    Changed,
    Described,
    Error,
    Finished,
    Memory,
    Ok,
    Opened,
    OutputDescription,
    ParameterDescription,
    Pong,
    Progress,
    SizeSides,
    StatsAnswer,
    StreamSummary,
    Subscribed,
    UnfinishedRequest,
    Welcome,
    WorkflowSummary,
)
from bridge.codec.engine_messages import (
    Ack,
    Blackout,
    Cancel,
    Close,
    Describe,
    EngineMemory,
    EngineMessage,
    Freeze,
    Hello,
    Image,
    Live,
    Open,
    Panic,
    Ping,
    Resume,
    Run,
    Seed,
    Sequence,
    Set,
    Stats,
    Subscribe,
    Unsubscribe,
)
from bridge.codec.message_fields import MAX_KEY_BYTES, Key, Message, StreamRef
from bridge.codec.msgpack_structure import check_structure, find_id
from bridge.errors import ErrorCode, MessageDecodeError, TexbridgeError

__all__ = [
    "MAX_KEY_BYTES",
    "Accepted",
    "Ack",
    "Blackout",
    "BridgeMessage",
    "Cancel",
    "Changed",
    "Close",
    "Describe",
    "Described",
    "EngineMemory",
    "EngineMessage",
    "Error",
    "Finished",
    "Freeze",
    "Hello",
    "Image",
    "Key",
    "Live",
    "Memory",
    "Message",
    "MessageLimits",
    "Ok",
    "Open",
    "Opened",
    "OutputDescription",
    "Panic",
    "ParameterDescription",
    "Ping",
    "Pong",
    "Progress",
    "Resume",
    "Run",
    "Seed",
    "Sequence",
    "Set",
    "SizeSides",
    "Stats",
    "StatsAnswer",
    "StreamRef",
    "StreamSummary",
    "Subscribe",
    "Subscribed",
    "UnfinishedRequest",
    "Unsubscribe",
    "Welcome",
    "WorkflowSummary",
    "close_code",
    "decode_answer",
    "decode_message",
    "encode_message",
    "error_message",
    "shortened",
]


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What one message may be at most.

    Attributes:
        max_message_bytes: its length.
        max_depth: maps and lists in each other, the message itself included.
        max_nodes: keys, values and items, all together.
    """

    max_message_bytes: int = 64 * 1024 * 1024
    max_depth: int = 16
    max_nodes: int = 65_536


_M = TypeVar("_M", bound=Message)

_DEFAULT_LIMITS: Final = MessageLimits()
_ENCODER: Final = msgspec.msgpack.Encoder()
_RAW_FIELDS: Final = frozenset({"params", "value", "tracks"})
_SECRET_FIELDS: Final = frozenset({"token", "session"})
_DELIVERY_BY_DEFAULT: Final = {"delivery": "latest", "credit": 1}
_MAX_SHOWN: Final = 80
_MAX_SHOWN_ITEMS: Final = 16
_MAX_ERROR_TEXT: Final = 1_000
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_FIRST_WORD: Final = re.compile(r"\w+")


def _by_op(union: Any) -> dict[str, type[Any]]:
    return {str(record.__struct_config__.tag): record for record in typing.get_args(union)}


_ENGINE_OPS: Final = _by_op(EngineMessage)
_BRIDGE_OPS: Final = _by_op(BridgeMessage)


def decode_message(data: bytes | bytearray | memoryview, limits: MessageLimits = _DEFAULT_LIMITS) -> EngineMessage:
    """Give the record of one message from an engine.

    Raises MessageDecodeError and nothing else, whatever the bytes: 102 not a msgpack map, or not a whole one; 105 too
    large; 106 too deep, too many values, or a key twice; 107 bytes behind the map, an extension type, text that is not
    UTF-8, or a missing or wrong field, which `field` names; 201 an unknown op. Its `id` is the message's own where
    that can be read.
    """
    message: EngineMessage = _decode(data, limits, _ENGINE_OPS)
    return message


def decode_answer(data: bytes | bytearray | memoryview, limits: MessageLimits = _DEFAULT_LIMITS) -> BridgeMessage:
    """Give the record of one message from the bridge. Raises as `decode_message` does."""
    message: BridgeMessage = _decode(data, limits, _BRIDGE_OPS)
    return message


def encode_message(message: Message) -> bytes:
    """Give a message as a msgpack map, `op` first, without the fields that are None or at their default.

    Raises TypeError for a value in `params` and the like that msgpack has no type for, ValueError for text with a
    lone surrogate and for a number over 64 bits.
    """
    try:
        data = _ENCODER.encode(message)
    except OverflowError as error:
        raise ValueError(f"{message.op}: a number is over 64 bits: {error}") from error
    if data[0] == 0xDE and data[1] == 0 and data[2] < 16:
        # msgspec chooses the map's head by the fields of the record, not by those that it writes.
        data = bytes((0x80 | data[2],)) + data[3:]
    return data


def close_code(error: TexbridgeError) -> int:
    """Give the WebSocket close code for a fatal error: 4000 + its number."""
    return 4000 + int(error.code)


def error_message(
    error: TexbridgeError, id: int | None = None, fatal: bool = False, stream: int | None = None
) -> Error:
    """Give the `error` message for an error, ready to encode.

    `id` is that of the message it answers; without it, the one that a MessageDecodeError found. `stream` is the number
    of the stream that it is about, else the error's own. Values and limits are shortened; a token's or session's value
    is left out.
    """
    if id is None and isinstance(error, MessageDecodeError):
        id = error.id
    is_secret = error.field in _SECRET_FIELDS
    return Error(
        id=id,
        code=int(error.code),
        name=error.code.word,
        message=_clean(error.message, _MAX_ERROR_TEXT),
        field=None if error.field is None else _clean(error.field, _MAX_SHOWN),
        value=None if is_secret else shortened(error.value),
        limit=None if is_secret else shortened(error.limit),
        stream=error.stream if stream is None else stream,
        fatal=fatal,
    )


def shortened(value: object) -> Any:
    """Give a value as an error may show it: plain, encodable and short. Text keeps 80 characters, lists 16 items."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        # int() takes an IntEnum's name away; 64 bits are what msgpack carries.
        return int(value) if -(2**63) <= value < 2**64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return _clean(value, _MAX_SHOWN)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return f"map of {len(value)}"
    if isinstance(value, Iterable):
        items = list(value) if isinstance(value, list | tuple | set | frozenset) else []
        return [
            shortened(item) if not isinstance(item, list | tuple | set | frozenset) else f"list of {len(item)}"
            for item in items[:_MAX_SHOWN_ITEMS]
        ]
    return _clean(str(value), _MAX_SHOWN)


def _clean(text: str, longest: int) -> str:
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return str(text).encode("utf-8", "replace").decode("utf-8")


def _decode(data: bytes | bytearray | memoryview, limits: MessageLimits, records: Mapping[str, type[Any]]) -> Any:
    if isinstance(data, memoryview):
        data = data.cast("B")
    if len(data) > limits.max_message_bytes:
        raise MessageDecodeError(
            f"message of {len(data)} bytes > limit of {limits.max_message_bytes}",
            code=ErrorCode.MESSAGE_TOO_LARGE,
            value=len(data),
            limit=limits.max_message_bytes,
        )
    fields = _unpack(data, limits)
    op = fields.get("op")
    if type(op) is bytes:
        op = op.decode("utf-8", "replace")
    record = records.get(op) if type(op) is str else None
    if record is None:
        unknown = _unknown_op(op, fields, records)
        unknown.op = op if isinstance(op, str) else ""
        raise unknown
    if record is Subscribe:
        for name, value in _DELIVERY_BY_DEFAULT.items():
            if fields.get(name) is None:
                fields[name] = value
    try:
        return msgspec.convert(fields, record)
    except msgspec.ValidationError:
        # Only now is the price paid for senders with floats for ints, binary for text, nil for nothing.
        fields = {name: _soft(name, value) for name, value in fields.items() if value is not None}
    try:
        return msgspec.convert(fields, record)
    except msgspec.ValidationError as error:
        try:
            _raise_wrong_field(record, fields, str(error))
        except MessageDecodeError as wrong:
            wrong.op = op
            raise


def _unpack(data: bytes | bytearray | memoryview, limits: MessageLimits) -> dict[str, Any]:
    """Give the map that the bytes are. Keys are text, each there once."""
    try:
        check_structure(data, limits.max_depth, limits.max_nodes)
        fields: dict[str, Any] = msgpack.unpackb(
            data,
            object_pairs_hook=_map,
            strict_map_key=False,
            max_array_len=limits.max_nodes,
            max_map_len=limits.max_nodes,
            max_ext_len=0,
        )
        return fields
    except MessageDecodeError as error:
        error.id = find_id(data)
        raise
    except UnicodeDecodeError as error:
        raise MessageDecodeError(f"text in the message is not UTF-8: {error.reason}", id=find_id(data)) from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        # The structure was checked before, so this is no known case; it stays the sender's fault, not a crash.
        raise MessageDecodeError(
            f"message can't be unpacked: {error}", code=ErrorCode.NOT_MSGPACK, id=find_id(data)
        ) from error


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Give the map of these pairs, or raise where a key is not text or comes twice. Called for inner maps first."""
    for key, _ in pairs:
        if type(key) is not str:
            pairs = [(_text_key(key), value) for key, value in pairs]
            break
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MessageDecodeError(
            f"key {_clean(twice, _MAX_SHOWN)!r} comes twice in one map",
            code=ErrorCode.MESSAGE_TOO_COMPLEX,
            field=_clean(twice, _MAX_SHOWN),
        )
    return result


def _text_key(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key.decode("utf-8")
    raise MessageDecodeError(
        f"a map has the key {shortened(key)!r}, must be text: use names as keys, not numbers", value=shortened(key)
    )


def _soft(name: str, value: Any) -> Any:
    """Give a field's value in the type that was meant, where the sender's language has no better one."""
    if name in _RAW_FIELDS:
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**64:
        return int(value)
    if type(value) is bytes:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    if type(value) is list:
        return [_soft("", item) if type(item) is not list else item for item in value]
    return value


def _unknown_op(op: object, fields: Mapping[str, Any], records: Mapping[str, type[Any]]) -> MessageDecodeError:
    id = _whole(fields.get("id"))
    if op is None:
        return MessageDecodeError("message has no field op", field="op", id=id)
    if not isinstance(op, str):
        return MessageDecodeError(f"op {shortened(op)!r} must be text", field="op", value=shortened(op), id=id)
    nearest = difflib.get_close_matches(op[:_MAX_SHOWN], records, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(records)}"
    return MessageDecodeError(
        f"unknown op {shortened(op)!r}{hint}",
        code=ErrorCode.UNKNOWN_OP,
        field="op",
        value=shortened(op),
        limit=nearest[0] if nearest else None,
        id=id,
    )


def _whole(value: object) -> int | None:
    """Give an id as the fields hold it, or None if it is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**64 else None


def _raise_wrong_field(record: type[Message], fields: Mapping[str, Any], reason: str) -> NoReturn:
    """Raise 107 with the field's name, what was given and what would be right, from msgspec's words."""
    op = str(record.__struct_config__.tag)
    id = _whole(fields.get("id"))
    missing = _MISSING.search(reason)
    if missing and " - at " not in reason:
        raise MessageDecodeError(f"{op}: field {missing[1]} is missing", field=missing[1], id=id)
    at = _PATH.search(reason)
    path = at[1] if at else ""
    words = _PATH.sub("", reason)
    if not path:
        first = _FIRST_WORD.match(words)
        path = first[0] if first and first[0] in record.__struct_fields__ else ""
    field = re.split(r"[.\[]", path, maxsplit=1)[0] or None
    value = None if field is None or field in _SECRET_FIELDS else shortened(fields.get(field))
    choices = _choices(record, field)
    if choices and "Invalid enum value" in words:
        words = f"{value!r} must be one of {', '.join(choices)}"
    where = f"{op}.{path}" if path else op
    raise MessageDecodeError(
        f"{where}: {_clean(words, 300)}", field=field, value=value, limit=", ".join(choices) or None, id=id
    )


def _choices(record: type[Message], field: str | None) -> list[str]:
    """Give the words that a field may hold, if it holds words."""
    found: list[str] = []
    for option in typing.get_args(typing.get_type_hints(record).get(field or "")) or [
        typing.get_type_hints(record).get(field or "")
    ]:
        if isinstance(option, type) and issubclass(option, enum.Enum):
            found += [str(member.value) for member in option]
        elif typing.get_origin(option) is typing.Literal:
            found += [str(word) for word in typing.get_args(option)]
    return found
