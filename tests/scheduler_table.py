"""A scheduler with one stream, for tests that tell it what happens and look at what it says."""

from bridge.scheduler import events as e
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode, Outcome

STREAM = 1


class Table:
    """A scheduler with one stream, seen by one viewer; keeps what it said."""

    def __init__(self, mode: Mode, *backends: str) -> None:
        self.scheduler = Scheduler(backend_lost_after_s=2.0)
        self.now = 100.0
        self.submitted: list[e.Submit] = []
        self.outcomes: dict[int, Outcome] = {}
        self.tell(e.StreamConfigured(STREAM, mode, "w"), e.ViewersChanged(STREAM, 1))
        self.tell(*(e.BackendUp(backend) for backend in backends))

    def tell(self, *events: e.Event) -> None:
        for event in events:
            self.take(self.scheduler.handle(event, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.scheduler.handle_timer(self.now))

    def take(self, commands: list[e.Command]) -> None:
        for command in commands:
            if isinstance(command, e.Submit):
                self.submitted.append(command)
            elif isinstance(command, e.Finish):
                assert command.request not in self.outcomes
                self.outcomes[command.request] = command.outcome

    def values(self, revision: int) -> None:
        self.tell(e.ValuesChanged(STREAM, revision))

    def run(self, revision: int, deadline_s: float | None = None) -> int:
        number = self.scheduler.take_number()
        self.tell(e.RequestAdded(number, STREAM, revision, deadline_s=deadline_s))
        return number

    def done(self, attempt: int) -> bool:
        """Let a prompt run to its end; True if its picture was shown."""
        self.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt), e.AttemptEnded(attempt))
        shown = self.scheduler.release(attempt)
        self.tell(e.ResultSettled(attempt))
        return shown


def live(*backends: str) -> Table:
    """A live stream that has made its first picture."""
    table = Table(Mode.LIVE, *backends)
    assert table.done(table.submitted[0].attempt)
    return table
