"""Credit, the one waiting set, held pictures and acks, as the wire contract says them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bridge.delivery.outbox import Outbox, OutboxStats


@dataclass(frozen=True)
class Item:
    number: int
    word: str = "set"


def taken(outbox: Outbox[Item]) -> list[Item]:
    """Everything that can be taken now."""
    out = []
    while (item := outbox.take()) is not None:
        out.append(item)
    return out


def numbers(items: object) -> list[int]:
    return [item.number for item in items]  # type: ignore[attr-defined]


def test_one_credit_sends_one_and_keeps_the_newest() -> None:
    outbox: Outbox[Item] = Outbox()
    assert outbox.offer(Item(1), 0.0) == ()
    assert numbers(taken(outbox)) == [1]
    assert outbox.offer(Item(2), 1.0) == ()
    assert outbox.offer(Item(3), 2.0) == (Item(2),)
    assert taken(outbox) == []
    assert not outbox.ready
    assert outbox.ack(1)
    assert outbox.ready
    assert numbers(taken(outbox)) == [3]


def test_without_a_take_the_newest_replaces_even_with_credit() -> None:
    outbox: Outbox[Item] = Outbox(credit=3)
    outbox.offer(Item(1), 0.0)
    assert outbox.offer(Item(2), 0.0) == (Item(1),)
    assert numbers(taken(outbox)) == [2]


def test_more_credit_sends_more() -> None:
    outbox: Outbox[Item] = Outbox(credit=2)
    sent = []
    for number in range(1, 5):
        outbox.offer(Item(number), 0.0)
        sent += numbers(taken(outbox))
    assert sent == [1, 2]
    outbox.ack(2)
    assert numbers(taken(outbox)) == [4]


@pytest.mark.parametrize(("asked", "limit", "given"), [(1, 8, 1), (0, 8, 1), (-3, 8, 1), (5, 8, 5), (9, 8, 8)])
def test_credit_is_brought_into_its_limits(asked: int, limit: int, given: int) -> None:
    assert Outbox(asked, limit).credit == given


@pytest.mark.parametrize(
    ("acks", "freed", "unacked"),
    [
        ([], [], 3),
        ([2], [True], 2),
        ([4], [True], 1),  # cumulative: 2 and 4
        ([9], [True], 0),
        ([9, 4, 2], [True, False, False], 0),  # old acks after new ones
        ([2, 2], [True, False], 2),
        ([3], [False], 3),  # between two, never sent
        ([10], [False], 3),
        ([2**32 - 1], [False], 3),
        ([0], [False], 3),
    ],
)
def test_acks(acks: list[int], freed: list[bool], unacked: int) -> None:
    outbox: Outbox[Item] = Outbox(credit=3)
    for number in (2, 4, 9):
        outbox.offer(Item(number), 0.0)
        outbox.take()
    assert [outbox.ack(number) for number in acks] == freed
    assert outbox.stats(0.0).unacked == unacked


def test_late_sets_come_straight_back() -> None:
    outbox: Outbox[Item] = Outbox(credit=8)
    outbox.offer(Item(5), 0.0)
    assert outbox.offer(Item(5, "again"), 0.0) == (Item(5, "again"),)
    assert outbox.offer(Item(4), 0.0) == (Item(4),)
    assert numbers(taken(outbox)) == [5]
    assert outbox.offer(Item(3), 0.0) == (Item(3),)
    assert outbox.stats(0.0).dropped == 3


def test_the_newcomers_set_costs_no_credit_and_comes_first() -> None:
    outbox: Outbox[Item] = Outbox()
    assert outbox.hold(Item(7, "held")) == ()
    outbox.offer(Item(8), 0.0)
    assert taken(outbox) == [Item(7, "held"), Item(8)]
    assert outbox.stats(0.0)[:1] == (1,)


def test_a_placeholder_is_replaced_by_a_later_held_picture() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.hold(Item(0, "placeholder"))
    assert outbox.hold(Item(3, "held")) == (Item(0, "placeholder"),)
    assert taken(outbox) == [Item(3, "held")]


def test_a_held_picture_goes_out_without_credit() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    outbox.take()
    outbox.offer(Item(2), 0.0)
    outbox.hold(Item(1, "held"))
    assert taken(outbox) == [Item(1, "held")]
    outbox.ack(1)
    assert taken(outbox) == [Item(2)]


def test_a_held_picture_that_comes_too_late_comes_back() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(8), 0.0)
    outbox.take()
    assert outbox.hold(Item(7, "held")) == (Item(7, "held"),)
    assert outbox.hold(Item(0, "placeholder")) == (Item(0, "placeholder"),)
    assert outbox.hold(Item(8, "repeat")) == ()


def test_a_held_picture_throws_out_an_older_set_and_later_ones_of_its_number() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    outbox.take()
    outbox.offer(Item(2), 0.0)
    assert outbox.hold(Item(3, "held")) == (Item(2),)
    assert outbox.offer(Item(3), 0.0) == (Item(3),)
    assert taken(outbox) == [Item(3, "held")]
    outbox.ack(1)
    assert taken(outbox) == []


def test_the_ack_of_a_held_picture_covers_the_sets_before_it() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(5), 0.0)
    outbox.take()
    outbox.hold(Item(6, "held"))
    assert not outbox.ack(6)  # not sent yet
    outbox.take()
    assert outbox.ack(6)
    outbox.offer(Item(7), 0.0)
    assert taken(outbox) == [Item(7)]


def test_panic_goes_before_all_and_drops_the_rest() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    outbox.take()
    outbox.hold(Item(1, "held"))
    outbox.offer(Item(2), 0.0)
    assert set(outbox.panic(Item(0, "black"))) == {Item(1, "held"), Item(2)}
    assert outbox.ready
    assert taken(outbox) == [Item(0, "black")]
    assert outbox.offer(Item(3), 0.0) == ()
    assert taken(outbox) == []  # the ack of 1 is still owed
    outbox.ack(1)
    assert taken(outbox) == [Item(3)]


def test_panic_that_holds_the_picture_sends_nothing() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    assert outbox.panic(None) == (Item(1),)
    assert taken(outbox) == []


def test_a_second_panic_picture_replaces_the_first() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.panic(Item(0, "black"))
    assert outbox.panic(Item(0, "still black")) == (Item(0, "black"),)
    assert taken(outbox) == [Item(0, "still black")]


def test_sets_after_panic_follow_its_picture() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.panic(Item(4, "last"))
    assert outbox.offer(Item(4), 0.0) == (Item(4),)
    outbox.offer(Item(5), 0.0)
    assert taken(outbox) == [Item(4, "last"), Item(5)]


def test_a_preview_that_came_too_late_is_thrown_out_alone() -> None:
    outbox: Outbox[Item] = Outbox()
    early, late = Item(1, "early"), Item(1, "late")
    assert outbox.drop_preview(lambda item: True) == ()
    outbox.preview(early)
    assert outbox.drop_preview(lambda item: item is late) == ()
    assert outbox.drop_preview(lambda item: item is early) == (early,)
    assert outbox.take() is None
    outbox.offer(late, 0.0)
    assert outbox.drop_preview(lambda item: True) == ()
    assert outbox.take() is late


def test_previews_are_free_and_give_way() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    outbox.take()
    assert outbox.preview(Item(2, "preview")) == ()
    assert outbox.ready
    assert outbox.preview(Item(2, "better")) == (Item(2, "preview"),)
    assert taken(outbox) == [Item(2, "better")]  # without credit
    outbox.preview(Item(2, "best"))
    assert outbox.offer(Item(2), 0.0) == (Item(2, "best"),)
    assert outbox.preview(Item(3, "early")) == (Item(3, "early"),)  # a set waits
    outbox.ack(1)
    outbox.take()
    assert outbox.preview(Item(2, "stale")) == (Item(2, "stale"),)
    outbox.preview(Item(3, "preview"))
    assert outbox.hold(Item(2, "held")) == (Item(3, "preview"),)


def test_clear_gives_back_all_and_keeps_credit() -> None:
    outbox: Outbox[Item] = Outbox()
    outbox.offer(Item(1), 0.0)
    outbox.take()
    outbox.offer(Item(2), 0.0)
    outbox.hold(Item(1, "held"))
    assert set(outbox.clear()) == {Item(2), Item(1, "held")}
    assert outbox.clear() == ()
    assert not outbox.waits
    outbox.offer(Item(3), 0.0)
    assert outbox.take() is None


def test_refill_is_full_credit_again() -> None:
    outbox: Outbox[Item] = Outbox(credit=2)
    for number in (1, 2):
        outbox.offer(Item(number), 0.0)
        outbox.take()
    outbox.offer(Item(3), 0.0)
    outbox.refill()
    assert taken(outbox) == [Item(3)]
    assert not outbox.ack(1)


def test_stats_count_and_tell_the_age_of_the_oldest() -> None:
    outbox: Outbox[Item] = Outbox()
    assert outbox.stats(9.0) == OutboxStats(0, 0, 0, 0.0, 0, 0)
    outbox.offer(Item(1), 10.0)
    assert outbox.stats(10.5) == OutboxStats(0, 0, 0, 0.5, 1, 0)
    outbox.take()
    outbox.offer(Item(2), 11.0)
    outbox.offer(Item(3), 12.0)
    assert outbox.stats(13.0) == OutboxStats(1, 1, 2, 3.0, 1, 1)
    outbox.ack(1)
    assert outbox.stats(13.0) == OutboxStats(1, 1, 2, 1.0, 1, 0)
    outbox.take()
    outbox.ack(3)
    assert outbox.stats(99.0) == OutboxStats(2, 1, 2, 0.0, 0, 0)


@pytest.mark.parametrize("ends_by", ["hold", "panic"])
@pytest.mark.parametrize("credit", [1, 3])
def test_blends_that_nobody_acked_cost_nothing_once_their_fade_is_over(ends_by: str, credit: int) -> None:
    """A client may take all held pictures as needing no ack: it sees a part of the fade, and then new sets again."""
    outbox = Outbox[Item](credit)
    outbox.offer(Item(1), 0.0)
    assert outbox.take() == Item(1)
    assert outbox.ack(1)
    for step in range(5):
        outbox.blend(Item(1, f"blend {step}"), 0.0)
        outbox.take()
    assert outbox.stats(0.0).unacked == credit
    getattr(outbox, ends_by)(Item(1, "end"))
    assert outbox.take() == Item(1, "end")
    outbox.offer(Item(2), 0.0)
    assert outbox.take() == Item(2)
    assert outbox.stats(0.0).unacked == 1


def test_the_end_of_a_fade_is_no_ack_of_the_set_before_it() -> None:
    outbox = Outbox[Item](credit=2)
    outbox.offer(Item(1), 0.0)
    outbox.take()
    outbox.blend(Item(1, "blend"), 0.0)
    assert outbox.take() == Item(1, "blend")
    outbox.hold(Item(1, "end"))
    outbox.take()
    assert outbox.stats(0.0).unacked == 1
    for number in (2, 3):
        outbox.offer(Item(number), 0.0)
    assert numbers(taken(outbox)) == [3]
    outbox.offer(Item(4), 0.0)
    assert taken(outbox) == []


def test_a_blend_is_made_only_where_it_takes_the_place_of_nothing() -> None:
    outbox = Outbox[Item](credit=1)
    assert not outbox.takes_blend(1)  # its set is not there yet
    outbox.offer(Item(1, "set"), 0.0)
    assert not outbox.takes_blend(1)  # and waits
    outbox.take()
    assert outbox.takes_blend(1)
    outbox.blend(Item(1, "blend"), 0.0)
    assert not outbox.takes_blend(1)  # one waits for its ack
    outbox.ack(1)
    outbox.take()
    assert outbox.takes_blend(1)
    outbox.hold(Item(1, "held"))
    assert not outbox.takes_blend(1)


def test_the_set_that_ends_a_fade_gives_the_credit_of_its_blends_back() -> None:
    outbox = Outbox[Item](credit=1)
    outbox.offer(Item(1, "set"), 0.0)
    outbox.take()
    outbox.ack(1)
    outbox.blend(Item(1, "blend"), 0.0)
    outbox.take()  # never acked
    outbox.forget_blends()
    outbox.offer(Item(2, "set"), 0.0)
    assert outbox.take() == Item(2, "set")
