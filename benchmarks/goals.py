"""Goals, what was measured for each, and how it is told."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOALS = {
    "P1": "relay p50, frame sent by ComfyUI -> engine has the bytes, <= 1.25 x (D + N)",
    "P2": "raw pixels, sent by ComfyUI -> engine has RGBA: <= 3.5 x R over TCP, <= 2.5 x R by memory; last hop 0.8",
    "P3": "overhead per frame against ComfyUI's example script: PNG <= 0.9 (Pillow), <= 0.6 ([fast]); raw <= 0.1",
    "P4": "against polling every 0.5 s, <= 1/30",
    "P5": "event-loop stall while decoding 1024 x 1024 at 30 fps, p99 <= 2 ms",
    "P6": "16 viewers against 1 at 512 x 512, 30 fps: p50 <= 1.4, CPU <= 1.6, every frame delivered",
    "P7": "one stalled viewer of four: the others' p50 <= 1.15, 100 % delivered",
    "P8": "age of the newest frame at a viewer that reads every 0.5 s, credit 1: <= 2 frame times",
    "P9": "gap between two prompts while requests wait, <= 1.1 x of prompts queued by hand",
    "P9b": "values changing at 200 Hz: their age at execution_start <= 0.15 of a generation, backend idle <= 5 %",
    "P10": "OSC datagram -> prompt posted, p50 <= 2 x (bare datagram + bare POST)",
    "P11": "BC1 at 512 x 512: <= 0.2 x D of the PNG, PSNR >= 31 dB",
    "P12": "memory after ten minutes of 30 fps with viewers coming and going: <= 5 % over the first minute",
    "P13": "1, 4, 16, 64 streams at 5 fps, 1, 4, 16 backends, raw 128: CPU of a frame <= 1.3; 4 of 200 ms: >= 0.9 x 4",
    "P14": "pixels in -> pixels out against upload, stock nodes and Pillow: >= 12 x with the nodes, >= 1.7 x without",
}
"""What is measured here."""

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
LONG = frozenset({"P12"})
"""Measured only when named, or with --long: they take minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a goal in one case, what was found, the limit, and the two sides of the ratio."""

    goal: str
    case: str
    found: float
    limit: float
    unit: str = ""
    sides: str = ""
    at_least: bool = False
    samples: dict[str, list[float]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the goal is reached."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def line(self) -> str:
        """The row for a person."""
        sign = ">=" if self.at_least else "<="
        verdict = "holds" if self.holds else "MISSED"
        found = f"{self.found:.3g}{self.unit}"
        return f"{self.goal:4} {self.case:34} {found:>10} {sign} {self.limit:.3g}{self.unit:5} {verdict:7} {self.sides}"

    def as_map(self, *, samples: bool = True) -> dict[str, Any]:
        """The row for a program: with all its samples, or with how they are spread."""
        kept: dict[str, Any] = {
            name: [round(value, 7) for value in values]
            if samples
            else {f"p{round(share * 100)}": round(percentile(values, share), 7) for share in SHARES}
            for name, values in self.samples.items()
        }
        return {
            "goal": self.goal,
            "case": self.case,
            "found": self.found,
            "limit": self.limit,
            "unit": self.unit,
            "at_least": self.at_least,
            "holds": self.holds,
            "sides": self.sides,
            "samples": kept,
        }


def median(samples: Iterable[float]) -> float:
    """The median, 0 of nothing."""
    kept = list(samples)
    return statistics.median(kept) if kept else 0.0


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which so much lies; 0 of nothing."""
    kept = sorted(samples)
    return kept[min(len(kept) - 1, int(share * len(kept)))] if kept else 0.0


def ms(seconds: float) -> str:
    """Milliseconds with what matters."""
    return f"{seconds * 1000:.3g} ms"


def machine() -> str:
    """Machine, system, Python and day, on one line."""
    return (
        f"{processor()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()} ({sys.implementation.name}), {time.strftime('%Y-%m-%d')}"
    )


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def load_average() -> str:
    """What else the machine does: the load of the last 1, 5 and 15 minutes, where the system tells."""
    try:
        return " ".join(f"{load:.1f}" for load in os.getloadavg())
    except (AttributeError, OSError):
        return "unknown"
