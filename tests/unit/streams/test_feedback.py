"""What a target is told, and when."""

from bridge.streams.feedback import REFRESH_EVERY_S, TICK_S, VALUES_A_TICK, FeedbackQueue

BLUR, TINT = ("main", "blur"), ("main", "tint")


def test_a_change_is_told_a_tick_later_and_once():
    queue = FeedbackQueue()
    assert queue.next_deadline() is None
    queue.add(BLUR, 10.0)
    queue.add(TINT, 10.01)
    queue.add(BLUR, 10.02)
    assert queue.next_deadline() == 10.0 + TICK_S
    assert queue.take(10.03) == []
    assert queue.take(10.0 + TICK_S) == [BLUR, TINT]
    assert queue.next_deadline() is None
    queue.add(BLUR, 10.04)
    assert queue.next_deadline() == 10.04 + TICK_S


def test_what_the_target_set_itself_and_what_is_gone_is_not_told():
    queue = FeedbackQueue()
    for key in (BLUR, TINT, ("sky", "blur")):
        queue.add(key, 0.0)
    queue.drop(TINT)
    queue.drop(("main", "never"))
    queue.drop_stream("sky")
    assert queue.take(1.0) == [BLUR]


def test_many_values_are_told_in_several_ticks():
    queue = FeedbackQueue()
    keys = [("main", f"p{number}") for number in range(2 * VALUES_A_TICK + 5)]
    assert queue.refresh(keys, 5.0)
    assert queue.next_deadline() == 5.0
    told, now, sizes = [], 5.0, []
    while queue.next_deadline() is not None:
        now = queue.next_deadline()
        part = queue.take(now)
        sizes.append(len(part))
        told += part
        assert queue.take(now) == []
    assert sizes == [VALUES_A_TICK, VALUES_A_TICK, 5]
    assert told == keys
    assert now == 5.0 + 2 * TICK_S


def test_refreshes_in_a_row_are_two_at_most():
    queue = FeedbackQueue()
    assert queue.refresh([BLUR], 0.0)
    assert queue.take(0.0) == [BLUR]
    assert [queue.refresh([BLUR], number / 1000) for number in range(1, 500)] == [False] * 499
    assert queue.take(0.5) == []
    assert queue.next_deadline() == REFRESH_EVERY_S
    assert not queue.is_refresh_due(0.999)
    assert queue.is_refresh_due(REFRESH_EVERY_S)
    assert queue.refresh([BLUR], REFRESH_EVERY_S)
    assert not queue.is_refresh_due(REFRESH_EVERY_S)
    assert queue.take(REFRESH_EVERY_S) == [BLUR]
    assert queue.next_deadline() is None
