"""`max_mbps` of one viewer: its line, and the timer that wakes who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.delivery.pacing import RateLimit


class ViewerRate:
    """The line of one viewer. It belongs to the event loop's thread."""

    def __init__(self, max_mbps: float, clock: Callable[[], float]) -> None:
        self._line = RateLimit(max_mbps)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def is_free(self, wake: Callable[[], None]) -> bool:
        """True if a set may go now; otherwise `wake` is called when one may."""
        now = self._clock()
        if self._line.is_free(now):
            return True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._line.free_at - now, self._fire, wake)
        return False

    def sent(self, byte_count: int) -> None:
        """So many bytes went to this viewer."""
        self._line.sent(byte_count, self._clock())

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, wake: Callable[[], None]) -> None:
        self._timer = None
        wake()
