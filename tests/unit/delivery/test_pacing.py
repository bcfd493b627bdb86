"""A line's rate, by literal times."""

import pytest

from bridge.delivery.pacing import Pace, RateLimit


def test_a_line_is_busy_for_as_long_as_what_was_sent_takes():
    line = RateLimit(8)  # a million bytes a second
    assert line.is_free(0.0)
    line.sent(500_000, 10.0)
    assert line.free_at == 10.5
    assert not line.is_free(10.4)
    assert line.is_free(10.5)


def test_what_could_not_wait_counts_too():
    line = RateLimit(8)
    line.sent(500_000, 10.0)
    line.sent(250_000, 10.1)
    assert line.free_at == 10.75


def test_time_that_was_not_used_is_not_saved_up():
    line = RateLimit(8)
    line.sent(100_000, 10.0)
    line.sent(100_000, 20.0)
    assert line.free_at == 20.1


def test_in_the_long_run_no_more_than_the_rate_goes_out():
    line, now, sent = RateLimit(0.8), 0.0, 0
    while now < 100.0:
        if line.is_free(now):
            line.sent(7_001, now)
            sent += 7_001
        now += 0.013
    assert 0.8 * 100_000 * 100 * 0.7 < sent <= 100_000 * 100 + 7_001


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_over_nothing(rate):
    with pytest.raises(ValueError, match="max_mbps"):
        RateLimit(rate)


def test_a_pace_is_steady_whatever_the_delays():
    pace = Pace(10)
    assert pace.is_due(5.0)
    pace.released(5.0)
    assert not pace.is_due(5.09)
    pace.released(5.13)  # 30 ms late
    assert pace.due_at == pytest.approx(5.2)
    pace.released(5.2)
    assert pace.due_at == pytest.approx(5.3)


def test_after_a_gap_nothing_is_caught_up():
    pace = Pace(10)
    pace.released(5.0)
    pace.released(7.0)
    assert pace.due_at == pytest.approx(7.1)


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_a_pace_is_over_nothing(fps):
    with pytest.raises(ValueError, match="fps"):
        Pace(fps)
