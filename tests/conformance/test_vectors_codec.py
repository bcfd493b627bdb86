"""The Python codecs against every vector, both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest
from vectors import Vector, flatten, load, same, unflatten

from bridge.codec.frame import FrameHeader, decode_frame, encode_frame_header
from bridge.codec.framing import LengthDecoder, encode_length
from bridge.codec.messages import decode_answer, decode_message, encode_message
from bridge.codec.osc import (
    OscBundle,
    OscColor,
    OscMessage,
    decode_packet,
    encode_osc_message,
)
from bridge.codec.parts import PartAssembler, split_message
from bridge.codec.shared_memory import MemoryPage, decode_page, decode_slot, encode_page, place_doorbell
from bridge.errors import (
    DecodeError,
    FrameDecodeError,
    FramingDecodeError,
    MessageDecodeError,
    OscDecodeError,
    PartDecodeError,
)

FOLDERS = ("frame", "part", "framing", "message", "osc", "memory")
ERRORS = {
    "frame": FrameDecodeError,
    "part": PartDecodeError,
    "framing": FramingDecodeError,
    "message": MessageDecodeError,
    "osc": OscDecodeError,
    "memory": FrameDecodeError,
}
ALL = [vector for folder in FOLDERS for vector in load(folder)]
DEFAULT_LIMIT = 1 << 20


def folder_of(vector: Vector) -> str:
    return vector.name.partition("/")[0]


# --- decoding ----------------------------------------------------------------------------------------------


def decode_frame_vector(vector: Vector) -> dict[str, Any]:
    header, payload = decode_frame(vector.items[0])
    fields = {key: value for key, value in dataclasses.asdict(header).items() if value is not None}
    return fields | {"header_bytes": len(vector.items[0]) - len(payload), "payload": bytes(payload)}


def decode_part_vector(vector: Vector) -> dict[str, Any]:
    assembler = PartAssembler(vector.limits.get("max_total_bytes", DEFAULT_LIMIT))
    whole = [assembler.feed(item) for item in vector.items]
    return {f"after.{place}": None if item is None else bytes(item) for place, item in enumerate(whole)}


def decode_framing_vector(vector: Vector, piece: int = 0) -> dict[str, Any]:
    """`piece`: how many bytes at a time, 0 for all at once."""
    decoder = LengthDecoder(vector.limits.get("max_message_bytes", DEFAULT_LIMIT))
    stream = vector.items[0]
    step = piece or max(len(stream), 1)
    messages = [bytes(m) for at in range(0, len(stream), step) for m in decoder.feed(stream[at : at + step])]
    values: dict[str, Any] = {"messages": len(messages), "waiting": decoder.waiting}
    for place, message in enumerate(messages):
        values |= {f"message.{place}": message, f"message.{place}.bytes": len(message)}
    return values


def decode_message_vector(vector: Vector) -> dict[str, Any]:
    decode: Callable[[bytes], Any] = decode_message if vector.direction == "engine" else decode_answer
    return flatten(plain(decode(vector.items[0])))


def plain(value: Any) -> Any:
    """A record as maps and lists, None fields and words for enumerations as on the wire."""
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        tag = {"op": value.__struct_config__.tag} if value.__struct_config__.tag else {}
        return tag | {name: inner for name, inner in fields.items() if inner is not None}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


def decode_osc_vector(vector: Vector) -> dict[str, Any]:
    return osc_paths(decode_packet(vector.items[0]))


def osc_paths(packet: OscMessage | OscBundle) -> dict[str, Any]:
    if isinstance(packet, OscBundle):
        values: dict[str, Any] = {"time_tag": packet.time_tag}
        for place, element in enumerate(packet.elements):
            values |= {f"element.{place}.{path}": value for path, value in osc_paths(element).items()}
        return values
    arguments = flat_arguments(packet.arguments)
    return {"address": packet.address, "tags": packet.tags} | {
        f"argument.{place}": bytes(argument) if isinstance(argument, OscColor) else argument
        for place, argument in enumerate(arguments)
    }


def flat_arguments(arguments: tuple[Any, ...]) -> list[Any]:
    flat: list[Any] = []
    for argument in arguments:
        if isinstance(argument, tuple) and not isinstance(argument, OscColor):
            flat += flat_arguments(argument)
        else:
            flat.append(argument)
    return flat


def decode_memory_vector(vector: Vector) -> dict[str, Any]:
    page = decode_page(vector.items[0], vector.limits["file_bytes"])
    values = dataclasses.asdict(page)
    for item in vector.items[1:]:
        if item[:4] == b"TXB1":
            header, _ = decode_frame(item)
            fields = dataclasses.asdict(header) | place_doorbell(page, header)._asdict()
            values |= {f"doorbell.{name}": value for name, value in fields.items()}
        else:
            seq, header = decode_slot(page, item)
            fields = dataclasses.asdict(header) | {"seq": seq}
            values |= {f"slot.{name}": value for name, value in fields.items()}
    return values


DECODERS: dict[str, Callable[[Vector], dict[str, Any]]] = {
    "frame": decode_frame_vector,
    "part": decode_part_vector,
    "framing": decode_framing_vector,
    "message": decode_message_vector,
    "osc": decode_osc_vector,
    "memory": decode_memory_vector,
}


def judge(vector: Vector) -> None:
    """Raise AssertionError unless the codec does what the vector says."""
    decode = DECODERS[folder_of(vector)]
    if vector.error is None or vector.cuts:
        found = decode(vector)
        for path, value in vector.values.items():
            assert path in found, path
            assert same(found[path], value), f"{path}: {found[path]!r}, the vector says {value!r}"
        if folder_of(vector) == "message" and not vector.cuts:
            # Fields at their default may be told too: `replace` is false, `priority` 5.
            extra = {path: value for path, value in found.items() if path not in vector.values}
            assert all(value in (False, 5) for value in extra.values()), extra
    if vector.error is None:
        return
    for items in [[vector.items[0][:cut]] for cut in vector.cuts] or [vector.items]:
        error = refusal(dataclasses.replace(vector, items=items))
        assert error is not None, f"{len(items[0])} bytes were taken, must be refused with {vector.error}"
        assert (int(error.code), error.code.word) == vector.error, error
        assert isinstance(error, ERRORS[folder_of(vector)])
        if "field" in vector.values:
            assert error.field == vector.values["field"], error
        if "id" in vector.values:
            assert isinstance(error, MessageDecodeError)
            assert error.id == vector.values["id"], error


def refusal(vector: Vector) -> DecodeError | None:
    """What the codec raises, None if it takes the bytes."""
    try:
        DECODERS[folder_of(vector)](vector)
    except DecodeError as error:
        return error
    return None


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
def test_decode(vector: Vector) -> None:
    judge(vector)


@pytest.mark.parametrize("vector", [v for v in ALL if folder_of(v) == "framing"], ids=lambda vector: vector.name)
def test_framing_is_the_same_in_any_pieces(vector: Vector) -> None:
    for piece in (1, 2, 3, 5, 7):
        if vector.error is None:
            assert decode_framing_vector(vector, piece) == decode_framing_vector(vector)
        else:
            with pytest.raises(FramingDecodeError) as caught:
                decode_framing_vector(vector, piece)
            assert int(caught.value.code) == vector.error[0]


@pytest.mark.parametrize("vector", [v for v in ALL if v.error is None], ids=lambda vector: vector.name)
def test_decode_takes_any_kind_of_buffer(vector: Vector) -> None:
    for kind in (bytearray, memoryview):
        items: Any = [kind(item) for item in vector.items]
        judge(dataclasses.replace(vector, items=items))


# --- encoding ----------------------------------------------------------------------------------------------


def canonical(folder: str) -> list[Vector]:
    found = [vector for vector in ALL if vector.canonical and folder_of(vector) == folder]
    assert found
    return found


@pytest.mark.parametrize("vector", canonical("frame"), ids=lambda vector: vector.name)
def test_encode_frame(vector: Vector) -> None:
    """From the numbers at their offsets, not from the decoder: see `test_vectors.py` for who reads them."""
    header, payload = decode_frame(vector.items[0])
    said = {key: value for key, value in vector.values.items() if key not in ("header_bytes", "payload")}
    header = dataclasses.replace(header, **said)
    assert encode_frame_header(header) + bytes(payload) == vector.items[0]


def test_encode_frame_from_values_alone() -> None:
    """Where the vector names every field, nothing of the decoder is needed."""
    names = {field.name for field in dataclasses.fields(FrameHeader)} - {"slot", "seq"}
    complete = [vector for vector in canonical("frame") if names <= vector.values.keys()]
    assert len(complete) >= 3
    for vector in complete:
        header = FrameHeader(**{name: vector.values[name] for name in names})
        assert encode_frame_header(header) + vector.values["payload"] == vector.items[0], vector.name


@pytest.mark.parametrize("name", ["frame/doorbell", "frame/doorbell_largest"])
def test_encode_doorbell(name: str) -> None:
    vector = next(vector for vector in ALL if vector.name == name)
    said = {key: value for key, value in vector.values.items() if key not in ("header_bytes", "payload")}
    assert encode_frame_header(FrameHeader(**said)) == vector.items[0]


@pytest.mark.parametrize("vector", canonical("memory"), ids=lambda vector: vector.name)
def test_encode_page(vector: Vector) -> None:
    assert encode_page(MemoryPage(**vector.values)) == vector.items[0]


@pytest.mark.parametrize("vector", canonical("part"), ids=lambda vector: vector.name)
def test_encode_parts(vector: Vector) -> None:
    whole = vector.values[f"after.{len(vector.items) - 1}"]
    assert list(split_message(whole, vector.limits["max_message_bytes"], 0)) == vector.items


@pytest.mark.parametrize("vector", canonical("framing"), ids=lambda vector: vector.name)
def test_encode_length(vector: Vector) -> None:
    stream, at = vector.items[0], 0
    for place in range(vector.values["messages"]):
        message = vector.values.get(f"message.{place}")
        length = vector.values[f"message.{place}.bytes"] if message is None else len(message)
        assert encode_length(length) == stream[at : at + 4]
        at += 4 + length
    assert at == len(stream)


@pytest.mark.parametrize("vector", canonical("message"), ids=lambda vector: vector.name)
def test_encode_message(vector: Vector) -> None:
    decode: Callable[[bytes], Any] = decode_message if vector.direction == "engine" else decode_answer
    encoded = encode_message(decode(vector.items[0]))
    assert flatten(msgpack.unpackb(encoded)) == vector.values
    assert len(encoded) == len(vector.items[0]), "not the smallest form"


@pytest.mark.parametrize("vector", canonical("osc"), ids=lambda vector: vector.name)
def test_encode_osc(vector: Vector) -> None:
    values = unflatten(vector.values)
    tags, arguments = values["tags"], list(values.get("argument", []))
    arguments = [OscColor(*item) if tag == "r" else item for tag, item in zip(tags, arguments, strict=True)]
    assert encode_osc_message(values["address"], *arguments, tags=tags) == vector.items[0]
    if not {"d", "h"} & set(tags):
        # Small ints and exact floats need no tags said.
        assert encode_osc_message(values["address"], *arguments) == vector.items[0]


# --- this file can fail ------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [v for v in ALL if v.error is None and v.values], ids=lambda vector: vector.name)
def test_a_changed_expectation_is_seen(vector: Vector) -> None:
    path, value = next(reversed(vector.values.items()))
    other = {bool: not value, type(None): 1}.get(type(value), "other" if isinstance(value, str) else -1)
    with pytest.raises(AssertionError):
        judge(dataclasses.replace(vector, values=vector.values | {path: other}))


def test_an_error_that_does_not_come_is_seen() -> None:
    for vector in ALL:
        if vector.error is None:
            with pytest.raises(AssertionError):
                judge(dataclasses.replace(vector, error=(103, "bad_frame"), values={}))
