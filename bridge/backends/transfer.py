"""How pictures come over from ComfyUI: which form, by what the link has shown. No I/O and no clock.

Raw pixels cost nothing to make and nothing to read, and are ten times the bytes of a JPEG: right on this machine and in
a fast network, wrong through a tunnel. `auto` looks at how fast pictures really came, and how long this picture would
take raw.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from statistics import median
from typing import Final

from bridge.types import OutputKind


class TransferMode(StrEnum):
    """What `transfer` of a backend says; `png` is ComfyUI's own nodes, both ways."""

    AUTO = "auto"
    RAW = "raw"
    JPEG = "jpeg"
    WEBP = "webp"
    PNG = "png"


TOO_SLOW_S: Final = 0.050
"""A picture that would take longer than this raw goes as JPEG, if that is not about as long itself:"""
TOO_SLOW_S_PER_BYTE: Final = 7e-9
"""twice what JPEG takes to write and read, 10 ns a pixel."""
FAST_AGAIN: Final = 0.4
"""Raw comes back when it would take less than this part of that: well below, so that nothing swings."""
LEAST_BYTES: Final = 32 << 10
"""Smaller messages say nothing of a link."""
SHORTEST_S: Final = 0.000_2
FAR_BYTES_PER_S: Final = 2_500_000.0
"""Taken for a ComfyUI across the internet until it is measured: 20 Mbit/s."""
FAR_ROUND_TRIP_S: Final = 0.010
"""A ComfyUI whose fastest answer took this long may be behind a proxy that passes whole messages on."""
SAMPLES: Final = 7
FIRST_TRY_AFTER: Final = 8
LAST_TRY_AFTER: Final = 2048


class Transfer:
    """The form of one backend's pictures. `far` is what is known of the way there before anything was measured."""

    def __init__(self, mode: TransferMode, *, far: bool = False, quality: int = 90) -> None:
        self.mode = mode
        self.quality = quality
        self._far = far
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._slow = far
        self._since_switch = 0
        self._try_after = FIRST_TRY_AFTER
        self._in_trial = 0

    @property
    def bytes_per_s(self) -> float | None:
        """How fast pictures came lately; None before the first."""
        return median(self._samples) if self._samples else None

    def word(self, kind: OutputKind = OutputKind.COLOR, bits: int = 8) -> str:
        """`raw`, `raw16f`, `jpeg`, `webp` or `png`: the form for an output of this kind. Numbers are never sent lossy.

        More than 8 bits are half floats, over a slow link too, unless the mode is a file's, which has 8.
        """
        if bits > 8 and self.mode in (TransferMode.AUTO, TransferMode.RAW):
            return "raw16f"
        if self.mode is TransferMode.AUTO:
            chosen = "jpeg" if self._slow else "raw"
        else:
            chosen = self.mode.value
        return "png" if chosen in ("jpeg", "webp") and kind is not OutputKind.COLOR else chosen

    def forget(self) -> None:
        """Another ComfyUI, or another way there: measure anew."""
        self._samples.clear()
        self._slow = self._far
        self._try_after = FIRST_TRY_AFTER
        self._since_switch = self._in_trial = 0

    def came(self, message_bytes: int, took_s: float, raw_bytes: int, since_last_s: float = 0.0) -> None:
        """A picture of `raw_bytes` when raw came in a message of `message_bytes`, which took `took_s` to read.

        `since_last_s` is how long after the message before it that was, 0 if it doesn't matter. A proxy that passes
        whole messages on hands over in a moment what took long to come to it; ComfyUI tells of a node just before its
        picture, so the time between shows it. Of a raw picture alone: to write a JPEG takes time itself.
        """
        if message_bytes >= raw_bytes:
            took_s = max(took_s, since_last_s)
        self._since_switch += 1
        if message_bytes >= LEAST_BYTES:
            self._samples.append(message_bytes / max(took_s, SHORTEST_S))
        if len(self._samples) < 3:
            return
        raw_s = raw_bytes / median(self._samples)
        too_slow_s = max(TOO_SLOW_S, raw_bytes * TOO_SLOW_S_PER_BYTE)
        if not self._slow:
            if raw_s > too_slow_s:
                # A burst out of a full buffer looked like a fast link: the next try waits longer.
                self._try_after = min(2 * self._try_after, LAST_TRY_AFTER) if self._in_trial else FIRST_TRY_AFTER
                self._switch(slow=True)
            elif self._in_trial and self._since_switch >= SAMPLES:
                self._in_trial = 0
        elif raw_s < FAST_AGAIN * too_slow_s and self._since_switch >= self._try_after:
            self._switch(slow=False)
            self._in_trial = 1

    def _switch(self, slow: bool) -> None:
        self._slow = slow
        self._since_switch = self._in_trial = 0
        self._samples.clear()
