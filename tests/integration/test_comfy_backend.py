"""The backend against a ComfyUI that behaves: the embedded one, and a real one where COMFYUI_URL names it."""

import asyncio
import contextlib
import io
import os
import threading
import uuid

import aiohttp
import pytest
from backend_listener import TERMINAL, backend_at, graph
from fault_proxy import FaultProxy
from PIL import Image

from bridge.backends.records import BackendPicture
from bridge.embedded.server import EmbeddedServer
from bridge.errors import ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptStarted,
    AttemptWithdrawn,
    BackendUp,
)

REAL = os.environ.get("COMFYUI_URL")
SERVERS = [
    "embedded",
    pytest.param(
        "real",
        marks=[pytest.mark.real_comfyui, pytest.mark.skipif(not REAL, reason="COMFYUI_URL names no real ComfyUI")],
    ),
]
LONG = {"size": 768, "blurs": 30, "radius": 15}
"""A run of seconds on a real ComfyUI, unless it is interrupted."""


@contextlib.asynccontextmanager
async def comfy(kind, delay_ms=0, held=None):
    """Its address. With `held`, an event, nodes of the embedded one run once that is set."""
    if kind == "real":
        yield REAL
        return
    before = None if held is None else lambda *_: held.wait(20)
    async with EmbeddedServer(step_delay_ms=delay_ms, before_node=before) as server:
        try:
            yield server.url
        finally:
            if held is not None:
                held.set()


def port_of(url):
    return int(url.rstrip("/").rsplit(":", 1)[1])


def long_graph(kind, color):
    return graph(color, **LONG) if kind == "real" else graph(color)


colors = iter(range(0x204060, 0xFFFFFF, 0x0101))


def fresh_color():
    """One that this ComfyUI hasn't cached."""
    return (next(colors) + uuid.uuid4().int) % 0xFFFFFF


@pytest.mark.parametrize("kind", SERVERS)
def test_a_prompt_gives_its_pictures_and_one_end(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            assert b"SaveImageWebsocket" in backend.object_info
            backend.submit(7, graph(0x336699, batch=3, blurs=0), {"9": 2})
            assert await listener.end_of(7) == AttemptEnded(7)
            assert len(listener.of(AttemptPosted, 7)) == len(listener.of(AttemptStarted, 7)) == 1
            pictures = listener.pictures(7)
            assert [(p.node_id, p.output, p.index, p.image_format) for p in pictures] == [
                ("9", 2, 0, "png"),
                ("9", 2, 1, "png"),
                ("9", 2, 2, "png"),
            ]
            for picture in pictures:
                assert Image.open(io.BytesIO(picture.data)).getpixel((0, 0)) == (0x33, 0x66, 0x99)
                assert picture.posted_at < picture.at
            kinds = [type(r) for r in listener.records if isinstance(r, (BackendPicture, *TERMINAL))]
            assert kinds == [BackendPicture] * 3 + [AttemptEnded]
            assert backend.info()["version"]

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_many_prompts_each_get_one_end(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            for number in range(20):
                backend.submit(number, graph(fresh_color()), {"9": 0})
            for number in range(20):
                assert await listener.end_of(number) == AttemptEnded(number)
                assert len(listener.pictures(number)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_cached_rerun_sends_its_picture_again_and_a_preview_image_none(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            same = graph(fresh_color())
            for number in (1, 2):
                backend.submit(number, same, {"9": 0})
                assert await listener.end_of(number) == AttemptEnded(number)
                assert len(listener.pictures(number)) == 1
            files = graph(fresh_color(), end="PreviewImage")
            for number in (3, 4):
                backend.submit(number, files, {"9": 0})
                end = await listener.end_of(number)
                assert isinstance(end, AttemptEnded)
                assert end.error.code is ErrorCode.NO_IMAGE
                assert listener.pictures(number) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_large_picture_passes(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            prompt = graph(fresh_color(), size=1024, blurs=0)
            prompt["5"] = {"class_type": "ImageAddNoise", "inputs": {"image": ["1", 0], "seed": 3, "strength": 1.0}}
            prompt["9"]["inputs"]["images"] = ["5", 0]
            backend.submit(1, prompt, {"9": 0})
            assert await listener.end_of(1) == AttemptEnded(1)
            assert len(listener.pictures(1)[0].data) > 1 << 20  # what `websockets` takes by default

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_an_upload_is_used_and_one_that_is_no_picture_fails_with_words(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), (10, 20, 30)).save(buffer, "PNG")
            name = await backend.store_picture(buffer.getvalue(), "abc123", "photo", 1)
            assert name.startswith("texbridge/")
            assert await backend.store_picture(b"not sent again", "abc123", "photo", 2) == name
            assert backend.find_picture("abc123", 3) == name
            prompt = {
                "1": {"class_type": "LoadImage", "inputs": {"image": name}},
                "9": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
            }
            backend.submit(1, prompt, {"9": 0})
            assert await listener.end_of(1) == AttemptEnded(1)
            assert Image.open(io.BytesIO(listener.pictures(1)[0].data)).getpixel((0, 0)) == (10, 20, 30)
            prompt["1"]["inputs"]["image"] = await backend.store_picture(uuid.uuid4().bytes, "bad123", "photo", 2)
            backend.submit(2, prompt, {"9": 0})
            ended = await listener.end_of(2)
            assert ended.error.code is ErrorCode.EXECUTION_FAILED
            assert ended.error.message.startswith("node 1 (LoadImage) failed: PIL.UnidentifiedImageError")
            assert "Traceback" not in ended.error.message
            backend.submit(3, graph(), {"9": 0})
            assert await listener.end_of(3) == AttemptEnded(3)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_rejected_prompts_name_node_input_and_value(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            backend.submit(1, graph(radius=999), {"9": 0})
            refused = await listener.end_of(1)
            assert refused.error.code is ErrorCode.PROMPT_REJECTED
            assert not refused.retry
            assert "node 20 (ImageBlur) input blur_radius: Value 999 bigger than max of 31" in refused.error.message
            assert (refused.error.field, refused.error.value) == ("blur_radius", 999)
            # One good output and a bad one: 200, yet an error, and the good one is called off.
            prompt = graph(fresh_color())
            prompt["10"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["77", 0]}}
            backend.submit(2, prompt, {"9": 0, "10": 1})
            refused = await listener.end_of(2)
            assert refused.error.code is ErrorCode.PROMPT_REJECTED
            assert "node 10 (SaveImageWebsocket)" in refused.error.message
            backend.submit(3, graph(), {"9": 0})
            assert await listener.end_of(3) == AttemptEnded(3)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_withdraw_of_waiting_started_and_unanswered_prompts(kind):
    async def scenario():
        async with comfy(kind, delay_ms=60_000) as url, backend_at(url) as (backend, listener):
            backend.submit(1, long_graph(kind, fresh_color()), {"9": 0})
            await listener.one(AttemptStarted, 1)
            backend.submit(2, graph(fresh_color()), {"9": 0})  # waits behind 1
            await listener.one(AttemptPosted, 2)
            backend.withdraw(2)
            assert await listener.end_of(2) == AttemptWithdrawn(2)
            backend.submit(3, graph(fresh_color()), {"9": 0})
            await asyncio.sleep(0)  # its POST is under way
            backend.withdraw(3)
            assert await listener.end_of(3) == AttemptWithdrawn(3)
            backend.submit(4, graph(fresh_color()), {"9": 0})
            backend.withdraw(4)  # before a byte left
            assert await listener.end_of(4) == AttemptWithdrawn(4)
            backend.withdraw(1)
            assert await listener.end_of(1) == AttemptEnded(1)
            assert listener.pictures(1) == []
            backend.withdraw(1)
            backend.withdraw(99)
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            backend.submit(5, graph(fresh_color()), {"9": 0})
            assert await listener.end_of(5) == AttemptEnded(5)
            listener.assert_one_end_each(5)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_interrupted_by_somebody_else(kind):
    async def scenario():
        async with comfy(kind, delay_ms=60_000) as url, backend_at(url) as (backend, listener):
            backend.submit(1, long_graph(kind, fresh_color()), {"9": 0})
            await listener.one(AttemptStarted, 1)
            async with aiohttp.ClientSession() as session:
                for _ in range(50):  # an interrupt between POST and start is lost
                    async with session.post(f"{url}/interrupt") as answer:
                        assert answer.status == 200
                    with contextlib.suppress(AssertionError):
                        await listener.one(TERMINAL, 1, limit_s=0.3)
                        break
            ended = await listener.end_of(1)
            assert ended.error.code is ErrorCode.INTERRUPTED

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_deleted_by_somebody_else(kind):
    async def scenario():
        async with comfy(kind, delay_ms=60_000) as url, backend_at(url) as (backend, listener):
            backend.submit(1, long_graph(kind, fresh_color()), {"9": 0})
            await listener.one(AttemptStarted, 1)
            backend.submit(2, graph(fresh_color()), {"9": 0})
            await listener.one(AttemptPosted, 2)
            async with aiohttp.ClientSession() as session, session.get(f"{url}/queue") as answer:
                waiting = [row[1] for row in (await answer.json())["queue_pending"]]
                assert len(waiting) == 1
                await (await session.post(f"{url}/queue", json={"delete": waiting})).read()
            assert await listener.end_of(2) == AttemptLost(2)
            backend.withdraw(1)
            assert await listener.end_of(1) == AttemptEnded(1)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_prompts_without_client_id_reach_us_and_are_dropped(kind):
    async def scenario():
        async with comfy(kind) as url, backend_at(url) as (backend, listener):
            async with aiohttp.ClientSession() as session:
                for _ in range(3):
                    async with session.post(f"{url}/prompt", json={"prompt": graph(fresh_color())}) as answer:
                        assert answer.status == 200
            for number in range(5):
                backend.submit(number, graph(fresh_color()), {"9": 0})
            for number in range(5):
                assert await listener.end_of(number) == AttemptEnded(number)
                assert len(listener.pictures(number)) == 1
            foreign = backend.info()["counts"]["foreign"]
            assert foreign == 3 or (kind == "real" and foreign > 3)  # others may use a real one too

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_cut_socket_comes_back_under_a_fresh_client_id_and_prompts_are_lost_once(kind):
    """Trap 1: the running prompt is waited for, the waiting one deleted; both are for the scheduler to ask again."""

    async def scenario():
        goes_on = threading.Event()
        async with (
            comfy(kind, held=goes_on) as url,
            FaultProxy(port_of(url)) as proxy,
            backend_at(proxy.url) as (backend, listener),
        ):
            running = graph(fresh_color(), size=768, blurs=5, radius=15) if kind == "real" else graph(1)
            backend.submit(1, running, {"9": 0})
            await listener.one(AttemptStarted, 1)
            backend.submit(2, graph(fresh_color()), {"9": 0})
            await listener.one(AttemptPosted, 2)
            proxy.reset(sockets_only=True)
            await listener.many(BackendUp, 2)
            assert listener.lives() == ["BackendUp", "BackendDoubted", "BackendUp"]
            assert listener.of(AttemptLost) == [AttemptLost(2)]
            goes_on.set()
            assert await listener.end_of(1) == AttemptLost(1)
            assert listener.pictures(1) == listener.pictures(2) == []
            for number in (3, 4):
                backend.submit(number, graph(fresh_color()), {"9": 0})
                assert await listener.end_of(number) == AttemptEnded(number)
                assert len(listener.pictures(number)) == 1
            listener.assert_one_end_each(1, 2)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_pictures_come_whole_through_tiny_slices(kind):
    async def scenario():
        async with comfy(kind) as url, FaultProxy(port_of(url)) as proxy:
            proxy.slice_bytes = 100
            async with backend_at(proxy.url) as (backend, listener):
                backend.submit(1, graph(0x102030, blurs=0), {"9": 0})
                assert await listener.end_of(1) == AttemptEnded(1)
                assert Image.open(io.BytesIO(listener.pictures(1)[0].data)).getpixel((9, 9)) == (0x10, 0x20, 0x30)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", SERVERS)
def test_close_takes_our_prompts_back_and_settles_them(kind):
    async def scenario():
        async with comfy(kind, delay_ms=60_000) as url:
            async with backend_at(url) as (backend, listener):
                backend.submit(1, long_graph(kind, fresh_color()), {"9": 0})
                await listener.one(AttemptStarted, 1)
                backend.submit(2, graph(fresh_color()), {"9": 0})
                await listener.one(AttemptPosted, 2)
            listener.assert_one_end_each(1, 2)
            assert listener.lives()[-1] == "BackendDown"
            backend.submit(3, graph(), {"9": 0})
            assert await listener.end_of(3) == AttemptLost(3)
            async with backend_at(url) as (_, other), aiohttp.ClientSession() as session:
                assert other.lives() == ["BackendUp"]
                async with asyncio.timeout(20):  # it stays at ComfyUI otherwise
                    while True:
                        async with session.get(f"{url}/queue") as answer:
                            queue = await answer.json()
                        if not queue["queue_running"] and not queue["queue_pending"]:
                            return
                        await asyncio.sleep(0.02)  # ComfyUI tells nobody of a deleted prompt: asked again

    asyncio.run(scenario())
