"""What an event costs the scheduler, without any I/O: `python -m benchmarks.scheduling`.

Every backend is kept full and so many requests wait; as many as end come anew. A prompt is five events: posted,
started, ended, settled, and the next run.
"""

from __future__ import annotations

import time
from collections import deque

from bridge.scheduler import events as e
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode

CASES = ((1, 1, 1), (1, 4096, 4), (4, 4096, 4), (16, 4096, 4), (64, 4096, 4), (64, 4096, 64))
"""(backends, waiting requests, streams)."""

DURATION_S = 0.1


def cost(backends: int, waiting: int, streams: int, prompts: int = 3000) -> float:
    """Seconds of processor time for each event."""
    scheduler = Scheduler()
    now = 0.0
    submitted: deque[e.Submit] = deque()
    events = 0

    def tell(event: e.Event) -> None:
        nonlocal events
        events += 1
        submitted.extend(c for c in scheduler.handle(event, now) if isinstance(c, e.Submit))

    for number in range(1, streams + 1):
        tell(e.StreamConfigured(number, Mode.ONESHOT, ("workflow", number)))
    for number in range(backends):
        tell(e.BackendUp(f"gpu{number:02d}"))
    for number in range(waiting):
        tell(e.RequestAdded(scheduler.take_number(), number % streams + 1, 0))
    events, begin = 0, time.process_time()
    for number in range(prompts):
        attempt = submitted.popleft().attempt
        now += DURATION_S / backends
        tell(e.AttemptPosted(attempt))
        tell(e.AttemptStarted(attempt))
        tell(e.AttemptEnded(attempt))
        scheduler.release(attempt)
        tell(e.ResultSettled(attempt))
        tell(e.RequestAdded(scheduler.take_number(), number % streams + 1, 0))
    return (time.process_time() - begin) / events


def main() -> None:
    """Print a line for each case."""
    for backends, waiting, streams in CASES:
        seconds = min(cost(backends, waiting, streams) for _ in range(3))
        print(
            f"{backends:3} backends, {waiting:5} waiting, {streams:3} streams: "
            f"{1e6 * seconds:6.1f} us an event, {1 / seconds:7.0f} events a second"
        )


if __name__ == "__main__":
    main()
