"""P6, P7 and P8: many viewers, a stalled one, and one that reads seldom; pictures of 512 x 512, 30 a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from benchmarks.engine import Engine, Got
from benchmarks.goals import Row, median, ms
from benchmarks.rig import Rig, color

FPS = 30
KIND = "jpeg512"
FRAME_BYTES = 512 * 512 * 4
READ_EVERY_S = 0.5


@dataclass
class Watched:
    """What viewers got while pictures came: latencies and counts by viewer, and what the bridge used."""

    latencies: list[list[float]] = field(default_factory=list)
    frames: int = 0
    cpu_s: float | None = None
    memory: list[tuple[float, int]] = field(default_factory=list)

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


class Viewer(threading.Thread):
    """A viewer that reads all the time."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self.engine = Engine(rig.tcp, limit_s=2.0)
        self.engine.subscribe("bench", "rgba8", credit=2)  # one on its way while the other is acked
        self.got: list[Got] = []
        self.ended = False

    def run(self) -> None:
        """Read until `ended` and nothing comes any more."""
        while not self.ended:
            try:
                self.got.append(self.engine.frame())
            except (OSError, EOFError):
                return

    def close(self) -> None:
        """Give up after the last frame."""
        self.ended = True
        self.join(3.0)
        self.engine.close()


def watch(rig: Rig, viewers: int, seconds: float, stalled: int = 0) -> Watched:
    """`viewers` that read, and some that subscribe and never read again, for so long."""
    rig.stamps()
    control = Engine(rig.tcp)
    reading = [Viewer(rig) for _ in range(viewers)]
    idle = [Engine(rig.tcp) for _ in range(stalled)]
    for engine in idle:
        engine.subscribe("bench", "rgba8")
    found = Watched()
    runs: dict[int, int] = {}
    for viewer in reading:
        viewer.start()
    try:
        before = rig.bridge.cpu_s()
        begin = time.perf_counter()
        for place in range(max(2, int(seconds * FPS))):
            number, run = rig.number(KIND)
            runs[control.ask("run", stream="bench", params={"picture": color(number)})["request"]] = run
            if place % 10 == 0 and (size := rig.bridge.memory_bytes()) is not None:
                found.memory.append((time.perf_counter() - begin, size))
            time.sleep(max(0.0, begin + (place + 1) / FPS - time.perf_counter()))
        time.sleep(0.3)  # what is on its way still comes
        after = rig.bridge.cpu_s()
        found.cpu_s = None if before is None or after is None else after - before
    finally:
        for viewer in reading:
            viewer.close()
        for engine in [control, *idle]:
            engine.close()
    stamps = rig.stamps()
    found.frames = len(runs)
    for viewer in reading:
        known = [(got, runs[got.request]) for got in viewer.got if got.request in runs]
        found.latencies.append([got.at - stamps[run][1] for got, run in known if run in stamps])
    return found


def measure_fanout(rig: Rig, seconds: float) -> list[Row]:
    """All three goals, each against what it is compared with just before."""
    rows = []
    one, many = watch(rig, 1, seconds), watch(rig, 16, seconds)
    samples = {"one_s": one.latencies[0], "sixteen_s": [sample for viewer in many.latencies for sample in viewer]}
    sides = f"{ms(many.p50)} against {ms(one.p50)}"
    rows.append(Row("P6", "16 viewers, p50", many.p50 / one.p50, 1.4, sides=sides, samples=samples))
    if one.cpu_s and many.cpu_s:
        sides = f"{ms(many.cpu_s / many.frames)} a frame against {ms(one.cpu_s / one.frames)}"
        rows.append(Row("P6", "16 viewers, CPU", many.cpu_s / one.cpu_s, 1.6, sides=sides))
    rows.append(Row("P6", "16 viewers, delivered", many.delivered * 100, 100.0, " %", at_least=True))

    free, beside = watch(rig, 3, seconds), watch(rig, 3, seconds, stalled=1)
    sides = f"{ms(beside.p50)} against {ms(free.p50)}"
    rows.append(Row("P7", "beside a stalled viewer, p50", beside.p50 / free.p50, 1.15, sides=sides))
    rows.append(Row("P7", "beside a stalled viewer, delivered", beside.delivered * 100, 100.0, " %", at_least=True))
    if beside.memory:
        sides = f"{beside.growth_bytes / FRAME_BYTES:.1f} frames, {free.growth_bytes / FRAME_BYTES:.1f} without"
        memory = {"at_s": [at for at, _ in beside.memory], "bytes": [float(size) for _, size in beside.memory]}
        found = beside.growth_bytes / FRAME_BYTES
        rows.append(Row("P7", "memory, in frames", found, 8.0, sides=sides, samples=memory))
    return [*rows, measure_age(rig, max(3.0, seconds))]


def measure_age(rig: Rig, seconds: float) -> Row:
    """P8: how old the newest frame is in the hands of a viewer that acks just before it reads."""
    rig.stamps()
    reader = Engine(rig.tcp)
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
    return Row("P8", "age at a slow reader", median(found) * FPS, 2.0, sides=sides, samples={"age_s": found})


def measure_memory(rig: Rig, seconds: float) -> list[Row]:
    """P12: the bridge's memory while a viewer comes and another goes every second; the last tenth against the first."""
    first = min(60.0, seconds / 4)
    viewers: list[Viewer] = []
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
                viewers.append(Viewer(rig))
                viewers[-1].start()
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
