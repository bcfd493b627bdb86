"""Blends at a steady rate between two sets, so that a slow generator feeds a fast engine. Pure, time passed in.

A set that comes is not shown at once: what is shown fades into it, over the time that lies between two sets, and at the
end of that time it comes itself. So whatever is shown is one interval old. The interval is learned: the median of the
last gaps. A set that comes while the fade before it still runs waits for its end, and one that comes meanwhile takes
its place: never more than three sets are held.

Items are the caller's own, and belong to this as long as they are not in `dropped`; one that is to be shown still does.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from math import floor
from typing import Final, Generic, TypeVar

LONGEST_FADE_S: Final = 2.0
"""A generator that takes longer stands still for the rest: nobody wants to be ten seconds behind."""

FADE_SHARE: Final = 0.95
"""Of the interval: a fade that takes all of it would still run when the next set comes a little early, and fall behind
for good."""

GAPS: Final = 5

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Blend(Generic[Item]):
    """`share` 0..1 of the new one, the rest of the old one."""

    old: Item
    new: Item
    share: float


@dataclass(frozen=True, slots=True)
class Turn(Generic[Item]):
    """What follows: a set to be shown, or a blend to be made, or neither; and what is not needed any more."""

    show: Item | None = None
    blend: Blend[Item] | None = None
    dropped: tuple[Item, ...] = ()


class CrossFade(Generic[Item]):
    """The cross-fade of one subscriber. Times are seconds of the caller's one clock."""

    def __init__(self, fps: float, longest_s: float = LONGEST_FADE_S) -> None:
        """`fps` blends a second at most.

        Raises:
            ValueError: `fps` or `longest_s` isn't over 0.
        """
        if not fps > 0 or not longest_s > 0:
            raise ValueError(f"fps {fps} and longest_s {longest_s} must be over 0")
        self.fps = fps
        self.longest_s = longest_s
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._last_at: float | None = None
        self._shown: Item | None = None
        self._coming: Item | None = None
        self._next: Item | None = None
        self._begun = self._ends_at = self._tick_at = 0.0

    @property
    def length_s(self) -> float:
        """How long a fade that begins now takes; 0 while the interval isn't known."""
        if not self._gaps:
            return 0.0
        return min(self.longest_s, FADE_SHARE * statistics.median(self._gaps))

    @property
    def is_fading(self) -> bool:
        """True while a set is on its way."""
        return self._coming is not None

    @property
    def newest(self) -> Item | None:
        """The set that came last of those that are held."""
        return self._next or self._coming or self._shown

    def offer(self, item: Item, now: float) -> Turn[Item]:
        """A new set. The very first is shown at once, and so is any that there is nothing to fade from."""
        if self._last_at is not None:
            self._gaps.append(now - self._last_at)
        self._last_at = now
        if self._coming is not None:
            waited, self._next = self._next, item
            return Turn(dropped=() if waited is None else (waited,))
        if self._shown is None or not self.length_s:
            before, self._shown = self._shown, item
            return Turn(show=item, dropped=() if before is None else (before,))
        self._begin(item, now)
        return Turn()

    def _begin(self, item: Item, now: float) -> None:
        self._coming, self._begun = item, now
        self._ends_at, self._tick_at = now + self.length_s, now + 1 / self.fps

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, None without a fade."""
        return None if self._coming is None else min(self._tick_at, self._ends_at)

    def handle_timer(self, now: float) -> Turn[Item]:
        """Do what is due at `now`; earlier does no harm, and of blends that are late only the last is made."""
        if self._coming is None or self._shown is None:
            return Turn()
        if now >= self._ends_at:
            before, self._shown, self._coming = self._shown, self._coming, None
            shown = self._shown
            if self._next is not None:
                self._begin(self._next, now)
                self._next = None
            return Turn(show=shown, dropped=(before,))
        if now < self._tick_at:
            return Turn()
        passed = now - self._begun
        self._tick_at = self._begun + (floor(passed * self.fps + 1e-6) + 1) / self.fps
        return Turn(blend=Blend(self._shown, self._coming, passed / (self._ends_at - self._begun)))

    def settle(self) -> Turn[Item]:
        """The fade is over now: the newest set is to be shown at once."""
        newest = self._next if self._next is not None else self._coming
        if newest is None:
            return Turn()
        dropped = tuple(item for item in (self._shown, self._coming) if item is not None and item is not newest)
        self._shown, self._coming, self._next = newest, None, None
        return Turn(show=newest, dropped=dropped)

    def start_from(self, item: Item | None) -> Turn[Item]:
        """Another picture is shown, from which the next fade goes on; None: one that nothing fades from."""
        dropped = tuple(old for old in (self._shown, self._coming, self._next) if old is not None)
        self._shown, self._coming, self._next = item, None, None
        return Turn(dropped=dropped)
