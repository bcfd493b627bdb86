"""P13: what a frame costs the bridge as streams and backends become more; raw pixels of 128 x 128."""

from __future__ import annotations

import sys
import time

from benchmarks.engine import Engine
from benchmarks.goals import Row, ms
from benchmarks.rig import Rig, color

STREAM_FPS = 5
KIND = "raw128"
COUNTS = (1, 4, 16, 64)
BACKENDS = (1, 4, 16)
STREAMS_FOR_BACKENDS = 16
ENGINES = 8
"""Connections: at most so many share the streams, so that it is streams that become more."""


def measure_growth(seconds: float) -> list[Row]:
    """Processor time of the bridge's process for each frame that viewers got, less what it uses when idle."""
    rows: list[Row] = []
    for what, cases in (
        ("streams", [(n, 1) for n in COUNTS]),
        ("backends", [(STREAMS_FOR_BACKENDS, n) for n in BACKENDS]),
    ):
        first: float | None = None
        for streams, backends in cases:
            cost, frames, wanted = _cost(streams, backends, seconds)
            if cost is None:
                print("P13: not measured, this system doesn't tell a process's time", file=sys.stderr)
                return rows
            first = cost if first is None else first
            count = streams if what == "streams" else backends
            sides = f"{ms(cost)} a frame against {ms(first)}; {frames} frames of {wanted} asked for"
            rows.append(Row("P13", f"{count} {what}", cost / first, 1.3, sides=sides))
    return rows


def _cost(streams: int, backends: int, seconds: float) -> tuple[float | None, int, int]:
    names = [f"s{number}" for number in range(streams)]
    rig = Rig(streams=names, backends=backends)
    engines: list[Engine] = []
    try:
        engines = [Engine(rig.tcp) for _ in range(min(streams, ENGINES))]
        asked = [engines[place % len(engines)] for place in range(streams)]
        for name, engine in zip(names, asked, strict=True):
            engine.subscribe(name, "rgba8", credit=8)
        idle_from = rig.bridge.cpu_s()
        time.sleep(1.0)
        before = rig.bridge.cpu_s()
        begin = time.perf_counter()
        frames = wanted = 0
        for turn in range(max(2, round(seconds * STREAM_FPS))):
            for place, (name, engine) in enumerate(zip(names, asked, strict=True)):
                number, _ = rig.number(KIND)
                engine.send("run", stream=name, params={"picture": color(number)})
                wanted += 1
                due = begin + (turn + (place + 1) / streams) / STREAM_FPS
                time.sleep(max(0.0, due - time.perf_counter()))
            for engine in asked:
                engine.frame()
                frames += 1
        took = time.perf_counter() - begin
        after = rig.bridge.cpu_s()
    finally:
        for engine in engines:
            engine.close()
        rig.close()
    if idle_from is None or before is None or after is None or not frames:
        return None, frames, wanted
    return (after - before - (before - idle_from) * took) / frames, frames, wanted
