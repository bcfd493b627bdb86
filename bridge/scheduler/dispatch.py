"""What is to be posted next, and where: choices made by looking at the ledger, which they leave as it is.

Work is looked at in the order of priority and age. Each piece goes to the backend where it is expected to be done
first, at once or when that backend will be ready for it; what comes behind it reckons with that. So nothing that can
go nowhere now holds up anything that can, and nothing takes a place away that a piece before it waits for.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import inf, isfinite
from typing import Final, NamedTuple

from bridge.scheduler import placement, policy
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Attempt, Backend, Lane, Request, Stream
from bridge.types import Mode

LOOK_AHEAD: Final = 64
"""Pieces of work looked at in one choice. Each stream has one, and few have more."""

LOOK_AGAIN_S: Final = 0.05
"""A backend that is waited for beside others that could begin may be late: then the choice is another one."""


class Submission(NamedTuple):
    """A waiting request, or a live stream that is due for a picture, and the backend that takes it."""

    work: Request | Stream
    backend: Backend


class Refresh(NamedTuple):
    """A posted prompt whose values are out of date; `newer` is the run that takes its place, if there is one."""

    attempt: Attempt
    newer: Request | None


class _Work(NamedTuple):
    """The first of a lane, or a live stream that is due (`lane` None)."""

    rank: tuple[float, float, float, float]
    """By turns, then who had none for longer, and within a stream by priority and age."""
    stream: Stream
    lane: Lane | None
    priority: int = policy.GENERATION_PRIORITY

    @property
    def late(self) -> bool:
        """True if its values are bound when it is posted."""
        if self.lane is None:
            return True
        return self.lane.only is None and not self.lane.frames and policy.binds_late(self.stream.config.mode, False)


class _Place:
    """One open backend while a choice is made; `free_s` grows by what is expected to go there before others."""

    __slots__ = ("backend", "costs", "free_s", "in_flight", "room")

    def __init__(self, backend: Backend, now: float) -> None:
        self.backend = backend
        self.costs: dict[Hashable, tuple[float, float]] = {}
        self.in_flight = len(backend.prompts)
        self.room = backend.has_room()
        self.free_s = backend.free_s(now) if self.in_flight else 0.0


# --- what is known -----------------------------------------------------------------------------------------------


def expected(ledger: Ledger, backend: Backend, cost_key: Hashable) -> tuple[float, float]:
    """Give what a prompt takes at a backend, and what loading adds to it, in seconds."""
    known = backend.costs.get(cost_key)
    if known is not None:
        return known
    pool_s = ledger.known.duration(cost_key)
    takes_s = backend.estimates.duration(cost_key)
    warm = cost_key in backend.recent
    here_s = backend.estimates.load(cost_key)
    load_s = placement.load_time(warm, here_s, ledger.known.load(cost_key), pool_s)
    if takes_s is None:
        return placement.UNKNOWN_S if pool_s is None else pool_s, load_s
    if warm or here_s is not None:  # nothing of it is others'
        backend.costs[cost_key] = takes_s, load_s
    return takes_s, load_s


def has_place(ledger: Ledger, request: Request) -> bool:
    """True if a waiting request is only waiting for its turn: a backend is there that it may go to."""
    if request.only is not None:
        return any(backend.takes and backend.name == request.only for backend in ledger.backends.values())
    return bool(_fitting(ledger, request.stream))


def _fitting(ledger: Ledger, stream: Stream) -> list[str] | None:
    """The open backends that a stream's work may go to; None if it waits for one that is down."""
    takes = (backend.name for backend in ledger.backends.values() if backend.takes)
    return placement.fitting(takes, stream.unfit, _down(ledger) if stream.unfit else ())


def _down(ledger: Ledger) -> list[str]:
    return [backend.name for backend in ledger.backends.values() if not backend.open and not backend.drained]


# --- the next prompt ---------------------------------------------------------------------------------------------


def choose_submission(ledger: Ledger, now: float) -> tuple[Submission | None, float]:
    """Give what may be submitted at `now` and when to look again if nothing may (`inf`: when something happens)."""
    takes = [backend for backend in ledger.backends.values() if backend.open and not backend.drained]
    if not any(len(b.prompts) < policy.RUNNING_AND_WAITING or b.has_room() for b in takes):
        return None, inf
    return _Choice(ledger, takes, now).make()


class _Choice:
    """One look at all that waits."""

    def __init__(self, ledger: Ledger, backends: list[Backend], now: float) -> None:
        self._ledger = ledger
        self._backends = backends
        self._places: list[_Place] = []
        self._now = now
        self._broken = frozenset(
            backend.name
            for backend in backends
            if backend.breaker.until != -inf
            and not placement.is_free(False, backend.breaker.until, len(backend.prompts), now)
        )
        self._wake_at = inf
        self._near: list[_Place] | None = None
        """The places that something bound late may go to at this moment, once that is asked."""
        self._near_at = inf
        """When there will be one more."""
        self._has_fixed = False
        """True if there is work that could take the place that late-bound work waits for."""
        self._queues: list[_Work] = []
        """Work that waits for a better place than there is, with more of its kind behind it."""

    def make(self) -> tuple[Submission | None, float]:
        works = self._works()
        if not works:
            return None, self._wake_at
        self._places = [_Place(backend, self._now) for backend in self._backends]
        self._has_fixed = any(not work.late for work in works)
        for place in self._places if self._broken else ():
            if place.room and self._now < place.backend.breaker.until:
                self._wake_at = min(self._wake_at, place.backend.breaker.until)
        for work in works:
            if not any(place.room for place in self._places):
                break  # the others have nothing to choose from, until something happens
            found = self._find(work)
            if found is not None:
                return Submission(self._first(self._instead(work, found, works)), found.backend), self._wake_at
        for work in self._queues:
            helper = self._helper(work)
            if helper is not None:
                return helper, self._wake_at
        return None, self._wake_at

    def _instead(self, work: _Work, place: _Place, works: list[_Work]) -> _Work:
        """The work that goes to a place: this one, or one behind it of what is warm there.

        So that a backend which has just loaded something makes use of it, and isn't made to load for every prompt.
        """
        backend = place.backend
        if work.stream.config.cost_key in backend.recent or self._now >= backend.loads_again_at:
            return work
        for other in works:
            lane = other.lane
            if (
                lane is not None
                and lane.only is None
                and other.stream.config.cost_key in backend.recent
                and other.priority >= work.priority
                and place in self._candidates(other)
                and self._ready_at(other, place, other.late) <= self._now
            ):
                return other
        return work

    def _works(self) -> list[_Work]:
        """What waits, by priority and age; each stream's own share of turns counts as age."""
        works: list[_Work] = []
        for lane in self._ledger.agenda.lanes():
            stream = lane.stream
            if lane.only is None and stream.holds_back:
                continue
            first = self._ledger.agenda.request(lane)
            last_turn = stream.last_turn if lane.only is None else -inf
            turn = policy.turn_key(first.priority, first.accepted_at, last_turn)
            works.append(_Work((turn, last_turn, *lane.entries[0]), stream, lane, first.priority))
        for stream in self._ledger.streams.values():
            if stream.config.mode is Mode.LIVE and (rank := self._due(stream)) is not None:
                works.append(_Work(rank, stream, None))
        if len(works) > 1:
            works.sort(key=lambda work: work.rank)
        return works[:LOOK_AHEAD]

    def _due(self, stream: Stream) -> tuple[float, float, float, float] | None:
        """The rank of a live stream that is due for a picture of its own, None if it isn't."""
        if not stream.viewers or stream.waiting or stream.holds_back or stream.sequences:
            return None  # among what is to come in order there is nothing else
        config = stream.config
        if stream.bound_revision == stream.revision and not policy.goes_on(
            config.varies, stream.changed_at, config.idle_after_s, self._now
        ):
            return None
        due = max(stream.next_generation, stream.hold_until)
        if len(self._backends) > 1:
            known_s = self._ledger.known.duration(config.cost_key)
            due = max(due, stream.last_turn + placement.spacing(known_s, len(self._backends)))
        if due > self._now:
            self._wake_at = min(self._wake_at, due)
            return None
        since = max(stream.dirty_since, due)
        turn = policy.turn_key(policy.GENERATION_PRIORITY, since, stream.last_turn)
        return turn, stream.last_turn, policy.order_key(policy.GENERATION_PRIORITY, since), inf

    def _candidates(self, work: _Work) -> list[_Place]:
        """The places that a piece of work may go to now or soon."""
        lane, unfit = work.lane, work.stream.unfit
        only = None if lane is None else lane.only
        if only is not None:
            return [place for place in self._places if place.backend.name == only]
        avoided = frozenset[str]() if lane is None else lane.avoided
        if not unfit and not avoided and not self._broken:
            return self._places
        by_name = {place.backend.name: place for place in self._places}
        fit = placement.fitting(by_name, unfit, _down(self._ledger) if unfit else ())
        return [by_name[name] for name in placement.usable(fit or [], self._broken, avoided)]

    def _find(self, work: _Work) -> _Place | None:
        """Where a piece of work goes now. If nowhere, the place that it waits for is kept for it, and when to look."""
        late = work.late
        if late and not self._is_time_for_late() and not self._has_fixed:
            return None
        candidates = self._candidates(work)
        if not candidates:
            return None
        best = candidates[0] if len(candidates) == 1 else self._best(candidates, work.stream.config.cost_key)
        at = self._ready_at(work, best, late)
        if at <= self._now:
            return best
        takes_s, load_s = expected(self._ledger, best.backend, work.stream.config.cost_key)
        if isfinite(at):
            self._wake_at = min(self._wake_at, at)
        elif any(place.room and place is not best for place in candidates):
            self._wake_at = min(self._wake_at, self._now + max(LOOK_AGAIN_S, 0.25 * takes_s))
            if not late and work.lane is not None and len(work.lane.entries) > 1:
                self._queues.append(work)
        best.room = False
        best.free_s += load_s + takes_s
        return None

    def _best(self, places: list[_Place], cost_key: Hashable) -> _Place:
        """Where a prompt is done first; of equals the emptiest, then the fastest, then by name."""
        best, best_order = places[0], (inf, 0, 0.0, "")
        for place in places:
            cost = place.costs.get(cost_key)
            if cost is None:  # asked once for all streams that make the same
                cost = place.costs[cost_key] = expected(self._ledger, place.backend, cost_key)
            takes_s, load_s = cost
            done_s = place.free_s + load_s + takes_s
            if place.backend.mute:
                done_s += placement.MUTE_S
            if done_s <= best_order[0]:
                order = (done_s, place.in_flight, takes_s, place.backend.name)
                if order < best_order:
                    best, best_order = place, order
        return best

    def _first(self, work: _Work) -> Request | Stream:
        return work.stream if work.lane is None else self._ledger.agenda.request(work.lane)

    def _helper(self, work: _Work) -> Submission | None:
        """A place that nobody else waits for, and the request far enough back in its lane to be done sooner there."""
        candidates = self._candidates(work)
        free = [place for place in candidates if place.room]
        if not free or work.lane is None:
            return None
        key = work.stream.config.cost_key
        place = self._best(free, key)
        # The first of every lane, this one's too, is in the others' time already.
        ahead = placement.ahead(self._offer(place, key), (self._offer(p, key) for p in candidates if p is not place))
        if 1 + ahead >= len(work.lane.entries):
            return None
        return Submission(self._ledger.agenda.request(work.lane, 1 + int(ahead)), place.backend)

    def _offer(self, place: _Place, cost_key: Hashable) -> placement.Offer:
        takes_s, load_s = expected(self._ledger, place.backend, cost_key)
        return placement.Offer(place.free_s + placement.MUTE_S * place.backend.mute, takes_s, load_s)

    def _is_time_for_late(self) -> bool:
        """False while no backend with room is near enough to its end for anything bound late; sets when to look."""
        if self._near is None:
            self._near = []
            for place in self._places:
                if place.in_flight == 0:
                    self._near.append(place)
                elif place.room and (end := place.backend.expected_end()) is not None:
                    at = end - place.backend.estimates.longest_lead()
                    if at <= self._now:
                        self._near.append(place)
                    else:
                        self._near_at = min(self._near_at, at)
        self._near = [place for place in self._near if place.room]
        if self._near:
            return True
        self._wake_at = min(self._wake_at, self._near_at)
        return False

    def _ready_at(self, work: _Work, place: _Place, late: bool) -> float:
        """When a piece of work may be posted at a place; `inf`: when something happens there."""
        backend, stream = place.backend, work.stream
        if not place.room:
            return inf
        if late and any(
            prompt.request.stream is stream and prompt.started_at is None and not prompt.withdrawn
            for prompt in backend.prompts
        ):
            return inf  # this stream's next picture waits there already; it is bound again, not doubled
        return policy.submit_at(
            in_flight=place.in_flight,
            late=late,
            expected_end=backend.expected_end() if late and place.in_flight else None,
            lead_s=backend.estimates.lead(stream.config.cost_key, stream.number) if late else 0.0,
        )


# --- newer values ------------------------------------------------------------------------------------------------


def choose_refresh(ledger: Ledger, now: float) -> tuple[Refresh | None, float]:
    """Give a waiting late-bound prompt to be posted again with newer values, and when to look again if none is due."""
    wake_at = inf
    for attempt in ledger.late.values():
        backend, stream = attempt.backend, attempt.request.stream
        if attempt.posted_at is None or not backend.takes or len(backend.prompts) > policy.RUNNING_AND_WAITING:
            continue
        if backend.name in stream.unfit and backend.name not in (_fitting(ledger, stream) or ()):
            continue
        newer = _newer_run(attempt.request)
        if newer is None and attempt.revision == stream.revision:
            continue
        if _is_behind(attempt):
            continue  # bound again it would come after a newer run, and be an older one's picture
        at = policy.refresh_at(
            posted_at=attempt.posted_at,
            expected_start=backend.expected_end(before=attempt),
            estimate_s=backend.estimates.duration(attempt.cost_key),
            lead_s=backend.estimates.lead(attempt.cost_key, stream.number),
            now=now,
        )
        if at <= now:
            return Refresh(attempt, newer), wake_at
        wake_at = min(wake_at, at)
    return None, wake_at


def _is_behind(attempt: Attempt) -> bool:
    """True if a newer run of the same `latest` stream was shown, or is at another backend already."""
    request, stream = attempt.request, attempt.request.stream
    if request.generation or not policy.replaces_waiting(stream.config.mode):
        return False
    return policy.is_stale(stream.config.mode, attempt.order, stream.last_released) or any(
        other.attempt is not None and other.number > request.number for other in stream.requests.values()
    )


def _newer_run(request: Request) -> Request | None:
    """The run that waits behind a posted `latest` request of the same stream."""
    if request.generation or not request.stream.waiting or not policy.replaces_waiting(request.stream.config.mode):
        return None
    for other in request.stream.requests.values():
        if other.lane is not None and other.only is None and other.part_of is None and other.number > request.number:
            return other
    return None
