"""A timer for deadlines of a few milliseconds where the event loop's own timers are too coarse.

On Windows before Python 3.13 the event loop's clock ticks every 15.6 ms, and its waits end with a tick of the system's
timer. Late binding posts a prompt a few milliseconds before the running one ends, which such a timer can't hit. There
a thread waits instead: roughly with a condition, and near the deadline in sleeps of a millisecond, which Python makes
with a high-resolution waitable timer on Windows since 3.11.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

logger = logging.getLogger("bridge.app.timer")

COARSE_S: Final = 0.004
"""A timer that is later than this can't carry late binding."""

NEAR_S: Final = 0.035
"""So near to a deadline the thread no longer trusts a coarse wait: two ticks of 15.6 ms and a little."""

STEP_S: Final = 0.001
KEPT: Final = 32
"""So many deadlines are kept before cancelled ones are looked for and taken out."""

PROBES: Final = 5


class Handle(Protocol):
    """What gives up a timer; `asyncio.TimerHandle` is one too."""

    def cancel(self) -> None:
        """Don't call any more."""
        ...


class PreciseTimer:
    """Calls back on the event loop at a moment, within about a millisecond. Made and closed on the loop's thread.

    One daemon thread serves all deadlines; it is started with the first one and sleeps while there are none.

    Args:
        clock: monotonic seconds with a fine resolution.
        sleep: a wait of `STEP_S` that is precise.
        condition: the coarse wait, whose end may be two ticks late.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        condition: threading.Condition | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._condition = threading.Condition() if condition is None else condition
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, _Entry]] = []
        self._prune_at = KEPT
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Handle:
        """Have `callback()` called on the loop in `delay_s` seconds; give what cancels it.

        Raises:
            RuntimeError: the timer is closed.
        """
        entry = _Entry(callback)
        with self._condition:
            if self._closed:
                raise RuntimeError("the timer is closed")
            heapq.heappush(self._waiting, (self._clock() + max(0.0, delay_s), next(self._numbers), entry))
            if len(self._waiting) > self._prune_at:
                self._waiting = [item for item in self._waiting if not item[2].cancelled]
                heapq.heapify(self._waiting)
                self._prune_at = max(KEPT, 2 * len(self._waiting))
            if self._waiting[0][2] is entry:
                self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="texbridge timer", daemon=True)
                self._thread.start()
        return entry

    def close(self) -> None:
        """End the thread, and call nothing any more."""
        with self._condition:
            self._closed = True
            for _, _, entry in self._waiting:
                entry.cancel()
            self._waiting.clear()
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._waiting and self._waiting[0][2].cancelled:
                    heapq.heappop(self._waiting)
                if self._closed:
                    return
                if not self._waiting:
                    self._condition.wait()
                    continue
                remaining = self._waiting[0][0] - self._clock()
                if remaining <= 0:
                    self._hand_over(heapq.heappop(self._waiting)[2])
                    continue
                if remaining > NEAR_S:
                    self._condition.wait(remaining - NEAR_S)
                    continue
            # Without the lock: the loop sets and cancels timers meanwhile, and a nearer one is seen a step later.
            self._sleep(min(remaining, STEP_S))

    def _hand_over(self, entry: _Entry) -> None:
        try:
            self._loop.call_soon_threadsafe(self._fire, entry)
        except RuntimeError:  # the loop is closed: nobody is there to be called
            logger.debug("a deadline came after the end of its loop")

    def _fire(self, entry: _Entry) -> None:
        if not self._closed:  # it may have been closed since the thread handed this over
            entry.fire()


class _Entry:
    """One deadline. Cancelled on the loop's thread, where it also fires: after `cancel` it never calls."""

    __slots__ = ("_callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback()


async def measure_lateness_s(probes: int = PROBES, clock: Callable[[], float] = time.perf_counter) -> float:
    """Give how late the running loop's timer of one millisecond is, in seconds: the median of a few tries."""
    late: list[float] = []
    for _ in range(probes):
        begin = clock()
        await asyncio.sleep(STEP_S)
        late.append(max(0.0, clock() - begin - STEP_S))
    return statistics.median(late)


def clock_is_coarse(resolution_s: float | None = None) -> bool:
    """Say whether the event loop's clock ticks too slowly; by default the one of this Python."""
    return (time.get_clock_info("monotonic").resolution if resolution_s is None else resolution_s) > COARSE_S


async def needs_precise_timer(
    platform: str = sys.platform,
    resolution_s: float | None = None,
    measure: Callable[[], Awaitable[float]] = measure_lateness_s,
) -> bool:
    """Say whether this loop's deadlines need a `PreciseTimer`.

    Where the clock ticks slowly (Windows before Python 3.13) without a measurement; on a newer Windows the loop's
    timer is tried, as its waits may still end with the system's tick; elsewhere never: a busy moment at the start is
    no reason for a thread.
    """
    if clock_is_coarse(resolution_s):
        return True
    if platform != "win32":
        return False
    return await measure() > COARSE_S
