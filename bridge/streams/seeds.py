"""How a stream's seed goes from picture to picture: held, by one, at random, or locked to that of a picture.

A walk: with `every` and `every_s` the seed stays for so many pictures and at least so long before it moves on. Seeds
are whole numbers that have nothing to do with their neighbours, so a walk goes in steps, and how long each one stands
is what can be set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.checks import MAX_SEED
from bridge.streams.names import plain, shown
from bridge.types import SeedPolicy

RANDOM_SEED_BITS: Final = 32
"""Random seeds stay under 2^32: every node takes them, every engine's float64 shows them, a person can type them."""

MOST_PICTURES: Final = 1_000_000
MOST_SECONDS: Final = 86_400.0


class SeedWalk:
    """The seed of one stream. Times are seconds of the caller's one clock."""

    def __init__(self, policy: SeedPolicy) -> None:
        self.policy = policy
        self.every = 1
        """Pictures that a seed is used for before the next."""
        self.every_s = 0.0
        """Seconds that it stays at least."""
        self.seed = 0
        """The one that comes next; while it is held, or random, the one that was used last."""
        self._used = 0
        self._since = 0.0
        self._held = 0
        self._unlocked: SeedPolicy | None = None

    @property
    def is_locked(self) -> bool:
        """True between lock and unlock."""
        return self._unlocked is not None

    @property
    def steps_at(self) -> float | None:
        """When the seed may move on by its time; None before its first use."""
        return self._since + self.every_s if self._used else None

    def start(self, seed: int) -> None:
        """Go on from this seed, with the next picture."""
        self.seed, self._used = seed, 0

    def use_policy(self, policy: SeedPolicy) -> None:
        """Go on by this policy; a lock is over."""
        if policy is not self.policy:
            self._used = 0
        self.policy, self._unlocked = policy, None

    def use_steps(self, every: int | None, every_s: float | None) -> None:
        """Stay for so many pictures, so long; None: as before."""
        self.every = self.every if every is None else every
        self.every_s = self.every_s if every_s is None else every_s

    def lock(self, seed: int) -> None:
        """Every picture has this seed from now on."""
        if self._unlocked is None:
            self._unlocked = self.policy
        self.policy = SeedPolicy.FIXED
        self.start(seed)

    def unlock(self) -> None:
        """Go on by the policy of before the lock, from the locked seed."""
        if self._unlocked is not None:
            self.use_policy(self._unlocked)

    def take(self, random_bits: Callable[[int], int], now: float) -> int:
        """Give the seed of the next picture, and move on."""
        if self.policy is SeedPolicy.FIXED:
            return self.seed
        if self._used and (self._used < self.every or now < self._since + self.every_s):
            self._used += 1
            return self._held
        if self.policy is SeedPolicy.RANDOM:
            self.seed = random_bits(RANDOM_SEED_BITS)
        self._held, self._used, self._since = self.seed, 1, now
        if self.policy is SeedPolicy.INCREMENT:
            self.seed = (self.seed + 1) & MAX_SEED
        return self._held


def check_seed_every(raw: object, field: str = "seed_every") -> int | None:
    """Give `raw` as a number of pictures, 1 to a million; None stays None.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range).
    """
    number = _number(field, raw, 1, MOST_PICTURES, "pictures")
    if number is not None and not float(number).is_integer():
        raise InvalidValueError(f"{field}: {shown(raw)} has a fraction", field=field, value=plain(raw))
    return None if number is None else int(number)


def check_seed_every_s(raw: object, field: str = "seed_every_s") -> float | None:
    """Give `raw` as seconds, 0 to a day; None stays None.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range).
    """
    number = _number(field, raw, 0, MOST_SECONDS, "seconds")
    return None if number is None else float(number)


def _number(field: str, raw: object, least: float, most: float, unit: str) -> float | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise InvalidValueError(f"{field}: {shown(raw)} is not a number of {unit}", field=field, value=plain(raw))
    if not math.isfinite(raw) or not least <= raw <= most:
        raise InvalidValueError(
            f"{field}: {shown(raw)} is outside {least:g}..{most:.0f} {unit}",
            code=ErrorCode.OUT_OF_RANGE,
            field=field,
            value=plain(raw),
            limit=f"{least:g}..{most:.0f}",
        )
    return raw
