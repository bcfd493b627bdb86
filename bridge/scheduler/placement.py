"""The rules of a pool, each a small function of plain values: which backends may take a piece of work, which is best.

"Best" is where the work is expected to be done first: what is there already, then what it takes to load a model that
was not used there lately, then the work itself. So a slow backend gets less, and a warm one is preferred until waiting
there takes longer than loading elsewhere. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, inf
from typing import Final, NamedTuple

KEPT_WARM: Final = 2
"""Workflows and sizes that a GPU is taken to hold: the last ones that it ran. Too few costs little: what is loaded
quicker than thought is learned as a short load. Too many would hide loads in the durations."""

UNKNOWN_S: Final = 1.0
"""What a prompt takes of which nobody knows anything; the same everywhere, so the emptiest backend gets it."""

UNKNOWN_LOAD: Final = 0.5
"""The share of a first prompt that is taken for loading while no second one has shown what is left without."""

MUTE_S: Final = 1.0
"""A mute backend's pictures are fetched by asking again and again, and may stop coming at all: so much is it worth to
have one that speaks."""

INTERRUPT_S: Final = 0.15
"""A running prompt that was withdrawn ends at its next step."""

BREAK_AFTER: Final = 3
FIRST_BREAK_S: Final = 0.5
LONGEST_BREAK_S: Final = 30.0


def remaining(estimate_s: float, elapsed_s: float) -> float:
    """What a running prompt still takes; one that is late is expected to be as late again, so a stuck one repels work.

    >>> remaining(2.0, 0.5), remaining(2.0, 2.0), remaining(2.0, 5.0)
    (1.5, 0.0, 3.0)
    """
    return abs(estimate_s - elapsed_s)


def load_time(warm: bool, here_s: float | None, pool_s: float | None, first_s: float | None) -> float:
    """What loading adds to a prompt at a backend: nothing if it is warm there.

    Else what it took there before, else at others, else a share of the first prompt's duration anywhere, else 0: where
    nothing is known at all it is the same for every backend.
    """
    if warm:
        return 0.0
    if here_s is not None:
        return here_s
    if pool_s is not None:
        return pool_s
    return 0.0 if first_s is None else UNKNOWN_LOAD * first_s


def loads_again_at(now: float, before_s: float, load_s: float) -> float:
    """Until when a backend uses what it loads now, having `before_s` of other work first: twice as long as that takes.

    So loading takes a third of its time at the most, as long as there is other work, and nobody waits for long.
    """
    return now + before_s + 3.0 * load_s


def use_key(recent: Sequence[object], key: object) -> tuple[object, ...]:
    """What a GPU holds after a prompt of `key`, the newest last."""
    return (*(other for other in recent if other != key), key)[-KEPT_WARM:]


def fitting(names: Iterable[str], unfit: frozenset[str], down: Iterable[str]) -> list[str] | None:
    """The open backends that have all that a stream's workflow needs.

    If every open one lacks something it goes to any of them all the same, and ComfyUI's error tells what is missing.
    But while one that has it all is merely `down` (or doubted, not drained) the work waits for that one: None.
    """
    open_ = list(names)
    fit = [name for name in open_ if name not in unfit] if unfit else open_
    if fit or not open_:
        return fit
    return None if any(name not in unfit for name in down) else open_


def usable(names: list[str], broken: frozenset[str], avoided: frozenset[str]) -> list[str]:
    """Those of the fitting backends that may get the work now.

    Not one whose breaker is open, and not one that this request failed at before: unless there is no other. Where
    there is no choice nothing is chosen, so that one ComfyUI alone is asked as if there were no breaker.
    """
    whole = [name for name in names if name not in broken] or names
    return [name for name in whole if name not in avoided] or whole


def is_free(open_: bool, broken_until: float, in_flight: int, now: float) -> bool:
    """True if a backend's breaker lets a prompt through: it is closed, or its time is over and nothing tries it yet."""
    return open_ or (now >= broken_until and in_flight == 0)


class Offer(NamedTuple):
    """What one backend would make of a piece of work: when it is free, what the work takes there, what loading adds."""

    free_s: float
    takes_s: float
    load_s: float = 0.0

    @property
    def done_s(self) -> float:
        """When the work would be done."""
        return self.free_s + self.load_s + self.takes_s


def ahead(offer: Offer, others: Iterable[Offer]) -> float:
    """How many pieces of the same kind the `others` get done by the time that one is done here.

    So the piece behind that many is the first one that is done sooner here than by waiting, and those before it are
    not made later: that is how an idle slow or cold backend helps with a long queue and is left alone with a short one.
    `inf` if one of the others takes no time at all.
    """
    count = 0
    for other in others:
        left = offer.done_s - other.free_s - other.load_s
        if left >= other.takes_s:
            if other.takes_s <= 0.0:
                return inf
            count += floor(left / other.takes_s)
    return count


def spacing(estimate_s: float | None, places: int) -> float:
    """Seconds between two pictures that a live stream begins of itself, when several backends make them.

    Begun together they would come together, show the same values, and overtake each other, which drops the older one.
    A little less than the even share, so that nobody waits for its turn for long. Simulated, 4 backends, durations that
    differ by a tenth: 15 of 100 results dropped without, 7 at half of the even share, 2 at nine tenths.
    """
    if estimate_s is None or places < 2:
        return 0.0
    return 0.9 * estimate_s / places


def break_time(trips: int) -> float:
    """Seconds for which the nth trip in a row (1, 2, ...) of a breaker keeps work away."""
    return min(LONGEST_BREAK_S, FIRST_BREAK_S * 2.0 ** min(trips - 1, 16))


def blames_backend(failed_at: frozenset[str], backend: str, succeeded_elsewhere: bool) -> bool:
    """True if a failed prompt is its backend's fault, not its workflow's.

    `failed_at` are the backends where this workflow and size has failed since it last succeeded anywhere.
    """
    return succeeded_elsewhere and failed_at <= {backend}
