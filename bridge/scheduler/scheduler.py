"""Which request goes to which backend, and when: events in, commands out, no clock and no I/O.

The caller owns one `Scheduler`, calls `handle(event, now)` for all that happens and `handle_timer(now)` when
`next_deadline()` has come, and carries out the commands in order. It asks `wants(attempt)` before it decodes a
picture and `release(attempt)` before it shows one.

Theory of operation. A request is *waiting*, then it has an *attempt* (a prompt at a backend), then its pictures are
*settling* (the backend is done, decoding is not), then it has its one terminal answer and is forgotten. An attempt
that stops counting (superseded, cancelled, expired, bound again) is *withdrawn*: it takes a place at its backend
until the backend says that it is gone, but its result is dropped. A live stream's own pictures are requests too,
made here. What happens to whom stands in `streams`, `requests`, `sequences`, `attempts` and `backends`, which share
the `ledger`; rules are in `policy` (time) and `placement` (backends), choices in `dispatch`, who is first in `agenda`,
what was learned of durations in `estimates`, of failures in `breaker`.
"""

from __future__ import annotations

from math import inf

from bridge.scheduler import policy
from bridge.scheduler.attempts import AttemptEvents
from bridge.scheduler.backends import BackendEvents
from bridge.scheduler.dispatch import choose_refresh, choose_submission
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptPrepared,
    AttemptRefused,
    AttemptStarted,
    AttemptWithdrawn,
    BackendDoubted,
    BackendDown,
    BackendDrained,
    BackendKept,
    BackendMuted,
    BackendRemoved,
    BackendUp,
    Command,
    Event,
    Panicked,
    PlacesChanged,
    RequestAdded,
    RequestCancelled,
    RequestFailed,
    ResultSettled,
    Resumed,
    SequenceAdded,
    SequenceMoved,
    StreamClosed,
    StreamConfigured,
    ValuesChanged,
    ViewersChanged,
)
from bridge.scheduler.hung import choose_hung
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.requests import RequestEvents
from bridge.scheduler.sequences import SequenceEvents
from bridge.scheduler.state import Place, Running, Stream, place_of, running_prompts
from bridge.scheduler.streams import StreamEvents
from bridge.types import Outcome


class Scheduler:
    """The scheduler of one bridge.

    Args:
        backend_lost_after_s: how long a request that was already posted waits for another backend, seconds.
        first_request: the first number given by `take_number`.
    """

    def __init__(self, *, backend_lost_after_s: float = 2.0, first_request: int = 1) -> None:
        self._ledger = Ledger(backend_lost_after_s, first_request)
        self._streams = StreamEvents(self._ledger)
        self._requests = RequestEvents(self._ledger, self._streams)
        self._sequences = SequenceEvents(self._ledger, self._streams)
        self._attempts = AttemptEvents(self._ledger)
        self._backends = BackendEvents(self._ledger, self._attempts)
        self._wake_at = inf

    # --- the four calls ------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event and give the commands that follow, to be carried out in order.

        Events about attempts, requests, streams or backends that are not known (any more) are ignored.
        """
        match event:
            case AttemptStarted():
                self._attempts.started(event.attempt, now)
            case AttemptPosted():
                self._attempts.posted(event.attempt, now)
            case AttemptPrepared():
                self._attempts.prepared(event, now)
            case AttemptEnded():
                self._attempts.ended(event, now)
            case ResultSettled():
                self._attempts.settled(event, now)
            case ValuesChanged():
                self._streams.values_changed(event.stream, event.revision, now)
            case RequestAdded():
                self._requests.added(event, now)
            case SequenceAdded():
                self._sequences.added(event, now)
            case SequenceMoved():
                self._sequences.moved(event)
            case RequestFailed():
                self._ledger.end_request(event.request, Outcome.FAILED, event.error)
            case RequestCancelled():
                self._ledger.end_request(event.request, Outcome.CANCELLED, event.error)
            case AttemptRefused():
                self._attempts.refused(event, now)
            case AttemptWithdrawn() | AttemptLost():
                self._attempts.lost(event.attempt, now)
            case BackendUp():
                self._backends.up(event.backend)
            case BackendDoubted():
                self._backends.doubted(event.backend, now)
            case BackendDown() | BackendRemoved():
                self._backends.down(event, now)
            case BackendDrained() | BackendKept():
                self._backends.drained(event.backend, isinstance(event, BackendDrained))
            case BackendMuted():
                self._backends.muted(event)
            case PlacesChanged():
                self._streams.places_changed(event)
            case StreamConfigured():
                self._streams.configured(event, now)
            case ViewersChanged():
                self._streams.viewers_changed(event, now)
            case StreamClosed():
                self._streams.closed(event.stream)
            case Panicked():
                self._ledger.panicked = True
                self._requests.cancel_all()
            case Resumed():
                self._ledger.panicked = False
        return self._finish_step(now)

    def handle_timer(self, now: float) -> list[Command]:
        """Do what is due at `now`; call it at `next_deadline()`, earlier or later does no harm."""
        return self._finish_step(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called if nothing happens before, or None."""
        at = min(self._wake_at, self._ledger.agenda.next_deadline())
        return None if at == inf else at

    # --- questions -----------------------------------------------------------------------------------------

    def wants(self, attempt: int) -> bool:
        """True if a picture of this attempt would be released now."""
        return self._attempts.wants(attempt)

    def release(self, attempt: int, *, last: bool = False) -> bool:
        """True if a picture of this attempt may be shown, the `last` one or not; it then is its stream's newest."""
        return self._attempts.release(attempt, last=last)

    def is_older(self, attempt: int, other: int) -> bool:
        """True if the values of `attempt` were bound before those of `other`; unknown ones are older than none."""
        return self._attempts.is_older(attempt, other)

    @property
    def next_number(self) -> int:
        """The request number that `take_number` would give."""
        return self._ledger.next_request

    def take_number(self) -> int:
        """Give the next request number, for a `RequestAdded` to come."""
        return self._ledger.take_number()

    def waiting(self, stream: int) -> int:
        """How many runs of this stream wait to be posted, for the limit in `policy.waiting_limit`."""
        known = self._ledger.streams.get(stream)
        return 0 if known is None else known.waiting

    def open_requests(self) -> int:
        """How many requests have no terminal answer yet, live generations included."""
        return sum(request.part_of is None for request in self._ledger.requests.values())

    def running(self) -> list[Running]:
        """The prompts that run now, withdrawn ones left out."""
        return running_prompts(self._ledger.backends.values(), self._ledger.known)

    def is_idle(self, backend: str) -> bool:
        """True if a backend takes prompts and has none of ours."""
        known = self._ledger.backends.get(backend)
        return known is not None and known.takes and not known.prompts

    def place(self, backend: str, now: float) -> Place | None:
        """How a backend stands; None if it is not known."""
        known = self._ledger.backends.get(backend)
        return None if known is None else place_of(known, now)

    # --- the step ------------------------------------------------------------------------------------------

    def _finish_step(self, now: float) -> list[Command]:
        self._requests.expire(now)
        self._wake_at = inf
        if not self._ledger.panicked:
            self._move_on(now)
            self._refresh(now)
            self._dispatch(now)
        return self._ledger.take_commands()

    def _move_on(self, now: float) -> None:
        while True:
            attempt, wake_at = choose_hung(self._ledger, now)
            if attempt is None:
                self._wake_at = min(self._wake_at, wake_at)
                return
            self._attempts.move_on(attempt, now)
            self._dispatch(now)  # one by one: the next needs a place that is free then

    def _refresh(self, now: float) -> None:
        ledger = self._ledger
        while True:
            refresh, wake_at = choose_refresh(ledger, now)
            if refresh is None:
                self._wake_at = min(self._wake_at, wake_at)
                return
            attempt, newer = refresh
            request, backend = attempt.request, attempt.backend
            if newer is None and request.generation:
                newer = self._requests.new_generation(request.stream, request.accepted_at)
            if newer is None:  # values were set without a run: the same request, with a newer attempt
                request.tries -= 1
                self._attempts.submit(request, backend, now)
                ledger.withdraw(attempt)
            else:
                self._attempts.submit(newer, backend, now)
                ledger.end_request(request.number, Outcome.SUPERSEDED)

    def _dispatch(self, now: float) -> None:
        ledger = self._ledger
        while True:
            self._sequences.fill(now)
            submission, wake_at = choose_submission(ledger, now)
            if submission is None:
                self._wake_at = min(self._wake_at, wake_at)
                return
            work = submission.work
            if isinstance(work, Stream):
                stream = work
                work = self._requests.new_generation(stream, stream.dirty_since)
                stream.next_generation = policy.next_generation_at(stream.next_generation, now, stream.config.max_fps)
            self._attempts.submit(work, submission.backend, now)
