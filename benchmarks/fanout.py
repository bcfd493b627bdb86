"""P6, P7 and P8: many viewers, a stalled one, and one that reads seldom; pictures of 512 x 512, 30 a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.engine import Engine, WebSocketEngine
from benchmarks.goals import Row, median, ms
from benchmarks.rig import Rig, color
from benchmarks.viewers import Viewers

FPS = 30
KIND = "jpeg512"
WAYS = ("TCP", "WebSocket", "memory")
CASES = (("jpeg512", "TCP"), *((kind, way) for kind in ("png512", "raw512") for way in WAYS))
"""What P6 is taken with: the picture that ComfyUI sends, and how viewers read. With `png` decoding is in both sides, as
it is with a ComfyUI without the node pack; with `raw` next to nothing but the viewers is."""

TURN_S = 2.5
FRAME_BYTES = 512 * 512 * 4
READ_EVERY_S = 0.5


@dataclass
class Watched:
    """What viewers got while pictures came: latencies and counts by viewer, and what the bridge used."""

    latencies: list[list[float]] = field(default_factory=list)
    frames: int = 0
    cpu_s: float | None = None
    memory: list[tuple[float, int]] = field(default_factory=list)

    def add(self, other: Watched) -> None:
        """What another turn gave, behind this one's."""
        if self.frames:
            self.latencies = [mine + theirs for mine, theirs in zip(self.latencies, other.latencies, strict=True)]
        else:
            self.latencies = other.latencies
        self.frames += other.frames
        self.cpu_s = None if other.cpu_s is None else (self.cpu_s or 0.0) + other.cpu_s
        self.memory += other.memory

    @property
    def p50(self) -> float:
        """Median of all viewers' frames together."""
        return median(sample for viewer in self.latencies for sample in viewer)

    @property
    def delivered(self) -> float:
        """The share of frames that the viewer with the fewest got."""
        return min(len(viewer) for viewer in self.latencies) / self.frames if self.frames else 0.0

    @property
    def growth_bytes(self) -> int:
        """How much the bridge's memory grew from the beginning to its highest."""
        return max(size for _, size in self.memory) - self.memory[0][1] if self.memory else 0


def watch(rig: Rig, viewers: int, seconds: float, kind: str, *, stalled: int = 0, way: str = "TCP") -> Watched:
    """`viewers` that read in a process of their own, and some that subscribe and never read again, for so long."""
    rig.stamps()
    control = Engine(rig.tcp)
    reading = Viewers(rig.link if way == "WebSocket" else rig.tcp, "bench", viewers, way=way, stalled=stalled)
    found = Watched()
    runs: dict[int, int] = {}
    try:
        before = rig.bridge.cpu_s()
        begin = time.perf_counter()
        for place in range(max(2, int(seconds * FPS))):
            number, run = rig.number(kind)
            runs[control.ask("run", stream="bench", params={"picture": color(number)})["request"]] = run
            if place % 10 == 0 and (size := rig.bridge.memory_bytes()) is not None:
                found.memory.append((time.perf_counter() - begin, size))
            time.sleep(max(0.0, begin + (place + 1) / FPS - time.perf_counter()))
        time.sleep(0.3)  # what is on its way still comes
        after = rig.bridge.cpu_s()
        found.cpu_s = None if before is None or after is None else after - before
        told = reading.end()
    finally:
        reading.close()
        control.close()
    stamps = rig.stamps()
    found.frames = len(runs)
    for viewer in told:
        known = [(at, runs[request]) for at, request in viewer if request in runs]
        found.latencies.append([at - stamps[run][1] for at, run in known if run in stamps])
    return found


def measure_fanout(rig: Rig, seconds: float, *, many: bool = True, rest: bool = True) -> list[Row]:
    """All three goals, each against what it is compared with, in turns of a second or two."""
    rows = []
    if many:
        for kind, way in CASES:
            rows += _many(rig, seconds, kind, way)
    if rest:
        for way in WAYS:
            rows += _stalled(rig, seconds, way)
            rows.append(measure_age(rig, max(3.0, seconds), way))
    return rows


def _stalled(rig: Rig, seconds: float, way: str) -> list[Row]:
    free, beside = _in_turns(
        seconds,
        lambda s: watch(rig, 3, s, KIND, way=way),
        lambda s: watch(rig, 3, s, KIND, stalled=1, way=way),
    )
    case = f"beside a stalled viewer, {way}"
    sides = f"{ms(beside.p50)} against {ms(free.p50)}"
    rows = [
        Row("P7", f"{case}, p50", beside.p50 / free.p50, 1.15, sides=sides),
        Row("P7", f"{case}, delivered", beside.delivered * 100, 100.0, " %", at_least=True),
    ]
    if beside.memory:
        sides = f"{beside.growth_bytes / FRAME_BYTES:.1f} frames, {free.growth_bytes / FRAME_BYTES:.1f} without"
        memory = {"at_s": [at for at, _ in beside.memory], "bytes": [float(size) for _, size in beside.memory]}
        found = beside.growth_bytes / FRAME_BYTES
        rows.append(Row("P7", f"{case}, memory in frames", found, 8.0, sides=sides, samples=memory))
    return rows


def _many(rig: Rig, seconds: float, kind: str, way: str) -> list[Row]:
    one, many = _in_turns(
        seconds,
        lambda s: watch(rig, 1, s, kind, way=way),
        lambda s: watch(rig, 16, s, kind, way=way),
    )
    case = f"16 viewers, {kind}, {way}"
    samples = {"one_s": one.latencies[0], "sixteen_s": [sample for viewer in many.latencies for sample in viewer]}
    sides = f"{ms(many.p50)} against {ms(one.p50)}"
    rows = [Row("P6", f"{case}, p50", many.p50 / one.p50, 1.4, sides=sides, samples=samples)]
    if one.cpu_s and many.cpu_s:
        used, alone = many.cpu_s / many.frames, one.cpu_s / one.frames
        sides = f"{ms(used)} a frame against {ms(alone)}; a viewer more costs {ms((used - alone) / 15)}"
        rows.append(Row("P6", f"{case}, CPU", used / alone, 1.6, sides=sides))
    return [*rows, Row("P6", f"{case}, delivered", many.delivered * 100, 100.0, " %", at_least=True)]


def _in_turns(
    seconds: float, first: Callable[[float], Watched], second: Callable[[float], Watched]
) -> tuple[Watched, Watched]:
    """Both ways several times in turn, so that what else the machine does meets both alike."""
    turns = max(1, round(seconds / TURN_S))
    found = Watched(), Watched()
    for _ in range(turns):
        for way, into in zip((first, second), found, strict=True):
            into.add(way(seconds / turns))
    return found


def measure_age(rig: Rig, seconds: float, way: str = "TCP") -> Row:
    """P8: how old the newest frame is in the hands of a viewer that acks just before it reads."""
    rig.stamps()
    reader = WebSocketEngine(rig.link) if way == "WebSocket" else Engine(rig.tcp, shared=way == "memory")
    reader.subscribe("bench", "rgba8")
    ages: list[tuple[int, float]] = []
    runs: dict[int, int] = {}
    stop = threading.Event()

    def feed() -> None:
        control = Engine(rig.tcp)
        begin, place = time.perf_counter(), 0
        while not stop.is_set():
            number, run = rig.number(KIND)
            runs[control.ask("run", stream="bench", params={"picture": color(number)})["request"]] = run
            place += 1
            time.sleep(max(0.0, begin + place / FPS - time.perf_counter()))
        control.close()

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    try:
        number = reader.frame_unacked().number
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            time.sleep(READ_EVERY_S)
            reader.ack(number)
            got = reader.frame_unacked()
            number = got.number
            ages.append((got.request, got.at))
    finally:
        stop.set()
        feeding.join(5.0)
        reader.close()
    stamps = rig.stamps()
    found = [at - stamps[runs[request]][1] for request, at in ages if request in runs and runs[request] in stamps]
    sides = f"{ms(median(found))} old, a frame time is {ms(1 / FPS)}"
    return Row("P8", f"age at a slow reader, {way}", median(found) * FPS, 2.0, sides=sides, samples={"age_s": found})


def measure_memory(rig: Rig, seconds: float) -> list[Row]:
    """P12: the bridge's memory while a viewer comes and another goes every second; the last tenth against the first."""
    first = min(60.0, seconds / 4)
    viewers: list[Viewers] = []
    sizes: list[tuple[float, int]] = []
    control = Engine(rig.tcp)
    begin = time.perf_counter()
    try:
        place = 0
        while (at := time.perf_counter() - begin) < seconds:
            number, _ = rig.number(KIND)
            control.ask("run", stream="bench", params={"picture": color(number)})
            if place % FPS == 0:
                if len(viewers) == 4:
                    viewers.pop(0).close()
                viewers.append(Viewers(rig.tcp, "bench", 1))
                rig.stamps()
                if (size := rig.bridge.memory_bytes()) is not None:
                    sizes.append((at, size))
            place += 1
            time.sleep(max(0.0, begin + place / FPS - time.perf_counter()))
    finally:
        for viewer in viewers:
            viewer.close()
        control.close()
    if not sizes:
        return []
    early = median(float(size) for at, size in sizes if at <= first)
    late = median(float(size) for _, size in sizes[-max(1, len(sizes) // 10) :])
    sides = f"{late / (1 << 20):.0f} MiB at the end, {early / (1 << 20):.0f} in the first {first:.0f} s"
    samples = {"at_s": [at for at, _ in sizes], "bytes": [float(size) for _, size in sizes]}
    return [Row("P12", f"memory after {seconds:.0f} s", late / early, 1.05, sides=sides, samples=samples)]
