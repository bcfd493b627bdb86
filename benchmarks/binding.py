"""P9 and P9b: the gap between two prompts that wait, and the age of values as ComfyUI begins with them.

P9b is measured by `tests/e2e/late_binding.py`, in processes of their own; P9 beside two prompts queued by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from benchmarks.engine import Engine
from benchmarks.goals import Row, median, ms
from benchmarks.relay import prompt
from benchmarks.rig import ROOT, Rig, color

WORK_S = 0.03


def measure_binding(seconds: float) -> list[Row]:
    """P9b, by value changes over the link."""
    command = [sys.executable, str(ROOT / "tests" / "e2e" / "late_binding.py"), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, timeout=seconds + 120, check=False, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    sides = f"{found['age_ms']['p50']} ms old, a generation takes {found['generation_ms']} ms"
    idle = f"gaps p50 {found['gap_ms']['p50']} ms, {found['prompts_per_s']} prompts a second"
    return [
        Row("P9b", "age of values at the start", found["age_p50"], 0.15, sides=sides),
        Row("P9b", "idle between prompts", found["idle_share"] * 100, 5.0, " %", sides=idle),
    ]


def measure_gap(rig: Rig, rounds: int) -> list[Row]:
    """P9: from the end of one prompt to the start of the next, in the server, while others wait; both in turns."""
    engine = Engine(rig.tcp)
    ours: list[float] = []
    by_hand: list[float] = []
    rig.post("/bench/settings", {"delay_s": WORK_S})
    try:
        engine.subscribe("bench", "png", credit=8)
        for _ in range(max(1, rounds // 10)):
            for way, into in (("bridge", ours), ("hand", by_hand)):
                rig.get("/bench/spans")
                for _ in range(10):
                    number, _ = rig.number("jpeg512")
                    if way == "bridge":
                        engine.send("run", stream="bench", params={"picture": color(number)})
                    else:
                        rig.post("/prompt", {"prompt": prompt(number), "client_id": "nobody"})
                spans: list[list[float]] = []
                while len(spans) < 10:
                    time.sleep(0.1)
                    spans += rig.get("/bench/spans")
                into += [after[0] - before[1] for before, after in pairwise(spans)][1:]
    finally:
        rig.post("/bench/settings", {"delay_s": 0})
        engine.close()
    # A gap alone is all jitter; what counts is how long two prompts take one after the other.
    bridge, hand = WORK_S + median(ours), WORK_S + median(by_hand)
    sides = f"gap {ms(median(ours))} against {ms(median(by_hand))}"
    samples = {"bridge_s": ours, "hand_s": by_hand}
    rows = [
        Row("P9", "gap between prompts that wait", median(ours) / median(by_hand), 1.1, sides=sides, samples=samples)
    ]
    rows.append(Row("P9", f"prompt and gap, {ms(WORK_S)} of work", bridge / hand, 1.1, sides=sides))
    return rows
