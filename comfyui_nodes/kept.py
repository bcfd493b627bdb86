"""Last pictures that wait for the next prompt of their loop, bounded. Pure but for the clock that is passed in.

A loop names each of its pictures `LOOP/STEP`; both words are the client's own and can't be guessed by others. The last
two of each loop are kept: a prompt that names the one before may still be under way.
"""

import re
import threading

_NAME = re.compile(r"([A-Za-z0-9_-]{1,64})/[A-Za-z0-9_-]{1,64}")
_OF_A_LOOP = 2


class KeptPictures:
    """All pictures that are kept. Any thread may call."""

    def __init__(self, clock, *, keep_s=120.0, max_total_bytes=1 << 30, max_loops=64):
        self.keep_s = keep_s
        self.max_total_bytes = max_total_bytes
        self.max_loops = max_loops
        self.on_keep = None
        """Called after each `keep`, in its thread."""
        self._clock = clock
        self._loops = {}
        self._lock = threading.Lock()

    def keep(self, name, picture, size):
        """Keep a picture of `size` bytes under `name`; what is over the limits goes, the longest unused loop first.

        Raises ValueError for a name that is none.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"keep {name[:80]!r} is not LOOP/STEP, each 1 to 64 letters, digits, - or _")
        with self._lock:
            now = self._clock()
            loop = self._loops.pop(match[1], {})
            loop.pop(name, None)
            loop[name] = (picture, size, now + self.keep_s)
            while len(loop) > _OF_A_LOOP:
                del loop[next(iter(loop))]
            self._loops[match[1]] = loop
            self._expire(now)
            while len(self._loops) > self.max_loops or (self._bytes() > self.max_total_bytes and self._loops):
                del self._loops[next(iter(self._loops))]
        if self.on_keep is not None:
            self.on_keep()

    def get(self, name):
        """The picture, kept a while longer from now; None if there is none."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        with self._lock:
            now = self._clock()
            self._expire(now)
            loop = self._loops.get(match[1], {})
            entry = loop.get(name)
            if entry is None:
                return None
            loop[name] = (entry[0], entry[1], now + self.keep_s)
            self._loops[match[1]] = self._loops.pop(match[1])
            return entry[0]

    def expire(self):
        """Drop what has ended; to be called now and then."""
        with self._lock:
            self._expire(self._clock())

    def __len__(self):
        return sum(len(loop) for loop in self._loops.values())

    def _bytes(self):
        return sum(size for loop in self._loops.values() for _, size, _ in loop.values())

    def _expire(self, now):
        for key, loop in list(self._loops.items()):
            for name in [name for name, (_, _, ends_at) in loop.items() if ends_at <= now]:
                del loop[name]
            if not loop:
                del self._loops[key]
