"""Late binding with one backend whose durations equal the estimate: no gap longer than the lead, and young values."""

from __future__ import annotations

import heapq
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.scheduler import events as e
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode


def simulate(mode: Mode, duration: float, post_s: float, value_every: float, prompts: int) -> list[tuple[float, float]]:
    """Give (idle before, age of the values at the start), in seconds, of each prompt that ran."""
    scheduler = Scheduler()
    agenda: list[tuple[float, int, str, int]] = []
    order = count()
    queue: list[int] = []
    bound_at: dict[int, float] = {}
    withdrawn: set[int] = set()
    running: int | None = None
    free_since = now = 0.0
    value_at = 0.0
    seen: list[tuple[float, float]] = []

    def carry_out(commands: list[e.Command]) -> None:
        for command in commands:
            if isinstance(command, e.Submit):
                bound_at[command.attempt] = value_at
                heapq.heappush(agenda, (now + post_s, next(order), "arrives", command.attempt))
            elif isinstance(command, e.Withdraw):
                withdrawn.add(command.attempt)
                heapq.heappush(agenda, (now + post_s, next(order), "deleted", command.attempt))

    def start() -> None:
        nonlocal running
        while queue and running is None:
            running = queue.pop(0)
            seen.append((now - free_since, now - bound_at[running]))
            carry_out(scheduler.handle(e.AttemptStarted(running), now))
            heapq.heappush(agenda, (now + duration, next(order), "ends", running))

    carry_out(scheduler.handle(e.StreamConfigured(1, mode, "w"), now))
    carry_out(scheduler.handle(e.ViewersChanged(1, 1), now))
    carry_out(scheduler.handle(e.BackendUp("a"), now))
    heapq.heappush(agenda, (0.0, next(order), "value", 0))
    for revision in count(1):
        if len(seen) >= prompts:
            return seen
        deadline = scheduler.next_deadline()
        if deadline is not None and deadline <= agenda[0][0]:
            now = max(now, deadline)
            carry_out(scheduler.handle_timer(now))
            continue
        now, _, what, attempt = heapq.heappop(agenda)
        if what == "value":
            value_at = now
            carry_out(scheduler.handle(e.ValuesChanged(1, revision), now))
            if mode is Mode.LATEST:
                carry_out(scheduler.handle(e.RequestAdded(scheduler.take_number(), 1, revision), now))
            heapq.heappush(agenda, (now + value_every, next(order), "value", 0))
        elif what == "arrives":
            queue.append(attempt)
            carry_out(scheduler.handle(e.AttemptPosted(attempt), now))
            start()
        elif what == "deleted" and attempt in queue:
            queue.remove(attempt)
            carry_out(scheduler.handle(e.AttemptWithdrawn(attempt), now))
        elif what == "ends":
            running, free_since = None, now
            if attempt not in withdrawn:
                scheduler.release(attempt)
            commands = scheduler.handle(e.AttemptEnded(attempt), now)
            carry_out(commands)
            carry_out(scheduler.handle(e.ResultSettled(attempt), now))
            start()
    raise AssertionError("unreachable")


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from([Mode.LIVE, Mode.LATEST]),
    duration=st.floats(0.02, 0.5),
    post_s=st.floats(0.0005, 0.006),
    value_every=st.floats(0.004, 0.02),
)
def test_no_gap_and_young_values(mode: Mode, duration: float, post_s: float, value_every: float) -> None:
    seen = simulate(mode, duration, post_s, value_every, 50)[36:]
    lead = post_s + 0.001 + 1e-6
    assert max(idle for idle, _ in seen) <= lead, "the backend idled longer than the lead"
    assert max(age for _, age in seen) <= lead + value_every + 1e-6, "values were bound too early"


def test_age_at_ten_prompts_a_second_is_a_small_part_of_a_generation() -> None:
    seen = simulate(Mode.LIVE, 0.1, 0.003, 0.005, 60)[20:]
    ages = sorted(age for _, age in seen)
    assert ages[len(ages) // 2] <= 0.15 * 0.1
    assert sum(idle for idle, _ in seen) <= 0.05 * 0.1 * len(seen)
