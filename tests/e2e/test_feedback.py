"""Loops in a real ComfyUI: in its memory with the pack, through the bridge without, and the same pictures on both ways.

What needs the pack is skipped where the ComfyUI of COMFYUI_URL has none: `texbridge nodes install PATH` brings it.
"""

import numpy as np
import pytest
from app_rig import AppRig, node, run, write_workflow

from bridge.codec.messages import Set
from bridge.types import Edge

WIDTH, HEIGHT = 192, 128
LOOP = {
    "1": node("LoadImage", "@picture:image", image="a.png"),
    "2": node("ImageScale", "", upscale_method="bilinear", width=WIDTH, height=HEIGHT, crop="disabled", image=["1", 0]),
    "3": node("EmptyImage", "@fill:color", width=WIDTH, height=HEIGHT, batch_size=1, color=0xFFFFFF),
    "4": node(
        "ImageBlend", "@amount:blend_factor", image1=["2", 0], image2=["3", 0], blend_factor=0.0, blend_mode="normal"
    ),
    "5": node("SaveImageWebsocket", "@out image", images=["4", 0]),
}
BINDING = """
[size]
width = ["2.width", "3.width"]
height = ["2.height", "3.height"]
step = 1
[parameters.picture]
lossless = true
[feedback]
edge = "{edge}"
"""
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
PHOTO = np.dstack([COLUMNS * 255 // WIDTH, ROWS * 255 // HEIGHT, (COLUMNS * ROWS) % 256, 255 + 0 * ROWS]).astype(
    np.uint8
)


@pytest.fixture
def keeps_pictures(with_pack):
    if with_pack.get("feedback") != 1:
        pytest.skip("the texbridge nodes of COMFYUI_URL keep no pictures: they are older")


def rig(folder, url, transfer, *, edge=Edge.MIRROR, mode="oneshot"):
    write_workflow(folder, "loop", LOOP, BINDING.format(edge=edge.value))
    backend = {"url": url, "name": "comfy", "transfer": transfer}
    return AppRig(folder, {"main": {"workflow": "loop", "mode": mode}}, comfy=False, backend=[backend])


def raw(array):
    height, width = array.shape[:2]
    return {"width": width, "height": height, "format": "rgba8", "origin": "top_left", "data": array.tobytes()}


async def one(engine, **params):
    request = await engine.run(params=params)
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer
    frame = await engine.frame(lambda frame: frame.header.request == request)
    return frame.pixels[..., :3].astype(int)


@pytest.mark.parametrize("edge", Edge)
def test_both_ways_give_the_same_picture(tmp_path, comfyui_url, keeps_pictures, edge):
    shown = {}
    for transfer in ("png", "raw"):

        async def test(transfer=transfer):
            async with rig(tmp_path, comfyui_url, transfer, edge=edge) as bridge:
                await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
                engine = await bridge.engine()
                await engine.subscribe(credit=8)
                pictures = [await one(engine, picture=raw(PHOTO), amount=0.05)]
                for step in range(6):
                    moves = {"feedback_zoom": 0.9 + 0.05 * step, "feedback_rotate": 4.0, "feedback_y": 0.02 * step}
                    pictures.append(await one(engine, feedback_match=0.5, **moves))
                shown[transfer] = pictures
                feedback = bridge.bridge.feedback
                assert (feedback.in_memory, feedback.through) == ((6, 0) if transfer == "raw" else (0, 6))

        run(test)
    assert (shown["png"][0] == shown["raw"][0]).all()
    for step, (one_way, other) in enumerate(zip(shown["png"], shown["raw"], strict=True)):
        assert np.abs(one_way - other).max() <= 1 + step
    assert np.abs(shown["raw"][6] - shown["raw"][0]).mean() > 10


@pytest.mark.parametrize("transfer", ["png", "raw"])
def test_whole_shifts_are_exact(tmp_path, comfyui_url, keeps_pictures, transfer):
    async def test():
        async with rig(tmp_path, comfyui_url, transfer) as bridge:
            await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            assert (await one(engine, picture=raw(PHOTO)) == PHOTO[..., :3]).all()
            got = await one(engine, feedback_x=0.25, feedback_rotate=180.0)
            turned = PHOTO[::-1, ::-1, :3].astype(int)
            quarter = WIDTH // 4
            expected = np.concatenate((turned[:, quarter - 1 :: -1], turned[:, :-quarter]), axis=1)
            # ComfyUI drops the fraction of what floats make of 255ths.
            assert np.abs(got - expected).max() <= (1 if transfer == "raw" else 0)

    run(test)


def test_a_live_loop_goes_on(tmp_path, comfyui_url, keeps_pictures):
    async def test():
        async with rig(tmp_path, comfyui_url, "auto", mode="live") as bridge:
            await bridge.until(lambda: bool(bridge.bridge.backends_up), "ComfyUI")
            engine = await bridge.engine()
            await engine.ask(Set, stream="main", params={"picture": raw(PHOTO), "feedback_rotate": 5.0})
            await engine.subscribe(credit=8)
            await bridge.until(lambda: bridge.bridge.feedback.in_memory >= 20, "twenty pictures in its memory")
            assert bridge.bridge.feedback.through == 0
            assert not [answer for answer in engine.finished.values() if answer.outcome == "failed"]

    run(test)
