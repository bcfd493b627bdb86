"""Freeze and blackout, by link and OSC, at once and with a fade, for every kind of viewer."""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, color, run
from PIL import Image

from bridge.codec.messages import Ack, Blackout, Changed, Freeze, Live, Panic, Ping, Resume, Set
from bridge.types import FrameFlags

LIVE = {"main": {"workflow": "solid", "mode": "live"}}


def _is_black(frame):
    return bool((frame.pixels == [0, 0, 0, 255]).all())


async def _show(engine, value, stream="main"):
    """Make a picture of this colour; the number of its set."""
    (end,) = await engine.finish(await engine.run(stream, params={"fill": color(value)}))
    assert end.outcome == "done"
    return end.number


class Patience:
    """The time of fades, which goes on for a little and then waits until the test has seen a blend.

    So there are some, and a picture that has to come in the middle of a fade does, however slow the machine is.
    """

    STEP_S = 0.1

    def __init__(self, rig):
        covers = rig.server.actions.covers
        self._real, covers._clock = covers._clock, self
        self._at = self._begun = self._real()

    def __call__(self):
        return self._at + min(self._real() - self._begun, self.STEP_S)

    def go_on(self):
        self._at, self._begun = self(), self._real()


async def _held(engine, before, what="a held frame"):
    await engine.until(lambda: len(engine.held) > before, what)
    return engine.held[before]


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_blackout_is_the_next_frame_before_any_credit_and_its_end_shows_the_newest_set(tmp_path, kind):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(kind)
            assert set(engine.welcome.features) >= {"freeze", "blackout", "live_fade"}
            engine.acks = False
            await engine.subscribe()
            await _show(engine, 1)
            await engine.frame()
            await _show(engine, 2)  # waits for credit
            before = len(engine.held)
            await engine.ask(Blackout, stream="main", on=True)
            black = await _held(engine, before)
            assert _is_black(black)
            assert (black.header.number, black.header.width, black.header.height) == (0, 32, 16)
            assert await _show(engine, 3) == 3  # the number is raised
            newcomer = await rig.engine()
            await newcomer.subscribe()
            assert _is_black(await newcomer.frame(held=True))
            engine.send(Ack(stream="main", number=1))
            await engine.ask(Ping)
            assert [frame.header.number for frame in engine.frames] == [1]
            assert len(engine.held) == before + 1
            await engine.ask(Blackout, stream="main", on=True)  # said twice: nothing
            await engine.ask(Blackout, stream="main", on=False)
            shown = await _held(engine, before + 1)
            assert (shown.header.number, shown.number) == (3, 3)
            await newcomer.frame(lambda frame: frame.number == 3, held=True)
            await _show(engine, 4)
            await engine.frame(lambda frame: frame.header.number == 4)

    run(test)


@pytest.mark.parametrize("format", ["jpeg", "png", "bgra8"])
def test_blackout_in_every_form_and_output(tmp_path, format):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(format=format)
            await engine.finish(await engine.run(params={"fill": color(1), "depth": color(2)}))
            await engine.until(lambda: len(engine.frames) == 2)
            before = len(engine.held)
            rig.osc().send("/texbridge/main/blackout", 1)
            await engine.until(lambda: len(engine.held) == before + 2, "both black frames")
            frames = engine.held[before:]
            assert [frame.has(FrameFlags.LAST_OF_SET) for frame in frames] == [False, True]
            for frame in frames:
                if format == "bgra8":
                    assert _is_black(frame)
                else:
                    assert np.asarray(Image.open(io.BytesIO(frame.data)).convert("RGB")).max() == 0

    run(test)


def test_a_live_stream_goes_on_in_the_dark_and_rests_when_frozen(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            await engine.open("main", "solid", "live")
            await engine.subscribe()
            await engine.frame(lambda frame: frame.number == 0)
            osc = rig.osc()
            osc.send("/texbridge/main/blackout", 1)
            await engine.frame(_is_black, held=True)
            released = len(rig.ears.released)
            await engine.ask(Set, stream="main", params={"fill": color(5)})
            await rig.until(lambda: len(rig.ears.released) > released, "a picture in the dark")
            osc.send("/texbridge/main/blackout", 0)
            await engine.frame(lambda frame: frame.header.number and frame.number == 5, held=True)

            await engine.ask(Freeze, stream="main", on=True)
            await engine.until(lambda: any(change.state == "paused" for change in engine.of(Changed)))
            begun = rig.gate.begun
            await engine.ask(Set, stream="main", params={"fill": color(6)})
            await engine.ask(Ping)
            number = await _show(engine, 7)  # a run is made all the same
            assert rig.gate.begun == begun + 1
            newcomer = await rig.engine()
            await newcomer.subscribe()
            assert (await newcomer.frame(held=True)).number == 5
            await engine.ask(Ping)
            assert all(frame.number != 7 for frame in (*engine.frames, *engine.held) if frame.header.number)
            await engine.ask(Freeze, stream="main", on=False)
            await engine.frame(lambda frame: frame.header.number == number and frame.number == 7, held=True)
            await newcomer.frame(lambda frame: frame.number == 7, held=True)
            await engine.until(lambda: engine.of(Changed)[-1].state == "ready")
            await engine.ask(Set, stream="main", params={"fill": color(8)})
            await engine.frame(lambda frame: frame.number == 8)

    run(test)


def test_a_fade_is_held_blends_that_cost_credit_and_ends_in_black(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, slow = await rig.engine(), await rig.engine("websocket")
            slow.acks = False
            patience = Patience(rig)
            await engine.subscribe(credit=8)
            await slow.subscribe()
            await _show(engine, 0xC8C8C8)
            await engine.frame()
            await slow.frame()
            before, slow_before = len(engine.held), len(slow.held)
            patience.go_on()
            await engine.ask(Blackout, stream="main", on=True, fade_s=0.4)
            frames = await _fading(engine, before, lambda frame: not frame.header.number, patience)
            blends, last = frames[:-1], frames[-1]
            assert blends
            assert _is_black(last)
            levels = [int(frame.pixels[0, 0, 0]) for frame in blends]
            assert levels == sorted(levels, reverse=True)
            assert all(0 < level < 0xC8 for level in levels)
            assert all((frame.pixels[..., 3] == 255).all() for frame in blends)
            assert {frame.header.number for frame in blends} == {1}
            await slow.until(lambda: len(slow.held) > slow_before)
            await slow.ask(Ping)
            assert len(slow.held) == slow_before + 1  # no credit, no blends; black all the same
            assert _is_black(slow.held[-1])

            newcomer = await rig.engine()
            await newcomer.subscribe(credit=8)
            assert _is_black(await newcomer.frame(held=True))
            before = len(engine.held)
            patience.go_on()
            await engine.ask(Blackout, stream="main", on=False, fade_s=0.4)
            await _show(engine, 0x646464)  # what it fades to is the newest
            frames = await _fading(engine, before, lambda frame: frame.number == 0x646464, patience)
            levels = [int(frame.pixels[0, 0, 0]) for frame in frames]
            assert levels[-1] == 0x64
            assert frames[-1].header.number == 2
            await engine.ask(Ping)
            assert not [frame for frame in engine.frames if frame.header.number == 2]

    run(test)


async def _fading(engine, before, is_last, patience):
    """The held frames from `before` on; each but the last is acked as it comes."""
    for place in range(before, 10_000):
        frame = await _held(engine, place, "the next frame of the fade")
        if is_last(frame):
            return engine.held[before : place + 1]
        engine.send(Ack(stream=frame.header.stream, number=frame.header.number))
        patience.go_on()
    raise AssertionError("the fade does not end")


def test_a_fade_turned_round_goes_back_from_where_it_is_and_panic_ends_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            await _show(engine, 0xFFFFFF)
            await engine.frame()
            before = len(engine.held)
            await engine.ask(Blackout, stream="main", on=True, fade_s=3600)
            await _held(engine, before, "a blend")
            await engine.ask(Blackout, stream="main", on=True)  # now, then
            await engine.frame(_is_black, held=True)
            await engine.ask(Blackout, stream="main", on=False, fade_s=3600)
            await engine.ask(Panic)
            await engine.until(lambda: bool(engine.held and engine.held[-1].pixels.min() == 255), "the picture")
            await engine.ask(Blackout, stream="main", on=True, fade_s=3600)  # no fades in a panic
            await engine.until(lambda: _is_black(engine.held[-1]), "black")
            await engine.ask(Resume)
            assert rig.server.actions.covers.is_black(rig.server.actions.streams.find("main"))
            assert _is_black(engine.held[-1])

    run(test)


def test_a_frozen_picture_fades_into_the_newest(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, patience = await rig.engine(), Patience(rig)
            await engine.subscribe(credit=8)
            await _show(engine, 0x000000)
            await engine.frame()
            await engine.ask(Freeze, stream="main", on=True)
            await _show(engine, 0xF0F0F0)
            before = len(engine.held)
            patience.go_on()
            await engine.ask(Freeze, stream="main", on=False, fade_s=0.3)
            frames = await _fading(engine, before, lambda frame: frame.number == 0xF0F0F0, patience)
            levels = [int(frame.pixels[0, 0, 0]) for frame in frames]
            assert levels == sorted(levels)
            assert len(levels) > 1

    run(test)


def test_a_large_stream_and_one_without_a_picture_go_dark_too(tmp_path):
    async def test():
        streams = {
            "main": {"workflow": "solid", "mode": "oneshot", "size": [2048, 1024]},
            "none": {"workflow": "solid", "mode": "oneshot"},
        }
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe("main")
            await engine.subscribe("none")
            await _show(engine, 9)
            await engine.frame()
            await engine.until(lambda: len(engine.held) >= 2)
            for stream in ("main", "none"):
                before = len(engine.held)
                await engine.ask(Blackout, stream=stream, on=True, fade_s=0 if stream == "main" else 5)
                assert _is_black(await _held(engine, before))
            before = len(engine.held)
            await engine.ask(Blackout, stream="none", on=False)
            assert not _is_black(await _held(engine, before))  # the placeholder again

    run(test)


def test_blackout_over_http_and_after_a_cut(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await _show(engine, 0xFFFFFF)
            await engine.frame()
            url = f"http://{rig.server.addresses.http}/streams/main"
            async with aiohttp.ClientSession() as session, session.get(f"{url}.mjpg") as stream:
                pictures = aiohttp.MultipartReader.from_response(stream)
                assert (await _jpeg(await pictures.next())).min() > 250
                before = len(engine.held)
                await engine.ask(Blackout, stream="main", on=True)
                assert (await _jpeg(await pictures.next())).max() == 0
                async with session.get(f"{url}.jpg") as answer:
                    assert (await _jpeg(answer)).max() == 0
                await _held(engine, before)
                await engine.cut()
                back = await rig.engine(hello={"session": engine.welcome.session})
                assert _is_black(await back.frame(held=True))
                await back.ask(Blackout, stream="main", on=False)
                assert (await _jpeg(await pictures.next())).min() > 250
                stream.close()

    async def _jpeg(part):
        async with asyncio.timeout(10):
            return np.asarray(Image.open(io.BytesIO(await part.read())).convert("RGB"))

    run(test)


def test_a_stream_that_ends_in_the_dark_is_forgotten(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            await engine.open("own", "solid", "oneshot")
            await engine.subscribe("own", credit=8)
            await _show(engine, 5, "own")
            await engine.frame()
            await engine.ask(Freeze, stream="own", on=True)
            await _show(engine, 6, "own")
            await engine.ask(Blackout, stream="own", on=True, fade_s=60)
            await engine.ask(Live, stream="own", on=False)
            actions = rig.server.actions
            actions.close_stream(actions.streams.find("own"))
            await engine.ask(Ping)
            assert not rig.server.actions.held.black
            await asyncio.gather(*list(rig.server.actions.covers._tasks), return_exceptions=True)
            # What is left are the forms of the card that stood before the first picture, which are kept for all.
            assert rig.bridge.buffers.stats().lent == len(rig.server.actions.held.forms._made)

    run(test)


LATEST = {"main": {"workflow": "solid", "mode": "latest"}}


@pytest.mark.parametrize("door", ["link", "osc"])
def test_switched_to_live_with_a_fade_the_picture_that_stands_fades_into_the_new_ones(tmp_path, door):
    async def test():
        async with AppRig(tmp_path, LATEST) as rig:
            engine, slow = await rig.engine(), await rig.engine("websocket")
            slow.acks = False
            patience = Patience(rig)
            await engine.subscribe(credit=8)
            await slow.subscribe()
            await _show(engine, 0x101010)
            await engine.frame()
            await slow.frame()
            if door == "link":
                await engine.ask(Live, stream="main", on=True, fade_s=0.4)
            else:
                rig.osc().send("/texbridge/main/live", 1, 0.4)
                await rig.until(lambda: rig.bridge.streams.find("main").mode == "live")
            newcomer = await rig.engine()
            await newcomer.subscribe()
            assert (await newcomer.frame(held=True)).number == 0x101010  # it stands until there is a new one
            before, slow_before, sets = len(engine.held), len(slow.held), len(engine.frames)
            patience.go_on()
            await engine.ask(Set, stream="main", params={"fill": color(0xF0F0F0)})
            await rig.until(lambda: rig.gate.inputs("color")[-1] == 0xF0F0F0 and not rig.bridge.requests, "the newest")
            frames = await _fading(engine, before, lambda frame: frame.number == 0xF0F0F0, patience)
            levels = [int(frame.pixels[0, 0, 0]) for frame in frames]
            assert levels == sorted(levels)
            assert len(levels) > 1
            assert levels[0] < 0xF0
            assert {frame.header.number for frame in frames} <= {2, 3}  # the second picture may be as the first
            await slow.until(lambda: len(slow.held) > slow_before)
            assert slow.held[-1].number == 0xF0F0F0  # no credit, no blends
            assert len(engine.frames) == sets
            await engine.ask(Set, stream="main", params={"fill": color(0x202020)})
            await engine.frame(lambda frame: frame.number == 0x202020)

    run(test)


def test_a_fade_of_live_where_nothing_can_fade_has_no_effect(tmp_path):
    async def test():
        async with AppRig(tmp_path, LATEST) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            await engine.ask(
                Live, stream="main", on=True, fade_s=3600
            )  # a placeholder stands: the picture comes at once
            await engine.frame(lambda frame: frame.number == 0)
            await engine.ask(Live, stream="main", on=True, fade_s=3600)  # it is live already
            await engine.ask(Set, stream="main", params={"fill": color(1)})
            await engine.frame(lambda frame: frame.number == 1)
            await engine.ask(Live, stream="main", on=False, fade_s=3600)  # what stands stays anyway
            await _show(engine, 2)
            await engine.frame(lambda frame: frame.number == 2)
            rig.gate.shut()
            await engine.ask(Live, stream="main", on=True, fade_s=3600)
            await engine.ask(Live, stream="main", on=False)  # off before a new picture came: nothing waits any more
            rig.gate.open()
            await _show(engine, 3)
            await engine.frame(lambda frame: frame.number == 3)
            error = await engine.refused(Live, stream="main", on=True, fade_s=3601)
            assert (error.code, error.field) == (302, "fade_s")
            assert rig.bridge.streams.find("main").mode == "latest"  # refused, it changed nothing

    run(test)


@pytest.mark.parametrize("cover", ["blackout", "freeze", "panic"])
@pytest.mark.parametrize("begun", [False, True])
def test_what_covers_a_stream_ends_its_fade_into_live(tmp_path, cover, begun):
    async def test():
        async with AppRig(tmp_path, LATEST) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            await _show(engine, 0x101010)
            await engine.frame()
            await engine.ask(Live, stream="main", on=True, fade_s=3600)
            last = 0x101010
            if begun:
                before = len(engine.held)
                last = 0xF0F0F0
                await engine.ask(Set, stream="main", params={"fill": color(last)})
                await _held(engine, before, "a blend")
                # The first may have been of the values before: switched to live, a stream makes a picture at once.
                await rig.until(lambda: rig.gate.inputs("color")[-1] == last and not rig.bridge.requests, "the newest")
            if cover == "blackout":
                await engine.ask(Blackout, stream="main", on=True)
                await engine.frame(_is_black, held=True)
                await engine.ask(Blackout, stream="main", on=False)
            elif cover == "freeze":
                await engine.ask(Freeze, stream="main", on=True)
                await engine.ask(Freeze, stream="main", on=False)
            else:
                await engine.ask(Panic)
                await engine.ask(Resume)
                await engine.ask(Live, stream="main", on=True)
            if begun or cover == "panic":
                await engine.until(lambda: engine.held[-1].number == last, "the picture itself")
            await engine.ask(Set, stream="main", params={"fill": color(7)})
            await engine.frame(lambda frame: frame.number == 7)

    run(test)


def test_a_stream_that_ends_before_its_fade_into_live_is_forgotten(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            await engine.open("own", "solid", "latest")
            await engine.subscribe("own")
            await _show(engine, 5, "own")
            await engine.frame()
            await engine.ask(Live, stream="own", on=True, fade_s=60)
            actions = rig.server.actions
            actions.close_stream(actions.streams.find("own"))
            await engine.ask(Ping)
            assert not rig.bridge.shown._frozen
            # What is left are the forms of the card that stood before the first picture, which are kept for all.
            assert rig.bridge.buffers.stats().lent == len(rig.server.actions.held.forms._made)

    run(test)
