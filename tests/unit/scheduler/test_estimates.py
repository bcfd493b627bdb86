"""What was learned of durations: cold ones apart, everything bounded."""

from __future__ import annotations

from bridge.scheduler.estimates import DURATIONS_KEPT, KEYS_KEPT, Estimates


def test_the_first_prompt_shows_what_loading_adds_once_a_second_one_has_run() -> None:
    estimates = Estimates()
    assert (estimates.duration("w"), estimates.load("w")) == (None, None)
    estimates.add_duration("w", 6.0, cold=True)
    assert (estimates.duration("w"), estimates.load("w")) == (6.0, None)
    estimates.add_duration("w", 1.0)
    assert (estimates.duration("w"), estimates.load("w")) == (1.0, 5.0)


def test_loads_that_turn_out_short_are_learned() -> None:
    estimates = Estimates()
    estimates.add_duration("w", 6.0, cold=True)
    for _ in range(3):
        estimates.add_duration("w", 1.0)
        estimates.add_duration("w", 1.25, cold=True)  # its models were still there after all
    assert estimates.load("w") == 0.25
    assert estimates.duration("w") == 1.0


def test_a_prompt_that_loads_nothing_has_no_load_below_0() -> None:
    estimates = Estimates()
    estimates.add_duration("w", 1.0, cold=True)
    estimates.add_duration("w", 2.0)
    assert estimates.load("w") == 0.0


def test_the_lower_median_of_the_last_ones() -> None:
    estimates = Estimates()
    for seconds in (99.0, *range(1, DURATIONS_KEPT + 1)):
        estimates.add_duration("w", float(seconds))
    assert estimates.duration("w") == 8.0


def test_no_lead_is_longer_than_the_longest() -> None:
    estimates = Estimates()
    for way in (0.001, 0.004, 0.002):
        estimates.add_lead(way)
    for stream, seconds in ((1, 0.1), (2, 0.02)):
        estimates.add_preparation(stream, seconds)
    for key, seconds in (("w", 1.0), ("w", 0.9), ("w", 1.1), ("v", 3.0), ("v", 0.1)):
        estimates.add_duration(key, seconds)
    leads = [estimates.lead(key, stream) for key in ("w", "v", "none") for stream in (1, 2, 3)]
    assert max(leads) <= estimates.longest_lead()
    assert Estimates().longest_lead() == Estimates().lead("w", 1)


def test_keys_and_streams_that_were_not_seen_for_long_are_forgotten() -> None:
    estimates = Estimates()
    for number in range(2 * KEYS_KEPT):
        estimates.add_duration(("w", number), 1.0)
        estimates.add_preparation(number, 0.1)
    assert len(estimates.durations()) == KEYS_KEPT
    assert estimates.duration(("w", 0)) is None
    assert estimates.preparation(0) == 0.0
    assert estimates.preparation(2 * KEYS_KEPT - 1) == 0.1
