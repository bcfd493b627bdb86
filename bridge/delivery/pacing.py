"""How often a subscriber gets a set: `max_mbps`, what its line takes, and `fps` of `paced`. Pure, time passed in.

The line is busy for as long as what was sent takes at the rate. While it is busy the newest set waits in the outbox,
where a newer one takes its place: so a slow line gets fewer, newer pictures, and none queues up in routers on the way.
"""

from __future__ import annotations


class RateLimit:
    """A line of `max_mbps` megabits (10^6 bits) a second. Times are seconds of the caller's one clock."""

    def __init__(self, max_mbps: float) -> None:
        """Free at once.

        Raises:
            ValueError: `max_mbps` isn't over 0.
        """
        if not max_mbps > 0:
            raise ValueError(f"max_mbps {max_mbps} is not over 0")
        self.max_mbps = max_mbps
        self.free_at = float("-inf")
        """When the next set may go."""

    def is_free(self, now: float) -> bool:
        """True if a set may go now. Ask again at `free_at`."""
        return now >= self.free_at

    def sent(self, byte_count: int, now: float) -> None:
        """So many bytes go out now. What goes out although the line is busy makes it busy for longer."""
        self.free_at = max(self.free_at, now) + byte_count * 8 / (self.max_mbps * 1e6)


class Pace:
    """Steady release of `fps` sets a second. Times are seconds of the caller's one clock."""

    def __init__(self, fps: float) -> None:
        """The first may go at once.

        Raises:
            ValueError: `fps` isn't over 0.
        """
        if not fps > 0:
            raise ValueError(f"fps {fps} is not over 0")
        self.fps = fps
        self.due_at = float("-inf")
        """When the next set may go."""

    def is_due(self, now: float) -> bool:
        """True if a set may go now. Ask again at `due_at`."""
        return now >= self.due_at

    def released(self, now: float) -> None:
        """A set goes now. The next is due a period after this one was, so that small delays don't add up; after a gap
        the count begins anew, and nothing is caught up in a burst."""
        period = 1.0 / self.fps
        self.due_at = self.due_at + period if now - self.due_at < period else now + period
