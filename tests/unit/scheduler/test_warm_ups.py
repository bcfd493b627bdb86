"""Warm-up requests: at one backend alone, once, and nothing of their stream's pictures."""

from __future__ import annotations

import pytest
from scheduler_table import STREAM, Table, live

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.types import Mode, Outcome


def warm_up(table: Table, backend: str, revision: int = 0) -> int:
    number = table.scheduler.take_number()
    table.tell(e.RequestAdded(number, STREAM, revision, 0, backend=backend))
    return number


@pytest.mark.parametrize("mode", list(Mode))
def test_it_goes_to_its_own_backend(mode: Mode) -> None:
    table = Table(mode, "a", "b")
    table.tell(e.ViewersChanged(STREAM, 0))
    begun = len(table.submitted)
    warm_up(table, "b")
    assert [(submit.backend, submit.revision) for submit in table.submitted[begun:]] == [("b", 0)]
    assert not table.scheduler.is_idle("b")
    assert not table.scheduler.is_idle("nobody")


def test_a_live_stream_still_owes_its_picture() -> None:
    table = Table(Mode.LIVE)
    table.tell(e.ViewersChanged(STREAM, 0), e.BackendUp("a"))
    number = warm_up(table, "a")
    attempt = table.submitted[-1].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt), e.AttemptEnded(attempt), e.ResultSettled(attempt))
    assert table.outcomes[number] is Outcome.DONE
    table.tell(e.ViewersChanged(STREAM, 1))
    assert table.submitted[-1].generation


def test_it_supersedes_no_run_that_waits() -> None:
    table = Table(Mode.LATEST, "a")
    table.run(1)
    waiting = table.run(2)
    warm_up(table, "a", 2)
    assert waiting not in table.outcomes


@pytest.mark.parametrize("end", ["lost", "refused", "down"])
def test_it_is_tried_once(end: str) -> None:
    table = Table(Mode.ONESHOT, "a", "b")
    number = warm_up(table, "a")
    attempt = table.submitted[-1].attempt
    error = BackendError("no", code=ErrorCode.BAD_ANSWER)
    table.tell(
        {
            "lost": e.AttemptLost(attempt),
            "refused": e.AttemptRefused(attempt, error, retry=True),
            "down": e.BackendDown("a"),
        }[end]
    )
    assert table.outcomes[number] is Outcome.FAILED
    assert len(table.submitted) == 1


def test_where_another_backend_is_warm_it_is_no_state_of_the_stream() -> None:
    table = live("a", "b")
    table.tell(e.ViewersChanged(STREAM, 0))
    warm_up(table, "b")
    attempt = table.submitted[-1].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    assert table.scheduler.running() == []
