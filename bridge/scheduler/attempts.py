"""The life of an attempt: submitted, posted, started, over, its result settled; or refused, failed, lost."""

from __future__ import annotations

from math import inf

from bridge.errors import BackendError, ErrorCode, TexbridgeError
from bridge.scheduler import placement, policy
from bridge.scheduler.dispatch import expected
from bridge.scheduler.events import AttemptEnded, AttemptPrepared, AttemptRefused, ResultSettled, Submit
from bridge.scheduler.faults import lost_at
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Attempt, Backend, Request
from bridge.types import Outcome


class AttemptEvents:
    """Follows each prompt at its backend; unknown ones, and those that are over, are ignored."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # --- questions -----------------------------------------------------------------------------------------

    def wants(self, number: int) -> bool:
        """True if a picture of this attempt would be released now."""
        known = self._ledger.attempts.get(number)
        return (
            known is not None
            and not known.withdrawn
            and not self._ledger.panicked
            and not policy.is_stale(known.request.mode, known.order, known.request.stream.last_released)
        )

    def release(self, number: int, *, last: bool = False) -> bool:
        """True if a picture of this attempt may be shown; it then counts as the newest of its stream.

        `last` if no more are to come.
        """
        if not self.wants(number):
            return False
        known = self._ledger.attempts[number]
        known.released = True
        known.complete |= last
        stream = known.request.stream
        if known.request.part_of is None:
            stream.last_released = max(stream.last_released, known.order)
        stream.failures = 0
        return True

    def is_older(self, number: int, other: int) -> bool:
        """True if the values of one were bound before those of `other`; unknown ones are older than none."""
        one, two = self._ledger.attempts.get(number), self._ledger.attempts.get(other)
        return one is not None and two is not None and one.order < two.order

    # --- on its way ----------------------------------------------------------------------------------------

    def submit(self, request: Request, backend: Backend, now: float) -> None:
        """Make the next attempt of a waiting request, at a backend."""
        ledger, stream = self._ledger, request.stream
        late = request.only is None and policy.binds_late(request.mode, request.generation)
        revision = stream.revision if late else request.revision
        number = ledger.next_attempt
        ledger.next_attempt += 1
        # The same values tried again are as old as they were: they keep their place among the results.
        order = number if late or request.order is None else request.order
        cost_key = stream.config.cost_key
        cold = cost_key not in backend.recent
        takes_s, load_s = expected(ledger, backend, cost_key)
        before_s = backend.free_s(now) if cold else 0.0
        attempt = Attempt(
            number, request, backend, cost_key, late, revision, now, order, cold=cold, expected_s=takes_s + load_s
        )
        ledger.agenda.leave(request)
        ledger.attempts[attempt.number] = attempt
        if late:
            ledger.late[attempt.number] = attempt
        backend.prompts.append(attempt)
        if cold or backend.recent[-1] != cost_key:
            backend.recent = placement.use_key(backend.recent, cost_key)
            backend.costs.clear()
        if cold:
            backend.loads_again_at = placement.loads_again_at(now, before_s, load_s)
        if request.attempt is None and request.only is None:
            stream.posted += 1
        request.attempt = attempt
        request.order = order
        own = request.only is None and request.part_of is None  # of the stream's values as they were set
        request.bound_revision = revision if own else None
        request.tries += 1
        request.tried_at.append(backend.name)
        request.fail_at = inf
        if request.only is None:
            stream.last_turn = now
        if attempt.revision == stream.revision and own:
            stream.bound_revision = attempt.revision
            stream.dirty_since = now
        ledger.commands.append(
            Submit(
                attempt.number,
                request.submitted_as,
                stream.number,
                backend.name,
                None if late else request.revision,
                request.generation,
                request.index,
            )
        )

    def prepared(self, event: AttemptPrepared, now: float) -> None:
        """What the prompt needs is at the backend."""
        attempt = self._ledger.attempts.get(event.attempt)
        if attempt is not None:
            attempt.prepared(now)

    def posted(self, number: int, now: float) -> None:
        """ComfyUI took the prompt."""
        attempt = self._ledger.attempts.get(number)
        if attempt is not None and attempt.posted_at is None and not attempt.ended:
            attempt.arrived(now)
            attempt.posted_at = now

    def started(self, number: int, now: float) -> None:
        """ComfyUI runs the prompt."""
        attempt = self._ledger.attempts.get(number)
        if attempt is not None and attempt.started_at is None and not attempt.ended:
            attempt.arrived(now)
            attempt.started_at = now
            self._ledger.late.pop(number, None)

    # --- its end -------------------------------------------------------------------------------------------

    def ended(self, event: AttemptEnded, now: float) -> None:
        """The prompt is over at its backend; what it made, if it did not fail, is still to settle."""
        attempt = self._over(event.attempt)
        if attempt is None:
            return
        if event.error is None:
            self._succeeded(attempt, now)
        elif not attempt.withdrawn:
            retry = isinstance(event.error, BackendError) and event.error.retry
            self._blame(attempt, now, certain=False)
            self._failed(attempt, event.error, retry, now)

    def refused(self, event: AttemptRefused, now: float) -> None:
        """ComfyUI did not take the prompt."""
        attempt = self._over(event.attempt)
        if attempt is not None and not attempt.withdrawn:
            self._blame(attempt, now, certain=event.retry)
            self._failed(attempt, event.error, event.retry, now)

    def lost(self, number: int, now: float, *, with_backend: bool = False) -> None:
        """The prompt is gone: lost, or withdrawn before it ran; `with_backend` if its backend is gone as well."""
        ledger = self._ledger
        attempt = self._over(number)
        if attempt is None or attempt.withdrawn:
            return
        del ledger.attempts[number]
        attempt.backend.lost += 1
        if not with_backend:
            attempt.backend.breaker.failed(None, now)
        request = attempt.request
        error = lost_at(attempt.backend.name, request.submitted_as, request.tries)
        if self._is_shown(attempt):
            ledger.end_request(request.number, Outcome.DONE)
        elif request.generation:  # made anew, with newer values, as soon as a backend is there
            ledger.end_request(request.number, Outcome.FAILED, error)
        elif request.may_try_again:
            self._wait_again(request, attempt.backend)
            ledger.agenda.fail_at(request, now + ledger.backend_lost_after_s)
        else:
            ledger.end_request(request.number, Outcome.FAILED, error)

    def move_on(self, attempt: Attempt, now: float) -> None:
        """The prompt hangs where it is: its request is made elsewhere, and what comes of this one is dropped."""
        ledger, request, backend = self._ledger, attempt.request, attempt.backend
        backend.lost += 1
        backend.breaker.failed(None, now)
        if self._is_shown(attempt):
            ledger.end_request(request.number, Outcome.DONE)
            return
        if request.generation:
            error = lost_at(backend.name, request.submitted_as, request.tries)
            ledger.end_request(request.number, Outcome.FAILED, error)
            return
        ledger.withdraw(attempt)
        request.tries -= 1
        self._wait_again(request, backend)
        ledger.agenda.fail_at(request, now + ledger.backend_lost_after_s)

    def settled(self, event: ResultSettled, now: float) -> None:
        """Every picture of an ended attempt is shown or dropped: its request can be answered."""
        attempt = self._ledger.attempts.get(event.attempt)
        if attempt is None or not attempt.ended:
            return
        if event.error is not None:
            self._failed(attempt, event.error, isinstance(event.error, BackendError) and event.error.retry, now)
            return
        stream = attempt.request.stream
        stale = policy.is_stale(attempt.request.mode, attempt.order, stream.last_released)
        dropped = not attempt.released and (event.overtaken or stale)
        self._ledger.end_request(attempt.request.number, Outcome.SUPERSEDED if dropped else Outcome.DONE)

    def _over(self, number: int) -> Attempt | None:
        """Take an attempt off its backend; None if it is unknown or over already."""
        attempt = self._ledger.attempts.get(number)
        if attempt is None or attempt.ended:
            return None
        attempt.ended = True
        attempt.backend.prompts.remove(attempt)
        attempt.backend.withdrawing -= attempt.withdrawn
        self._ledger.late.pop(number, None)
        if attempt.withdrawn:
            del self._ledger.attempts[number]
        return attempt

    def _failed(self, attempt: Attempt, error: TexbridgeError, retry: bool, now: float) -> None:
        request, stream = attempt.request, attempt.request.stream
        self._ledger.attempts.pop(attempt.number, None)
        if attempt.released and request.part_of is not None:
            self._ledger.end_request(request.number, Outcome.DONE)
            return
        retry = (retry or self._may_go_elsewhere(request, error)) and not attempt.complete
        # A live stream makes another one instead; in a chain that would be the same one, and a failure for nothing.
        if retry and (stream.config.chained or not request.generation) and request.may_try_again:
            self._wait_again(request, attempt.backend)
            return
        if request.generation:
            stream.failures += 1
            stream.hold_until = now + policy.hold_after_failure(stream.failures)
        self._ledger.end_request(request.number, Outcome.FAILED, error)

    def _succeeded(self, attempt: Attempt, now: float) -> None:
        """A prompt ran to its end: that tells how long such ones take, and that its backend is well."""
        ledger, backend, key = self._ledger, attempt.backend, attempt.cost_key
        backend.breaker.succeeded()
        ledger.failures.succeeded(key)
        backend.done += 1
        if attempt.started_at is None or attempt.withdrawn:
            return
        first = ledger.known.duration(key) is None
        backend.costs.pop(key, None)
        for estimates in (backend.estimates, ledger.known):
            estimates.add_duration(key, now - attempt.started_at, attempt.cold)
        for request in ledger.requests.values() if first else ():  # deadlines count from the stream being warm
            if request.stream.config.cost_key == key:
                ledger.agenda.arm(request, now)

    def _blame(self, attempt: Attempt, now: float, *, certain: bool) -> None:
        """Find whose fault a failure is; `certain` if it can't be the workflow's."""
        ledger, backend, key = self._ledger, attempt.backend, attempt.cost_key
        backend.failed += 1
        if certain:
            backend.breaker.failed(None, now)
            return
        able = [other.name for other in ledger.backends.values() if other.estimates.duration(key) is not None]
        to_blame, forgiven = ledger.failures.failed(key, backend.name, able)
        if to_blame:
            backend.breaker.failed(key, now)
        for name in forgiven & ledger.backends.keys():
            ledger.backends[name].breaker.forgive(key)

    @staticmethod
    def _is_shown(attempt: Attempt) -> bool:
        """True if all its pictures were released, of a frame the one: whatever becomes of its prompt, that is done."""
        return attempt.complete or (attempt.released and attempt.request.part_of is not None)

    def _may_go_elsewhere(self, request: Request, error: TexbridgeError) -> bool:
        """True if there is a backend where it was not tried, for a frame and for what no ComfyUI has judged.

        With a frame a whole sequence is lost; and an answer that is none says nothing of the request.
        """
        return (request.part_of is not None or error.code is ErrorCode.BAD_ANSWER) and any(
            backend.takes and name not in request.tried_at and name not in request.stream.unfit
            for name, backend in self._ledger.backends.items()
        )

    def _wait_again(self, request: Request, backend: Backend) -> None:
        """Back into the queue with its old place, unless something newer was shown, or has taken its place.

        It is tried at another backend than the one where it failed, if there is another.
        """
        ledger, stream = self._ledger, request.stream
        request.attempt = None
        request.avoided |= {backend.name}
        ledger.unpost(request)
        ledger.agenda.enqueue(request)
        overtaken = request.order is not None and policy.is_stale(request.mode, request.order, stream.last_released)
        if overtaken or (policy.replaces_waiting(request.mode) and stream.has_newer_run(request.number)):
            ledger.end_request(request.number, Outcome.SUPERSEDED)
