"""Viewers in a process of their own, as cheap as Python can: blocking sockets, one system call for a frame.

    python -m benchmarks.viewers ADDRESS STREAM COUNT [--shared | --websocket] [--stalled COUNT]

Says `ready` when all have subscribed, and at a line on stdin what each got: [[at, request], ...].
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from typing import Any

from benchmarks.engine import Engine, WebSocketEngine
from benchmarks.rig import Process


class Reader(threading.Thread):
    """A viewer that reads all the time."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self.engine = engine
        self.got: list[tuple[float, int]] = []

    def run(self) -> None:
        """Read until the socket is shut."""
        try:
            while True:
                found = self.engine.frame()
                self.got.append((found.at, found.request))
        except (OSError, EOFError):
            return

    def close(self) -> None:
        """End it, wherever it waits."""
        self.engine.socket.shutdown(socket.SHUT_RDWR)
        self.join(5.0)
        self.engine.close()


class Viewers:
    """Such a process, for who measures."""

    def __init__(self, address: str, stream: str, count: int, *, way: str = "TCP", stalled: int = 0) -> None:
        options = {"TCP": [], "memory": ["--shared"], "WebSocket": ["--websocket"]}[way]
        command = (sys.executable, "-m", "benchmarks.viewers", address, stream, str(count), *options)
        self._process = Process(*command, "--stalled", str(stalled), stdin=True)

    def end(self) -> list[list[tuple[float, int]]]:
        """What each viewer got: when a frame was there, and of which request it is. The process ends."""
        child = self._process.child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        told: list[list[Any]] = json.loads(child.stdout.readline())
        self._process.close()
        return [[(float(at), int(request)) for at, request in viewer] for viewer in told]

    def close(self) -> None:
        """End the process, whatever it got."""
        self._process.close()


def main() -> None:
    """Subscribe, read, tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewers")
    parser.add_argument("address")
    parser.add_argument("stream")
    parser.add_argument("count", type=int)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--websocket", action="store_true")
    parser.add_argument("--stalled", type=int, default=0)
    options = parser.parse_args()

    def engine() -> Engine:
        if options.websocket:
            return WebSocketEngine(options.address, None)
        return Engine(options.address, None, shared=options.shared)

    readers = [Reader(engine()) for _ in range(options.count)]
    for reader in readers:
        reader.engine.subscribe(options.stream, "rgba8", credit=2)  # one on its way while the other is acked
    idle = [engine() for _ in range(options.stalled)]
    for engine in idle:
        engine.subscribe(options.stream, "rgba8")
    for reader in readers:
        reader.start()
    print("ready", flush=True)
    sys.stdin.readline()
    for reader in readers:
        reader.close()
    for engine in idle:
        engine.close()
    print(json.dumps([reader.got for reader in readers]), flush=True)


if __name__ == "__main__":
    main()
