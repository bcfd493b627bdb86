"""A pool event by event: who may get what, what is waited for, turns, retries, breaker, drain, what is told."""

from __future__ import annotations

from scheduler_table import STREAM, Table, live

from bridge.errors import BackendError, ErrorCode
from bridge.scheduler import events as e
from bridge.types import Mode, Outcome

OOM = BackendError("full", code=ErrorCode.OUT_OF_MEMORY, retry=True)
BROKEN = BackendError("no", code=ErrorCode.EXECUTION_FAILED)


def pool(*backends: str, mode: Mode = Mode.ONESHOT) -> Table:
    """A stream of which each backend has made two pictures of one second."""
    table = Table(mode, *backends)
    for backend in backends:
        others = [other for other in backends if other != backend]
        table.tell(*(e.BackendDoubted(other) for other in others))
        for _ in range(2):
            table.run(0)
            ran(table, 1.0)
        table.tell(*(e.BackendUp(other) for other in others))
    table.submitted.clear()
    return table


def ran(table: Table, seconds: float) -> None:
    attempt = table.submitted[-1].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    table.now += seconds
    table.tell(e.AttemptEnded(attempt), e.ResultSettled(attempt))


def runs(table: Table, stream: int, count: int = 1, priority: int = 5) -> list[int]:
    numbers = []
    for _ in range(count):
        numbers.append(table.scheduler.take_number())
        table.tell(e.RequestAdded(numbers[-1], stream, 0, priority))
    return numbers


def where(table: Table, *requests: int) -> list[str]:
    places = {submit.request: submit.backend for submit in table.submitted}
    return [places.get(request, "-") for request in requests]


# --- capability ------------------------------------------------------------------------------------------------------


def test_work_goes_only_where_its_nodes_are() -> None:
    table = pool("a", "b", "c")
    table.tell(e.PlacesChanged(STREAM, frozenset({"a", "c"})))
    assert where(table, *runs(table, STREAM, 3)) == ["b", "b", "-"]
    table.tell(e.PlacesChanged(STREAM, frozenset({"a"})))
    assert table.submitted[-1].backend == "c"


def test_where_nobody_has_them_comfyui_says_what_is_missing() -> None:
    table = pool("a", "b")
    table.tell(e.PlacesChanged(STREAM, frozenset({"a", "b"})))
    assert sorted(where(table, *runs(table, STREAM, 2))) == ["a", "b"]


def test_the_one_that_has_them_is_waited_for_while_it_is_down() -> None:
    table = pool("a", "b")
    table.tell(e.PlacesChanged(STREAM, frozenset({"a"})), e.BackendDown("b"))
    (run,) = runs(table, STREAM)
    table.wait(60.0)
    assert where(table, run) == ["-"]
    table.tell(e.BackendUp("b"))
    assert where(table, run) == ["b"]


def test_one_that_is_drained_or_gone_is_not_waited_for() -> None:
    for event in (e.BackendDrained("b"), e.BackendRemoved("b")):
        table = pool("a", "b")
        table.tell(e.PlacesChanged(STREAM, frozenset({"a"})), event)
        assert where(table, *runs(table, STREAM)) == ["a"]


def test_a_lost_request_whose_only_place_is_down_is_given_up() -> None:
    """Another backend is there, but it lacks the nodes: that is none."""
    table = pool("a", "b")
    table.tell(e.PlacesChanged(STREAM, frozenset({"a"})))
    (run,) = runs(table, STREAM)
    assert where(table, run) == ["b"]
    table.tell(e.BackendDown("b"))
    table.wait(1.9)
    assert run not in table.outcomes
    table.wait(0.2)
    assert table.outcomes[run] is Outcome.FAILED


def test_what_can_go_nowhere_holds_nothing_up() -> None:
    table = pool("a", "b")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "v"))
    table.tell(e.PlacesChanged(STREAM, frozenset({"b"})), e.BackendDoubted("a"))
    first = runs(table, STREAM, 50, priority=9)
    (behind,) = runs(table, 2, priority=0)
    assert where(table, first[0], behind) == ["-", "b"]


def test_a_warm_up_for_one_that_is_down_holds_nothing_up() -> None:
    for mode in (Mode.ONESHOT, Mode.LIVE):
        table = Table(mode, "a")
        while table.submitted and table.submitted[-1].attempt not in table.__dict__.setdefault("seen", set()):
            table.__dict__["seen"].add(table.submitted[-1].attempt)
            table.done(table.submitted[-1].attempt)
        warm_up = table.scheduler.take_number()
        table.tell(e.RequestAdded(warm_up, STREAM, 0, backend="b"))
        begun = len(table.submitted)
        if mode is Mode.LIVE:
            table.values(1)
        else:
            runs(table, STREAM)
        assert [submit.backend for submit in table.submitted[begun:]] == ["a"]
        assert table.scheduler.waiting(STREAM) == 0


# --- where it is done first ------------------------------------------------------------------------------------------


def test_the_backend_that_has_its_model_is_preferred_until_waiting_takes_longer_than_loading() -> None:
    table = Table(Mode.ONESHOT, "a")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "v"))
    runs(table, STREAM)
    ran(table, 3.5)  # of which 2.5 to load
    runs(table, STREAM)
    ran(table, 1.0)
    table.tell(e.BackendUp("b"))
    table.submitted.clear()
    assert where(table, *runs(table, STREAM, 2)) == ["a", "a"]  # two seconds there, three and a half elsewhere
    third, fourth = runs(table, STREAM, 2)
    assert where(table, third, fourth) == ["-", "b"]  # done in three and four there: the fourth is sooner elsewhere


def test_a_slow_one_is_left_alone_with_a_short_queue_and_helps_with_a_long_one() -> None:
    table = Table(Mode.ONESHOT, "fast")
    for seconds in (1.0, 1.0):
        runs(table, STREAM)
        ran(table, seconds)
    table.tell(e.BackendDoubted("fast"), e.BackendUp("slow"))
    for seconds in (4.5, 4.5):
        runs(table, STREAM)
        ran(table, seconds)
    table.tell(e.BackendUp("fast"))
    table.submitted.clear()
    four = runs(table, STREAM, 4)
    assert where(table, *four) == ["fast", "fast", "-", "-"]
    (fifth,) = runs(table, STREAM)
    assert where(table, fifth) == ["slow"]  # it would be done after five seconds, here it is after four and a half


def test_a_backend_that_is_late_is_not_waited_for_any_longer() -> None:
    table = pool("a", "b")
    table.tell(e.BackendDoubted("b"))
    first, second = runs(table, STREAM, 2)
    attempt = table.submitted[0].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    table.tell(e.StreamConfigured(2, Mode.LATEST, "w"), e.BackendUp("b"))
    assert where(table, first, second) == ["a", "a"]
    (latest,) = runs(table, 2)
    assert where(table, latest) == ["b"]


def test_a_mute_one_comes_after_those_that_speak() -> None:
    table = pool("a", "b")
    table.tell(e.BackendMuted("a", True))
    assert where(table, *runs(table, STREAM, 2)) == ["b", "a"]
    table = pool("a", "b")
    table.tell(e.BackendMuted("a", True), e.BackendMuted("a", False), e.BackendMuted("nobody", True))
    assert where(table, *runs(table, STREAM, 1)) == ["a"]


# --- turns -----------------------------------------------------------------------------------------------------------


def test_a_single_run_comes_after_one_of_a_flood_not_after_all() -> None:
    table = pool("a")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "w"))
    runs(table, STREAM, 100)
    table.now += 1.0
    (single,) = runs(table, 2)
    assert where(table, single) == ["-"]
    table.done(table.submitted[0].attempt)
    table.now += 0.1
    table.done(table.submitted[1].attempt)
    assert where(table, single) == ["a"]


def test_two_floods_take_turns() -> None:
    table = pool("a")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "w"))
    runs(table, STREAM, 10)
    runs(table, 2, 10)
    for place in range(17):
        table.now += 0.1
        table.done(table.submitted[place].attempt)
    order = [submit.stream for submit in table.submitted]
    assert order[2:18] == [2, STREAM] * 8


def test_a_live_stream_beside_a_flood_gets_every_second_turn() -> None:
    table = live("a")
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "w"))
    runs(table, 2, 40)
    begun = len(table.submitted)
    for place in range(begun - 2, begun + 20):
        attempt = table.submitted[place].attempt
        table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
        for step in range(10):
            table.values(10 * place + step)
            table.wait(0.01)
        table.tell(e.AttemptEnded(attempt))
        table.scheduler.release(attempt)
        table.tell(e.ResultSettled(attempt))
    own = [submit.generation for submit in table.submitted[begun + 4 : begun + 20]]
    assert own.count(True) >= 7


def test_a_latest_stream_that_is_asked_all_the_time_gets_its_turn_beside_a_flood() -> None:
    """Each run replaces the one that waits, and waits since that one did."""
    table = pool("a")
    table.tell(e.StreamConfigured(2, Mode.LATEST, "w"))
    runs(table, STREAM, 40)
    for place in range(20):
        attempt = table.submitted[place].attempt
        table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
        for _ in range(6):
            table.wait(0.016)
            runs(table, 2)
        table.tell(e.AttemptEnded(attempt))
        table.scheduler.release(attempt)
        table.tell(e.ResultSettled(attempt))
    assert sum(submit.stream == 2 for submit in table.submitted) >= 7


# --- retries ---------------------------------------------------------------------------------------------------------


def test_what_failed_and_may_be_tried_again_goes_elsewhere() -> None:
    for how in ("ended", "refused", "lost"):
        table = pool("a", "b")
        (run,) = runs(table, STREAM)
        first = table.submitted[-1]
        table.tell(e.AttemptPosted(first.attempt))
        table.tell(
            {
                "ended": e.AttemptEnded(first.attempt, OOM),
                "refused": e.AttemptRefused(first.attempt, OOM, retry=True),
                "lost": e.AttemptLost(first.attempt),
            }[how]
        )
        again = table.submitted[-1]
        assert (again.request, again.backend != first.backend) == (run, True)
        # What the first one may still bring is not wanted.
        table.tell(e.AttemptStarted(first.attempt), e.AttemptEnded(first.attempt))
        assert not table.scheduler.release(first.attempt)
        table.tell(e.ResultSettled(first.attempt))
        assert run not in table.outcomes
        assert table.done(again.attempt)
        assert table.outcomes[run] is Outcome.DONE


def test_it_waits_for_another_backend_and_not_for_the_one_where_it_failed() -> None:
    table = pool("a", "b")
    long = runs(table, STREAM, 4)
    assert sorted(where(table, *long)) == ["a", "a", "b", "b"]
    first = table.submitted[0]
    table.tell(e.AttemptRefused(first.attempt, OOM, retry=True))
    assert len(table.submitted) == 4  # there is room at the one that refused it
    other = next(submit for submit in table.submitted if submit.backend != first.backend)
    table.done(other.attempt)
    assert (table.submitted[-1].request, table.submitted[-1].backend) == (first.request, other.backend)


def test_alone_it_is_tried_again_where_it_failed() -> None:
    table = pool("a")
    (run,) = runs(table, STREAM)
    for _ in range(3):
        table.tell(e.AttemptEnded(table.submitted[-1].attempt, OOM))
    assert where(table, run) == ["a"]
    assert (len(table.submitted), table.outcomes[run]) == (3, Outcome.FAILED)


# --- the breaker -----------------------------------------------------------------------------------------------------


def fail(table: Table, backend: str, times: int) -> None:
    """Have one backend fail runs while it is the only one."""
    others = [other for other in table.scheduler._ledger.backends if other != backend]
    table.tell(*(e.BackendDoubted(other) for other in others))
    for _ in range(times):
        runs(table, STREAM)
        table.tell(e.AttemptEnded(table.submitted[-1].attempt, BROKEN))
    table.tell(*(e.BackendUp(other) for other in others))
    table.submitted.clear()


def test_a_backend_that_fails_what_works_elsewhere_gets_one_trial_after_a_while() -> None:
    table = pool("a", "b")
    fail(table, "a", 3)
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert place.broken_until == table.now + 0.5
    first = runs(table, STREAM, 4)
    assert where(table, *first) == ["b", "b", "-", "-"]
    assert table.scheduler.next_deadline() is not None
    table.wait(0.5)
    assert where(table, *first) == ["b", "b", "a", "-"]  # one, though there is room for two
    trial = table.submitted[-1].attempt
    table.tell(e.AttemptEnded(trial, BROKEN))
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert place.broken_until == table.now + 1.0
    table.wait(1.0)
    assert table.done(table.submitted[-1].attempt)
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert place.broken_until is None


def test_a_workflow_that_fails_everywhere_opens_no_breaker() -> None:
    table = pool("a", "b")
    for _ in range(6):
        runs(table, STREAM, 2)
        for submit in table.submitted[-2:]:
            table.tell(e.AttemptEnded(submit.attempt, BROKEN))
    for backend in "ab":
        place = table.scheduler.place(backend, table.now)
        assert place is not None
        assert place.broken_until is None
        assert place.failed == 6


def test_one_that_loses_prompts_is_kept_away_from_too() -> None:
    table = pool("a", "b")
    table.tell(e.BackendDoubted("b"))
    runs(table, STREAM)
    for _ in range(3):
        table.tell(e.AttemptLost(table.submitted[-1].attempt))
    table.tell(e.BackendUp("b"))
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert (place.lost, place.broken_until) == (3, table.now + 0.5)
    assert where(table, *runs(table, STREAM, 3)) == ["b", "b", "-"]


def test_alone_a_breaker_holds_nothing_back() -> None:
    table = pool("a")
    for _ in range(5):
        runs(table, STREAM)
        table.tell(e.AttemptRefused(table.submitted[-1].attempt, BROKEN, retry=True))
        table.tell(e.AttemptRefused(table.submitted[-1].attempt, BROKEN, retry=True))
        table.tell(e.AttemptRefused(table.submitted[-1].attempt, BROKEN, retry=True))
    assert len(table.submitted) == 15


# --- drain, and what is told -----------------------------------------------------------------------------------------


def test_a_drained_one_ends_what_it_has_and_gets_nothing_new() -> None:
    table = pool("a", "b")
    four = runs(table, STREAM, 4)
    at_a = [submit for submit in table.submitted if submit.backend == "a"]
    table.tell(e.BackendDrained("a"))
    more = runs(table, STREAM, 4)
    for submit in at_a:
        assert table.done(submit.attempt)
        assert table.outcomes[submit.request] is Outcome.DONE
    table.tell(e.BackendUp("a"))
    assert not table.scheduler.is_idle("a")
    assert all(submit.backend == "b" for submit in table.submitted[4:])
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert (place.drained, place.running, place.waiting) == (True, 0, 0)
    table.tell(e.BackendKept("a"))
    assert table.submitted[-1].backend == "a"
    assert set(four + more) >= set(table.outcomes) & set(four)


def test_one_can_be_drained_before_it_comes() -> None:
    table = pool("a")
    table.tell(e.BackendDrained("b"), e.BackendUp("b"))
    assert where(table, *runs(table, STREAM, 2)) == ["a", "a"]
    table.tell(e.BackendRemoved("b"), e.BackendUp("b"))  # another one of that name
    assert where(table, *runs(table, STREAM)) == ["b"]


def test_values_that_change_are_not_posted_anew_at_a_drained_one() -> None:
    table = live("a", "b")
    table.values(2)
    assert len(table.submitted) == 2
    backend = table.submitted[-1].backend
    table.tell(e.AttemptPosted(table.submitted[-1].attempt), e.BackendDrained(backend))
    table.values(3)
    table.wait(5.0)
    assert table.submitted[-1].backend != backend


def test_what_is_told_of_a_place() -> None:
    table = pool("a")
    assert table.scheduler.place("nobody", table.now) is None
    runs(table, STREAM, 3)
    attempt = table.submitted[0].attempt
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    place = table.scheduler.place("a", table.now + 0.25)
    assert place is not None
    assert (place.open, place.drained, place.mute, place.broken_until) == (True, False, False, None)
    assert (place.running, place.waiting, place.done, place.failed, place.lost) == (1, 1, 2, 0, 0)
    assert place.free_s == 1.75
    assert dict(place.durations) == {"w": 1.0}
    assert place.warm == ("w",)
    table.tell(e.BackendDown("a"))
    place = table.scheduler.place("a", table.now)
    assert place is not None
    assert (place.open, place.lost, place.warm) == (False, 2, ())


# --- a picture that was shown is not made again ----------------------------------------------------------------------


def test_lost_after_its_last_picture_is_done() -> None:
    table = pool("a", "b")
    (request,) = runs(table, STREAM)
    attempt = table.submitted[-1].attempt
    assert table.scheduler.release(attempt, last=True)
    table.tell(e.AttemptLost(attempt))
    assert [one.request for one in table.submitted] == [request]
    assert table.outcomes[request] is Outcome.DONE


def test_lost_before_its_last_picture_is_tried_again() -> None:
    table = pool("a", "b")
    (request,) = runs(table, STREAM)
    attempt = table.submitted[-1].attempt
    assert table.scheduler.release(attempt, last=False)
    table.tell(e.AttemptLost(attempt))
    assert where(table, request) == ["b"]


def test_what_failed_after_its_last_picture_is_not_tried_again() -> None:
    table = pool("a", "b")
    (request,) = runs(table, STREAM)
    attempt = table.submitted[-1].attempt
    assert table.scheduler.release(attempt, last=True)
    table.tell(e.AttemptEnded(attempt, OOM))
    assert [one.request for one in table.submitted] == [request]
    assert table.outcomes[request] is Outcome.FAILED


def test_what_no_comfyui_has_judged_is_tried_elsewhere() -> None:
    """The third wrong answer of a backend is its last one, and not the request's fault."""
    wrong = BackendError("a web page", code=ErrorCode.BAD_ANSWER)
    table = pool("a", "b")
    (request,) = runs(table, STREAM)
    table.tell(e.AttemptRefused(table.submitted[-1].attempt, wrong, False))
    assert where(table, request) == ["b"]
    table.tell(e.AttemptRefused(table.submitted[-1].attempt, wrong, False))
    assert table.outcomes[request] is Outcome.FAILED
