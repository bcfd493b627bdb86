"""What was learned of a backend: how long prompts take, and how early the next must be posted."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

DURATIONS_KEPT: Final = 16
LEADS_KEPT: Final = 32
PREPARATIONS_KEPT: Final = 16
KEYS_KEPT: Final = 256
FIRST_LEAD_S: Final = 0.008
"""Before anything is measured: a POST over loopback takes 1-3 ms, so this is on the safe side."""

SAFETY_S: Final = 0.001


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` (0..1) of a sorted, non-empty list lies; the lower one of two."""
    return ordered[int(share * (len(ordered) - 1))]


class Estimates:
    """Durations per cost key and the lead, of one backend. Bounded: recent samples of recently used keys."""

    def __init__(self) -> None:
        self._durations: dict[Hashable, deque[float]] = {}
        self._leads: deque[float] = deque(maxlen=LEADS_KEPT)
        self._preparations: dict[int, deque[float]] = {}

    def add_duration(self, cost_key: Hashable, duration_s: float) -> None:
        """Note how long a prompt ran, from `execution_start` to its end."""
        samples = self._durations.pop(cost_key, None)
        if samples is None:
            samples = deque(maxlen=DURATIONS_KEPT)
            if len(self._durations) >= KEYS_KEPT:
                del self._durations[next(iter(self._durations))]
        samples.append(duration_s)
        self._durations[cost_key] = samples

    def add_lead(self, lead_s: float) -> None:
        """Note how long it took from the decision to post until ComfyUI had the prompt."""
        self._leads.append(lead_s)

    def add_preparation(self, stream: int, preparation_s: float) -> None:
        """Note how long a stream's pictures took to be made ready and brought there, before its prompt was posted."""
        samples = self._preparations.pop(stream, None)
        if samples is None:
            samples = deque(maxlen=PREPARATIONS_KEPT)
            if len(self._preparations) >= KEYS_KEPT:
                del self._preparations[next(iter(self._preparations))]
        samples.append(preparation_s)
        self._preparations[stream] = samples

    def preparation(self, stream: int) -> float:
        """Expected seconds for a stream's pictures, the 90th percentile; 0 for a stream without."""
        samples = self._preparations.get(stream)
        return quantile(sorted(samples), 0.9) if samples else 0.0

    def duration(self, cost_key: Hashable) -> float | None:
        """Expected seconds for this key: the lower median, so that one cold start doesn't count; None if unknown."""
        samples = self._durations.get(cost_key)
        return quantile(sorted(samples), 0.5) if samples else None

    def lead(self, cost_key: Hashable, stream: int) -> float:
        """Seconds before the expected end of a prompt of this key at which the stream's next is begun.

        What its pictures take, the 90th percentile of the time to post, and for the jitter of the end as much as
        prompts of this key have lately ended early, at most a twentieth of their duration.
        """
        post = quantile(sorted(self._leads), 0.9) if self._leads else FIRST_LEAD_S
        post += self.preparation(stream)
        samples = self._durations.get(cost_key)
        if not samples:
            return post + SAFETY_S
        ordered = sorted(samples)
        middle = quantile(ordered, 0.5)
        return post + SAFETY_S + min(middle - quantile(ordered, 0.1), 0.05 * middle)
