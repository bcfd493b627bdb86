"""Lossless delivery, whatever happens: each set once and in order until a cut, none lost, each item back once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.delivery.lossless import LosslessOutbox


class Item:
    """A set and how many own it."""

    def __init__(self, number: int, payload_bytes: int) -> None:
        self.number = number
        self.payload_bytes = payload_bytes
        self.owners = 1

    def share(self) -> Item:
        self.owners += 1
        return self


class LosslessMachine(RuleBasedStateMachine):
    """A reader that may be cut at any time, and what it got."""

    @initialize(credit=st.integers(1, 4), max_sets=st.integers(1, 6), max_bytes=st.integers(1, 500))
    def begin(self, credit: int, max_sets: int, max_bytes: int) -> None:
        self.outbox: LosslessOutbox[Item] = LosslessOutbox(credit, 4, max_sets=max_sets, max_bytes=max_bytes)
        self.items: list[Item] = []
        self.expected: list[int] = []  # offered and taken in, in order, but for what a panic took
        self.got: list[int] = []  # on this connection, since the first unacknowledged
        self.acked = 0
        self.number = 0
        self.thrown_out_up_to = 0

    def _back(self, items: tuple[Item, ...]) -> None:
        for item in items:
            item.owners -= 1
            assert item.owners == 0, "given back twice, or while somebody has it"

    @rule(size=st.integers(0, 200), pauses=st.booleans())
    def offer(self, size: int, pauses: bool) -> None:
        self.number += 1
        item = Item(self.number, size)
        had_room = self.outbox.has_room(size)
        out = self.outbox.offer(item, 0.0, paused_by_it=pauses)
        assert out == (() if had_room or pauses else (item,))
        if not out:
            self.items.append(item)
            self.expected.append(item.number)

    @rule()
    def take(self) -> None:
        item = self.outbox.take()
        if item is not None:
            item.owners -= 1
            assert item.owners == 1
            self.got.append(item.number)

    @rule(data=st.data())
    @precondition(lambda self: self.got)
    def ack(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.got))
        self._back(self.outbox.ack(number))
        self.acked = max(self.acked, number)

    @rule(number=st.integers(0, 50))
    def ack_anything(self, number: int) -> None:
        if number not in self.got:
            assert self.outbox.ack(number) == ()

    @rule()
    def cut_and_back(self) -> None:
        self.outbox.refill()
        self.got = [number for number in self.got if number <= self.acked]
        again = [number for number in self.expected if number > max(self.acked, self.thrown_out_up_to)]
        self.expected = self.got + again

    @rule()
    def panic(self) -> None:
        self._back(self.outbox.panic(None))
        self.expected = [number for number in self.expected if number in self.got]
        self.thrown_out_up_to = self.number

    @invariant()
    def each_set_once_and_in_order(self) -> None:
        assert self.got == self.expected[: len(self.got)]

    @invariant()
    def the_window_is_what_is_inside(self) -> None:
        inside = [item for item in self.items if item.owners]
        assert self.outbox.set_bytes == sum(item.payload_bytes for item in inside)
        assert self.outbox.stats(0.0).unacked <= self.outbox.credit

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self._back(self.outbox.clear())
            assert all(item.owners == 0 for item in self.items)


TestLossless = LosslessMachine.TestCase
TestLossless.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
