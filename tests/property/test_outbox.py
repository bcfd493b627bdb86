"""Whatever order things come in, an outbox keeps credit, goes forward, and gives every item back exactly once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.delivery.outbox import Outbox


class Item:
    """An item with its own identity: two of equal number are still two."""

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind


class OutboxMachine(RuleBasedStateMachine):
    """One subscriber. The model knows what went in and came out, nothing of how the outbox works."""

    @initialize(credit=st.integers(1, 4))
    def begin(self, credit: int) -> None:
        self.credit = credit
        self.outbox: Outbox[Item] = Outbox(credit, credit_limit=4)
        self.inside: set[Item] = set()
        self.sent: list[Item] = []
        self.unacked: list[int] = []
        self.newest_offered = 0
        self.released = 0
        self.now = 0.0

    # --- what comes in

    def _in(self, item: Item, out: tuple[Item, ...]) -> None:
        self.inside.add(item)
        self._out(out)

    def _out(self, out: tuple[Item, ...]) -> None:
        for item in out:
            assert item in self.inside, "given back twice, or never given in"
            self.inside.remove(item)

    @rule(step=st.integers(1, 3), wait=st.floats(0, 2))
    def offer_the_next(self, step: int, wait: float) -> None:
        self.now += wait
        self.released += step
        item = Item(self.released, "set")
        out = self.outbox.offer(item, self.now)
        assert item not in out, "a newer set is never refused"
        self._in(item, out)
        assert [other.number for other in self.inside if other.kind == "set"] == [item.number], "only the newest waits"

    @rule(back=st.integers(0, 3))
    @precondition(lambda self: self.released)
    def offer_a_late_one(self, back: int) -> None:
        item = Item(max(1, self.released - back), "set")
        out = self.outbox.offer(item, self.now)
        if any(other.number >= item.number and other.kind == "set" for other in (*self.sent, *self.inside)):
            assert out == (item,), "late"
        self._in(item, out)

    @rule(back=st.integers(0, 3))
    def hold(self, back: int) -> None:
        item = Item(max(0, self.released - back), "held")
        self._in(item, self.outbox.hold(item))

    @rule()
    def hold_a_newer_one(self) -> None:
        self.released += 1
        item = Item(self.released, "held")
        self._in(item, self.outbox.hold(item))
        assert self.inside == {item} | {other for other in self.inside if other.kind == "panic"}, "the older ones went"

    @rule()
    def panic(self) -> None:
        item = Item(0, "panic")
        self._in(item, self.outbox.panic(item))
        assert self.inside == {item}
        self._take()
        assert self.sent[-1] is item, "first, whatever the credit"

    @rule()
    def panic_without_a_picture(self) -> None:
        self._out(self.outbox.panic(None))
        assert not self.inside

    @rule(ahead=st.integers(0, 2))
    def preview(self, ahead: int) -> None:
        item = Item(self.released + ahead, "preview")
        waiting = any(other.kind != "preview" for other in self.inside)
        out = self.outbox.preview(item)
        assert out == (item,) or not waiting
        self._in(item, out)

    # --- what goes out

    def _take(self) -> Item | None:
        ready = self.outbox.ready
        item = self.outbox.take()
        assert (item is not None) == ready
        if item is None:
            return None
        self._out((item,))
        if item.kind == "set":
            assert item.number > max((sent.number for sent in self.sent if sent.kind == "set"), default=0)
            self.unacked.append(item.number)
        if item.kind in ("set", "held"):
            shown = [sent.number for sent in self.sent if sent.kind in ("set", "held")]
            assert item.number >= max(shown, default=0), "backwards"
        if item.kind == "preview":
            assert not self.inside, "a preview before something that waits"
        self.sent.append(item)
        return item

    @rule()
    def take(self) -> None:
        self._take()

    @rule()
    def take_all(self) -> None:
        while self._take() is not None:
            pass
        left = {item.kind for item in self.inside}
        assert left <= {"set"}, "only a set ever waits for credit"
        assert not left or len(self.unacked) == self.credit

    @rule(which=st.integers(0, 3))
    @precondition(lambda self: self.unacked)
    def ack(self, which: int) -> None:
        number = self.unacked[which % len(self.unacked)]
        assert self.outbox.ack(number)
        self.unacked = [other for other in self.unacked if other > number]

    @rule(number=st.integers(0, 60))
    def ack_anything(self, number: int) -> None:
        ever_sent = any(item.number == number for item in self.sent if item.kind in ("set", "held", "panic"))
        freed = self.outbox.ack(number)
        if freed:
            assert ever_sent
            self.unacked = [other for other in self.unacked if other > number]
        elif number in self.unacked:
            raise AssertionError("an ack was not heard")

    @rule()
    def refill(self) -> None:
        self.outbox.refill()
        self.unacked = []

    @rule()
    def clear(self) -> None:
        self._out(self.outbox.clear())
        assert not self.inside

    # --- what always holds

    @invariant()
    def credit_holds(self) -> None:
        stats = self.outbox.stats(self.now)
        assert stats.unacked == len(self.unacked) <= self.credit
        assert stats.sent == sum(item.kind == "set" for item in self.sent)
        assert stats.waiting == sum(item.kind == "set" for item in self.inside)
        assert stats.age_s >= 0
        assert self.outbox.waits == any(item.kind != "preview" for item in self.inside)

    @invariant()
    def little_waits(self) -> None:
        kinds = [item.kind for item in self.inside]
        assert len(kinds) == len(set(kinds)), "two of a kind wait"

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self._out(self.outbox.clear())
            assert not self.inside, "something was swallowed"


OutboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOutbox = OutboxMachine.TestCase
