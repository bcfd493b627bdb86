"""Sequences through a real ComfyUI: every frame with its own values and picture, in order; equal frames too."""

import asyncio
import json

import numpy as np
import pytest

from bridge.app.config.config import load_config
from bridge.app.serve import Server
from bridge.client import Client
from bridge.types import Outcome


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


WORKFLOWS = {
    "solid": {
        "1": node("EmptyImage", "Fill @fill:color", width=32, height=16, batch_size=1, color=0),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    "copy": {
        "1": node("LoadImage", "@photo:image", image="example.png"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
}


def through(tmp_path, url, test):
    """Run `test(server, client)` with a bridge at this ComfyUI."""
    for name, graph in WORKFLOWS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    (tmp_path / "copy" / "binding.toml").write_text("[parameters.photo]\nlossless = true\n", encoding="utf-8")
    doors = {door: {"listen": "127.0.0.1:0"} for door in ("osc", "link", "tcp", "http")}

    async def limited():
        async with asyncio.timeout(120):
            config = load_config(
                None,
                {},
                {
                    **doors,
                    "workflows": {"folders": [str(tmp_path)]},
                    "backend": [{"url": url, "name": "one"}],
                    "streams": {},
                    "scheduler": {"warm_up": False},
                },
            )
            server = Server(config)
            await server.start()
            try:
                async with Client(server.addresses.tcp) as client:
                    await test(server, client)
            finally:
                await server.close()

    asyncio.run(limited())


def number_of(frame_set):
    pixels = frame_set.pixels
    assert (pixels == pixels[0, 0]).all()
    red, green, blue = (int(channel) for channel in pixels[0, 0, :3])
    return red << 16 | green << 8 | blue


def test_colours_by_tracks_and_frames_that_are_equal(tmp_path, comfyui_url):
    """ComfyUI makes the same prompt twice from its cache: the frame comes all the same."""

    async def test(server, client):
        await client.open("shot", "solid", "oneshot")
        tracks = {"fill": [[0, [0, 0, 0]], [20, [20 / 255, 0, 20 / 255]]]}
        async with await client.sequence("shot", 30, tracks) as sequence:
            got = [number_of(frame_set) async for frame_set in sequence]
        expected = [min(index, 20) for index in range(30)]
        assert got == [level << 16 | level for level in expected]
        assert (await sequence.finished(10)).outcome is Outcome.DONE

    through(tmp_path, comfyui_url, test)


@pytest.mark.parametrize("listed", [False, True])
def test_a_picture_for_each_frame(tmp_path, comfyui_url, listed):
    random = np.random.default_rng(5)
    pictures = [random.integers(0, 256, (9, 7, 3), np.uint8) for _ in range(24)]

    async def test(server, client):
        await client.open("shot", "copy", "oneshot")
        source = pictures if listed else pictures.__getitem__
        async with await client.sequence("shot", 24, images={"photo": source}) as sequence:
            async for frame_set in sequence:
                assert (frame_set.pixels[..., :3] == pictures[frame_set.index]).all()
        assert (await sequence.finished(10)).frames == 24

    through(tmp_path, comfyui_url, test)


def test_leaving_cancels_what_waits_there(tmp_path, comfyui_url):
    async def test(server, client):
        await client.open("shot", "solid", "oneshot")
        tracks = {"fill": [[index, [index / 255, 0, 0]] for index in range(200)]}
        async with await client.sequence("shot", 200, tracks) as sequence:
            await sequence.next(30)
        assert (await sequence.finished(10)).outcome is Outcome.CANCELLED
        async with await client.sequence("shot", 3, tracks) as again:
            assert [frame_set.index async for frame_set in again] == [0, 1, 2]

    through(tmp_path, comfyui_url, test)
