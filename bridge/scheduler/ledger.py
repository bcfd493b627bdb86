"""All that the scheduler knows at one moment, what it is about to say, and how a request ends.

What happens to streams, requests, attempts and backends stands in the modules of these names; they share one ledger.
"""

from __future__ import annotations

from bridge.errors import TexbridgeError
from bridge.scheduler import policy
from bridge.scheduler.agenda import Agenda
from bridge.scheduler.breaker import Failures
from bridge.scheduler.estimates import Estimates
from bridge.scheduler.events import Command, Finish, Withdraw
from bridge.scheduler.faults import frame_failed
from bridge.scheduler.state import NEVER_BOUND, Attempt, Backend, Request, Sequence, Stream
from bridge.types import Outcome


class Ledger:
    """Streams, backends, requests and attempts by name or number, and the commands of this step.

    Args:
        backend_lost_after_s: how long a request that was already posted waits for another backend, seconds.
        first_request: the first number given by `take_number`.
    """

    def __init__(self, backend_lost_after_s: float, first_request: int) -> None:
        self.backend_lost_after_s = backend_lost_after_s
        self.next_request = first_request
        self.next_attempt = 1
        self.streams: dict[int, Stream] = {}
        self.backends: dict[str, Backend] = {}
        self.requests: dict[int, Request] = {}
        self.attempts: dict[int, Attempt] = {}
        self.late: dict[int, Attempt] = {}
        """Late-bound attempts that have not begun to run: newer values may take their place."""
        self.agenda = Agenda(self.requests)
        self.known = Estimates()
        """What all backends together have shown of durations."""
        self.failures = Failures()
        self.panicked = False
        self.sequences: dict[int, Request] = {}
        """The requests that are sequences, by number."""
        self.commands: list[Command] = []

    def take_number(self) -> int:
        """Give the next request number."""
        number = self.next_request
        self.next_request += 1
        return number

    def add_request(self, request: Request) -> None:
        """A request begins to wait."""
        self.requests[request.number] = request
        request.stream.requests[request.number] = request
        self.agenda.enqueue(request)

    def take_commands(self) -> list[Command]:
        """Give what was said in this step, in order."""
        commands, self.commands = self.commands, []
        return commands

    def end_request(self, number: int, outcome: Outcome, error: TexbridgeError | None = None) -> None:
        """Give a request its terminal answer; a prompt that still runs or waits for it is withdrawn."""
        request = self.requests.pop(number, None)
        if request is None:
            return
        stream = request.stream
        if policy.still_owed(outcome, request.generation) and request.bound_revision == stream.bound_revision:
            stream.bound_revision = NEVER_BOUND
        del stream.requests[number]
        self._take_away(request)
        if request.part_of is not None:
            self._end_frame(request, request.part_of, outcome, error)
            return
        if request.sequence is not None:
            self._drop_frames(request, request.sequence)
        self.commands.append(Finish(number, stream.number, outcome, error, request.generation))

    def _take_away(self, request: Request) -> None:
        """Out of those that wait, or off its backend."""
        if request.attempt is None:
            self.agenda.leave(request)
        else:
            self.withdraw(request.attempt)
            self.unpost(request)

    def _end_frame(self, frame: Request, whole: Request, outcome: Outcome, error: TexbridgeError | None) -> None:
        """A frame is over: with the last one its sequence is done, with one that failed it fails."""
        sequence = whole.sequence
        if sequence is None or frame.index is None or sequence.in_work.pop(frame.index, None) is None:
            return
        if outcome is not Outcome.DONE:
            said = None if error is None else frame_failed(frame.index, sequence.frames, frame.tried_at, error)
            self.end_request(whole.number, outcome, said)
            return
        sequence.done += 1
        if sequence.done == sequence.frames:
            self.end_request(whole.number, Outcome.DONE)

    def _drop_frames(self, whole: Request, sequence: Sequence) -> None:
        """A sequence is over, and so is every frame of it that still waits or runs."""
        del self.sequences[whole.number]
        stream = whole.stream
        stream.sequences -= 1
        stream.bound_revision = NEVER_BOUND  # what is shown is a frame: a live stream goes on with its own values
        for frame in sequence.in_work.values():
            if self.requests.pop(frame.number, None) is not None:
                del stream.requests[frame.number]
                self._take_away(frame)
        sequence.in_work.clear()
        sequence.waiting.clear()

    def unpost(self, request: Request) -> None:
        """A request that had an attempt is over, or waits again."""
        if request.only is None:
            request.stream.posted -= 1

    def withdraw(self, attempt: Attempt) -> None:
        """Have a prompt taken out of the way; its result counts no more."""
        if not attempt.withdrawn and not attempt.ended:
            attempt.backend.withdrawing += 1
        attempt.withdrawn = True
        self.late.pop(attempt.number, None)
        if attempt.ended:
            self.attempts.pop(attempt.number, None)
        else:
            self.commands.append(Withdraw(attempt.number, attempt.backend.name))
