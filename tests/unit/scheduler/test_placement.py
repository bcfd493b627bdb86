"""Each rule of the pool as a table of cases."""

from __future__ import annotations

import doctest
from math import inf

import pytest

from bridge.scheduler import breaker, placement
from bridge.scheduler.placement import Offer


def test_examples() -> None:
    assert doctest.testmod(placement).failed == 0


@pytest.mark.parametrize(
    ("open_", "unfit", "down", "fit"),
    [
        ("abc", "", "", "abc"),
        ("abc", "b", "", "ac"),  # only where its nodes and models are
        ("abc", "bz", "", "ac"),  # backends that are not known don't matter
        ("ab", "ab", "", "ab"),  # nobody has them: ComfyUI's own error tells what is missing
        ("ab", "abc", "c", "ab"),  # nor does the one that is down
        ("ab", "ab", "c", None),  # the one that has them is down: it is waited for
        ("a", "b", "c", "a"),
        ("", "", "c", ""),  # nothing is open at all
        ("", "c", "c", ""),
    ],
)
def test_fitting(open_: str, unfit: str, down: str, fit: str | None) -> None:
    assert placement.fitting(open_, frozenset(unfit), down) == (None if fit is None else list(fit))


@pytest.mark.parametrize(
    ("fit", "broken", "avoided", "names"),
    [
        ("abc", "", "", "abc"),
        ("abc", "b", "", "ac"),
        ("abc", "", "a", "bc"),  # not where it failed
        ("abc", "b", "a", "c"),
        ("ab", "b", "a", "a"),  # rather where it failed than where everything does
        ("a", "a", "", "a"),  # no choice: as if there were no breaker
        ("a", "", "a", "a"),
        ("a", "a", "a", "a"),
    ],
)
def test_usable(fit: str, broken: str, avoided: str, names: str) -> None:
    assert placement.usable(list(fit), frozenset(broken), frozenset(avoided)) == list(names)


@pytest.mark.parametrize(
    ("estimate_s", "elapsed_s", "left_s"),
    [(2.0, 0.0, 2.0), (2.0, 1.5, 0.5), (2.0, 2.0, 0.0), (2.0, 5.0, 3.0)],
)
def test_remaining(estimate_s: float, elapsed_s: float, left_s: float) -> None:
    assert placement.remaining(estimate_s, elapsed_s) == left_s


@pytest.mark.parametrize(
    ("warm", "here_s", "pool_s", "first_s", "load_s"),
    [
        (True, 9.0, 9.0, 9.0, 0.0),
        (False, 4.0, 9.0, 9.0, 4.0),  # what it took here
        (False, None, 9.0, 2.0, 9.0),  # what it took elsewhere
        (False, 0.0, 9.0, 2.0, 0.0),  # nothing to load
        (False, None, None, 2.0, 1.0),  # one prompt only was seen: a part of it was loading
        (False, None, None, None, 0.0),  # nobody knows: the same for all
    ],
)
def test_load_time(
    warm: bool, here_s: float | None, pool_s: float | None, first_s: float | None, load_s: float
) -> None:
    assert placement.load_time(warm, here_s, pool_s, first_s) == load_s


@pytest.mark.parametrize(
    ("recent", "key", "after"),
    [("", "a", "a"), ("a", "b", "ab"), ("ab", "a", "ba"), ("ab", "c", "bc"), ("ab", "b", "ab")],
)
def test_use_key(recent: str, key: str, after: str) -> None:
    assert placement.use_key(tuple(recent), key) == tuple(after)


def test_what_is_loaded_is_used_for_twice_as_long_as_loading_took() -> None:
    assert placement.loads_again_at(10.0, 2.0, 5.0) == 27.0


@pytest.mark.parametrize(
    ("offer", "others", "pieces"),
    [
        (Offer(0.0, 1.0), [Offer(0.0, 1.0)], 1),  # both are free: one is done there by then
        (Offer(0.0, 1.0), [Offer(1.5, 1.0)], 0),  # the other has enough to do
        (Offer(0.0, 10.0), [Offer(2.0, 1.0)], 8),  # ten times slower: the ninth piece is done sooner here
        (Offer(0.0, 10.0), [Offer(2.0, 1.0), Offer(2.0, 1.0)], 16),
        (Offer(0.0, 1.0, 5.0), [Offer(2.0, 1.0)], 4),  # cold: worth it with five in line
        (Offer(0.0, 1.0, 5.0), [Offer(0.0, 1.0, 5.0)], 1),  # both are
        (Offer(0.0, 1.0), [], 0),
        (Offer(0.0, 1.0), [Offer(0.0, 0.0)], inf),  # a prompt that takes no time waits for that one
    ],
)
def test_ahead(offer: Offer, others: list[Offer], pieces: float) -> None:
    assert placement.ahead(offer, others) == pieces


@pytest.mark.parametrize(
    ("estimate_s", "places", "seconds"), [(None, 4, 0.0), (1.0, 0, 0.0), (1.0, 1, 0.0), (1.0, 2, 0.45), (2.0, 4, 0.45)]
)
def test_spacing(estimate_s: float | None, places: int, seconds: float) -> None:
    assert placement.spacing(estimate_s, places) == pytest.approx(seconds)


def test_break_times_grow_and_end() -> None:
    times = [placement.break_time(trips) for trips in range(1, 40)]
    assert times[:4] == [0.5, 1.0, 2.0, 4.0]
    assert times == sorted(times)
    assert times[-1] == 30.0


@pytest.mark.parametrize(
    ("failed_at", "elsewhere", "blamed"),
    [
        ("a", True, True),  # it works elsewhere
        ("a", False, False),  # it never worked: perhaps it can't
        ("ab", True, False),  # it fails at two of them: the workflow's own fault, or its values'
    ],
)
def test_blames_backend(failed_at: str, elsewhere: bool, blamed: bool) -> None:
    assert placement.blames_backend(frozenset(failed_at), "a", elsewhere) is blamed


@pytest.mark.parametrize(
    ("closed", "until", "in_flight", "now", "free"),
    [
        (True, -inf, 2, 0.0, True),
        (False, 5.0, 0, 4.0, False),
        (False, 5.0, 0, 5.0, True),  # one prompt tries it
        (False, 5.0, 1, 5.0, False),  # and only one
    ],
)
def test_is_free(closed: bool, until: float, in_flight: int, now: float, free: bool) -> None:
    assert placement.is_free(closed, until, in_flight, now) is free


# --- the breaker ---------------------------------------------------------------------------------------------------


def test_a_breaker_opens_at_the_third_failure_in_a_row_and_longer_each_time() -> None:
    one = breaker.Breaker()
    one.failed(None, 0.0)
    one.failed(None, 0.0)
    one.succeeded()
    one.failed(None, 1.0)
    one.failed(None, 1.0)
    assert one.closed
    one.failed(None, 1.0)
    assert one.until == 1.5
    one.failed(None, 1.2)  # what was under way
    assert one.until == 1.5
    one.failed(None, 2.0)  # the trial
    assert one.until == 3.0
    one.succeeded()
    assert one.closed
    for _ in range(3):
        one.failed(None, 4.0)
    assert one.until == 6.0  # it was well for one prompt only
    for _ in range(3):
        one.succeeded()
    for _ in range(3):
        one.failed(None, 10.0)
    assert one.until == 10.5


def test_failures_that_were_the_workflows_own_are_forgiven() -> None:
    one = breaker.Breaker()
    for _ in range(3):
        one.failed("w", 0.0)
    assert not one.closed
    one.forgive("w")
    assert one.closed
    one.failed("w", 1.0)
    one.failed(None, 1.0)
    one.failed(None, 1.0)
    one.forgive("other")
    assert not one.closed


def test_who_is_to_blame() -> None:
    failures = breaker.Failures()
    assert failures.failed("w", "a", ["a"]) == (False, frozenset())  # it never worked anywhere else
    failures.succeeded("w")
    assert failures.failed("w", "a", ["a", "b"]) == (True, frozenset())
    assert failures.failed("w", "a", ["a", "b"]) == (True, frozenset())
    assert failures.failed("w", "b", ["a", "b"]) == (False, frozenset("ab"))  # now it fails there too: it is "w"
    assert failures.failed("w", "a", ["a", "b"]) == (False, frozenset("ab"))
    failures.forget("b")
    failures.succeeded("w")
    assert failures.failed("w", "b", ["a"]) == (True, frozenset())


def test_what_failed_is_remembered_of_so_many_workflows() -> None:
    failures = breaker.Failures()
    for key in range(2 * breaker.KEYS_KEPT):
        failures.failed(key, "a", ["a"])
    assert len(failures._failed_at) == breaker.KEYS_KEPT
