"""Which request goes to which backend, and when: events in, commands out, no clock and no I/O.

The caller owns one `Scheduler`, calls `handle(event, now)` for all that happens and `handle_timer(now)` when
`next_deadline()` has come, and carries out the commands in order. It asks `wants(attempt)` before it decodes a
picture and `release(attempt)` before it shows one.

Theory of operation. A request is *waiting*, then it has an *attempt* (a prompt at a backend), then its pictures are
*settling* (the backend is done, decoding is not), then it has its one terminal answer and is forgotten. An attempt
that stops counting (superseded, cancelled, expired, bound again) is *withdrawn*: it takes a place at its backend
until the backend says that it is gone, but its result is dropped. A live stream's own pictures are requests too,
made here. Rules are in `policy`, choices in `dispatch`, who is
first in `agenda`, what was learned of durations in `estimates`.
"""

from __future__ import annotations

from math import inf

from bridge.errors import BackendError, TexbridgeError
from bridge.scheduler import policy
from bridge.scheduler.agenda import Agenda
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
    BackendRemoved,
    BackendUp,
    Command,
    Event,
    Finish,
    Panicked,
    RequestAdded,
    RequestCancelled,
    ResultSettled,
    Resumed,
    StreamClosed,
    StreamConfigured,
    Submit,
    ValuesChanged,
    ViewersChanged,
    Withdraw,
)
from bridge.scheduler.faults import lost_at, nowhere_to_go
from bridge.scheduler.state import (
    NEVER_BOUND,
    Attempt,
    Backend,
    Request,
    Running,
    Stream,
    is_warm,
    new_request,
    running_prompts,
)
from bridge.types import Mode, Outcome


class Scheduler:
    """The scheduler of one bridge.

    Args:
        backend_lost_after_s: how long a request that was already posted waits for another backend, seconds.
        first_request: the first number given by `take_number`.
    """

    def __init__(self, *, backend_lost_after_s: float = 2.0, first_request: int = 1) -> None:
        self._backend_lost_after_s = backend_lost_after_s
        self._next_request = first_request
        self._next_attempt = 1
        self._streams: dict[int, Stream] = {}
        self._backends: dict[str, Backend] = {}
        self._requests: dict[int, Request] = {}
        self._attempts: dict[int, Attempt] = {}
        self._agenda = Agenda(self._requests)
        self._panicked = False
        self._wake_at = inf
        self._commands: list[Command] = []

    # --- the four calls ------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event and give the commands that follow, to be carried out in order.

        Events about attempts, requests, streams or backends that are not known (any more) are ignored.
        """
        match event:
            case AttemptStarted():
                self._started(event.attempt, now)
            case AttemptPosted():
                self._posted(event.attempt, now)
            case AttemptPrepared() if (attempt := self._attempts.get(event.attempt)) is not None:
                attempt.prepared(now)
            case AttemptEnded():
                self._ended(event, now)
            case ResultSettled():
                self._settled(event, now)
            case ValuesChanged():
                self._values_changed(event.stream, event.revision, now)
            case RequestAdded():
                self._added(event, now)
            case RequestCancelled():
                self._end_request(event.request, Outcome.CANCELLED)
            case AttemptRefused():
                self._refused(event, now)
            case AttemptWithdrawn() | AttemptLost():
                self._lost(event.attempt, now)
            case BackendUp():
                self._backend_up(event.backend, now)
            case BackendDoubted():
                self._shut(event.backend)
            case BackendDown() | BackendRemoved():
                self._backend_down(event, now)
            case StreamConfigured():
                self._configured(event, now)
            case ViewersChanged():
                self._viewers_changed(event, now)
            case StreamClosed():
                self._closed(event.stream)
            case Panicked():
                self._panicked = True
                for number in list(self._requests):
                    self._end_request(number, Outcome.CANCELLED)
            case Resumed():
                self._panicked = False
        return self._finish_step(now)

    def handle_timer(self, now: float) -> list[Command]:
        """Do what is due at `now`; call it at `next_deadline()`, earlier or later does no harm."""
        return self._finish_step(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called if nothing happens before, or None."""
        at = min(self._wake_at, self._agenda.next_deadline())
        return None if at == inf else at

    @property
    def next_number(self) -> int:
        """The request number that `take_number` would give."""
        return self._next_request

    def take_number(self) -> int:
        """Give the next request number, for a `RequestAdded` to come."""
        number = self._next_request
        self._next_request += 1
        return number

    # --- questions -----------------------------------------------------------------------------------------

    def wants(self, attempt: int) -> bool:
        """True if a picture of this attempt would be released now."""
        known = self._attempts.get(attempt)
        return (
            known is not None
            and not known.withdrawn
            and not self._panicked
            and not policy.is_stale(known.request.stream.config.mode, known.order, known.request.stream.last_released)
        )

    def release(self, attempt: int) -> bool:
        """True if a picture of this attempt may be shown; it then counts as the newest of its stream."""
        if not self.wants(attempt):
            return False
        known = self._attempts[attempt]
        known.released = True
        stream = known.request.stream
        stream.last_released = max(stream.last_released, known.order)
        stream.failures = 0
        return True

    def is_older(self, attempt: int, other: int) -> bool:
        """True if the values of `attempt` were bound before those of `other`; unknown ones are older than none."""
        one, two = self._attempts.get(attempt), self._attempts.get(other)
        return one is not None and two is not None and one.order < two.order

    def waiting(self, stream: int) -> int:
        """How many runs of this stream wait to be posted, for the limit in `policy.waiting_limit`."""
        known = self._streams.get(stream)
        return 0 if known is None else known.waiting

    def open_requests(self) -> int:
        """How many requests have no terminal answer yet, live generations included."""
        return len(self._requests)

    def running(self) -> list[Running]:
        """The prompts that run now, withdrawn ones left out."""
        return running_prompts(self._backends.values())

    def is_idle(self, backend: str) -> bool:
        """True if a backend takes prompts and has none of ours."""
        known = self._backends.get(backend)
        return known is not None and known.open and not known.prompts

    # --- streams and requests ------------------------------------------------------------------------------

    def _configured(self, event: StreamConfigured, now: float) -> None:
        stream = self._streams.get(event.stream)
        if stream is None:
            self._streams[event.stream] = Stream(event.stream, event, revision=event.revision, dirty_since=now)
            return
        self._values_changed(event.stream, event.revision, now)
        if stream.config.cost_key != event.cost_key or (event.mode is Mode.LIVE and stream.config.mode != Mode.LIVE):
            # Another workflow or size, or live again: the picture there is none of the values there are.
            stream.bound_revision = NEVER_BOUND
            stream.dirty_since = stream.changed_at = now
        if event.max_fps != stream.config.max_fps:
            stream.next_generation = -inf
        stream.config = event

    def _viewers_changed(self, event: ViewersChanged, now: float) -> None:
        stream = self._streams.get(event.stream)
        if stream is not None:
            if stream.viewers == 0 and event.viewers > 0:
                stream.dirty_since = stream.changed_at = now
            stream.viewers = event.viewers

    def _values_changed(self, number: int, revision: int, now: float) -> None:
        stream = self._streams.get(number)
        if stream is None or revision <= stream.revision:
            return
        if stream.bound_revision == stream.revision:
            stream.dirty_since = now
        stream.revision = revision
        stream.changed_at = now
        if stream.failures:
            # New values may well mend what failed: don't make them wait out a long hold.
            stream.hold_until = min(stream.hold_until, now + policy.FIRST_HOLD_S)

    def _closed(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            for request in [r for r in self._requests.values() if r.stream is stream]:
                self._end_request(request.number, Outcome.CANCELLED)

    def _added(self, event: RequestAdded, now: float) -> None:
        if event.request in self._requests:
            return
        self._next_request = max(self._next_request, event.request + 1)
        self._values_changed(event.stream, event.revision, now)  # a run may bring its values with it
        stream = self._streams.get(event.stream)
        if stream is None or self._panicked:
            self._commands.append(Finish(event.request, event.stream, Outcome.CANCELLED))
            return
        request = new_request(event, stream, now)
        if policy.replaces_waiting(stream.config.mode) and request.only is None:
            for other in [r for r in self._requests.values() if r.stream is stream and not r.generation]:
                if other.attempt is None:
                    self._end_request(other.number, Outcome.SUPERSEDED)
        self._requests[request.number] = request
        self._agenda.enqueue(request)
        if is_warm(self._backends.values(), stream.config.cost_key):
            self._agenda.arm(request, now)

    def _end_request(self, number: int, outcome: Outcome, error: TexbridgeError | None = None) -> None:
        """Give a request its terminal answer; a prompt that still runs or waits for it is withdrawn."""
        request = self._requests.pop(number, None)
        if request is None:
            return
        stream = request.stream
        if policy.still_owed(outcome, request.generation) and request.bound_revision == stream.bound_revision:
            stream.bound_revision = NEVER_BOUND
        if request.attempt is None:
            stream.waiting -= 1
        else:
            self._withdraw(request.attempt)
        self._commands.append(Finish(number, stream.number, outcome, error, request.generation))

    def _withdraw(self, attempt: Attempt) -> None:
        attempt.withdrawn = True
        if attempt.ended:
            self._attempts.pop(attempt.number, None)
        else:
            self._commands.append(Withdraw(attempt.number, attempt.backend.name))

    # --- attempts ------------------------------------------------------------------------------------------

    def _posted(self, number: int, now: float) -> None:
        attempt = self._attempts.get(number)
        if attempt is not None and attempt.posted_at is None and not attempt.ended:
            attempt.arrived(now)
            attempt.posted_at = now

    def _started(self, number: int, now: float) -> None:
        attempt = self._attempts.get(number)
        if attempt is None or attempt.started_at is not None or attempt.ended:
            return
        attempt.arrived(now)
        attempt.started_at = now

    def _over(self, number: int) -> Attempt | None:
        """Take an attempt off its backend; None if it is unknown or over already."""
        attempt = self._attempts.get(number)
        if attempt is None or attempt.ended:
            return None
        attempt.ended = True
        attempt.backend.prompts.remove(attempt)
        if attempt.withdrawn:
            del self._attempts[number]
        return attempt

    def _ended(self, event: AttemptEnded, now: float) -> None:
        attempt = self._over(event.attempt)
        if attempt is None:
            return
        if event.error is None and attempt.started_at is not None and not attempt.withdrawn:
            warm = is_warm(self._backends.values(), attempt.cost_key)
            attempt.backend.estimates.add_duration(attempt.cost_key, now - attempt.started_at)
            for request in () if warm else self._requests.values():  # deadlines count from the stream being warm
                if request.stream.config.cost_key == attempt.cost_key:
                    self._agenda.arm(request, now)
        if attempt.withdrawn or event.error is None:
            return
        retry = isinstance(event.error, BackendError) and event.error.retry
        self._failed(attempt, event.error, retry, now)

    def _refused(self, event: AttemptRefused, now: float) -> None:
        attempt = self._over(event.attempt)
        if attempt is not None and not attempt.withdrawn:
            self._failed(attempt, event.error, event.retry, now)

    def _failed(self, attempt: Attempt, error: TexbridgeError, retry: bool, now: float) -> None:
        request, stream = attempt.request, attempt.request.stream
        self._attempts.pop(attempt.number, None)
        if retry and not request.generation and request.may_try_again:
            self._wait_again(request)
            return
        if request.generation:
            stream.failures += 1
            stream.hold_until = now + policy.hold_after_failure(stream.failures)
        self._end_request(request.number, Outcome.FAILED, error)

    def _lost(self, number: int, now: float) -> None:
        attempt = self._over(number)
        if attempt is None or attempt.withdrawn:
            return
        del self._attempts[number]
        request = attempt.request
        error = lost_at(attempt.backend.name, request.number, request.tries)
        if request.generation:  # made anew, with newer values, as soon as a backend is there
            self._end_request(request.number, Outcome.FAILED, error)
        elif request.may_try_again:
            self._wait_again(request)
            self._agenda.fail_at(request, now + self._backend_lost_after_s)
        else:
            self._end_request(request.number, Outcome.FAILED, error)

    def _wait_again(self, request: Request) -> None:
        """Back into the queue with its old place, unless something newer was shown, or has taken its place."""
        request.attempt = None
        stream = request.stream
        self._agenda.enqueue(request)
        overtaken = request.order is not None and policy.is_stale(
            stream.config.mode, request.order, stream.last_released
        )
        if overtaken or (
            policy.replaces_waiting(stream.config.mode)
            and any(r.stream is stream and r.number > request.number for r in self._requests.values())
        ):
            self._end_request(request.number, Outcome.SUPERSEDED)

    def _settled(self, event: ResultSettled, now: float) -> None:
        attempt = self._attempts.get(event.attempt)
        if attempt is None or not attempt.ended:
            return
        if event.error is not None:
            self._failed(attempt, event.error, False, now)
            return
        stream = attempt.request.stream
        stale = policy.is_stale(stream.config.mode, attempt.order, stream.last_released)
        dropped = not attempt.released and (event.overtaken or stale)
        self._end_request(attempt.request.number, Outcome.SUPERSEDED if dropped else Outcome.DONE)

    # --- backends ------------------------------------------------------------------------------------------

    def _backend_up(self, name: str, now: float) -> None:
        backend = self._backends.setdefault(name, Backend(name))
        backend.open = True

    def _shut(self, name: str) -> Backend | None:
        """Submit nothing more at a backend until it is up again."""
        backend = self._backends.get(name)
        if backend is not None:
            backend.open = False
        return backend

    def _backend_down(self, event: BackendDown | BackendRemoved, now: float) -> None:
        backend = self._shut(event.backend)
        for attempt in [] if backend is None else list(backend.prompts):
            self._lost(attempt.number, now)
        if isinstance(event, BackendRemoved):
            self._backends.pop(event.backend, None)

    # --- the step ------------------------------------------------------------------------------------------

    def _finish_step(self, now: float) -> list[Command]:
        self._expire(now)
        self._wake_at = inf
        if not self._panicked:
            self._refresh(now)
            self._dispatch(now)
        commands, self._commands = self._commands, []
        return commands

    def _expire(self, now: float) -> None:
        while (request := self._agenda.take_due(now)) is not None:
            if request.deadline_at <= now:
                self._end_request(request.number, Outcome.EXPIRED)
            elif any(backend.open for backend in self._backends.values()):
                self._agenda.fail_at(
                    request, now + self._backend_lost_after_s
                )  # a backend is there: it waits for its turn, not for a backend
            else:
                error = nowhere_to_go(request.number, self._backend_lost_after_s)
                self._end_request(request.number, Outcome.FAILED, error)

    def _refresh(self, now: float) -> None:
        while True:
            refresh, wake_at = choose_refresh(self._requests, self._backends.values(), now)
            if refresh is None:
                self._wake_at = min(self._wake_at, wake_at)
                return
            attempt, newer = refresh
            request, backend = attempt.request, attempt.backend
            if newer is None and request.generation:
                newer = self._new_generation(request.stream, request.accepted_at)
            if newer is None:  # values were set without a run: the same request, with a newer attempt
                request.tries -= 1
                request.stream.waiting += 1
                self._submit(request, backend, now)
                self._withdraw(attempt)
            else:
                self._submit(newer, backend, now)
                self._end_request(request.number, Outcome.SUPERSEDED)

    def _dispatch(self, now: float) -> None:
        while True:
            submission, wake_at = choose_submission(
                self._agenda.first_waiting(), self._streams.values(), self._backends, now
            )
            if submission is None:
                self._wake_at = min(self._wake_at, wake_at)
                return
            work = submission.work
            if isinstance(work, Stream):
                stream = work
                work = self._new_generation(stream, stream.dirty_since)
                stream.next_generation = policy.next_generation_at(stream.next_generation, now, stream.config.max_fps)
            self._submit(work, submission.backend, now)

    def _new_generation(self, stream: Stream, dirty_since: float) -> Request:
        request = Request(
            self.take_number(),
            stream,
            stream.revision,
            accepted_at=dirty_since,
            key=policy.order_key(policy.GENERATION_PRIORITY, dirty_since),
            generation=True,
        )
        self._requests[request.number] = request
        self._agenda.enqueue(request)
        return request

    def _submit(self, request: Request, backend: Backend, now: float) -> None:
        stream = request.stream
        late = request.only is None and policy.binds_late(stream.config.mode, request.generation)
        revision = stream.revision if late else request.revision
        number = self._next_attempt
        # The same values tried again are as old as they were: they keep their place among the results.
        order = number if late or request.order is None else request.order
        attempt = Attempt(number, request, backend, stream.config.cost_key, late, revision, now, order)
        self._next_attempt += 1
        self._attempts[attempt.number] = attempt
        backend.prompts.append(attempt)
        request.attempt = attempt
        request.order = order
        request.bound_revision = revision if request.only is None else None
        request.tries += 1
        request.fail_at = inf
        stream.waiting -= 1
        if attempt.revision == stream.revision and request.only is None:
            stream.bound_revision = attempt.revision
            stream.dirty_since = now
        self._commands.append(
            Submit(
                attempt.number,
                request.number,
                stream.number,
                backend.name,
                None if late else request.revision,
                request.generation,
            )
        )
