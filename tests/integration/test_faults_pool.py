"""A pool of three ComfyUIs of which one freezes, is killed or is stopped, while fifty pictures are asked for.

Real processes and sockets. Each picture is one colour, the number of its request, so that a wrong one shows.
"""

import contextlib
import json
import signal
import struct
import tempfile
from pathlib import Path

import pytest
from serve_rig import Comfy, Engine, Serve, polled, run

PICTURES = 50
DELAY_MS = 40
GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
        "_meta": {"title": "Fill @fill:color"},
    },
    "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}, "_meta": {"title": "@out image"}},
}


def fill(number):
    return [(number >> shift & 255) / 255 for shift in (16, 8, 0)]


def number_in(frame):
    """The number that every pixel of a frame has as its colour."""
    pixels = set(struct.iter_unpack("<4B", frame.payload))
    assert len(pixels) == 1, "not one colour"
    red, green, blue, alpha = pixels.pop()
    assert alpha == 255
    return red << 16 | green << 8 | blue


@contextlib.asynccontextmanager
async def pool(count=3):
    """ComfyUIs, a bridge that uses them, and an engine that looks at a stream of theirs; all are warm."""
    async with contextlib.AsyncExitStack() as stack:
        comfies = [await stack.enter_async_context(Comfy(step_delay_ms=DELAY_MS)) for _ in range(count)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "one_color").mkdir()
        (folder / "one_color" / "workflow_api.json").write_text(json.dumps(GRAPH), encoding="utf-8")
        urls = ",".join(comfy.url for comfy in comfies)
        words = ("--comfy", urls, "--workflows", str(folder), "--stream", "made=one_color:oneshot")
        serve = await stack.enter_async_context(Serve(*words))
        engine = await stack.enter_async_context(Engine("tcp", serve.tcp))
        await engine.hello()
        subscribed = await engine.ask(
            "subscribe", stream="made", format="rgba8", origin="top_left", delivery="latest", credit=8
        )
        assert subscribed["op"] == "subscribed", subscribed

        async def warm():
            places = json.loads((await serve.get("/readyz"))[1]).get("places", {}).get("made", {})
            return len(places) == count and not any(places.values())

        await polled(warm)
        yield comfies, serve, engine


async def ask_for(engine, count, begin=1):
    """Ask for pictures; gives the number that each request's picture has."""
    return {await engine.run("made", params={"fill": fill(number)}): number for number in range(begin, begin + count)}


async def assert_made(engine, asked):
    await engine.until(lambda: all(engine.outcome(request) for request in asked), "all answers", limit_s=90)
    engine.assert_one_answer_each()
    assert engine.outcomes() == {"done": len(asked)}, engine.outcomes()
    assert {answers[0]["frames"] for answers in engine.finished.values()} == {1}
    # A viewer that is slow for a moment sees the newest, some of those before it not.
    (stream,) = engine.frames
    newest = max(answers[0]["number"] for answers in engine.finished.values())
    await engine.until(lambda: engine.new_frames(stream)[-1].number == newest, "the newest")
    frames = engine.new_frames(stream)
    assert [number_in(frame) for frame in frames] == [asked[frame.request] for frame in frames]
    assert len({frame.request for frame in frames}) == len(frames), "a picture came twice"


async def told(serve):
    """What `/healthz` says of each ComfyUI, by its port."""
    return {int(one["url"].rpartition(":")[2]): one for one in (await serve.health())["backends"]}


@pytest.mark.parametrize("fault", ["SIGSTOP", "SIGKILL", "SIGTERM"])
def test_one_of_three_while_fifty_are_asked_for(fault):
    if not hasattr(signal, fault):
        pytest.skip(f"no {fault} on this system")

    async def scenario():
        async with pool() as (comfies, serve, engine):
            asked = await ask_for(engine, PICTURES)
            await engine.until(lambda: engine.outcomes()["done"] >= 9, "nine done")
            comfies[1].send(getattr(signal, fault))
            await assert_made(engine, asked)

            def is_told(state):
                async def look():
                    return (await told(serve))[comfies[1].port]["state"] == state

                return look

            await polled(is_told("doubted" if fault == "SIGSTOP" else "down"))
            if fault == "SIGSTOP":  # what it had comes late, and nobody gets it
                comfies[1].send(signal.SIGCONT)
                await polled(is_told("up"))
                await assert_made(engine, asked)
                more = await ask_for(engine, 12, begin=1000)
                await assert_made(engine, asked | more)

    run(scenario)


def test_two_of_three_one_after_the_other_and_back():
    async def scenario():
        async with pool() as (comfies, serve, engine):
            asked = await ask_for(engine, PICTURES)
            await engine.until(lambda: engine.outcomes()["done"] >= 6, "six done")
            await comfies[0].kill()
            await engine.until(lambda: engine.outcomes()["done"] >= 15, "fifteen done")
            await comfies[2].kill()
            await assert_made(engine, asked)
            await comfies[0].start()

            async def back():
                return (await told(serve))[comfies[0].port]["state"] == "up"

            await polled(back)
            more = await ask_for(engine, 12, begin=1000)
            await assert_made(engine, asked | more)

    run(scenario)
