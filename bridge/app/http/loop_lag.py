"""How late the event loop is: what blocks it is felt by every picture, and seen nowhere else."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Final

EVERY_S: Final = 0.1
"""How often it is looked at: a loop that is blocked for 0.5 s shows as 0.4 at least."""
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, inf)
WITHIN_S: Final = 60.0


class LoopLag:
    """Measures how much later than asked for a timer of the running loop comes. `start`, then `close`.

    `buckets` counts the lags by the smallest of `BOUNDS` that holds them, `total_s` is their sum.
    """

    def __init__(self) -> None:
        self.buckets: dict[float, int] = dict.fromkeys(BOUNDS, 0)
        self.total_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        """When and how late, of the last minute, and only those that no later one exceeds."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._again(self._loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + EVERY_S
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.note(now - due, now)
        self._again(loop)

    def note(self, lag_s: float, now: float) -> None:
        """The loop was so late at `now`."""
        lag_s = max(0.0, lag_s)
        self.total_s += lag_s
        self.buckets[next(bound for bound in BOUNDS if lag_s <= bound)] += 1
        while self._recent and self._recent[-1][1] <= lag_s:
            self._recent.pop()
        self._recent.append((now, lag_s))
        while self._recent[0][0] < now - WITHIN_S:
            self._recent.popleft()

    @property
    def most_s(self) -> float:
        """The longest lag of the last minute, in seconds; 0 before the first."""
        return self._recent[0][1] if self._recent else 0.0

    def close(self) -> None:
        """End. May be called twice, and without `start`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
