"""The Unity package: compiled by Debian's Mono against a stub of UnityEngine, and run against a live bridge."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from cli_rig import Home

sys.path.insert(0, str(Path(__file__).parent))
from mono import compile_csharp, run_csharp, tool

from bridge.cli.expected import TOLERANCE, gradient_pixels, worst_difference
from bridge.client import BlockingClient

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PACKAGE = REPOSITORY / "unity_sample" / "Packages" / "dev.texbridge.unity"
VECTORS = REPOSITORY / "protocols" / "vectors"
LIMIT_S = 110.0
PICTURES = 200
WIDTH, HEIGHT = 64, 48
RECORD = struct.Struct("<6I")

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The core as Unity compiles it, one assembly for each folder, and the program of this test on top."""
    folder = tmp_path_factory.mktemp("unity")
    protocol = compile_csharp(folder / "TexBridge.Protocol.dll", (PACKAGE / "Runtime" / "Protocol").glob("*.cs"))
    transport = compile_csharp(
        folder / "TexBridge.Transport.dll", (PACKAGE / "Runtime" / "Transport").glob("*.cs"), [protocol]
    )
    compile_csharp(folder / "Runner.exe", (HERE / "unity").glob("*.cs"), [protocol, transport])
    return folder


@pytest.fixture(scope="module")
def bridge(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The addresses of a running bridge."""
    with Home(tmp_path_factory.mktemp("bridge")).serve("--embedded") as running:
        yield running.addresses


def values(index: int) -> dict[str, object]:
    """What picture number `index` is made of; Frames.cs has the same."""
    corners = {"top_left": [index % 256 / 255, index * 7 % 256 / 255, index * 13 % 256 / 255]}
    corners |= {"top_right": [0.0, 1.0, 0.0], "bottom_left": [0.0, 0.0, 1.0], "bottom_right": [1.0, 1.0, 1.0]}
    return {**corners, "blur": 0.5, "noise": 0.1 if index % 2 else 0}


@pytest.fixture(scope="module")
def expected(bridge) -> list[np.ndarray]:
    """What the Python client gets for the same requests and seeds: [height, width, 4], the lowest row first."""
    pictures = []
    with BlockingClient(bridge["tcp"]) as client:
        client.open("python", "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
        frames = client.subscribe("python", format="rgba8", origin="bottom_left")
        for index in range(PICTURES):
            request = client.run("python", values(index), seed=index).request
            frame = frames.next(timeout_s=LIMIT_S)
            while frame.held or frame.header.request != request:
                frame = frames.next(timeout_s=LIMIT_S)
            pictures.append(frame.pixels.copy())
    return pictures


class Picture(NamedTuple):
    index: int
    request: int
    number: int
    flags: int
    pixels: np.ndarray


def read_pictures(path: Path) -> list[Picture]:
    """Give what the C# program wrote."""
    data = path.read_bytes()
    pictures = []
    at = 0
    while at < len(data):
        index, request, number, flags, width, height = RECORD.unpack_from(data, at)
        at += RECORD.size
        pixels = np.frombuffer(data, np.uint8, width * height * 4, at).reshape(height, width, 4)
        at += pixels.size
        pictures.append(Picture(index, request, number, flags, pixels))
    return pictures


def assert_same(pictures: list[Picture], expected: list[np.ndarray]) -> None:
    """Every pixel is the one that the Python client got, and the corner that was asked for is where it belongs."""
    assert [picture.index for picture in pictures] == list(range(len(expected)))
    for picture, wanted in zip(pictures, expected, strict=True):
        assert np.array_equal(picture.pixels, wanted), f"picture {picture.index} has other pixels"
        assert picture.flags & 8, "rows are not bottom-up"


def test_vectors_in_csharp(built):
    told = run_csharp(built / "Runner.exe", "vectors", VECTORS)
    counts = dict(word.split("=") for word in told.splitlines()[-1].split())
    files = {folder: len(list((VECTORS / folder).glob("*.hex"))) for folder in counts}
    assert {folder: int(count) for folder, count in counts.items()} == files
    unread = {folder.name for folder in VECTORS.iterdir() if folder.is_dir()} - set(files)
    assert unread == {"node"}, "a new family of vectors: read it, or name it in Vectors.cs"


class Recorder:
    """The C# program that records: it stops after each picture, until it is told to go on."""

    def __init__(self, built: Path, address: str, out: Path, by: str = "link", *options: object) -> None:
        command = [tool("mono"), "--debug", str(built / "Runner.exe"), "record", address, PICTURES, out, by, *options]
        self.out = out
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(
        self, before: dict[int, Callable[[], None]] | None = None, after: dict[int, Callable[[], None]] | None = None
    ) -> dict[str, object]:
        """Record to the end, doing what is said before or after a picture is asked for; give its last words."""
        try:
            while (line := self.process.stdout.readline()).startswith("picture "):
                following = int(line.split()[1]) + 1
                if before and following in before:
                    before[following]()
                self.process.stdin.write("\n")
                self.process.stdin.flush()
                if after and following in after:
                    after[following]()
            assert line, self.process.stderr.read()
            self.process.communicate(timeout=LIMIT_S)
            return json.loads(line)
        finally:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                pipe.close()


@pytest.mark.parametrize(
    ("door", "by", "options"),
    [("tcp", "link", ()), ("link", "link", ()), ("tcp", "memory", ()), ("tcp", "link", (4096,))],
    ids=["tcp", "websocket", "shared memory", "tcp in parts"],
)
def test_two_hundred_pictures(built, bridge, expected, tmp_path, door, by, options):
    address = f"ws://{bridge[door]}" if door == "link" else bridge[door]
    recorder = Recorder(built, address, tmp_path / "pictures", by, *options)
    told = recorder.run()
    assert told["malformed"] == told["torn"] == 0
    assert told["memory"] == (PICTURES if by == "memory" else 0)
    pictures = read_pictures(recorder.out)
    assert_same(pictures, expected)
    assert sorted({picture.request for picture in pictures}) == [picture.request for picture in pictures]
    # Without the Python client, and without the bridge: every second picture has no clouds, and can be computed.
    for picture in pictures[::2]:
        asked = values(picture.index)
        corners = tuple(tuple(asked[name]) for name in ("top_left", "top_right", "bottom_left", "bottom_right"))
        computed = gradient_pixels(corners, WIDTH, HEIGHT, asked["blur"])
        assert worst_difference(picture.pixels[::-1], computed) <= TOLERANCE


@pytest.mark.parametrize(("door", "by"), [("tcp", "memory"), ("link", "link")], ids=["tcp and memory", "websocket"])
def test_the_bridge_is_killed_and_comes_back(built, expected, tmp_path, door, by):
    """Once while nothing is under way, once just after a picture was asked for; the recording has all of them."""
    home = Home(tmp_path)
    with ExitStack() as bridges:
        running = bridges.enter_context(home.serve("--embedded"))
        told_address = running.addresses[door]

        def restart() -> None:
            nonlocal running
            running.process.kill()
            running.process.wait()
            running = bridges.enter_context(home.serve("--embedded", f"--{door}", told_address))

        address = f"ws://{told_address}" if door == "link" else told_address
        recorder = Recorder(built, address, tmp_path / "pictures", by)
        told = recorder.run(before={50: restart}, after={120: restart})
    assert told["malformed"] == 0
    assert not told["resumed"], "a bridge that was killed has no sessions"
    assert told["memory"] == (PICTURES if by == "memory" else 0)
    assert_same(read_pictures(recorder.out), expected)


class Wire:
    """A port that passes everything on to the bridge's, and can be cut."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.connections = 0

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self.connections += 1
            self._sockets += [near, far]
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pump, args=(one, other)))
                self._threads[-1].start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()


def test_a_cut_link_goes_on_with_its_session(built, bridge, expected, tmp_path):
    with Wire(bridge["tcp"]) as wire:
        recorder = Recorder(built, wire.address, tmp_path / "pictures")
        told = recorder.run(before={20: wire.cut, 150: wire.cut}, after={80: wire.cut})
        assert wire.connections == 4
    assert told["resumed"]
    assert_same(read_pictures(recorder.out), expected)


@pytest.mark.parametrize(
    ("door", "by", "reading"),
    [("tcp", "link", 0), ("tcp", "memory", 0), ("link", "link", 2048)],
    ids=["tcp", "shared memory", "websocket"],
)
def test_no_allocation_per_picture(built, bridge, door, by, reading):
    """In bytes of heap a picture, after 50 of them: where one is shown, and where the link is read.

    What WebSocket takes is made by ClientWebSocket, tasks and results of its own; a picture of 128x128 is 64 KiB.
    """
    address = f"ws://{bridge[door]}" if door == "link" else bridge[door]
    told = json.loads(run_csharp(built / "Runner.exe", "allocate", address, 200, by))
    assert told["showing"] == 0, told
    assert told["reading"] <= reading, told
    assert (told["memory"] > 0) is (by == "memory")
