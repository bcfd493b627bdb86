"""All that the scheduler knows at one moment, what it is about to say, and how a request ends.

What happens to streams, requests, attempts and backends stands in the modules of these names; they share one ledger.
"""

from __future__ import annotations

from bridge.errors import TexbridgeError
from bridge.scheduler import policy
from bridge.scheduler.agenda import Agenda
from bridge.scheduler.events import Command, Finish, Withdraw
from bridge.scheduler.state import NEVER_BOUND, Attempt, Backend, Request, Stream
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
        self.agenda = Agenda(self.requests)
        self.panicked = False
        self.commands: list[Command] = []

    def take_number(self) -> int:
        """Give the next request number."""
        number = self.next_request
        self.next_request += 1
        return number

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
        if request.attempt is None:
            stream.waiting -= 1
        else:
            self.withdraw(request.attempt)
            self.unpost(request)
        self.commands.append(Finish(number, stream.number, outcome, error, request.generation))

    def unpost(self, request: Request) -> None:
        """A request that had an attempt is over, or waits again: what its stream held back for it may go."""
        stream = request.stream
        if request.only is None:
            held_back = stream.holds_back
            stream.posted -= 1
            if held_back and not stream.holds_back:
                self.agenda.look_again(stream)

    def withdraw(self, attempt: Attempt) -> None:
        """Have a prompt taken out of the way; its result counts no more."""
        attempt.withdrawn = True
        if attempt.ended:
            self.attempts.pop(attempt.number, None)
        else:
            self.commands.append(Withdraw(attempt.number, attempt.backend.name))
