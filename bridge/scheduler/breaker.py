"""Keeps work away from a backend that fails, and finds out whose fault it is: the backend's, or the workflow's."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import inf

from bridge.scheduler import placement

KEYS_KEPT = 256


class Breaker:
    """Of one backend. Closed it lets all through; `BREAK_AFTER` failures in a row open it for a growing time.

    When that is over one prompt is let through. If it fails the breaker opens for longer, if it succeeds it is closed.
    """

    def __init__(self) -> None:
        self.until = -inf
        """When it lets a trial through; -inf while it is closed."""
        self._failures: list[Hashable | None] = []
        self._trips = 0
        self._successes = 0

    @property
    def closed(self) -> bool:
        """True if nothing is held back."""
        return self.until == -inf

    def failed(self, cause: Hashable | None, now: float) -> None:
        """One more failure; `cause` is the workflow and size if it may yet turn out to be their fault."""
        self._successes = 0
        self._failures = [*self._failures, cause][-placement.BREAK_AFTER :]
        if len(self._failures) >= placement.BREAK_AFTER and now >= self.until:
            self._trips += 1
            self.until = now + placement.break_time(self._trips)

    def succeeded(self) -> None:
        """A prompt ran to its end: the breaker is closed, and after a few more its next time is a short one again."""
        self._failures = []
        self.until = -inf
        self._successes += 1
        if self._successes >= placement.BREAK_AFTER:
            self._trips = 0

    def forgive(self, cause: Hashable) -> None:
        """The failures of this cause were the workflow's own: they count no more."""
        self._failures = [failure for failure in self._failures if failure is None or failure != cause]
        if len(self._failures) < placement.BREAK_AFTER:
            self.until = -inf


class Failures:
    """Where each workflow and size has failed since it last succeeded. Bounded: the last ones that failed."""

    def __init__(self) -> None:
        self._failed_at: dict[Hashable, frozenset[str]] = {}

    def succeeded(self, cost_key: Hashable) -> None:
        """A prompt of this key ran to its end somewhere."""
        self._failed_at.pop(cost_key, None)

    def failed(self, cost_key: Hashable, backend: str, succeeded_at: Iterable[str]) -> tuple[bool, frozenset[str]]:
        """A prompt of this key failed. Gives whether the backend is to blame, and the backends to be forgiven.

        `succeeded_at` are the backends where one of this key ever ran to its end.
        """
        before = self._failed_at.pop(cost_key, frozenset())
        if len(self._failed_at) >= KEYS_KEPT:
            del self._failed_at[next(iter(self._failed_at))]
        failed_at = self._failed_at[cost_key] = before | {backend}
        if placement.blames_backend(failed_at, backend, any(name != backend for name in succeeded_at)):
            return True, frozenset()
        return False, failed_at if len(failed_at) > 1 else frozenset()

    def forget(self, backend: str) -> None:
        """A backend is no more."""
        self._failed_at = {key: at - {backend} for key, at in self._failed_at.items()}
