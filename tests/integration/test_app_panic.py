"""Panic and resume, for every kind of viewer."""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, color, run
from PIL import Image

from bridge.codec.messages import Accepted, Changed, Live, Panic, Ping, Resume, Run
from bridge.types import FrameFlags

DARK, LIGHT = 40, 52  # the checkerboard's two greys


def test_panic_ends_everything_and_nothing_is_made_until_resume(tmp_path):
    async def test():
        streams = {
            "main": {"workflow": "solid", "mode": "oneshot"},
            "live": {"workflow": "solid", "mode": "live"},
        }
        async with AppRig(tmp_path, streams) as rig:
            engine, other = await rig.engine(), await rig.engine("websocket")
            await engine.subscribe("main")
            await other.subscribe("live")
            await other.frame()
            await engine.finish(await engine.run(params={"fill": color(1)}))
            await engine.frame(lambda frame: frame.number == 1)
            rig.gate.shut()
            requests = [await engine.run(params={"fill": color(value)}) for value in (2, 3, 4)]
            theirs = await other.run("live", params={"fill": color(5)})
            await rig.begun(3)
            await other.ask(Panic)
            ends = await engine.finish(*requests)
            assert [end.outcome for end in ends] == ["cancelled"] * 3
            (end,) = await other.finish(theirs)
            assert end.outcome == "cancelled"
            held = await engine.frame(lambda frame: frame.header.number == 1, held=True)
            assert held.number == 1
            for kind, fields in ((Run, {}), (Live, {"on": True})):
                error = await engine.refused(kind, stream="main", **fields)
                assert (error.code, error.name) == (403, "panic")
            osc = rig.osc()
            osc.send("/texbridge/main/run")
            osc.send("/texbridge/live/fill", 0.0, 0.0, 9 / 255)  # values may still be set
            await other.until(lambda: any(changed.params for changed in other.of(Changed)))
            rig.gate.open()
            await engine.ask(Ping)
            assert [frame.number for frame in engine.frames] == [1]
            assert len(engine.of(Accepted)) == 4
            assert not rig.bridge.requests

            await engine.ask(Resume)
            await engine.finish(await engine.run(params={"fill": color(6)}))
            await engine.frame(lambda frame: frame.number == 6)
            before = len(other.frames)
            await other.ask(Ping)
            assert len(other.frames) == before  # live stays off until it is switched on
            await other.ask(Live, stream="live", on=True)
            await other.frame(lambda frame: frame.number == 9)

    run(test)


def test_the_bridge_interrupts_only_its_own_prompt(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            graph = {
                "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 77}},
                "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
                "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
            }
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{rig.comfy.url}/prompt", json={"prompt": graph}) as answer:
                    stranger = (await answer.json())["prompt_id"]
                await rig.begun(1)
                mine = await engine.run(params={"fill": color(1)})
                await engine.ask(Panic)
                (end,) = await engine.finish(mine)
                assert end.outcome == "cancelled"
                rig.gate.open()
                await engine.ask(Resume)
                await engine.finish(await engine.run())  # behind the stranger's
                async with session.get(f"{rig.comfy.url}/history/{stranger}") as answer:
                    entry = (await answer.json())[stranger]
                assert entry["status"]["status_str"] == "success"

    run(test)


async def _panicked(rig, engine, format="rgba8"):
    """A viewer with a picture, one without credit that has a set waiting, and panic."""
    engine.acks = False
    await engine.subscribe(format=format)
    await engine.finish(await engine.run(params={"fill": color(0x204060)}))
    await engine.frame()
    await engine.finish(await engine.run(params={"fill": color(0x102030)}))  # waits for credit
    before = len(engine.held)
    await engine.ask(Panic)
    await engine.until(lambda: len(engine.held) > before, "the panic picture")
    return engine.held[-1]


def test_hold_shows_the_last_picture_before_any_credit(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            held = await _panicked(rig, await rig.engine())
            assert (held.header.number, held.number) == (2, 0x102030)

    run(test)


@pytest.mark.parametrize("format", ["rgba8", "bgra8", "jpeg"])
def test_black_is_black_for_all_and_newcomers_too(tmp_path, format):
    async def test():
        async with AppRig(tmp_path, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            held = await _panicked(rig, engine, format)
            newcomer = await rig.engine("websocket")
            await newcomer.subscribe(format=format)
            for frame in (held, await newcomer.frame(held=True)):
                assert (frame.header.number, frame.header.request) == (0, 0)
                assert (frame.header.width, frame.header.height) == (32, 16)
                if format == "jpeg":
                    assert np.asarray(Image.open(io.BytesIO(frame.data)).convert("RGB")).max() == 0
                else:
                    assert (frame.pixels == [0, 0, 0, 255]).all()
            await engine.ask(Ping)
            assert [frame.header.number for frame in engine.frames] == [1]  # the waiting set is gone

    run(test)


def test_placeholder_as_panic_picture(tmp_path):
    async def test():
        quiet = {"placeholder": "checkerboard"}
        async with AppRig(tmp_path, panic={"picture": "placeholder"}, pictures=quiet) as rig:
            held = await _panicked(rig, await rig.engine())
            assert set(np.unique(held.pixels[..., :3])) <= {DARK, LIGHT}

    run(test)


@pytest.mark.parametrize("picture", ["hold", "black", "placeholder"])
def test_who_has_no_picture_yet_gets_one_at_panic_too(tmp_path, picture):
    async def test():
        async with AppRig(tmp_path, panic={"picture": picture}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.frame(held=True)
            await engine.ask(Panic)
            await engine.until(lambda: len(engine.held) == 2, "the panic picture")
            assert engine.held[1].header.number == 0

    run(test)


def test_every_output_of_a_viewer_gets_its_panic_picture(tmp_path):
    async def test():
        streams = {"main": {"workflow": "pair", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.finish(await engine.run(params={"fill": color(1), "depth": color(2)}))
            await engine.until(lambda: len(engine.frames) == 2)
            start = len(engine.held)
            await engine.ask(Panic)
            await engine.until(lambda: len(engine.held) == start + 2, "both panic pictures")
            black = engine.held[start:]
            assert [frame.header.output for frame in black] == [0, 1]
            assert [frame.has(FrameFlags.LAST_OF_SET) for frame in black] == [False, True]
            assert all((frame.pixels[..., :3] == 0).all() for frame in black)

    run(test)


def test_panic_by_osc_and_its_picture_over_http(tmp_path):
    async def test():
        async with AppRig(tmp_path, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.finish(await engine.run(params={"fill": color(0xFFFFFF)}))
            url = f"http://{rig.server.addresses.http}/streams/main"
            async with aiohttp.ClientSession() as session, session.get(f"{url}.mjpg") as stream:
                pictures = aiohttp.MultipartReader.from_response(stream)
                assert (await _jpeg(await pictures.next())).min() > 250
                osc = rig.osc()
                osc.send("/texbridge/panic")
                assert (await _jpeg(await pictures.next())).max() == 0
                async with session.get(f"{url}.jpg") as answer:
                    assert answer.status == 200
                    assert (await _jpeg(answer)).max() == 0
                async with session.get(f"http://{rig.server.addresses.http}/readyz") as answer:
                    told = await answer.json()
                    assert (answer.status, told["ready"], told["streams"]) == (503, False, {"main": "paused"})
                osc.send("/texbridge/resume")
                await rig.until(lambda: not rig.server.actions.panicked)
                async with session.get(f"http://{rig.server.addresses.http}/readyz") as answer:
                    told = await answer.json()
                    assert (answer.status, told["ready"], told["streams"]) == (200, True, {"main": "ready"})
                await engine.finish(await engine.run(params={"fill": color(0x808080)}))
                assert 120 < (await _jpeg(await pictures.next())).mean() < 136
                stream.close()

    async def _jpeg(part):
        async with asyncio.timeout(10):
            return np.asarray(Image.open(io.BytesIO(await part.read())).convert("RGB"))

    run(test)


def test_a_stream_opened_as_live_during_panic_begins_when_live_is_switched_on(tmp_path):
    """An engine that comes back must have its stream, and the panic picture; live is off, as it is everywhere."""

    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.ask(Panic)
            opened = await engine.open("mine", "solid", "live")
            assert opened.created
            await engine.subscribe("mine")
            await engine.frame(held=True)
            assert not (await engine.open("mine", "solid", "live")).created  # it still counts as the live one
            await engine.ask(Resume)
            assert not rig.bridge.requests
            await engine.ask(Live, stream="mine", on=True)
            await engine.frame(lambda frame: frame.number == 0)
            await engine.ask(Panic)
            await engine.open("mine", "solid", "live", params={"fill": color(5)})
            await engine.ask(Resume)
            assert not rig.bridge.requests
            assert rig.gate.begun == 1
            assert rig.bridge.streams.find("mine").mode == "latest"

    run(test)
