"""Sampler previews: told from outputs by node, to those who asked, for no credit, and never after the result."""

import asyncio
import threading

import numpy as np
import pytest
from aiohttp import web
from app_engine import LIMIT_S
from app_rig import AppRig, color, node, run, solid, write_workflow
from scripted_rig import ScriptedRig

from bridge.codec.messages import Ack, Cancel, Freeze, Panic, Ping, Resume
from bridge.types import Delivery, FrameFlags

ONE = {"main": {"workflow": "one", "mode": "oneshot"}}
PREVIEW = FrameFlags.PREVIEW


def previews(engine):
    return [frame for frame in engine.frames if frame.has(PREVIEW)]


def results(engine):
    return [frame for frame in engine.frames if not frame.has(PREVIEW)]


def level(frame):
    return round(float(frame.pixels[..., :3].mean()))


async def preview_of(engine, wanted):
    """Wait for the preview of about this level (JPEG is not exact)."""
    return await engine.frame(lambda frame: frame.has(PREVIEW) and abs(level(frame) - wanted) <= 2)


@pytest.mark.parametrize("named", [True, False], ids=["type 4", "type 1"])
@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_a_preview_is_told_from_the_output_by_its_node(tmp_path, kind, named):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine, plain = await rig.engine(kind), await rig.engine("tcp")
            assert "previews" in engine.welcome.features
            assert (await engine.subscribe(previews=True)).previews is True
            assert (await plain.subscribe()).previews is None
            request = await engine.run()
            item = await rig.begin()
            for wanted in (40, 80):
                await rig.preview(item, wanted, named=named)
                frame = await preview_of(engine, wanted)
                header = frame.header
                assert (header.number, header.request, header.index, header.output) == (1, request, 0, 0)
                assert (header.width, header.height) == (4, 4)
                assert frame.has(FrameFlags.LAST_OF_SET)
                assert not frame.has(FrameFlags.LAST_SET)
                assert not frame.has(FrameFlags.HELD)
            await rig.picture(item, 200)
            await rig.end(item)
            (done,) = await engine.finish(request)
            assert (done.outcome, done.frames, done.number) == ("done", 1, 1)
            (result,) = results(engine)
            assert (result.header.number, level(result), result.header.width) == (1, 200, 8)
            await plain.frame(lambda frame: frame.header.number == 1)
            assert previews(plain) == []

    run(test)


def test_a_preview_comes_in_the_form_of_its_subscriber(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True, format="bgra8", origin="bottom_left", size=(16, 8), mips=True)
            await engine.run()
            item = await rig.begin()
            await rig.preview(item, 60, size=(6, 6))
            frame = await engine.frame(lambda frame: frame.has(PREVIEW))
            header = frame.header
            assert (header.width, header.height, header.mips, header.format) == (16, 8, 5, 2)
            assert frame.has(FrameFlags.BOTTOM_LEFT)
            assert header.comfy_us > 0
            await rig.end(item)

    run(test)


def test_it_costs_no_credit_and_gives_way_to_whatever_waits(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(previews=True)
            first = await engine.run()
            item = await rig.begin()
            await rig.preview(item, 40)
            await preview_of(engine, 40)
            engine.send(Ack(stream="main", number=1))  # the set was not sent yet: it means nothing
            await engine.ask(Ping)
            await rig.picture(item, 200)
            await rig.end(item)
            await engine.finish(first)
            await engine.frame(lambda frame: not frame.has(PREVIEW))
            # No credit is left, and nothing waits: a preview of the next set comes all the same.
            second = await engine.run()
            item = await rig.begin()
            await rig.preview(item, 80)
            assert (await preview_of(engine, 80)).header.number == 2
            await rig.picture(item, 210)
            await rig.end(item)
            await engine.finish(second)
            # Now set 2 waits for credit, so a preview of set 3 is dropped.
            await engine.run()
            item = await rig.begin()
            before = rig.bridge.previews.counts["unwanted"]
            await rig.preview(item, 120)
            await rig.until(lambda: rig.bridge.previews.counts["unwanted"] > before, "the preview to be dropped")
            engine.send(Ack(stream="main", number=1))
            await engine.frame(lambda frame: frame.header.number == 2 and not frame.has(PREVIEW))
            await rig.preview(item, 160)
            assert (await preview_of(engine, 160)).header.number == 3
            assert len(previews(engine)) == 3
            await rig.end(item)

    run(test)


def test_nothing_of_a_request_comes_after_its_result_or_its_answer(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True)
            request = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 200)
            await engine.frame(lambda frame: frame.header.number == 1)
            await rig.preview(item, 40)  # a second sampler behind the output, say
            await rig.end(item)
            await engine.finish(request)
            cancelled = await engine.run()
            item = await rig.begin()
            await rig.preview(item, 80)
            await preview_of(engine, 80)
            assert (await engine.ask(Cancel, request=cancelled)).cancelled == [cancelled]
            await rig.preview(item, 120)
            await engine.finish(cancelled)
            rig._ends[item.prompt_id].set()
            await engine.ask(Ping)
            assert [level(frame) // 40 for frame in previews(engine)] == [2]

    run(test)


def test_those_of_a_prompt_that_was_superseded_are_not_shown(tmp_path):
    async def test():
        streams = {"main": {"workflow": "one", "mode": "latest"}}
        async with ScriptedRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True)
            first = await engine.run(deadline_ms=10_000)
            item = await rig.begin()
            await engine.ask(Cancel, request=first)
            second = await engine.run()
            await rig.preview(item, 40)
            rig._ends[item.prompt_id].set()
            item = await rig.begin()
            await rig.preview(item, 80)
            assert (await preview_of(engine, 80)).header.request == second
            assert len(previews(engine)) == 1
            await rig.end(item)

    run(test)


def test_only_the_newest_is_decoded_and_only_where_a_thread_stays_free(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True)
            await engine.run()
            item = await rig.begin()
            pool, begun, gate = rig.bridge.decoders, asyncio.Event(), asyncio.Event()
            leaves_room = rig.bridge.previews._leaves_room
            shown = rig.bridge.previews._show

            async def slow(record):
                begun.set()
                await gate.wait()
                await shown(record)

            rig.bridge.previews._show = slow
            await rig.preview(item, 20)
            await begun.wait()
            for wanted in (60, 100, 140):
                await rig.preview(item, wanted)
            counts = rig.bridge.previews.counts
            await rig.until(lambda: counts["dropped"] == 2, "the older ones to be dropped")
            gate.set()
            await preview_of(engine, 140)
            assert len(previews(engine)) == 2
            done = pool.stats().done
            rig.bridge.previews._leaves_room = lambda: False
            await rig.preview(item, 180)
            await rig.picture(item, 200)
            await engine.frame(lambda frame: not frame.has(PREVIEW))
            assert pool.stats().done == done + 1
            assert leaves_room()
            await rig.end(item)

    run(test)


@pytest.mark.parametrize("cover", ["panic", "freeze"])
def test_none_comes_while_a_stream_is_covered(tmp_path, cover):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True)
            request = await engine.run()
            item = await rig.begin()
            if cover == "panic":
                await engine.ask(Panic)
            else:
                await engine.ask(Freeze, stream="main", on=True)
            await rig.preview(item, 40)
            rig._ends[item.prompt_id].set()
            await engine.finish(request)
            await (engine.ask(Resume) if cover == "panic" else engine.ask(Freeze, stream="main", on=False))
            second = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 200)
            await rig.end(item)
            await engine.finish(second)
            assert previews(engine) == []

    run(test)


def test_of_several_outputs_it_stands_for_the_first_colour_that_was_asked_for(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, {"main": {"workflow": "two", "mode": "oneshot"}}) as rig:
            both, depth = await rig.engine(), await rig.engine()
            await both.subscribe(previews=True)
            await depth.subscribe(previews=True, outputs=[1])
            request = await both.run()
            item = await rig.begin()
            await rig.preview(item, 40)
            assert (await preview_of(both, 40)).header.output == 0
            await rig.picture(item, 200)
            await rig.preview(item, 80, node_id="7")  # the set is not whole: it is still in work
            await preview_of(both, 80)
            await rig.picture(item, 100, node_id="12")
            await rig.end(item)
            await both.finish(request)
            await depth.frame(lambda frame: frame.header.number == 1)
            assert previews(depth) == []

    run(test)


def test_a_batch_counts_on(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True, credit=4)
            request = await engine.run()
            item = await rig.begin()
            for index in range(3):
                await rig.preview(item, 30 + 60 * index)
                header = (await preview_of(engine, 30 + 60 * index)).header
                assert (header.number, header.index, header.request) == (index + 1, index, request)
                await rig.picture(item, 200, index=index, total=3)
                await engine.frame(lambda frame, index=index: frame.header.index == index and not frame.has(PREVIEW))
            await rig.end(item)
            await engine.finish(request)

    run(test)


def test_a_preview_that_is_no_picture_costs_nothing(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine()
            await engine.subscribe(previews=True)
            request = await engine.run()
            item = await rig.begin()
            await rig.scripted.picture(item, node="5", data=b"no picture at all")
            await rig.until(lambda: rig.bridge.previews.counts["broken"] == 1, "it to be counted")
            await rig.picture(item, 200)
            await rig.end(item)
            (done,) = await engine.finish(request)
            assert done.outcome == "done"

    run(test)


@pytest.mark.parametrize("argv", [["main.py"], ["main.py", "--preview-method", "taesd"], None])
def test_comfyui_is_asked_for_previews_while_somebody_wants_them(tmp_path, argv):
    async def test():
        rig = ScriptedRig(tmp_path, ONE)
        stats = {"system": {} if argv is None else {"argv": argv}, "devices": []}
        rig.scripted.answers["GET", "/system_stats"] = lambda request: web.json_response(stats)
        async with rig:
            engine = await rig.engine()
            for previews in (None, True):
                await engine.subscribe(previews=previews)
                request = await engine.run()
                item = await rig.begin()
                await rig.picture(item, 200)
                await rig.end(item)
                await engine.finish(request)
            asked = [body.get("extra_data") for body in rig.scripted.posts]
            wanted = None if argv and len(argv) > 1 else {"preview_method": "auto"}
            assert asked == [None, wanted]

    run(test)


SAMPLED = {
    "1": solid("Fill @fill:color @width @height"),
    "2": node("EmbeddedSampler", "Sampler @steps @seed", image=["1", 0], seed=1, steps=6, denoise=1.0),
    "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
}


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_a_sampler_is_seen_at_work(tmp_path, kind):
    """The embedded server's own, from noise to the picture: each preview is nearer to it than the one before."""

    async def test():
        write_workflow(tmp_path, "sampled", SAMPLED)
        streams = {"main": {"workflow": "sampled", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams, step_delay_ms=240) as rig:
            engine = await rig.engine(kind)
            await engine.subscribe(previews=True)
            seen, before_node = threading.Event(), rig.comfy._executor.before_node

            def hold(prompt_id, node_id):
                before_node(prompt_id, node_id)
                if node_id == "3":  # the picture comes when a preview has: on a slow machine all might be overtaken
                    seen.wait(LIMIT_S)

            rig.comfy._executor.before_node = hold
            request = await engine.run(params={"fill": color(0x4080C0)})
            await engine.until(lambda: bool(previews(engine)), "a preview")
            seen.set()
            (done,) = await engine.finish(request)
            assert (done.outcome, done.frames) == ("done", 1)
            result = results(engine)[-1]
            assert result.number == 0x4080C0
            came = previews(engine)
            picture = result.pixels[0, 0, :3].astype(float)
            far = [float(np.abs(frame.pixels[..., :3] - picture).mean()) for frame in came]
            assert far == sorted(far, reverse=True)
            order = [frame.has(PREVIEW) for frame in engine.frames]
            assert order == sorted(order, reverse=True)  # none behind the result

    run(test)


@pytest.mark.parametrize("delivery", [Delivery.LATEST])
def test_shared_memory_takes_no_slot_for_a_preview(tmp_path, delivery):
    async def test():
        async with ScriptedRig(tmp_path, ONE) as rig:
            engine = await rig.engine(hello={"shared_memory": True})
            if "shared_memory" not in engine.welcome.features:
                pytest.skip("no folder for shared memory here")
            answer = await engine.subscribe(previews=True, shared_memory=True, delivery=delivery)
            assert answer.shared_memory
            await engine.run()
            item = await rig.begin()
            await rig.preview(item, 40)
            assert not (await preview_of(engine, 40)).has(FrameFlags.SHARED_MEMORY)
            await rig.end(item)

    run(test)
