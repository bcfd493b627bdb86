"""Pictures from an engine through a real ComfyUI's own LoadImage: exact pixels, depth, alpha, a camera."""

import asyncio
import json

import numpy as np
import pytest

from bridge.app.config.config import load_config
from bridge.app.serve import Server
from bridge.backends.transfer import TransferMode
from bridge.client import Client

COLORS = np.random.default_rng(3).integers(0, 256, (33, 47, 4), np.uint8)
GREY = COLORS[..., 0]
FORMS = {
    "rgba8": COLORS,
    "bgra8": COLORS[..., [2, 1, 0, 3]],
    "rgb8": COLORS[..., :3],
    "rgba16f": (COLORS / 255).astype("<f2"),
    "rgba32f": (COLORS / 255).astype("<f4"),
    "r8": GREY,
    "r16": GREY.astype("<u2") * 257,
    "r16f": (GREY / 255).astype("<f2"),
    "r32f": (GREY / 255).astype("<f4"),
}


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


WORKFLOWS = {
    "copy": {
        "1": node("LoadImage", "@photo:image", image="example.png"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    "cut": {
        "1": node("LoadImage", "@photo:image", image="example.png"),
        "2": node("MaskToImage", mask=["1", 1]),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
    "mask": {
        "1": node("LoadImageMask", "@photo:image", image="example.png", channel="red"),
        "2": node("MaskToImage", mask=["1", 0]),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
}


def through(tmp_path, url, test):
    """Run `test(server, client)` with a bridge at this ComfyUI, pictures as files whatever is installed there."""
    for name, graph in WORKFLOWS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    binding = "[parameters.photo]\nlossless = true\n"
    (tmp_path / "copy" / "binding.toml").write_text(binding, encoding="utf-8")
    doors = {door: {"listen": "127.0.0.1:0"} for door in ("osc", "link", "tcp", "http")}

    async def limited():
        config = load_config(
            None,
            {},
            {
                **doors,
                "workflows": {"folders": [str(tmp_path)]},
                "backend": [{"url": url, "name": "real"}],
                "scheduler": {"warm_up": False},
                "streams": {},
            },
        )
        server = Server(config)
        await server.start()
        try:
            assert await server.wait_for_comfy(20)
            server.bridge.backends.get("real").nodes.transfer.mode = TransferMode.PNG
            assert server.addresses.tcp is not None
            async with asyncio.timeout(120), Client(server.addresses.tcp) as client:
                await test(server, client)
        finally:
            await server.close()

    asyncio.run(limited())


async def made(client, frames, stream="main", **options):
    """Run once; gives the pixels that came of it."""
    run = await client.run(stream, **options)
    done = await run.finished(30)
    assert done.outcome == "done", done.message
    while (frame := await frames.next(30)).header.request != run.request:
        pass
    return frame.pixels


@pytest.mark.parametrize("workflow", ["copy", "mask"])
def test_every_format_and_origin(comfyui_url, tmp_path, workflow):
    async def test(server, client):
        await client.open("main", workflow, "oneshot")
        frames = await client.subscribe("main")
        for word, array in FORMS.items():
            for origin in ("top_left", "bottom_left"):
                rows = array if origin == "top_left" else array[::-1]
                await client.image("main", "photo", rows, format=word, origin=origin)
                expected = COLORS[..., :3] if array.ndim == 3 and workflow == "copy" else np.dstack([GREY] * 3)
                assert ((await made(client, frames))[..., :3] == expected).all(), (word, origin)

    through(tmp_path, comfyui_url, test)


def test_alpha(comfyui_url, tmp_path):
    async def test(server, client):
        await client.open("main", "cut", "oneshot")
        frames = await client.subscribe("main")
        await client.image("main", "photo", COLORS, format="rgba8")
        mask = (await made(client, frames))[..., 0]
        assert np.abs(mask - (255.0 - COLORS[..., 3])).max() <= 1, "ComfyUI cuts floats off"

    through(tmp_path, comfyui_url, test)


def test_a_camera_shows_the_newest(comfyui_url, tmp_path):
    """Many more pictures than prompts: each frame is one that was sent, none is older than the one before."""

    async def test(server, client):
        await client.open("main", "copy", "live", {"photo": np.zeros((48, 64, 3), np.uint8)})
        frames = await client.subscribe("main")
        shown = []

        async def next_shown():
            while (frame := await frames.next(30)).held:
                pass
            pixels = frame.pixels
            assert (pixels == pixels[0, 0]).all(), "a picture that is half another one"
            shown.append(int(pixels[0, 0, 0]))

        for number in range(1, 201):
            await client.image("main", "photo", np.full((48, 64, 3), number, np.uint8))
            if number % 10 == 0:
                await next_shown()
        while shown[-1] != 200:
            await next_shown()
        assert shown == sorted(shown)
        assert len(server.bridge.backends.get("real")._files) <= 5
        assert server.bridge.pictures.made_ready < 200

    through(tmp_path, comfyui_url, test)
