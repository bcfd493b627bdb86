"""What goes to one subscriber next: credit, one waiting set, and the pictures that cost no credit.

`latest` delivery, as the wire contract says it. A set costs one credit, which its ack gives back. Without credit at
most one set waits, and a newer one takes its place: a slow reader sees fewer, newer pictures, and nobody else slows
down. Order of `take()`:

    panic or blackout picture > held picture (newcomer's set, placeholder) > waiting set or blend, if there is credit
    > preview

Items are the caller's own; only `number` is read. Whatever will never be sent comes back from the call that threw it
out, so that its buffer is released: each item is returned exactly once, by `take` or by one of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar


class SetItem(Protocol):
    """Something with the `number` of the frame header; 0 for a placeholder."""

    @property
    def number(self) -> int:
        """The set's number."""
        ...


Item = TypeVar("Item", bound=SetItem)


class OutboxStats(NamedTuple):
    """For the link's `stats` answer. Counts are since the outbox began.

    Attributes:
        sent: sets and blends that were taken; held pictures and previews are not counted.
        dropped: sets that a newer one, a panic or `clear` threw out, or that came too late.
        credit_stalls: sets that had to wait because no credit was left.
        age_s: how long ago the oldest set was offered that still waits or is not acked; 0 if there is none.
        waiting: sets that wait (0 or 1).
        unacked: sets that were taken and not acked.
    """

    sent: int
    dropped: int
    credit_stalls: int
    age_s: float
    waiting: int
    unacked: int


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    offered_at: float
    blend: bool = False


class Outbox(Generic[Item]):
    """What one subscriber of one stream is sent, in `latest` delivery. Times are seconds of the caller's one clock."""

    def __init__(self, credit: int = 1, credit_limit: int = 8) -> None:
        """`credit` sets may be unacked at once; it is brought into 1..`credit_limit`, `.credit` tells."""
        self.credit = max(1, min(credit, credit_limit))
        self._unacked: deque[_Sent] = deque()
        self._waiting: Item | None = None
        self._waiting_since = 0.0
        self._waiting_blends = False
        self._panic: Item | None = None
        self._held: Item | None = None
        self._preview: Item | None = None
        self._newest = 0  # highest number of all that came in, but for previews
        self._last_sent = 0
        self._last_broken = 0
        self._last_held = 0  # a client may ack a held picture too, and mean all sets before it
        self._sent = 0
        self._dropped = 0
        self._credit_stalls = 0

    def offer(self, item: Item, now: float) -> tuple[Item, ...]:
        """A new set. Gives back what it throws out: the set that waited, the preview, or itself if it is not newer.

        A set that is not newer than one offered or held before is late: it would make the viewer go backwards, or
        show it again what a held picture shows.
        """
        if item.number <= self._newest:
            self._dropped += 1
            return (item,)
        self._newest = item.number
        out = []
        if self._waiting is not None:
            self._dropped += 1
            out.append(self._waiting)
        if self._preview is not None:
            out.append(self._preview)
            self._preview = None
        if len(self._unacked) >= self.credit:
            self._credit_stalls += 1
        self._waiting, self._waiting_since, self._waiting_blends = item, now, False
        return tuple(out)

    def hold(self, item: Item) -> tuple[Item, ...]:
        """A held picture: the newcomer's set, a placeholder, a repeat. It costs no credit and needs no ack.

        Gives back the held picture that it replaces, a preview, and a waiting set that is older than it; or itself
        if a later set was sent meanwhile.
        """
        if item.number < self._last_sent:
            return (item,)
        out = [thrown for thrown in (self._held, self._preview) if thrown is not None]
        if self._waiting is not None and self._waiting.number < item.number:
            self._dropped += 1
            out.append(self._waiting)
            self._waiting = None
        self._held, self._preview = item, None
        self._newest = max(self._newest, item.number)
        return tuple(out)

    def panic(self, item: Item | None) -> tuple[Item, ...]:
        """Panic, blackout and its end: `item` is the next picture, before any credit (None: there is none yet).

        Gives back everything that waited.
        """
        out = self.clear()
        self._panic = item
        if item is not None:
            self._newest = max(self._newest, item.number)
        return out

    def blend(self, item: Item, now: float) -> tuple[Item, ...]:
        """A step of a fade. It costs a credit as a set does, and takes the place of whatever waits for one. With the
        picture at the end of the fade, which costs none, the credit of its blends is back.

        Its number is that of the set that it shows, so it may repeat the last one. Gives back what it replaces, or
        itself if it shows an older set than the viewer has.
        """
        if item.number < self._last_sent:
            return (item,)
        out = tuple(thrown for thrown in (self._waiting, self._preview) if thrown is not None)
        self._newest = max(self._newest, item.number)
        self._waiting, self._waiting_since, self._waiting_blends, self._preview = item, now, True, None
        return out

    def preview(self, item: Item) -> tuple[Item, ...]:
        """A preview of the set in work. It costs no credit, and gives way to anything else.

        Gives back the preview that it replaces, or itself if anything waits or its set is not the next any more.
        """
        if self.waits or item.number <= self._newest:
            return (item,)
        out = () if self._preview is None else (self._preview,)
        self._preview = item
        return out

    def drop_preview(self, matches: Callable[[Item], bool]) -> tuple[Item, ...]:
        """Throw out and give back the preview that waits, if it is one of these."""
        if self._preview is None or not matches(self._preview):
            return ()
        item, self._preview = self._preview, None
        return (item,)

    def take(self, *, sets: bool = True) -> Item | None:
        """The next item to send, now the caller's; None if nothing waits or the set that waits has no credit.

        Without `sets` only what goes before any credit: panic, blackout and held pictures.
        """
        if self._panic is not None:
            item, self._panic = self._panic, None
            self._last_held = item.number
            self.forget_blends()
            return item
        if self._held is not None:
            item, self._held = self._held, None
            self._last_held = item.number
            self.forget_blends()
            self._last_sent = max(self._last_sent, item.number)
            return item
        if not sets:
            return None
        if self._waiting is not None:
            if len(self._unacked) >= self.credit:
                return None
            item, self._waiting = self._waiting, None
            self._unacked.append(_Sent(item.number, self._waiting_since, self._waiting_blends))
            self._last_sent = item.number
            self._sent += 1
            return item
        item_or_none, self._preview = self._preview, None
        return item_or_none

    def forget_blends(self) -> None:
        """Their fade is over: who takes held pictures as needing no ack has never acked them, and would get no set any
        more.
        """
        if any(sent.blend for sent in self._unacked):
            self._unacked = deque(sent for sent in self._unacked if not sent.blend)

    def ack(self, number: int) -> bool:
        """The subscriber is ready for the set after `number`, and so done with all before it. True if it freed credit.

        Acks are cumulative. A number that was never sent, or was acked before, is ignored. Held pictures need no ack;
        that of the last one is taken as one for all sets up to its number.
        """
        if number not in (self._last_held, self._last_broken) and not any(
            sent.number == number for sent in self._unacked
        ):
            return False
        before = len(self._unacked)
        while self._unacked and self._unacked[0].number <= number:
            self._unacked.popleft()
        return len(self._unacked) < before

    def forget(self, number: int) -> None:
        """A set that was taken goes out half and no further: who waits for its last frame would never ack it."""
        self._unacked = deque(sent for sent in self._unacked if sent.number != number or sent.blend)
        self._last_broken = number

    def refill(self) -> None:
        """Full credit again, as after a reconnect: what was sent and not acked counts as read."""
        self._unacked.clear()

    def clear(self) -> tuple[Item, ...]:
        """Throw out and give back everything that waits. Credit stays as it is."""
        if self._waiting is not None:
            self._dropped += 1
        out = tuple(item for item in (self._panic, self._held, self._waiting, self._preview) if item is not None)
        self._panic = self._held = self._waiting = self._preview = None
        return out

    def takes_blend(self, number: int) -> bool:
        """True if a blend that shows this set would take the place of nothing, and the set itself went before it."""
        return not self.waits and self._last_sent >= number

    @property
    def waits(self) -> bool:
        """True if anything but a preview waits, credit or not."""
        return self._panic is not None or self._held is not None or self._waiting is not None

    @property
    def ready(self) -> bool:
        """True if `take` would give an item."""
        if self._panic is not None or self._held is not None:
            return True
        if self._waiting is not None:
            return len(self._unacked) < self.credit
        return self._preview is not None

    def stats(self, now: float) -> OutboxStats:
        """Counts, and the age of the oldest set on its way, at `now`."""
        oldest = now
        if self._unacked:
            oldest = self._unacked[0].offered_at
        elif self._waiting is not None:
            oldest = self._waiting_since
        return OutboxStats(
            self._sent,
            self._dropped,
            self._credit_stalls,
            max(0.0, now - oldest),
            int(self._waiting is not None),
            len(self._unacked),
        )
