"""Prompts that hang are made elsewhere, once, and what comes of them later is dropped."""

from math import inf

import pytest
from scheduler_table import STREAM, Table

from bridge.scheduler import events as e
from bridge.scheduler.hung import HUNG_AFTER_S, LOADING_AFTER_S, STALLED_AFTER_S, hangs_at
from bridge.types import Mode, Outcome

NEVER = {"doubted_at": inf, "submitted_at": 1.0, "started_at": None, "known_s": 0.2, "cold": False}


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({}, inf),
        ({"doubted_at": 100.0}, 103.0),
        ({"doubted_at": 100.0, "submitted_at": 101.0}, 104.0),
        ({"doubted_at": 100.0, "cold": True}, 130.0),
        ({"doubted_at": 100.0, "known_s": None}, 130.0),
        ({"started_at": 10.0}, 70.0),
        ({"started_at": 10.0, "known_s": 7.0}, 80.0),
        ({"started_at": 10.0, "cold": True}, inf),
        ({"started_at": 10.0, "known_s": None}, inf),
        ({"started_at": 10.0, "doubted_at": 100.0}, 70.0),
    ],
)
def test_when_one_hangs(more: dict[str, object], at: float) -> None:
    assert hangs_at(**{**NEVER, **more}) == at  # type: ignore[arg-type]


def warm(mode: Mode = Mode.ONESHOT, *backends: str) -> Table:
    """Every backend has made a picture, and knows how long that takes."""
    table = Table(mode, *(backends or ("a", "b")))
    requests = [table.run(number) for number in range(1, 9)]
    while set(requests) - set(table.outcomes):
        for submit in [one for one in table.submitted if one.request not in table.outcomes]:
            table.tell(e.AttemptPosted(submit.attempt), e.AttemptStarted(submit.attempt))
            table.wait(0.2)
            assert table.done(submit.attempt)
    assert {submit.backend for submit in table.submitted} == set(backends or ("a", "b"))
    table.submitted.clear()
    return table


def running_at(table: Table, request: int) -> e.Submit:
    (submit,) = [one for one in table.submitted if one.request == request]
    table.tell(e.AttemptPosted(submit.attempt), e.AttemptStarted(submit.attempt))
    return submit


def test_moved_when_in_doubt_for_long_and_a_late_result_is_dropped() -> None:
    table = warm()
    request = table.run(20)
    first = running_at(table, request)
    other = "b" if first.backend == "a" else "a"
    table.tell(e.BackendDoubted(first.backend))
    table.wait(HUNG_AFTER_S - 0.01)
    assert table.submitted[-1] is first
    assert table.scheduler.next_deadline() == pytest.approx(table.now + 0.01)
    table.wait(0.02)
    second = table.submitted[-1]
    assert (second.request, second.backend, second.attempt > first.attempt) == (request, other, True)
    assert table.outcomes.get(request) is None
    # The one left behind comes to life again: nobody wants its picture.
    table.tell(e.BackendUp(first.backend), e.AttemptEnded(first.attempt))
    assert not table.scheduler.wants(first.attempt)
    assert not table.scheduler.release(first.attempt)
    table.tell(e.ResultSettled(first.attempt))
    assert table.outcomes.get(request) is None
    assert table.done(second.attempt)
    assert table.outcomes[request] is Outcome.DONE


def test_back_in_time_it_stays() -> None:
    table = warm()
    request = table.run(20)
    first = running_at(table, request)
    table.tell(e.BackendDoubted(first.backend))
    table.wait(HUNG_AFTER_S - 0.1)
    table.tell(e.BackendUp(first.backend))
    table.wait(HUNG_AFTER_S)
    table.tell(e.BackendDoubted(first.backend))
    table.wait(HUNG_AFTER_S - 0.1)
    assert table.submitted == [first]


def test_one_that_loads_models_is_given_time() -> None:
    table = warm()
    table.tell(e.StreamConfigured(STREAM, Mode.ONESHOT, "another"))
    request = table.run(20)
    first = running_at(table, request)
    table.tell(e.BackendDoubted(first.backend))
    table.wait(LOADING_AFTER_S - 1)
    assert table.submitted == [first]
    table.wait(1.1)
    assert [one.request for one in table.submitted] == [request, request]


def test_a_stalled_one_of_a_backend_that_answers() -> None:
    table = warm()
    request = table.run(20)
    first = running_at(table, request)
    table.wait(STALLED_AFTER_S - 1)
    assert table.submitted == [first]
    table.wait(1.1)
    assert table.submitted[-1].backend != first.backend


def test_it_goes_nowhere_twice_and_costs_no_tries() -> None:
    table = warm(Mode.ONESHOT, "a", "b", "c", "d", "e")
    request = table.run(20)
    for count in range(1, 6):
        submit = table.submitted[-1]
        assert len(table.submitted) == count
        table.tell(e.AttemptPosted(submit.attempt), e.AttemptStarted(submit.attempt), e.BackendDoubted(submit.backend))
        table.wait(HUNG_AFTER_S)
    assert len({submit.backend for submit in table.submitted}) == 5
    table.wait(10 * HUNG_AFTER_S)
    assert len(table.submitted) == 5  # all of them hang: it stays where it is until one is given up
    last = table.submitted[-1]
    table.tell(e.BackendUp("a"), e.AttemptEnded(last.attempt))
    assert table.scheduler.release(last.attempt)
    table.tell(e.ResultSettled(last.attempt))
    assert table.outcomes == table.outcomes | {request: Outcome.DONE}


def test_only_where_it_fits() -> None:
    table = warm(Mode.ONESHOT, "a", "b", "c")
    table.tell(e.PlacesChanged(STREAM, frozenset({"b"})))
    request = table.run(20)
    first = running_at(table, request)
    third = ({"a", "c"} - {first.backend}).pop()
    table.tell(e.BackendDoubted(first.backend))
    table.wait(HUNG_AFTER_S)
    assert table.submitted[-1].backend == third
    table.tell(e.AttemptStarted(table.submitted[-1].attempt), e.BackendDoubted(third))
    table.wait(HUNG_AFTER_S)
    assert len(table.submitted) == 2


def test_with_one_backend_nothing_moves() -> None:
    table = warm(Mode.ONESHOT, "a")
    table.run(20)
    table.tell(e.BackendDoubted("a"))
    table.wait(100)
    assert len(table.submitted) == 1


def test_a_live_streams_own_picture_is_made_anew() -> None:
    table = Table(Mode.LIVE, "a", "b")
    for revision in range(1, 9):
        for submit in [one for one in table.submitted if one.request not in table.outcomes]:
            table.tell(e.AttemptStarted(submit.attempt))
            table.wait(0.2)
            table.done(submit.attempt)
        table.values(revision)
    first = table.submitted[-1]
    table.tell(e.AttemptPosted(first.attempt), e.AttemptStarted(first.attempt))
    table.tell(e.BackendDoubted(first.backend))
    table.wait(LOADING_AFTER_S)
    newest = table.submitted[-1]
    assert (newest.backend == first.backend, newest.generation) == (False, True)
    assert table.done(newest.attempt)
