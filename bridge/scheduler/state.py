"""What the scheduler knows of streams, requests, attempts and backends, and the ordered lists it keeps of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from bridge.scheduler.estimates import Estimates
from bridge.scheduler.events import StreamConfigured

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
    next_generation: float = -inf
    hold_until: float = -inf
    failures: int = 0
    last_released: int = 0
    """The `order` of the newest attempt of which a picture was shown."""
    waiting: int = 0
    """Requests in the queue."""


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


class OrderedNumbers:
    """Request numbers by a key, smallest first, where entries that no longer hold are skipped, not searched for.

    Args:
        holds: tells whether (key, number) still says something true. Entries that don't are dropped when they come
            to the front, and all of them whenever they outnumber the others.
    """

    def __init__(self, holds: Callable[[float, int], bool]) -> None:
        self._holds = holds
        self._heap: list[tuple[float, int]] = []
        self._sweep_at = 64

    def push(self, key: float, number: int) -> None:
        """Add an entry."""
        heapq.heappush(self._heap, (key, number))
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if self._holds(*entry)]
            heapq.heapify(self._heap)
            self._sweep_at = max(64, 2 * len(self._heap))

    def first(self) -> tuple[float, int] | None:
        """Give the entry with the smallest key that still holds, and keep it."""
        while self._heap and not self._holds(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def pop(self) -> None:
        """Drop the entry that `first` gave."""
        heapq.heappop(self._heap)
