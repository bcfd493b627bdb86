"""P13 with real prompts: a pool of embedded ComfyUIs that take 200 ms for each picture of 128 x 128.

What `growth` can't show: a source there answers at once, and a pool is for ComfyUIs that take their time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.engine import HELD, Engine, Got
from benchmarks.goals import Row, ms
from benchmarks.rig import DOORS, Process, color

PROMPT_MS = 200
SIDE = 128
BACKENDS = (1, 4)
GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": SIDE, "height": SIDE, "batch_size": 1, "color": 0},
        "_meta": {"title": "A number of its own @picture:color"},
    },
    "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}, "_meta": {"title": "@out image"}},
}
AHEAD = 3
"""Requests of each ComfyUI that are asked for and not answered: one runs, one waits behind it, one is on its way."""


class Pool:
    """ComfyUIs, a bridge, and an engine that looks at a stream of theirs."""

    def __init__(self, backends: int, prompt_ms: float = PROMPT_MS) -> None:
        self._comfies: list[Process] = []
        self.backends = backends
        self._asked = self.frames = 0
        words = ("embedded", "--port", "0", "--step-delay-ms", str(prompt_ms))
        try:
            for _ in range(backends):
                self._comfies.append(Process(sys.executable, "-m", "bridge", *words))
            urls = ",".join(comfy.first.split()[3] for comfy in self._comfies)
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "one_color").mkdir()
                (Path(folder) / "one_color" / "workflow_api.json").write_text(json.dumps(GRAPH), encoding="utf-8")
                command = (sys.executable, "-m", "bridge", "serve", "--json", "--comfy", urls, "--workflows", folder)
                self.bridge = Process(*command, *DOORS, "--require-comfy", "--stream", "pool=one_color:oneshot")
        except BaseException:
            self._close_comfies()
            raise
        try:
            told = json.loads(self.bridge.first)
            self.http = told["http"]
            self.engine = Engine(told["tcp"])
            self.engine.subscribe("pool", "rgba8", credit=8)
        except BaseException:
            self.bridge.close()
            self._close_comfies()
            raise

    def ask(self) -> None:
        """One more picture."""
        self._asked += 1
        self.engine.send("run", stream="pool", params={"picture": color(self._asked)})

    def make(self, pictures: int) -> float:
        """Have so many made, with enough asked for at any time; gives the seconds that they took."""
        ahead = min(pictures, AHEAD * self.backends)
        for _ in range(ahead):
            self.ask()
        begin = time.perf_counter()
        for made in range(1, pictures + 1):
            self._finished()
            if made <= pictures - ahead:
                self.ask()
        return time.perf_counter() - begin

    def _finished(self) -> None:
        """Wait for one terminal answer; frames are acked as they come."""
        while True:
            found = self.engine.message()
            if isinstance(found, Got):
                self.engine.send("ack", stream=found.stream, number=found.number)
                self.frames += not found.flags & HELD
            elif found["op"] in ("finished", "error"):
                if found.get("outcome") != "done":
                    raise RuntimeError(found)
                return

    def close(self) -> None:
        """End all."""
        self.engine.close()
        self.bridge.close()
        self._close_comfies()

    def _close_comfies(self) -> None:
        for comfy in self._comfies:
            comfy.close()


def measure_pool(seconds: float) -> list[Row]:
    """Pictures a second and processor time of the bridge, of four ComfyUIs against one."""
    rates: dict[int, float] = {}
    costs: dict[int, float | None] = {}
    for backends in BACKENDS:
        pool = Pool(backends)
        try:
            pool.make(6 * backends)  # each has run the workflow and knows how long it takes
            time.sleep(1.0)
            pictures = max(4, round(seconds * 1000 / PROMPT_MS)) * backends
            idle_from, at = pool.bridge.cpu_s(), time.perf_counter()
            time.sleep(1.0)
            before, idle_s = pool.bridge.cpu_s(), time.perf_counter() - at
            took = pool.make(pictures)
            after = pool.bridge.cpu_s()
        finally:
            pool.close()
        rates[backends] = pictures / took
        costs[backends] = None
        if idle_from is not None and before is not None and after is not None:
            costs[backends] = (after - before - (before - idle_from) / idle_s * took) / pictures
    one, many = BACKENDS
    sides = f"{rates[many]:.2f} pictures a second against {rates[one]:.2f}"
    rows = [
        Row(
            "P13",
            f"{many} ComfyUIs of {PROMPT_MS} ms",
            rates[many] / rates[one] / many,
            0.9,
            sides=sides,
            at_least=True,
        )
    ]
    cost, first = costs[many], costs[one]
    if cost is None or first is None or first <= 0:
        print("P13: CPU is not measured, this system doesn't tell a process's time", file=sys.stderr)
    else:
        sides = f"{ms(cost)} a frame against {ms(first)}"
        rows.append(Row("P13", f"{many} ComfyUIs of {PROMPT_MS} ms, CPU", cost / first, 1.3, sides=sides))
    return rows
