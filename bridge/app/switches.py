"""The log of what takes pictures away from an audience, and by whom: panic, resume, freeze, blackout."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("bridge.app")

MAX_LINES: Final = 20
WITHIN_S: Final = 10.0
MAX_NAME: Final = 64


class Switches:
    """Logs each switch once, at most `MAX_LINES` in `WITHIN_S`: a fader on a blackout may not fill the disk.

    `by` is who acts now, door or client's name first and then the address; kept by the hubs.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.by: tuple[str, str] = ("", "")
        self._clock = clock
        self._told_at: deque[float] = deque(maxlen=MAX_LINES)
        self._left_out = 0

    def log(self, what: str) -> None:
        """`what` was switched, by who acts now."""
        now = self._clock()
        if len(self._told_at) == MAX_LINES and now - self._told_at[0] < WITHIN_S:
            self._left_out += 1
            return
        self._told_at.append(now)
        name, address = self.by
        more = f" ({self._left_out} switches before it were not logged)" if self._left_out else ""
        self._left_out = 0
        # The name is the client's own words: quoted, so that it can't look like another line.
        logger.info("%s, by %r at %s%s", what, name[:MAX_NAME] or "a client without a name", address, more)
