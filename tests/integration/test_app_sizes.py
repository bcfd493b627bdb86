"""Sizes by aspect and megapixels, over the link, OSC and the configuration: snapped, made, and told to everybody."""

import pytest
from app_rig import AppRig, node, run, write_workflow

from bridge.app.config.config import load_config
from bridge.app.configured_streams import stream_checks
from bridge.app.serve import Server, make_library
from bridge.codec.bridge_messages import SizeSides
from bridge.codec.messages import Changed, Describe, Open
from bridge.errors import ConfigError

FIXED = {
    "1": node("LoadImage", "", image="a.png"),
    "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
}
STREAMS = {"main": {"workflow": "solid", "mode": "oneshot"}}


def _sizes(engine):
    """Those that it was told; that a stream warms, on a slow machine, is told by the same message."""
    return [change.size for change in engine.of(Changed) if change.size]


def test_open_by_aspect_and_megapixels(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, other = await rig.engine(), await rig.engine("websocket")
            described = await engine.ask(Describe, workflow="solid")
            assert (described.size, described.sides) == ((32, 16), SizeSides(step=8, min=8, max=16384))
            opened = await engine.open("wide", "solid", aspect="16:9", megapixels=0.01)
            assert (opened.created, opened.size) == (True, (136, 80))
            await other.subscribe("wide")
            await engine.subscribe("wide")
            await engine.finish(await engine.run("wide"))
            header = (await other.frame()).header
            assert (header.width, header.height) == (136, 80)

            # The aspect stays, or the number of pixels does: what is left out is as it was asked for.
            assert (await engine.open("wide", "solid", megapixels=0.0025)).size == (72, 40)
            assert (await engine.open("wide", "solid", aspect=[1, 1])).size == (48, 48)
            assert (await engine.open("wide", "solid", aspect=3)).size == (88, 32)
            assert (await engine.open("wide", "solid")).size == (88, 32)
            await engine.finish(await engine.run("wide"))
            await other.frame(lambda frame: (frame.header.width, frame.header.height) == (88, 32))
            await other.until(lambda: _sizes(other)[-1:] == [(88, 32)], "changed")
            assert _sizes(engine) == []  # it was told by the answer

    run(test)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"size": (64, 64), "aspect": "1:1"}, 305, "size"),
        ({"size": (64, 64), "megapixels": 1}, 305, "size"),
        ({"aspect": "wide"}, 305, "aspect"),
        ({"aspect": "101:1"}, 305, "aspect"),
        ({"aspect": [16, 0]}, 305, "aspect"),
        ({"megapixels": 0}, 305, "megapixels"),
        ({"megapixels": 257.5}, 305, "megapixels"),
        ({"aspect": "16:9", "workflow": "fixed"}, 305, "aspect"),
        ({"size": (65, 64)}, 305, "size"),
    ],
)
def test_open_refused(tmp_path, fields, code, field):
    async def test():
        write_workflow(tmp_path, "fixed", FIXED)
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            error = await engine.refused(Open, **{"stream": "new", "workflow": "solid", "mode": "oneshot", **fields})
            assert (error.code, error.field) == (code, field)
            assert len(rig.bridge.streams) == 1
            # A stream that is there keeps its size.
            if "workflow" not in fields:
                await engine.refused(Open, **{"stream": "main", "workflow": "solid", "mode": "oneshot", **fields})
                assert rig.bridge.streams.find("main").picture_size == (32, 16)

    run(test)


@pytest.mark.parametrize("aspect", [True, {}, [16], [16, 9, 1], [16, "9"], ["16", "9"]])
def test_an_aspect_of_another_kind_is_a_bad_message(tmp_path, aspect):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            error = await engine.refused(Open, stream="new", workflow="solid", mode="oneshot", aspect=aspect)
            assert (error.code, error.field, error.fatal) == (107, "aspect", False)

    run(test)


def test_osc_by_aspect(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, desk, other = await rig.engine(), rig.osc(), rig.osc()
            await engine.subscribe("main")
            for osc in (desk, other):
                osc.send("/texbridge/reply", osc.port)
                await osc.until(lambda osc=osc: bool(osc.at("/texbridge/main/status")))
            for place, (arguments, size) in enumerate(
                [
                    (("16:9", 0.01), (136, 80)),
                    (("3/4",), (88, 120)),
                    ((99, 201.0), (96, 200)),  # pixels, each to its nearest
                    (("1:1", 300.0), None),
                    (("1.85",), None),
                    (("1:1",), (136, 136)),
                    (("1:1",), (136, 136)),  # told again: nobody can know what it was snapped to
                ]
            ):
                heard, errors = len(desk.at("/texbridge/main/size")), len(desk.at("/texbridge/main/error"))
                desk.send("/texbridge/main/size", *arguments)
                if size is None:
                    await desk.until(lambda before=errors: len(desk.at("/texbridge/main/error")) > before)
                    assert desk.at("/texbridge/main/error")[-1][0] == 305
                    continue
                for osc in (desk, other):
                    await osc.until(lambda osc=osc, before=heard: len(osc.at("/texbridge/main/size")) > before)
                    assert tuple(osc.at("/texbridge/main/size")[-1]) == size, place
            await engine.until(lambda: _sizes(engine)[-1:] == [(136, 136)], "changed")
            await engine.finish(await engine.run())
            header = (await engine.frame()).header
            assert (header.width, header.height) == (136, 136)

    run(test)


def test_a_live_stream_that_is_opened_in_another_size_makes_a_picture(tmp_path):
    """Nothing but the size changed: the picture that is shown is no longer the right one."""

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe("main")
            await engine.frame()
            assert (await engine.open("main", "solid", "live", size=(64, 48))).size == (64, 48)
            await engine.frame(lambda frame: (frame.header.width, frame.header.height) == (64, 48))

    run(test)


def test_another_workflow_snaps_the_size_and_says_so(tmp_path):
    async def test():
        write_workflow(
            tmp_path,
            "coarse",
            {
                "1": node("EmptyImage", "@width @height", width=64, height=64, batch_size=1, color=0),
                "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
            },
            "[size]\nstep = 64\n",
        )
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, desk = await rig.engine(), rig.osc()
            await engine.subscribe("main")
            desk.send("/texbridge/reply", desk.port)
            await desk.until(lambda: bool(desk.at("/texbridge/main/status")))
            desk.send("/texbridge/main/size", 104, 72)
            await desk.until(lambda: bool(desk.at("/texbridge/main/size")))
            desk.send("/texbridge/main/workflow", "coarse")
            await desk.until(lambda: tuple(desk.at("/texbridge/main/size")[-1]) == (128, 64))
            await engine.until(lambda: any(change.size == (128, 64) for change in engine.of(Changed)), "changed")

    run(test)


def test_configured_by_aspect(tmp_path, caplog):
    caplog.set_level("INFO")

    async def test():
        streams = {
            "main": {"workflow": "solid", "mode": "oneshot", "aspect": "16:9", "megapixels": 0.01},
            "tall": {"workflow": "solid", "mode": "oneshot", "aspect": [9, 16]},
            "large": {"workflow": "solid", "mode": "oneshot", "megapixels": 0.5},
            "film": {"workflow": "solid", "mode": "oneshot", "aspect": 1.85},
        }
        async with AppRig(tmp_path, streams) as rig:
            sizes = {name: rig.bridge.streams.find(name).picture_size for name in streams}
            assert sizes == {"main": (136, 80), "tall": (16, 32), "large": (1024, 512), "film": (32, 16)}
            checks = stream_checks(rig.server.config, rig.bridge.library)
            assert [check.verdict for check in checks] == ["ok"]
            assert "main = solid (oneshot, aspect 1.778, 0.01 megapixels is 136 x 80" in checks[0].found

    run(test)
    assert "stream main: aspect 1.778, 0.01 megapixels is 136 x 80" in caplog.text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"aspect": "16:9", "size": [64, 64]}, "say the size, or aspect and megapixels"),
        ({"aspect": "16x9"}, "is not width to height"),
        ({"megapixels": -1}, "over 0, at most 256"),
        ({"size": [65, 64]}, "nearest is 64"),
    ],
)
def test_configured_wrong(more, words):
    streams = {"main": {"workflow": "gradient", "mode": "oneshot", **more}}
    config = load_config(None, {}, {"streams": streams, "search": {"places": []}})

    async def test():
        server = Server(config)
        with pytest.raises(ConfigError, match=words):
            await server.start()

    run(test)
    checks = stream_checks(config, make_library(log_errors=False)[0])
    assert [(check.topic, check.verdict) for check in checks] == [("stream main", "bad")]
    assert words in checks[0].found
