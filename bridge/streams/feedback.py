"""What one target is still to be told of values, and when: each with its newest value, paced, refreshes rarely.

Pure: time is passed in. Source: protocols/osc.md, What comes back.
"""

from __future__ import annotations

from typing import Final, TypeAlias

TICK_S: Final = 1 / 30
"""Values that change go out so often; what changes oftener is told once, with the value of then."""

VALUES_A_TICK: Final = 64
"""More than these wait for the next tick: a controller's receive buffer is small."""

REFRESH_EVERY_S: Final = 1.0

Key: TypeAlias = tuple[str, str]
"""A stream's name, and a parameter's, a control's, or `status`."""


class FeedbackQueue:
    """The values that one target is still to be told."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}
        self._next_at = 0.0
        self._refreshed_at: float | None = None
        self._refresh_at: float | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: Key, now: float) -> None:
        """A value changed: it is told a tick later, with what it is then."""
        if not self._keys:
            self._next_at = max(self._next_at, now + TICK_S)
        self._keys[key] = None

    def drop(self, key: Key) -> None:
        """The target knows this value by itself."""
        self._keys.pop(key, None)

    def drop_stream(self, name: str) -> None:
        """The stream is gone."""
        for key in [key for key in self._keys if key[0] == name]:
            del self._keys[key]

    def refresh(self, keys: list[Key], now: float) -> bool:
        """Tell everything again from now on. False if that was done within the last second: it is then due later."""
        if self._refreshed_at is not None and now < self._refreshed_at + REFRESH_EVERY_S:
            self._refresh_at = self._refreshed_at + REFRESH_EVERY_S
            return False
        self._refreshed_at, self._refresh_at = now, None
        self.tell(keys, now)
        return True

    def tell(self, keys: list[Key], now: float) -> None:
        """Tell these as soon as may be."""
        if not self._keys:
            self._next_at = max(self._next_at, now)
        self._keys |= dict.fromkeys(keys)

    def is_refresh_due(self, now: float) -> bool:
        """Whether a refresh that came too soon is to be done now."""
        return self._refresh_at is not None and now >= self._refresh_at

    def take(self, now: float) -> list[Key]:
        """Give what is to be told now; the rest has its turn a tick later."""
        if not self._keys or now < self._next_at:
            return []
        taken = list(self._keys)[:VALUES_A_TICK]
        for key in taken:
            del self._keys[key]
        self._next_at = now + TICK_S
        return taken

    def next_deadline(self) -> float | None:
        """When there is something to do; None: nothing."""
        due = self._next_at if self._keys else None
        if self._refresh_at is not None:
            due = self._refresh_at if due is None else min(due, self._refresh_at)
        return due
