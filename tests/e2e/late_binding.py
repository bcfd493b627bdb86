"""How old a value is when ComfyUI begins to work with it: a value changed 200 times a second, 10 prompts a second.

    python tests/e2e/late_binding.py [--seconds 20] [--changes 200] [--prompt-ms 100] [--by set|osc]

Three processes: an embedded ComfyUI that notes when each prompt begins and ends and which value is in it, the bridge
with a stream in `live`, and this one, which sends values and notes when it sent each. Prints, as JSON: the age of the
bound value at `execution_start` as a share of a generation (p50 and p95; a prompt queued ahead would have 1.0 and
more), and the share of time in which ComfyUI was idle between prompts. Exit code 1 if p50 is over 0.15 or the idle
share over 0.05. ComfyUI's times are those at which its worker sends the events.
"""

import argparse
import asyncio
import json
import struct
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import socket

from app_rig import WORKFLOWS, Engine, color, write_workflow
from e2e.processes import BridgeProcess, Process

from bridge.codec.messages import Set
from bridge.codec.osc import encode_osc_message
from bridge.embedded import EmbeddedServer

AGE_LIMIT = 0.15
IDLE_LIMIT = 0.05
WARM_UP = 5
"""Prompts that don't count: the bridge learns how long one takes."""


class Ledger:
    """Stands between ComfyUI's worker and its sockets, and notes begin, end and value of each prompt."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._inner: Any = server._executor.outbound
        self._server = server
        self.rows: list[dict[str, Any]] = []
        server._executor.outbound = self  # type: ignore[assignment]

    def send(self, event: str, data: Any, client_id: str | None) -> None:
        """As `Sockets.send`."""
        now = time.perf_counter()
        self._inner.send(event, data, client_id)
        if event == "execution_start":
            (running,), _ = self._server._queue.snapshot()
            self.rows.append({"value": running.prompt["1"]["inputs"]["color"], "begin": now, "end": 0.0})
        elif event in ("execution_success", "execution_error", "execution_interrupted"):
            self.rows[-1]["end"] = now

    def send_bytes(self, data: bytes, client_id: str | None) -> None:
        """As `Sockets.send_bytes`."""
        self._inner.send_bytes(data, client_id)

    def takes_metadata(self, client_id: str | None) -> bool:
        """As `Sockets.takes_metadata`."""
        return bool(self._inner.takes_metadata(client_id))


async def serve_comfy(step_delay_ms: float) -> None:
    """The embedded ComfyUI: says its address, and the ledger when it gets a line."""
    async with EmbeddedServer(step_delay_ms=step_delay_ms) as server:
        ledger = Ledger(server)
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(ledger.rows), flush=True)
        await asyncio.to_thread(sys.stdin.readline)


async def measure(options: argparse.Namespace) -> int:
    """Run it all and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_workflow(folder / "workflows", "solid", WORKFLOWS["solid"])
        # A prompt of this workflow costs about 2 ms besides the delay.
        comfy_arguments = [str(Path(__file__)), "--as-comfy", "--prompt-ms", str(options.prompt_ms)]
        async with (
            Process(*comfy_arguments) as comfy,
            BridgeProcess(
                folder,
                *("--comfy", comfy.ready.strip()),
                *("--workflows", str(folder / "workflows"), "--stream", "wall=solid:live"),
            ) as bridge,
        ):
            engine = await Engine.connect("tcp", bridge.address("tcp"))
            try:
                await engine.greet()
                await engine.subscribe("wall")
                await engine.frame()
                sent = await send_values(engine, bridge.address("osc"), options)
                await engine.frame(lambda frame: frame.number == len(sent))
                shown = [frame.number for frame in engine.frames]
            finally:
                await engine.close()
            comfy.tell("")
            rows = json.loads(await comfy.line())
    told = figures(rows, sent)
    told["frames"] = len(shown)
    told["frames_backwards"] = sum(a > b for a, b in pairwise(shown))
    told["last_value_shown"] = shown[-1] == len(sent)
    wrong = []
    if told["age_p50"] > AGE_LIMIT:
        wrong.append(f"values are {told['age_p50']} of a generation old, over {AGE_LIMIT}")
    if told["idle_share"] > IDLE_LIMIT:
        wrong.append(f"ComfyUI is idle for {told['idle_share']} of the time, over {IDLE_LIMIT}")
    if told["frames_backwards"] or not told["last_value_shown"]:
        wrong.append("frames went backwards, or the last value is not shown")
    told["wrong"] = wrong
    print(json.dumps(told, indent=1))
    return 1 if wrong else 0


async def send_values(engine: Engine, osc: str, options: argparse.Namespace) -> list[float]:
    """Change the value so many times a second; gives when each was sent. The nth value is n, from 1."""
    host, _, port = osc.rpartition(":")
    sent: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((host, int(port)))
        begun = time.perf_counter()
        count = round(options.seconds * options.changes)
        for number in range(1, count + 1):
            await asyncio.sleep(max(0.0, begun + (number - 1) / options.changes - time.perf_counter()))
            sent.append(time.perf_counter())
            if options.by == "osc":
                levels = struct.pack(">I", number)[1:]
                udp.send(encode_osc_message("/texbridge/wall/fill", *(int(level) for level in levels)))
            else:
                engine.send(Set(stream="wall", params={"fill": color(number)}))
    return sent


def figures(rows: list[dict[str, Any]], sent: list[float]) -> dict[str, Any]:
    """Ages and idle time from the ledger: prompts between the warm-up and the last change."""
    counted = [row for row in rows if row["value"] and row["begin"] < sent[-1] and row["end"]][WARM_UP:]
    durations = sorted(row["end"] - row["begin"] for row in counted)
    generation_s = durations[len(durations) // 2]
    ages = sorted(row["begin"] - sent[row["value"] - 1] for row in counted)
    gaps = sorted(b["begin"] - a["end"] for a, b in pairwise(counted))
    span_s = counted[-1]["end"] - counted[0]["begin"]

    def at(values: list[float], share: float) -> float:
        return values[min(len(values) - 1, int(share * len(values)))]

    return {
        "changes_sent": len(sent),
        "changes_per_s": round((len(sent) - 1) / (sent[-1] - sent[0]), 1),
        "prompts": len(counted),
        "prompts_per_s": round(len(counted) / span_s, 2),
        "generation_ms": round(generation_s * 1000, 2),
        "age_p50": round(at(ages, 0.5) / generation_s, 4),
        "age_p95": round(at(ages, 0.95) / generation_s, 4),
        "age_ms": {f"p{share}": round(at(ages, share / 100) * 1000, 2) for share in (5, 50, 95, 100)},
        "idle_share": round(sum(gaps) / span_s, 4),
        "gap_ms": {f"p{share}": round(at(gaps, share / 100) * 1000, 2) for share in (5, 50, 95, 100)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--changes", type=float, default=200.0, help="a second")
    parser.add_argument("--prompt-ms", type=float, default=100.0, help="what one prompt takes")
    parser.add_argument("--by", choices=("set", "osc"), default="set")
    parser.add_argument("--as-comfy", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_comfy:
        asyncio.run(serve_comfy(options.prompt_ms - 2))
    else:
        sys.exit(asyncio.run(measure(options)))
