"""A stream whose pictures are made of the ones before: one at a time, whatever its mode and however many backends."""

import pytest
from scheduler_table import STREAM, Table

from bridge.errors import BackendError
from bridge.scheduler import events as e
from bridge.types import Mode, Outcome


def chained(mode, *backends, varies=False, **options):
    table = Table(mode, *backends)
    table.tell(e.StreamConfigured(STREAM, mode, "w", varies=varies, chained=True, **options))
    return table


def ended(table, attempt):
    """The prompt is over at its backend, its picture is still in decoding."""
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt), e.AttemptEnded(attempt))


def settled(table, attempt):
    assert table.scheduler.release(attempt)
    table.tell(e.ResultSettled(attempt))


@pytest.mark.parametrize("backends", [("a",), ("a", "b", "c")])
@pytest.mark.parametrize("mode", [Mode.ONESHOT, Mode.LIVE])
def test_each_run_waits_for_the_result_before_it(mode, backends):
    table = chained(mode)
    runs = [table.run(revision) for revision in (1, 2, 3)]
    table.tell(*(e.BackendUp(backend) for backend in backends))
    for place, run in enumerate(runs):
        assert len(table.submitted) == place + 1
        attempt = table.submitted[-1]
        assert attempt.request == run
        ended(table, attempt.attempt)
        assert len(table.submitted) == place + 1  # its picture is not there yet
        settled(table, attempt.attempt)
    assert all(table.outcomes[run] is Outcome.DONE for run in runs)


def test_a_live_stream_that_goes_on_makes_one_at_a_time():
    table = chained(Mode.LIVE, "a", "b", varies=True)
    for count in range(1, 5):
        assert len(table.submitted) == count
        table.wait(10)
        assert len(table.submitted) == count
        ended(table, table.submitted[-1].attempt)
        table.wait(0.1)
        assert len(table.submitted) == count
        settled(table, table.submitted[-1].attempt)


def test_others_are_not_held_back():
    table = chained(Mode.ONESHOT, "a", "b")
    first, second = table.run(1), table.run(2)
    table.tell(e.StreamConfigured(7, Mode.ONESHOT, "v"))
    other = table.scheduler.take_number()
    table.tell(e.RequestAdded(other, 7, 1))
    assert [submit.request for submit in table.submitted] == [first, other]
    table.done(table.submitted[0].attempt)
    assert [submit.request for submit in table.submitted] == [first, other, second]


def test_those_that_were_passed_over_are_not_forgotten():
    """Cancelling the one that is next lets the one behind it go."""
    table = chained(Mode.ONESHOT, "a")
    runs = [table.run(revision) for revision in (1, 2, 3)]
    table.tell(e.RequestCancelled(runs[1]))
    table.done(table.submitted[0].attempt)
    assert table.submitted[-1].request == runs[2]


def test_one_that_fails_or_is_lost_ends_the_wait():
    table = chained(Mode.ONESHOT, "a", "b")
    runs = [table.run(revision) for revision in (1, 2, 3)]
    table.tell(e.AttemptRefused(table.submitted[0].attempt, BackendError("no"), retry=False))
    assert table.outcomes[runs[0]] is Outcome.FAILED
    assert table.submitted[-1].request == runs[1]
    backend = table.submitted[-1].backend
    table.tell(e.AttemptPosted(table.submitted[-1].attempt), e.BackendDown(backend))
    assert table.submitted[-1].request == runs[1]  # tried again elsewhere, before the next
    assert table.submitted[-1].backend != backend
    table.done(table.submitted[-1].attempt)
    assert table.submitted[-1].request == runs[2]


def test_switched_off_nothing_waits_any_more():
    table = chained(Mode.ONESHOT, "a", "b")
    runs = [table.run(revision) for revision in (1, 2, 3)]
    assert len(table.submitted) == 1
    table.tell(e.StreamConfigured(STREAM, Mode.ONESHOT, "w"))
    assert [submit.request for submit in table.submitted] == runs


def test_latest_binds_the_newest_behind_the_one_that_runs():
    table = chained(Mode.LATEST, "a")
    first = table.run(1)
    second, third = table.run(2), table.run(3)
    assert table.outcomes[second] is Outcome.SUPERSEDED
    table.done(table.submitted[0].attempt)
    assert [submit.request for submit in table.submitted] == [first, third]


def test_a_warm_up_holds_nobody_back():
    table = chained(Mode.ONESHOT, "a", "b")
    number = table.scheduler.take_number()
    table.tell(e.RequestAdded(number, STREAM, 0, backend="a"))
    run = table.run(1)
    assert [submit.request for submit in table.submitted] == [number, run]


def test_a_live_one_that_may_be_tried_again_is():
    table = chained(Mode.LIVE, "a", varies=True)
    first = table.submitted[-1]
    table.tell(e.AttemptRefused(first.attempt, BackendError("not here", retry=True), retry=True))
    assert not table.outcomes
    second = table.submitted[-1]
    assert (second.request, second.generation) == (first.request, True)
    assert second.attempt != first.attempt
    table.done(second.attempt)
    assert table.outcomes == {first.request: Outcome.DONE}
    table.wait(0.1)
    assert table.submitted[-1].request > first.request
