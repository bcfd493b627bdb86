"""Prompts whose outputs write files, at a ComfyUI whose socket tells nothing."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from aiohttp import web
from backend_listener import FAST, SOON_STUCK, backend_at, graph
from fault_proxy import FaultProxy
from scripted_comfy import PNG, ScriptedComfy

from bridge.backends.records import BackendMute, BackendProgress
from bridge.embedded import EmbeddedServer
from bridge.errors import ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptStarted,
    AttemptWithdrawn,
    BackendDown,
    BackendUp,
)

FILES = graph(end="PreviewImage")
OUT = {"9": 0}


def image(name, folder="temp", subfolder=""):
    return {"filename": name, "subfolder": subfolder, "type": folder}


def mute(scenario, *, limits=FAST, pictures=1):
    """Run `scenario(comfy, backend, listener)` at a mute server whose prompts leave so many files each."""

    async def run():
        async with ScriptedComfy() as comfy:
            comfy.mute = True

            def outputs(item):
                names = [f"{item.prompt_id}_{index}.png" for index in range(pictures)]
                for name in names:
                    comfy.files["temp", "", name] = PNG + name.encode()
                return {"9": {"images": [image(name) for name in names]}}

            comfy.outputs_of = outputs
            async with backend_at(comfy.url, limits=limits) as (backend, listener):
                await scenario(comfy, backend, listener)

    asyncio.run(run())


def test_a_batch_comes_in_its_order_and_its_size_is_told_first():
    async def scenario(comfy, backend, listener):
        backend.submit(1, FILES, OUT, files=True)
        assert await listener.end_of(1) == AttemptEnded(1)
        pictures = listener.pictures(1)
        prompt_id = comfy.posts[0]["prompt_id"]
        assert [(p.index, p.output, bytes(p.data)) for p in pictures] == [
            (index, 0, PNG + f"{prompt_id}_{index}.png".encode()) for index in range(7)
        ]
        assert listener.records.index(BackendProgress(1, "9", 0, 7)) < listener.records.index(pictures[0])
        kinds = {type(record) for record in listener.of((AttemptPosted, AttemptStarted))}
        assert kinds == {AttemptPosted, AttemptStarted}

    mute(scenario, pictures=7)


def test_waiting_and_running_ones_are_withdrawn():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, FILES, OUT, files=True)
        await listener.one(AttemptStarted, 1)
        backend.submit(2, FILES, OUT, files=True)
        await listener.one(AttemptPosted, 2)
        backend.withdraw(2)
        assert await listener.end_of(2) == AttemptWithdrawn(2)
        backend.withdraw(1)
        assert await listener.end_of(1) == AttemptEnded(1)
        comfy.open_gates()
        backend.submit(3, FILES, OUT, files=True)
        assert await listener.end_of(3) == AttemptEnded(3)
        assert len(listener.pictures(3)) == 1
        assert listener.pictures(1) == []
        listener.assert_one_end_each(1, 2, 3)

    mute(scenario)


def test_a_long_prompt_is_asked_for_ever_more_rarely():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, FILES, OUT, files=True)
        await listener.one(AttemptStarted, 1)
        await asyncio.sleep(2.0)  # what is counted is a rate
        asked = Counter(path for path in comfy.paths() if path.startswith(("GET /history", "GET /queue")))
        assert sum(asked.values()) < 100
        comfy.open_gates()
        assert await listener.end_of(1) == AttemptEnded(1)

    mute(scenario)


def test_the_history_says_why_a_prompt_failed_and_memory_is_freed():
    async def fail(comfy, item):
        return "execution_error", {
            "node_id": "1",
            "node_type": "KSampler",
            "exception_type": "torch.OutOfMemoryError",
            "exception_message": "Allocation on device",
        }

    async def scenario(comfy, backend, listener):
        comfy.script = fail
        backend.submit(1, FILES, OUT, files=True)
        ended = await listener.end_of(1)
        assert (ended.error.code, ended.error.retry) == (ErrorCode.OUT_OF_MEMORY, True)
        assert comfy.paths().count("POST /free") == 1

    mute(scenario)


@pytest.mark.parametrize("how", ["gone", "none", "html"])
def test_a_picture_that_can_not_be_had_is_an_error_and_no_hang(how):
    async def scenario(comfy, backend, listener):
        if how == "gone":
            comfy.outputs_of = lambda item: {"9": {"images": [image("deleted.png")]}}
        elif how == "none":
            comfy.outputs_of = lambda item: {}
        else:
            comfy.answers["GET", "/view"] = lambda _: web.Response(text="<html>log in</html>", content_type="text/html")
        backend.submit(1, FILES, OUT, files=True)
        ended = await listener.end_of(1)
        assert ended.error.code is (ErrorCode.BAD_ANSWER if how == "html" else ErrorCode.NO_IMAGE)
        assert listener.pictures(1) == []

    mute(scenario)


def test_a_prompt_that_comfyui_forgot_is_lost():
    async def scenario(comfy, backend, listener):
        comfy.start_gate.clear()
        backend.submit(1, FILES, OUT, files=True)
        await listener.one(AttemptPosted, 1)
        comfy.pending.clear()
        assert await listener.end_of(1) == AttemptLost(1)

    mute(scenario)


def test_a_killed_comfyui_loses_them():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, FILES, OUT, files=True)
        await listener.one(AttemptStarted, 1)
        await comfy.close()
        assert await listener.end_of(1) == AttemptLost(1)
        await listener.one(BackendDown)
        comfy.open_gates()
        await comfy.start()
        await listener.many(BackendUp, 2)
        backend.submit(2, FILES, OUT, files=True)
        assert await listener.end_of(2) == AttemptEnded(2)

    mute(scenario)


def test_a_cut_socket_is_nothing_to_them():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, FILES, OUT, files=True)
        await listener.one(AttemptStarted, 1)
        for ws in list(comfy.sockets.values()):
            ws._req.transport.abort()
        await listener.many(BackendUp, 2)
        comfy.open_gates()
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(listener.pictures(1)) == 1
        assert len(comfy.posts) == 1

    mute(scenario)


def test_a_dead_worker_is_noticed_all_the_same():
    async def scenario(comfy, backend, listener):
        comfy.dead = True
        backend.submit(1, FILES, OUT, files=True)
        assert await listener.end_of(1) == AttemptLost(1)
        await listener.one(BackendDown)
        assert backend.info()["state"] == "stuck"

    mute(scenario, limits=SOON_STUCK)


def test_new_sockets_are_tried_while_it_is_mute():
    async def scenario(comfy, backend, listener):
        for number in (1, 2):
            backend.submit(number, FILES, OUT)
            assert await listener.end_of(number) == AttemptLost(number)
            await listener.many(BackendUp, number + 1)
        await listener.one(BackendMute)
        before = len(comfy.handshakes)
        await comfy.until(lambda: len(comfy.handshakes) >= before + 2, "new sockets")
        await listener.until(lambda: backend.info()["state"] == "mute")
        comfy.mute = False
        backend.submit(3, FILES, OUT, files=True)
        assert await listener.end_of(3) == AttemptEnded(3)
        assert listener.of(BackendMute) == [BackendMute("one", True), BackendMute("one", False)]
        assert len(listener.pictures(3)) == 1

    mute(scenario, limits=replace(FAST, mute_probe_s=0.2))


def test_through_a_slow_line_with_a_real_server():
    """The embedded server's own files and names, 30 ms away."""

    async def run():
        async with EmbeddedServer() as comfy:
            port = int(comfy.url.rsplit(":", 1)[1])
            async with FaultProxy(port) as proxy:
                proxy.latency_s = 0.03
                async with backend_at(proxy.url) as (backend, listener):
                    for number in range(1, 6):
                        backend.submit(number, graph(number, batch=2, end="PreviewImage"), OUT, files=True)
                        assert await listener.end_of(number) == AttemptEnded(number)
                        assert [picture.index for picture in listener.pictures(number)] == [0, 1]

    asyncio.run(run())
