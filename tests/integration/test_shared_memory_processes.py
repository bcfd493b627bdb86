"""Shared memory between processes: torn frames are never taken, and files go with whoever made them, however it ends.

The engine here knows the wire by its bytes alone (`struct`, `mmap`, msgpack): it is a second reading of the page.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgpack
import pytest
from serve_rig import Serve, run

SCRIPT = Path(__file__).parents[1] / "shared_memory_stress.py"
LIMIT_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="txb") as name:
        yield Path(name)


# --- torn frames ---------------------------------------------------------------------------------------------


def test_a_torn_frame_is_never_taken(folder: Path) -> None:
    """Writer and readers with no regard for each other, on processors that others keep busy.

    Slow copies are torn, so the check is needed; of what it lets through, nothing is.
    """
    with ExitStack() as stack:

        def start(*arguments: object) -> subprocess.Popen[str]:
            child = subprocess.Popen(
                [sys.executable, str(SCRIPT), *map(str, arguments)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
            assert child.stdout is not None
            stack.callback(child.stdout.close)
            return child

        readers = [start("reader", 100) for _ in range(3)]
        ports = [int(reader.stdout.readline()) for reader in readers if reader.stdout is not None]
        for _ in range(os.cpu_count() or 2):
            start("burner")
        start("writer", folder, *ports)
        seen: list[dict[str, int]] = [json.loads(reader.communicate(timeout=LIMIT_S * 2)[0]) for reader in readers]
    for each in seen:
        assert each["wrong"] == 0, seen
        assert each["accepted"] >= 100
        assert each["torn"] > 0, "no copy was ever torn: this test proves nothing"
        assert each["torn_passed"] == 0, seen
        assert each["slow_rejected"] >= each["torn"]


# --- a bridge as a process -----------------------------------------------------------------------------------


class RawEngine:
    """A viewer on TCP that reads from shared memory."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), LIMIT_S)
        self.memory: dict[str, Any] = {}
        self.mapping: mmap.mmap | None = None

    def __enter__(self) -> RawEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        if self.mapping is not None:
            self.mapping.close()

    def tell(self, op: str, **fields: object) -> None:
        data = msgpack.packb({"op": op, **fields})
        self.socket.sendall(struct.pack("<I", len(data)) + data)

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the bridge closed the link"
            data += more
        return data

    def message(self) -> bytes:
        return self._bytes(struct.unpack("<I", self._bytes(4))[0])

    def until(self, op: str) -> dict[str, Any]:
        """The next message of this kind; all before it is passed over."""
        while True:
            data = self.message()
            if data[:2] != b"TX":
                message = msgpack.unpackb(data)
                if message["op"] == op:
                    return message  # type: ignore[no-any-return]

    def begin(self) -> None:
        self.tell("hello", version=1, client="a test", shared_memory=True)
        assert "shared_memory" in self.until("welcome")["features"]
        self.tell(
            "subscribe",
            id=1,
            stream="main",
            format="rgba8",
            origin="top_left",
            delivery="latest",
            credit=1,
            shared_memory=True,
        )
        assert self.until("subscribed")["shared_memory"] is True

    def picture(self) -> tuple[int, bytes]:
        """The next doorbell's picture, read as the page says, and acked."""
        while True:
            data = self.message()
            if data[:2] != b"TX":
                message = msgpack.unpackb(data)
                if message["op"] == "memory":
                    self.map(message)
                continue
            header_bytes, flags, stream, number = struct.unpack_from("<HHII", data, 4)
            if not flags & 128:
                continue  # the placeholder came over the link
            (payload_bytes,) = struct.unpack_from("<I", data, 44)
            slot, _, seq = struct.unpack_from("<IIQ", data, 64)
            assert len(data) == header_bytes == 80
            at = 4096 + slot * self.memory["stride"]
            assert self.mapping is not None
            before = struct.unpack_from("<Q", self.mapping, at)[0]
            picture = self.mapping[at + 128 : at + 128 + payload_bytes]
            after = struct.unpack_from("<Q", self.mapping, at)[0]
            if not flags & 4:
                self.tell("ack", stream=stream, number=number)
            if before == after == seq:
                assert self.mapping[at + 64 : at + 68] == b"TXB1"
                assert struct.unpack_from("<I", self.mapping, at + 64 + 44)[0] == payload_bytes
                return number, picture

    def map(self, message: dict[str, Any]) -> None:
        self.memory = message
        with open(message["file"], "rb") as file:
            self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, _, slots, stride, capacity = struct.unpack_from("<4sHHIII", self.mapping)
        assert (magic, version, slots, stride) == (b"TXBS", 1, message["slots"], message["stride"])
        assert capacity <= stride - 128
        assert struct.unpack_from("<Q", self.mapping, 24)[0] == message["nonce"]
        assert len(self.mapping) >= 4096 + slots * stride


def config(folder: Path) -> str:
    return f"[link]\nmemory_folder = {json.dumps(str(folder))}\n"


def names(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_sigterm_removes_the_files(folder: Path) -> None:
    async def scenario() -> None:
        async with Serve("--embedded", config=config(folder)) as serve:
            with RawEngine(serve.tcp) as engine:
                engine.begin()
                number, picture = engine.picture()
                assert number
                assert len(picture) == 512 * 512 * 4
                assert picture[3::4] == b"\xff" * (512 * 512)
                assert names(folder) == [".lock", ".txbs"]
                assert await serve.stop() == 0
                assert names(folder) == []

    run(scenario)


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file can't be removed there, which fakes show")
def test_files_of_a_killed_bridge_are_removed_by_the_next(folder: Path) -> None:
    async def scenario() -> None:
        async with Serve("--embedded", config=config(folder)) as serve:
            with RawEngine(serve.tcp) as engine:
                engine.begin()
                _, before = engine.picture()
                await serve.kill()
                assert names(folder) == [".lock", ".txbs"]
                assert engine.mapping is not None
                left = Path(engine.memory["file"])
                async with Serve("--embedded", config=config(folder)) as second:
                    assert left.name not in os.listdir(folder)
                    assert names(folder) == [".lock"]
                    assert engine.mapping[:4] == b"TXBS", "what is mapped stays readable"
                    with RawEngine(second.tcp) as other:
                        other.begin()
                        assert len(other.picture()[1]) == len(before)
                    assert await second.stop() == 0
        assert names(folder) == []

    run(scenario)
