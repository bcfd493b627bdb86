"""Messages from the bridge to an engine: one record each, fields as on the wire.

A field with `= None` may be absent. Source: protocols/engine-link.md; vectors: protocols/vectors/message.
"""

from __future__ import annotations

from collections import abc
from typing import Any, TypeAlias

import msgspec

from bridge.codec.message_fields import (
    U32,
    U64,
    Color,
    Key,
    Message,
    OutputNumber,
    PixelSize,
    Positive,
    RequestNumber,
    StreamRef,
)
from bridge.types import Delivery, Fit, Mode, Origin, Outcome, SeedPolicy


class UnfinishedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request of a resumed session that still gets its `Finished`."""

    request: RequestNumber
    key: Key | None = None


class WorkflowSummary(msgspec.Struct, frozen=True):
    """A workflow in `Welcome`."""

    name: str
    label: str


class StreamSummary(msgspec.Struct, frozen=True):
    """A stream in `Welcome`. `state` is a `StreamState`, or a later version's word."""

    name: str
    number: U32
    workflow: str
    mode: Mode
    state: str


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """Answer to `Hello`. `boot` changes at each start of the bridge; `session` is a secret."""

    version: int
    server: str
    boot: str
    session: str
    resumed: bool
    unfinished: abc.Sequence[UnfinishedRequest]
    features: abc.Sequence[str]
    limits: abc.Mapping[str, int | float]
    formats: abc.Sequence[str]
    workflows: abc.Sequence[WorkflowSummary]
    streams: abc.Sequence[StreamSummary]


class ParameterDescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A parameter in `Described`: `type` is a `ParameterType`, or a word of a later version."""

    name: str
    label: str
    type: str
    default: Any = None
    value: Any = None
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    unit: str | None = None
    choices: abc.Sequence[str] | None = None


class OutputDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """An output in `Described`; its place in the list is the frame header's `output`."""

    name: str
    kind: str
    bits: int | None = None
    """16 where the workflow asks for half floats; 8 otherwise."""


class SizeSides(msgspec.Struct, frozen=True, kw_only=True):
    """What each side of a workflow's pictures may be: multiples of `step` from `min` to `max`, pixels."""

    step: int
    min: int
    max: int


class Described(Message, frozen=True, kw_only=True, tag="described"):
    """Answer to `Describe`. From `stream` on, and the parameters' values, the fields are there for a stream only."""

    workflow: str
    parameters: abc.Sequence[ParameterDescription]
    outputs: abc.Sequence[OutputDescription]
    label: str | None = None
    size: PixelSize | None = None
    sides: SizeSides | None = None
    digest: str | None = None
    has_seed: bool | None = None
    stream: str | None = None
    number: U32 | None = None
    mode: Mode | None = None
    state: str | None = None
    seed: U64 | None = None
    seed_policy: SeedPolicy | None = None
    seed_every: int | None = None
    seed_every_s: float | None = None
    seed_locked: bool | None = None


class Opened(Message, frozen=True, kw_only=True, tag="opened"):
    """Answer to `Open`: the stream's number, whether it is new, and the size of its pictures where that is known."""

    number: U32
    created: bool
    size: PixelSize | None = None


class Ok(Message, frozen=True, kw_only=True, tag="ok"):
    """Done. `cancelled` answers `Cancel`: the requests that it ended."""

    cancelled: abc.Sequence[RequestNumber] | None = None


class Accepted(Message, frozen=True, kw_only=True, tag="accepted"):
    """Answer to `Run` and `Sequence`: the request's number."""

    request: RequestNumber
    key: Key | None = None


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """Answer to `Subscribe`: the stream's number as in frame headers, and the values that hold."""

    number: U32
    format: str
    origin: Origin
    delivery: Delivery
    credit: int
    outputs: abc.Sequence[OutputNumber] | None = None
    size: PixelSize | None = None
    fit: Fit | None = None
    mips: bool | None = None
    previews: bool | None = None
    color: Color | None = None
    fps: Positive | None = None
    max_mbps: Positive | None = None
    blend_fps: Positive | None = None
    shared_memory: bool | None = None


class StatsAnswer(Message, frozen=True, kw_only=True, tag="stats"):
    """Answer to `Stats`: sets sent and dropped, milliseconds of age of the newest, how often it waited for credit."""

    stream: U32
    sent: U64
    dropped: U64
    credit_stalls: U64
    age_ms: int | float | None = None
    skipped: U64 | None = None


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """Answer to `Ping`."""


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """How far a request is: `value` of `max` steps of `node`, and `whole` of all its work, 0..1."""

    request: RequestNumber
    value: int | float
    max: int | float
    key: Key | None = None
    node: str | None = None
    whole: int | float | None = None


class Finished(Message, frozen=True, kw_only=True, tag="finished"):
    """The one terminal answer of a request.

    `code`, `name` and `message` say why it failed; `number` is the last set, 0 for none; `timing` is microseconds by
    stage (`waiting_us`, `comfy_us`, `release_us`, `total_us`), and `transfer`, how the last picture came.
    """

    request: RequestNumber
    outcome: Outcome
    frames: U64
    number: U32
    key: Key | None = None
    cached: bool | None = None
    code: int | None = None
    name: str | None = None
    message: str | None = None
    seed: U64 | None = None
    timing: abc.Mapping[str, int | float | str] | None = None


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """What went wrong with the message `id`, with a stream, or with the connection (`fatal`: it closes now)."""

    code: int
    name: str
    message: str
    field: str | None = None
    value: Any = None
    limit: Any = None
    stream: U32 | None = None
    fatal: bool = False


class Changed(Message, frozen=True, kw_only=True, tag="changed"):
    """Somebody changed a stream: new values, another workflow, state, or size of its pictures."""

    stream: StreamRef
    params: dict[str, Any] | None = None
    workflow: str | None = None
    state: str | None = None
    size: PixelSize | None = None


class Memory(Message, frozen=True, kw_only=True, tag="memory"):
    """The shared memory that the next doorbells of a stream point into."""

    stream: StreamRef
    file: str
    nonce: U64
    slots: U32
    stride: U32


BridgeMessage: TypeAlias = (
    Welcome
    | Described
    | Opened
    | Ok
    | Accepted
    | Subscribed
    | StatsAnswer
    | Pong
    | Progress
    | Finished
    | Error
    | Changed
    | Memory
)
