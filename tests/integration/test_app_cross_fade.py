"""Cross-fades over real sockets: exact blends between two sets, then the set itself; covers win at once."""

import itertools

import numpy as np
import pytest
from app_rig import AppRig, LinkError, color, run

from bridge.client import Client
from bridge.codec.messages import Ack, Blackout, Freeze, Panic
from bridge.delivery import cross_fade
from bridge.types import Delivery, FrameFlags

BLACK, WHITE = color(0), color(0xFFFFFF)
STREAMS = {"main": {"workflow": "solid", "mode": "oneshot"}}


@pytest.fixture
def slow_fade(monkeypatch):
    """Each fade takes a second, however quick the pictures came."""
    monkeypatch.setattr(cross_fade.CrossFade, "length_s", property(lambda fade: 1.0 if fade._gaps else 0.0))


@pytest.fixture
def stepped_fade(monkeypatch):
    """Each fade takes an hour, and `go_on` lets some of it pass: so there are blends on a slow machine too."""
    monkeypatch.setattr(cross_fade.CrossFade, "length_s", property(lambda fade: 3600.0 if fade._gaps else 0.0))


def go_on(rig, seconds=400.0):
    """So many seconds of all fades pass."""
    for viewer in rig.bridge.viewers.of_stream(1):
        if viewer.fade is not None and viewer.fade._fade.is_fading:
            viewer.fade._fade._begun -= seconds
            viewer.fade._fade._ends_at -= seconds
            viewer.fade._set_timer()


async def show(engine, fill):
    request = await engine.run(params={"fill": fill})
    (answer,) = await engine.finish(request)
    return answer.number


async def the_set(engine, number):
    await engine.until(lambda: any(f.header.number == number for f in engine.frames), f"set {number}")


def blends_of(engine, number):
    return [frame for frame in engine.held if frame.header.number == number]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("word", ["rgba8", "bgra8", "rgb8", "r8", "r16", "rgba16f", "r16f", "rgba32f", "r32f"])
def test_exact_blends_that_only_grow_and_then_the_set(tmp_path, stepped_fade, word, shared):
    if shared and word != "rgba8":
        pytest.skip("shared memory knows no formats")

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine(hello={"shared_memory": shared})
            assert "cross_fade" in engine.welcome.features
            engine.acks = False
            asked = await engine.subscribe(format=word, credit=8, blend_fps=60.0, shared_memory=shared or None)
            assert asked.blend_fps == 60.0
            first = await show(engine, BLACK)
            await the_set(engine, first)
            engine.send(Ack(stream="main", number=first))
            began = rig.bridge.clock()
            second = await show(engine, WHITE)
            seen = []

            def ack():
                # As an engine does: whatever was taken is acked.
                if len(blends_of(engine, first)) > len(seen):
                    seen[:] = blends_of(engine, first)
                    engine.send(Ack(stream="main", number=first))
                    go_on(rig)
                return any(f.header.number == second for f in engine.frames)

            await engine.until(ack, "the second set")
            blends = blends_of(engine, first)
            assert 2 <= len(blends) <= (rig.bridge.clock() - began) * 60 + 2
            assert {frame.header.request for frame in blends} == {engine.frames[-1].header.request - 1}
            if shared:
                return  # the pixels lie in the file; that they are those of the slot is other tests' affair
            dtype = {"r16": "<u2", "rgba16f": "<f2", "r16f": "<f2", "rgba32f": "<f4", "r32f": "<f4"}.get(word, "u1")
            colors = [np.frombuffer(frame.data, dtype)[0] for frame in blends]
            assert all(earlier <= later for earlier, later in itertools.pairwise(colors))
            if dtype == "u1":
                exact = {(255 * weight + 128) >> 8 for weight in range(257)}
                assert set(colors) <= exact
                pixel = np.frombuffer(blends[0].data, "u1")
                assert set(pixel) <= {colors[0], 255}

    run(test)


def test_without_acks_of_blends_the_set_comes_all_the_same(tmp_path, stepped_fade):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            await engine.subscribe(blend_fps=60.0)  # held frames are not acked by this engine
            for number in (1, 2, 3):
                assert await show(engine, color(number)) == number
                if number > 1:
                    await engine.until(lambda shown=number - 1: bool(blends_of(engine, shown)), "a blend")
                    go_on(rig, 3600.0)
                await the_set(engine, number)
            assert len(blends_of(engine, 1)) == 1
            assert len(blends_of(engine, 2)) == 1

    run(test)


def test_freeze_ends_it_with_the_newest_and_panic_and_black_win_at_once(tmp_path, slow_fade):
    async def test():
        async with AppRig(tmp_path, STREAMS, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.subscribe(blend_fps=60.0, credit=8)
            await show(engine, color(1))
            await show(engine, color(2))
            await engine.ask(Freeze, stream="main", on=True)
            await the_set(engine, 2)
            await engine.ask(Freeze, stream="main", on=False)
            await show(engine, WHITE)
            await engine.ask(Blackout, stream="main", on=True)
            await engine.until(lambda: engine.held[-1].header.number == 0 and engine.held[-1].number == 0, "black")
            count = len(engine.held)
            await engine.ask(Blackout, stream="main", on=False)
            await engine.until(lambda: len(engine.held) > count, "a picture")
            assert engine.held[count].number == 0xFFFFFF  # and no blend between
            await show(engine, color(5))
            await engine.ask(Panic)
            await engine.until(lambda: engine.held[-1].header.number == 0, "the panic picture")
            viewer = rig.bridge.viewers.of_stream(1)[0]
            assert not viewer.fade._fade.is_fading

    run(test)


def test_what_can_t_be_blended_is_refused(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            for fields, code in (
                ({"format": "jpeg", "blend_fps": 60.0}, 411),
                ({"format": "bc1", "blend_fps": 60.0}, 411),
                ({"delivery": Delivery.LOSSLESS, "blend_fps": 60.0}, 411),
                ({"blend_fps": 1000.0}, 302),
            ):
                with pytest.raises(LinkError) as refused:
                    await engine.subscribe(**fields)
                assert refused.value.code == code
                assert refused.value.error.field == "blend_fps"

    run(test)


def test_nobody_who_did_not_ask_gets_blends_and_nothing_is_left(tmp_path, slow_fade):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            fading, plain = await rig.engine(), await rig.engine()
            await fading.subscribe(blend_fps=30.0, credit=8)
            await plain.subscribe(credit=8)
            for number in (1, 2):
                await show(plain, color(number))
                await the_set(plain, number)
            await the_set(fading, 2)
            assert not [frame for frame in plain.held if frame.header.number]
            assert not any(frame.has(FrameFlags.PREVIEW) for frame in fading.frames)
            await fading.close()
        assert rig.bridge.buffers.stats().lent == 0

    run(test)


def test_a_set_of_another_size_comes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_fade.CrossFade, "length_s", property(lambda fade: 3600.0 if fade._gaps else 0.0))

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            await engine.subscribe(blend_fps=1.0)
            await show(engine, color(1))
            await show(engine, color(2))  # fades for an hour
            rig.osc().send("/texbridge/main/size", 64, 64)
            stream = rig.bridge.streams.by_name["main"]
            await rig.until(lambda: stream.size is not None, "the size")
            await show(engine, color(3))
            await the_set(engine, 3)
            assert [frame.header.number for frame in engine.frames] == [1, 3]

    run(test)


@pytest.mark.parametrize("shared", [False, True])
def test_the_client_sees_each_blend_whole(tmp_path, stepped_fade, shared):
    """In shared memory too, where a slot may not be written over while its blend is still to be read."""

    streams = {"main": {"workflow": "solid", "mode": "oneshot", "size": [256, 128]}}

    async def test():
        async with (
            AppRig(tmp_path, streams) as rig,
            Client(rig.server.addresses.tcp, shared_memory=shared) as client,
        ):
            frames = await client.subscribe("main", blend_fps=60.0, credit=2)
            values = []
            for fill in (BLACK, WHITE, BLACK):
                await client.run("main", {"fill": fill})
                while not values or values[-1][0]:
                    frame = await frames.next(timeout_s=20)
                    if frame.header.number:  # no placeholder
                        pixels = frame.pixels[..., :3]
                        assert (pixels == pixels[0, 0]).all()
                        values.append((frame.held, int(pixels[0, 0, 0])))
                        go_on(rig)
                shown.append(values.pop()[1])
                assert values == sorted(values, reverse=fill == BLACK)
                blends.append(len(values))
                values.clear()

    shown, blends = [], []
    run(test)
    assert shown == [0, 255, 0]
    assert blends[0] == 0
    assert min(blends[1:]) >= 2
