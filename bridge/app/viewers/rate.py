"""`max_mbps` and `fps` of one viewer: its line, its pace, and the timers that wake who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.delivery.pacing import Pace, RateLimit


class _Waiting:
    """Wakes who waits for a moment, once for all that ask meanwhile."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def wake_in(self, delay_s: float, wake: Callable[[], None]) -> None:
        """Have `wake` called then, unless somebody is to be woken already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._fire, wake)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, wake: Callable[[], None]) -> None:
        self._timer = None
        wake()


class ViewerRate(_Waiting):
    """The line of one viewer. It belongs to the event loop's thread."""

    def __init__(self, max_mbps: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._line = RateLimit(max_mbps)
        self._clock = clock

    def is_free(self, wake: Callable[[], None]) -> bool:
        """True if a set may go now; otherwise `wake` is called when one may."""
        now = self._clock()
        if self._line.is_free(now):
            return True
        self.wake_in(self._line.free_at - now, wake)
        return False

    def sent(self, byte_count: int) -> None:
        """So many bytes went to this viewer."""
        self._line.sent(byte_count, self._clock())


class ViewerPace(_Waiting):
    """The pace of one `paced` viewer. It belongs to the event loop's thread.

    `fps` gives the rate that holds now; None is the one before, and as fast as they come if there was none.
    """

    def __init__(self, fps: Callable[[], float | None], clock: Callable[[], float]) -> None:
        super().__init__()
        self._fps = fps
        self._clock = clock
        self._pace: Pace | None = None

    def is_due(self, wake: Callable[[], None]) -> bool:
        """True if a set may go now; otherwise `wake` is called when one may."""
        fps = self._fps()
        if fps is not None and (self._pace is None or self._pace.fps != fps):
            self._pace = Pace(fps)
        if self._pace is None:
            return True
        now = self._clock()
        if self._pace.is_due(now):
            return True
        self.wake_in(self._pace.due_at - now, wake)
        return False

    def released(self) -> None:
        """A set goes to this viewer."""
        if self._pace is not None:
            self._pace.released(self._clock())
