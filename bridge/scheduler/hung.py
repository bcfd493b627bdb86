"""Prompts that hang, moved to another backend: at one that gives no sign of life, or that runs far longer than ever.

A backend in doubt may be dead, frozen, or only reading a model, which stops ComfyUI's answers for up to a minute; which
of them it is shows later than anybody wants to wait while others are free. The prompt left behind is withdrawn, so its
result, should it come after all, is dropped. That is no fault of the request: it costs none of its tries. It goes only
where it was not yet, to a backend that can begin at once, so it can't go round for ever.
"""

from __future__ import annotations

from math import inf
from typing import Final

from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Attempt, Backend, Request

HUNG_AFTER_S: Final = 3.0
"""In doubt for so long: by then a hiccup is over."""

LOADING_AFTER_S: Final = 30.0
"""The same for a prompt that has models to load there: elsewhere they would have to be loaded too."""

STALLED_AFTER_S: Final = 60.0
STALLED_TIMES: Final = 10.0
"""One that runs so long, and so many times what such ones take there, hangs, though its backend answers."""


def hangs_at(
    *, doubted_at: float, submitted_at: float, started_at: float | None, known_s: float | None, cold: bool
) -> float:
    """When a prompt counts as hung, `inf` if nobody knows.

    `doubted_at` is `inf` for a backend that is not in doubt; `known_s` is what such prompts take there, None if none
    ever ended.

    >>> hangs_at(doubted_at=100.0, submitted_at=99.0, started_at=99.5, known_s=0.2, cold=False)
    103.0
    """
    at = inf
    if doubted_at != inf:
        at = max(doubted_at, submitted_at) + (LOADING_AFTER_S if cold or known_s is None else HUNG_AFTER_S)
    if started_at is not None and known_s is not None and not cold:
        at = min(at, started_at + max(STALLED_AFTER_S, STALLED_TIMES * known_s))
    return at


def choose_hung(ledger: Ledger, now: float) -> tuple[Attempt | None, float]:
    """Give a prompt that hangs and can be made elsewhere at once, and when the next will hang if none does now."""
    wake_at = inf
    for backend in ledger.backends.values() if len(ledger.backends) > 1 else ():
        if backend.doubted_at == inf:
            # Asked at every event: most need no closer look, since none runs for long enough.
            started_at = backend.prompts[0].started_at if backend.prompts else None
            started_at = inf if started_at is None else started_at
            if now < started_at + STALLED_AFTER_S:
                wake_at = min(wake_at, started_at + STALLED_AFTER_S)
                continue
        for attempt in backend.prompts:
            if attempt.withdrawn or attempt.request.only is not None:
                continue
            if backend.doubted_at == inf:  # nearly always, and at every step: no look at what is known of durations
                if attempt.started_at is None:
                    continue
                if now < attempt.started_at + STALLED_AFTER_S:
                    wake_at = min(wake_at, attempt.started_at + STALLED_AFTER_S)
                    continue
            at = hangs_at(
                doubted_at=backend.doubted_at,
                submitted_at=attempt.submitted_at,
                started_at=attempt.started_at,
                known_s=backend.estimates.duration(attempt.cost_key),
                cold=attempt.cold,
            )
            if at > now:
                wake_at = min(wake_at, at)
            elif _can_go(ledger, attempt.request, backend):
                return attempt, now
    return None, wake_at


def _can_go(ledger: Ledger, request: Request, there: Backend) -> bool:
    """Whether another backend could begin it at once."""
    return any(
        backend is not there
        and backend.takes
        and backend.breaker.closed
        and backend.has_room()
        and backend.name not in request.avoided
        and backend.name not in request.stream.unfit
        for backend in ledger.backends.values()
    )
