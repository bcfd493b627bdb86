"""Sequences against simulated backends that fail, die and come back: each frame once, within its window, in order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.scheduler import policy
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode, Outcome

STREAM = 1
BACKENDS = ("a", "b", "c")
BROKEN = BackendError("a node failed", code=ErrorCode.EXECUTION_FAILED)


class Simulation:
    """Backends that run prompts in the order of arrival, and an app that shows frames in the order of their index."""

    def __init__(self, mode: Mode, frames: int, window: int) -> None:
        self.scheduler = Scheduler(backend_lost_after_s=2.0)
        self.now = 100.0
        self.frames = frames
        self.window = window
        self.until = window
        self.prompts: dict[str, list[e.Submit]] = {name: [] for name in BACKENDS}
        self.up: set[str] = set()
        self.arrived: dict[int, int] = {}
        """Attempts whose picture waits for its turn, by index."""
        self.released: list[int] = []
        self.tries: dict[int, int] = {}
        self.finish: e.Finish | None = None
        self.other: dict[int, Outcome] = {}
        self.failed_indexes: set[int] = set()
        self.tell(e.StreamConfigured(STREAM, mode, "w"))
        self.number = self.scheduler.take_number()
        self.tell(e.SequenceAdded(self.number, STREAM, 0, frames, window))

    def tell(self, event: e.Event) -> None:
        self.carry_out(self.scheduler.handle(event, self.now))

    def carry_out(self, commands: list[e.Command]) -> None:
        for command in commands:
            match command:
                case e.Submit() if command.request == self.number:
                    assert self.finish is None, "posted after the answer"
                    assert command.index is not None
                    assert 0 <= command.index < min(self.frames, self.until)
                    assert command.index not in self.released, "made again though it was shown"
                    assert command.backend in self.up
                    self.tries[command.index] = self.tries.get(command.index, 0) + 1
                    assert self.tries[command.index] <= policy.MAXIMUM_TRIES
                    self.prompts[command.backend].append(command)
                    assert len(self.prompts[command.backend]) <= policy.RUNNING_AND_WAITING + policy.WITHDRAWING
                case e.Submit():
                    self.prompts[command.backend].append(command)
                case e.Withdraw():
                    held = self.prompts[command.backend]
                    gone = [prompt for prompt in held if prompt.attempt == command.attempt]
                    for prompt in gone:
                        held.remove(prompt)
                        self.tell(e.AttemptWithdrawn(prompt.attempt))
                case e.Finish():
                    if command.request == self.number:
                        assert self.finish is None, "two answers"
                        self.finish = command
                    else:
                        assert command.request not in self.other
                        self.other[command.request] = command.outcome

    def show(self) -> None:
        """Frames whose turn it is are shown, and the window moves."""
        while (attempt := self.arrived.pop(len(self.released), None)) is not None:
            if not self.scheduler.release(attempt):
                return
            self.released.append(len(self.released))
            self.until = len(self.released) + self.window
            self.tell(e.SequenceMoved(self.number, self.until))
            self.tell(e.ResultSettled(attempt))

    # --- what happens --------------------------------------------------------------------------------------

    def rise(self, name: str) -> None:
        self.up.add(name)
        self.tell(e.BackendUp(name))

    def die(self, name: str) -> None:
        self.up.discard(name)
        self.prompts[name].clear()
        self.tell(e.BackendDown(name))

    def end(self, name: str, error: BackendError | None = None) -> None:
        """The prompt that runs there ends."""
        if not self.prompts[name]:
            return
        prompt = self.prompts[name].pop(0)
        self.tell(e.AttemptPosted(prompt.attempt))
        self.tell(e.AttemptStarted(prompt.attempt))
        self.now += 0.1
        if error is not None:
            if prompt.index is not None:
                self.failed_indexes.add(prompt.index)
            self.tell(e.AttemptEnded(prompt.attempt, error))
            return
        wanted = self.scheduler.wants(prompt.attempt)
        self.tell(e.AttemptEnded(prompt.attempt))
        if prompt.request != self.number:
            self.scheduler.release(prompt.attempt)
            self.tell(e.ResultSettled(prompt.attempt))
        elif wanted and prompt.index is not None:
            assert prompt.index not in self.arrived
            self.arrived[prompt.index] = prompt.attempt
            self.show()

    def run(self) -> None:
        number = self.scheduler.take_number()
        self.tell(e.RequestAdded(number, STREAM, 0))

    def wait(self) -> None:
        self.now += 1.0
        self.carry_out(self.scheduler.handle_timer(self.now))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.sampled_from(BACKENDS)),
        st.tuples(st.just("end"), st.sampled_from(BACKENDS)),
        st.tuples(st.just("end"), st.sampled_from(BACKENDS)),
        st.tuples(st.sampled_from(["fail", "die", "rise"]), st.sampled_from(BACKENDS)),
        st.tuples(st.sampled_from(["run", "wait"]), st.just("")),
    ),
    max_size=60,
)


@given(mode=st.sampled_from(list(Mode)), frames=st.integers(1, 40), window=st.integers(1, 12), steps=STEPS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens(mode, frames, window, steps):
    simulation = Simulation(mode, frames, window)
    for name in BACKENDS[:2]:
        simulation.rise(name)
    for what, name in steps:
        match what:
            case "end":
                simulation.end(name)
            case "fail":
                simulation.end(name, BROKEN)
            case "die":
                simulation.die(name)
            case "rise":
                simulation.rise(name)
            case "run":
                simulation.run()
            case "wait":
                simulation.wait()
    for name in BACKENDS:
        simulation.rise(name)
    for _ in range(40 * frames):
        if simulation.finish is not None:
            break
        for name in BACKENDS:
            simulation.end(name)
        simulation.wait()
    assert simulation.finish is not None, "it never ends"
    assert simulation.released == list(range(len(simulation.released))), "in order, each once"
    if simulation.finish.outcome is Outcome.DONE:
        assert len(simulation.released) == frames
    else:
        assert simulation.finish.outcome is Outcome.FAILED
        assert simulation.finish.error is not None
    for _ in range(200):  # the runs have their answers too
        for name in BACKENDS:
            simulation.end(name)
    assert simulation.scheduler.open_requests() == 0


@given(frames=st.integers(1, 60), durations=st.lists(st.sampled_from([1, 2, 5]), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_without_faults_every_frame_is_made_once_on_all_backends(frames, durations):
    simulation = Simulation(Mode.ONESHOT, frames, 16)
    for name in BACKENDS:
        simulation.rise(name)
    turn = 0
    while simulation.finish is None:
        turn += 1
        assert turn < 1000
        for name, every in zip(BACKENDS, durations, strict=True):
            if turn % every == 0:
                simulation.end(name)
        simulation.wait()
    assert simulation.finish.outcome is Outcome.DONE
    assert simulation.tries == dict.fromkeys(range(frames), 1)
