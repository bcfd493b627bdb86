"""The processes of a run: the source, the bridge, and a blocking TCP sender for the floor R."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.source import KINDS, RUNS

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
{backends}
[workflows]
folders = ["{folder}"]
reload = false

[scheduler]
warm_up = false

[limits]
sessions = 1000

{streams}
"""
BACKEND = """
[[backend]]
url = "{url}"
name = "source{place}"
"""
STREAM = """
[streams.{name}]
workflow = "bench"
mode = "oneshot"
"""
DOORS = ("--osc", "127.0.0.1:0", "--link", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")
MIB = 1 << 20
SETTLE_S = 2.0
"""Until the bridge has read what nodes there are and loaded its decoders: no frame shares its time with that."""
FLOOR = """
import socket, struct, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
data = bytes(int(sys.argv[1]))
while peer.recv(1):
    peer.sendall(struct.pack("<d", time.perf_counter()) + data)
"""


def color(number: int) -> list[float]:
    """A number as the colour that the workflow's `picture` takes for it."""
    return [(number >> shift & 255) / 255 for shift in (16, 8, 0)]


class Process:
    """A child whose first line on stdout says that it is ready."""

    def __init__(self, *command: str, stdin: bool = False) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
        )
        assert self.child.stdout is not None
        self.first = self.child.stdout.readline().decode().strip()
        if not self.first:
            self.close()
            raise RuntimeError(f"{' '.join(command)[:200]} ended before it was ready")

    def cpu_s(self) -> float | None:
        """Seconds of processor time of the threads that it has now; None where the system doesn't tell as Linux does.

        In nanoseconds, not in ticks of 10 ms, which are longer than thirty small frames take.
        """
        try:
            threads = list(Path(f"/proc/{self.child.pid}/task").iterdir())
            return sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads) / 1e9
        except (OSError, IndexError):
            return None

    def memory_bytes(self) -> int | None:
        """Resident memory; None as above."""
        try:
            return int(Path(f"/proc/{self.child.pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return None

    def close(self) -> None:
        """End it."""
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass


class Rig:
    """Source and bridge, started once for all that needs them; `backends` is how many sources there are."""

    def __init__(self, streams: Sequence[str] = ("bench", "through"), backends: int = 1) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.sources = [Process(sys.executable, "-m", "benchmarks.source") for _ in range(backends)]
        self.source = self.sources[0]
        self.url = f"http://127.0.0.1:{self.source.first}"
        config = Path(self._folder.name) / "bench.toml"
        folder = (ROOT / "benchmarks" / "workflows").as_posix()
        urls = [f"http://127.0.0.1:{source.first}" for source in self.sources]
        text = CONFIG.format(
            backends="".join(BACKEND.format(url=url, place=place) for place, url in enumerate(urls)),
            streams="".join(STREAM.format(name=name) for name in streams),
            folder=folder,
        )
        config.write_text(text, encoding="utf-8")
        try:
            command = (sys.executable, "-m", "bridge", "serve", "--json", "--config", str(config), *DOORS)
            self.bridge = Process(*command, "--require-comfy")
        except BaseException:
            self._close_sources()
            raise
        told = json.loads(self.bridge.first)
        self.osc, self.tcp, self.link, self.http = told["osc"], told["tcp"], told["link"], told["http"]
        self._run = 0
        time.sleep(SETTLE_S)

    def number(self, kind: str) -> tuple[int, int]:
        """The `picture` value for a kind, and the number of its run."""
        self._run += 1
        return KINDS.index(kind) * RUNS + self._run, self._run

    def get(self, path: str) -> Any:
        """JSON from the source."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """JSON to the source, and its answer."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read()
        return json.loads(data) if data else None

    def stamps(self) -> dict[int, tuple[float, float]]:
        """By run: when its prompt came to the source, and when its picture was sent. Forgotten afterwards."""
        return {int(run): (at[0], at[1]) for run, at in self.get("/bench/stamps").items()}

    def decoders(self) -> dict[str, str]:
        """What the bridge decodes with."""
        with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=30) as answer:
            found: dict[str, str] = json.load(answer)["decoders"]
        return found

    def close(self) -> None:
        """End both."""
        self.bridge.close()
        self._close_sources()
        self._folder.cleanup()

    def _close_sources(self) -> None:
        for source in self.sources:
            source.close()


class Floor:
    """R: one MiB, or more, over a blocking TCP socket between two processes, as quick as Python can receive it."""

    def __init__(self, payload_bytes: int = MIB) -> None:
        self._sender = Process(sys.executable, "-c", FLOOR, str(payload_bytes))
        self._socket = socket.create_connection(("127.0.0.1", int(self._sender.first)))
        self._buffer = bytearray(8 + payload_bytes)

    def once(self) -> float:
        """Seconds from the send to the last byte."""
        self._socket.sendall(b"!")
        view = memoryview(self._buffer)
        while view:
            view = view[self._socket.recv_into(view) :]
        at = time.perf_counter()
        return at - float(struct.unpack_from("<d", self._buffer)[0])

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._sender.close()
