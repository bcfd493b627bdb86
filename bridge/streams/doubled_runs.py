"""One press that comes twice: UDP may deliver a datagram twice, and some controllers send each press two times.

Pure: time is passed in. Source: protocols/osc.md, Said twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_SENDERS: Final = 256


class DoubledRuns:
    """Tells whether a packet that asks for a run is the one before from the same sender, said again.

    Only one that directly follows counts: who sets a value between two runs means both.

    Args:
        within_s: seconds after the first in which the same packet is the same press; 0 switches this off.
    """

    def __init__(self, within_s: float) -> None:
        self.within_s = within_s
        self._last: OrderedDict[Hashable, tuple[object, float]] = OrderedDict()

    def is_doubled(self, sender: Hashable, packet: object, now: float) -> bool:
        """Tell it of a packet that asks for a run. `packet` is compared by its value, and kept."""
        if self.within_s <= 0:
            return False
        known = self._last.get(sender)
        if known is not None and now - known[1] <= self.within_s and known[0] == packet:
            return True  # counted from the first one: a button that repeats by itself is not silenced for ever
        self._last[sender] = (packet, now)
        self._last.move_to_end(sender)
        if len(self._last) > MAX_SENDERS:
            self._last.popitem(last=False)
        return False

    def other_packet(self, sender: Hashable) -> None:
        """Something else came from this sender: the same run again is meant."""
        self._last.pop(sender, None)
