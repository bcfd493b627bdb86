"""What the scheduler is told (events) and what it says (commands): frozen records, nothing else.

An *attempt* is one prompt posted for a request: a request that is bound again, or tried elsewhere, has several,
one after the other, and at most one that counts. Backends report attempts; whoever carries out the commands turns
an attempt into a `prompt_id`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeAlias

from bridge.errors import TexbridgeError
from bridge.types import Mode, Outcome

# --- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BackendUp:
    """A backend takes prompts (again). Attempts it still holds go on."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendDoubted:
    """A backend may be gone: nothing new is submitted there until it is up, or down."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendDown:
    """A backend is gone, and all its attempts with it. Best told before `AttemptLost`, so that none is tried there."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendRemoved:
    """A backend will not come back: forget it."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendDrained:
    """An operator wants a backend empty: it ends what it has and gets nothing new, up or not, until `BackendKept`."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendKept:
    """A drained backend takes prompts again, as soon as it is up."""

    backend: str


@dataclass(frozen=True, slots=True)
class BackendMuted:
    """A backend's socket tells nothing of the prompts that it runs, or speaks again: others are better meanwhile."""

    backend: str
    mute: bool


@dataclass(frozen=True, slots=True)
class PlacesChanged:
    """Backends that lack nodes or models of a stream's workflow: none of its requests goes there. Replaces the last.

    If all that there are lack something its requests go anywhere, since ComfyUI's own error tells what is missing.
    """

    stream: int
    unfit: frozenset[str]


@dataclass(frozen=True, slots=True)
class StreamConfigured:
    """A stream exists with these settings, new or changed.

    `cost_key` names what is worth timing together (workflow and size): estimates are kept per backend and key.
    `varies` is true when every picture differs even if no value changed (seed policy not fixed).
    `max_fps` limits a live stream's own generations; None is no limit. One that varies rests `idle_after_s` after the
    last change, None is never. A `revision` that is new says what
    `ValuesChanged` says too, so that another workflow with its values is one picture, not two. Of a `chained` stream
    each picture is made of the one before: its next prompt goes out only when the last one's result has settled.
    """

    stream: int
    mode: Mode
    cost_key: Hashable
    varies: bool = False
    max_fps: float | None = None
    revision: int = 0
    idle_after_s: float | None = None
    chained: bool = False


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """A stream is gone: its requests end `cancelled`."""

    stream: int


@dataclass(frozen=True, slots=True)
class ValuesChanged:
    """A stream's values moved on to `revision`, a number that only grows."""

    stream: int
    revision: int


@dataclass(frozen=True, slots=True)
class ViewersChanged:
    """How many look at a stream now: live generations are made only while somebody does."""

    stream: int
    viewers: int


@dataclass(frozen=True, slots=True)
class RequestAdded:
    """A run was accepted. `deadline_s` counts from now.

    `revision` is that of the values at acceptance; one that is new here needs no `ValuesChanged` before it. With a
    `backend` it is a warm-up: posted there alone, once, with the values of its acceptance; it is no picture of its
    stream.
    """

    request: int
    stream: int
    revision: int
    priority: int = 5
    deadline_s: float | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class SequenceAdded:
    """A sequence was accepted: one request, of which each frame 0..frames-1 is a prompt of its own (`Submit.index`).

    Frames bind the values that `revision` stands for, whatever the stream's mode. Only those below `until` may be
    begun; `SequenceMoved` says how far it is later. `deadline_s` counts from now.
    """

    request: int
    stream: int
    revision: int
    frames: int
    until: int
    priority: int = 5
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class SequenceMoved:
    """From now on the frames of a sequence below `until` may be begun; those that are stay as they are."""

    request: int
    until: int


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """Whoever carries out the commands can't go on with a request: it ends `failed`. Unknown ones are ignored."""

    request: int
    error: TexbridgeError


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """Somebody who may cancels a request, waiting or running. Unknown or ended ones are ignored. `error`: why, where
    nobody wished it."""

    request: int
    error: TexbridgeError | None = None


@dataclass(frozen=True, slots=True)
class Panicked:
    """Everything stops: all requests end `cancelled`, nothing is submitted until `Resumed`."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Panic is over."""


@dataclass(frozen=True, slots=True)
class AttemptPrepared:
    """What the prompt needs first is at the backend (its pictures); the prompt itself goes out now."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptPosted:
    """ComfyUI took the prompt (200). May come after `AttemptStarted`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptRefused:
    """ComfyUI did not take the prompt. With `retry` it may be posted again (there or elsewhere)."""

    attempt: int
    error: TexbridgeError
    retry: bool = False


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """`execution_start` for this attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The prompt is over at the backend, which is free; its pictures may still be in decoding."""

    attempt: int
    error: TexbridgeError | None = None


@dataclass(frozen=True, slots=True)
class AttemptWithdrawn:
    """The backend confirms that a withdrawn prompt is gone from its queue and never ran."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The backend lost this prompt (restart, blind client id): no result will come. It may be posted again."""

    attempt: int


@dataclass(frozen=True, slots=True)
class ResultSettled:
    """Every picture of an ended attempt is released or dropped: its request can be answered.

    With `error` the pictures were no good, or some are missing: the request ends `failed`. With `overtaken` they were
    dropped because newer ones had come: it ends `superseded`.
    """

    attempt: int
    error: TexbridgeError | None = None
    overtaken: bool = False


Event: TypeAlias = (
    BackendUp
    | BackendDoubted
    | BackendDown
    | BackendRemoved
    | BackendDrained
    | BackendKept
    | BackendMuted
    | PlacesChanged
    | StreamConfigured
    | StreamClosed
    | ValuesChanged
    | ViewersChanged
    | RequestAdded
    | SequenceAdded
    | SequenceMoved
    | RequestFailed
    | RequestCancelled
    | Panicked
    | Resumed
    | AttemptPrepared
    | AttemptPosted
    | AttemptRefused
    | AttemptStarted
    | AttemptEnded
    | AttemptWithdrawn
    | AttemptLost
    | ResultSettled
)

# --- commands ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submit:
    """Bind the values of `revision` (None: the newest of this moment) and post them at `backend` at once.

    `generation` is true for a live stream's own picture, which nobody asked for by `run`. `index` is the frame of a
    sequence.
    """

    attempt: int
    request: int
    stream: int
    backend: str
    revision: int | None
    generation: bool = False
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Get a prompt out of the way: delete it if it waits, interrupt it if it runs. Its result is not wanted."""

    attempt: int
    backend: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The one terminal answer of a request."""

    request: int
    stream: int
    outcome: Outcome
    error: TexbridgeError | None = None
    generation: bool = False


Command: TypeAlias = Submit | Withdraw | Finish
