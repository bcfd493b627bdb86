"""Cross-fades by a scripted clock: how many blends, how they go on, what is shown when, and nothing held for good."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.cross_fade import FADE_SHARE, CrossFade


class Play:
    """A cross-fade and a clock; `seen` is what a viewer sees, as numbers."""

    def __init__(self, fps=60.0, **options):
        self.fade = CrossFade(fps, **options)
        self.now = 100.0
        self.held = []
        self.seen = []
        self.blends = []

    def take(self, turn):
        if turn.show is not None:
            assert turn.show in self.held
            self.seen.append((self.now, turn.show))
        if turn.blend is not None:
            old, new, share = turn.blend.old, turn.blend.new, turn.blend.share
            assert old in self.held
            assert new in self.held
            self.blends.append((self.now, old, new, share))
        for item in turn.dropped:
            self.held.remove(item)

    def offer(self, item):
        self.held.append(item)
        self.take(self.fade.offer(item, self.now))
        assert len(self.held) <= 3

    def until(self, at):
        while (deadline := self.fade.next_deadline()) is not None and deadline <= at:
            self.now = max(self.now, deadline)
            self.take(self.fade.handle_timer(self.now))
        self.now = at


def steady(fps=60.0, interval_s=0.2, sets=6):
    play = Play(fps)
    for item in range(1, sets + 1):
        play.offer(item)
        play.until(play.now + interval_s)
    return play


def test_five_sets_a_second_become_sixty_pictures():
    play = steady()
    assert [item for _, item in play.seen] == [1, 2, 3, 4, 5, 6]
    between = [share for _, old, _, share in play.blends if old == 3]
    assert len(between) == 11  # every sixtieth of a second within 190 ms
    steps = [later - earlier for earlier, later in itertools.pairwise(between)]
    assert all(step == pytest.approx((1 / 60) / (0.2 * FADE_SHARE)) for step in steps)


def test_shares_grow_and_each_fade_begins_where_the_last_one_ended():
    play = steady()
    for new in range(2, 7):
        shares = [share for _, _, two, share in play.blends if two == new]
        assert shares == sorted(shares)
        assert 0 < shares[0] <= shares[-1] < 1
        assert {old for _, old, two, _ in play.blends if two == new} == {new - 1}


def test_a_set_is_shown_one_interval_after_it_came():
    play = Play()
    for item in range(1, 5):
        play.offer(item)
        play.until(play.now + 0.2)
    came = {item: 100.0 + 0.2 * (item - 1) for item in range(1, 5)}
    for at, item in play.seen[1:]:
        assert at - came[item] == pytest.approx(0.2 * FADE_SHARE)


def test_the_first_set_and_the_first_after_a_cut_come_at_once():
    play = Play()
    play.offer(1)
    assert play.seen == [(100.0, 1)]
    play.until(100.2)
    play.offer(2)
    assert len(play.seen) == 1
    play.until(101)
    play.take(play.fade.start_from(None))
    assert play.held == []
    play.offer(3)
    assert play.seen[-1] == (101, 3)


def test_a_set_that_comes_early_waits_and_a_newer_one_takes_its_place():
    play = steady(sets=3)
    play.offer(4)
    play.until(play.now + 0.01)
    play.offer(5)
    play.offer(6)  # 5 is not needed any more
    play.until(play.now + 5)
    assert [item for _, item in play.seen] == [1, 2, 3, 4, 6]
    assert play.held == [6]


def test_a_slow_generator_is_never_far_behind():
    play = steady(interval_s=10.0, sets=3)
    came = 100.0 + 20.0
    assert play.seen[-1] == (pytest.approx(came + 2.0), 3)


def test_settling_shows_the_newest_at_once():
    play = steady(sets=3)
    play.offer(4)
    play.until(play.now + 0.05)
    play.offer(5)
    play.take(play.fade.settle())
    assert play.seen[-1] == (play.now, 5)
    assert play.held == [5]
    assert play.fade.next_deadline() is None
    play.take(play.fade.settle())
    assert play.seen[-1][1] == 5
    assert play.held == [5]


def test_late_timers_make_one_blend_not_many():
    play = steady(sets=3)
    play.offer(4)
    play.now += 0.1
    before = len(play.blends)
    play.take(play.fade.handle_timer(play.now))
    play.take(play.fade.handle_timer(play.now))
    assert len(play.blends) == before + 1
    assert play.fade.next_deadline() > play.now


@pytest.mark.parametrize(("fps", "longest_s"), [(0, 1), (-1, 1), (60, 0), (float("nan"), 1)])
def test_rates_that_are_none(fps, longest_s):
    with pytest.raises(ValueError, match="over 0"):
        CrossFade(fps, longest_s)


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["offer", "settle", "start", "none", "wait"])), max_size=40))
def test_whatever_comes_items_are_owned_once_and_never_go_back(steps):
    play = Play(30.0)
    number = 0
    for seconds, what in steps:
        play.until(play.now + seconds)
        if what == "offer":
            number += 1
            play.offer(number)
        elif what == "settle":
            play.take(play.fade.settle())
        elif what == "start":
            number += 1
            play.held.append(number)
            play.take(play.fade.start_from(number))
        elif what == "none":
            play.take(play.fade.start_from(None))
    numbers = [item for _, item in play.seen]
    assert numbers == sorted(set(numbers))
    assert all(old < new and 0 <= share <= 1 for _, old, new, share in play.blends)
    play.until(play.now + 10)
    assert len(play.held) <= 1
