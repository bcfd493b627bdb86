"""What reading the messages of one packet may cost: patterns, the pairs that they match, and looking for near names.

Give the same budget to all messages of a packet. A pattern that comes again in it is matched once.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from bridge.streams.components import Below
from bridge.types import ParameterSpec

NAMES: Final = 4_096
PAIRS: Final = 1_024
HINTS: Final = 16

Matches: TypeAlias = tuple[tuple[str, tuple[tuple[ParameterSpec, Below], ...]], ...]
"""What a pattern matches: streams with their parameters, and what below each is meant."""


class PatternBudget:
    """What is left of it.

    Args:
        names: names that may be tested; a test costs 1, and more if the pattern is long.
        pairs: (pattern, parameter) pairs that may be set.
        hints: unknown names for which the nearest right one is looked up.
    """

    def __init__(self, names: int = NAMES, pairs: int = PAIRS, hints: int = HINTS) -> None:
        self.names = names
        self.pairs = pairs
        self.hints = hints
        self.known: dict[tuple[str, ...], Matches] = {}
        """What the patterns of this packet match, by stream, parameter and what stands below."""

    def spend_names(self, pattern: str, names: int) -> bool:
        """Take the cost of testing `names` names; False if it is no longer there."""
        self.names -= names * (1 + len(pattern) // 16)
        return self.names >= 0

    def spend_pairs(self, pairs: int) -> bool:
        """Take so many pairs; False if they are no longer there."""
        if pairs > self.pairs:
            return False
        self.pairs -= pairs
        return True

    def spend_hint(self) -> bool:
        """Take one look for a near name; False if none is left."""
        self.hints -= 1
        return self.hints >= 0
