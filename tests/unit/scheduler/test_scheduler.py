"""The scheduler event by event, where the order of things matters; the rules at large stand in tests/property."""

from __future__ import annotations

import pytest
from scheduler_table import Table, live

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.types import Mode, Outcome


def test_a_run_in_live_brings_its_values_with_it() -> None:
    """The picture of a run is the picture of the newest values: the stream makes none of its own beside it."""
    table = live("a")
    run = table.run(1)
    assert [submit.request for submit in table.submitted[1:]] == [run]
    assert table.done(table.submitted[-1].attempt)
    assert table.outcomes[run] is Outcome.DONE
    table.values(1)  # known
    assert len(table.submitted) == 2
    table.values(2)
    assert table.submitted[-1].generation


def test_a_run_tried_again_does_not_overtake_newer_pictures() -> None:
    """Live, two backends: the run that died with one keeps its place, so the newest values stay on the viewers."""
    table = live("a", "b")
    run = table.run(1)
    table.values(2)
    lost = next(submit for submit in table.submitted if submit.request == run)
    newer = table.submitted[-1]
    assert (newer.generation, newer.backend == lost.backend) == (True, False)
    table.tell(e.AttemptLost(lost.attempt))
    again = table.submitted[-1]
    assert again.request == run
    assert table.done(newer.attempt)
    assert not table.done(again.attempt)
    assert table.outcomes[run] is Outcome.SUPERSEDED


@pytest.mark.parametrize("how", ["lost", "failed", "expired", "cancelled"])
def test_a_live_stream_makes_the_picture_that_a_run_owes(how: str) -> None:
    """The run's values are the stream's, whatever becomes of the run: live goes on until they are shown."""
    table = live("a")
    run = table.run(1, 0.5 if how == "expired" else None)
    attempt = table.submitted[-1].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    if how == "lost":
        table.tell(e.BackendDown("a"), e.AttemptLost(attempt))
        table.wait(2.5)
        assert table.outcomes[run] is Outcome.FAILED
        table.tell(e.BackendUp("a"))
    elif how == "failed":
        table.tell(e.AttemptEnded(attempt, BackendError("no", code=ErrorCode.EXECUTION_FAILED)))
        assert table.outcomes[run] is Outcome.FAILED
    else:
        if how == "expired":
            table.wait(1.0)
        else:
            table.tell(e.RequestCancelled(run))
        assert table.outcomes[run] is Outcome(how)
        table.tell(e.AttemptEnded(attempt, BackendError("no", code=ErrorCode.INTERRUPTED)))
    newest = table.submitted[-1]
    assert (newest.generation, newest.request > run) == (True, True)
    assert table.done(newest.attempt)
    assert table.submitted[-1] is newest  # and then there is nothing to do


def test_a_cancelled_generation_is_not_made_again() -> None:
    """Who cancels a live stream's own picture gets rid of it, until the values change."""
    table = live("a")
    table.values(1)
    own = table.submitted[-1]
    table.tell(e.AttemptPosted(own.attempt), e.AttemptStarted(own.attempt), e.RequestCancelled(own.request))
    table.tell(e.AttemptEnded(own.attempt, BackendError("no", code=ErrorCode.INTERRUPTED)))
    assert table.submitted[-1] is own
    table.values(2)
    assert table.submitted[-1] is not own


def test_a_latest_run_that_a_newer_one_overtook_is_not_tried_again() -> None:
    """Two backends: the newer run is on the viewers already when the older one is lost."""
    table = Table(Mode.LATEST, "a", "b")
    older, newer = table.run(1), table.run(2)
    first, second = table.submitted
    assert (first.request, second.request) == (older, newer)
    assert table.done(second.attempt)
    table.tell(e.AttemptPosted(first.attempt), e.AttemptLost(first.attempt))
    assert table.outcomes == {newer: Outcome.DONE, older: Outcome.SUPERSEDED}
    assert len(table.submitted) == 2


def test_a_latest_run_is_not_bound_again_behind_a_newer_one() -> None:
    """Two backends: the older run waits at one, the newer one runs at the other; new values make neither overtake."""
    table = Table(Mode.LATEST, "a", "b")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "long"))
    for number in (1001, 1002):
        table.tell(e.RequestAdded(number, 2, 0))
    at_a, at_b = table.submitted
    table.tell(e.AttemptPosted(at_a.attempt), e.AttemptStarted(at_a.attempt))
    table.tell(e.AttemptPosted(at_b.attempt), e.AttemptStarted(at_b.attempt))
    # Both take about a second, so late-bound work is posted shortly before that.
    table.wait(1.0)
    table.tell(e.AttemptEnded(at_a.attempt), e.ResultSettled(at_a.attempt))
    table.tell(e.AttemptEnded(at_b.attempt), e.ResultSettled(at_b.attempt))
    table.tell(e.RequestAdded(1003, 2, 0))
    long = table.submitted[-1]
    table.tell(e.AttemptPosted(long.attempt), e.AttemptStarted(long.attempt))
    table.wait(0.999)
    table.tell(e.BackendDoubted("b" if long.backend == "a" else "a"))
    older = table.run(1)
    waiting = table.submitted[-1]
    assert (waiting.request, waiting.backend) == (older, long.backend)
    table.tell(e.AttemptPosted(waiting.attempt), e.BackendUp("b" if long.backend == "a" else "a"))
    newer = table.run(2)
    running = table.submitted[-1]
    assert (running.request, running.backend != long.backend) == (newer, True)
    table.tell(e.AttemptPosted(running.attempt), e.AttemptStarted(running.attempt))
    table.values(3)
    table.wait(2.0)
    assert table.submitted[-1] is running
    assert table.done(running.attempt)
    table.tell(e.AttemptEnded(long.attempt), e.ResultSettled(long.attempt))
    assert not table.done(waiting.attempt)
    assert table.outcomes[older] is Outcome.SUPERSEDED
