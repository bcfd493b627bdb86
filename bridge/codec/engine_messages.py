"""Messages from an engine to the bridge: one record each, fields as on the wire.

A field with `= None` may be absent. Source: protocols/engine-link.md; vectors: protocols/vectors/message.
"""

from __future__ import annotations

from collections import abc
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from bridge.codec.message_fields import (
    U32,
    U64,
    Color,
    Key,
    Message,
    NotNegative,
    OutputNumber,
    PixelSize,
    Positive,
    Priority,
    RequestNumber,
    StreamRef,
    check_key,
)
from bridge.codec.parts import MIN_MESSAGE_BYTES
from bridge.types import Delivery, Fit, Mode, Origin, SeedPolicy


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The first message. `version` is the highest spoken; `session` is one to resume. Answer: `Welcome`."""

    version: int
    client: str
    token: str | None = None
    session: str | None = None
    max_message_bytes: Annotated[int, Meta(ge=MIN_MESSAGE_BYTES)] | None = None
    shared_memory: bool | None = None
    events: abc.Sequence[str] | None = None


class Describe(Message, frozen=True, kw_only=True, tag="describe"):
    """Asks for parameters, outputs, size and state of a workflow or stream. Answer: `Described`."""

    workflow: str | None = None
    stream: StreamRef | None = None


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """Makes a stream, or attaches to the one of this name. Answer: `Opened`.

    `aspect` ("16:9", 1.85, [16, 9]) and `megapixels` stand for a `size`; their range is the stream's to check (305).
    """

    stream: StreamRef
    workflow: str
    mode: Mode
    params: dict[str, Any] | None = None
    seed_policy: SeedPolicy | None = None
    seed_every: Annotated[int, Meta(ge=1)] | None = None
    seed_every_s: NotNegative | None = None
    min_change: NotNegative | None = None
    max_fps: Positive | None = None
    size: PixelSize | None = None
    aspect: str | float | tuple[float, float] | None = None
    megapixels: float | None = None
    replace: bool = False


class Set(Message, frozen=True, kw_only=True, tag="set"):
    """Sets values, all or none. Answer: `Ok`, if it has an id."""

    stream: StreamRef
    params: dict[str, Any]
    client_time: U64 | None = None


class Run(Message, frozen=True, kw_only=True, tag="run"):
    """Asks for one picture. Answers: `Accepted`, later `Finished`."""

    stream: StreamRef
    params: dict[str, Any] | None = None
    key: Key | None = None
    client_time: U64 | None = None
    deadline_ms: NotNegative | None = None
    priority: Priority = 5
    seed: U64 | None = None

    def __post_init__(self) -> None:
        check_key(self.key)


class Sequence(Message, frozen=True, kw_only=True, tag="sequence"):
    """Asks for `frames` pictures; `tracks` maps a parameter to `[[frame, value, easing?], ...]`.

    Frame i is number `first + i` of the tracks. `images` are the parameters whose pictures come frame by frame, by
    `Image`. `fps` is the rate of `paced` subscribers that named none. Answers: `Accepted`, later `Finished`.
    """

    stream: StreamRef
    frames: Annotated[int, Meta(ge=1)]
    tracks: dict[str, list[list[Any]]]
    first: int = 0
    fps: Positive | None = None
    images: abc.Sequence[str] | None = None
    key: Key | None = None
    deadline_ms: NotNegative | None = None
    priority: Priority = 5
    seed: U64 | None = None

    def __post_init__(self) -> None:
        check_key(self.key)


class Image(Message, frozen=True, kw_only=True, tag="image"):
    """Short for `Set` of an image parameter: {width, height, format, origin, data}, {encoded} or {slot, seq}.

    With `request` and `index` it is the picture of one frame of a sequence, and changes no values of the stream.
    """

    stream: StreamRef
    param: str
    value: dict[str, Any]
    request: RequestNumber | None = None
    index: Annotated[int, Meta(ge=0)] | None = None
    client_time: U64 | None = None

    def __post_init__(self) -> None:
        if (self.request is None) is not (self.index is None):
            raise ValueError("request and index come together")


class Cancel(Message, frozen=True, kw_only=True, tag="cancel"):
    """Cancels one request, or a stream's own ones (`all`: everybody's). Answer: `Ok` with `cancelled`."""

    request: RequestNumber | None = None
    stream: StreamRef | None = None
    all: bool = False

    def __post_init__(self) -> None:
        if self.request is None and self.stream is None:
            raise ValueError("request or stream must be given")


class Live(Message, frozen=True, kw_only=True, tag="live"):
    """Switches live generation on, or back to the mode before. Answer: `Ok`."""

    stream: StreamRef
    on: bool
    fade_s: NotNegative | None = None


class Freeze(Message, frozen=True, kw_only=True, tag="freeze"):
    """Holds the picture, or lets it go on. Answer: `Ok`."""

    stream: StreamRef
    on: bool
    fade_s: NotNegative | None = None


class Blackout(Message, frozen=True, kw_only=True, tag="blackout"):
    """Shows black, or the picture again. Answer: `Ok`."""

    stream: StreamRef
    on: bool
    fade_s: NotNegative | None = None


class Seed(Message, frozen=True, kw_only=True, tag="seed"):
    """Sets the seed that comes next, or how it goes on, or keeps that of the picture that is shown. Answer: `Ok`."""

    stream: StreamRef
    seed: U64 | None = None
    policy: SeedPolicy | None = None
    every: Annotated[int, Meta(ge=1)] | None = None
    every_s: NotNegative | None = None
    lock: bool | None = None


class Subscribe(Message, frozen=True, kw_only=True, tag="subscribe"):
    """Asks for a stream's frames in this form. `format` is a word of the registry. Answer: `Subscribed`.

    Without them, `delivery` is read as `latest` and `credit` as 1.
    """

    stream: StreamRef
    format: str
    origin: Origin
    delivery: Delivery
    credit: Annotated[int, Meta(ge=1)]
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


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """Ready for the next set: `number` and all before are done with. No answer."""

    stream: StreamRef
    number: U32


class Stats(Message, frozen=True, kw_only=True, tag="stats"):
    """Asks what this subscription was sent and what was dropped. Answer: `StatsAnswer`."""

    stream: StreamRef


class EngineMemory(Message, frozen=True, kw_only=True, tag="memory"):
    """The engine's own shared memory: from now on `{slot, seq}` is an image value. Answer: `Ok`, if it has an id."""

    file: str
    nonce: U64
    slots: U32
    stride: U32


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """Answer: `Pong`."""


class Unsubscribe(Message, frozen=True, kw_only=True, tag="unsubscribe"):
    """Ends a subscription. Answer: `Ok`."""

    stream: StreamRef


class Close(Message, frozen=True, kw_only=True, tag="close"):
    """Detaches this session from a stream. Answer: `Ok`."""

    stream: StreamRef


class Panic(Message, frozen=True, kw_only=True, tag="panic"):
    """Everything stops now. Answer: `Ok`."""


class Resume(Message, frozen=True, kw_only=True, tag="resume"):
    """Ends a panic. Answer: `Ok`."""


EngineMessage: TypeAlias = (
    Hello
    | Describe
    | Open
    | Set
    | Run
    | Seed
    | Sequence
    | Image
    | Cancel
    | Live
    | Freeze
    | Blackout
    | Subscribe
    | Ack
    | Stats
    | EngineMemory
    | Ping
    | Unsubscribe
    | Close
    | Panic
    | Resume
)
