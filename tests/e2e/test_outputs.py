"""Several outputs, lists and previews of a real ComfyUI.

Previews need a sampler, and that a model: one of noise will do, made by `tiny_unet.py`. ComfyUI has to be started with
`--preview-method auto` and the folder that has it; otherwise that test is skipped.
"""

import asyncio
import json
import random
import urllib.request

import pytest

from bridge.app.config.config import load_config
from bridge.app.serve import Server
from bridge.client import Client
from bridge.codec.messages import Progress

MODEL = "tiny.safetensors"


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def solid(title, batch=1):
    return node("EmptyImage", title, width=32, height=16, batch_size=batch, color=0)


def out(title, node_id):
    return node("SaveImageWebsocket", title, images=[node_id, 0])


WORKFLOWS = {
    "pair": {
        "1": solid("@fill:color"),
        "2": solid("@far:color"),
        "3": out("@out image", "1"),
        "4": out("@out depth", "2"),
        "5": out("@out again", "1"),
    },
    "uneven": {
        "1": solid("@fill:color", 3),
        "2": solid("@far:color"),
        "3": out("@out image", "1"),
        "4": out("@out depth", "2"),
    },
    "listed": {
        "1": solid("@fill:color", 3),
        "2": node("RebatchImages", images=["1", 0], batch_size=1),
        "3": out("@out image", "2"),
        "4": solid("@far:color", 3),
        "5": out("@out depth", "4"),
    },
    "sampled": {
        "1": node("UNETLoader", unet_name=MODEL, weight_dtype="default"),
        "2": node("LotusConditioning"),
        "3": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "4": node(
            "KSampler",
            "The sampler @seed @steps",
            model=["1", 0],
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["3", 0],
            seed=1,
            steps=4,
            cfg=1.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "5": node("VAELoader", vae_name="pixel_space"),
        "6": node("VAEDecode", samples=["4", 0], vae=["5", 0]),
        "7": out("@out image", "6"),
    },
}


def through(tmp_path, url, test):
    """Run `test(client, told)` with a bridge at this ComfyUI; `told` is all that was told unasked."""
    for name, graph in WORKFLOWS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    doors = {door: {"listen": "127.0.0.1:0"} for door in ("osc", "link", "tcp", "http")}

    async def limited():
        config = load_config(
            None,
            {},
            {
                **doors,
                "backend": [{"url": url, "name": "real"}],
                "workflows": {"folders": [str(tmp_path)]},
                "scheduler": {"warm_up": False},
                "streams": {name: {"workflow": name, "mode": "oneshot"} for name in WORKFLOWS},
            },
        )
        server, told = Server(config), []
        await server.start()
        try:
            async with asyncio.timeout(240), Client(server.addresses.tcp, on_event=told.append) as client:
                await test(client, told)
        finally:
            await server.close()

    asyncio.run(limited())


def fresh():
    """A colour that this ComfyUI has not made yet, as a number."""
    return random.randrange(1 << 24)


def red(frame):
    return int(frame.pixels[0, 0, 0])


def hexed(number):
    return f"#{number:06x}"


async def run(client, stream, **params):
    asked = await client.run(stream, params)
    return await asked.finished(timeout_s=120)


def test_one_set_whichever_branch_is_cached(tmp_path, comfyui_url):
    async def test(client, told):
        frames = await client.subscribe("pair")
        fill, far = fresh(), fresh()
        for cached in (None, True, None):
            finished = await run(client, "pair", fill=hexed(fill), far=hexed(far))
            assert (finished.outcome, finished.frames, finished.cached) == ("done", 1, cached)
            whole = await frames.next_set(timeout_s=30)
            while whole[0].held:
                whole = await frames.next_set(timeout_s=30)
            assert [frame.output for frame in whole] == [0, 1, 2]
            assert [red(frame) for frame in whole] == [fill >> 16, far >> 16, fill >> 16]
            assert {frame.header.request for frame in whole} == {finished.request}
            if cached:
                far = fresh()  # one branch is cached, the other isn't

    through(tmp_path, comfyui_url, test)


def test_a_batch_beside_one_picture_is_no_set(tmp_path, comfyui_url):
    async def test(client, told):
        finished = await run(client, "uneven", fill=hexed(fresh()), far=hexed(fresh()))
        assert (finished.outcome, finished.code, finished.frames) == ("failed", 507, 1)
        assert "depth with 1 of 3" in finished.message

    through(tmp_path, comfyui_url, test)


def test_a_list_beside_a_batch(tmp_path, comfyui_url):
    async def test(client, told):
        frames = await client.subscribe("listed", credit=8)
        finished = await run(client, "listed", fill=hexed(fresh()), far=hexed(fresh()))
        assert (finished.outcome, finished.frames) == ("done", 3)
        whole = await frames.next_set(timeout_s=30)
        while whole[0].number < 3:
            whole = await frames.next_set(timeout_s=30)
        assert [frame.output for frame in whole] == [0, 1]
        assert whole[0].header.index == 2
        assert all(frame.last for frame in whole)

    through(tmp_path, comfyui_url, test)


def test_a_sampler_shows_previews_and_its_progress(tmp_path, comfyui_url):
    with urllib.request.urlopen(f"{comfyui_url}/object_info/UNETLoader", timeout=30) as answer:
        if MODEL not in answer.read().decode():
            pytest.skip(f"this ComfyUI has no {MODEL}: see tiny_unet.py")
    with urllib.request.urlopen(f"{comfyui_url}/system_stats", timeout=30) as answer:
        if "--preview-method" not in json.load(answer)["system"]["argv"]:
            pytest.skip("this ComfyUI was started without --preview-method")

    async def test(client, told):
        frames = await client.subscribe("sampled", previews=True)
        asked = await client.run("sampled", {"steps": 4}, seed=fresh())
        came = []
        while not came or came[-1].preview:
            frame = await frames.next(timeout_s=120)
            if not frame.held:
                came.append(frame)
        finished = await asked.finished(timeout_s=30)
        assert (finished.outcome, finished.frames) == ("done", 1)
        *previews, result = came
        assert previews
        for frame in previews:
            assert (frame.number, frame.header.request, frame.header.index) == (result.number, asked.request, 0)
            assert max(frame.header.width, frame.header.height) == 512
        assert (result.header.width, result.header.height) == (8, 8)
        steps = [event for event in told if isinstance(event, Progress) and event.request == asked.request]
        wholes = [step.whole for step in steps]
        assert wholes == sorted(wholes)
        assert wholes[-1] == 1.0
        assert {(step.node, step.max) for step in steps} >= {("The sampler", 4)}

    through(tmp_path, comfyui_url, test)
