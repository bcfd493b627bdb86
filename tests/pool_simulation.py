"""The scheduler with simulated backends on a virtual clock: exact, repeatable, thousands of requests a second.

Each simulated GPU is ComfyUI's queue: one prompt runs, the others wait in the order of arrival. It holds the models of
the last `keeps` workflows and loads any other one first. It can be slow, die, come back, lose prompts, or fail them.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode, Outcome

POST_S = 0.002
SETTLE_S = 0.003


@dataclass
class Prompt:
    attempt: int
    request: int
    stream: int
    submitted_at: float
    started_at: float | None = None
    withdrawn: bool = False


@dataclass
class Gpu:
    """One simulated backend. `speed` 0.1 takes ten times as long."""

    name: str
    speed: float = 1.0
    load_s: float = 0.0
    keeps: int = 2
    up: bool = True
    fails: Callable[[Prompt], BackendError | None] = lambda prompt: None
    loses: Callable[[Prompt], bool] = lambda prompt: False
    queue: list[Prompt] = field(default_factory=list)
    models: list[object] = field(default_factory=list)
    loads: int = 0
    ran: int = 0
    busy_s: float = 0.0
    generation: int = 0
    """Counts its lives: what was due in an earlier one is void."""


@dataclass
class Run:
    """A request and what became of it."""

    request: int
    stream: int
    priority: int
    accepted_at: float
    tries: int = 0
    started_at: float | None = None
    answered_at: float | None = None
    outcome: Outcome | None = None
    backends: list[str] = field(default_factory=list)


@dataclass
class Kind:
    """What a stream's prompts take."""

    key: object
    duration_s: float
    mode: Mode
    revision: int = 0


class Simulation:
    """A pool, its scheduler and a clock. `jitter` is the share by which each prompt differs, both ways."""

    def __init__(self, gpus: list[Gpu], *, seed: int = 1, jitter: float = 0.0) -> None:
        self.scheduler = Scheduler(backend_lost_after_s=2.0)
        self.now = 0.0
        self.gpus = {gpu.name: gpu for gpu in gpus}
        self.kinds: dict[int, Kind] = {}
        self.runs: dict[int, Run] = {}
        self.shown: dict[int, list[tuple[float, int]]] = defaultdict(list)
        """By stream: when a picture was shown, and its place in the order."""
        self.bound_at: dict[int, float] = {}
        self.order_of: dict[int, int] = {}
        """Of each attempt: its own number, or that of the first one with the same values."""
        self._first: dict[int, int] = {}
        self.starts: dict[int, list[tuple[float, float]]] = defaultdict(list)
        """By stream: when a prompt started, and how old its values were."""
        self.dropped: dict[int, int] = defaultdict(int)
        """By stream: prompts that ran to their end and were not shown."""
        self.events = 0
        self._random = random.Random(seed)
        self._jitter = jitter
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        for gpu in gpus:
            if gpu.up:
                self.tell(e.BackendUp(gpu.name))

    # --- what tests do ---------------------------------------------------------------------------------------

    def stream(
        self, number: int, duration_s: float, *, mode: Mode = Mode.ONESHOT, key: object = None, **settings: object
    ) -> None:
        self.kinds[number] = Kind(number if key is None else key, duration_s, mode)
        self.tell(e.StreamConfigured(number, mode, self.kinds[number].key, **settings))  # type: ignore[arg-type]
        if mode is Mode.LIVE:
            self.tell(e.ViewersChanged(number, 1))

    def run(self, stream: int, times: int = 1, *, priority: int = 5, deadline_s: float | None = None) -> list[int]:
        numbers = []
        for _ in range(times):
            number = self.scheduler.take_number()
            self.runs[number] = Run(number, stream, priority, self.now)
            numbers.append(number)
            self.tell(e.RequestAdded(number, stream, self.kinds[stream].revision, priority, deadline_s))
        return numbers

    def values(self, stream: int) -> None:
        self.kinds[stream].revision += 1
        self.tell(e.ValuesChanged(stream, self.kinds[stream].revision))

    def at(self, seconds: float, what: Callable[[], object]) -> None:
        """Have something happen at a moment of the clock."""
        heapq.heappush(self._agenda, (seconds, next(self._order), lambda: (what(), None)[1]))

    def every(self, seconds: float, what: Callable[[], object], until: float) -> None:
        for step in range(int((until - self.now) / seconds)):
            self.at(self.now + step * seconds, what)

    def die(self, name: str, *, back_after_s: float | None = None) -> None:
        gpu = self.gpus[name]
        lost, gpu.queue, gpu.up, gpu.models = gpu.queue, [], False, []
        gpu.generation += 1
        self.tell(e.BackendDown(name))
        for prompt in lost:
            self.tell(e.AttemptLost(prompt.attempt))
        if back_after_s is not None:
            self.at(self.now + back_after_s, lambda: self.rise(name))

    def rise(self, name: str) -> None:
        self.gpus[name].up = True
        self.tell(e.BackendUp(name))

    def play(self, until: float = 1e9) -> None:
        """Let time pass until a moment, or until nothing is left to happen."""
        for _ in range(10_000_000):
            at = self._agenda[0][0] if self._agenda else 1e18
            deadline = self.scheduler.next_deadline()
            if deadline is not None and deadline <= at:
                if deadline > until:
                    break
                self.now = max(self.now, deadline)
                self.events += 1
                self._carry_out(self.scheduler.handle_timer(self.now))
            elif at > until:
                break
            else:
                self.now = max(self.now, at)
                heapq.heappop(self._agenda)[2]()
        else:
            raise AssertionError("time stands still")
        self.now = max(self.now, until) if until < 1e9 else self.now

    # --- what came of it -------------------------------------------------------------------------------------

    def unanswered(self) -> list[int]:
        return [run.request for run in self.runs.values() if run.outcome is None]

    def outcomes(self, stream: int | None = None) -> dict[Outcome, int]:
        found: dict[Outcome, int] = defaultdict(int)
        for run in self.runs.values():
            if run.outcome is not None and stream in (None, run.stream):
                found[run.outcome] += 1
        return dict(found)

    def finished_at(self) -> float:
        return max(run.answered_at or 0.0 for run in self.runs.values())

    def waits(self, stream: int) -> list[float]:
        """From acceptance to start, of each run."""
        return [
            run.started_at - run.accepted_at
            for run in self.runs.values()
            if run.stream == stream and run.started_at is not None
        ]

    def loads(self) -> int:
        return sum(gpu.loads for gpu in self.gpus.values())

    # --- how it goes -----------------------------------------------------------------------------------------

    def tell(self, event: e.Event) -> None:
        self.events += 1
        self._carry_out(self.scheduler.handle(event, self.now))

    def _carry_out(self, commands: list[e.Command]) -> None:
        for command in commands:
            match command:
                case e.Submit():
                    gpu = self.gpus[command.backend]
                    assert gpu.up, f"{gpu.name} is down"
                    self.bound_at[command.attempt] = self.now
                    first = self._first.setdefault(command.request, command.attempt)
                    self.order_of[command.attempt] = command.attempt if command.revision is None else first
                    run = self.runs.get(command.request)
                    if run is not None:
                        assert run.outcome is None, "submitted after its answer"
                        run.tries += 1
                        run.backends.append(gpu.name)
                    prompt = Prompt(command.attempt, command.request, command.stream, self.now)
                    self._later(gpu, POST_S, lambda gpu=gpu, prompt=prompt: self._arrives(gpu, prompt))
                    gpu.queue.append(prompt)
                case e.Withdraw():
                    gpu = self.gpus[command.backend]
                    for prompt in gpu.queue:
                        if prompt.attempt == command.attempt:
                            prompt.withdrawn = True
                            self._later(gpu, POST_S, lambda gpu=gpu, prompt=prompt: self._deleted(gpu, prompt))
                case e.Finish():
                    run = self.runs.get(command.request)
                    if run is not None:
                        assert run.outcome is None, f"two answers for {command.request}"
                        run.outcome, run.answered_at = command.outcome, self.now

    def _later(self, gpu: Gpu, seconds: float, what: Callable[[], None]) -> None:
        life = gpu.generation
        heapq.heappush(
            self._agenda,
            (self.now + seconds, next(self._order), lambda: what() if gpu.generation == life else None),
        )

    def _arrives(self, gpu: Gpu, prompt: Prompt) -> None:
        if prompt.withdrawn and prompt not in gpu.queue:
            return
        if gpu.loses(prompt):
            gpu.queue.remove(prompt)
            self.tell(e.AttemptLost(prompt.attempt))
        else:
            self.tell(e.AttemptPosted(prompt.attempt))
        self._start(gpu)

    def _start(self, gpu: Gpu) -> None:
        if not gpu.queue or gpu.queue[0].started_at is not None:
            return
        prompt = gpu.queue[0]
        if self.now < prompt.submitted_at + POST_S:
            return
        kind = self.kinds[prompt.stream]
        prompt.started_at = self.now
        seconds = kind.duration_s / gpu.speed * (1.0 + self._jitter * self._random.uniform(-1.0, 1.0))
        error = gpu.fails(prompt)
        if error is not None:
            seconds = 0.01
        elif kind.key in gpu.models:
            gpu.models.remove(kind.key)
            gpu.models.append(kind.key)
        else:
            gpu.models = [*gpu.models, kind.key][-gpu.keeps :]
            gpu.loads += 1
            seconds += gpu.load_s
        gpu.ran += 1
        gpu.busy_s += seconds
        self.starts[prompt.stream].append((self.now, self.now - self.bound_at[prompt.attempt]))
        run = self.runs.get(prompt.request)
        if run is not None and run.started_at is None:
            run.started_at = self.now
        self.tell(e.AttemptStarted(prompt.attempt))
        self._later(gpu, seconds, lambda: self._ends(gpu, prompt, error))

    def _ends(self, gpu: Gpu, prompt: Prompt, error: BackendError | None) -> None:
        if prompt not in gpu.queue:
            return
        gpu.queue.remove(prompt)
        self.tell(e.AttemptEnded(prompt.attempt, error))
        if error is None:
            self.at(self.now + SETTLE_S, lambda: self._settles(prompt))
        self._start(gpu)

    def _deleted(self, gpu: Gpu, prompt: Prompt) -> None:
        if prompt not in gpu.queue:
            return
        gpu.queue.remove(prompt)
        if prompt.started_at is None:
            self.tell(e.AttemptWithdrawn(prompt.attempt))
        else:
            self.tell(e.AttemptEnded(prompt.attempt, BackendError("interrupted", code=ErrorCode.INTERRUPTED)))
        self._start(gpu)

    def _settles(self, prompt: Prompt) -> None:
        if self.scheduler.release(prompt.attempt):
            self.shown[prompt.stream].append((self.now, self.order_of[prompt.attempt]))
        else:
            self.dropped[prompt.stream] += 1
        self.tell(e.ResultSettled(prompt.attempt))


def gpus(number: int, **settings: object) -> list[Gpu]:
    """So many equal ones."""
    return [Gpu(f"gpu{place:02d}", **settings) for place in range(number)]  # type: ignore[arg-type]
