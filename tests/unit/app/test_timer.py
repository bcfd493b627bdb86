"""The precise timer: the same interface as the loop's, with a coarse system under it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge.app.timer import COARSE_S, KEPT, NEAR_S, STEP_S, PreciseTimer, clock_is_coarse, measure_lateness_s
from bridge.app.timer import needs_precise_timer as needs

LIMIT_S = 20.0
TICK_S = 0.015625


class CoarseSystem(threading.Condition):
    """A machine of its own time: sleeps are exact, the condition's waits end with a later tick of 15.6 ms.

    `now` moves only when somebody waits, so nothing here depends on how busy the real machine is. The thread's
    waits for a notification are real.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait(LIMIT_S)
        self.now = (int((self.now + timeout) / TICK_S) + 2) * TICK_S  # the worst: one tick later than the next
        return False

    def timer(self) -> PreciseTimer:
        return PreciseTimer(clock=self.clock, sleep=self.sleep, condition=self)


@pytest.mark.parametrize("delay_s", [0.0, 0.0004, 0.003, 0.02, 0.0349, 0.05, 1.0])
def test_it_fires_within_a_step_on_a_system_that_ticks_at_15_6_ms(delay_s: float) -> None:
    async def main() -> float:
        system = CoarseSystem()
        timer = system.timer()
        fired = asyncio.get_running_loop().create_future()
        try:
            timer.call_later(delay_s, lambda: fired.set_result(system.now))
            at = await asyncio.wait_for(fired, LIMIT_S)
        finally:
            timer.close()
        assert all(0 < step <= STEP_S for step in system.sleeps)
        assert len(system.sleeps) <= NEAR_S / STEP_S + 2, "it must not sleep in small steps from afar"
        return at

    assert delay_s <= asyncio.run(main()) < delay_s + STEP_S


def test_deadlines_come_in_order_of_time_not_of_setting() -> None:
    async def main() -> list[str]:
        system = CoarseSystem()
        timer = system.timer()
        done = asyncio.Event()
        order: list[str] = []
        # All are set before the thread can go on: it needs the lock for its first look.
        with system:
            for name, delay_s in (("late", 0.3), ("soon", 0.1), ("middle", 0.2), ("soon too", 0.1)):
                timer.call_later(delay_s, lambda name=name: (order.append(name), len(order) == 4 and done.set()))
        try:
            await asyncio.wait_for(done.wait(), LIMIT_S)
        finally:
            timer.close()
        return order

    assert asyncio.run(main()) == ["soon", "soon too", "middle", "late"]


def test_a_cancelled_deadline_never_calls_even_when_it_is_on_its_way() -> None:
    async def main() -> list[str]:
        timer = PreciseTimer()
        called: list[str] = []
        done = asyncio.Event()
        try:
            handle = timer.call_later(0.0, lambda: called.append("cancelled"))
            other = timer.call_later(60.0, lambda: called.append("far"))
            handle.cancel()  # the thread may have handed it to the loop already
            other.cancel()
            timer.call_later(0.01, done.set)
            await asyncio.wait_for(done.wait(), LIMIT_S)
        finally:
            timer.close()
        return called

    assert asyncio.run(main()) == []


def test_a_nearer_deadline_wakes_a_thread_that_waits_for_a_far_one() -> None:
    async def main() -> None:
        timer = PreciseTimer()
        done = asyncio.Event()
        try:
            timer.call_later(3600.0, lambda: None)
            timer.call_later(0.001, done.set)
            await asyncio.wait_for(done.wait(), LIMIT_S)
        finally:
            timer.close()

    asyncio.run(main())


def test_deadlines_that_are_set_and_cancelled_without_end_take_no_memory() -> None:
    async def main() -> int:
        timer = PreciseTimer()
        try:
            for _ in range(10_000):
                timer.call_later(3600.0, lambda: None).cancel()
            return len(timer._waiting)
        finally:
            timer.close()

    assert asyncio.run(main()) <= KEPT + 1


def test_after_close_nothing_is_called_and_nothing_can_be_set() -> None:
    async def main() -> None:
        timer = PreciseTimer()
        called: list[int] = []
        timer.call_later(0.0, lambda: called.append(1))
        timer.close()
        await asyncio.sleep(0)
        assert called == []
        with pytest.raises(RuntimeError, match="closed"):
            timer.call_later(0.0, lambda: None)
        timer.close()

    asyncio.run(main())


def test_a_loop_that_has_ended_is_no_fault() -> None:
    async def main() -> PreciseTimer:
        timer = PreciseTimer()
        timer.call_later(0.05, lambda: None)
        return timer

    timer = asyncio.run(main())
    entry = timer.call_later(0.0, lambda: None)
    timer._hand_over(entry)  # type: ignore[arg-type]
    timer.close()


@pytest.mark.parametrize(
    ("platform", "resolution_s", "measured_s", "needed"),
    [
        ("win32", 0.015625, 0.0, True),  # before Python 3.13
        ("win32", 1e-7, 0.012, True),  # a newer Python, and waits that end with the system's tick
        ("win32", 1e-7, 0.0004, False),
        ("linux", 1e-9, 0.5, False),  # a busy moment
        ("darwin", 1e-9, 0.5, False),
        ("linux", 0.01, 0.0, True),  # a coarse clock, wherever it is
    ],
)
def test_when_it_is_needed(platform: str, resolution_s: float, measured_s: float, needed: bool) -> None:
    async def measure() -> float:
        return measured_s

    assert asyncio.run(needs(platform, resolution_s, measure)) is needed


def test_the_measure_is_the_median_of_its_tries() -> None:
    readings = iter([0.0, 0.002, 0.1, 0.117, 0.2, 0.2012])

    async def main() -> float:
        return await measure_lateness_s(3, clock=lambda: next(readings))

    assert asyncio.run(main()) == pytest.approx(0.001)


def test_coarse_is_what_late_binding_can_not_use() -> None:
    assert clock_is_coarse(TICK_S)
    assert not clock_is_coarse(1e-6)
    assert COARSE_S < TICK_S
