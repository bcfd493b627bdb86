"""A shot through two real ComfyUIs and an embedded one, one of the real ones killed in the middle of it.

The one that is killed is our own: COMFYUI_START is the command line that starts it, with `{port}` in it.
"""

import asyncio
import json
import socket

import numpy as np
import pytest
from admin_rig import asking
from app_rig import AppRig, node, solid, write_workflow
from cli_rig import Home
from serve_rig import REAL_START, Comfy

from bridge.client import Client
from bridge.embedded import EmbeddedServer
from bridge.types import Outcome

FRAMES = 60
SHOT = {
    "1": solid("@fill:color"),
    "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    "3": node("LoadImage", "@photo:image", image="example.png"),
    "4": node("SaveImageWebsocket", "@out plate", images=["3", 0]),
}
needs_start = pytest.mark.skipif(
    "{port}" not in REAL_START, reason="COMFYUI_START names no command that starts a ComfyUI at {port}"
)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@needs_start
@pytest.mark.timeout(300)
def test_one_of_three_is_killed_in_the_middle_of_a_sequence(tmp_path, comfyui_url):
    """Every frame comes once, in order, with its own values and picture, in both outputs."""
    write_workflow(tmp_path, "shot", SHOT, "[parameters.photo]\nlossless = true\n")
    random = np.random.default_rng(11)
    plates = [random.integers(0, 256, (9, 7, 3), np.uint8) for _ in range(FRAMES)]
    tracks = {"fill": [[0, [0, 0, 1]], [FRAMES - 1, [(FRAMES - 1) / 255, 0, 1]]]}

    async def test():
        async with (
            asyncio.timeout(240),
            Comfy(port=free_port(), command=REAL_START) as killed,
            EmbeddedServer(step_delay_ms=50) as embedded,
        ):
            backend = [
                {"url": comfyui_url, "name": "real"},
                {"url": killed.url, "name": "killed"},
                {"url": embedded.url, "name": "embedded"},
            ]
            streams = {"shot": {"workflow": "shot", "mode": "oneshot"}}
            async with AppRig(tmp_path, streams, comfy=False, backend=backend) as rig, asking(rig) as ask:
                await rig.until(lambda: len(rig.bridge.backends_up) == 3, "all ComfyUIs")

                async def told(name):
                    return next(one for one in (await ask("GET"))[1]["backends"] if one["name"] == name)

                async with Client(rig.server.addresses.tcp) as client:
                    indices, is_killed = [], False
                    async with await client.sequence("shot", FRAMES, tracks, images={"photo": plates}) as sequence:
                        async for frame_set in sequence:
                            image, plate = frame_set.frames
                            assert (image.output, plate.output) == (0, 1)
                            assert (image.pixels[..., :3] == (frame_set.index, 0, 255)).all()
                            assert (plate.pixels[..., :3] == plates[frame_set.index]).all()
                            indices.append(frame_set.index)
                            if len(indices) >= FRAMES // 4 and not is_killed:
                                place = await told("killed")
                                if place["done"] and place["prompts"]:
                                    await killed.kill()
                                    is_killed = True
                        finished = await sequence.finished(30)
                assert is_killed
                assert (finished.outcome, finished.frames) == (Outcome.DONE, FRAMES)
                assert indices == list(range(FRAMES))
                places = {name: await told(name) for name in ("real", "killed", "embedded")}
                assert all(place["done"] > 0 for place in places.values()), places
                # Prompts that nobody took any more at the killed one count as failed there, and were made elsewhere.
                assert [places[name]["failed"] for name in ("real", "embedded")] == [0, 0], places
                print(
                    {
                        name: [place[key] for key in ("state", "done", "failed", "lost")]
                        for name, place in places.items()
                    }
                )

    asyncio.run(test())


@pytest.mark.timeout(300)
def test_a_render_killed_half_way_goes_on_to_the_same_files(tmp_path, comfyui_url):
    """Byte for byte the files of an unbroken render."""
    home = Home(tmp_path)
    write_workflow(home.work, "colour", {"1": SHOT["1"], "2": SHOT["2"]})
    words = (
        *("render", "colour", "--workflows", home.work, "--comfy", comfyui_url, "--frames", f"1001-{1000 + FRAMES}"),
        *("--track", f"fill=1001:0,0,0,{1000 + FRAMES}:1,0.5,0:cubic_in_out", "-o", "out/%04d.png", "--json"),
    )

    def files(folder):
        return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.suffix == ".png"}

    with home.start(*words) as running:
        while json.loads(running.line()).get("done", 0) < FRAMES // 2:
            pass
        running.process.kill()
        running.process.wait()
    before = files(home.work)
    kept = json.loads((home.work / "out" / "manifest.json").read_text(encoding="utf-8"))["done"]
    assert 1 <= len(kept) < FRAMES
    done = home.run(*words, "--resume", limit_s=120)
    assert done.code == 0, done.err
    end = json.loads(done.out.splitlines()[-1])
    assert (end["state"], end["there"], end["rendered"]) == ("done", len(kept), FRAMES - len(kept))
    other = home.work / "other"
    other.mkdir()
    whole = home.run(*words, folder=other, limit_s=120)
    assert whole.code == 0, whole.err
    assert files(home.work) == files(other)
    assert len(files(other)) == FRAMES
    assert all(before[f"{frame}.png"] == files(other)[f"{frame}.png"] for frame in kept)
