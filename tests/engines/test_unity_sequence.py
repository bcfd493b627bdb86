"""Keyed sequences, cross-fades and materials of the Unity package, on Mono against a live bridge."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from cli_rig import Home
from ports import ReservedPort

sys.path.insert(0, str(Path(__file__).parent))
from mono import run_csharp, tool
from unity_rig import PACKAGE, build
from wire import Wire

from bridge.client import BlockingClient

LIMIT_S = 110.0
FRAMES = 24
WIDTH, HEIGHT = 64, 48
SHOT = {
    "top_left": [[100, "#ff6040"], [123, "#4060ff", "cubic_in_out"]],
    "bottom_right": [[100, [0.1, 0.1, 0.3]], [120, [0.0, 0.8, 0.7], ["bezier", 0.4, 0.0, 0.2, 1.0]]],
    "blur": [[100, 0.25]],
    "noise": [[105, 0.0], [123, 0.25, "cubic_in"]],
}

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("unity"))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The addresses of a running bridge."""
    with Home(tmp_path_factory.mktemp("bridge")).serve("--embedded") as running:
        yield running.addresses


def by_python(address: str, frames: int, tracks: dict[str, object], **options: object) -> list[np.ndarray]:
    """What the Python client gets: [height, width, 4], the lowest row first."""
    with BlockingClient(address) as client:
        client.open("python_shot", "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
        with client.sequence("python_shot", frames, tracks, origin="bottom_left", **options) as sequence:
            return [frame_set.pixels.copy() for frame_set in sequence]


@pytest.fixture(scope="module")
def expected(bridge) -> list[np.ndarray]:
    pictures = by_python(bridge["tcp"], FRAMES, SHOT, first=100, fps=24, seed=7)
    assert len({picture.tobytes() for picture in pictures}) == FRAMES, "each frame is another picture"
    return pictures


def record(built: Path, what: str, address: str, out: Path, before: dict[int, Callable[[], None]]) -> dict[str, object]:
    """Run a program that stops after each frame; do what is said before it goes on to a frame. Its last words."""
    command = [tool("mono"), "--debug", str(built / "Runner.exe"), what, address, str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    process = subprocess.Popen(command, **pipes)
    try:
        while (line := process.stdout.readline()).startswith("picture "):
            before.get(int(line.split()[1]) + 1, lambda: None)()
            process.stdin.write("\n")
            process.stdin.flush()
        assert line, process.stderr.read()
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors
        return json.loads(line)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def read_frames(path: Path) -> list[np.ndarray]:
    """What the program wrote: each frame with its index before it, in order."""
    size = WIDTH * HEIGHT * 4
    data = path.read_bytes()
    places = range(0, len(data), size + 4)
    assert [int.from_bytes(data[place : place + 4], "little") for place in places] == list(range(len(places)))
    return [np.frombuffer(data, np.uint8, size, place + 4).reshape(HEIGHT, WIDTH, 4) for place in places]


def assert_frames(path: Path, expected: list[np.ndarray]) -> None:
    pictures = read_frames(path)
    assert len(pictures) == len(expected)
    for index, (picture, wanted) in enumerate(zip(pictures, expected, strict=True)):
        assert np.array_equal(picture, wanted), f"frame {index} has other pixels"


@pytest.mark.parametrize("what", ["sequence", "recorder"])
@pytest.mark.parametrize("cuts", [(), (1, 11, 23)], ids=["whole", "cut"])
def test_each_frame_in_its_place(built, bridge, expected, tmp_path, what, cuts):
    """By the client and by the component, frame by frame; also when the link is cut between frames."""
    with Wire(bridge["tcp"]) as wire:
        told = record(built, what, wire.address, tmp_path / "frames", dict.fromkeys(cuts, wire.cut))
        if 11 in cuts:
            assert wire.connections > 1
    assert told == {"outcome": "done", "frames": FRAMES, "seed": 7, "resumed": bool(cuts)}
    assert_frames(tmp_path / "frames", expected)


@pytest.mark.parametrize("end", ["kill", "terminate"])
@pytest.mark.parametrize("what", ["sequence", "recorder"])
def test_the_bridge_is_restarted_and_asked_for_the_rest(built, expected, tmp_path, what, end):
    """Each frame once, in its place, with its own pixels, whichever bridge made it, and however the first one ended."""
    home = Home(tmp_path)
    with ExitStack() as bridges:
        address = f"127.0.0.1:{bridges.enter_context(ReservedPort())}"
        running = bridges.enter_context(home.serve("--embedded", "--tcp", address))

        def restart() -> None:
            nonlocal running
            getattr(running.process, end)()
            running.process.wait()
            running = bridges.enter_context(home.serve("--embedded", "--tcp", address))

        told = record(built, what, address, tmp_path / "frames", {5: restart, 16: restart})
    assert (told["outcome"], told["seed"], told["resumed"]) == ("done", 7, False)
    assert 1 <= told["frames"] <= FRAMES - 16, "the rest alone is asked for again"
    assert_frames(tmp_path / "frames", expected)


def test_an_acceptance_that_is_lost_while_all_is_made(built, bridge):
    """On the next link `finished` comes before it, and then the frames: they are known all the same."""
    with Wire(bridge["tcp"]) as wire, ThreadPoolExecutor(1) as pool:
        wire.lose(b"accepted")
        running = pool.submit(run_csharp, built / "Runner.exe", "sequence-fault", wire.address, "short")
        assert wire.lost.wait(LIMIT_S)
        with BlockingClient(bridge["tcp"]) as client:  # made, and not sent
            frames = client.subscribe("unity_fault", format="rgba8")
            while frames.next(timeout_s=LIMIT_S).header.index < 2:
                pass
        wire.flow()
        assert running.result().splitlines() == [f"got {index}" for index in range(3)]


def test_curves_and_gradients_of_the_inspector(built, bridge, tmp_path):
    told = run_csharp(built / "Runner.exe", "curves", bridge["tcp"], tmp_path / "frames")
    assert not told
    tracks = {
        "blur": [[index, 0.25 + 0.125 * index] for index in range(5)],
        "top_left": [[index, [index / 4] * 3] for index in range(5)],
    }
    assert_frames(tmp_path / "frames", by_python(bridge["tcp"], 5, tracks, seed=3))


def test_the_sample(built, bridge, tmp_path):
    run_csharp(built / "Runner.exe", "sequence-sample", bridge["tcp"], tmp_path / "Recordings")
    files = sorted((tmp_path / "Recordings").iterdir())
    assert [path.name for path in files] == [f"{index:04d}.png" for index in range(9)]
    assert {path.stat().st_size for path in files} == {512 * 512 * 4}
    assert len({path.read_bytes() for path in files}) == 9


@pytest.mark.parametrize(
    ("how", "got", "words"),
    [
        ("refused", 0, "0 ProtocolException frame 1001 (1 of 6) of unity_fault: "),
        ("passed", 3, "4 InvalidOperationException frame 1005 (5 of 6) of unity_fault: it was passed over"),
    ],
)
def test_a_frame_that_cannot_be_had_is_named(built, bridge, how, got, words):
    told = run_csharp(built / "Runner.exe", "sequence-fault", bridge["tcp"], how).splitlines()
    assert told[:-1] == [f"got {index}" for index in range(got)]
    assert told[-1].startswith(words), told


def test_after_a_cancellation_the_first_missing_frame_is_named(built, bridge):
    """Frames that were on their way when it was cancelled are still handed out."""
    *got, last = run_csharp(built / "Runner.exe", "sequence-fault", bridge["tcp"], "cancelled").splitlines()
    assert got == [f"got {index}" for index in range(len(got))]
    assert 2 <= len(got) < 600
    words = f"{len(got)} ProtocolException frame {1001 + len(got)} ({len(got) + 1} of 600) of unity_fault: request "
    assert last.startswith(words), last


def test_pictures_frame_by_frame(built, bridge):
    greys = [int(line) for line in run_csharp(built / "Runner.exe", "pictures", bridge["tcp"]).splitlines()]
    assert np.abs(np.array(greys) - [40, 80, 120, 160, 200]).max() <= 3, greys


def test_a_cross_fade(built, bridge):
    """Steps between black and red pictures, in the texture."""
    told = json.loads(run_csharp(built / "Runner.exe", "blend", bridge["tcp"], 120))
    assert told["between"] >= 3, told
    assert told["held"] >= told["between"], told


def steps(section: str, values: dict[str, str]) -> list[str]:
    """What the package's README says to do in a section, up to Play: menus, and fields with the values of this test."""
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"`[^`]*`", "", readme[readme.index(section) :])
    names = [" ".join(name.split()) for name in re.findall(r"(?<![*\w])\*([^*]+)\*(?![*\w])", text)]
    return [f"{name}={values[name]}" if name in values else name for name in names[: names.index("Play") + 1]]


def test_the_first_picture_as_the_readme_says(built, bridge, tmp_path):
    told = run_csharp(
        built / "Runner.exe", "walk", tmp_path / "out", *steps("## First picture", {"Address": bridge["tcp"]})
    )
    assert not told
    shown = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8).reshape(512, 512, 4)
    with BlockingClient(bridge["tcp"]) as client:
        held = client.subscribe("main", format="rgba8", origin="bottom_left").next(timeout_s=LIMIT_S).pixels
        assert np.array_equal(shown, held)


def test_a_recording_as_the_readme_says(built, bridge, tmp_path):
    before = steps("## First picture", {"Address": bridge["tcp"]})
    before = before[: before.index("Add Component > TexBridge > Texture")]
    shot = {
        "Stream": "unity_walk",
        "Workflow": "gradient",
        "Width": f"{WIDTH}",
        "Height": f"{HEIGHT}",
        "Mode": "oneshot",
    }
    recording = steps("**Values that move by keys.**", shot | {"Frames": "3", "Frames Per Second": "24"})
    assert {"Add Component > TexBridge > Recorder", "Curves", "Colours", "Frames=3"} <= set(recording)
    told = run_csharp(built / "Runner.exe", "walk", tmp_path / "out", *before, *recording)
    assert not told
    assert len((tmp_path / "out").read_bytes()) == WIDTH * HEIGHT * 4


def test_materials_of_each_pipeline(built):
    assert run_csharp(built / "Runner.exe", "shaders").splitlines() == [
        "built-in: Unlit/Texture _MainTex",
        "urp: Universal Render Pipeline/Unlit _BaseMap",
        "hdrp: HDRP/Unlit _UnlitColorMap",
        "another: Unlit/Texture _MainTex",
        "build: none",
        "error: TexBridge: no shader Universal Render Pipeline/Unlit nor HDRP/Unlit nor Unlit/Texture. In a build, add"
        " it to Project Settings > Graphics > Always Included Shaders",
    ]
