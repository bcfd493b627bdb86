"""What a backend reports besides the scheduler's own records, and the times that it keeps to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from bridge.codec.node_events import NodePicture
from bridge.errors import ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptRefused,
    AttemptStarted,
    AttemptWithdrawn,
    BackendDoubted,
    BackendDown,
    BackendRemoved,
    BackendUp,
)


class BackendState(StrEnum):
    """How a backend stands."""

    CONNECTING = "connecting"
    UP = "up"
    DOUBTED = "doubted"
    STUCK = "stuck"
    DOWN = "down"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class BackendPicture:
    """A picture of an output as it came off ComfyUI's socket, encoded or raw.

    `index` counts per output node within a prompt: a batch of n gives 0..n-1. `image_format` is "png", "jpeg", "webp",
    "raw", "raw16", "raw16f" or a MIME type. `data` views the received message and stays valid as long as it is held.
    `posted_at` and `at` are `time.perf_counter` seconds: the prompt handed to `submit`, and the bytes here.
    """

    backend: str
    attempt: int
    node_id: str
    output: int
    index: int
    image_format: str
    data: memoryview | NodePicture
    posted_at: float
    at: float


@dataclass(frozen=True, slots=True)
class BackendPreview:
    """A picture of a node that is no output: what a sampler has made of its latent so far, as a file.

    The other fields are those of `BackendPicture`. Which output it becomes nobody knows.
    """

    attempt: int
    node_id: str
    data: memoryview
    posted_at: float
    at: float


@dataclass(frozen=True, slots=True)
class BackendProgress:
    """Step `value` of `maximum` within a node of an attempt; output nodes report their pictures this way too."""

    attempt: int
    node: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class BackendNodes:
    """Which nodes of an attempt's prompt are `cached` and won't run, which one `began`, which are `done` now."""

    attempt: int
    cached: tuple[str, ...] = ()
    began: str | None = None
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackendWarning:
    """Something an operator should know: nobody answers, access refused, worker dead, socket mute."""

    backend: str
    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class BackendMute:
    """ComfyUI runs prompts and its socket tells nothing of them, or speaks again (`mute` false).

    While it is mute, prompts are to be submitted with `files`.
    """

    backend: str
    mute: bool


BackendRecord: TypeAlias = (
    BackendUp
    | BackendDoubted
    | BackendDown
    | BackendRemoved
    | AttemptPosted
    | AttemptRefused
    | AttemptStarted
    | AttemptEnded
    | AttemptWithdrawn
    | AttemptLost
    | BackendPicture
    | BackendPreview
    | BackendProgress
    | BackendNodes
    | BackendWarning
    | BackendMute
)
"""Everything that `on_event` is called with."""


@dataclass(slots=True)
class Counts:
    """What came over the socket since the start. Nothing is logged per frame; this is how to see it."""

    pictures: int = 0
    previews: int = 0
    foreign: int = 0
    unwanted: int = 0
    undecodable: int = 0
    unknown: int = 0
    connects: int = 0
    doubts: int = 0


@dataclass(frozen=True, slots=True)
class ComfyLimits:
    """Times in seconds and sizes in bytes. The defaults fit a ComfyUI on this machine or in the same network.

    A ping goes out every `ping_interval_s`; without pong or message for `pong_timeout_s` the backend is doubted.
    Silence alone takes it down only after `doubt_timeout_s`: ComfyUI's loop may stall for a minute on a checkpoint.
    An attempt that heard nothing for `silence_s` is looked for in /queue; if that shows nothing running and the
    attempt still waiting after `stuck_after_s`, the worker is dead, and tried again after `stuck_retry_s`.
    A mute ComfyUI gets a new socket after `mute_probe_s`, then after twice that, and so on up to `mute_probe_most_s`.
    """

    ping_interval_s: float = 0.8
    pong_timeout_s: float = 1.7
    probe_timeout_s: float = 3.0
    doubt_timeout_s: float = 120.0
    open_timeout_s: float = 5.0
    flags_timeout_s: float = 1.0
    http_timeout_s: float = 10.0
    long_timeout_s: float = 60.0
    check_interval_s: float = 1.0
    silence_s: float = 3.0
    stuck_after_s: float = 8.0
    stuck_retry_s: float = 60.0
    mute_probe_s: float = 30.0
    mute_probe_most_s: float = 300.0
    free_pause_s: float = 0.25
    """What ComfyUI's worker may take to wake and free memory."""
    retire_poll_s: float = 0.25
    reconnect_first_s: float = 0.1
    reconnect_most_s: float = 5.0
    close_s: float = 2.0
    max_message_bytes: int = 256 * 1024 * 1024
    max_answer_bytes: int = 64 * 1024 * 1024
    max_failures: int = 3
    """Cut connections or wrong answers in a row that make a backend down."""


def remote_limits(limits: ComfyLimits) -> ComfyLimits:
    """`limits` for a ComfyUI across the internet: rarer pings, and patience with a tunnel's latency and hiccups.

    A tunnel that answers 502 for a few seconds while it finds its way again is no death: eight failures take about six
    seconds. What a ping really takes is added to the limits as it is measured.
    """
    return replace(
        limits,
        ping_interval_s=4.0,
        pong_timeout_s=5.0,
        probe_timeout_s=8.0,
        open_timeout_s=15.0,
        flags_timeout_s=3.0,
        http_timeout_s=30.0,
        long_timeout_s=180.0,
        check_interval_s=2.0,
        silence_s=5.0,
        stuck_after_s=15.0,
        retire_poll_s=0.5,
        reconnect_first_s=0.25,
        close_s=4.0,
        max_failures=8,
    )
