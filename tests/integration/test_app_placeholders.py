"""Pictures that no workflow made: large ones are made beside the loop, and none comes after a panic picture."""

import asyncio
import io
import threading

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, Frame, color, run
from PIL import Image

from bridge.app.pictures import held, held_forms
from bridge.codec.messages import Accepted, Changed, Panic, Ping, Progress, Resume, Run, Subscribe, Subscribed
from bridge.errors import ConfigError
from bridge.types import Delivery, Origin

LARGE = (2048, 1024)
CORNERS = ((40, 40), (40, -40), (-40, 40), (-40, -40))
COLOURS = [(192, 32, 32), (32, 128, 32), (32, 64, 192), (224, 192, 32)]
"""Of the test card, just inside its corners."""


@pytest.fixture
def makers(monkeypatch):
    """The threads that made placeholders and black pictures, by width."""
    found: list[tuple[int, bool]] = []

    def watch(make, place):
        def watched(*arguments):
            spec, size = arguments[place : place + 2]
            on_loop = threading.current_thread() is threading.main_thread()
            found.append(((spec.size or size).width, on_loop))
            return make(*arguments)

        return watched

    monkeypatch.setattr(held_forms, "still_payload", watch(held_forms.still_payload, 1))
    monkeypatch.setattr(held, "black_payload", watch(held.black_payload, 0))
    return found


def test_a_large_picture_is_made_small_beside_the_loop(tmp_path, makers):
    """A photograph as placeholder takes half a second to be brought to any size."""

    async def test():
        file = tmp_path / "large.png"
        Image.fromarray(np.full((1024, 2048, 3), 99, np.uint8)).save(file)
        async with AppRig(
            tmp_path, {"main": {"workflow": "solid", "mode": "oneshot", "placeholder": str(file)}}
        ) as rig:
            engine = await rig.engine()
            await engine.subscribe(size=(32, 16))
            assert ((await engine.frame(held=True)).pixels[..., :3] == 99).all()
            assert makers == [(32, False)]

    run(test)


@pytest.mark.parametrize("format", ["rgba8", "png"])
def test_a_large_placeholder_is_made_beside_the_loop(tmp_path, makers, format):
    async def test():
        async with AppRig(tmp_path) as rig:
            small, large = await rig.engine(), await rig.engine()
            await small.subscribe(format=format)
            await small.frame(held=True)
            await large.subscribe(format=format, size=LARGE)
            frame = await large.frame(held=True)
            assert (frame.header.width, frame.header.height, frame.header.number) == (*LARGE, 0)
            if format == "rgba8":
                assert frame.pixels.shape == (LARGE[1], LARGE[0], 4)
                assert [tuple(frame.pixels[row, column, :3]) for row, column in CORNERS] == COLOURS
            assert makers == [(32, True), (LARGE[0], False)]

    run(test)
    assert makers


@pytest.mark.parametrize("shown", [False, True])
def test_a_large_black_picture_is_the_next_one_and_the_last(tmp_path, makers, shown):
    async def test():
        async with AppRig(tmp_path, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.subscribe(size=LARGE)
            await engine.frame(held=True)
            if shown:
                await engine.finish(await engine.run(params={"fill": color(3)}))
                await engine.frame(lambda frame: frame.number == 3)
            before = len(engine.held)
            await engine.ask(Panic)
            await engine.until(lambda: len(engine.held) > before, "the panic picture")
            assert (engine.held[-1].pixels == [0, 0, 0, 255]).all()
            assert not makers[-1][1]
            await engine.ask(Resume)
            await engine.finish(await engine.run(params={"fill": color(4)}))
            await engine.frame(lambda frame: frame.number == 4)

    run(test)


def test_the_last_set_that_a_newcomer_waits_for_does_not_come_after_black(tmp_path, monkeypatch):
    """Its form was still in the making when panic came."""

    async def test():
        async with AppRig(tmp_path, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.finish(await engine.run(params={"fill": color(3)}))
            asked, go_on = asyncio.Event(), asyncio.Event()
            held_set = rig.bridge.shown.held_set

            async def slow(*arguments):
                asked.set()
                await go_on.wait()
                return await held_set(*arguments)

            monkeypatch.setattr(rig.bridge.shown, "held_set", slow)
            monkeypatch.setattr(rig.bridge.shown, "held_now", lambda *_: None)  # raw pictures would be there at once
            await engine.subscribe(format="bgra8")
            await asked.wait()
            await engine.ask(Panic)
            frame = await engine.frame(held=True)
            assert (frame.pixels[..., :3] == 0).all()
            go_on.set()
            for _ in range(3):
                await engine.ask(Ping)
            tasks = list(rig.server.actions.held._tasks)
            await asyncio.gather(*tasks)
            await engine.ask(Ping)
            assert len(engine.held) == 1
            assert not np.any(engine.held[0].pixels[..., :3])

    run(test)


@pytest.mark.parametrize("size", [None, LARGE])
def test_a_picture_of_ones_own_is_the_placeholder_until_there_is_another(tmp_path, size):
    async def test():
        path = tmp_path / "wait.png"
        Image.new("RGB", (8, 4), (10, 20, 30)).save(path)
        streams = {"main": {"workflow": "solid", "mode": "oneshot", "placeholder": str(path)}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe(**({} if size is None else {"size": size}))
            frame = await engine.frame(held=True)
            assert (frame.header.width, frame.header.height, frame.header.number) == (*(size or (32, 16)), 0)
            assert (frame.pixels == [10, 20, 30, 255]).all()
            await engine.finish(await engine.run(params={"fill": color(4)}))
            await engine.frame(lambda frame: frame.number == 4)

    run(test)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_placeholder_that_is_none_is_told_at_the_start(tmp_path, content):
    async def test():
        path = tmp_path / "wait.png"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"wait\.png of \[streams\.main\].* (take placeholder out|save it)"):
            async with AppRig(
                tmp_path, {"main": {"workflow": "solid", "mode": "oneshot", "placeholder": str(path)}}, comfy=False
            ):
                pass

    run(test)


def test_a_still_of_a_large_stream_is_black_during_panic_too(tmp_path):
    async def test():
        streams = {"main": {"workflow": "solid", "mode": "oneshot", "size": LARGE}}
        async with AppRig(tmp_path, streams, panic={"picture": "black"}) as rig:
            engine = await rig.engine()
            await engine.finish(await engine.run(params={"fill": color(0xFFFFFF)}))
            await engine.ask(Panic)
            url = f"http://{rig.server.addresses.http}/streams/main.jpg"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                picture = Image.open(io.BytesIO(await answer.read()))
            assert picture.size == LARGE
            assert not np.asarray(picture).any()

    run(test)


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
@pytest.mark.parametrize("size", [None, LARGE])
def test_it_comes_right_after_subscribed(tmp_path, kind, size):
    """Before any set, and nothing stands between but what the other messages of the same moment are answered."""

    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(kind)
            rig.gate.shut()
            form = {"stream": "main", "format": "rgba8", "origin": Origin.TOP_LEFT, "delivery": Delivery.LATEST}
            for message in (
                Subscribe(id=70, credit=1, size=size, **form),
                Run(id=71, stream="main", params={"fill": color(3)}),
            ):
                engine.send(message)
            await engine.until(lambda: bool(engine.held))
            rig.gate.open()
            await engine.frame()
            kinds = [type(item) for item in engine.log if not isinstance(item, Accepted | Progress | Changed)]
            first = kinds.index(Subscribed)
            assert kinds[first : first + 2] == [Subscribed, Frame]
            assert [frame.header.number for frame in engine.of(Frame)] == [0, 1]

    run(test)


@pytest.mark.parametrize("size", [None, LARGE])
def test_a_form_is_made_once_for_all_who_come(tmp_path, makers, size):
    async def test():
        async with AppRig(tmp_path, {name: {"workflow": "solid", "mode": "oneshot"} for name in "abc"}) as rig:
            engines = [await rig.engine() for _ in range(4)]
            more = {} if size is None else {"size": size}
            await asyncio.gather(*(engine.subscribe(name, **more) for engine in engines for name in "abc"))
            for engine in engines:
                await engine.until(lambda engine=engine: len(engine.held) == 3)
                assert {frame.data for frame in engine.held} == {engines[0].held[0].data}
            assert len(makers) == 1

    run(test)
