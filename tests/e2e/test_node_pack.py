"""The node pack in a real ComfyUI: the pixels of every way are equal, and what goes wrong is told.

Skipped where the ComfyUI of COMFYUI_URL has no pack: `texbridge nodes install PATH` brings it.
"""

import io
import json
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlsplit

import numpy as np
import pytest
from app_rig import AppRig, color, node, run, solid, write_workflow
from PIL import Image

LIMIT_S = 60.0
"""A ComfyUI that runs other tests' prompts on the same processors answers late: seen over 10 s."""
SIZE = (200, 120)
FILL = {"width": SIZE[0], "height": SIZE[1]}
GRAPHS = {
    "grain": {
        "1": solid("@fill:color", **FILL),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SaveImage", "@out image", images=["2", 0], filename_prefix="x"),
    },
    "cutout": {
        "1": solid("@fill:color", **FILL),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SolidMask", value=0.3, width=SIZE[0], height=SIZE[1]),
        "4": node("JoinImageWithAlpha", image=["2", 0], alpha=["3", 0]),
        "5": node("SaveImageWebsocket", "@out image", images=["4", 0]),
    },
    "twice": {
        "1": solid("@fill:color", **FILL),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
        "4": node("SaveImageWebsocket", "@out image", images=["3", 0]),
    },
    "photo": {
        "1": node("LoadImage", "@picture:image", image="a.png"),
        "2": node("ImageBlur", "", image=["1", 0], blur_radius=2, sigma=0.7),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
    "stencil": {
        "1": node("LoadImageMask", "@picture:image", image="a.png", channel="green"),
        "2": node("MaskToImage", "", mask=["1", 0]),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
}
WAYS = [("png", 90, "png"), ("raw", 90, "raw"), ("webp", 100, "webp")]


def rig(folder, url, workflow, transfer, quality=90):
    for name, graph in GRAPHS.items():
        write_workflow(folder, name, graph)
    backend = {"url": url, "name": "comfy", "transfer": transfer, "transfer_quality": quality}
    return AppRig(folder, {"main": {"workflow": workflow, "mode": "oneshot"}}, comfy=False, backend=[backend])


async def frames_of(bridge, engine, **params):
    """Run once; the pixels of all frames, and the word of the way they came."""
    request = await engine.run(params=params)
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer

    def mine():
        return [frame.pixels for frame in engine.frames if frame.header.request == request]

    await engine.until(lambda: len(mine()) == answer.frames, "its frames")
    return mine(), answer.timing["transfer"]


def picture(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 4), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return {"encoded": file.getvalue()}


@pytest.mark.parametrize("workflow", GRAPHS)
def test_pixels_are_equal_on_every_way(tmp_path, comfyui_url, with_pack, workflow):
    shown = {}
    for transfer, quality, word in WAYS:

        async def test(transfer=transfer, quality=quality, word=word):
            async with rig(tmp_path, comfyui_url, workflow, transfer, quality) as bridge:
                await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
                engine = await bridge.engine()
                await engine.subscribe(credit=8)
                params = {"picture": picture(1)} if workflow in ("photo", "stencil") else {"fill": color(0x20A0F0)}
                shown[transfer], way = await frames_of(bridge, engine, **params)
                assert way == word
                again, _ = await frames_of(bridge, engine, **params)  # all is cached but the output
                assert all((one == two).all() for one, two in zip(shown[transfer], again, strict=True))

        run(test)
    assert len(shown["png"]) == (2 if workflow == "twice" else 1)
    for transfer, frames in shown.items():
        assert all((one == two).all() for one, two in zip(frames, shown["png"], strict=True)), transfer


def test_jpeg_looks_like_it_and_alpha_comes_as_webp(tmp_path, comfyui_url, with_pack):
    for workflow, word in (("grain", "jpeg"), ("cutout", "webp")):

        async def test(workflow=workflow, word=word):
            async with rig(tmp_path, comfyui_url, workflow, "jpeg") as bridge:
                await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
                engine = await bridge.engine()
                await engine.subscribe()
                (pixels,), way = await frames_of(bridge, engine, fill=color(0x20A0F0), strength=0.0)
                assert way == word
                assert np.abs(pixels[..., :3].astype(int) - [0x20, 0xA0, 0xF0]).max() <= 4
                if word == "webp":
                    assert set(np.unique(pixels[..., 3])) == {178}

        run(test)


def post(url, query, data, secret="s" * 32, **headers):
    headers = {"X-TexBridge-Session": secret, **headers}
    request = urllib.request.Request(f"{url}/texbridge/image?{query}", data=data, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as got:
            return got.status, json.load(got)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def begin_post(url, secret, body_bytes):
    """A POST whose head is sent and whose body isn't."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    sender = socket.create_connection((host, port), timeout=LIMIT_S)
    head = f"POST /texbridge/image?name=big&format=png HTTP/1.1\r\nHost: {host}:{port}\r\n"
    sender.sendall(f"{head}X-TexBridge-Session: {secret}\r\nContent-Length: {body_bytes}\r\n\r\n".encode())
    return sender


def status_of(sender):
    return int(sender.recv(4096).split()[1])


def test_pictures_under_way_count_against_the_memory(comfyui_url, with_pack):
    limits, secret = with_pack["limits"], "u" * 32
    most, room = limits["picture_bytes"], limits["session_bytes"]
    assert room % most == 0
    good = "name=e2e&format=rgb8&width=2&height=1"
    with ExitStack() as senders:
        for _ in range(room // most):
            sender = senders.enter_context(begin_post(comfyui_url, secret, most))
            sender.sendall(b"x")
        with begin_post(comfyui_url, secret, most) as one_more:
            assert status_of(one_more) == 503
        assert post(comfyui_url, good, b"123456", secret=secret)[0] == 503
        assert post(comfyui_url, good, b"123456", secret="v" * 32)[0] == 200
    # Cut off: nothing of them is left. ComfyUI notices when it reads their sockets' ends.
    for _ in range(100):
        status, _ = post(comfyui_url, good, b"123456", secret=secret)
        if status == 200:
            break
    assert status == 200


def test_what_is_refused(comfyui_url, with_pack):
    good = "name=e2e&format=rgb8&width=2&height=1"
    assert post(comfyui_url, good, b"123456")[0] == 200
    assert post(comfyui_url, good, b"12345")[0] == 400
    assert post(comfyui_url, good, b"123456", **{"Content-Encoding": "gzip"})[0] == 400
    assert post(comfyui_url, good, b"123456", secret="short")[0] == 401
    assert post(comfyui_url, "name=e2e&format=gif", b"GIF89a")[0] == 400
    assert post(comfyui_url, "name=../x&format=png", b"x")[0] == 400
    prompt = {
        "1": node("TexBridgeInput", picture="nobody/none"),
        "2": node("TexBridgeOutput", images=["1", 0]),
    }
    request = urllib.request.Request(f"{comfyui_url}/prompt", data=json.dumps({"prompt": prompt}).encode())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=LIMIT_S)
    told = json.load(refused.value)
    refused.value.close()
    assert refused.value.code == 400
    assert "is not here" in told["node_errors"]["1"]["errors"][0]["details"]
