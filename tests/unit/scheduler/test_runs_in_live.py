"""A run in a live stream and the stream's own pictures."""

from bridge.scheduler.events import (
    AttemptEnded,
    AttemptStarted,
    BackendUp,
    Finish,
    RequestAdded,
    ResultSettled,
    StreamConfigured,
    Submit,
    ValuesChanged,
    ViewersChanged,
)
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode


def _settle(scheduler: Scheduler, submit: Submit, now: float) -> list:
    commands = scheduler.handle(AttemptStarted(submit.attempt), now)
    commands += scheduler.handle(AttemptEnded(submit.attempt), now)
    return commands + scheduler.handle(ResultSettled(submit.attempt), now)


def _live() -> tuple[Scheduler, float]:
    """A live stream that is watched, and has shown what there is."""
    scheduler = Scheduler()
    scheduler.handle(StreamConfigured(1, Mode.LIVE, "key"), 0.0)
    scheduler.handle(ValuesChanged(1, 1), 0.0)
    scheduler.handle(BackendUp("a"), 0.0)
    (first,) = scheduler.handle(ViewersChanged(1, 1), 0.0)
    assert isinstance(first, Submit)
    assert first.generation
    _settle(scheduler, first, 0.1)
    return scheduler, 1.0


def test_a_run_with_new_values_is_their_picture_and_the_stream_makes_none_besides() -> None:
    scheduler, now = _live()
    number = scheduler.take_number()
    (submit,) = scheduler.handle(RequestAdded(number, 1, 2), now)
    assert (submit.request, submit.generation, submit.revision) == (number, False, 2)
    commands = _settle(scheduler, submit, now + 0.1)
    assert [type(command) for command in commands] == [Finish]
    assert scheduler.handle_timer(now + 10) == []


def test_values_newer_than_those_of_the_run_are_shown_after_it() -> None:
    scheduler, now = _live()
    number = scheduler.take_number()
    (submit,) = scheduler.handle(RequestAdded(number, 1, 2), now)
    later = scheduler.handle(ValuesChanged(1, 3), now)
    later += _settle(scheduler, submit, now + 0.1)
    (again,) = [command for command in later if isinstance(command, Submit)]
    assert again.generation


def test_another_workflow_with_its_values_is_one_picture() -> None:
    scheduler, now = _live()
    (submit,) = scheduler.handle(StreamConfigured(1, Mode.LIVE, "other", revision=2), now)
    assert isinstance(submit, Submit)
    assert [type(command) for command in _settle(scheduler, submit, now + 0.1)] == [Finish]
    assert scheduler.handle(ValuesChanged(1, 2), now + 0.2) == []
    assert scheduler.handle_timer(now + 10) == []
