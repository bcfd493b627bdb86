"""`min_change` over real sockets: what hardly changed makes no picture, is counted, and is used for the next one."""

import asyncio

import numpy as np
import pytest
from app_rig import AppRig, color, node, run, solid, write_workflow

from bridge.app.inputs.picture_changes import difference, small_picture
from bridge.codec.messages import Describe, Image, Open, Run, Set, Stats
from bridge.codec.picture_header import PictureLimits
from bridge.types import Mode, Origin, PictureRule, PixelFormat, RawPicture

GRAPH = {
    "1": node("LoadImage", "@picture:image", image="a.png"),
    "2": solid("@fill:color"),
    "3": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    "4": node("SaveImageWebsocket", "@out fill", images=["2", 0]),
}
LIVE = {"main": {"workflow": "camera", "mode": "live"}}
BASE = np.random.default_rng(4).integers(40, 200, (64, 96, 4), np.uint8)


def raw(array):
    height, width = array.shape[:2]
    return {"width": width, "height": height, "format": "rgba8", "origin": "top_left", "data": array.tobytes()}


def brighter(levels):
    return raw((BASE.astype(int) + levels).clip(0, 255).astype(np.uint8))


def rig(folder, streams=None, binding="[parameters.picture]\nmin_change = 0.02\nlossless = true\n"):
    write_workflow(folder, "camera", GRAPH, binding)
    return AppRig(folder, LIVE if streams is None else streams)


async def picture(engine, value):
    await engine.ask(Image, stream="main", param="picture", value=value)


async def measured(bridge):
    """Wait until nothing is measured, made or on its way."""

    while measuring := list(bridge.server.actions.changes._measuring.values()):
        await asyncio.gather(*measuring)
    await bridge.until(lambda: bridge.bridge.scheduler.is_idle("comfy") and not bridge.bridge.requests, "rest")


@pytest.mark.parametrize("way", ["binding", "config", "open"])
def test_what_hardly_changed_makes_none_and_adds_up(tmp_path, way):
    async def test():
        streams = {"main": {**LIVE["main"], **({"min_change": 0.02} if way == "config" else {})}}
        binding = "[parameters.picture]\nlossless = true\n" + ("min_change = 0.02\n" if way == "binding" else "")
        async with rig(tmp_path, streams, binding) as bridge:
            engine = await bridge.engine()
            assert "min_change" in engine.welcome.features
            if way == "open":
                await engine.ask(Open, stream="main", workflow="camera", mode=Mode.LIVE, min_change=0.02)
            await picture(engine, brighter(0))
            await engine.subscribe()
            await bridge.begun(1)
            await measured(bridge)
            for levels in (1, 2, 3):  # of 255: each less than two hundredths from the one that was used
                await picture(engine, brighter(levels))
                await measured(bridge)
            assert bridge.gate.begun == 1
            assert (await engine.ask(Stats, stream="main")).skipped == 3
            await picture(engine, brighter(7))
            await bridge.begun(2)
            await measured(bridge)
            await picture(engine, brighter(9))
            await measured(bridge)
            assert bridge.gate.begun == 2

    run(test)


def test_another_value_and_a_run_always_make_one_with_the_newest_picture(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await picture(engine, brighter(0))
            await engine.subscribe(credit=8, outputs=[0])
            await bridge.begun(1)
            await measured(bridge)
            await picture(engine, brighter(3))
            await measured(bridge)
            await engine.ask(Set, stream="main", params={"fill": color(7)})
            await bridge.begun(2)
            await measured(bridge)
            expected = np.frombuffer(brighter(3)["data"], np.uint8).reshape(BASE.shape)[..., :3]
            await engine.until(lambda: (engine.frames[-1].pixels[..., :3] == expected).all(), "the newest picture")
            await engine.ask(Run, stream="main", params={"picture": brighter(4)})
            await bridge.begun(3)
            await engine.ask(Set, stream="main", params={"picture": brighter(5), "fill": color(8)})
            await bridge.begun(4)

    run(test)


def test_another_size_is_another_picture_and_without_the_key_each_counts(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await picture(engine, brighter(0))
            await engine.subscribe()
            await bridge.begun(1)
            await measured(bridge)
            await picture(engine, raw(np.ascontiguousarray(BASE[:32])))
            await bridge.begun(2)
            await engine.ask(Open, stream="main", workflow="camera", mode=Mode.LIVE, min_change=0.0)
            await measured(bridge)
            await picture(engine, raw(np.ascontiguousarray(BASE[:32]) + np.uint8(1)))
            await bridge.begun(3)
            assert (await engine.ask(Describe, stream="main")).workflow == "camera"

    run(test)


def small(array, pixel_format=PixelFormat.R8, rule=PictureRule()):  # noqa: B008
    height, width = array.shape[:2]
    made = RawPicture(width, height, pixel_format, Origin.TOP_LEFT, np.ascontiguousarray(array).tobytes())
    return small_picture(made, rule, PictureLimits())


def test_the_difference():
    black, white = np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)
    half = black.copy()
    half[:32] = 255
    assert difference(small(black), small(white)) == 1.0
    assert difference(small(black), small(half)) == pytest.approx(0.5)
    assert difference(small(black), small(black)) == 0.0
    noise = np.random.default_rng(1).integers(0, 9, (640, 640), np.uint8)
    other = np.random.default_rng(2).integers(0, 9, (640, 640), np.uint8)
    assert difference(small(noise), small(other)) < 0.002
    depth = np.full((8, 8), 0.5, "<f4")
    near, far = small(depth, PixelFormat.R32F), small(depth * 2, PixelFormat.R32F)
    assert difference(near, far) == pytest.approx(0.5, abs=0.01)
