"""Half floats of the node pack in a real ComfyUI: to the bit those of the embedded server, and every step there is.

Skipped where the ComfyUI of COMFYUI_URL has no pack.
"""

import asyncio
import json
import uuid

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, color, run, write_workflow

from bridge.codec.comfy_events import decode_binary
from bridge.codec.node_events import NodeEvent
from bridge.embedded import EmbeddedServer

LIMIT_S = 60.0
STEPS = np.arange(1001, dtype=np.float32) / np.float32(1000)
BEYOND = np.array([-2, -1e-7, 1.0004, 3, 70_000, 1e-6, 0.33333, 0.5], np.float32)


def rows():
    """A gradient in steps of 1/1000 up and down, and numbers beyond full scale: [2, 1009, 4] floats."""
    up = np.concatenate((STEPS, BEYOND))
    made = np.stack((up, up[::-1]))[..., None].repeat(4, axis=2)
    made[..., 1] *= np.float32(0.7)
    made[..., 3] = np.clip(made[..., 3], 0, 1)
    return made


async def sent(url, graph):
    """The node event that a prompt sends. Its input `picture` is sent before."""
    client = uuid.uuid4().hex
    floats = rows()
    async with aiohttp.ClientSession(url) as session:
        query = {"name": "steps", "format": "rgba32f", "width": str(floats.shape[1]), "height": "2"}
        headers = {"X-TexBridge-Session": "f" * 32}
        async with session.post("/texbridge/image", params=query, data=floats.tobytes(), headers=headers) as answer:
            ticket = (await answer.json())["picture"]
        graph["1"]["inputs"]["picture"] = ticket
        async with session.ws_connect(f"/ws?clientId={client}", max_msg_size=0) as socket:
            async with session.post("/prompt", json={"prompt": graph, "client_id": client}) as answer:
                assert answer.status == 200, await answer.text()
            async with asyncio.timeout(LIMIT_S):
                async for message in socket:
                    assert "execution_error" not in str(message.data)[:200], message.data
                    if message.type is aiohttp.WSMsgType.BINARY:
                        event = decode_binary(message.data)
                        if isinstance(event, NodeEvent):
                            return event
    raise AssertionError("no picture came")


def of(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


GRAPHS = {
    "colour": {"1": of("TexBridgeInput"), "2": of("TexBridgeOutput", images=["1", 0], format="raw16f")},
    "with alpha": {
        "1": of("TexBridgeInput"),
        "2": of("JoinImageWithAlpha", image=["1", 0], alpha=["1", 1]),
        "3": of("TexBridgeOutput", images=["2", 0], format="raw16f"),
    },
    "mask": {"1": of("TexBridgeInput"), "2": of("TexBridgeOutput", mask=["1", 1], format="raw16f")},
    "mask of 16 bits": {"1": of("TexBridgeInput"), "2": of("TexBridgeOutput", mask=["1", 1], format="raw16")},
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_embedded_server_sends_the_same_bits(comfyui_url, with_pack, name):
    async def test():
        async with EmbeddedServer() as server:
            one = await sent(server.url, json.loads(json.dumps(GRAPHS[name])))
        two = await sent(comfyui_url, json.loads(json.dumps(GRAPHS[name])))
        assert (one.format, one.channels, one.width) == (two.format, two.channels, two.width)
        assert bytes(one.data) == bytes(two.data)
        assert len(np.unique(np.frombuffer(two.data, "<u2"))) > 990

    run(test)


@pytest.mark.parametrize("word", ["rgba16f", "r16", "r32f"])
def test_every_step_comes_out_of_a_real_comfyui(tmp_path, comfyui_url, with_pack, word):
    write_workflow(tmp_path, "ramp", RAMP, BINDING)
    backend = {"url": comfyui_url, "name": "comfy"}
    rig = AppRig(tmp_path, {"main": {"workflow": "ramp", "mode": "oneshot"}}, comfy=False, backend=[backend])

    async def test():
        async with rig as bridge:
            await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
            engine = await bridge.engine()
            await engine.subscribe(format=word)
            request = await engine.run(params={"fill": color(0)})
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.timing["transfer"]) == ("done", "raw16f")
            frame = await engine.frame(lambda frame: frame.header.request == request)
            dtype, depth = {"rgba16f": ("<f2", 4), "r16": ("<u2", 1), "r32f": ("<f4", 1)}[word]
            row = np.frombuffer(frame.data, dtype).reshape(2, 2048, depth)[0, :, 0]
            exact = np.clip((np.arange(2048) + 0.5 - 512) / 1024, 0, 1)
            assert np.abs(row / (65535 if word == "r16" else 1) - exact).max() < 3e-4
            assert len(np.unique(row)) > 1000

    run(test)


BINDING = '[parameters.fill]\ninput = "1.color"\n[outputs.depth]\nnode = "5"\nbits = 16\n'
RAMP = {
    "1": of("EmptyImage", width=2, height=1, batch_size=1, color=0),
    "2": of("EmptyImage", width=1, height=1, batch_size=1, color=0xFFFFFF),
    "3": of("ImageCompositeMasked", destination=["1", 0], source=["2", 0], x=1, y=0, resize_source=False),
    "4": of("ImageScale", image=["3", 0], upscale_method="bilinear", width=2048, height=2, crop="disabled"),
    "5": of("PreviewImage", images=["4", 0]),
}
"""From black to white in 1,024 steps."""
