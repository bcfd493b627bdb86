"""How far a render is: a bar on a terminal, a plain line every few seconds elsewhere, JSON for scripts, or nothing."""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TextIO

EVERY_S: Final = 5.0
_BAR_EVERY_S: Final = 0.1
_BAR: Final = 24
_WINDOW: Final = 32


class Forecast:
    """How fast frames come, from the newest of them: a model that was loaded at first doesn't count for ever."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._ends: deque[float] = deque(maxlen=_WINDOW)

    def begin(self, now: float) -> None:
        """The first frame is being made."""
        self._ends.append(now)

    def frame(self, now: float) -> None:
        """One more is there."""
        self.left -= 1
        self._ends.append(now)

    @property
    def fps(self) -> float | None:
        """Frames a second, None before there are any."""
        ends = self._ends
        # The first one brings models into memory: the second begins to tell.
        first = 1 if len(ends) > 2 and len(ends) < _WINDOW else 0
        span = ends[-1] - ends[first] if len(ends) > first + 1 else 0.0
        return (len(ends) - 1 - first) / span if span > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until all are there."""
        fps = self.fps
        return None if fps is None else self.left / fps


class Progress:
    """Tells of a render. `say` is for notes, which come between."""

    def __init__(
        self,
        out: TextIO,
        *,
        quiet: bool = False,
        events: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`out` is where bar and lines go; with `events`, JSON goes there and nothing to `out` but notes."""
        self._out = out
        self._quiet = quiet
        self._events = events
        self._clock = clock
        self._is_terminal = not quiet and events is None and out.isatty()
        self._total = self._done = 0
        self._forecast = Forecast(0)
        self._told_at = float("-inf")
        self._is_bar_shown = False

    def begin(self, total: int, done: int, **facts: Any) -> None:
        """Begin with so many frames, of which some are there."""
        self._total, self._done = total, done
        self._forecast = Forecast(total - done)
        self._forecast.begin(self._clock())
        self._event("begin", frames=total, there=done, **facts)

    def frame(self, number: int, **facts: Any) -> None:
        """A frame is there."""
        now = self._clock()
        self._done += 1
        self._forecast.frame(now)
        self._event("frame", frame=number, done=self._done, frames=self._total, **facts)
        if self._quiet or self._events is not None:
            return
        is_last = self._done == self._total
        if self._is_terminal:
            if is_last or now - self._told_at >= _BAR_EVERY_S:
                self._told_at = now
                self._bar(number)
        elif is_last or now - self._told_at >= EVERY_S:
            self._told_at = now
            print(f"{self._done}/{self._total} frames, {self._words()}, frame {number}", file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Print a note; with `quiet` nothing."""
        self._event("note", text=text)
        if not self._quiet and self._events is None:
            self._clear()
            print(text, file=self._out, flush=True)

    def end(self, **facts: Any) -> None:
        """All is over, well or not."""
        self._clear()
        self._event("end", **facts)

    def _event(self, event: str, **facts: Any) -> None:
        if self._events is not None:
            self._events(json.dumps({"event": event, **facts}, ensure_ascii=False))

    def _words(self) -> str:
        fps, eta = self._forecast.fps, self._forecast.eta_s
        if fps is None or eta is None:
            return "no pace yet"
        speed = f"{fps:.1f} frames/s" if fps >= 1 else f"{1 / fps:.1f} s a frame"
        return speed if not self._forecast.left else f"{speed}, {clock_words(eta)} left"

    def _bar(self, number: int) -> None:
        share = self._done / max(1, self._total)
        filled = round(share * _BAR)
        text = (
            f"[{'#' * filled}{'.' * (_BAR - filled)}] {self._done}/{self._total} {share:4.0%}  {self._words()}  "
            f"frame {number}"
        )
        width = shutil.get_terminal_size().columns
        self._out.write("\r" + text[: width - 1].ljust(width - 1))
        self._out.flush()
        self._is_bar_shown = True

    def _clear(self) -> None:
        if self._is_bar_shown:
            self._out.write("\n")
            self._out.flush()
            self._is_bar_shown = False


def clock_words(seconds: float) -> str:
    """Give seconds as `0:42`, `12:05` or `3:04:00`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
