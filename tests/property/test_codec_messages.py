"""Engine link messages: round trips, and any bytes give a record or MessageDecodeError."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codec.messages import (
    Ack,
    Changed,
    Error,
    Finished,
    Message,
    MessageLimits,
    Open,
    Run,
    Set,
    Subscribe,
    decode_answer,
    decode_message,
    encode_message,
    error_message,
)
from bridge.codec.msgpack_structure import check_structure, find_id
from bridge.errors import ErrorCode, MessageDecodeError, TexbridgeError
from bridge.types import Delivery, Fit, Mode, Origin, Outcome, SeedPolicy

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
STREAM = st.one_of(TEXT, U32)
KEY = st.one_of(st.none(), U64, TEXT)
VALUE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        TEXT,
        st.binary(max_size=9),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
PARAMS = st.dictionaries(TEXT, VALUE, max_size=4)
ID = st.one_of(st.none(), U64)
POSITIVE = st.one_of(st.none(), st.integers(1, 10**9), st.floats(1e-6, 1e9))

ENGINE = st.one_of(
    st.builds(Set, id=ID, stream=STREAM, params=PARAMS, client_time=ID),
    st.builds(
        Run, id=ID, stream=STREAM, params=st.one_of(st.none(), PARAMS), key=KEY, priority=st.integers(0, 9), seed=ID
    ),
    st.builds(
        Open,
        id=ID,
        stream=STREAM,
        workflow=TEXT,
        mode=st.sampled_from(Mode),
        seed_policy=st.sampled_from([None, *SeedPolicy]),
        max_fps=POSITIVE,
        size=st.one_of(st.none(), st.tuples(U32, U32)),
        replace=st.booleans(),
    ),
    st.builds(
        Subscribe,
        id=ID,
        stream=STREAM,
        format=TEXT,
        origin=st.sampled_from(Origin),
        delivery=st.sampled_from(Delivery),
        credit=st.integers(1, 2**32),
        outputs=st.one_of(st.none(), st.lists(st.integers(0, 255), max_size=3)),
        fit=st.sampled_from([None, *Fit]),
        mips=st.sampled_from([None, True, False]),
        color=st.sampled_from([None, "native", "linear"]),
        fps=POSITIVE,
    ),
    st.builds(Ack, stream=STREAM, number=U32),
)
BRIDGE = st.one_of(
    st.builds(
        Finished,
        request=st.integers(1, 2**53 - 1),
        outcome=st.sampled_from(Outcome),
        frames=U32,
        number=U32,
        key=KEY,
        cached=st.sampled_from([None, True, False]),
        timing=st.one_of(st.none(), st.dictionaries(TEXT, U32, max_size=3)),
    ),
    st.builds(
        Error, id=ID, code=st.sampled_from(ErrorCode).map(int), name=TEXT, message=TEXT, value=VALUE, limit=VALUE
    ),
    st.builds(Changed, stream=STREAM, params=st.one_of(st.none(), PARAMS), state=st.one_of(st.none(), TEXT)),
)


@given(ENGINE)
def test_engine_messages_round_trip(message: Message) -> None:
    data = encode_message(message)
    assert decode_message(data) == message
    assert decode_message(memoryview(data)) == message
    assert msgpack.unpackb(data)["op"] == message.op


@given(BRIDGE)
def test_answers_round_trip(message: Message) -> None:
    assert decode_answer(encode_message(message)) == message


def loose(value: Any) -> Any:
    """The same values as a sender writes them whose language has only doubles and byte strings."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if isinstance(value, str):
        return value.encode()
    return value


@given(ENGINE)
def test_loose_senders_are_understood(message: Message) -> None:
    fields = msgpack.unpackb(encode_message(message))
    sent = {name.encode(): value if name == "params" else loose(value) for name, value in fields.items()}
    assert decode_message(msgpack.packb(sent)) == message
    with_nils = {**dict.fromkeys(["token", "size", "client_time", "unknown"]), **fields}
    assert decode_message(msgpack.packb(with_nils)) == message


@given(ENGINE, st.data())
def test_every_cut_is_refused(message: Message, data: st.DataObject) -> None:
    encoded = encode_message(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(MessageDecodeError):
        decode_message(encoded[:cut])


@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    accept_or_refuse(data)
    accept_or_refuse(b"\x84\xa2op\xa3set\xa6stream\x01\xa6params\x80\xa1x" + data)


@given(st.dictionaries(st.one_of(TEXT, st.sampled_from(["op", "id", "stream", "params", "number"])), VALUE), st.data())
def test_any_map(fields: dict[str, Any], data: st.DataObject) -> None:
    fields["op"] = data.draw(st.sampled_from(["set", "ack", "run", "open", "subscribe", "hello", "cancel", "sequence"]))
    accept_or_refuse(msgpack.packb(fields))


@given(st.one_of(ENGINE, BRIDGE), st.data())
def test_damaged_messages(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place:place] = data.draw(st.binary(max_size=3))
    accept_or_refuse(bytes(damaged))


def accept_or_refuse(data: bytes) -> None:
    for decode in (decode_message, decode_answer):
        try:
            decoded: Message = decode(data, MessageLimits(max_depth=8, max_nodes=100))
        except MessageDecodeError as error:
            # Whatever went wrong can be said on the wire.
            decoded = decode_answer(encode_message(error_message(error)))
        assert isinstance(decoded, Message)


@given(st.binary(max_size=60))
def test_the_structure_pass_never_disagrees_with_msgpack(data: bytes) -> None:
    """What it lets through, msgpack unpacks whole (but for text that is not UTF-8, and keys that can't be)."""
    find_id(data)
    for candidate in (data, b"\x81\xa1x" + data):
        try:
            check_structure(candidate, 16, 1000)
        except MessageDecodeError:
            continue
        msgpack.unpackb(candidate, unicode_errors="replace", strict_map_key=False, object_pairs_hook=list)


@given(VALUE)
def test_the_structure_pass_takes_what_msgpack_writes(value: Any) -> None:
    check_structure(msgpack.packb({"x": value}), 16, 1000)


@given(st.one_of(VALUE, st.integers(), st.text(), st.binary()), st.text(max_size=2000))
def test_any_error_can_be_said(value: Any, text: str) -> None:
    error = TexbridgeError(text, field=text, value=value, limit=value)
    assert len(encode_message(error_message(error, id=1))) < 12_000
