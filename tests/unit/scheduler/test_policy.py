"""Each rule of the scheduler as a table of cases."""

from __future__ import annotations

from math import inf

import pytest

from bridge.scheduler import policy
from bridge.types import Mode


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((5, 0.0), (5, 1.0)),  # same priority: the older first
        ((9, 3.0), (5, 0.0)),  # four steps are worth four seconds: three are not enough for the old one
        ((5, 0.0), (9, 4.5)),  # four and a half are: nothing starves
        ((0, 0.0), (9, 9.5)),
        ((9, 0.0), (0, 0.0)),
    ],
)
def test_order_key(first: tuple[int, float], second: tuple[int, float]) -> None:
    assert policy.order_key(*first) < policy.order_key(*second)


@pytest.mark.parametrize(
    ("mode", "generation", "late", "replaces", "limit"),
    [
        (Mode.ONESHOT, False, False, False, 1024),
        (Mode.LATEST, False, True, True, 1),
        (Mode.LIVE, False, False, False, 64),
        (Mode.LIVE, True, True, False, 64),
    ],
)
def test_modes(mode: Mode, generation: bool, late: bool, replaces: bool, limit: int) -> None:
    assert policy.binds_late(mode, generation) is late
    assert policy.replaces_waiting(mode) is replaces
    assert policy.waiting_limit(mode) == limit


@pytest.mark.parametrize(
    ("active", "withdrawing", "room"),
    [
        (0, 0, True),
        (1, 0, True),
        (2, 0, False),
        (0, 1, True),
        (1, 1, True),
        (1, 2, False),
        (0, 3, False),
        (2, 1, False),
    ],
)
def test_has_room(active: int, withdrawing: int, room: bool) -> None:
    assert policy.has_room(active, withdrawing) is room


@pytest.mark.parametrize(
    ("in_flight", "late", "expected_end", "at"),
    [
        (0, False, None, -inf),
        (0, True, None, -inf),
        (0, True, 10.0, -inf),
        (1, False, None, -inf),
        (1, False, 10.0, -inf),
        (1, True, None, inf),
        (1, True, 10.0, 9.75),
    ],
)
def test_submit_at(in_flight: int, late: bool, expected_end: float | None, at: float) -> None:
    assert policy.submit_at(in_flight=in_flight, late=late, expected_end=expected_end, lead_s=0.25) == at


@pytest.mark.parametrize(
    ("now", "expected_start", "estimate_s", "at"),
    [
        (1.0, 9.0, 2.0, 1.0),  # plenty of time: at once
        (8.25, 9.0, 2.0, 8.25),  # three leads are just enough
        (8.5, 9.0, 2.0, inf),  # about to start: leave it alone
        (9.5, 9.0, 8.0, 5.0),  # overdue: when its values are half a generation old
        (9.5, 9.0, 1.0, 2.0),  # but never more often than every four leads
        (9.5, None, 8.0, 5.0),  # behind a stranger's prompt: the same
        (9.5, None, None, 2.0),  # nothing known at all: after a second
    ],
)
def test_refresh_at(now: float, expected_start: float | None, estimate_s: float | None, at: float) -> None:
    given = policy.refresh_at(posted_at=1.0, expected_start=expected_start, estimate_s=estimate_s, lead_s=0.25, now=now)
    assert given == at


@pytest.mark.parametrize(
    ("previous_due", "now", "max_fps", "at"),
    [
        (-inf, 7.0, None, -inf),
        (-inf, 7.0, 10.0, 7.1),  # the first one
        (7.0, 7.0, 10.0, 7.1),
        (7.0, 7.05, 10.0, 7.1),  # a late one doesn't shift the next
        (7.0, 7.5, 10.0, 7.6),  # a pause isn't caught up
    ],
)
def test_next_generation_at(previous_due: float, now: float, max_fps: float | None, at: float) -> None:
    assert policy.next_generation_at(previous_due, now, max_fps) == pytest.approx(at)


def test_holds_grow_and_end() -> None:
    holds = [policy.hold_after_failure(failures) for failures in range(1, 40)]
    assert holds[:4] == [0.25, 0.5, 1.0, 2.0]
    assert holds == sorted(holds)
    assert holds[-1] == 30.0


@pytest.mark.parametrize(("tries", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_may_try_again(tries: int, again: bool) -> None:
    assert policy.may_try_again(tries) is again


@pytest.mark.parametrize(
    ("mode", "order", "last_released", "stale"),
    [
        (Mode.ONESHOT, 3, 9, False),
        (Mode.LATEST, 3, 9, True),
        (Mode.LIVE, 8, 9, True),
        (Mode.LIVE, 9, 9, False),  # the next picture of the same batch
        (Mode.LATEST, 10, 9, False),
    ],
)
def test_is_stale(mode: Mode, order: int, last_released: int, stale: bool) -> None:
    assert policy.is_stale(mode, order, last_released) is stale


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # (priority, waits since, its stream's last turn)
        ((5, 0.0, -inf), (5, 1.0, -inf)),  # two streams that had no turn: the older first
        ((5, 9.0, -inf), (5, 0.0, 9.5)),  # a single run beside the rest of a flood that had one just now
        ((5, 0.0, 8.0), (5, 0.0, 9.0)),  # two floods: by turns
        ((5, 9.0, 8.0), (5, 0.0, 9.5)),  # a live stream that changed beside a flood
        ((9, 0.0, 9.0), (5, 6.0, -inf)),  # four steps beat three seconds, even of a flood that had its turn just now
        ((5, 4.5, -inf), (9, 0.0, 9.0)),  # and not four and a half: nothing starves
        ((0, 0.0, -inf), (9, 0.0, 9.5)),
    ],
)
def test_turn_key(first: tuple[int, float, float], second: tuple[int, float, float]) -> None:
    assert policy.turn_key(*first) < policy.turn_key(*second)
