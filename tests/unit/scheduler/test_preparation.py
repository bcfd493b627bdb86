"""What a stream's pictures take before its prompt can be posted: its own part of the lead, and of no other's."""

from scheduler_table import STREAM, live

from bridge.scheduler import events as e
from bridge.scheduler.estimates import FIRST_LEAD_S, PREPARATIONS_KEPT, SAFETY_S, Estimates
from bridge.types import Mode


def test_without_pictures_nothing_is_added():
    estimates = Estimates()
    assert estimates.preparation(1) == 0.0
    assert estimates.lead("w", 1) == FIRST_LEAD_S + SAFETY_S


def test_the_90th_percentile_of_the_last_ones_of_this_stream():
    estimates = Estimates()
    for milliseconds in (500, *range(1, PREPARATIONS_KEPT + 1)):
        estimates.add_preparation(1, milliseconds / 1000)
    assert estimates.preparation(1) == 0.014  # of 1..16: the first is forgotten
    assert estimates.preparation(2) == 0.0
    assert estimates.lead("w", 1) == FIRST_LEAD_S + SAFETY_S + 0.014


def generation(table, *, prepared_s, way_s=0.002, length_s=1.0):
    """Let the newest prompt run from its submission to its end."""
    attempt = table.submitted[-1].attempt
    table.now += prepared_s
    if prepared_s:
        table.tell(e.AttemptPrepared(attempt))
    table.now += way_s
    table.tell(e.AttemptPosted(attempt), e.AttemptStarted(attempt))
    return attempt, table.now + length_s


def test_a_stream_with_pictures_is_begun_so_much_earlier():
    """A generation takes 1 s, its pictures 100 ms: the next is begun 100 ms and the way before the end."""
    table = live("a")
    for revision in range(2, 20):
        table.values(revision)  # the backend is free: at once
        attempt, table.now = generation(table, prepared_s=0.1)
        table.tell(e.AttemptEnded(attempt))
        table.scheduler.release(attempt)
        table.tell(e.ResultSettled(attempt))
    table.values(20)
    _, end = generation(table, prepared_s=0.1)
    table.values(21)
    before = len(table.submitted)
    begins = table.scheduler.next_deadline()
    assert begins is not None
    assert 0.1 < end - begins < 0.16, "pictures, way, and a little"
    table.wait(begins - table.now)
    assert len(table.submitted) == before + 1


def test_the_way_of_a_prompt_is_counted_from_when_its_pictures_are_there():
    """Else one camera would make every stream of the backend bind too early."""
    table = live("a")
    table.values(2)
    generation(table, prepared_s=0.5)
    estimates = table.scheduler._ledger.backends["a"].estimates
    assert estimates.preparation(STREAM) == 0.5
    assert estimates.lead("other", STREAM + 1) < 0.02


def test_attempts_that_are_over_or_unknown_are_ignored():
    table = live("a")
    assert table.scheduler.handle(e.AttemptPrepared(99), table.now) == []
    table.tell(e.StreamConfigured(2, Mode.ONESHOT, "x"))
