"""Lossless delivery: every set in order, kept until its ack, sent again after a cut, never more than the window."""

import pytest

from bridge.delivery.lossless import LosslessOutbox


class Item:
    def __init__(self, number: int, payload_bytes: int = 100) -> None:
        self.number = number
        self.payload_bytes = payload_bytes
        self.owners = 1

    def share(self) -> "Item":
        self.owners += 1
        return self

    def __repr__(self) -> str:
        return f"set {self.number}"


def taken(outbox: LosslessOutbox[Item]) -> list[int]:
    numbers = []
    while (item := outbox.take()) is not None:
        item.owners -= 1
        numbers.append(item.number)
    return numbers


def filled(count: int, credit: int = 8, **window: int) -> tuple[LosslessOutbox[Item], list[Item]]:
    outbox: LosslessOutbox[Item] = LosslessOutbox(credit, **window)
    items = [Item(number) for number in range(1, count + 1)]
    for item in items:
        assert outbox.offer(item, float(item.number)) == ()
    return outbox, items


def test_nothing_is_dropped_and_all_is_in_order():
    outbox, items = filled(5, credit=2)
    assert taken(outbox) == [1, 2]
    assert outbox.ack(1) == (items[0],)
    assert taken(outbox) == [3]
    assert outbox.ack(3) == (items[1], items[2])
    assert taken(outbox) == [4, 5]
    assert outbox.stats(9.0).dropped == 0


def test_what_is_taken_is_kept_as_well():
    outbox, items = filled(1)
    assert outbox.take() is items[0]
    assert items[0].owners == 2
    assert outbox.sets == 1
    assert outbox.set_bytes == 100
    assert outbox.ack(1) == (items[0],)
    assert (outbox.sets, outbox.set_bytes) == (0, 0)


def test_after_a_cut_it_goes_on_from_the_first_unacknowledged():
    outbox, _ = filled(5, credit=3)
    assert taken(outbox) == [1, 2, 3]
    outbox.ack(1)
    outbox.refill()
    assert taken(outbox) == [2, 3, 4]


def test_an_ack_that_comes_again_after_a_cut_counts_before_its_set_is_sent_again():
    outbox, items = filled(5, credit=2)
    assert taken(outbox) == [1, 2]
    outbox.refill()
    assert outbox.ack(4) == (), "never sent"
    assert outbox.ack(2) == (items[0], items[1])
    assert taken(outbox) == [3, 4]
    assert outbox.set_bytes == 300
    outbox.refill()
    assert outbox.take() is items[2]
    assert outbox.ack(4) == (items[2], items[3]), "sent on the connection before"
    assert outbox.ack(5) == ()
    assert taken(outbox) == [5]


def test_the_window_is_bounded_in_sets():
    outbox, _ = filled(3, max_sets=3)
    assert not outbox.has_room(1)
    late = Item(4)
    assert outbox.offer(late, 4.0) == (late,)
    taken(outbox)
    assert not outbox.has_room(1), "sent and not acked takes room"
    outbox.ack(1)
    assert outbox.offer(Item(5), 5.0) == ()


def test_the_window_is_bounded_in_bytes():
    outbox, _ = filled(2, max_bytes=250)
    assert outbox.has_room(50)
    assert not outbox.has_room(51)


def test_an_empty_window_has_room_for_any_set():
    assert LosslessOutbox(max_bytes=10).has_room(1_000_000)


def test_what_pauses_its_own_source_is_always_taken():
    outbox, _ = filled(3, max_sets=3)
    assert outbox.offer(Item(4), 4.0, paused_by_it=True) == ()
    assert outbox.sets == 4


def test_late_sets_come_back():
    outbox, items = filled(2)
    again = Item(2)
    assert outbox.offer(again, 3.0, paused_by_it=True) == (again,)
    assert taken(outbox) == [1, 2]
    assert outbox.ack(2) == tuple(items)


def test_acks_of_what_was_never_sent_or_acked_before_are_ignored():
    outbox, _ = filled(3, credit=1)
    assert outbox.ack(1) == ()
    assert taken(outbox) == [1]
    assert outbox.ack(2) == outbox.ack(99) == outbox.ack(0) == ()
    assert len(outbox.ack(1)) == 1
    assert outbox.ack(1) == ()


def test_a_held_picture_is_for_a_newcomer_alone():
    outbox: LosslessOutbox[Item] = LosslessOutbox()
    first, second = Item(7), Item(7)
    assert outbox.hold(first) == ()
    assert outbox.hold(second) == (first,)
    assert outbox.take() is second
    assert outbox.ack(7) == ()
    outbox.offer(Item(8), 1.0)
    late = Item(8)
    assert outbox.hold(late) == (late,)
    assert taken(outbox) == [8]


def test_a_set_that_the_held_picture_showed_is_not_sent_again():
    outbox: LosslessOutbox[Item] = LosslessOutbox()
    outbox.hold(Item(7))
    same = Item(7)
    assert outbox.offer(same, 1.0) == (same,)


def test_panic_comes_before_any_credit_and_takes_all_that_waited():
    outbox, items = filled(4, credit=2)
    assert taken(outbox) == [1, 2]
    panic = Item(0)
    assert set(outbox.panic(panic)) == set(items)
    assert outbox.take() is panic
    assert outbox.take() is None
    outbox.offer(Item(9), 5.0)
    assert outbox.take() is None, "the two that were sent are not acked yet"
    outbox.ack(2)
    assert taken(outbox) == [9]
    assert outbox.stats(5.0).dropped == 2


def test_what_a_panic_threw_out_is_not_sent_again_after_a_cut():
    outbox, _ = filled(2)
    taken(outbox)
    outbox.panic(None)
    outbox.refill()
    assert outbox.take() is None
    assert outbox.sets == 0


def test_a_set_that_was_broken_off_gives_its_credit_back():
    outbox, items = filled(2, credit=1)
    outbox.take()
    assert outbox.forget(1) == (items[0],)
    assert taken(outbox) == [2]
    assert outbox.ack(1) == (), "its ack may still come"


def test_blends_and_previews_are_nothing_for_it():
    outbox: LosslessOutbox[Item] = LosslessOutbox()
    item = Item(1)
    assert outbox.blend(item, 0.0) == outbox.preview(item) == (item,)
    assert not outbox.ready


def test_without_credit_it_is_not_ready():
    outbox, _ = filled(2, credit=1)
    assert outbox.ready
    outbox.take()
    assert outbox.waits
    assert not outbox.ready
    assert outbox.take(sets=False) is None


def test_stats():
    outbox, _ = filled(3, credit=2)
    taken(outbox)
    told = outbox.stats(11.0)
    assert (told.sent, told.waiting, told.unacked, told.credit_stalls, told.age_s) == (2, 1, 2, 0, 10.0)


@pytest.mark.parametrize(("asked", "held"), [(0, 1), (3, 3), (99, 8)])
def test_credit_is_brought_into_its_limits(asked, held):
    assert LosslessOutbox(asked).credit == held
