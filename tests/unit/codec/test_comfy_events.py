"""ComfyUI's WebSocket messages: recorded ones as literals, and what isn't one."""

import base64
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codec import comfy_events as ce
from bridge.errors import ComfyEventDecodeError

PROMPT = "b0526c6a-657b-48cb-aa79-465a72cacbc6"
PNG = b"\x89PNG\r\n\x1a\n rest"


def text(kind, data):
    return json.dumps({"type": kind, "data": data})


TEXTS = [
    (text("status", {"status": {"exec_info": {"queue_remaining": 3}}, "sid": "a65"}), ce.StatusEvent(3, "a65")),
    (text("status", {"status": {"exec_info": {"queue_remaining": 0}}}), ce.StatusEvent(0, None)),
    (text("status", {}), ce.StatusEvent(None, None)),
    (text("execution_start", {"prompt_id": PROMPT, "timestamp": 1795547688109}), ce.ExecutionStart(PROMPT)),
    (
        text("execution_cached", {"nodes": ["1", "2"], "prompt_id": PROMPT, "timestamp": 1}),
        ce.ExecutionCached(PROMPT, ("1", "2")),
    ),
    (
        text("executing", {"node": "1", "display_node": "7", "prompt_id": PROMPT}),
        ce.Executing("1", PROMPT, "7"),
    ),
    (text("executing", {"node": None, "prompt_id": PROMPT}), ce.Executing(None, PROMPT, None)),
    (text("executing", {"node": "2"}), ce.Executing("2", None, None)),
    (
        text("progress", {"value": 1, "max": 3, "prompt_id": PROMPT, "node": "9"}),
        ce.ProgressEvent(1.0, 3.0, PROMPT, "9"),
    ),
    (
        text(
            "progress_state",
            {
                "prompt_id": PROMPT,
                "nodes": {"1": {"value": 0.0, "max": 1.0, "state": "running", "node_id": "1", "parent_node_id": None}},
            },
        ),
        ce.ProgressState(PROMPT, {"1": ce.NodeProgress(0.0, 1.0, "running")}),
    ),
    (
        text("executed", {"node": "9", "output": {"images": [{"filename": "x.png"}]}, "prompt_id": PROMPT}),
        ce.Executed(PROMPT, "9", {"images": [{"filename": "x.png"}]}),
    ),
    (text("execution_success", {"prompt_id": PROMPT, "timestamp": 1}), ce.ExecutionSuccess(PROMPT)),
    (
        text(
            "execution_error",
            {
                "prompt_id": PROMPT,
                "node_id": "1",
                "node_type": "LoadImage",
                "executed": [],
                "exception_message": "cannot identify image file\n",
                "exception_type": "PIL.UnidentifiedImageError",
                "traceback": ["secret path"],
                "current_inputs": {"image": ["bad.png"]},
            },
        ),
        ce.ExecutionError(PROMPT, "1", "LoadImage", "PIL.UnidentifiedImageError", "cannot identify image file\n"),
    ),
    (
        text("execution_interrupted", {"prompt_id": PROMPT, "node_id": "4", "node_type": "ImageBlur", "executed": []}),
        ce.ExecutionInterrupted(PROMPT, "4", "ImageBlur"),
    ),
    (text("feature_flags", {"max_upload_size": 104857600}), ce.FeatureFlags({"max_upload_size": 104857600})),
    (text("crystools.monitor", {"cpu": 3}), ce.UnknownEvent("crystools.monitor")),
    ('{"type": "lonely"}', ce.UnknownEvent("lonely")),
    ('{"type": "crystools.monitor", "data": {"cpu": NaN}}', ce.UnknownEvent("crystools.monitor")),
]


@pytest.mark.parametrize(("message", "event"), TEXTS)
def test_text_messages_become_records(message, event):
    assert ce.decode_text(message) == event
    assert ce.decode_text(message.encode()) == event


def test_an_error_report_with_nan_among_its_inputs_is_kept():
    message = text("execution_error", {"prompt_id": PROMPT, "node_id": "3", "current_inputs": {"x": [float("nan")]}})
    assert "NaN" in message
    assert ce.decode_text(message) == ce.ExecutionError(PROMPT, "3")


def test_half_a_surrogate_pair_does_not_travel_on():
    event = ce.decode_text('{"type": "execution_error", "data": {"prompt_id": "p", "exception_message": "a\\ud800"}}')
    assert event.exception_message == "a?"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "[1]",
        "NaN",
        '{"data": {}}',
        '{"type": 7}',
        '{"type": 7, "x": NaN}',
        '{"type": "executing", "data": [1]}',
        '{"type": "execution_start", "data": {}}',
        '{"type": "execution_error", "data": {"x": NaN}}',
        '{"type": "progress", "data": {"value": "x", "max": 1}}',
        '{"type": "progress", "data": {"value": 1' + "0" * 400 + ', "max": 1}}',
        '{"type": "x", "data": ' + "[" * 100_000,
        '{"type": "x", "n": NaN, "data": ' + "[" * 100_000,
        b'{"type": "\xff"}',
    ],
)
def test_text_that_is_no_message_raises_only_its_own_error(message):
    with pytest.raises(ComfyEventDecodeError) as caught:
        ce.decode_text(message)
    assert caught.value.code == 110
    assert len(caught.value.message) < 400


def test_text_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(ce, "MAX_TEXT_BYTES", 20)
    with pytest.raises(ComfyEventDecodeError, match="> 20"):
        ce.decode_text('{"type": "a long one"}')


def type_4(header, data):
    encoded = json.dumps(header).encode()
    return struct.pack(">II", 4, len(encoded)) + encoded + data


def test_type_1_pictures():
    event = ce.decode_binary(struct.pack(">II", 1, 2) + PNG)
    assert (event.prompt_id, event.node_id, event.image_format, bytes(event.data)) == (None, None, "png", PNG)
    assert ce.decode_binary(struct.pack(">II", 1, 1) + b"\xff\xd8").image_format == "jpeg"


@pytest.mark.parametrize(
    ("mime", "image_format"), [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/webp", "image/webp")]
)
def test_type_4_pictures_name_prompt_and_node(mime, image_format):
    header = {"node_id": "9", "prompt_id": PROMPT, "display_node_id": "9", "parent_node_id": None, "image_type": mime}
    message = type_4(header, PNG)
    event = ce.decode_binary(message)
    assert (event.prompt_id, event.node_id, event.image_format) == (PROMPT, "9", image_format)
    assert bytes(event.data) == PNG
    assert event.data.obj is message  # a view, not a copy


def test_type_3_text_and_unknown_numbers():
    assert ce.decode_binary(b"\0\0\0\3\0\0\0\1" + b"5width: 64") == ce.TextEvent("5", "width: 64")
    event = ce.decode_binary(struct.pack(">I", 1001) + b"raw")
    assert (event.kind, bytes(event.data)) == (1001, b"raw")
    assert ce.decode_binary(b"\0\0\0\2abcd").kind == 2


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\1",
        b"\0\0\0\1\0\0\0",
        b"\0\0\0\1\0\0\0\2",
        b"\0\0\0\1\0\0\0\7data",
        b"\0\0\0\3\0\0",
        b"\0\0\0\3\0\0\0\5abc",
        b"\0\0\0\3\0\0\0\1\xff\xff",
        b"\0\0\0\4\0\0\0\5{}",
        b"\0\0\0\4\xff\xff\xff\xff{}",
        b"\0\0\0\4\0\0\0\2{}",
        b"\0\0\0\4\0\0\0\2[]x",
        b"\0\0\0\4\0\0\0\2{xx",
        type_4({"prompt_id": 5}, PNG),
    ],
)
def test_binary_cut_short_or_wrong_raises_its_own_error(message):
    with pytest.raises(ComfyEventDecodeError):
        ce.decode_binary(message)


def test_every_cut_of_a_picture_is_an_error_or_a_shorter_picture():
    message = type_4({"node_id": "9", "prompt_id": PROMPT, "image_type": "image/png"}, PNG)
    body = len(message) - len(PNG)
    for length in range(len(message)):
        if length <= body:
            with pytest.raises(ComfyEventDecodeError):
                ce.decode_binary(message[:length])
        else:
            assert bytes(ce.decode_binary(message[:length]).data) == PNG[: length - body]


@given(st.binary(max_size=200))
def test_any_bytes_give_an_event_or_the_documented_error(data):
    for decode in (ce.decode_binary, ce.decode_text):
        try:
            decode(data)
        except ComfyEventDecodeError:
            pass


RECORDINGS = sorted((Path(__file__).parents[2] / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_recorded_message_has_a_record(path):
    for line in path.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("channel") != "ws" or entry["dir"] != "recv":
            continue
        if entry.get("event") == "text":
            assert not isinstance(ce.decode_text(json.dumps(entry["json"])), ce.UnknownEvent), entry
        elif entry.get("event") == "binary" and "b64" in entry:
            assert not isinstance(ce.decode_binary(base64.b64decode(entry["b64"])), ce.UnknownEvent), entry
