"""ComfyUI's WebSocket messages as frozen records: text (JSON), binary types 1, 3 and 4, and our own nodes' event.

A JSON message is `{"type": ..., "data": {...}}`. A binary message begins with a big-endian u32: 1 is a picture with
a u32 format before the file, 3 is text of a node, 4 is a picture whose JSON header names prompt and node; any other
number comes from a custom node. Source: ComfyUI v0.3.64 as recorded; fields that a version leaves out become None,
zero or empty, unknown fields are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from bridge.codec.node_events import NODE_EVENT, NodeEvent, decode_node_event
from bridge.errors import ComfyEventDecodeError

MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
"""A JSON message longer than this is refused: the largest seen, an error with its tensors printed, has 50 KB."""

MAX_HEADER_BYTES: Final = 64 * 1024
"""Length that a type 4 header, or a type 3 node id, may have."""

_PICTURE: Final = 1
_TEXT: Final = 3
_PICTURE_WITH_HEADER: Final = 4
_FORMATS: Final = {1: "jpeg", 2: "png"}
_FORMATS_BY_MIME: Final = {"image/jpeg": "jpeg", "image/png": "png"}


class _Record(msgspec.Struct, frozen=True):
    """Base of the records."""


class StatusEvent(_Record, frozen=True):
    """How many prompts wait or run, of all clients; `sid` is the client id, in the first one of a connection only."""

    queue_remaining: int | None = None
    sid: str | None = None


class ExecutionStart(_Record, frozen=True):
    """A prompt begins to run. May come before the answer to its POST."""

    prompt_id: str


class ExecutionCached(_Record, frozen=True):
    """These nodes won't run, their results are known."""

    prompt_id: str
    nodes: tuple[str, ...] = ()


class Executing(_Record, frozen=True):
    """A node begins; `node` None is the end of the prompt. The first one after a reconnect has no prompt_id."""

    node: str | None = None
    prompt_id: str | None = None
    display_node: str | None = None


class ProgressEvent(_Record, frozen=True):
    """Step `value` of `max` within a node."""

    value: float
    max: float
    prompt_id: str | None = None
    node: str | None = None


class NodeProgress(_Record, frozen=True):
    """One node's part of `ProgressState`: `state` is pending, running, finished or error."""

    value: float = 0.0
    max: float = 0.0
    state: str = ""


class ProgressState(_Record, frozen=True):
    """Progress of all nodes that have begun, sent at each change."""

    prompt_id: str
    nodes: dict[str, NodeProgress] = {}


class Executed(_Record, frozen=True):
    """A node with a `ui` result (SaveImage, PreviewImage) has ended; a cached one repeats its old `output`."""

    prompt_id: str
    node: str | None = None
    output: dict[str, Any] | None = None


class ExecutionSuccess(_Record, frozen=True):
    """All nodes have run; every picture of the prompt has been sent before this."""

    prompt_id: str


class ExecutionError(_Record, frozen=True):
    """A node failed. The traceback and the printed inputs are left behind on purpose."""

    prompt_id: str
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str = ""
    exception_message: str = ""


class ExecutionInterrupted(_Record, frozen=True):
    """The prompt was interrupted at this node, by whomever."""

    prompt_id: str
    node_id: str | None = None
    node_type: str | None = None


class FeatureFlags(_Record, frozen=True):
    """What the server can do, in answer to our own flags."""

    flags: dict[str, Any]


class ImageEvent(_Record, frozen=True):
    """A picture: an output of SaveImageWebsocket or a preview of a sampler, which look alike.

    `prompt_id` and `node_id` are None for type 1, which doesn't name them. `image_format` is "jpeg", "png" or
    another MIME type as sent. `data` views the message, without a copy.
    """

    prompt_id: str | None
    node_id: str | None
    image_format: str
    data: memoryview


class TextEvent(_Record, frozen=True):
    """Text of a node, to be shown on it (binary type 3)."""

    node_id: str
    text: str


class UnknownEvent(_Record, frozen=True):
    """A message of a custom node or of a newer version: its type, and what came with a binary one."""

    kind: str | int
    data: memoryview | None = None


ComfyEvent: TypeAlias = (
    StatusEvent
    | ExecutionStart
    | ExecutionCached
    | Executing
    | ProgressEvent
    | ProgressState
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | FeatureFlags
    | ImageEvent
    | NodeEvent
    | TextEvent
    | UnknownEvent
)


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _ExecInfo(msgspec.Struct):
    queue_remaining: int | None = None


class _Status(msgspec.Struct):
    exec_info: _ExecInfo = msgspec.field(default_factory=_ExecInfo)


class _StatusData(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)
    sid: str | None = None


class _PictureHeader(msgspec.Struct):
    prompt_id: str | None = None
    node_id: str | None = None
    image_type: str = ""


_RECORDS: Final[dict[str, type[ComfyEvent]]] = {
    "execution_start": ExecutionStart,
    "execution_cached": ExecutionCached,
    "executing": Executing,
    "progress": ProgressEvent,
    "progress_state": ProgressState,
    "executed": Executed,
    "execution_success": ExecutionSuccess,
    "execution_error": ExecutionError,
    "execution_interrupted": ExecutionInterrupted,
}
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_status: Final = msgspec.json.Decoder(_StatusData).decode
_decode_flags: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_header: Final = msgspec.json.Decoder(_PictureHeader).decode
_DECODERS: Final[dict[str, Callable[[msgspec.Raw], ComfyEvent]]] = {
    kind: msgspec.json.Decoder(record).decode for kind, record in _RECORDS.items()
}
# What JSON can do to a decoder: malformed or wrong fields, nesting without end, halves of a surrogate pair.
_FAULTS: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


def decode_text(data: str | bytes) -> ComfyEvent:
    """The record of a text message; `UnknownEvent` for a type that has none here.

    Raises:
        ComfyEventDecodeError: not JSON, no `type`, a known type without its fields, or over `MAX_TEXT_BYTES`.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise ComfyEventDecodeError(f"text message of {len(data)} bytes > {MAX_TEXT_BYTES}", limit=MAX_TEXT_BYTES)
    try:
        try:
            envelope = _decode_envelope(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Python's writer lets NaN and Infinity through, and an error report may hold them among a node's
            # inputs: such a report must not be lost.
            return _decode_lenient(data)
        return _decode_data(envelope)
    except _FAULTS as error:
        raise ComfyEventDecodeError(f"text message from ComfyUI can't be read: {_short(error)}") from None


def decode_binary(data: bytes | bytearray | memoryview) -> ComfyEvent:
    """The record of a binary message; `UnknownEvent` for a number that has none here. Pictures aren't copied.

    Raises:
        ComfyEventDecodeError: shorter than its own lengths say, or a header that isn't what its type needs.
    """
    view = memoryview(data).cast("B")
    kind = _u32(view, 0, "event type")
    if kind == _PICTURE_WITH_HEADER:
        start, end = _counted(view, "header")
        try:
            header = _decode_header(view[start:end])
        except _FAULTS as error:
            raise ComfyEventDecodeError(f"header of a type 4 picture can't be read: {_short(error)}") from None
        mime = header.image_type
        return ImageEvent(header.prompt_id, header.node_id, _FORMATS_BY_MIME.get(mime, mime), _picture(view, end))
    if kind == _PICTURE:
        number = _u32(view, 4, "picture format")
        image_format = _FORMATS.get(number)
        if image_format is None:
            raise ComfyEventDecodeError(f"picture format {number} is neither 1 (JPEG) nor 2 (PNG)", value=number)
        return ImageEvent(None, None, image_format, _picture(view, 8))
    if kind == _TEXT:
        start, end = _counted(view, "node id")
        try:
            return TextEvent(str(view[start:end], "utf-8"), str(view[end:], "utf-8"))
        except UnicodeDecodeError as error:
            raise ComfyEventDecodeError(f"text of a node is not UTF-8: {error.reason}") from None
    if kind == NODE_EVENT:
        return decode_node_event(view)
    return UnknownEvent(kind, view[4:])


def _decode_data(envelope: _Envelope) -> ComfyEvent:
    decode = _DECODERS.get(envelope.type)
    if decode is not None:
        return decode(envelope.data)
    if envelope.type == "status":
        status = _decode_status(envelope.data)
        return StatusEvent(status.status.exec_info.queue_remaining, status.sid)
    if envelope.type == "feature_flags":
        return FeatureFlags(_decode_flags(envelope.data))
    return UnknownEvent(envelope.type)


def _decode_lenient(data: str | bytes) -> ComfyEvent:
    """The same with NaN and Infinity read as null, and halves of surrogate pairs as question marks."""
    message = json.loads(data, parse_constant=lambda constant: None)
    return _decode_data(_decode_envelope(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")))


def _u32(view: memoryview, offset: int, what: str) -> int:
    if len(view) < offset + 4:
        raise ComfyEventDecodeError(f"message of {len(view)} bytes ends before its {what}", value=len(view))
    return int.from_bytes(view[offset : offset + 4], "big")


def _counted(view: memoryview, what: str) -> tuple[int, int]:
    """Start and end of the bytes that the length at offset 4 counts."""
    length = _u32(view, 4, f"{what} length")
    if length > MAX_HEADER_BYTES:
        raise ComfyEventDecodeError(f"{what} of {length} bytes > {MAX_HEADER_BYTES}", value=length)
    if len(view) < 8 + length:
        raise ComfyEventDecodeError(f"message of {len(view)} bytes ends within its {what} of {length}")
    return 8, 8 + length


def _picture(view: memoryview, start: int) -> memoryview:
    if len(view) == start:
        raise ComfyEventDecodeError("picture of 0 bytes")
    return view[start:]


def _short(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
