"""Who may come in: caps on connections in all and per address, and delays after wrong tokens. Bounded tables only."""

from __future__ import annotations

from collections import Counter, OrderedDict
from enum import Enum
from typing import Final, Protocol

from bridge.links.listener import source_key

POLITE_REFUSALS: Final = 32
FREE_FAILURES: Final = 3
FIRST_DELAY_S: Final = 0.25
LAST_DELAY_S: Final = 5.0
FORGET_AFTER_S: Final = 600.0


class Guest(Protocol):
    """A connection as the gate sees it."""

    def evict(self) -> None:
        """Cut this connection at once: it has not said anything useful yet, and its place is needed."""
        ...


class Admission(Enum):
    """What the gate says of a newcomer."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    """Answer with a clear refusal, then close."""
    DROPPED = "dropped"
    """Cut without a word: even refusals are limited."""


class Gate:
    """Counts connections; at a cap, guests that are still opening give way, oldest first.

    So half-open sockets can't lock anybody out, while guests that have come through keep their place. A guest
    that was refused also counts until it has left, so that refusals are bounded too.
    """

    def __init__(self, max_connections: int, max_per_address: int) -> None:
        self.max_connections = max_connections
        self.max_per_address = max_per_address
        self._inside: dict[Guest, str] = {}
        self._opening: dict[Guest, str] = {}
        self._refused: set[Guest] = set()
        self._per_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, guest: Guest, host: str) -> Admission:
        """Give a newcomer from `host` a place, evicting one that is still opening if need be."""
        key = source_key(host)
        if self._per_address[key] >= self.max_per_address:
            self._evict(next((other for other, other_key in self._opening.items() if other_key == key), None))
        elif len(self._inside) >= self.max_connections:
            self._evict(next(iter(self._opening), None))
        if self._per_address[key] >= self.max_per_address or len(self._inside) >= self.max_connections:
            if len(self._refused) >= POLITE_REFUSALS:
                return Admission.DROPPED
            self._refused.add(guest)
            return Admission.REFUSED
        self._inside[guest] = key
        self._opening[guest] = key
        self._per_address[key] += 1
        return Admission.ADMITTED

    def _evict(self, guest: Guest | None) -> None:
        if guest is not None:
            self.leave(guest)
            guest.evict()

    def settle(self, guest: Guest) -> None:
        """This guest has come through its opening (a whole HTTP header, a good hello) and keeps its place."""
        self._opening.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """This guest is gone. Leaving twice is harmless."""
        self._refused.discard(guest)
        self._opening.pop(guest, None)
        key = self._inside.pop(guest, None)
        if key is not None:
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]


class TokenDelays:
    """How long an address that sent wrong tokens has to wait before its next hello is looked at.

    Three failures are free; then 0.25 s, doubling up to 5 s, for ten minutes after the last one. A delay, not a
    lock-out: a good engine behind the same address still gets in. At most `max_addresses` are remembered, the
    longest quiet one is forgotten first. Times are monotonic seconds, passed in.
    """

    def __init__(self, max_addresses: int = 1024) -> None:
        self.max_addresses = max_addresses
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def delay_s(self, host: str, now: float) -> float:
        """Give the seconds that a hello from `host` has to wait, 0 for most."""
        key = source_key(host)
        failures, last = self._failures.get(key, (0, now))
        if now - last > FORGET_AFTER_S:
            del self._failures[key]
            return 0.0
        if failures < FREE_FAILURES:
            return 0.0
        return float(min(FIRST_DELAY_S * 2.0 ** min(failures - FREE_FAILURES, 16), LAST_DELAY_S))

    def failed(self, host: str, now: float) -> None:
        """Remember a wrong token from `host`."""
        key = source_key(host)
        failures, last = self._failures.pop(key, (0, now))
        self._failures[key] = (1 if now - last > FORGET_AFTER_S else failures + 1, now)
        while len(self._failures) > self.max_addresses:
            self._failures.popitem(last=False)
