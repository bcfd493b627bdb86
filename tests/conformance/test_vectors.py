"""The vectors against a second reading of the pages: `struct` literals and rules written here from `protocols/`.

Nothing of the bridge is imported: what this file and the codecs both take out of a vector was read twice. The codecs
themselves are run by `test_vectors_codec.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import jsonschema
import msgpack
import pytest
import vectors
from vectors import Vector, flatten, load, parse_vector, same


class Refused(Exception):
    """What the second reading raises, with the code of errors.md."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(code, why)
        self.code = code


# --- frame.md ----------------------------------------------------------------------------------------------

BYTES_PER_PIXEL = {1: 4, 2: 4, 3: 3, 4: 1, 5: 8, 6: 16, 7: 2, 8: 2, 9: 4}
BYTES_PER_BLOCK = {16: 8, 17: 16, 18: 16}


def read_frame(item: bytes) -> dict[str, Any]:
    if len(item) < 64:
        raise Refused(103, "shorter than a header")
    fields: dict[str, Any] = {
        "header_bytes": struct.unpack_from("<H", item, 4)[0],
        "flags": struct.unpack_from("<H", item, 6)[0],
        "stream": struct.unpack_from("<I", item, 8)[0],
        "number": struct.unpack_from("<I", item, 12)[0],
        "request": struct.unpack_from("<Q", item, 16)[0],
        "index": struct.unpack_from("<I", item, 24)[0],
        "output": item[28],
        "mips": item[29],
        "format": struct.unpack_from("<H", item, 30)[0],
        "width": struct.unpack_from("<I", item, 32)[0],
        "height": struct.unpack_from("<I", item, 36)[0],
        "row_pitch": struct.unpack_from("<I", item, 40)[0],
        "payload_bytes": struct.unpack_from("<I", item, 44)[0],
        "client_time": struct.unpack_from("<Q", item, 48)[0],
        "comfy_us": struct.unpack_from("<I", item, 56)[0],
        "bridge_us": struct.unpack_from("<I", item, 60)[0],
    }
    header_bytes, doorbell = fields["header_bytes"], bool(fields["flags"] & 128)
    if item[:4] != bytes([0x54, 0x58, 0x42, 0x31]):
        raise Refused(103, "magic")
    if header_bytes < (80 if doorbell else 64) or header_bytes % 16 or header_bytes > len(item):
        raise Refused(103, "header_bytes")
    payload = item[header_bytes:]
    if len(payload) != (0 if doorbell else fields["payload_bytes"]):
        raise Refused(103, "payload_bytes")
    check_geometry(fields)
    if doorbell:
        fields["slot"] = struct.unpack_from("<I", item, 64)[0]
        fields["seq"] = struct.unpack_from("<Q", item, 72)[0]
    return fields | {"payload": payload}


def check_geometry(fields: dict[str, Any]) -> None:
    width, height, mips = fields["width"], fields["height"], fields["mips"]
    if width == 0 or height == 0 or mips == 0 or max(width, height) >> (mips - 1) == 0:
        raise Refused(103, "size or mips")
    pixel_format, pitch, size = fields["format"], fields["row_pitch"], fields["payload_bytes"]
    if pixel_format in (64, 65):
        if pitch != 0 or mips != 1 or fields["flags"] & 8 or size == 0:
            raise Refused(103, "encoded")
        return
    total = tight = 0
    for level in range(mips):
        w, h = max(width >> level, 1), max(height >> level, 1)
        if pixel_format in BYTES_PER_PIXEL:
            row, rows = w * BYTES_PER_PIXEL[pixel_format], h
        elif pixel_format in BYTES_PER_BLOCK:
            row, rows = (w + 3) // 4 * BYTES_PER_BLOCK[pixel_format], (h + 3) // 4
        else:
            return  # unknown: nothing to check it by
        tight = tight or row
        total += row * rows
    if pitch != tight or size != total:
        raise Refused(103, "geometry")


# --- shared-memory.md --------------------------------------------------------------------------------------


def read_memory(vector: Vector) -> dict[str, Any]:
    """Item 0 begins a file of `file_bytes`; item 1 is a doorbell, or the first 128 bytes of a slot."""
    page = vector.items[0]
    if len(page) < 40 or page[:6] != bytes([0x54, 0x58, 0x42, 0x53, 1, 0]):
        raise Refused(103, "page")
    slots, stride, capacity, generation = struct.unpack_from("<IIII", page, 8)
    nonce, pid = struct.unpack_from("<QQ", page, 24)
    if slots < 4 or stride == 0 or stride % 4096 or not 1 <= capacity <= stride - 128:
        raise Refused(103, "numbers")
    if 4096 + slots * stride > vector.limits["file_bytes"]:
        raise Refused(103, "file")
    values = {
        "slots": slots,
        "slot_stride": stride,
        "capacity": capacity,
        "generation": generation,
        "nonce": nonce,
        "pid": pid,
    }
    for item in vector.items[1:]:
        if item[:4] == b"TXB1":
            fields = read_frame(item)
            if fields["slot"] >= slots or fields["seq"] % 2 or fields["payload_bytes"] > capacity:
                raise Refused(103, "doorbell")
            begin = 4096 + fields["slot"] * stride
            fields |= {"seq_at": begin, "header_at": begin + 64, "payload_at": begin + 128}
            values |= {f"doorbell.{name}": value for name, value in fields.items()}
        else:
            if len(item) < 128 or struct.unpack_from("<H", item, 70)[0] & 128:
                raise Refused(103, "slot")
            size = struct.unpack_from("<I", item, 64 + 44)[0]
            fields = read_frame(item[64:128] + bytes(size if size <= capacity else 0))
            fields["seq"] = struct.unpack_from("<Q", item)[0]
            values |= {f"slot.{name}": value for name, value in fields.items()}
    return values


# --- frame.md, parts ---------------------------------------------------------------------------------------


def read_parts(vector: Vector) -> dict[str, Any]:
    limit = vector.limits.get("max_total_bytes", 1 << 20)
    after: dict[str, Any] = {}
    whole, first = b"", ()
    for place, item in enumerate(vector.items):
        if len(item) < 33 or item[:4] != b"TXBP":
            raise Refused(104, "header")
        header_bytes = struct.unpack_from("<H", item, 4)[0]
        message, part, parts, offset, total = struct.unpack_from("<IIIII", item, 8)
        data = item[header_bytes:]
        if header_bytes < 32 or not data:
            raise Refused(104, "header_bytes")
        if total > limit:
            raise Refused(105, "total")
        if part == 0 and first == ():
            first = (message, parts, total, len(data))
        if first == () or first[:3] != (message, parts, total) or offset != len(whole) or offset != part * first[3]:
            raise Refused(104, "order")
        last = part == parts - 1
        if part >= parts or len(data) != (total - offset if last else first[3]) or len(data) > first[3]:
            raise Refused(104, "size")
        whole += data
        after[f"after.{place}"] = whole if last else None
        if last:
            whole, first = b"", ()
    return after


# --- engine-link.md, TCP -----------------------------------------------------------------------------------


def read_stream(item: bytes, limit: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    count, place = 0, 0
    while len(item) - place >= 4:
        length = struct.unpack_from("<I", item, place)[0]
        if length == 0:
            raise Refused(111)
        if length > limit:
            raise Refused(105)
        if len(item) - place - 4 < length:
            break
        message = item[place + 4 : place + 4 + length]
        values |= {f"message.{count}": message, f"message.{count}.bytes": len(message)}
        count, place = count + 1, place + 4 + length
    return values | {"messages": count, "waiting": len(item) - place}


# --- engine-link.md, messages ------------------------------------------------------------------------------

OPS = {
    "engine": {
        "hello", "describe", "open", "set", "run", "sequence", "image", "cancel", "live", "seed", "freeze",
        "blackout", "subscribe", "ack", "stats", "ping", "unsubscribe", "close", "panic", "resume", "memory",
    },
    "bridge": {
        "welcome", "described", "opened", "ok", "accepted", "subscribed", "stats", "pong", "progress", "finished",
        "error", "changed", "memory",
    },
}  # fmt: skip


def read_map(item: bytes) -> dict[str, Any]:
    """What any reader refuses, whatever it knows of messages."""
    if item[:1] == b"" or not (0x80 <= item[0] <= 0x8F or item[0] in (0xDE, 0xDF)):
        raise Refused(102, "not a map")
    depth = most = nodes = 0

    def pairs(found: list[tuple[Any, Any]]) -> dict[Any, Any]:
        if len({key for key, _ in found}) != len(found):
            raise Refused(106, "duplicate keys")
        return dict(found)

    def ext(code: int, data: bytes) -> Any:
        raise Refused(107, "ext")

    try:
        message = msgpack.unpackb(item, object_pairs_hook=pairs, ext_hook=ext, timestamp=0)
    except (msgpack.exceptions.ExtraData, UnicodeDecodeError) as error:
        raise Refused(107, repr(error)) from None
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        too_much = isinstance(error, msgpack.exceptions.StackError) or "max_array_len" in str(error)
        raise Refused(106 if too_much else 102, repr(error)) from None
    waiting = [(message, 1)]
    while waiting:
        value, depth = waiting.pop()
        nodes, most = nodes + 1, max(most, depth)
        if isinstance(value, msgpack.Timestamp):
            raise Refused(107, "timestamp")
        if isinstance(value, dict | list):
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]
    if most > 16 or nodes > 65536:
        raise Refused(106, "too deep or too many")
    return message  # type: ignore[no-any-return]


def read_message(item: bytes, direction: str) -> dict[str, Any]:
    message = read_map(item)
    op = message.get("op")
    if isinstance(op, bytes):
        op = op.decode()
    if not isinstance(op, str):
        raise Refused(107, "op")
    if op not in OPS[direction]:
        raise Refused(201, op)
    definition = "stats_answer" if (op, direction) == ("stats", "bridge") else op
    fields = vectors.SCHEMA["$defs"][definition]["properties"]
    known = {key: value for key, value in message.items() if key in fields and value is not None}
    known = {key: value if key in ("params", "value") else as_text(value) for key, value in known.items()}
    if problem := jsonschema.exceptions.best_match(vectors.validator(definition).iter_errors(as_json(known))):
        raise Refused(107, problem.message)
    return flatten(known)


def as_text(value: Any) -> Any:
    """A declared field's bin where text is meant."""
    return value.decode() if isinstance(value, bytes) else value


def as_json(value: Any) -> Any:
    """What JSON sees: bin as text (base64 in the schema's words), whole floats are integers to it anyway."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.hex() if isinstance(value, bytes) else value


# --- osc.md ------------------------------------------------------------------------------------------------


def read_osc(data: bytes, depth: int = 1) -> dict[str, Any]:
    if data[:1] == b"/":
        return read_osc_message(data)
    if data[:8] != b"#bundle\0" or len(data) < 16 or depth > 4:
        raise Refused(108, "start")
    values: dict[str, Any] = {"time_tag": struct.unpack_from(">Q", data, 8)[0]}
    place, count = 16, 0
    while place < len(data):
        if len(data) - place < 4:
            raise Refused(108, "size cut")
        size = struct.unpack_from(">i", data, place)[0]
        if size <= 0 or size % 4 or place + 4 + size > len(data) or count == 1000:
            raise Refused(108, "size")
        inner = read_osc(data[place + 4 : place + 4 + size], depth + 1)
        values |= {f"element.{count}.{path}": value for path, value in inner.items()}
        place, count = place + 4 + size, count + 1
    return values


def read_osc_string(data: bytes, place: int) -> tuple[str, int]:
    end = data.find(b"\0", place)
    after = (end // 4 + 1) * 4
    if end < 0 or after > len(data) or data[end:after].strip(b"\0"):
        raise Refused(108, "string")
    try:
        return data[place:end].decode("utf-8"), after
    except UnicodeDecodeError:
        return data[place:end].decode("latin-1"), after


def read_osc_message(data: bytes) -> dict[str, Any]:
    address, place = read_osc_string(data, 0)
    if place == len(data):
        return {"address": address, "tags": ""}
    tags, place = read_osc_string(data, place)
    if tags[:1] != ",":
        raise Refused(108, "comma")
    values: dict[str, Any] = {"address": address, "tags": tags[1:]}
    count = opened = 0
    for tag in tags[1:]:
        if tag in "[]":
            opened += 1 if tag == "[" else -1
            if opened < 0:
                raise Refused(108, "array")
            continue
        value: Any
        if tag in "sS":
            value, place = read_osc_string(data, place)
        elif tag in "TFNI":
            value = {"T": True, "F": False, "N": None, "I": "impulse"}[tag]
        elif tag in "ifhdtrcb":
            form = {"i": ">i", "f": ">f", "h": ">q", "d": ">d", "t": ">Q", "r": ">4s", "c": ">I", "b": ">i"}[tag]
            if len(data) - place < struct.calcsize(form):
                raise Refused(108, "too few")
            value = struct.unpack_from(form, data, place)[0]
            place += struct.calcsize(form)
            if tag == "c":
                value = chr(value)
            if tag == "b":
                if not 0 <= value <= len(data) - place:
                    raise Refused(108, "blob")
                value, place = data[place : place + value], min(place + (value + 3) // 4 * 4, len(data))
        else:
            raise Refused(108, "tag")
        values[f"argument.{count}"] = value
        count += 1
    if opened or place != len(data):
        raise Refused(108, "left over")
    return values


# --- node events --------------------------------------------------------------------------------------------


def read_node(data: bytes) -> dict[str, Any]:
    """An event of the node pack. Source: comfyui-nodes.md."""
    if len(data) < 48:
        raise Refused(110, "short")
    if data[:4] != b"TXN1":
        raise Refused(110, "event")
    start, flags, number = struct.unpack_from("<3H", data, 4)
    channels, output = data[10], data[11]
    index, total, width, height, pitch, size, took = struct.unpack_from("<7I", data, 12)
    first, second = struct.unpack_from("<2H", data, 40)
    if start % 16 or start < 48 + first + second or start > 4096 or start + size != len(data) or size == 0:
        raise Refused(110, "lengths")
    pixel = {1: 4, 3: 3, 4: 1, 5: 8, 7: 2, 8: 2, 64: 0, 65: 0, 66: 0}.get(number)
    if pixel is None or pitch != width * pixel or (pixel and size != pitch * height):
        raise Refused(110, "format")
    if not (1 <= width < 65536 and 1 <= height < 65536 and 1 <= channels <= 4 and index < total):
        raise Refused(110, "sizes")
    try:
        names = data[48 : 48 + first].decode(), data[48 + first : 48 + first + second].decode()
    except UnicodeDecodeError:
        raise Refused(110, "names") from None
    return {
        "format": number,
        "channels": channels,
        "output": output,
        "index": index,
        "total": total,
        "width": width,
        "height": height,
        "row_pitch": pitch,
        "linear": bool(flags & 1),
        "convert_us": took,
        "prompt_id": names[0],
        "node_id": names[1],
        "data": data[start:],
    }


# --- the tests ---------------------------------------------------------------------------------------------


def read(vector: Vector) -> dict[str, Any]:
    """What the second reading takes out of a vector, as {PATH: value}."""
    folder = vector.name.partition("/")[0]
    item = vector.items[0]
    if folder == "part":
        return read_parts(vector)
    if folder == "memory":
        return read_memory(vector)
    if folder == "framing":
        return read_stream(item, vector.limits.get("max_message_bytes", 1 << 20))
    readers: dict[str, Callable[[bytes], dict[str, Any]]] = {
        "frame": read_frame,
        "message": lambda data: read_message(data, vector.direction),
        "osc": read_osc,
        "node": read_node,
    }
    return readers[folder](item)


def judge(vector: Vector) -> None:
    """Raise AssertionError unless the vector says what the second reading finds."""
    if vector.error is None or vector.cuts:
        found = read(vector)
        for path, value in vector.values.items():
            assert path in found, f"{path} is not there"
            assert same(found[path], value), f"{path}: {found[path]!r}, the vector says {value!r}"
        if vector.name.startswith("message/") and not vector.cuts:
            assert found.keys() == vector.values.keys()
    if vector.error is not None:
        cases = [[vector.items[0][:cut]] for cut in vector.cuts] or [vector.items]
        for items in cases:
            cut = Vector(vector.name, direction=vector.direction, limits=vector.limits, items=items)
            with pytest.raises(Refused) as caught:
                read(cut)
            assert caught.value.code == vector.error[0], f"{caught.value}, {len(items[0])} bytes"


FOLDERS = {"frame": 44, "part": 26, "framing": 14, "message": 93, "osc": 55, "memory": 22, "node": 18}
ALL = [vector for folder in FOLDERS for vector in load(folder)]


def test_vectors_are_all_here() -> None:
    counted = {folder: sum(vector.name.startswith(f"{folder}/") for vector in ALL) for folder in FOLDERS}
    assert all(counted[folder] >= least for folder, least in FOLDERS.items()), counted
    assert {path.name for path in vectors.VECTORS.iterdir() if path.is_dir()} == FOLDERS.keys()


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
def test_vector_says_what_its_page_says(vector: Vector) -> None:
    judge(vector)


def test_every_op_has_a_vector_both_ways() -> None:
    seen = {(vector.direction, vector.values.get("op")) for vector in ALL if vector.error is None}
    assert {(direction, op) for direction, ops in OPS.items() for op in ops} <= seen


def test_what_only_a_bridge_refuses_is_good_msgpack_and_says_so() -> None:
    """So a client knows, without a list of its own, which errors it can't find: it doesn't read engines' messages."""
    for vector in ALL:
        if vector.name.startswith("message/") and vector.error is not None and not vector.cuts:
            try:
                read_map(vector.items[0])
            except Refused:
                assert not vector.reader, vector.name
            else:
                assert (vector.reader, vector.direction) == ("bridge", "engine"), vector.name
        else:
            assert not vector.reader, vector.name


def test_answers_have_error_vectors_too() -> None:
    codes = {v.error[0] for v in ALL if v.direction == "bridge" and v.error is not None}
    assert codes == {102, 106, 107}


def test_every_osc_tag_has_a_vector() -> None:
    tags = "".join(str(value) for vector in ALL for path, value in vector.values.items() if path.endswith("tags"))
    assert set("ifsbhdtTFNIScr[]") <= set(tags)


def test_canonical_messages_are_in_the_smallest_form() -> None:
    for vector in ALL:
        if vector.canonical and vector.name.startswith("message/"):
            assert msgpack.packb(msgpack.unpackb(vector.items[0])) == vector.items[0], vector.name


@pytest.mark.parametrize("vector", [v for v in ALL if v.error is None and v.values], ids=lambda vector: vector.name)
def test_a_changed_value_is_seen(vector: Vector) -> None:
    """Each expected value, changed one at a time, turns its vector red: nothing in a vector is decoration."""
    for path, value in vector.values.items():
        changed = {True: False, False: True}.get(value) if isinstance(value, bool) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            changed = value + 1
        elif isinstance(value, str | bytes):
            changed = value + value[:1] if value else "x" if isinstance(value, str) else b"x"
        elif value is None or value in ({}, []):
            changed = 7
        wrong = Vector(**{**vars(vector), "values": vector.values | {path: changed}})
        with pytest.raises(AssertionError):
            judge(wrong)


def test_a_changed_byte_is_seen() -> None:
    """Each byte of a frame whose every field is named, changed one at a time, turns it red."""
    vector = next(vector for vector in ALL if vector.name == "frame/typical")
    item = vector.items[0]
    for place in range(len(item)):
        items = [item[:place] + bytes([item[place] ^ 0x55]) + item[place + 1 :]]
        with pytest.raises((AssertionError, Refused)):
            judge(Vector(**{**vars(vector), "items": items}))


@pytest.mark.parametrize("vector", [v for v in ALL if v.error is not None], ids=lambda vector: vector.name)
def test_an_error_vector_is_not_ok(vector: Vector) -> None:
    """An error vector with the expectation turned round is red, and so is another code."""
    items = [vector.items[0][: vector.cuts[0]]] if vector.cuts else vector.items
    with pytest.raises((AssertionError, Refused)):
        judge(Vector(**{**vars(vector), "error": None, "cuts": [], "items": items}))
    assert vector.error is not None
    with pytest.raises(AssertionError):
        judge(Vector(**{**vars(vector), "error": (vector.error[0] + 1, vector.error[1])}))


@pytest.mark.parametrize(
    "text",
    [
        "#: shows x\n00",
        "#: expect ok\n00",
        "#: shows x\n#: expect ok\n0",
        "#: shows x\n#: expect ok\nzz",
        "#: shows x\n#: expect ok\n#: expct ok\n00",
        "#: shows x\n#: expect ok\n#: a = 1\n#: a = 2\n00",
        "#: shows x\n#: expect error 103\n00",
        '#: shows x\n#: expect ok\n"open',
    ],
)
def test_a_slip_in_a_vector_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_vector("slip", text)


def test_the_format_is_read_as_its_readme_says() -> None:
    vector = parse_vector("x", "#: shows s\n#: expect ok\n#: a.0 = h'0a'\n0a0b \"cd\" # ee\n  55*3\n---\n00\n")
    assert vector.items == [b"\x0a\x0bcdUUU", b"\x00"]
    assert vector.values == {"a.0": b"\x0a"}
