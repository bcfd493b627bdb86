"""What was learned of a backend: how long prompts take, what loading adds, and how early the next must be posted.

Everything is asked for far more often than it is told, so what is asked for is worked out when it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

DURATIONS_KEPT: Final = 16
COLD_KEPT: Final = 4
LEADS_KEPT: Final = 32
PREPARATIONS_KEPT: Final = 16
KEYS_KEPT: Final = 256
FIRST_LEAD_S: Final = 0.008
"""Before anything is measured: a POST over loopback takes 1-3 ms, so this is on the safe side."""

SAFETY_S: Final = 0.001


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` (0..1) of a sorted, non-empty list lies; the lower one of two."""
    return ordered[int(share * (len(ordered) - 1))]


class Durations:
    """How long prompts of one cost key took, those that had to load first apart from the others."""

    __slots__ = ("_cold", "_warm", "early_s", "load_s", "middle_s")

    def __init__(self) -> None:
        self._warm: deque[float] = deque(maxlen=DURATIONS_KEPT)
        self._cold: deque[float] = deque(maxlen=COLD_KEPT)
        self.middle_s = 0.0
        """The lower median, of those that found all there if there are any: so a cold start doesn't count."""
        self.early_s = 0.0
        """How much less the 10th percentile is, at most a twentieth of the median."""
        self.load_s: float | None = None
        """What loading adds, the lower median; None until one that loaded and one that didn't have ended."""

    def add(self, duration_s: float, cold: bool) -> None:
        """Note one that ran to its end."""
        (self._cold if cold else self._warm).append(duration_s)
        ordered = sorted(self._warm or self._cold)
        self.middle_s = quantile(ordered, 0.5)
        self.early_s = min(self.middle_s - quantile(ordered, 0.1), 0.05 * self.middle_s)
        if self._warm and self._cold:
            self.load_s = max(0.0, quantile(sorted(self._cold), 0.5) - self.middle_s)


class Estimates:
    """Durations per cost key and the lead, of one backend or of all. Bounded: recent samples of recently used keys."""

    def __init__(self) -> None:
        self._durations: dict[Hashable, Durations] = {}
        self._leads: deque[float] = deque(maxlen=LEADS_KEPT)
        self._post_s = FIRST_LEAD_S
        self._preparations: dict[int, deque[float]] = {}
        self._prepares_s: dict[int, float] = {}

    def add_duration(self, cost_key: Hashable, duration_s: float, cold: bool = False) -> None:
        """Note how long a prompt ran, from `execution_start` to its end; `cold` if its workflow was not run lately."""
        durations = self._durations.pop(cost_key, None)
        if durations is None:
            durations = Durations()
            if len(self._durations) >= KEYS_KEPT:
                del self._durations[next(iter(self._durations))]
        durations.add(duration_s, cold)
        self._durations[cost_key] = durations

    def add_lead(self, lead_s: float) -> None:
        """Note how long it took from the decision to post until ComfyUI had the prompt."""
        self._leads.append(lead_s)
        self._post_s = quantile(sorted(self._leads), 0.9)

    def add_preparation(self, stream: int, preparation_s: float) -> None:
        """Note how long a stream's pictures took to be made ready and brought there, before its prompt was posted."""
        samples = self._preparations.pop(stream, None)
        if samples is None:
            samples = deque(maxlen=PREPARATIONS_KEPT)
            if len(self._preparations) >= KEYS_KEPT:
                oldest = next(iter(self._preparations))
                del self._preparations[oldest]
                del self._prepares_s[oldest]
        samples.append(preparation_s)
        self._preparations[stream] = samples
        self._prepares_s[stream] = quantile(sorted(samples), 0.9)

    def preparation(self, stream: int) -> float:
        """Expected seconds for a stream's pictures, the 90th percentile; 0 for a stream without."""
        return self._prepares_s.get(stream, 0.0)

    def duration(self, cost_key: Hashable) -> float | None:
        """Expected seconds for this key: the lower median, so that one cold start doesn't count; None if unknown."""
        durations = self._durations.get(cost_key)
        return None if durations is None else durations.middle_s

    def load(self, cost_key: Hashable) -> float | None:
        """What it adds if the key was not run lately; None if unknown."""
        durations = self._durations.get(cost_key)
        return None if durations is None else durations.load_s

    def durations(self) -> dict[Hashable, float]:
        """The expected seconds of every key that ran here."""
        return {key: durations.middle_s for key, durations in self._durations.items()}

    def lead(self, cost_key: Hashable, stream: int) -> float:
        """Seconds before the expected end of a prompt of this key at which the stream's next is begun.

        What its pictures take, the 90th percentile of the time to post, and for the jitter of the end as much as
        prompts of this key have lately ended early, at most a twentieth of their duration.
        """
        post = self._post_s + self.preparation(stream) + SAFETY_S
        durations = self._durations.get(cost_key)
        return post if durations is None else post + durations.early_s

    def longest_lead(self) -> float:
        """No stream's `lead` is longer."""
        early = max((durations.early_s for durations in self._durations.values()), default=0.0)
        return self._post_s + max(self._prepares_s.values(), default=0.0) + SAFETY_S + early
