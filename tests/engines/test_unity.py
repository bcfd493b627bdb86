"""The Unity package: compiled by Debian's Mono against a stub of UnityEngine, and run against a live bridge."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
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

    def run(self, before: dict[int, Callable[[], None]] | None = None) -> dict[str, object]:
        """Record to the end, doing what `before` says before a picture is asked for; give its last words."""
        try:
            while (line := self.process.stdout.readline()).startswith("picture "):
                index = int(line.split()[1])
                if before and index + 1 in before:
                    before[index + 1]()
                self.process.stdin.write("\n")
                self.process.stdin.flush()
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
