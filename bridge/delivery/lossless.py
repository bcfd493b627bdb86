"""What goes to one subscriber that is to get every set: `lossless` and `paced` delivery. Pure.

Sets wait in order, as many as have credit are on their way, and each is kept until its ack: after a reconnect
(`refill`) those that were sent and not acked go out again. The window, all that waits or isn't acked, is bounded in
sets and in bytes. Whoever feeds it looks at `sets` and `set_bytes` and pauses (a sequence, for the session that asked
for it); a set that finds no room is given back by `offer`, and who owns the outbox decides what follows.

Panic, blackout and held pictures go before any credit, as in `outbox`; blends and previews are nothing for a reader
that wants results. Order of `take()`: panic or blackout picture > held picture > the first set that waits.
Source: wire contract, Delivery.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, Self, TypeVar

from bridge.delivery.outbox import OutboxStats


class KeptItem(Protocol):
    """A set that is sent and kept."""

    @property
    def number(self) -> int:
        """The set's number; 0 for a placeholder."""
        ...

    @property
    def payload_bytes(self) -> int:
        """What all its frames take."""
        ...

    def share(self) -> Self:
        """Give the same set with an owner more: one to send, one to keep."""
        ...


Item = TypeVar("Item", bound=KeptItem)


@dataclass(slots=True)
class _Kept(Generic[Item]):
    """`item` is None once it must not be sent again; `sent` is true of one that was, on whichever connection."""

    item: Item | None
    number: int
    offered_at: float
    sent: bool = False


class LosslessOutbox(Generic[Item]):
    """What one subscriber of one stream is sent, in `lossless` delivery. Times are seconds of the caller's one clock.

    Items that come back from a call are the caller's again; each comes back once. `take` gives a shared one, the kept
    one comes back from `ack`, `panic` or `clear`.
    """

    def __init__(
        self,
        credit: int = 1,
        credit_limit: int = 8,
        *,
        max_sets: int = 64,
        max_bytes: int = 1 << 28,
        share: Callable[[], int] | None = None,
    ) -> None:
        """`credit` sets may be unacked at once; it is brought into 1..`credit_limit`, `.credit` tells.

        `share` gives how many bytes all readers together leave to this one, where that may be less than `max_bytes`.
        """
        self.credit = max(1, min(credit, credit_limit))
        self.max_sets = max_sets
        self.max_bytes = max_bytes
        self._share = share
        self._unacked: deque[_Kept[Item]] = deque()
        self._waiting: deque[_Kept[Item]] = deque()
        self._panic: Item | None = None
        self._held: Item | None = None
        self._newest = 0
        self._last_held = 0
        self._last_broken = 0
        self._sent = 0
        self._dropped = 0
        self._credit_stalls = 0
        self.set_bytes = 0
        """Of all that waits or is not acked."""

    @property
    def sets(self) -> int:
        """How many wait or are not acked."""
        return len(self._unacked) + len(self._waiting)

    def has_room(self, payload_bytes: int = 0) -> bool:
        """True if one more set, of so many bytes, is within the window. An empty one has room for any."""
        if not self.sets:
            return True
        most = self.max_bytes if self._share is None else min(self.max_bytes, self._share())
        return self.sets < self.max_sets and self.set_bytes + payload_bytes <= most

    def offer(self, item: Item, now: float, *, paused_by_it: bool = False) -> tuple[Item, ...]:
        """A new set. Gives it back if the window has no room, or if it is not newer than those before.

        With `paused_by_it` it is always taken: its source pauses when the window is full, and what was on its way
        then still comes.
        """
        if item.number <= self._newest or not (paused_by_it or self.has_room(item.payload_bytes)):
            self._dropped += 1
            return (item,)
        self._newest = item.number
        if len(self._unacked) >= self.credit:
            self._credit_stalls += 1
        self._waiting.append(_Kept(item, item.number, now))
        self.set_bytes += item.payload_bytes
        return ()

    def hold(self, item: Item) -> tuple[Item, ...]:
        """A held picture. Gives back the one that it replaces; or itself, if sets wait or that it shows is known."""
        if self.sets or item.number < self._newest:
            return (item,)
        out = () if self._held is None else (self._held,)
        self._held = item
        self._newest = max(self._newest, item.number)
        return out

    def panic(self, item: Item | None) -> tuple[Item, ...]:
        """Panic, blackout and its end: `item` is the next picture, and nothing from before is sent any more."""
        out = self.clear()
        self._panic = item
        if item is not None:
            self._newest = max(self._newest, item.number)
        return out

    def blend(self, item: Item, now: float) -> tuple[Item, ...]:
        """A step of a fade: not for this reader. Gives it back."""
        return (item,)

    def preview(self, item: Item) -> tuple[Item, ...]:
        """A preview: not for this reader. Gives it back."""
        return (item,)

    def drop_preview(self, late: Callable[[Item], bool]) -> tuple[Item, ...]:
        """There is none."""
        return ()

    def take(self, *, sets: bool = True) -> Item | None:
        """The next item to send, now the caller's; None if nothing waits or the next set has no credit.

        Without `sets` only what goes before any credit.
        """
        if self._panic is not None:
            item, self._panic = self._panic, None
            self._last_held = item.number
            return item
        if self._held is not None:
            item, self._held = self._held, None
            self._last_held = item.number
            return item
        if not sets or not self._waiting or len(self._unacked) >= self.credit:
            return None
        kept = self._waiting.popleft()
        assert kept.item is not None
        kept.sent = True
        self._unacked.append(kept)
        self._sent += 1
        return kept.item.share()

    def ack(self, number: int) -> tuple[Item, ...]:
        """Ready for the set after `number`, done with all before it: gives back what was kept of them.

        Acks are cumulative. A number that was never sent, or was acked before, is ignored. Held pictures need no ack;
        that of the last one is taken as one for all sets up to its number. What waits to be sent again was sent: who
        says after a cut that it has it, since its ack may be lost, needn't say so twice.
        """
        known = number in (self._last_held, self._last_broken) or any(
            kept.number == number and kept.sent for kept in chain(self._unacked, self._waiting)
        )
        out: list[Item] = []
        for line in (self._unacked, self._waiting):
            while known and line and line[0].sent and line[0].number <= number:
                self._let_go(line.popleft(), out)
        return tuple(out)

    def forget(self, number: int) -> tuple[Item, ...]:
        """A set that was taken goes out half and no further: who waits for its last frame would never ack it."""
        out: list[Item] = []
        for kept in [kept for kept in self._unacked if kept.number == number]:
            self._unacked.remove(kept)
            self._let_go(kept, out)
        self._last_broken = number
        return tuple(out)

    def refill(self) -> None:
        """As after a reconnect: full credit, and what was sent and not acked goes out again, in order."""
        again = [kept for kept in self._unacked if kept.item is not None]
        self._unacked.clear()
        self._waiting.extendleft(reversed(again))

    def clear(self) -> tuple[Item, ...]:
        """Nothing from before is sent any more: gives back all that waits or was kept. Credit stays as it is."""
        out = [item for item in (self._panic, self._held) if item is not None]
        self._panic = self._held = None
        self._dropped += len(self._waiting)
        for kept in chain(self._unacked, self._waiting):
            self._let_go(kept, out)
        self._waiting.clear()
        return tuple(out)

    def _let_go(self, kept: _Kept[Item], out: list[Item]) -> None:
        if kept.item is not None:
            self.set_bytes -= kept.item.payload_bytes
            out.append(kept.item)
            kept.item = None

    @property
    def waits(self) -> bool:
        """True if anything waits, credit or not."""
        return self._panic is not None or self._held is not None or bool(self._waiting)

    @property
    def ready(self) -> bool:
        """True if `take` would give an item."""
        if self._panic is not None or self._held is not None:
            return True
        return bool(self._waiting) and len(self._unacked) < self.credit

    def stats(self, now: float) -> OutboxStats:
        """Counts, and the age of the oldest set on its way, at `now`."""
        oldest = next((kept.offered_at for kept in chain(self._unacked, self._waiting)), now)
        return OutboxStats(
            self._sent,
            self._dropped,
            self._credit_stalls,
            max(0.0, now - oldest),
            len(self._waiting),
            len(self._unacked),
        )
