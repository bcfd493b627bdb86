"""P1, P3 and P4: what the bridge adds to a frame, beside its floors and beside what people write today."""

from __future__ import annotations

import io
import json
import random
import time
import urllib.request
import uuid
from typing import Any

from PIL import Image

from benchmarks.engine import Engine
from benchmarks.goals import Row, median, ms
from benchmarks.rig import Floor, Rig, color
from benchmarks.source import KINDS, make_pictures

SIDES = (512, 1024)
POLL_S = 0.5
PAUSE_S = 0.004
"""Between two measurements: what the last one leaves to do is done."""


def measure_relay(rig: Rig, rounds: int) -> list[Row]:
    """P1. D, N and R are taken in the same rounds as the relay itself."""
    from bridge.frames.decoders import decoders

    decoders.load()
    kinds = [kind for kind in KINDS if not kind.startswith("raw")]
    files = dict(zip(KINDS, (data for _, data in make_pictures()), strict=True))
    raw, through, floor = Engine(rig.tcp), Engine(rig.tcp), Floor()
    relayed: dict[str, list[float]] = {kind: [] for kind in kinds}
    decoded: dict[str, list[float]] = {kind: [] for kind in kinds}
    floors: list[float] = []
    got: dict[int, tuple[str, float]] = {}
    try:
        raw.subscribe("bench", "rgba8")
        through.subscribe("through", "png")  # on a stream of its own: nobody else has its pictures decoded
        for place in range(-2, rounds):
            for kind in kinds:
                passes = kind.startswith("pass")
                engine, stream = (through, "through") if passes else (raw, "bench")
                number, run = rig.number(kind)
                engine.ask("run", stream=stream, params={"picture": color(number)})
                at = engine.frame().at
                if place < 0:
                    continue  # buffers are new, nothing is warm
                got[run] = (kind, at)
                if not passes:
                    begin = time.perf_counter()
                    decoders.decode(files[kind])
                    decoded[kind].append(time.perf_counter() - begin)
            floors.append(floor.once())
    finally:
        raw.close()
        through.close()
        floor.close()
    stamps = rig.stamps()
    for run, (kind, at) in got.items():
        relayed[kind].append(at - stamps[run][1])
    rows = []
    for kind in kinds:
        if kind.startswith("pass"):
            continue
        without = median(relayed[f"pass{1024 if kind.endswith('1024') else 512}"])
        alone, whole = median(decoded[kind]), median(relayed[kind])
        sides = f"{ms(whole)} against D {ms(alone)} + N {ms(without)}; R {ms(median(floors))}"
        samples = {"relay_s": relayed[kind], "decoder_s": decoded[kind]}
        rows.append(Row("P1", kind, whole / (alone + without), 1.25, sides=sides, samples=samples))
    return rows


def measure_raw(rig: Rig, rounds: int) -> list[Row]:
    """P2: the node pack's raw pixels as RGBA at an engine, over TCP and by shared memory; R has the same bytes."""
    tcp, shared = Engine(rig.tcp), Engine(rig.tcp, shared=True)
    rows = []
    try:
        # On streams of their own: a form that somebody reads in shared memory lies there for everybody.
        ways = {"TCP": (tcp, "bench"), "shared memory": (shared, "through")}
        for engine, stream in ways.values():
            engine.subscribe(stream, "rgba8")
        for side in SIDES:
            floor = Floor(side * side * 4)
            floors: list[float] = []
            got: dict[str, dict[int, float]] = {way: {} for way in ways}
            try:
                for place in range(-4, rounds):
                    for way, (engine, stream) in ways.items():
                        number, run = rig.number(f"raw{side}")
                        engine.send("run", stream=stream, params={"picture": color(number)})
                        at = engine.frame().at
                        if place >= 0:
                            got[way][run] = at
                        time.sleep(PAUSE_S)
                    floors.append(floor.once())
                    time.sleep(PAUSE_S)
            finally:
                floor.close()
            stamps = rig.stamps()
            bare = median(floors)
            for way, limit in (("TCP", 3.5), ("shared memory", 2.5)):
                took = [at - stamps[run][1] for run, at in got[way].items()]
                sides = f"{ms(median(took))} against R {ms(bare)}"
                samples = {"relay_s": took, "R_s": floors}
                rows.append(Row("P2", f"raw{side}, {way}", median(took) / bare, limit, " R", sides, samples=samples))
    finally:
        tcp.close()
        shared.close()
    return rows


def measure_overhead(rig: Rig, rounds: int, *, example: bool, polling: bool) -> list[Row]:
    """P3 and P4: seconds from asking to RGBA bytes in hand, less the time inside ComfyUI, frame by frame."""
    rows = []
    engine = Engine(rig.tcp)
    script = Example(rig) if example else None
    fast = not rig.decoders()["png"].startswith("Pillow")
    try:
        engine.subscribe("bench", "rgba8")
        for side in SIDES if example else SIDES[:1]:
            kind = f"png{side}"
            ours: list[float] = []
            theirs: list[float] = []
            polled: list[float] = []
            for place in range(-1, rounds):
                for way, into in ((_ask(rig, engine), ours), (script, theirs)):
                    if way is None:
                        continue
                    number, run = rig.number(kind)
                    begin = time.perf_counter()
                    end = way(number)
                    posted, sent = _stamp(rig, run)
                    if place >= 0:
                        into.append(end - begin - (sent - posted))
            if polling:
                for _ in range(max(4, rounds // 4)):
                    rig.post("/bench/settings", {"delay_s": random.uniform(0.05, 0.05 + POLL_S)})
                    number, run = rig.number(kind)
                    begin = time.perf_counter()
                    end = poll(rig, number)
                    posted, sent = _stamp(rig, run)
                    polled.append(end - begin - (sent - posted))
                rig.post("/bench/settings", {"delay_s": 0})
            samples = {"bridge_s": ours, "example_s": theirs, "polling_s": polled}
            if example:
                case, limit = (f"{kind}, imagecodecs", 0.6) if fast else (f"{kind}, Pillow", 0.9)
                sides = f"{ms(median(ours))} against {ms(median(theirs))} of the example script"
                rows.append(Row("P3", case, median(ours) / median(theirs), limit, sides=sides, samples=samples))
            if polling:
                sides = f"{ms(median(ours))} against {ms(median(polled))} of polling"
                rows.append(Row("P4", kind, median(ours) / median(polled), 1 / 30, sides=sides, samples=samples))
    finally:
        engine.close()
        if script is not None:
            script.close()
    return rows


def _ask(rig: Rig, engine: Engine) -> Any:
    def once(number: int) -> float:
        engine.send("run", stream="bench", params={"picture": color(number)})
        return engine.frame().at

    return once


def _stamp(rig: Rig, run: int) -> tuple[float, float]:
    while True:
        stamps = rig.stamps()
        if run in stamps:
            return stamps[run]


def prompt(number: int) -> dict[str, Any]:
    """The benchmark's graph with its number."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": number}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }


def rgba(data: bytes) -> bytes:
    """What an engine needs of a file, by Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA").tobytes()


class Example:
    """What ComfyUI's WebSocket example does, in our words: post, read until the prompt is over, decode by Pillow."""

    def __init__(self, rig: Rig) -> None:
        import websocket

        self._rig = rig
        self._client = uuid.uuid4().hex
        self._socket = websocket.WebSocket()
        self._socket.connect(f"{rig.url.replace('http', 'ws', 1)}/ws?clientId={self._client}")

    def __call__(self, number: int) -> float:
        body = {"prompt": prompt(number), "client_id": self._client}
        prompt_id = self._rig.post("/prompt", body)["prompt_id"]
        data, node = b"", ""
        while True:
            message = self._socket.recv()
            if isinstance(message, str):
                told = json.loads(message)
                if told["type"] == "executing" and told["data"]["prompt_id"] == prompt_id:
                    node = told["data"]["node"]
                    if node is None:
                        break
            elif node:
                data = message[8:]
        rgba(data)
        return time.perf_counter()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def poll(rig: Rig, number: int) -> float:
    """What a script without a WebSocket does: post, ask for the history twice a second, fetch the file, decode it."""
    prompt_id = rig.post("/prompt", {"prompt": prompt(number)})["prompt_id"]
    while True:
        time.sleep(POLL_S)
        found = rig.get(f"/history/{prompt_id}")
        if prompt_id in found:
            break
    image = found[prompt_id]["outputs"]["2"]["images"][0]
    with urllib.request.urlopen(f"{rig.url}/view?filename={image['filename']}&type=output", timeout=30) as answer:
        rgba(answer.read())
    return time.perf_counter()
