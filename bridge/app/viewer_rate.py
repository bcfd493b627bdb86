"""`max_mbps` and `fps` of one viewer: its line, its pace, and the timers that wake who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.delivery.pacing import Pace, RateLimit


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


class ViewerPace:
    """The pace of one `paced` viewer. It belongs to the event loop's thread.

    `fps` gives the rate that holds now; None is the one before, and as fast as they come if there was none.
    """

    def __init__(self, fps: Callable[[], float | None], clock: Callable[[], float]) -> None:
        self._fps = fps
        self._clock = clock
        self._pace: Pace | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pace.due_at - now, self._fire, wake)
        return False

    def released(self) -> None:
        """A set goes to this viewer."""
        if self._pace is not None:
            self._pace.released(self._clock())

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, wake: Callable[[], None]) -> None:
        self._timer = None
        wake()
