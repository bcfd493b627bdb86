"""The estimate of a ping's time."""

import pytest

from bridge.backends.records import ComfyLimits, remote_limits
from bridge.backends.round_trips import RoundTrips


def test_nothing_measured_adds_nothing():
    trips = RoundTrips()
    assert (trips.smoothed_s, trips.interval_s(0.8), trips.patience_s(1.7)) == (None, 0.8, 1.7)


def test_the_first_measurement_counts_whole_and_later_ones_smoothly():
    trips = RoundTrips()
    trips.measured(0.2)
    assert trips.smoothed_s == 0.2
    assert trips.patience_s(1.0) == pytest.approx(1.0 + 0.2 + 4 * 0.1)
    trips.measured(0.28)
    assert trips.smoothed_s == pytest.approx(0.21)


def test_steady_latency_ends_with_little_patience_and_jitter_with_more():
    steady, jittery = RoundTrips(), RoundTrips()
    for number in range(100):
        steady.measured(0.3)
        jittery.measured(0.1 if number % 2 else 0.5)
    assert steady.patience_s(0.0) == pytest.approx(0.3, abs=0.01)
    assert jittery.patience_s(0.0) > 0.9
    assert steady.interval_s(0.8) == pytest.approx(1.2, abs=0.01)
    assert steady.interval_s(4.0) == 4.0


def test_one_stall_of_an_hour_is_forgotten():
    trips = RoundTrips()
    trips.measured(3600.0)
    for _ in range(60):
        trips.measured(0.05)
    assert trips.patience_s(1.0) < 2.0


def test_remote_limits_keep_what_is_not_about_distance():
    limits = remote_limits(ComfyLimits(doubt_timeout_s=7.0, max_message_bytes=9))
    assert (limits.doubt_timeout_s, limits.max_message_bytes) == (7.0, 9)
    near = ComfyLimits()
    assert limits.ping_interval_s > near.ping_interval_s
    assert limits.open_timeout_s > near.open_timeout_s


def test_the_fastest_is_remembered():
    trips = RoundTrips()
    for took_s in (0.3, 0.08, 1.4):
        trips.measured(took_s)
    assert trips.least_s == 0.08
