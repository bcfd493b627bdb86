"""P14: an engine's pixels in, a result's pixels out, beside what a script does with ComfyUI's own nodes; P3 with raw
pixels: the way out alone, from asking to RGBA in hand, less what ComfyUI takes for a prompt that makes nothing.

Against the embedded server, or the real ComfyUI that COMFYUI_URL names. The graph makes nothing of the picture, so that
what is measured is the way there and back. For P14 every picture is a new one, so that nothing is cached; for P3 the
picture stays, and is only sent (and by the script encoded and decoded) again.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.engine import Engine
from benchmarks.goals import Row, median, ms
from benchmarks.relay import rgba
from benchmarks.rig import DOORS, ROOT, Process
from benchmarks.source import photo

CONFIG = """
[[backend]]
url = "{url}"
transfer = "{transfer}"

[workflows]
folders = ["{folder}"]
reload = false

[scheduler]
warm_up = false

[streams.bench]
workflow = "image"
mode = "oneshot"
"""
LEAST = {"raw": 12.0, "png": 1.7}


class Bridge:
    """A bridge with one way of transfer, and an engine that asks it."""

    def __init__(self, url: str, transfer: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        config = Path(self._folder.name) / "bench.toml"
        folder = (ROOT / "benchmarks" / "workflows").as_posix()
        config.write_text(CONFIG.format(url=url, transfer=transfer, folder=folder), encoding="utf-8")
        command = (sys.executable, "-m", "bridge", "serve", "--json", "--config", str(config), *DOORS)
        self._process = Process(*command, "--require-comfy")
        told = json.loads(self._process.first)
        time.sleep(2.0)  # until it has read what nodes there are
        self.engine = Engine(told["tcp"])
        self.engine.subscribe("bench", "rgba8")
        with urllib.request.urlopen(f"http://{told['http']}/readyz", timeout=30) as answer:
            self.transfer = ", ".join(json.load(answer).get("transfer", {}).values())

    def once(self, pixels: np.ndarray) -> float:
        """Seconds from having RGBA pixels to having the result's."""
        height, width = pixels.shape[:2]
        begin = time.perf_counter()
        picture = {
            "width": width,
            "height": height,
            "format": "rgba8",
            "origin": "top_left",
            "data": pixels.tobytes(),
        }
        self.engine.send("run", stream="bench", params={"picture": picture})
        return self.engine.frame().at - begin

    def again(self) -> float:
        """Seconds from asking for the same picture to having it."""
        begin = time.perf_counter()
        self.engine.send("run", stream="bench")
        return self.engine.frame().at - begin

    def close(self) -> None:
        """End it."""
        self.engine.close()
        self._process.close()
        self._folder.cleanup()


class Script:
    """Encode by Pillow, upload, post, read the WebSocket, decode by Pillow."""

    def __init__(self, url: str) -> None:
        import websocket

        self._url = url
        self._name = ""
        self._client = uuid.uuid4().hex
        self._socket = websocket.WebSocket()
        self._socket.connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={self._client}")

    def once(self, pixels: np.ndarray) -> float:
        """Seconds from having RGBA pixels to having the result's."""
        begin = time.perf_counter()
        with io.BytesIO() as file:
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            self._name = self._upload(file.getvalue())
        self._make()
        return time.perf_counter() - begin

    def again(self) -> float:
        """Seconds from asking for the same picture to having it."""
        begin = time.perf_counter()
        self._make()
        return time.perf_counter() - begin

    def idle(self) -> float:
        """Seconds between the answer to a prompt of which everything is there already, and its end."""
        taken, _ = self._run("PreviewImage")
        return time.perf_counter() - taken

    def _make(self) -> None:
        rgba(self._run("SaveImageWebsocket")[1])

    def _run(self, output: str) -> tuple[float, bytes]:
        """When the prompt was taken, and the picture that came, if any."""
        graph = {
            "1": {"class_type": "LoadImage", "inputs": {"image": self._name}},
            "2": {"class_type": output, "inputs": {"images": ["1", 0]}},
        }
        prompt_id = self._post("/prompt", json.dumps({"prompt": graph, "client_id": self._client}).encode())[
            "prompt_id"
        ]
        taken, data = time.perf_counter(), b""
        while True:
            message = self._socket.recv()
            if isinstance(message, bytes):
                data = message[8:]
                continue
            told = json.loads(message)
            if told["type"] == "executing" and told["data"]["prompt_id"] == prompt_id and told["data"]["node"] is None:
                return taken, data

    def _upload(self, file: bytes) -> str:
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="bench.png"\r\n\r\n'
        rest = f'\r\n--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{mark}--\r\n'
        body = head.encode() + file + rest.encode()
        return str(self._post("/upload/image", body, f"multipart/form-data; boundary={mark}")["name"])

    def _post(self, path: str, body: bytes, kind: str = "application/json") -> Any:
        request = urllib.request.Request(self._url + path, body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def measure_whole(rounds: int) -> list[Row]:
    """P14, both with the node pack (where the ComfyUI has it) and without; and P3 with it."""
    url = os.environ.get("COMFYUI_URL", "").rstrip("/")
    server = None if url else Process(sys.executable, "-m", "bridge", "embedded", "--port", "0")
    ways: list[Bridge | Script] = []
    try:
        if server is not None:
            url = next(word for word in server.first.split() if word.startswith("http")).rstrip(".,")
        bridges = {transfer: Bridge(url, transfer) for transfer in LEAST}
        script = Script(url)
        ways += [*bridges.values(), script]
        rows = []
        for side in (512, 1024):
            array = np.dstack((photo(side, side), np.full((side, side), 255, np.uint8)))
            taken: dict[str, list[float]] = {"script": [], **{transfer: [] for transfer in bridges}}
            for place in range(-2, rounds):
                for name, way in (*bridges.items(), ("script", script)):
                    array[:8, :8] = np.random.default_rng().integers(0, 256, (8, 8, 4), np.uint8)
                    array[..., 3] = 255
                    found = way.once(array)
                    if place >= 0:
                        taken[name].append(found)
            where = "COMFYUI_URL" if server is None else "embedded"
            rows.append(_out(bridges["raw"], script, side, where, rounds))
            for transfer, bridge in bridges.items():
                ours, theirs = median(taken[transfer]), median(taken["script"])
                case = f"{side}, transfer {transfer}, {where}"
                sides = f"{ms(theirs)} of the script against {ms(ours)} ({bridge.transfer or 'nothing told'})"
                samples = {"script_s": taken["script"], "bridge_s": taken[transfer]}
                rows.append(Row("P14", case, theirs / ours, LEAST[transfer], " x", sides, True, samples))
        return rows
    finally:
        for way in ways:
            way.close()
        if server is not None:
            server.close()


def _out(bridge: Bridge, script: Script, side: int, where: str, rounds: int) -> Row:
    """P3 with raw pixels: both have just had a picture made, and ask for it again.

    In turns of ten, the first of which is not counted: ComfyUI keeps only what the last prompt made.
    """
    whole: list[float] = []
    theirs_whole: list[float] = []
    idle: list[float] = []
    for _ in range(max(1, rounds // 10)):
        for way, into in ((bridge.again, whole), (script.again, theirs_whole), (script.idle, idle)):
            way()
            into += [way() for _ in range(10)]
    inside = median(idle)
    ours, theirs = ([max(0.0, taken - inside) for taken in found] for found in (whole, theirs_whole))
    told = bridge.transfer or "nothing told"
    sides = f"{ms(median(ours))} against {ms(median(theirs))} of the example script ({told}; {ms(inside)} off)"
    samples = {"bridge_s": ours, "example_s": theirs}
    return Row("P3", f"raw{side} end to end, {where}", median(ours) / median(theirs), 0.1, sides=sides, samples=samples)
