"""Figures of the bridge on a real ComfyUI: rate, latency by stage, and how old the values are when a prompt starts.

    COMFYUI_URL=http://127.0.0.1:8188 python tests/e2e/measure.py --seconds 15 --blurs 2 --side 320 --mode live

The bridge runs as a process of its own; between it and ComfyUI stands a proxy that notes which value each prompt
carries and when its `execution_start` goes by. The value is a counter, so its age is known to the sender's clock.
Figures are printed, nothing is judged: they belong to the machine and to what else ran on it.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from serve_rig import Engine, Serve  # noqa: E402 - the folders above come first
from tap_proxy import Frames  # noqa: E402

VALUES_A_SECOND = 200
CARRIED = re.compile(rb'"color":(\d+).*?"prompt_id":"([^"]+)"', re.DOTALL)


class Watch:
    """A proxy before ComfyUI that notes posts, starts and ends of prompts. Times are `time.perf_counter` seconds."""

    def __init__(self, target):
        self._target = target
        self.value = {}
        self.posted = {}
        self.started = {}
        self.ended = {}
        self.port = 0

    async def start(self):
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _take(self, reader, writer):
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        first = await reader.read(1 << 16)
        frames = Frames(None, self._event) if b"upgrade: websocket" in first.lower() else None
        held = bytearray()

        async def up(data):
            while data:
                if frames is None:
                    held.extend(data)
                    if found := CARRIED.search(held):
                        prompt_id = found[2].decode()
                        self.value[prompt_id], self.posted[prompt_id] = int(found[1]), time.perf_counter()
                        held.clear()
                up_writer.write(data)
                await up_writer.drain()
                data = await reader.read(1 << 16)
            up_writer.close()

        async def down():
            while data := await up_reader.read(1 << 16):
                if frames is not None:
                    frames.feed(data)
                writer.write(data)
                await writer.drain()
            writer.close()

        with contextlib.suppress(ConnectionError):
            await asyncio.gather(up(first), down())

    def _event(self, message):
        event = json.loads(message)
        data = event.get("data") or {}
        prompt_id = data.get("prompt_id")
        if event.get("type") == "execution_start":
            self.started[prompt_id] = time.perf_counter()
        elif event.get("type") == "executing" and data.get("node") is None and prompt_id:
            self.ended[prompt_id] = time.perf_counter()

    def close(self):
        self._server.close()


def spread(values, unit="ms", scale=1e3):
    """p50, p95 and the count, as words."""
    if len(values) < 2:
        return f"only {len(values)} values"
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return f"p50 {cuts[9] * scale:.2f} {unit}, p95 {cuts[18] * scale:.2f} {unit} ({len(values)} values)"


async def rate(url, seconds):
    """Live gradient at 512x512 with values changing all the time, no limit of frames a second."""
    config = '[streams.main]\nworkflow = "gradient"\nmode = "live"\nsize = [512, 512]\n'
    async with Serve("--comfy", url, config=config) as serve, Engine("tcp", serve.tcp) as engine:
        arrived = []
        original = engine._frame

        async def stamped(message):
            now = time.perf_counter()
            await original(message)
            frame = engine.frames[next(iter(engine.frames))][-1]
            if not frame.held:
                arrived.append((now, frame.number, frame.client_time, frame.comfy_us, frame.bridge_us))

        engine._frame, engine._keep = stamped, 2
        await engine.hello(events=["live"])
        await engine.ask("subscribe", stream="main", format="rgba8", origin="bottom_left", delivery="latest", credit=1)
        end = time.perf_counter() + seconds
        turn = 0
        while time.perf_counter() < end:
            turn += 1
            stamp = int(time.perf_counter() * 1e6)
            blur = 0.1 + turn % 90 / 100
            await engine.tell("set", stream="main", params={"blur": blur, "noise": 0.2}, client_time=stamp)
            await asyncio.sleep(1 / VALUES_A_SECOND)
        arrived = arrived[3:]
        stats = await engine.ask("stats", stream="main")
        took = arrived[-1][0] - arrived[0][0]
        print(f"live gradient 512x512: {(len(arrived) - 1) / took:.2f} frames a second at the engine ({len(arrived)})")
        print(f"  sets made {arrived[-1][1] - arrived[0][1] + 1}, sent {stats['sent']}, dropped {stats['dropped']}")
        print(f"  comfy_us  (posted -> bytes here): {spread([row[3] / 1e6 for row in arrived])}")
        print(f"  bridge_us (all the rest):         {spread([row[4] / 1e6 for row in arrived])}")
        print(f"  value set -> its frame here:      {spread([row[0] - row[2] / 1e6 for row in arrived if row[2]])}")
        told = [answers[0] for answers in engine.finished.values() if answers[0]["outcome"] == "done"][3:]
        for stage in ("waiting_us", "comfy_us", "release_us", "total_us"):
            print(f"  finished.timing {stage:10}:       {spread([row['timing'][stage] / 1e6 for row in told])}")


def slow_graph(blurs, side):
    """A picture of one colour, blurred again and again: nothing is cached, since the colour always changes."""
    graph = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": side, "height": side, "batch_size": 1, "color": 0},
            "_meta": {"title": "Count @count:color"},
        }
    }
    for place in range(blurs):
        graph[str(place + 2)] = {
            "class_type": "ImageBlur",
            "inputs": {"image": [str(place + 1), 0], "blur_radius": 15, "sigma": 5.0},
            "_meta": {"title": f"Blur {place}"},
        }
    graph[str(blurs + 2)] = {
        "class_type": "SaveImageWebsocket",
        "inputs": {"images": [str(blurs + 1), 0]},
        "_meta": {"title": "@out picture"},
    }
    return graph


async def late_binding(url, seconds, blurs, side, mode):
    """Age of the bound value at `execution_start`, as a share of a generation, and how long ComfyUI idles between."""
    watch = Watch(urlsplit(url))
    await watch.start()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "slow"
        place.mkdir()
        (place / "workflow_api.json").write_text(json.dumps(slow_graph(blurs, side)))
        options = ("--comfy", f"http://127.0.0.1:{watch.port}", "--workflows", folder, "--stream", f"slow=slow:{mode}")
        async with Serve(*options) as serve, Engine("tcp", serve.tcp, keep=2) as engine:
            await engine.hello()
            await engine.ask("subscribe", stream="slow", format="rgba8", origin="top_left", delivery="latest")
            sent = {}
            end = time.perf_counter() + seconds
            count = 0
            due = time.perf_counter()
            while time.perf_counter() < end:
                count += 1
                sent[count] = time.perf_counter()
                params = {"count": f"#{count:06x}"}
                await engine.tell("set" if mode == "live" else "run", stream="slow", params=params)
                due += 1 / VALUES_A_SECOND
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            counts = (await serve.health())["requests"]
    watch.close()
    ran = sorted((at, prompt_id) for prompt_id, at in watch.started.items() if prompt_id in watch.ended)[5:]
    durations = [watch.ended[prompt_id] - at for at, prompt_id in ran]
    generation = statistics.median(durations)
    ages = [at - sent[watch.value[prompt_id]] for at, prompt_id in ran if watch.value.get(prompt_id) in sent]
    gaps = [later[0] - watch.ended[one[1]] for one, later in itertools.pairwise(ran)]
    print(
        f"late binding, {mode}, {count} values at {count / seconds:.0f} a second, ImageBlur x {blurs} at {side}x{side}:"
    )
    print(f"  prompts posted {len(watch.posted)}, started {len(watch.started)}; counted here {len(ran)}")
    print(f"  generation: {spread(durations)}, {len(ran) / (ran[-1][0] - ran[0][0]):.2f} prompts a second")
    print(f"  age of the values at execution_start: {spread(ages)}")
    print(f"  as a share of a generation:           {spread([age / generation for age in ages], '', 1)}")
    print(f"  idle between prompts:                 {spread(gaps)}")
    print(f"  idle as a share of the time:          {sum(gaps) / (sum(gaps) + sum(durations)):.3f}")
    print(f"  requests: {counts}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=15.0)
    options.add_argument("--blurs", type=int, default=2, help="with --side: so many that a prompt takes about 100 ms")
    options.add_argument("--side", type=int, default=320, help="pixels of the blurred picture's sides")
    options.add_argument("--mode", choices=["live", "latest"], action="append", help="both by default")
    options.add_argument("--no-rate", action="store_true", help="late binding alone")
    chosen = options.parse_args()
    url = os.environ.get("COMFYUI_URL")
    if not url:
        print("COMFYUI_URL names no ComfyUI")
        return 2
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "")
    if not chosen.no_rate:
        asyncio.run(rate(url, chosen.seconds))
    for mode in chosen.mode or ("live", "latest"):
        asyncio.run(late_binding(url, chosen.seconds, chosen.blurs, chosen.side, mode))
    return 0


if __name__ == "__main__":
    sys.exit(main())
