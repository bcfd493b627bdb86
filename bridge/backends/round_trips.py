"""How long a ping takes there and back, and how long to wait for the next one."""

from __future__ import annotations

from typing import Final

_MOST_S: Final = 60.0


class RoundTrips:
    """A running estimate: smoothed time and spread, as TCP keeps them. Source: RFC 6298, 2.

    On this machine it adds nothing to the limits; through a tunnel with 300 ms and jitter it keeps a late pong from
    being taken for a missed one.
    """

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self.least_s: float | None = None
        self._spread_s = 0.0

    def measured(self, took_s: float) -> None:
        """Take one more measurement, in seconds."""
        took_s = min(took_s, _MOST_S)
        self.least_s = took_s if self.least_s is None else min(self.least_s, took_s)
        if self.smoothed_s is None:
            self.smoothed_s, self._spread_s = took_s, took_s / 2
        else:
            self._spread_s += (abs(took_s - self.smoothed_s) - self._spread_s) / 4
            self.smoothed_s += (took_s - self.smoothed_s) / 8

    def interval_s(self, least_s: float) -> float:
        """Seconds between two pings: not more than one on its way most of the time."""
        return max(least_s, 4 * (self.smoothed_s or 0.0))

    def patience_s(self, least_s: float) -> float:
        """Seconds to wait for a pong: `least_s` more than one usually takes."""
        return least_s + (self.smoothed_s or 0.0) + 4 * self._spread_s
