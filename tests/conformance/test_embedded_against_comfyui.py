"""Random prompts, played to the embedded server and to the ComfyUI at COMFYUI_URL: order, caches and refusals agree.

Needs a real ComfyUI. TEXBRIDGE_RANDOM_SEED and TEXBRIDGE_RANDOM_PROMPTS choose other prompts, and how many.
"""

import asyncio
import copy
import json
import os
import random
import uuid

import aiohttp
import pytest
from comfy_comparison import Names, differences

from bridge.embedded import EmbeddedServer

COMFYUI_URL = os.environ.get("COMFYUI_URL", "").rstrip("/")
SEED = int(os.environ.get("TEXBRIDGE_RANDOM_SEED", "1"))
PROMPTS = int(os.environ.get("TEXBRIDGE_RANDOM_PROMPTS", "150"))
PYTHONS_OWN = ("AttributeError", "TypeError")
"""Errors whose words name a method of the node's own code: a value of a wrong type got as far as the node."""


def make_graph(chance: random.Random) -> dict:
    """Up to nine nodes over each other in any way, one output; now and then something wrong in it.

    Two inputs of one node never take the same faulty one: in ComfyUI the order of a set decides which is blamed.
    """
    ids = [str(index) for index in range(chance.randint(2, 9))]
    chance.shuffle(ids)
    graph: dict = {}
    for index, node_id in enumerate(ids):
        sources = chance.sample(ids[:index], min(index, 2))
        kind = chance.random()
        if not sources or kind < 0.2:
            inputs = {"width": 8, "height": 8, "batch_size": 1, "color": chance.randint(0, 3)}
            graph[node_id] = {"class_type": "EmptyImage", "inputs": inputs}
        elif kind < 0.5:
            graph[node_id] = {"class_type": "ImageInvert", "inputs": {"image": [sources[0], 0]}}
        elif kind < 0.6 or len(sources) < 2:
            inputs = {"image": [sources[0], 0], "blur_radius": chance.choice([1, 2, 2, 2, 99]), "sigma": 1.0}
            graph[node_id] = {"class_type": "ImageBlur", "inputs": inputs}
        else:
            inputs = {"image1": [sources[0], 0], "image2": [sources[1], 0], "blend_factor": 0.5, "blend_mode": "screen"}
            graph[node_id] = {"class_type": "ImageBlend", "inputs": inputs}
    if chance.random() < 0.1:
        faulty = graph[chance.choice(ids)]["inputs"]
        faulty[chance.choice(list(faulty))] = chance.choice([["zz", 0], "x", None, [1, 2, 3], [ids[0], 1]])
    output = chance.choice(["SaveImageWebsocket", "PreviewImage"])
    graph["out"] = {"class_type": output, "inputs": {"images": [chance.choice(ids), 0]}}
    nodes = list(graph.items())
    chance.shuffle(nodes)
    return dict(nodes)


def make_prompts() -> list[dict]:
    """Graphs, each second one again with another value here and there, so that caches matter."""
    chance = random.Random(SEED)
    prompts = []
    while len(prompts) < PROMPTS:
        prompts.append(make_graph(chance))
        if chance.random() < 0.5:
            again = copy.deepcopy(prompts[-1])
            for node in again.values():
                if node["class_type"] == "ImageBlur" and chance.random() < 0.5:
                    node["inputs"]["sigma"] = 2.0
            prompts.append(again)
    return prompts


async def answers(url: str, prompts: list[dict]) -> list[list]:
    """For each prompt [status, body, event, ...], without `status` events; a frame is "binary"."""
    found = []
    client = uuid.uuid4().hex
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws?clientId={client}") as socket:
        await session.post(f"{url}/free", json={"free_memory": True})
        await asyncio.sleep(0.7)
        for prompt in prompts:
            async with session.post(f"{url}/prompt", json={"prompt": prompt, "client_id": client}) as answer:
                lines: list = [answer.status, await answer.json()]
            while lines[0] == 200:
                message = await socket.receive(timeout=30)
                if message.type is aiohttp.WSMsgType.BINARY:
                    lines.append("binary")
                    continue
                event = json.loads(message.data)
                if event["type"] == "execution_error" and event["data"]["exception_type"] in PYTHONS_OWN:
                    event["data"]["exception_message"] = ""
                if event["type"] != "status":
                    lines.append(event)
                if event["type"] == "executing" and event["data"]["node"] is None:
                    break
            found.append(lines)
    return found


async def both() -> tuple[list[list], list[list]]:
    prompts = make_prompts()
    async with EmbeddedServer() as server:
        return await answers(COMFYUI_URL, prompts), await answers(server.url, prompts)


@pytest.mark.real_comfyui
@pytest.mark.skipif(not COMFYUI_URL, reason="needs a real ComfyUI: set COMFYUI_URL")
def test_random_prompts() -> None:
    names = Names()
    real, embedded = asyncio.run(both())
    for prompt, one, other in zip(make_prompts(), real, embedded, strict=True):
        found = differences(one, other, names)
        assert not found, "\n".join([json.dumps(prompt), *found])
