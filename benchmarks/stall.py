"""P5: how late the event loop comes while its threads decode or compress.

Beside it stands the same decoding in processes of their own, which share no interpreter's lock with the loop: what that
costs is the machine's, and what threads cost above it is the lock's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.goals import Row, ms, percentile
from benchmarks.rig import Process
from benchmarks.source import photo, png
from bridge.app.runtime import SWITCH_INTERVAL_MS, quick_switching
from bridge.frames.decode import DecodePool
from bridge.frames.decoders import decoders
from bridge.frames.leases import BufferPool
from bridge.frames.packets import PayloadSource
from bridge.types import PayloadSpec, PixelFormat

FPS = 30
TICK_S = 0.002
DECODING = """
import sys, time
from bridge.frames.decoders import decoders
decoders.load()
data, due = open(sys.argv[1], "rb").read(), time.perf_counter()
print("ready", flush=True)
while True:
    decoders.decode(data)
    due = max(due + float(sys.argv[2]), time.perf_counter() - 1)
    time.sleep(max(0.0, due - time.perf_counter()))
"""


def measure_stall(seconds: float) -> list[Row]:
    """The loop's lateness at a timer of 2 ms, pictures of 1024 x 1024 coming 30 times a second."""
    decoders.load()
    file = png(photo(1024, 1024))
    asyncio.run(_late(file, "rgba8", 0.3))  # what is warmed up first would be the slower one
    idle = asyncio.run(_late(None, "rgba8", seconds / 2))
    apart = _late_beside_processes(file, seconds / 2)
    rows = []
    for word in ("rgba8", "bc1"):
        with quick_switching(SWITCH_INTERVAL_MS):
            try:
                late = asyncio.run(_late(file, word, seconds))
            except Exception as error:  # noqa: BLE001 - bc1 without etcpak: told, not hidden
                print(f"P5   {word}: not measured, {error}", file=sys.stderr)
                continue
        found = percentile(late, 0.99)
        sides = (
            f"p50 {ms(percentile(late, 0.5))}, worst {ms(max(late))}; p99 idle {ms(percentile(idle, 0.99))}, "
            f"decoding in processes {ms(percentile(apart, 0.99))}"
        )
        rows.append(Row("P5", f"png1024 -> {word}", found * 1000, 2.0, " ms", sides, samples={"late_s": late}))
    return rows


def _late_beside_processes(file: bytes, seconds: float) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(file)
        children = [Process(sys.executable, "-c", DECODING, str(path), str(2 / FPS)) for _ in range(2)]
        try:
            return asyncio.run(_late(None, "rgba8", seconds))
        finally:
            for child in children:
                child.close()


async def _late(file: bytes | None, word: str, seconds: float) -> list[float]:
    pool, buffers = DecodePool(), BufferPool()
    spec = PayloadSpec(PixelFormat[word.upper()])
    late: list[float] = []
    end = time.perf_counter() + seconds
    making: set[asyncio.Task[None]] = set()
    newest: list[PayloadSource | None] = [None]

    async def make() -> None:
        assert file is not None
        source = newest[0] = PayloadSource(file, pool, buffers)
        try:
            # As in a live stream: one that a newer picture overtook before its turn is not decoded.
            payload = await source.payload(spec, lambda: newest[0] is source)
            if payload is not None:
                payload.release()
        finally:
            source.close()

    async def feed() -> None:
        while time.perf_counter() < end and file is not None:
            task = asyncio.create_task(make())
            making.add(task)
            task.add_done_callback(making.discard)
            await asyncio.sleep(1 / FPS)

    feeding = asyncio.create_task(feed())
    while time.perf_counter() < end:
        begin = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append(max(0.0, time.perf_counter() - begin - TICK_S))
    await feeding
    await asyncio.gather(*making)
    await pool.close()
    return late
