"""A pool of 1 to 64 simulated GPUs: thousands of requests on a virtual clock, so every figure here is exact.

What a prompt takes, loads, deaths and losses are the simulation's; see `pool_simulation`. No time is measured.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from pool_simulation import Gpu, Prompt, Simulation, gpus

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.scheduler import placement
from bridge.types import Mode, Outcome

FAULT = BackendError("a broken GPU", code=ErrorCode.EXECUTION_FAILED, retry=True)
OWN_FAULT = BackendError("a value that no GPU can use", code=ErrorCode.EXECUTION_FAILED)


def flood(sim: Simulation, streams: int, each: int, duration_s: float = 0.2) -> None:
    for number in range(1, streams + 1):
        sim.stream(number, duration_s, key=("workflow", number))
    for number in range(1, streams + 1):
        sim.run(number, each)


@pytest.mark.parametrize(("backends", "streams", "each"), [(1, 1, 400), (4, 2, 500), (16, 4, 600), (64, 5, 600)])
def test_n_backends_make_n_times_as_many(backends: int, streams: int, each: int) -> None:
    """At least 0.9 of what they would make if none ever had a gap."""
    sim = Simulation(gpus(backends), jitter=0.1)
    flood(sim, streams, each)
    sim.play()
    assert sim.outcomes() == {Outcome.DONE: streams * each}
    assert streams * each * 0.2 / backends >= 0.9 * sim.finished_at()
    assert sim.scheduler.open_requests() == 0


@pytest.mark.parametrize("backends", [1, 4, 16])
def test_requests_of_a_stream_begin_in_order(backends: int) -> None:
    sim = Simulation(gpus(backends))
    flood(sim, 1, 300)
    sim.play()
    starts = [run.started_at or 0.0 for run in sim.runs.values()]
    assert starts == sorted(starts)


@pytest.mark.parametrize("seed", range(6))
def test_every_request_has_one_answer_whatever_dies(seed: int) -> None:
    """Backends die and come back, prompts are lost, requests are cancelled and expire: the simulation checks "one"."""
    chance = random.Random(seed)
    pool = gpus(5, load_s=0.5)
    for gpu in pool:
        gpu.loses = lambda prompt: chance.random() < 0.01
    sim = Simulation(pool, seed=seed, jitter=0.3)
    for number, mode in ((1, Mode.ONESHOT), (2, Mode.LATEST), (3, Mode.LIVE), (4, Mode.ONESHOT)):
        sim.stream(number, 0.05 * number, mode=mode, varies=mode is Mode.LIVE)

    def ask() -> None:
        stream = chance.choice((1, 2, 3, 4))
        if sim.scheduler.waiting(stream) < 60:
            sim.values(stream)
            sim.run(stream, priority=chance.randrange(10), deadline_s=chance.choice((None, None, 1.0)))

    def die() -> None:
        gpu = chance.choice(pool)
        if gpu.up:
            sim.die(gpu.name, back_after_s=chance.uniform(0.1, 3.0))

    def cancel() -> None:
        sim.tell(e.RequestCancelled(chance.choice(list(sim.runs))))

    sim.every(0.02, ask, 40.0)
    sim.every(1.7, die, 40.0)
    sim.every(0.5, cancel, 40.0)
    sim.at(40.0, lambda: sim.tell(e.ViewersChanged(3, 0)))
    sim.play(80.0)
    assert sim.unanswered() == []
    assert sim.scheduler.open_requests() == 0
    assert sim.outcomes()[Outcome.DONE] > 0.4 * len(sim.runs)
    for stream in (2, 3):
        order = [attempt for _, attempt in sim.shown[stream]]
        assert order == sorted(order), "a result went backwards"


def test_nothing_starves() -> None:
    """A flood of the highest priority, one of the lowest and single runs between: each step is worth one second."""
    sim = Simulation(gpus(2), jitter=0.1)
    for number in (1, 2, 3):
        sim.stream(number, 0.1, key="w")
    sim.every(0.05, lambda: sim.run(1, 2, priority=9) if sim.scheduler.waiting(1) < 200 else None, 60.0)
    sim.every(0.2, lambda: sim.run(2, 1, priority=0) if sim.scheduler.waiting(2) < 5 else None, 60.0)
    sim.every(6.0, lambda: sim.run(3, 1), 60.0)
    sim.play()
    assert sim.unanswered() == []
    assert max(sim.waits(3)) <= 4.0 + 0.5  # four steps below the flood
    low = [run.started_at or 0.0 for run in sim.runs.values() if run.stream == 2]
    assert max(after - before for before, after in pairwise(low)) <= 9.0 + 0.5


def test_streams_of_one_priority_share_evenly() -> None:
    sim = Simulation(gpus(4), jitter=0.1)
    for number in range(1, 6):
        sim.stream(number, 0.1, key="w")
    for number in range(1, 6):
        sim.run(number, 1000 if number == 1 else 200)
    sim.play(15.0)
    done = [sim.outcomes(number)[Outcome.DONE] for number in range(1, 6)]
    assert max(done) - min(done) <= 12, done


def test_a_slow_backend_gets_less_and_holds_nobody_up() -> None:
    pool = [*gpus(3), Gpu("slow", speed=0.2)]
    sim = Simulation(pool, jitter=0.05)
    flood(sim, 1, 640)
    sim.play()
    slow, fast = pool[3].ran, pool[0].ran
    assert 0.12 * fast <= slow <= 0.25 * fast
    assert 0.9 * sim.finished_at() <= 640 * 0.2 / 3.2
    # With nothing in line it is left alone.
    before = pool[3].ran
    for step in range(20):
        sim.at(sim.now + 10.0 + step, lambda: sim.run(1, 3))
    sim.play()
    assert pool[3].ran == before


def test_a_broken_backend_is_isolated_and_tried_again() -> None:
    """It fails everything at once, so it is always free: without a breaker it would get most of the work."""
    pool = gpus(4)
    pool[0].fails = lambda prompt: FAULT if sim.now < 40.0 else None
    sim = Simulation(pool, jitter=0.05)
    sim.stream(1, 0.2)
    sim.every(0.06, lambda: sim.run(1), 80.0)
    sim.play(39.9)
    tried = pool[0].ran
    assert tried <= 16, "more than a few trials"
    assert sim.outcomes() == {Outcome.DONE: len(sim.runs) - len(sim.unanswered())}
    sim.play()
    assert sim.outcomes() == {Outcome.DONE: len(sim.runs)}
    assert pool[0].ran - tried > 20, "it is well again, and idle"


def test_a_workflow_that_fails_everywhere_isolates_nobody() -> None:
    def fails(prompt: Prompt) -> BackendError | None:
        return OWN_FAULT if prompt.stream == 2 and sim.now > 5.0 else None

    pool = gpus(4)
    for gpu in pool:
        gpu.fails = fails
    sim = Simulation(pool, jitter=0.05)
    for number in (1, 2):
        sim.stream(number, 0.2)
        sim.every(0.1, lambda number=number: sim.run(number), 30.0)  # type: ignore[misc]
    open_ = []
    sim.every(
        0.5,
        lambda: open_.append(sum(sim.scheduler.place(g.name, sim.now).broken_until is not None for g in pool)),
        30.0,
    )
    sim.play()
    assert sim.outcomes(1) == {Outcome.DONE: 300}
    assert sim.outcomes(2)[Outcome.FAILED] > 200
    assert max(open_) <= 1
    assert sum(open_) <= 2, open_


def loads(streams: int, backends: int) -> tuple[int, float]:
    """How often models were loaded, and when all was done; each stream has its own, of 3 s."""
    sim = Simulation(gpus(backends, load_s=3.0), jitter=0.1, seed=3)
    flood(sim, streams, 150)
    sim.play()
    assert sim.outcomes() == {Outcome.DONE: 150 * streams}
    return sim.loads(), sim.finished_at()


@pytest.mark.parametrize(("streams", "backends"), [(4, 4), (8, 4), (6, 2), (3, 1)])
def test_warm_backends_are_preferred(streams: int, backends: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seconds = loads(streams, backends)
    monkeypatch.setattr(placement, "load_time", lambda *_: 0.0)
    monkeypatch.setattr(placement, "loads_again_at", lambda now, *_: now)
    naive, naive_seconds = loads(streams, backends)
    assert made <= naive / 3, (made, naive)
    assert seconds < naive_seconds


def test_an_idle_cold_backend_is_used_when_streams_compete() -> None:
    """All models are at one; the other is idle: the load is worth it with so much in line."""
    pool = [*gpus(1, load_s=3.0), Gpu("late", load_s=3.0, up=False)]
    sim = Simulation(pool)
    flood(sim, 2, 20)
    sim.play()
    sim.rise("late")
    for number in (1, 2):
        sim.run(number, 200)
    sim.play()
    assert pool[1].ran > 120
    before = pool[1].loads
    sim.run(1, 1)
    sim.play()
    assert pool[1].loads == before


def test_draining_ends() -> None:
    pool = gpus(3)
    sim = Simulation(pool, jitter=0.1)
    flood(sim, 2, 200)
    sim.play(5.0)
    sim.tell(e.BackendDrained("gpu00"))
    ran = pool[0].ran
    sim.play(6.0)
    place = sim.scheduler.place("gpu00", sim.now)
    assert place is not None
    assert (place.running, place.waiting) == (0, 0)
    assert pool[0].ran <= ran + 1
    sim.tell(e.BackendRemoved("gpu00"))
    sim.play()
    assert sim.outcomes() == {Outcome.DONE: 400}


@pytest.mark.parametrize(
    ("backends", "jitter", "share"), [(2, 0.1, 0.01), (4, 0.02, 0.01), (4, 0.1, 0.05), (8, 0.02, 0.01)]
)
def test_a_live_stream_on_n_backends_shows_n_times_as_many(backends: int, jitter: float, share: float) -> None:
    """In order, evenly, with values as young as on one; `share` of the results at most come too late to be shown."""
    sim = Simulation(gpus(backends), jitter=jitter)
    sim.stream(1, 0.2, mode=Mode.LIVE, varies=True)
    sim.every(1 / 60, lambda: sim.values(1), 40.0)
    sim.play(40.0)
    shown = [at for at, _ in sim.shown[1] if at > 5.0]
    order = [attempt for _, attempt in sim.shown[1]]
    assert order == sorted(order)
    assert len(shown) >= 0.9 * backends * 5 * 35.0
    assert sim.dropped[1] <= share * len(order)
    gaps = sorted(after - before for before, after in pairwise(shown))
    assert gaps[len(gaps) // 2] == pytest.approx(0.2 / backends, rel=0.15)
    ages = sorted(age for at, age in sim.starts[1] if at > 5.0)
    assert ages[len(ages) // 2] <= 0.1 * 0.2


def test_a_live_stream_leaves_a_backend_alone_whose_pictures_come_too_late() -> None:
    pool = [*gpus(2), Gpu("slow", speed=0.25)]
    sim = Simulation(pool, jitter=0.05)
    sim.stream(1, 0.2, mode=Mode.LIVE, varies=True)
    sim.every(1 / 60, lambda: sim.values(1), 30.0)
    sim.play(30.0)
    assert pool[2].ran <= 2
    assert len(sim.shown[1]) >= 0.9 * 10 * 30
    assert sim.dropped[1] <= 5
