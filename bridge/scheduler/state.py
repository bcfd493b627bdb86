"""What the scheduler knows of streams, requests, attempts and backends."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from bridge.scheduler import placement, policy
from bridge.scheduler.breaker import Breaker
from bridge.scheduler.estimates import Estimates
from bridge.scheduler.events import RequestAdded, StreamConfigured
from bridge.types import Mode

NEVER_BOUND: Final = -1


@dataclass(slots=True, eq=False)
class Stream:
    """A stream's settings, and what a live one has made of its values."""

    number: int
    config: StreamConfigured
    revision: int = 0
    viewers: int = 0
    bound_revision: int = NEVER_BOUND
    """Of the newest picture submitted; while it is behind `revision`, a live stream has work."""
    dirty_since: float = 0.0
    changed_at: float = -inf
    """When somebody last changed something, switched it to live, or came to look where nobody looked."""
    next_generation: float = -inf
    hold_until: float = -inf
    failures: int = 0
    last_released: int = 0
    """The `order` of the newest attempt of which a picture was shown."""
    waiting: int = 0
    """Requests in the queue, warm-ups and frames of sequences left out."""
    sequences: int = 0
    """Those that are not over: a live stream makes no pictures of its own meanwhile."""
    posted: int = 0
    """Requests that have an attempt, warm-ups left out."""

    requests: dict[int, Request] = field(default_factory=dict)
    """Those without a terminal answer, in the order of their numbers."""
    unfit: frozenset[str] = frozenset()
    """Backends that lack what its workflow needs."""
    last_turn: float = -inf
    """When something of it was last submitted: between streams, waiting counts from then."""

    def has_newer_run(self, number: int) -> bool:
        """True if a run after `number` has no terminal answer yet."""
        return any(
            other.number > number and other.sequence is None and other.only is None for other in self.requests.values()
        )

    @property
    def holds_back(self) -> bool:
        """True while the next picture waits for the one that it is made of."""
        return self.config.chained and self.posted > 0


@dataclass(slots=True, eq=False)
class Sequence:
    """Where the frames of a sequence are: those below `begun` are waiting, at a backend, settling, or done."""

    frames: int
    until: int
    begun: int = 0
    done: int = 0
    waiting: list[Request] = field(default_factory=list)
    """The frames that wait for their first try: few at a time, so that each waits from when its turn came."""
    in_work: dict[int, Request] = field(default_factory=dict)
    """The frames that are begun and not done, by index."""


@dataclass(slots=True, eq=False)
class Lane:
    """The waiting requests of one stream that may go to the same backends, by priority and age."""

    stream: Stream
    only: str | None
    avoided: frozenset[str]
    frames: bool
    """True if they are frames of sequences, of which each is made as it was asked for."""
    entries: list[tuple[float, int]] = field(default_factory=list)
    """(key, number) of each."""


@dataclass(slots=True, eq=False)
class Request:
    """One request between its acceptance and its terminal answer."""

    number: int
    stream: Stream
    revision: int
    accepted_at: float
    """Since when it waits: of a run that took the place of another one, since that did."""
    priority: int = policy.GENERATION_PRIORITY
    generation: bool = False
    deadline_s: float | None = None
    deadline_at: float = inf
    fail_at: float = inf
    """When a request that a backend lost gives up waiting for another one."""
    tries: int = 0
    bound_revision: int | None = None
    """Of its newest attempt."""
    order: int | None = None
    """Of its newest attempt."""
    attempt: Attempt | None = None
    """The prompt that counts; None while the request waits."""
    only: str | None = None
    """The backend of a warm-up, which goes nowhere else."""
    avoided: frozenset[str] = frozenset()
    """Backends that lost it, or where it failed: it is tried there again only if there is no other."""
    lane: Lane | None = None
    """Where it waits."""
    sequence: Sequence | None = None
    """Of a sequence: where its frames are. Itself it neither waits nor has an attempt."""
    part_of: Request | None = None
    """Of a frame, which is a request of its own here, with a negative number: its sequence."""
    index: int | None = None
    """Of a frame."""
    tried_at: list[str] = field(default_factory=list)
    """The backends where a frame was tried, in order."""

    @property
    def key(self) -> float:
        """Its place among those that wait; the smallest is first."""
        return policy.order_key(self.priority, self.accepted_at)

    @property
    def mode(self) -> Mode:
        """The mode whose rules it follows: every frame of a sequence is made and shown, whatever its stream does."""
        is_sequence = self.sequence is not None or self.part_of is not None
        return Mode.ONESHOT if is_sequence else self.stream.config.mode

    @property
    def submitted_as(self) -> int:
        """The number by which the outside knows it."""
        return self.number if self.part_of is None else self.part_of.number

    @property
    def may_try_again(self) -> bool:
        """True if it may be posted once more, after a backend lost or refused it."""
        return self.only is None and policy.may_try_again(self.tries)


@dataclass(slots=True, eq=False)
class Attempt:
    """One prompt at one backend."""

    number: int
    request: Request
    backend: Backend
    cost_key: Hashable
    late: bool
    revision: int
    submitted_at: float
    order: int
    """Its place among the stream's results: its number, or that of the first try with the same values."""
    cold: bool = False
    """Its workflow and size were not run at its backend lately: something has to be loaded first."""
    expected_s: float = placement.UNKNOWN_S
    """What it was expected to take when it was submitted, loading included."""
    posted_at: float | None = None
    started_at: float | None = None
    withdrawn: bool = False
    ended: bool = False
    released: bool = False
    complete: bool = False
    """All its pictures were released."""

    def prepared(self, now: float) -> None:
        """All that it needs is at the backend: that took this stream's time, and the prompt's own way begins."""
        self.backend.estimates.add_preparation(self.request.stream.number, now - self.submitted_at)
        self.submitted_at = now

    def arrived(self, now: float) -> None:
        """The backend has the prompt: note how long its way was, the first time that this is heard."""
        if self.posted_at is None and self.started_at is None:
            self.backend.estimates.add_lead(now - self.submitted_at)


@dataclass(slots=True, eq=False)
class Backend:
    """One ComfyUI, and our prompts there in the order in which they were posted."""

    name: str
    open: bool = False
    """False while doubted or down: nothing is submitted."""
    doubted_at: float = inf
    """Since when it is in doubt; `inf` while it is not."""
    drained: bool = False
    """An operator wants it empty: nothing is submitted, open or not."""
    mute: bool = False
    prompts: list[Attempt] = field(default_factory=list)
    withdrawing: int = 0
    """How many of them are withdrawn."""
    estimates: Estimates = field(default_factory=Estimates)
    breaker: Breaker = field(default_factory=Breaker)
    recent: tuple[Hashable, ...] = ()
    """Cost keys of which the models are there, the newest last, once all prompts there have run."""
    loads_again_at: float = -inf
    """Until then it uses what it has loaded, if there is work for that."""
    costs: dict[Hashable, tuple[float, float]] = field(default_factory=dict)
    """By cost key what a prompt takes here and what loading adds, worked out since either was last told."""
    done: int = 0
    failed: int = 0
    lost: int = 0

    @property
    def takes(self) -> bool:
        """True if something may be submitted there."""
        return self.open and not self.drained

    def active(self) -> list[Attempt]:
        """The prompts that still count."""
        return [prompt for prompt in self.prompts if not prompt.withdrawn]

    def has_room(self) -> bool:
        """True if one more prompt may be posted there."""
        return policy.has_room(len(self.prompts) - self.withdrawing, self.withdrawing)

    def free_s(self, now: float) -> float:
        """In how many seconds all that is there will be done, as far as anybody knows."""
        seconds = 0.0
        for prompt in self.prompts:
            if prompt.started_at is None:
                seconds += 0.0 if prompt.withdrawn else prompt.expected_s
            elif prompt.withdrawn:
                seconds += placement.INTERRUPT_S
            else:
                seconds += placement.remaining(prompt.expected_s, now - prompt.started_at)
        return seconds

    def expected_end(self, before: Attempt | None = None) -> float | None:
        """When the prompt that runs (before `before`, if given) will end; None if none runs or nobody knows."""
        for attempt in self.prompts:
            if attempt is before:
                return None
            if attempt.started_at is not None:
                duration = None if attempt.withdrawn else self.estimates.duration(attempt.cost_key)
                return None if duration is None else attempt.started_at + duration
        return None


class Running(NamedTuple):
    """A prompt that runs: of which stream, since when, and how long such ones take (seconds, None: none ever ended)."""

    stream: int
    started_at: float
    known_s: float | None


def new_request(event: RequestAdded, stream: Stream, now: float) -> Request:
    """A request as it is accepted."""
    return Request(
        event.request,
        stream,
        event.revision,
        accepted_at=now,
        priority=event.priority,
        deadline_s=event.deadline_s,
        only=event.backend,
    )


def running_prompts(backends: Iterable[Backend], known: Estimates) -> list[Running]:
    """The prompts that run and still count; a warm-up of what is `known` already doesn't."""
    return [
        Running(prompt.request.stream.number, prompt.started_at, backend.estimates.duration(prompt.cost_key))
        for backend in backends
        for prompt in backend.active()
        if prompt.started_at is not None and not (prompt.request.only and known.duration(prompt.cost_key) is not None)
    ]


class Place(NamedTuple):
    """How one backend stands, for a person or a program that watches; times in seconds."""

    open: bool
    drained: bool
    mute: bool
    broken_until: float | None
    """When its breaker lets the next prompt through; None: it holds nothing back."""
    running: int
    waiting: int
    free_s: float
    """In how long all that is there is expected to be done."""
    done: int
    failed: int
    lost: int
    durations: Mapping[Hashable, float]
    """The median of each workflow and size that ran there."""
    warm: tuple[Hashable, ...]
    """The workflows and sizes whose models are taken to be there, the newest last."""


def place_of(backend: Backend, now: float) -> Place:
    """How a backend stands at `now`."""
    running = sum(prompt.started_at is not None for prompt in backend.prompts)
    return Place(
        backend.open,
        backend.drained,
        backend.mute,
        None if backend.breaker.closed else backend.breaker.until,
        running,
        len(backend.prompts) - running,
        backend.free_s(now),
        backend.done,
        backend.failed,
        backend.lost,
        backend.estimates.durations(),
        backend.recent,
    )
