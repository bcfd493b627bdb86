"""The scheduler against simulated backends: hypothesis draws what happens, the rules below must hold throughout.

The simulation is a queue per backend, as ComfyUI has: one prompt runs, the others wait in the order of arrival. Events
may be doubled, `AttemptPosted` and `AttemptStarted` may be lost or come in the other order, deletes may race with the
start, backends may die, come back, or be doubted at any moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.scheduler import policy
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode, Outcome

MODES = {1: Mode.ONESHOT, 2: Mode.LATEST, 3: Mode.LIVE}
BACKENDS = ("a", "b", "c")


@dataclass
class Prompt:
    attempt: int
    request: int
    stream: int
    duration: float
    bound: int
    arrives_at: float
    started_at: float | None = None
    interrupted: bool = False


@dataclass
class SimulatedComfy:
    """One backend: `up` answers; prompts wait in order, one runs."""

    name: str
    up: bool = False
    doubted: bool = False
    drained: bool = False
    seen: bool = False
    prompts: list[Prompt] = field(default_factory=list)


class SchedulerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(backend_lost_after_s=2.0)
        self.now = 1000.0
        self.comfys = {name: SimulatedComfy(name) for name in BACKENDS}
        self.accepted: dict[int, int] = {}
        self.revisions = dict.fromkeys(MODES, 0)
        self.outcomes: dict[int, Outcome] = {}
        self.attempt_of: dict[int, e.Submit] = {}
        self.bound_of: dict[int, int] = {}
        self.order_of: dict[int, int] = {}
        self.first_attempt: dict[int, int] = {}
        self.shown: dict[int, list[int]] = {stream: [] for stream in MODES}
        self.shown_requests: dict[int, list[int]] = {stream: [] for stream in MODES}
        self.settling: list[int] = []
        self.panicked = False
        self.dying = False
        """True while a backend is gone and the scheduler not told yet."""
        self.unfit: dict[int, frozenset[str]] = dict.fromkeys(MODES, frozenset())
        self.run_kept: dict[int, int] = {}
        self.next_duration = 0.1
        self.lose_posted = False
        self.lose_started = False

    # --- plumbing ---------------------------------------------------------------------------------------

    def tell(self, event: e.Event, doubled: bool = False) -> None:
        for _ in range(2 if doubled else 1):
            self.carry_out(self.scheduler.handle(event, self.now))

    def carry_out(self, commands: list[e.Command]) -> None:
        for command in commands:
            match command:
                case e.Submit():
                    assert not self.panicked, "submitted during panic"
                    assert command.request not in self.outcomes, "submitted after its terminal answer"
                    comfy = self.comfys[command.backend]
                    assert not comfy.doubted, "submitted to a doubted backend"
                    assert not comfy.drained, "submitted to a drained backend"
                    places = self.places(command.stream)
                    assert self.dying or command.backend in places, (
                        f"{command.backend} lacks its nodes, {places} do not"
                    )
                    bound = self.revisions[command.stream] if command.revision is None else command.revision
                    self.attempt_of[command.attempt] = command
                    self.bound_of[command.attempt] = bound
                    # The same values tried again are as old as at the first try.
                    first = self.first_attempt.setdefault(command.request, command.attempt)
                    self.order_of[command.attempt] = command.attempt if command.revision is None else first
                    comfy.prompts.append(
                        Prompt(
                            command.attempt,
                            command.request,
                            command.stream,
                            self.next_duration,
                            bound,
                            self.now + 0.002,
                        )
                    )
                case e.Withdraw():
                    self.withdraw(self.comfys[command.backend], command.attempt)
                case e.Finish():
                    assert command.request not in self.outcomes, f"two answers for {command.request}"
                    self.outcomes[command.request] = command.outcome

    def withdraw(self, comfy: SimulatedComfy, attempt: int) -> None:
        for prompt in comfy.prompts:
            if prompt.attempt == attempt:
                prompt.interrupted = True

    def places(self, stream: int) -> list[str]:
        """Where a stream's work may go: open, and with its nodes if any has them or will be back with them."""
        open_ = [c.name for c in self.comfys.values() if c.up and not c.doubted and not c.drained]
        fit = [name for name in open_ if name not in self.unfit[stream]]
        back = [c.name for c in self.comfys.values() if c.seen and not c.drained and not (c.up and not c.doubted)]
        if fit or any(name not in self.unfit[stream] for name in back):
            return fit
        return open_

    # --- what happens -----------------------------------------------------------------------------------

    @initialize(fps=st.sampled_from([None, 10.0, 30.0]), varies=st.booleans(), up=st.sampled_from([0, 1, 2, 3]))
    def streams(self, fps: float | None, varies: bool, up: int) -> None:
        for stream, mode in MODES.items():
            self.tell(e.StreamConfigured(stream, mode, ("w", stream), varies and mode is Mode.LIVE, fps))
        for name in BACKENDS[:up]:
            self.backend_up(name)
            self.viewers(3, 1)

    @rule(name=st.sampled_from(BACKENDS))
    def backend_up(self, name: str) -> None:
        comfy = self.comfys[name]
        comfy.up, comfy.doubted, comfy.seen = True, False, True
        self.tell(e.BackendUp(name))

    @rule(name=st.sampled_from(BACKENDS), down_first=st.booleans())
    def backend_dies(self, name: str, down_first: bool) -> None:
        comfy = self.comfys[name]
        if not comfy.up:
            return
        self.dying = not down_first
        comfy.up = comfy.doubted = False
        lost, comfy.prompts = comfy.prompts, []
        if down_first:
            self.tell(e.BackendDown(name))
        for prompt in lost:
            self.tell(e.AttemptLost(prompt.attempt))
        if not down_first:
            self.tell(e.BackendDown(name))
        self.dying = False
        comfy.prompts.clear()  # what was tried there while it was dying is gone with it

    @rule(name=st.sampled_from(BACKENDS))
    def backend_doubted(self, name: str) -> None:
        if self.comfys[name].up:
            self.comfys[name].doubted = True
            self.tell(e.BackendDoubted(name))

    @rule(name=st.sampled_from(BACKENDS), drained=st.booleans())
    def backend_drained(self, name: str, drained: bool) -> None:
        self.comfys[name].drained = drained
        self.comfys[name].seen = True
        self.tell(e.BackendDrained(name) if drained else e.BackendKept(name), doubled=True)

    @rule(name=st.sampled_from(BACKENDS), mute=st.booleans())
    def backend_mute(self, name: str, mute: bool) -> None:
        self.tell(e.BackendMuted(name, mute))

    @rule(stream=st.sampled_from(list(MODES)), unfit=st.frozensets(st.sampled_from(BACKENDS)))
    def places_changed(self, stream: int, unfit: frozenset[str]) -> None:
        self.unfit[stream] = unfit
        self.tell(e.PlacesChanged(stream, unfit))

    @rule(name=st.sampled_from(BACKENDS), index=st.integers(0, 2))
    def one_prompt_lost(self, name: str, index: int) -> None:
        comfy = self.comfys[name]
        if index < len(comfy.prompts):
            self.tell(e.AttemptLost(comfy.prompts.pop(index).attempt), doubled=True)

    @rule(stream=st.sampled_from(list(MODES)), viewers=st.integers(0, 2))
    def viewers(self, stream: int, viewers: int) -> None:
        self.tell(e.ViewersChanged(stream, viewers))

    @rule(stream=st.sampled_from(list(MODES)))
    def value(self, stream: int) -> None:
        self.revisions[stream] += 1
        self.tell(e.ValuesChanged(stream, self.revisions[stream]))

    @rule(
        stream=st.sampled_from(list(MODES)),
        priority=st.integers(0, 9),
        deadline=st.one_of(st.none(), st.floats(0.01, 3.0)),
        sets=st.booleans(),
    )
    def run(self, stream: int, priority: int, deadline: float | None, sets: bool) -> None:
        if self.panicked or self.scheduler.waiting(stream) >= policy.waiting_limit(MODES[stream]) > 1:
            return
        if sets:
            self.value(stream)
        number = self.scheduler.take_number()
        self.accepted[number] = stream
        self.run_kept[number] = self.revisions[stream]
        self.tell(e.RequestAdded(number, stream, self.revisions[stream], priority, deadline))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        open_requests = [number for number in self.accepted if number not in self.outcomes]
        if open_requests:
            number = data.draw(st.sampled_from(open_requests))
            self.tell(e.RequestCancelled(number), doubled=True)
            assert self.outcomes[number] is Outcome.CANCELLED

    @rule()
    def panic(self) -> None:
        self.panicked = True
        self.tell(e.Panicked())
        assert all(number in self.outcomes for number in self.accepted)

    @rule()
    def resume(self) -> None:
        self.panicked = False
        self.tell(e.Resumed())

    @rule(duration=st.sampled_from([0.01, 0.05, 0.1, 1.0]), posted=st.booleans(), started=st.booleans())
    def backends_change(self, duration: float, posted: bool, started: bool) -> None:
        self.next_duration, self.lose_posted, self.lose_started = duration, posted, started

    @rule(seconds=st.sampled_from([0.001, 0.005, 0.05, 0.3, 2.5]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(2000):
            at = self.next_moment(until)
            if at is None:
                break
            self.now = max(self.now, at)
            self.step()
        else:
            raise AssertionError("time stands still: the scheduler asks to be called again and again")
        self.now = until
        self.step()

    @rule(outcome=st.sampled_from(["refused", "retry", "fails"]))
    def prompt_goes_wrong(self, outcome: str) -> None:
        error = BackendError("no", code=ErrorCode.EXECUTION_FAILED)
        for comfy in self.comfys.values():
            if comfy.up and comfy.prompts:
                prompt = comfy.prompts.pop(0)
                if outcome == "fails":
                    self.tell(e.AttemptEnded(prompt.attempt, error), doubled=True)
                else:
                    self.tell(e.AttemptRefused(prompt.attempt, error, outcome == "retry"), doubled=True)
                return

    @rule(data=st.data())
    def result_settles(self, data: st.DataObject) -> None:
        if self.settling:
            self.settle(self.settling.pop(data.draw(st.integers(0, len(self.settling) - 1))))

    @rule(stream=st.sampled_from(list(MODES)), runs=st.integers(2, 4))
    def results_cross(self, stream: int, runs: int) -> None:
        """Several runs, on several backends if there are, whose pictures are decoded in the wrong order."""
        for _ in range(runs):
            self.run(stream=stream, priority=5, deadline=None, sets=True)
        self.time_passes(seconds=0.3)
        while self.settling:
            self.settle(self.settling.pop())

    # --- the simulation ---------------------------------------------------------------------------------

    def next_moment(self, until: float) -> float | None:
        moments = [until + 1.0]
        deadline = self.scheduler.next_deadline()
        if deadline is not None:
            moments.append(deadline)
        for comfy in self.comfys.values():
            if comfy.up and comfy.prompts:
                head = comfy.prompts[0]
                if head.started_at is None or head.interrupted:
                    moments.append(max(self.now, head.arrives_at))
                else:
                    moments.append(head.started_at + head.duration)
        at = min(moments)
        return None if at > until else at

    def step(self) -> None:
        for comfy in self.comfys.values():
            if not comfy.up or not comfy.prompts:
                continue
            head = comfy.prompts[0]
            if head.arrives_at > self.now:
                continue
            if head.started_at is None and head.interrupted:
                comfy.prompts.pop(0)
                self.tell(e.AttemptWithdrawn(head.attempt))
            elif head.started_at is None:
                head.started_at = self.now
                if not self.lose_started:
                    self.tell(e.AttemptStarted(head.attempt), doubled=True)
                if not self.lose_posted:
                    self.tell(e.AttemptPosted(head.attempt))
            elif head.interrupted or head.started_at + head.duration <= self.now:
                comfy.prompts.pop(0)
                error = BackendError("interrupted", code=ErrorCode.INTERRUPTED) if head.interrupted else None
                if error is None:
                    self.settling.append(head.attempt)
                self.tell(e.AttemptEnded(head.attempt, error), doubled=True)
        self.carry_out(self.scheduler.handle_timer(self.now))

    def settle(self, attempt: int) -> None:
        submit = self.attempt_of[attempt]
        if self.scheduler.release(attempt):
            assert submit.request not in self.outcomes, "a frame after the terminal answer"
            self.shown[submit.stream].append(self.order_of[attempt])
            self.shown_requests[submit.stream].append(submit.request)
        self.tell(e.ResultSettled(attempt), doubled=True)

    # --- what must hold ---------------------------------------------------------------------------------

    @invariant()
    def never_more_in_flight_than_allowed(self) -> None:
        for comfy in self.comfys.values():
            counting = [p for p in comfy.prompts if not p.interrupted]
            assert len(counting) <= 2  # one runs, one waits
            assert len(comfy.prompts) <= 3  # and one is on its way out

    @invariant()
    def results_never_go_backwards(self) -> None:
        for stream, mode in MODES.items():
            if mode is Mode.LATEST:
                assert self.shown_requests[stream] == sorted(self.shown_requests[stream])
            if mode is not Mode.ONESHOT:
                assert self.shown[stream] == sorted(self.shown[stream])

    @invariant()
    def a_dropped_request_is_never_shown_late(self) -> None:
        for requests in self.shown_requests.values():
            for number in requests:
                assert self.outcomes.get(number) in (None, Outcome.DONE, Outcome.CANCELLED, Outcome.EXPIRED)

    @invariant()
    def nothing_waits_while_all_that_it_may_go_to_are_free(self) -> None:
        """One that is free is left alone only for another one that is expected to be done sooner."""
        if self.panicked:
            return
        for stream in MODES:
            places = self.places(stream)
            if places and not any(self.comfys[name].prompts for name in places):
                assert self.scheduler.waiting(stream) == 0, "work waits beside free backends"

    @invariant()
    def at_most_one_latest_run_waits(self) -> None:
        assert self.scheduler.waiting(2) <= 1

    def teardown(self) -> None:
        """Let everything end: every accepted request has exactly one answer."""
        self.resume()
        for stream in MODES:
            self.places_changed(stream, frozenset())
        for name in BACKENDS:
            self.backend_drained(name, False)
            self.backend_up(name)
        self.viewers(3, 0)
        for _ in range(400):
            self.time_passes(0.3)
            while self.settling:
                self.settle(self.settling.pop(0))
            if all(number in self.outcomes for number in self.accepted) and not any(
                c.prompts for c in self.comfys.values()
            ):
                break
        unanswered = [number for number in self.accepted if number not in self.outcomes]
        assert not unanswered, f"no terminal answer for {unanswered}"
        for stream in MODES:
            self.tell(e.StreamClosed(stream))
        assert self.scheduler.open_requests() == 0
        # A run outside `latest` shows its own values: those of its acceptance.
        for stream, mode in MODES.items():
            for attempt in self.shown[stream]:
                submit = self.attempt_of[attempt]
                if not submit.generation and mode is not Mode.LATEST:
                    assert self.bound_of[attempt] == self.run_kept[submit.request]


SchedulerMachine.TestCase.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestScheduler = SchedulerMachine.TestCase
