"""The Godot addon's core, run by Debian's godot3-server (3.2.3) against a live bridge; its GDScript 2 read by gdparse.

Not read: the vectors of `memory` (Godot maps no files), `osc` (no part of the addon), `node` (between ComfyUI and the
bridge). What Godot 3 can't show about Godot 4 is in godot_sample/README.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bridge_rig import bridge_behind_proxy, run
from cli_rig import Home
from engine_pictures import gradient_pictures, values
from ports import ReservedPort

from bridge.cli.expected import TOLERANCE, gradient_pixels, worst_difference
from bridge.client import BlockingClient

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SAMPLE = REPOSITORY / "godot_sample"
VECTORS = REPOSITORY / "protocols" / "vectors"
LIMIT_S = 100.0
PICTURES = 60
LARGE_PICTURES = 12
WIDTH, HEIGHT = 64, 48
RECORD = struct.Struct("<16B6I")
FAMILIES = {"frame", "part", "framing", "message"}

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A Godot 3 project: the core that both share, the platform of Godot 3, and the runner of this test."""
    folder = tmp_path_factory.mktemp("godot")
    shutil.copytree(SAMPLE / "godot3" / "addons", folder / "addons")
    shutil.copytree(SAMPLE / "addons" / "texbridge" / "core", folder / "addons" / "texbridge" / "core")
    for path in (*(SAMPLE / "godot3").glob("main.*"), *(HERE / "godot").iterdir()):
        shutil.copy(path, folder)
    return folder


class Godot:
    """A running godot3-server; `line` gives what it prints, one JSON map after the other."""

    def __init__(self, project: Path, task: dict[str, Any], *script: str) -> None:
        program = shutil.which("godot3-server")
        if program is None:
            pytest.skip("godot3-server not found: apt-get install -y --no-install-recommends godot3-server")
        home = str(project)
        environment = {**os.environ, "HOME": home, "TEXBRIDGE_TEST": json.dumps(task), "LANG": "en_US.UTF-8"}
        environment |= {f"XDG_{kind}_HOME": home for kind in ("DATA", "CONFIG", "CACHE")} | {"LC_ALL": "en_US.UTF-8"}
        command = [program, "--path", str(project), *(script or ("-s", "res://runner.gd"))]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, env=environment, encoding="utf-8", errors="replace", **pipes)
        self.said: list[str] = []

    def __enter__(self) -> Godot:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def line(self) -> dict[str, Any]:
        """Give the next map that it prints. A fault in a script fails the test, as it does not fail Godot."""
        for line in self.process.stdout:
            self.said.append(line)
            assert "SCRIPT ERROR" not in line, "".join(self.said) + self.process.stdout.read()
            if line.startswith("{"):
                told: dict[str, Any] = json.loads(line)
                return told
        raise AssertionError("it ended early:\n" + "".join(self.said[-40:]))

    def last(self) -> dict[str, Any]:
        """Give what it says at its end."""
        told = self.line()
        assert "error" not in told, told
        rest = self.process.communicate(timeout=LIMIT_S)[0]
        assert "SCRIPT ERROR" not in rest, rest
        assert self.process.returncode == 0, rest
        return told


@pytest.fixture(scope="module")
def bridge(tmp_path_factory) -> Iterator[dict[str, str]]:
    with Home(tmp_path_factory.mktemp("bridge")).serve("--embedded") as running:
        yield running.addresses


@pytest.fixture(scope="module")
def expected(bridge) -> list[np.ndarray]:
    """What the Python client gets for the same requests and seeds: [height, width, 4], the uppermost row first."""
    return gradient_pictures(bridge["tcp"], PICTURES, (WIDTH, HEIGHT), "top_left")


class Picture(NamedTuple):
    index: int
    number: int
    flags: int
    corners: np.ndarray
    data: bytes
    width: int
    height: int

    @property
    def pixels(self) -> np.ndarray:
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, -1)


def read_pictures(path: Path) -> list[Picture]:
    """Give what runner.gd wrote."""
    data, at, pictures = path.read_bytes(), 0, []
    while at < len(data):
        *levels, index, number, flags, width, height, count = RECORD.unpack_from(data, at)
        at += RECORD.size
        corners = np.array(levels, np.uint8).reshape(4, 4)
        pictures.append(Picture(index, number, flags, corners, data[at : at + count], width, height))
        at += count
    return pictures


def record(project: Path, bridge: dict[str, str], out: Path, door: str, **settings: Any) -> tuple[Any, list[Picture]]:
    """Have Godot ask for pictures, one after the other; give its last words and the pictures."""
    stream = out.name
    with BlockingClient(bridge["tcp"]) as client:
        client.open(stream, "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
    address = f"ws://{bridge['link']}/link" if door == "link" else bridge["tcp"]
    all_settings = {"address": address, "stream": stream, "workflow": "gradient", "mode": "oneshot"}
    task = {"mode": "record", "out": str(out), "pictures": settings.pop("pictures", PICTURES)}
    all_settings |= {"max_message_bytes": 0, **settings}
    with Godot(project, {**task, "settings": all_settings}) as godot:
        told = godot.last()
    return told, read_pictures(out)


@pytest.mark.parametrize(
    ("door", "limit"),
    [("tcp", 0), ("tcp", 2048), ("link", 0), ("link", 4096)],
    ids=["tcp", "tcp in parts", "websocket", "websocket in parts"],
)
def test_pictures_pixel_by_pixel(project, bridge, expected, tmp_path, door, limit):
    told, pictures = record(project, bridge, tmp_path / f"{door}-{limit}", door, max_message_bytes=limit)
    assert told["failed"] == 0
    assert told["counts"]["links"] == 1
    assert bool(told["counts"]["parts"]) is bool(limit)
    assert [picture.index for picture in pictures] == list(range(PICTURES))
    for picture, wanted in zip(pictures, expected, strict=True):
        assert np.array_equal(picture.pixels, wanted), f"picture {picture.index} has other pixels"
        # Godot's own get_pixel: left to right, then top to bottom.
        assert np.array_equal(picture.corners, wanted[[0, 0, -1, -1], [0, -1, 0, -1]])
    for picture in pictures[::2]:  # computed from the colours alone
        asked = values(picture.index)
        corners = tuple(tuple(asked[name]) for name in ("top_left", "top_right", "bottom_left", "bottom_right"))
        computed = gradient_pixels(corners, WIDTH, HEIGHT, asked["blur"])
        assert worst_difference(picture.pixels, computed) <= TOLERANCE


@pytest.mark.parametrize("limit", [0, 16384], ids=["raised buffer", "parts"])
def test_pictures_larger_than_godots_buffer(project, bridge, tmp_path, limit):
    """640x480 rgba8 are 1.2 MB. Godot's WebSocket drops what is over 64 KiB unless told otherwise, or in parts."""
    size = {"size": [640, 480], "max_message_bytes": limit, "pictures": LARGE_PICTURES}
    told, pictures = record(project, bridge, tmp_path / f"large-{limit}", "link", **size)
    assert told["failed"] == 0
    assert len(pictures) == LARGE_PICTURES
    with BlockingClient(bridge["tcp"]) as client:
        client.open("large-python", "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
        frames = client.subscribe("large-python", format="rgba8", origin="top_left", size=(640, 480))
        request = client.run("large-python", values(LARGE_PICTURES - 1), seed=LARGE_PICTURES - 1).request
        frame = frames.next(timeout_s=LIMIT_S)
        while frame.held or frame.header.request != request:
            frame = frames.next(timeout_s=LIMIT_S)
        assert np.array_equal(pictures[-1].pixels, frame.pixels)


@pytest.mark.parametrize(("word", "dtype", "channels"), [("rgb8", "u1", 3), ("r8", "u1", 1), ("rgba32f", "<f4", 4)])
def test_other_formats(project, bridge, expected, tmp_path, word, dtype, channels):
    _, pictures = record(project, bridge, tmp_path / word, "tcp", format=word, pictures=3)
    picture, wanted = pictures[2], expected[2]
    pixels = np.frombuffer(picture.data, dtype).reshape(HEIGHT, WIDTH, channels)
    if word == "rgb8":
        assert np.array_equal(pixels, wanted[:, :, :3])
        assert np.array_equal(picture.corners[:, :3], wanted[[0, 0, -1, -1], [0, -1, 0, -1]][:, :3])
    elif word == "rgba32f":
        assert np.array_equal(np.rint(pixels * 255).astype(np.uint8), wanted)
    else:
        luma = wanted[:, :, :3].astype(float) @ [0.299, 0.587, 0.114]
        assert np.abs(pixels[:, :, 0] - luma).max() <= 1


@pytest.mark.parametrize(
    ("word", "size", "wanted_bytes"),
    [
        ("rgba8", [16, 4], 4 * (16 * 4 + 8 * 2 + 4 + 2 + 1)),  # down to 1x1
        ("bc1", [40, 16], 8 * (10 * 4 + 5 * 2 + 3 * 1 + 2 + 1 + 1)),  # whole blocks, down to 1x1 too
        ("bc3", [10, 10], 16 * (9 + 4 + 1 + 1)),
    ],
)
def test_mip_levels_as_godot_counts_them(project, bridge, tmp_path, word, size, wanted_bytes):
    with BlockingClient(bridge["tcp"]) as client:
        if word not in client.welcome.formats:
            pytest.skip("block formats need the extra [bc]")
    _, pictures = record(
        project, bridge, tmp_path / f"mips-{word}", "tcp", format=word, size=size, mips=True, pictures=3
    )
    assert {(picture.width, picture.height, len(picture.data)) for picture in pictures} == {(*size, wanted_bytes)}


@pytest.mark.parametrize("door", ["tcp", "link"])
def test_the_bridge_is_killed_and_restarted(project, tmp_path, door):
    home = Home(tmp_path)
    settings = {"stream": "show", "workflow": "gradient", "mode": "oneshot", "size": [8, 6], "max_message_bytes": 0}

    def until(godot: Godot, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not condition(told := godot.line()):
            pass
        return told

    with ReservedPort() as port, home.serve("--embedded", f"--{door}", f"127.0.0.1:{port}") as running:
        address = running.addresses[door]
        settings["address"] = f"ws://{address}/link" if door == "link" else address
        task = {"mode": "survive", "out": str(tmp_path / "picture"), "settings": settings}
        with Godot(project, task) as godot:
            until(godot, lambda told: told.get("picture") == 3)
            running.process.kill()
            running.process.wait()
            with home.serve("--embedded", f"--{door}", address):
                assert until(godot, lambda told: "link" in told)["link"] == 2
                told = until(godot, lambda told: "counts" in told)
    assert told["trouble"] == ""
    pixels = np.frombuffer((tmp_path / "picture").read_bytes(), np.uint8).reshape(6, 8, 4)
    assert pixels[0, -1, 1] > 180  # the right top is green still: values outlive the bridge
    assert pixels[-1, 0, 2] > 180


@pytest.mark.parametrize("door", ["tcp", "link"])
def test_a_link_that_is_cut(project, tmp_path, door):
    """The session goes on: what was asked for while there was no link is made, once."""

    def record_through(address: str, cut: Callable[[], None]) -> dict[str, Any]:
        settings = {"stream": "cut", "workflow": "gradient", "mode": "oneshot", "size": [8, 6], "address": address}
        settings["max_message_bytes"] = 0
        task = {"mode": "survive", "cut": True, "out": str(tmp_path / "picture"), "settings": settings}
        with Godot(project, task) as godot:
            while godot.line().get("picture") != 3:
                pass
            cut()
            while "counts" not in (told := godot.line()):
                pass
        return told

    async def test() -> None:
        async with bridge_behind_proxy("tcp" if door == "tcp" else "websocket") as (_, proxy, address):
            loop = asyncio.get_running_loop()
            if door == "link":
                address += "/link"
            told = await asyncio.to_thread(record_through, address, lambda: loop.call_soon_threadsafe(proxy.reset))
        assert told["failed"] == 0
        assert told["counts"]["links"] == 2
        assert told["boots"] == 1

    run(test)


def test_the_example_scene(project, bridge):
    """Node, signals, sliders and texture of godot_sample/godot3; Godot 4's are the same text but for names."""
    with Godot(project, {"address": bridge["tcp"]}, "-s", "res://scene_runner.gd") as godot:
        told = godot.last()
    assert told["size"] == [8, 8]
    with BlockingClient(bridge["tcp"]) as client:
        parameters = {parameter.name: parameter for parameter in client.describe("godot").parameters}
    assert parameters["bottom_right"].value == [0.0, 1.0, 0.0, 1.0]
    assert parameters["noise"].value == 0.0
    assert told["controls"] == 2 * len(parameters)  # a label and a control for each


def test_vectors_in_gdscript(project):
    with Godot(project, {"mode": "vectors", "folder": str(VECTORS)}) as godot:
        told = godot.last()["read"]
    wrong = {name: words for name, words in told.items() if words != "ok"}
    assert not wrong
    there = {f"{path.parent.name}/{path.stem}" for path in VECTORS.glob("*/*.hex") if path.parent.name in FAMILIES}
    assert set(told) == there
    unread = {path.name for path in VECTORS.iterdir() if path.is_dir()} - FAMILIES
    assert unread == {"memory", "osc", "node"}, "a new family of vectors: read it, or name it at the top of this file"


# --- Godot 4 -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gdparse() -> list[str]:
    """The parser of gdtoolkit for GDScript 2, from pip into a folder that git ignores."""
    folder = REPOSITORY / ".cache" / "gdtoolkit-4"
    if not (folder / "gdtoolkit").is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: half of it, where the time was over, would be taken for all of it by the next run.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as made:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", made, "gdtoolkit==4.*"]
            try:
                done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip("gdtoolkit did not come from pip in time")
            if done.returncode:
                pytest.skip("gdtoolkit could not be installed by pip: " + done.stderr.strip()[-200:])
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(made, folder)
    return [sys.executable, "-c", "import sys; from gdtoolkit.parser.__main__ import main; sys.exit(main())"]


def test_gdscript_of_godot_4_is_parsed(gdparse, tmp_path):
    scripts = [path for path in SAMPLE.rglob("*.gd") if "godot3" not in path.parts]
    assert len(scripts) >= 8
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache" / "gdtoolkit-4")}
    options = {"env": environment, "capture_output": True, "encoding": "utf-8", "timeout": LIMIT_S, "check": False}
    done = subprocess.run([*gdparse, *map(str, scripts)], **options)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.gd"
    broken.write_text("func a(:\n\tpass\n", encoding="utf-8")
    assert subprocess.run([*gdparse, str(broken)], **options).returncode != 0


def test_the_core_names_nothing_that_only_one_godot_has():
    """The core is one text for two languages: what is named otherwise stands in platform.gd."""
    only_one = ("Pool", "Packed", "yield", "await", "subarray", "to_utf8", "@export", "onready", "OS.")
    only_one += (
        "Time.",
        "RefCounted",
        "Reference",
        "TYPE_REAL",
        "TYPE_FLOAT",
        "JSON",
        "parse_json",
        "create_from_data",
    )
    for path in (SAMPLE / "addons" / "texbridge" / "core").glob("*.gd"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = line.partition("#")[0]
            found = [word for word in only_one if word in code] + re.findall(r"(?<!Platform)\.slice\(", code)
            assert not found, f"{path.name}:{number} {found}"


def test_both_platforms_have_the_same_functions():
    def functions(path: Path) -> list[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return sorted(line for line in lines if line.startswith(("func ", "static func ")) and "func _" not in line)

    ours, theirs = SAMPLE / "addons" / "texbridge", SAMPLE / "godot3" / "addons" / "texbridge"
    for name in ("platform.gd", "websocket_door.gd"):
        assert functions(ours / name) == functions(theirs / name)
