"""The node pack over real sockets: equal pixels on every way, stock nodes when the pack fails, pictures from memory."""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, color, node, run, solid, write_workflow
from fault_proxy import FaultProxy
from PIL import Image

from bridge.codec.messages import Run
from bridge.embedded import EmbeddedServer
from bridge.embedded.catalog import CATALOG
from bridge.embedded.routes import Routes
from bridge.types import OutputKind

GRAPHS = {
    "grain": {
        "1": solid("@fill:color", width=40, height=24),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
    "cutout": {
        "1": solid("@fill:color", width=40, height=24),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SolidMask", value=0.3, width=40, height=24),
        "4": node("JoinImageWithAlpha", image=["2", 0], alpha=["3", 0]),
        "5": node("SaveImage", "@out image", images=["4", 0], filename_prefix="x"),
    },
    "depth": {
        "1": solid("@fill:color", width=40, height=24),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SaveImageWebsocket", "@out depth", images=["2", 0]),
    },
}


def write_graphs(folder):
    for name, graph in GRAPHS.items():
        write_workflow(folder, name, graph)


def rig(folder, workflow="solid", **backend):
    write_graphs(folder)
    made = AppRig(folder, {"main": {"workflow": workflow, "mode": "oneshot"}})
    made.more_of_backend = backend
    return made


async def one(engine, **params):
    """Run once; give the answer and the new frame's pixels."""
    request = await engine.run(params=params)
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer
    frame = await engine.frame(lambda frame: frame.header.request == request)
    return answer, frame.pixels


@pytest.mark.parametrize("workflow", GRAPHS)
def test_pixels_are_equal_on_every_way(tmp_path, workflow):
    shown = {}
    for transfer, quality, word in (("png", 90, "png"), ("auto", 90, "raw"), ("raw", 90, "raw"), ("webp", 100, "webp")):

        async def test(transfer=transfer, quality=quality, word=word):
            async with rig(tmp_path, workflow, transfer=transfer, transfer_quality=quality) as bridge:
                engine = await bridge.engine()
                await engine.subscribe()
                answer, pixels = await one(engine, fill=color(0x20A0F0), strength=0.4)
                assert answer.timing["transfer"] == ("png" if workflow == "depth" and word == "webp" else word)
                stock = transfer == "png"
                classes = {entry["class_type"] for entry in bridge.gate.graphs[0].values()}
                assert ("TexBridgeOutput" in classes) is not stock
                shown[transfer] = pixels

        run(test)
    for transfer, pixels in shown.items():
        assert (pixels == shown["png"]).all(), transfer


def test_jpeg_looks_like_it(tmp_path):
    async def test():
        async with rig(tmp_path, transfer="jpeg") as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            answer, pixels = await one(engine, fill=color(0x20A0F0))
            assert answer.timing["transfer"] == "jpeg"
            assert np.abs(pixels[..., :3].astype(int) - [0x20, 0xA0, 0xF0]).max() <= 3

    run(test)


def test_a_cached_prompt_sends_its_picture_again_and_batches_are_whole(tmp_path):
    async def test():
        async with rig(tmp_path, "batch") as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            for _ in range(2):
                request = await engine.run(params={"fill": color(7), "count": 3})
                (answer,) = await engine.finish(request)
                assert (answer.outcome, answer.frames) == ("done", 3)
            assert answer.cached is True

    run(test)


def test_it_is_told_which_way_pictures_come(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            url = f"http://{bridge.server.addresses.http}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as got:
                assert (await got.json())["transfer"] == {"comfy": "raw"}
            info = bridge.bridge.backends.get("comfy").info()
            assert info["nodes"]["version"] == "embedded"
            assert info["nodes"]["used"] is True

    run(test)


def broken(*_, **__):
    raise ValueError("a bug in the node")


def test_a_node_that_fails_is_left_alone_and_the_request_made_by_stock_nodes(tmp_path, monkeypatch):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            monkeypatch.setattr(CATALOG["TexBridgeOutput"].__class__, "__setattr__", object.__setattr__)
            monkeypatch.setattr(CATALOG["TexBridgeOutput"], "function", broken)
            answer, _ = await one(engine, fill=color(9))
            assert answer.timing["transfer"] == "png"
            answer, _ = await one(engine, fill=color(10))
            assert answer.timing["transfer"] == "png"
            classes = [graph["2"]["class_type"] for graph in bridge.gate.graphs]
            assert classes == ["TexBridgeOutput", "SaveImageWebsocket", "SaveImageWebsocket"]
            assert "a bug in the node" in bridge.bridge.backends.get("comfy").info()["nodes"]["problem"]

    run(test)


@pytest.mark.parametrize("length", [-1, 60, 5])
def test_a_picture_that_comes_broken_is_made_by_stock_nodes(tmp_path, length):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            outbound = bridge.comfy._executor.outbound
            send = outbound.send_bytes

            def send_cut(data, client_id):
                send(data[:length] if data[:4] == b"TXN1" else data, client_id)

            outbound.send_bytes = send_cut
            answer, _ = await one(engine, fill=color(9))
            assert (answer.frames, answer.timing["transfer"]) == (1, "png")
            classes = [graph["2"]["class_type"] for graph in bridge.gate.graphs]
            assert classes == ["TexBridgeOutput", "SaveImageWebsocket"]

    run(test)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: None, "nothing else came in its place"),
        (lambda data: b"TXN2" + data[4:], "a binary message of unknown type 0x54584e32"),
        (lambda data: data.replace(data[48:84], b"0" * 36), "a raw picture of another prompt"),
    ],
    ids=["nothing", "another magic", "another prompt"],
)
def test_an_output_that_sends_nothing_of_its_own_has_failed_and_stock_nodes_make_the_picture(tmp_path, change, told):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            outbound = bridge.comfy._executor.outbound
            send = outbound.send_bytes

            def send_changed(data, client_id):
                changed = change(data) if data[:4] == b"TXN1" else data
                if changed is not None:
                    send(changed, client_id)

            outbound.send_bytes = send_changed
            answer, _ = await one(engine, fill=color(9))
            assert (answer.frames, answer.timing["transfer"]) == (1, "png")
            classes = [graph["2"]["class_type"] for graph in bridge.gate.graphs]
            assert classes == ["TexBridgeOutput", "SaveImageWebsocket"]
            assert told in bridge.bridge.backends.get("comfy").info()["nodes"]["problem"]

    run(test)


def test_a_comfyui_that_came_back_without_the_pack(tmp_path, monkeypatch):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            answer, _ = await one(engine, fill=color(9))
            assert answer.timing["transfer"] == "raw"
            for name in ("TexBridgeOutput", "TexBridgeInput", "TexBridgeInputMask"):
                monkeypatch.delitem(CATALOG, name)
            answer, _ = await one(engine, fill=color(10))
            assert answer.timing["transfer"] == "png"
            assert not bridge.bridge.backends.get("comfy").nodes.usable

    run(test)


def photo(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 32, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return {"encoded": file.getvalue()}, pixels


def test_a_picture_that_is_gone_from_memory_is_sent_again(tmp_path):
    async def test():
        async with rig(tmp_path, "photo") as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            value, pixels = photo(1)
            _, shown = await one(engine, picture=value)
            assert bridge.gate.graphs[0]["1"]["class_type"] == "TexBridgeInput"
            bridge.comfy._files.pictures.clear()  # as after a while, or in a ComfyUI that was started again
            bridge.comfy._executor.forget()
            _, again = await one(engine, picture=value)
            assert (shown == again).all()
            assert np.abs(shown[..., :3].astype(int) - pixels).max() <= 1
            assert bridge.gate.graphs[-1]["1"]["class_type"] == "TexBridgeInput"

    run(test)


def lying(comfy):
    """The names of the pictures in the memory of an embedded ComfyUI."""
    return {ticket.rpartition("/")[2] for ticket in comfy._files.pictures._pictures}


@pytest.mark.parametrize("raw", [False, True])
def test_a_bridge_that_ends_takes_its_pictures_out(tmp_path, raw):
    async def test():
        write_graphs(tmp_path)
        streams = {"main": {"workflow": "photo", "mode": "oneshot"}}
        async with EmbeddedServer() as comfy:
            backend = [{"url": comfy.url, "name": "comfy"}]
            async with AppRig(tmp_path, streams, comfy=False, backend=backend) as bridge:
                await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
                engine = await bridge.engine()
                await engine.subscribe()
                for seed in (1, 2):
                    await one(engine, picture=as_value(seed, raw))
                assert len(lying(comfy)) == 2
            assert lying(comfy) == set()

    run(test)


@pytest.mark.parametrize("raw", [False, True])
def test_a_stream_that_is_gone_takes_out_what_was_nobody_elses(tmp_path, raw):
    async def test():
        async with rig(tmp_path, "photo") as bridge:
            engine = await bridge.engine()
            opened = await engine.open("other", "photo")
            await engine.subscribe()
            await engine.subscribe("other")
            await one(engine, picture=as_value(1, raw))
            mine = lying(bridge.comfy)
            for seed in (1, 2, 3):
                await engine.finish(await engine.run("other", params={"picture": as_value(seed, raw)}))
            assert len(lying(bridge.comfy)) == (4 if raw else 3)  # a file is the same whoever sends it
            bridge.bridge.pictures.forget_stream(opened.number)
            backend = bridge.bridge.backends.get("comfy")
            await asyncio.gather(*backend._chores._tasks)
            assert lying(bridge.comfy) == mine
            # Sent again where it is needed again.
            await engine.finish(await engine.run("other", params={"picture": as_value(3, raw)}))
            assert len(lying(bridge.comfy)) == 2

    run(test)


@pytest.mark.parametrize("raw", [False, True])
def test_a_camera_keeps_no_more_than_prompts_may_need(tmp_path, raw):
    async def test():
        async with rig(tmp_path, "photo") as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            for seed in (*range(1, 10), 2):  # one that went long ago is sent again
                _, shown = await one(engine, picture=as_value(seed, raw))
                assert len(lying(bridge.comfy)) <= 4
            assert np.abs(shown[..., :3].astype(int) - photo(2)[1]).max() <= 1
            assert {graph["1"]["class_type"] for graph in bridge.gate.graphs} == {"TexBridgeInput"}
            assert len(bridge.gate.graphs) == 10  # none had to be made twice

    run(test)


def as_value(seed, raw):
    value, pixels = photo(seed)
    if not raw:
        return value
    height, width = pixels.shape[:2]
    return {"width": width, "height": height, "format": "rgb8", "origin": "top_left", "data": pixels.tobytes()}


def no_room(request):
    return aiohttp.web.json_response({"error": "no room for 1 bytes: 256 pictures of other sessions"}, status=503)


def no_pack(request):
    return aiohttp.web.Response(text="404: Not Found", status=404)


@pytest.mark.parametrize("answer", [no_room, no_pack])
@pytest.mark.parametrize("raw", [False, True])
def test_a_picture_that_the_pack_refuses_goes_as_a_file(tmp_path, monkeypatch, answer, raw):
    async def refuse(self, request):
        await request.read()
        return answer(request)

    monkeypatch.setattr(Routes, "post_texbridge_image", refuse)

    async def test():
        async with rig(tmp_path, "photo") as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            value, pixels = photo(3)
            if raw:
                height, width = pixels.shape[:2]
                data = pixels.astype(np.uint8).tobytes()
                value = {"width": width, "height": height, "format": "rgb8", "origin": "top_left", "data": data}
            for _ in range(2):
                result, shown = await one(engine, picture=value)
                assert bridge.gate.graphs[-1]["1"]["class_type"] == "LoadImage"
                assert shown.shape[:2] == pixels.shape[:2]
                assert result.timing["transfer"] == "raw"  # the way out is as good as before
            assert "took no picture" in bridge.bridge.backends.get("comfy").nodes.problem

    run(test)


def test_stock_nodes_take_the_picture_as_a_file(tmp_path):
    async def test():
        async with rig(tmp_path, "photo", transfer="png") as bridge:
            engine = await bridge.engine()
            await engine.subscribe()
            value, pixels = photo(2)
            _, shown = await one(engine, picture=value)
            assert bridge.gate.graphs[0]["1"]["class_type"] == "LoadImage"
            assert np.abs(shown[..., :3].astype(int) - pixels).max() <= 1

    run(test)


def test_a_slow_link_gets_files_and_numbers_stay_exact(tmp_path):
    async def test():
        async with rig(tmp_path, "pair") as bridge:
            transfer = bridge.bridge.backends.get("comfy").nodes.transfer
            for _ in range(4):
                transfer.came(3 << 20, 1.2, 3 << 20)
            assert transfer.word() == "jpeg"
            assert transfer.word(OutputKind.DATA) == "png"
            engine = await bridge.engine()
            request = await engine.run(params={"fill": color(9)})
            await engine.finish(request)
            graph = bridge.gate.graphs[0]
            assert [graph[number]["inputs"]["format"] for number in ("3", "4")] == ["jpeg", "png"]
            assert [graph[number]["inputs"]["linear"] for number in ("3", "4")] == [False, True]

    run(test)


def test_a_run_is_not_shown_to_other_clients_of_the_comfyui(tmp_path):
    async def test():
        async with (
            rig(tmp_path) as bridge,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{bridge.comfy.url}/ws?clientId=other") as socket,
        ):
            engine = await bridge.engine()
            await engine.finish(await engine.run(params={"fill": color(9)}))
            graph = {"1": solid(""), "2": node("TexBridgeOutput", images=["1", 0])}
            body = {"prompt": graph, "client_id": "other", "prompt_id": "theirs"}
            async with session.post(f"{bridge.comfy.url}/prompt", json=body) as got:
                assert got.status == 200
            seen = []
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    seen.append(message.data)
                elif message.json()["type"] == "execution_success":
                    break
            assert len(seen) == 1
            assert b"theirs" in seen[0]
            assert bridge.bridge.backends.get("comfy").info()["counts"]["pictures"] == 1

    run(test)


def test_many_runs_have_one_answer_each(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            for value in range(1, 31):
                engine.send(Run(stream="main", params={"fill": color(value)}, id=value))
            await engine.until(lambda: len(engine.finished) == 30, "thirty answers")
            assert {answer.outcome for answer in engine.finished.values()} == {"done"}
            assert {answer.timing["transfer"] for answer in engine.finished.values()} == {"raw"}

    run(test)


def test_auto_measures_a_tunnel_and_takes_files(tmp_path):
    """At most 64 KiB each 20 ms: about 25 Mbit/s. Raw, a picture of 786 KB takes a quarter of a second there."""

    async def test():
        async with EmbeddedServer() as comfy, FaultProxy(comfy.port) as proxy:
            proxy.latency_s = 0.02
            write_graphs(tmp_path)
            streams = {"main": {"workflow": "grain", "mode": "oneshot"}}
            backend = [{"url": proxy.url, "name": "comfy"}]
            write_workflow(tmp_path, "grain", {**GRAPHS["grain"], "1": solid("@fill:color", width=512, height=512)})
            async with AppRig(tmp_path, streams, comfy=False, backend=backend) as bridge:
                await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
                engine = await bridge.engine()
                ways = []
                for value in range(6):
                    (answer,) = await engine.finish(await engine.run(params={"fill": color(value), "strength": 0.1}))
                    ways.append(answer.timing["transfer"])
                assert ways == ["raw"] * 3 + ["jpeg"] * 3
                assert bridge.bridge.backends.get("comfy").info()["transfer"] == "jpeg"

    run(test)
