"""What is to be posted next, and where: choices made by looking at the state, which they leave as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from bridge.scheduler import policy
from bridge.scheduler.state import Attempt, Backend, Request, Stream
from bridge.types import Mode


class Submission(NamedTuple):
    """A waiting request, or a live stream that is due for a picture, and the backend that takes it."""

    work: Request | Stream
    backend: Backend


class Refresh(NamedTuple):
    """A posted prompt whose values are out of date; `newer` is the run that takes its place, if there is one."""

    attempt: Attempt
    newer: Request | None


def choose_submission(
    first: Request | None, streams: Iterable[Stream], backends: Mapping[str, Backend], now: float
) -> tuple[Submission | None, float]:
    """Give what may be submitted at `now` and when to look again if nothing may (`inf`: when something happens).

    `first` is the first of the waiting requests.
    """
    open_backends = [backend for backend in backends.values() if backend.open]
    if not open_backends:
        return None, inf
    work, wake_at = _first_work(first, streams, now)
    if work is None:
        return None, wake_at
    stream = work if isinstance(work, Stream) else work.stream
    only = None if isinstance(work, Stream) else work.only
    late = only is None and policy.binds_late(stream.config.mode, isinstance(work, Stream))
    key = stream.config.cost_key
    for place in policy.prefer(policy.Place(b.name, len(b.prompts), b.estimates.duration(key)) for b in open_backends):
        backend = backends[place.backend]
        if only is not None and backend.name != only:
            continue
        active = backend.active()
        if not policy.has_room(len(active), len(backend.prompts) - len(active)):
            continue
        if late and any(prompt.request.stream is stream and prompt.started_at is None for prompt in active):
            continue  # this stream's next picture waits there already; it is bound again, not doubled
        at = policy.submit_at(
            in_flight=len(backend.prompts),
            late=late,
            expected_end=backend.expected_end(),
            lead_s=backend.estimates.lead(key, stream.number),
        )
        if at <= now:
            return Submission(work, backend), wake_at
        wake_at = min(wake_at, at)
    return None, wake_at


def _first_work(first: Request | None, streams: Iterable[Stream], now: float) -> tuple[Request | Stream | None, float]:
    """Give the waiting request or live stream that comes first by priority and age."""
    best: Request | Stream | None = first
    best_key = inf if first is None else first.key
    wake_at = inf
    for stream in streams:
        if stream.config.mode is not Mode.LIVE or not stream.viewers or stream.waiting or stream.holds_back:
            continue
        if stream.bound_revision == stream.revision and not policy.goes_on(
            stream.config.varies, stream.changed_at, stream.config.idle_after_s, now
        ):
            continue
        due = max(stream.next_generation, stream.hold_until)
        if due > now:
            wake_at = min(wake_at, due)
            continue
        key = policy.order_key(policy.GENERATION_PRIORITY, max(stream.dirty_since, due))
        if key < best_key:
            best, best_key = stream, key
    return best, wake_at


def choose_refresh(
    requests: Mapping[int, Request], backends: Iterable[Backend], now: float
) -> tuple[Refresh | None, float]:
    """Give a waiting late-bound prompt to be posted again with newer values, and when to look again if none is due."""
    wake_at = inf
    for backend in backends:
        if not backend.open or len(backend.prompts) > policy.RUNNING_AND_WAITING:
            continue
        for attempt in backend.prompts:
            if attempt.withdrawn or not attempt.late or attempt.started_at is not None or attempt.posted_at is None:
                continue
            newer = _newer_run(requests, attempt.request)
            if newer is None and attempt.revision == attempt.request.stream.revision:
                continue
            if _is_behind(requests, attempt):
                continue  # bound again it would come after a newer run, and be an older one's picture
            at = policy.refresh_at(
                posted_at=attempt.posted_at,
                expected_start=backend.expected_end(before=attempt),
                estimate_s=backend.estimates.duration(attempt.cost_key),
                lead_s=backend.estimates.lead(attempt.cost_key, attempt.request.stream.number),
                now=now,
            )
            if at <= now:
                return Refresh(attempt, newer), wake_at
            wake_at = min(wake_at, at)
    return None, wake_at


def _is_behind(requests: Mapping[int, Request], attempt: Attempt) -> bool:
    """True if a newer run of the same `latest` stream was shown, or is at another backend already."""
    request, stream = attempt.request, attempt.request.stream
    if request.generation or not policy.replaces_waiting(stream.config.mode):
        return False
    return policy.is_stale(stream.config.mode, attempt.order, stream.last_released) or any(
        other.stream is stream and other.attempt is not None and other.number > request.number
        for other in requests.values()
    )


def _newer_run(requests: Mapping[int, Request], request: Request) -> Request | None:
    """The run that waits behind a posted `latest` request of the same stream."""
    if request.generation or not request.stream.waiting or not policy.replaces_waiting(request.stream.config.mode):
        return None
    for other in requests.values():
        if other.stream is request.stream and other.attempt is None and other.number > request.number:
            return other
    return None
