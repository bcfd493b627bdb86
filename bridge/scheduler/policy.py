"""Every rule of the scheduler as a small function of plain numbers, so that each has a table of cases.

Times are monotonic seconds; `math.inf` means never (until something happens), a time that has passed means now.
Source: wire contract, Scheduling.
"""

from __future__ import annotations

from math import inf
from typing import Final

from bridge.types import Mode, Outcome

RUNNING_AND_WAITING: Final = 2
"""Prompts of ours at one backend: one running and one waiting behind it, so that the GPU has no gap."""

WITHDRAWING: Final = 1
"""Besides those, prompts on their way out: one, so that a stalled backend can't be filled by refreshes."""

MAXIMUM_TRIES: Final = 3
"""Times a request is posted before it ends `failed`."""

GENERATION_PRIORITY: Final = 5
FIRST_HOLD_S: Final = 0.25
LONGEST_HOLD_S: Final = 30.0


def order_key(priority: int, accepted_at: float) -> float:
    """Sort key of waiting work, smallest first.

    One step of priority is worth one second of waiting, so `priority + waited` orders requests. Both sides of a
    comparison age alike, so the order never changes with time and the key needs no clock.
    """
    return accepted_at - priority


def turn_key(priority: int, waits_since: float, last_turn: float) -> float:
    """Sort key of one stream's first work beside that of others: waiting counts from the stream's last turn.

    So streams of one priority take turns, however much of the one waits: a single run comes after at most one of each
    other stream, and a stream with a higher priority goes before one with a lower until that has waited as many
    seconds as there are steps between them.
    """
    return order_key(priority, max(waits_since, last_turn))


def replaces_waiting(mode: Mode) -> bool:
    """True if a new run ends the waiting one as `superseded`."""
    return mode is Mode.LATEST


def binds_late(mode: Mode, generation: bool) -> bool:
    """True if the newest values go in at the last moment; else those of the request's acceptance.

    A run in `live` always makes its own picture, so it keeps its own values.
    """
    return mode is Mode.LATEST or generation


def waiting_limit(mode: Mode) -> int:
    """How many runs of one stream may wait; a further one is refused."""
    return {Mode.ONESHOT: 1024, Mode.LATEST: 1, Mode.LIVE: 64}[mode]


def has_room(active: int, withdrawing: int) -> bool:
    """True if a backend that holds so many of our prompts may get one more."""
    return active < RUNNING_AND_WAITING and active + withdrawing < RUNNING_AND_WAITING + WITHDRAWING


def submit_at(*, in_flight: int, late: bool, expected_end: float | None, lead_s: float) -> float:
    """When work may be posted at a backend that has room and holds `in_flight` prompts.

    A free backend takes anything at once. Behind a running prompt, work with fixed values goes at once, late-bound
    work `lead_s` before the expected end; if that is unknown it goes when the running prompt ends.
    """
    if in_flight == 0 or not late:
        return -inf
    return inf if expected_end is None else expected_end - lead_s


def refresh_at(
    *, posted_at: float, expected_start: float | None, estimate_s: float | None, lead_s: float, now: float
) -> float:
    """When a waiting late-bound prompt whose values are out of date may be posted again with newer ones.

    With time to spare before it starts: at once. A prompt that is about to start is left alone, since a lost race
    costs a whole generation. One that should have started long ago (a stranger's prompt runs before it) is
    refreshed once its values are half a generation old.
    """
    if expected_start is not None and now < expected_start:
        return now if expected_start - now >= 3 * lead_s else inf
    return posted_at + max(0.5 * estimate_s if estimate_s is not None else 1.0, 4 * lead_s)


def next_generation_at(previous_due: float, now: float, max_fps: float | None) -> float:
    """When a live stream may generate again, having done so at `now` with `previous_due` as its due time.

    Counted from the due time, not from when it happened, so that small delays don't lower the rate.
    """
    if max_fps is None:
        return -inf
    period = 1.0 / max_fps
    return previous_due + period if now - previous_due < period else now + period


def goes_on(varies: bool, changed_at: float, idle_after_s: float | None, now: float) -> bool:
    """True if a live stream that shows its newest values makes another picture: it varies, and is not at rest yet."""
    return varies and (idle_after_s is None or now - changed_at < idle_after_s)


def hold_after_failure(failures: int) -> float:
    """Seconds that a live stream rests after its nth failure in a row (1, 2, ...)."""
    return min(LONGEST_HOLD_S, FIRST_HOLD_S * 2.0 ** min(failures - 1, 16))


def may_try_again(tries: int) -> bool:
    """True if a request that was posted `tries` times may be posted once more."""
    return tries < MAXIMUM_TRIES


def still_owed(outcome: Outcome, generation: bool) -> bool:
    """True if a live stream is to make the picture of values whose request ended this way, if they are the newest.

    A run's values are the stream's, whatever becomes of the run. A generation that somebody cancelled is not wanted.
    """
    if outcome is Outcome.CANCELLED:
        return not generation
    return outcome in (Outcome.FAILED, Outcome.EXPIRED)


def is_stale(mode: Mode, order: int, last_released: int) -> bool:
    """True if a result must be dropped because a newer one was already released."""
    return mode is not Mode.ONESHOT and order < last_released
