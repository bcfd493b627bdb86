"""Engine link messages: literals both ways, what other msgpack writers do, and every fault by itself."""

import typing
from typing import Any

import msgpack
import pytest

from bridge.codec import messages
from bridge.codec.messages import (
    Accepted,
    Ack,
    BridgeMessage,
    Cancel,
    EngineMessage,
    Error,
    Finished,
    Hello,
    Message,
    MessageLimits,
    Ok,
    Open,
    ParameterDescription,
    Ping,
    Run,
    Set,
    StatsAnswer,
    StreamSummary,
    Subscribe,
    Subscribed,
    UnfinishedRequest,
    Welcome,
    WorkflowSummary,
    close_code,
    decode_answer,
    decode_message,
    encode_message,
    error_message,
    shortened,
)
from bridge.errors import (
    BackendError,
    ErrorCode,
    InvalidValueError,
    MessageDecodeError,
    NotAllowedError,
    UnknownNameError,
)
from bridge.types import Delivery, Fit, Mode, Origin, Outcome, Size

pack = msgpack.packb


def refuse(data: bytes, code: ErrorCode, limits: MessageLimits | None = None) -> MessageDecodeError:
    with pytest.raises(MessageDecodeError) as caught:
        decode_message(data, limits or MessageLimits())
    assert caught.value.code is code
    assert len(str(caught.value)) < 700
    return caught.value


def one(op: str, **fields: Any) -> bytes:
    return pack({"op": op, **fields})


# --- the contract's table ---

ENGINE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"op": "hello", "version": 1, "client": "x"}, {"id": None, "token": None, "events": None}),
    (
        {
            "op": "hello",
            "id": 1,
            "version": 1,
            "client": "unity",
            "token": "t",
            "session": "0" * 32,
            "max_message_bytes": 65536,
            "shared_memory": True,
            "events": ["live"],
        },
        {},
    ),
    ({"op": "describe", "workflow": "gradient"}, {"stream": None}),
    ({"op": "describe", "stream": 7}, {}),
    (
        {
            "op": "open",
            "stream": "sky",
            "workflow": "gradient",
            "mode": "live",
            "params": {"blur": 3},
            "seed_policy": "increment",
            "max_fps": 30,
            "size": [512, 256],
            "replace": True,
        },
        {"mode": Mode.LIVE, "size": (512, 256)},
    ),
    ({"op": "open", "stream": "sky", "workflow": "g", "mode": "latest"}, {"replace": False, "params": None}),
    ({"op": "set", "stream": 1, "params": {}, "client_time": 2**64 - 1}, {}),
    ({"op": "run", "stream": "sky"}, {"priority": 5, "seed": None, "deadline_ms": None}),
    (
        {
            "op": "run",
            "stream": "sky",
            "params": {"a": [1, {"b": b"c"}]},
            "key": "k",
            "client_time": 9,
            "deadline_ms": 250.5,
            "priority": 0,
            "seed": 2**64 - 1,
        },
        {},
    ),
    ({"op": "run", "stream": "sky", "key": 2**64 - 1}, {}),
    (
        {
            "op": "sequence",
            "stream": "sky",
            "frames": 24,
            "fps": 12,
            "tracks": {"blur": [[0, 1], [23, 31, "linear"]]},
            "key": 4,
            "priority": 9,
        },
        {},
    ),
    ({"op": "image", "stream": 1, "param": "p", "value": {"encoded": b"\xff"}, "client_time": 8}, {}),
    ({"op": "cancel", "request": 2**53 - 1}, {"all": False}),
    ({"op": "cancel", "stream": "sky", "all": True}, {"request": None}),
    ({"op": "live", "stream": "sky", "on": False}, {"fade_s": None}),
    ({"op": "freeze", "stream": "sky", "on": True, "fade_s": 0.5}, {}),
    ({"op": "seed", "stream": 2, "seed": 2**64 - 1, "policy": "random", "every": 4, "every_s": 0.5}, {"lock": None}),
    ({"op": "seed", "stream": "sky", "lock": True}, {"seed": None}),
    ({"op": "blackout", "stream": "sky", "on": True, "fade_s": 2}, {}),
    (
        {
            "op": "subscribe",
            "stream": "sky",
            "format": "bc7",
            "origin": "bottom_left",
            "delivery": "paced",
            "credit": 4,
            "outputs": [0, 255],
            "size": [64, 32],
            "fit": "cover",
            "mips": True,
            "previews": False,
            "color": "linear",
            "fps": 24,
            "max_mbps": 0.5,
            "shared_memory": True,
        },
        {"origin": Origin.BOTTOM_LEFT, "delivery": Delivery.PACED, "fit": Fit.COVER},
    ),
    ({"op": "ack", "stream": 1, "number": 2**32 - 1}, {}),
    ({"op": "stats", "stream": "sky"}, {}),
    ({"op": "memory", "file": "/dev/shm/engine", "nonce": 2**64 - 1, "slots": 4, "stride": 8192}, {"id": None}),
    ({"op": "ping"}, {}),
    ({"op": "unsubscribe", "stream": "sky"}, {}),
    ({"op": "close", "stream": "sky"}, {}),
    ({"op": "panic"}, {}),
    ({"op": "resume", "id": 2**64 - 1}, {}),
]


@pytest.mark.parametrize(("wire", "also"), ENGINE)
def test_engine_messages_both_ways(wire: dict[str, Any], also: dict[str, Any]) -> None:
    record = decode_message(pack(wire))
    assert record.op == wire["op"]
    for name, value in {**wire, **also}.items():
        found = getattr(record, name)
        assert (list(found) if isinstance(found, tuple) and isinstance(value, list) else found) == value
    assert msgpack.unpackb(encode_message(record)) == wire, "nothing is lost, nothing is added"
    assert encode_message(record) == pack(msgpack.unpackb(encode_message(record))), "in the smallest form"


def test_every_op_is_in_the_table() -> None:
    assert {wire["op"] for wire, _ in ENGINE} == {
        record.__struct_config__.tag for record in typing.get_args(EngineMessage)
    }


ANSWERS: list[tuple[Message, dict[str, Any]]] = [
    (
        Welcome(
            id=1,
            version=1,
            server="texbridge 0.1.0",
            boot="b",
            session="0" * 32,
            resumed=True,
            unfinished=[UnfinishedRequest(12, "k"), UnfinishedRequest(13)],
            features=[],
            limits={"max_message_bytes": 67108864},
            formats=["rgba8"],
            workflows=[WorkflowSummary("gradient", "Gradient")],
            streams=[StreamSummary("main", 1, "gradient", Mode.LIVE, "ready")],
        ),
        {
            "op": "welcome",
            "id": 1,
            "version": 1,
            "server": "texbridge 0.1.0",
            "boot": "b",
            "session": "0" * 32,
            "resumed": True,
            "unfinished": [{"request": 12, "key": "k"}, {"request": 13}],
            "features": [],
            "limits": {"max_message_bytes": 67108864},
            "formats": ["rgba8"],
            "workflows": [{"name": "gradient", "label": "Gradient"}],
            "streams": [{"name": "main", "number": 1, "workflow": "gradient", "mode": "live", "state": "ready"}],
        },
    ),
    (
        messages.Described(
            id=2,
            workflow="gradient",
            parameters=[
                ParameterDescription(name="blur", label="Blur", type="int", min=0, max=31, default=0, value=False)
            ],
            outputs=[messages.OutputDescription("image", "color")],
            size=(512, 512),
        ),
        {
            "op": "described",
            "id": 2,
            "workflow": "gradient",
            "parameters": [
                {"name": "blur", "label": "Blur", "type": "int", "min": 0, "max": 31, "default": 0, "value": False}
            ],
            "outputs": [{"name": "image", "kind": "color"}],
            "size": [512, 512],
        },
    ),
    (messages.Opened(id=3, number=2, created=False), {"op": "opened", "id": 3, "number": 2, "created": False}),
    (Ok(id=4), {"op": "ok", "id": 4}),
    (Ok(cancelled=[]), {"op": "ok", "cancelled": []}),
    (Accepted(id=5, request=12, key=7), {"op": "accepted", "id": 5, "request": 12, "key": 7}),
    (
        Subscribed(number=2, format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LATEST, credit=1),
        {"op": "subscribed", "number": 2, "format": "rgba8", "origin": "top_left", "delivery": "latest", "credit": 1},
    ),
    (
        StatsAnswer(stream=2, sent=3, dropped=0, credit_stalls=1, age_ms=16.5),
        {"op": "stats", "stream": 2, "sent": 3, "dropped": 0, "credit_stalls": 1, "age_ms": 16.5},
    ),
    (messages.Pong(id=6), {"op": "pong", "id": 6}),
    (
        messages.Progress(request=1, value=3, max=20, node="KSampler"),
        {"op": "progress", "request": 1, "value": 3, "max": 20, "node": "KSampler"},
    ),
    (
        Finished(request=1, outcome=Outcome.DONE, frames=1, number=9, seed=0, timing={"total_us": 24500}),
        {
            "op": "finished",
            "request": 1,
            "outcome": "done",
            "frames": 1,
            "number": 9,
            "seed": 0,
            "timing": {"total_us": 24500},
        },
    ),
    (
        Error(code=101, name="hello_expected", message="m", fatal=True),
        {"op": "error", "code": 101, "name": "hello_expected", "message": "m", "fatal": True},
    ),
    (messages.Changed(stream=1, params={"a": 1}), {"op": "changed", "stream": 1, "params": {"a": 1}}),
    (
        messages.Memory(stream=1, file="f", nonce=2**64 - 1, slots=4, stride=4096),
        {"op": "memory", "stream": 1, "file": "f", "nonce": 2**64 - 1, "slots": 4, "stride": 4096},
    ),
]


@pytest.mark.parametrize(("record", "wire"), ANSWERS)
def test_answers_both_ways(record: Message, wire: dict[str, Any]) -> None:
    assert msgpack.unpackb(encode_message(record)) == wire
    assert decode_answer(pack(wire)) == record


def test_every_answer_is_in_the_table() -> None:
    assert {wire["op"] for _, wire in ANSWERS} == {
        record.__struct_config__.tag for record in typing.get_args(BridgeMessage)
    }


def test_a_later_bridge_may_say_new_words() -> None:
    wire = dict(
        ANSWERS[0][1], streams=[{"name": "a", "number": 1, "workflow": "g", "mode": "live", "state": "dreaming"}]
    )
    welcome = decode_answer(pack(wire))
    assert isinstance(welcome, Welcome)
    assert welcome.streams[0].state == "dreaming"


# --- what other writers do ---


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (one("ack", stream=1.0, number=5.0), Ack(stream=1, number=5)),
        (one("run", stream="a", id=2.0**40, client_time=2.0**53), Run(stream="a", id=2**40, client_time=2**53)),
        (
            msgpack.packb({"op": "ack", "stream": 1.0, "number": 5.0}, use_single_float=True),
            Ack(stream=1, number=5),
        ),
        (pack({b"op": b"ack", b"stream": b"sky", b"number": 5}), Ack(stream="sky", number=5)),
        (one("open", stream=b"sky", workflow=b"g", mode=b"live"), Open(stream="sky", workflow="g", mode=Mode.LIVE)),
        (
            one("open", stream="sky", workflow="g", mode="live", size=[512.0, 256.0], replace=None, params=None),
            Open(stream="sky", workflow="g", mode=Mode.LIVE, size=(512, 256)),
        ),
        (one("run", stream="a", priority=None, seed=None, id=None), Run(stream="a")),
        (one("ping", extra={"a": [1, {}]}, more=None), Ping()),
        (
            one("hello", version=1.0, client=b"c", events=[b"live"]),
            Hello(version=1, client="c", events=["live"]),
        ),
        (
            one("subscribe", stream=1, format="rgba8", origin="top_left"),
            Subscribe(stream=1, format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LATEST, credit=1),
        ),
        (
            one("subscribe", stream=1, format="rgba8", origin="top_left", delivery=None, credit=None),
            Subscribe(stream=1, format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LATEST, credit=1),
        ),
    ],
)
def test_loose_senders(data: bytes, expected: Message) -> None:
    assert decode_message(data) == expected


def test_params_stay_as_they_came() -> None:
    params = {"text": b"bin", "number": 3.0, "none": None, "deep": [[{"a": b"b"}]]}
    record = decode_message(one("set", stream=1.0, params=params))
    assert isinstance(record, Set)
    assert record.params == params
    assert isinstance(record.params["number"], float)


def test_keys_as_binary_inside_params() -> None:
    record = decode_message(one("set", stream=1, params={b"blur": 1}))
    assert isinstance(record, Set)
    assert record.params == {"blur": 1}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like(kind: type) -> None:
    assert decode_message(kind(one("ping", id=1))) == Ping(id=1)


# --- faults ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x00",
        b"\xc0",
        b"\xc1",
        b"\x90",
        b"\xdc\x00\x01\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\x81",
        b"\x81\xc1",
        b"\x81\xa2op\xc1",
        b"\xde",
        b"\xde\x00",
        b"\xde\x00\x01\xa2op",
        b"\xdf\x00\x00\x00",
        b"\xd4\x62\x00",
        b"\xc7\x02\x62ab",
        b"\xc9\x00\x00\x00\x02\x62ab",
        b"\x81\xa2op\xd9",
        b"\x81\xa2op\xd9\x05ping",
        b"\x81\xa2op\xdb\xff\xff\xff\xffping",
        b"\x81\xa2op\xcf\x00",
    ],
)
def test_not_msgpack(data: bytes) -> None:
    refuse(data, ErrorCode.NOT_MSGPACK)


def test_lz4_is_refused_with_words() -> None:
    assert "LZ4" in str(refuse(b"\xc7\x02\x62ab", ErrorCode.NOT_MSGPACK))
    assert "LZ4" in str(refuse(one("set", id=3, x=msgpack.ExtType(98, b"a")), ErrorCode.BAD_MESSAGE))


@pytest.mark.parametrize("length", range(len(one("run", stream="sky", id=3, key=300, seed=2.5))))
def test_every_truncation(length: int) -> None:
    refuse(one("run", stream="sky", id=3, key=300, seed=2.5)[:length], ErrorCode.NOT_MSGPACK)


@pytest.mark.parametrize(
    "value",
    [
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x00\x05",
        b"\xc8\x00\x01\x05a",
        b"\xd5\x01ab",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
    ],
)
def test_extension_types_and_bad_text_name_the_message(value: bytes) -> None:
    for data in (
        b"\x83\xa2op\xa3set\xa2id\x07\xa1x" + value,
        b"\x83\xa2op\xa3set\xa1x" + value + b"\xa2id\x07",
    ):
        assert refuse(data, ErrorCode.BAD_MESSAGE).id == 7


def test_trailing_bytes() -> None:
    error = refuse(one("ping", id=7) + b"\xc0", ErrorCode.BAD_MESSAGE)
    assert error.id == 7
    refuse(one("ping") + one("ping"), ErrorCode.BAD_MESSAGE)


def test_depth_is_capped_before_building() -> None:
    limits = MessageLimits(max_depth=4)
    inner: Any = 1
    for _ in range(3):
        inner = [inner]
    decode_message(one("ping", x=inner), limits)
    error = refuse(one("ping", id=9, x=[inner]), ErrorCode.MESSAGE_TOO_COMPLEX, limits)
    assert (error.id, error.limit) == (9, 4)
    refuse(b"\x82\xa2id\x09\xa1x" + b"\x91" * 100_000 + b"\xc0", ErrorCode.MESSAGE_TOO_COMPLEX)


def test_count_is_capped_before_building() -> None:
    limits = MessageLimits(max_nodes=20)
    decode_message(one("ping", x=[0] * 15), limits)
    refuse(one("ping", x=[0] * 16), ErrorCode.MESSAGE_TOO_COMPLEX, limits)
    refuse(one("ping", x={str(n): 0 for n in range(8)}), ErrorCode.MESSAGE_TOO_COMPLEX, limits)
    refuse(b"\x82\xa2op\xa4ping\xa1x\xdd\xff\xff\xff\xff", ErrorCode.MESSAGE_TOO_COMPLEX)
    # 14 lists that claim 8,192 items each, in 9 KB: no memory is taken for them.
    refuse(b"\x81\xa1x" + b"\xdc\x20\x00" * 14 + b"\xc0" * 9000, ErrorCode.MESSAGE_TOO_COMPLEX)


def test_length_is_capped() -> None:
    data = one("ping")
    decode_message(data, MessageLimits(max_message_bytes=len(data)))
    error = refuse(data, ErrorCode.MESSAGE_TOO_LARGE, MessageLimits(max_message_bytes=len(data) - 1))
    assert (error.value, error.limit) == (len(data), len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\x83\xa2id\x05\xa1a\x01\xa1a\x02",
        b"\x83\xa2id\x05\xa1a\x01\xc4\x01a\x02",
        b"\x82\xa2id\x05\xa6params\x82\xa1a\x01\xa1a\x02",
    ],
)
def test_a_key_twice(data: bytes) -> None:
    error = refuse(data, ErrorCode.MESSAGE_TOO_COMPLEX)
    assert (error.field, error.id) == ("a", 5)


@pytest.mark.parametrize(
    "key", [b"\x01", b"\xc0", b"\xc3", b"\x90", b"\x80", b"\xcb\x3f\xf0\0\0\0\0\0\0", b"\xc4\x01\xff"]
)
def test_keys_must_be_text(key: bytes) -> None:
    refuse(b"\x81\xa1x\x81" + key + b"\x01", ErrorCode.BAD_MESSAGE)


def test_unknown_op_names_the_nearest() -> None:
    error = refuse(one("subscrib", id=3), ErrorCode.UNKNOWN_OP)
    assert (error.id, error.field, error.value, error.limit) == (3, "op", "subscrib", "subscribe")
    assert "'subscribe'" in str(error)
    assert "hello" in str(refuse(one("???"), ErrorCode.UNKNOWN_OP))
    assert len(str(refuse(one("x" * 10_000), ErrorCode.UNKNOWN_OP))) < 400
    refuse(one("welcome"), ErrorCode.UNKNOWN_OP)
    with pytest.raises(MessageDecodeError):
        decode_answer(one("hello", version=1, client="x"))


@pytest.mark.parametrize("data", [b"\x80", pack({"id": 1}), pack({"op": None}), pack({"op": 7}), pack({"op": ["x"]})])
def test_no_op(data: bytes) -> None:
    assert refuse(data, ErrorCode.BAD_MESSAGE).field == "op"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (one("hello", version=1), "client"),
        (one("hello", version="1", client="x"), "version"),
        (one("hello", version=1, client="x", max_message_bytes=1023), "max_message_bytes"),
        (one("hello", version=1, client="x", events="live"), "events"),
        (one("hello", version=1, client="x", events=[1]), "events"),
        (one("run"), "stream"),
        (one("run", stream=None), "stream"),
        (one("run", stream=True), "stream"),
        (one("run", stream=1.5), "stream"),
        (one("run", stream=-1), "stream"),
        (one("run", stream=2**32), "stream"),
        (one("run", stream=["a"]), "stream"),
        (one("run", stream=b"\xff"), "stream"),
        (one("run", stream="a", id=-1), "id"),
        (one("run", stream="a", id="1"), "id"),
        (one("run", stream="a", id=True), "id"),
        (one("run", stream="a", priority=10), "priority"),
        (one("run", stream="a", priority=-1), "priority"),
        (one("run", stream="a", priority="high"), "priority"),
        (one("run", stream="a", seed=2.0**64), "seed"),
        (one("run", stream="a", seed=-1), "seed"),
        (one("run", stream="a", seed=1.5), "seed"),
        (one("run", stream="a", client_time=-5), "client_time"),
        (one("run", stream="a", deadline_ms=-1), "deadline_ms"),
        (one("run", stream="a", deadline_ms=float("nan")), "deadline_ms"),
        (one("run", stream="a", deadline_ms=float("inf")), "deadline_ms"),
        (one("run", stream="a", params=[1]), "params"),
        (one("run", stream="a", key=-1), "key"),
        (one("run", stream="a", key="k" * 65), "key"),
        (one("run", stream="a", key="é" * 33), "key"),
        (one("run", stream="a", key=1.5), "key"),
        (one("set", stream="a"), "params"),
        (one("open", stream="a", workflow="g", mode="fast"), "mode"),
        (one("open", stream="a", workflow="g", mode=1), "mode"),
        (one("open", stream="a", workflow=3, mode="live"), "workflow"),
        (one("open", stream="a", workflow="g", mode="live", max_fps=0), "max_fps"),
        (one("open", stream="a", workflow="g", mode="live", max_fps=float("inf")), "max_fps"),
        (one("open", stream="a", workflow="g", mode="live", size=[512]), "size"),
        (one("open", stream="a", workflow="g", mode="live", size=[512, 1.5]), "size"),
        (one("open", stream="a", workflow="g", mode="live", size=512), "size"),
        (one("open", stream="a", workflow="g", mode="live", replace=1), "replace"),
        (one("cancel", request=0), "request"),
        (one("cancel", request=2**53), "request"),
        (one("cancel", id=1), "request"),
        (one("live", stream="a", on=1), "on"),
        (one("live", stream="a", on="true"), "on"),
        (one("freeze", stream="a", on=True, fade_s=-0.5), "fade_s"),
        (one("subscribe", stream="a", format=1, origin="top_left"), "format"),
        (one("subscribe", stream="a", format="rgba8"), "origin"),
        (one("subscribe", stream="a", format="rgba8", origin="middle"), "origin"),
        (one("subscribe", stream="a", format="rgba8", origin="top_left", credit=0), "credit"),
        (one("subscribe", stream="a", format="rgba8", origin="top_left", credit=1.5), "credit"),
        (one("subscribe", stream="a", format="rgba8", origin="top_left", color="srgb"), "color"),
        (one("subscribe", stream="a", format="rgba8", origin="top_left", outputs=[256]), "outputs"),
        (one("ack", stream="a", number=-1), "number"),
        (one("ack", stream="a", number=2**32), "number"),
        (one("ack", stream="a", number=True), "number"),
        (one("image", stream="a", param="p", value=b"raw"), "value"),
        (one("sequence", stream="a", frames=0, tracks={}), "frames"),
        (one("sequence", stream="a", frames=1, tracks={"a": [1]}), "tracks"),
    ],
)
def test_wrong_and_missing_fields_are_named(data: bytes, field: str) -> None:
    error = refuse(data, ErrorCode.BAD_MESSAGE)
    assert error.field == field
    assert field in str(error)


def test_the_message_says_what_value_and_limit() -> None:
    error = refuse(one("open", id=4, stream="a", workflow="g", mode="fast"), ErrorCode.BAD_MESSAGE)
    assert str(error) == "open.mode: 'fast' must be one of oneshot, latest, live"
    assert (error.id, error.value, error.limit) == (4, "fast", "oneshot, latest, live")
    assert refuse(one("run", id=2.0**40, stream="a", priority=12), ErrorCode.BAD_MESSAGE).id == 2**40


def test_secrets_are_not_repeated() -> None:
    error = refuse(one("hello", version=1, client="x", token=["hunter2"]), ErrorCode.BAD_MESSAGE)
    assert error.field == "token"
    assert "hunter2" not in f"{error} {error.value} {error.limit}"


# --- encoding ---


def test_encode_refuses_what_msgpack_cant_carry() -> None:
    for params in ({"a": 2**64}, {"a": "\ud800"}):
        with pytest.raises(ValueError):
            encode_message(Set(stream=1, params=params))
    with pytest.raises(TypeError):
        encode_message(Set(stream=1, params={"a": object()}))


def test_client_keys_are_checked_when_made() -> None:
    with pytest.raises(ValueError, match="64"):
        Run(stream="a", key="k" * 65)
    with pytest.raises(ValueError, match="must be given"):
        Cancel()


# --- errors as messages ---


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            InvalidValueError("blur 99 > 31", code=ErrorCode.OUT_OF_RANGE, field="blur", value=99, limit=31),
            Error(code=302, name="out_of_range", message="blur 99 > 31", field="blur", value=99, limit=31),
        ),
        (
            UnknownNameError("no", value="x" * 1000),
            Error(code=204, name="unknown_parameter", message="no", value="x" * 79 + "…"),
        ),
        (
            NotAllowedError("wrong token", code=ErrorCode.BAD_TOKEN, field="token", value="hunter2", limit="s3cret"),
            Error(code=401, name="bad_token", message="wrong token", field="token"),
        ),
        (
            BackendError("bad \ud800 text", value=b"\x00" * 9),
            Error(code=501, name="backend_lost", message="bad ? text", value="9 bytes"),
        ),
        (MessageDecodeError("m", id=8), Error(id=8, code=107, name="bad_message", message="m")),
    ],
)
def test_error_message(error: Any, expected: Error) -> None:
    assert error_message(error) == expected
    assert decode_answer(encode_message(error_message(error))) == expected
    assert close_code(error) == 4000 + expected.code


def test_error_message_with_id_and_fatal() -> None:
    message = error_message(MessageDecodeError("m", id=8), id=9, fatal=True)
    assert (message.id, message.fatal) == (9, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (2**64 - 1, 2**64 - 1),
        (2**64, "a number of 65 bits"),
        (-(10**400), "a number of 1329 bits"),
        (ErrorCode.PANIC, 403),
        (Mode.LIVE, "live"),
        (Size(3, 4), [3, 4]),
        ([[1, 2], {"a": 1}, "x"], ["list of 2", "map of 1", "x"]),
        (list(range(100)), list(range(16))),
        (memoryview(b"abc"), "3 bytes"),
        ({"a": 1}, "map of 1"),
    ],
)
def test_shortened(value: object, expected: object) -> None:
    assert shortened(value) == expected
