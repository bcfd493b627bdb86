"""Sequences: one request of many frames, spread over the backends, each tried again elsewhere, one terminal answer."""

import pytest
from scheduler_table import STREAM, Table, live

from bridge.errors import BackendError, ErrorCode, PictureDecodeError
from bridge.scheduler import events as e
from bridge.types import Mode, Outcome

RETRY = BackendError("busy", code=ErrorCode.BACKEND_UNAVAILABLE, retry=True)
BROKEN = BackendError("a node failed", code=ErrorCode.EXECUTION_FAILED)


class SequenceTable(Table):
    """Keeps the errors too, and knows which frames are where."""

    def __init__(self, mode: Mode, *backends: str) -> None:
        self.errors: dict[int, BackendError] = {}
        self.withdrawn: list[int] = []
        super().__init__(mode, *backends)

    def take(self, commands: list[e.Command]) -> None:
        super().take(commands)
        for command in commands:
            if isinstance(command, e.Finish) and command.error is not None:
                self.errors[command.request] = command.error
            if isinstance(command, e.Withdraw):
                self.withdrawn.append(command.attempt)

    def sequence(self, frames: int, until: int = 1000, **more: object) -> int:
        number = self.scheduler.take_number()
        self.tell(e.SequenceAdded(number, STREAM, 0, frames, until, **more))
        return number

    @property
    def frames(self) -> list[int | None]:
        """Indexes in the order of submission."""
        return [command.index for command in self.submitted]

    def at(self, backend: str) -> list[int | None]:
        return [command.index for command in self.submitted if command.backend == backend]

    def attempt(self, index: int) -> int:
        """The newest attempt of a frame."""
        return next(command.attempt for command in reversed(self.submitted) if command.index == index)

    def finish_all(self) -> None:
        """Let every prompt run to its end, in the order of submission."""
        place = 0
        while place < len(self.submitted):
            self.now += 0.1
            if self.submitted[place].attempt not in self.withdrawn:
                self.done(self.submitted[place].attempt)
            place += 1


@pytest.mark.parametrize("mode", list(Mode))
def test_every_frame_is_made_once_and_the_answer_is_one(mode):
    table = SequenceTable(mode)
    number = table.sequence(7)
    table.tell(e.BackendUp("a"))
    table.finish_all()
    assert [index for index in table.frames if index is not None][:7] == list(range(7))
    assert all(s.request == number and s.revision == 0 for s in table.submitted if s.index is not None)
    assert table.outcomes[number] is Outcome.DONE
    assert table.frames.count(3) == 1


def test_one_runs_and_one_waits_at_each_of_the_backends():
    table = SequenceTable(Mode.ONESHOT, "a", "b", "c")
    table.sequence(100)
    assert sorted(table.frames) == [0, 1, 2, 3, 4, 5]
    assert all(len(table.at(name)) == 2 for name in "abc")


def test_no_further_than_it_may():
    table = SequenceTable(Mode.ONESHOT, "a", "b", "c")
    number = table.sequence(100, until=2)
    assert table.frames == [0, 1]
    table.tell(e.SequenceMoved(number, 3))
    assert table.frames == [0, 1, 2]
    for index in range(3):
        table.done(table.attempt(index))
    assert table.frames == [0, 1, 2]
    assert number not in table.outcomes


def test_a_frame_that_is_settled_early_counts_when_the_last_one_is():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(3)
    for index in (2, 1):
        table.done(table.attempt(index))
    assert number not in table.outcomes
    table.done(table.attempt(0))
    assert table.outcomes[number] is Outcome.DONE


def test_a_frame_that_a_backend_loses_is_made_elsewhere():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(8)
    lost = table.at("a")
    table.tell(e.BackendDown("a"))
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE
    assert set(lost) <= set(table.at("b"))


def test_a_frame_that_fails_is_tried_at_another_backend():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(4)
    first = table.submitted[0]
    table.tell(e.AttemptPosted(first.attempt), e.AttemptStarted(first.attempt), e.AttemptEnded(first.attempt, BROKEN))
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE
    again = [s.backend for s in table.submitted if s.index == 0]
    assert len(again) == 2
    assert again[0] != again[1]


def test_a_frame_that_fails_everywhere_ends_it_and_says_which_and_where():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(40)
    while number not in table.outcomes:
        attempt = table.attempt(0)
        table.tell(e.AttemptStarted(attempt), e.AttemptEnded(attempt, BROKEN))
        for s in list(table.submitted):
            if s.index != 0 and number not in table.outcomes:
                table.done(s.attempt)
    assert table.outcomes[number] is Outcome.FAILED
    assert table.errors[number].code is ErrorCode.EXECUTION_FAILED
    tried = [s.backend for s in table.submitted if s.index == 0]
    assert set(tried) == {"a", "b"}
    assert f"frame 0 of 0..39 failed at {', then at '.join(tried)}: a node failed" in table.errors[number].message


def test_what_can_not_pass_is_not_tried_again_where_there_is_no_other():
    table = SequenceTable(Mode.ONESHOT, "a")
    number = table.sequence(4)
    attempt = table.attempt(0)
    table.tell(e.AttemptStarted(attempt), e.AttemptEnded(attempt, BROKEN))
    assert table.outcomes[number] is Outcome.FAILED
    assert table.frames.count(0) == 1
    assert set(table.withdrawn) == {table.attempt(1)}


def test_what_may_pass_is_tried_three_times():
    table = SequenceTable(Mode.ONESHOT, "a")
    number = table.sequence(1)
    for _ in range(3):
        assert number not in table.outcomes
        table.wait(60)
        table.tell(e.AttemptRefused(table.attempt(0), RETRY, retry=True))
    assert table.outcomes[number] is Outcome.FAILED


def test_a_picture_that_does_not_decode_is_made_again_elsewhere():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(2)
    attempt = table.attempt(0)
    table.tell(e.AttemptStarted(attempt), e.AttemptEnded(attempt))
    table.tell(e.ResultSettled(attempt, PictureDecodeError("no picture", code=ErrorCode.BAD_PICTURE)))
    assert table.frames.count(0) == 2
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE


def test_nowhere_to_go_fails_it():
    table = SequenceTable(Mode.ONESHOT, "a")
    number = table.sequence(5)
    table.tell(e.BackendDown("a"))
    table.wait(2.5)
    assert table.outcomes[number] is Outcome.FAILED
    assert f"request {number}" in table.errors[number].message
    assert table.scheduler.next_deadline() is None


def test_without_a_backend_from_the_start_it_waits():
    table = SequenceTable(Mode.ONESHOT)
    number = table.sequence(2)
    table.wait(1000)
    assert number not in table.outcomes
    table.tell(e.BackendUp("a"))
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (e.RequestCancelled(1), Outcome.CANCELLED),
        (e.Panicked(), Outcome.CANCELLED),
        (e.StreamClosed(STREAM), Outcome.CANCELLED),
        (e.RequestFailed(1, BROKEN), Outcome.FAILED),
    ],
)
def test_what_ends_it(event, outcome):
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(50)
    assert number == 1
    table.done(table.attempt(0))
    in_work = [s.attempt for s in table.submitted[1:]]
    table.tell(event)
    assert table.outcomes == {number: outcome}
    assert sorted(table.withdrawn) == sorted(in_work)
    for attempt in in_work:
        table.tell(e.AttemptWithdrawn(attempt))
    assert table.scheduler.open_requests() == 0
    assert not any(table.scheduler.wants(attempt) for attempt in in_work)


def test_its_deadline_counts_over_the_whole():
    table = SequenceTable(Mode.ONESHOT, "a")
    warm = table.run(0)
    table.done(table.submitted[0].attempt)
    assert table.outcomes[warm] is Outcome.DONE
    number = table.sequence(1000, deadline_s=5.0)
    table.done(table.attempt(0))
    table.wait(5.0)
    assert table.outcomes[number] is Outcome.EXPIRED


def test_a_run_does_not_wait_for_the_whole_sequence():
    table = SequenceTable(Mode.ONESHOT, "a")
    table.sequence(1000)
    table.now += 0.5
    number = table.run(0)
    for _ in range(5):
        table.now += 0.5
        table.done(next(s.attempt for s in table.submitted if s.attempt not in table.withdrawn and self_open(table, s)))
        if any(s.request == number for s in table.submitted):
            return
    raise AssertionError("the run waits behind all frames")


def self_open(table: SequenceTable, command: e.Submit) -> bool:
    return table.scheduler.wants(command.attempt)


def test_a_live_stream_makes_no_pictures_of_its_own_meanwhile_and_its_own_again_after():
    table = live("a")
    number = table.scheduler.take_number()
    before = len(table.submitted)
    table.tell(e.SequenceAdded(number, STREAM, 0, 3, 100))
    table.values(1)
    while number not in table.outcomes:
        table.now += 0.1
        assert all(s.index is not None for s in table.submitted[before:])
        table.done(next(s.attempt for s in table.submitted if table.scheduler.wants(s.attempt) and s.index is not None))
    table.wait(1.0)
    assert table.submitted[-1].generation


def test_in_latest_a_run_and_a_sequence_leave_each_other_alone():
    table = SequenceTable(Mode.LATEST, "a")
    number = table.sequence(6)
    run = table.run(1)
    assert run not in table.outcomes
    newer = table.run(2)
    assert table.outcomes == {run: Outcome.SUPERSEDED}
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE
    assert table.outcomes[newer] is Outcome.DONE


def test_in_latest_a_frame_that_comes_late_is_shown_all_the_same():
    table = SequenceTable(Mode.LATEST, "a", "b")
    number = table.sequence(4)
    shown = [table.done(table.attempt(index)) for index in (3, 0, 2, 1)]
    assert all(shown)
    assert table.outcomes[number] is Outcome.DONE


def test_the_same_sequence_again_is_ignored():
    table = SequenceTable(Mode.ONESHOT, "a")
    number = table.sequence(2)
    table.tell(e.SequenceAdded(number, STREAM, 0, 2, 10))
    table.finish_all()
    assert table.frames == [0, 1]


def test_during_panic_it_is_cancelled_at_once():
    table = SequenceTable(Mode.ONESHOT, "a")
    table.tell(e.Panicked())
    number = table.sequence(2)
    assert table.outcomes == {number: Outcome.CANCELLED}


def test_unfit_backends_get_nothing_of_it():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    table.tell(e.PlacesChanged(STREAM, frozenset({"b"})))
    number = table.sequence(6)
    table.finish_all()
    assert table.at("b") == []
    assert table.outcomes[number] is Outcome.DONE


def test_chained_frames_are_made_one_after_the_other():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    table.tell(e.StreamConfigured(STREAM, Mode.ONESHOT, "w", chained=True))
    number = table.sequence(4)
    for index in range(4):
        assert table.frames == list(range(index + 1))
        table.done(table.attempt(index))
    assert table.outcomes[number] is Outcome.DONE


def test_a_frame_that_is_shown_is_not_made_twice_when_its_backend_goes():
    table = SequenceTable(Mode.ONESHOT, "a", "b")
    number = table.sequence(4)
    attempt = table.attempt(0)
    backend = next(s.backend for s in table.submitted if s.attempt == attempt)
    table.tell(e.AttemptStarted(attempt))
    assert table.scheduler.release(attempt)
    table.tell(e.BackendDown(backend))
    assert table.frames.count(0) == 1
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE


def test_what_the_decoders_had_no_room_for_is_made_again_at_the_same_backend_too():
    table = SequenceTable(Mode.ONESHOT, "a")
    number = table.sequence(2)
    attempt = table.attempt(0)
    table.tell(e.AttemptStarted(attempt), e.AttemptEnded(attempt))
    table.tell(e.ResultSettled(attempt, BackendError("full", code=ErrorCode.TOO_SLOW, retry=True)))
    assert table.frames.count(0) == 2
    table.finish_all()
    assert table.outcomes[number] is Outcome.DONE
