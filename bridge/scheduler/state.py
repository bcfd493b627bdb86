"""What the scheduler knows of streams, requests, attempts and backends."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from bridge.scheduler import policy
from bridge.scheduler.estimates import Estimates
from bridge.scheduler.events import RequestAdded, StreamConfigured

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
    """Requests in the queue."""
    posted: int = 0
    """Requests that have an attempt, warm-ups left out."""

    @property
    def holds_back(self) -> bool:
        """True while the next picture waits for the one that it is made of."""
        return self.config.chained and self.posted > 0


@dataclass(slots=True, eq=False)
class Request:
    """One request between its acceptance and its terminal answer."""

    number: int
    stream: Stream
    revision: int
    accepted_at: float
    key: float
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
    posted_at: float | None = None
    started_at: float | None = None
    withdrawn: bool = False
    ended: bool = False
    released: bool = False

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
    open: bool = True
    """False while doubted or down: nothing is submitted."""
    prompts: list[Attempt] = field(default_factory=list)
    estimates: Estimates = field(default_factory=Estimates)

    def active(self) -> list[Attempt]:
        """The prompts that still count."""
        return [prompt for prompt in self.prompts if not prompt.withdrawn]

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
        key=policy.order_key(event.priority, now),
        deadline_s=event.deadline_s,
        only=event.backend,
    )


def running_prompts(backends: Collection[Backend]) -> list[Running]:
    """The prompts that run and still count; a warm-up whose workflow and size another backend has warm doesn't."""
    return [
        Running(prompt.request.stream.number, prompt.started_at, backend.estimates.duration(prompt.cost_key))
        for backend in backends
        for prompt in backend.active()
        if prompt.started_at is not None and not (prompt.request.only and is_warm(backends, prompt.cost_key))
    ]


def is_warm(backends: Iterable[Backend], cost_key: Hashable) -> bool:
    """True once a prompt of this key has run to its end somewhere."""
    return any(backend.estimates.duration(cost_key) is not None for backend in backends)
