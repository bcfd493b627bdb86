"""The last picture as the next one's input, over real sockets: by the node pack's memory and through the bridge."""

import numpy as np
import pytest
from app_rig import AppRig, node, run, write_workflow

from bridge.backends.transfer import TransferMode
from bridge.codec.messages import Describe, Panic, Resume, Run, Sequence, Set
from bridge.embedded import EmbeddedServer

WIDTH, HEIGHT = 48, 32

# The last picture, a little of a colour laid over it.
LOOP = {
    "1": node("LoadImage", "@picture:image", image="a.png"),
    "2": node("ImageScale", "", upscale_method="bilinear", width=WIDTH, height=HEIGHT, crop="disabled", image=["1", 0]),
    "3": node("EmptyImage", "@fill:color", width=WIDTH, height=HEIGHT, batch_size=1, color=0xFFFFFF),
    "4": node("ImageBlend", "@amount:blend_factor", image1=["2", 0], image2=["3", 0], blend_factor=0.0,
              blend_mode="normal"),
    "5": node("SaveImageWebsocket", "@out image", images=["4", 0]),
}  # fmt: skip
BINDING = """
[size]
width = ["2.width", "3.width"]
height = ["2.height", "3.height"]
step = 1
[parameters.picture]
lossless = true
[feedback]
"""
PHOTO = np.random.default_rng(11).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
PHOTO[..., 3] = 255


def raw(array):
    height, width = array.shape[:2]
    return {"width": width, "height": height, "format": "rgba8", "origin": "top_left", "data": array.tobytes()}


def rig(folder, mode="oneshot", **options):
    write_workflow(folder, "loop", LOOP, BINDING)
    return AppRig(folder, {"main": {"workflow": "loop", "mode": mode, **options}})


def use_files(bridge):
    """No node pack: everything goes through the bridge, in 8 bits."""
    bridge.bridge.backends.get("comfy").nodes.transfer.mode = TransferMode.PNG


async def one(engine, stream="main", **params):
    request = await engine.run(stream=stream, params=params)
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer
    return (await engine.frame(lambda frame: frame.header.request == request)).pixels[..., :3].astype(int)


def loaders(bridge):
    return [graph["1"]["class_type"] for graph in bridge.gate.graphs]


@pytest.mark.parametrize("way", ["files", "nodes"])
def test_each_picture_is_made_of_the_last(tmp_path, way):
    """Shifted by a quarter each time, which is exact: after four times it is where it began, mirrored at the edges."""

    async def test():
        async with rig(tmp_path) as bridge:
            if way == "files":
                use_files(bridge)
            engine = await bridge.engine()
            assert "feedback" in engine.welcome.features
            await engine.subscribe(credit=8)
            expected = PHOTO[..., :3].astype(int)
            assert (await one(engine, picture=raw(PHOTO)) == expected).all()
            for _ in range(3):
                got = await one(engine, feedback_x=0.25)
                expected = np.concatenate((expected[:, 11::-1], expected[:, :36]), axis=1)
                assert (got == expected).all()
            first, *others = loaders(bridge)
            assert first == ("TexBridgeInput" if way == "nodes" else "LoadImage")
            assert set(others) == {"TexBridgeFeedback" if way == "nodes" else "LoadImage"}

    run(test)


def test_both_ways_give_the_same_picture(tmp_path):
    """The bridge's has 8 bits at each step, ComfyUI's are floats: a level for each picture at most, and one more."""
    shown = {}
    for way in ("files", "nodes"):

        async def test(way=way):
            async with rig(tmp_path) as bridge:
                if way == "files":
                    use_files(bridge)
                engine = await bridge.engine()
                await engine.subscribe(credit=8)
                pictures = [await one(engine, picture=raw(PHOTO), amount=0.05)]
                for step in range(5):
                    moves = {"feedback_zoom": 1.1, "feedback_rotate": 3.0, "feedback_y": 0.02 * step}
                    pictures.append(await one(engine, feedback_match=0.5, **moves))
                shown[way] = pictures

        run(test)
    assert (shown["files"][0] == shown["nodes"][0]).all()
    for step, (one_way, other) in enumerate(zip(shown["files"], shown["nodes"], strict=True)):
        assert np.abs(one_way - other).max() <= 1 + step
    assert np.abs(shown["nodes"][5] - shown["nodes"][0]).mean() > 10


def test_it_begins_with_black_and_anew_with_a_picture_its_switch_and_after_panic(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            white = {"fill": [1.0, 1.0, 1.0], "amount": 0.5}
            assert set((await one(engine, **white)).ravel()) == {127}
            assert set((await one(engine)).ravel()) == {191}
            await one(engine, picture=raw(PHOTO), amount=0.0)
            assert (await one(engine, feedback_rotate=180.0) == PHOTO[::-1, ::-1, :3]).all()
            # The switch: off, and the graph gets the parameter's own picture each time; on, and it is the first.
            assert (await one(engine, feedback=False) == PHOTO[..., :3]).all()
            assert (await one(engine) == PHOTO[..., :3]).all()
            assert (await one(engine, feedback=True) == PHOTO[..., :3]).all()
            assert (await one(engine) == PHOTO[::-1, ::-1, :3]).all()
            await engine.ask(Panic)
            await engine.ask(Resume)
            assert (await one(engine) == PHOTO[..., :3]).all()

    run(test)


def test_a_live_loop_goes_on_one_picture_at_a_time_and_switched_off_it_rests(tmp_path):
    async def test():
        async with rig(tmp_path, "live") as bridge:
            engine = await bridge.engine()
            await engine.ask(Set, stream="main", params={"picture": raw(PHOTO), "feedback_x": 0.25})
            await engine.subscribe()
            await bridge.begun(6)
            prompts = bridge.gate.graphs[:6]
            names = [graph["5"]["inputs"]["keep"] for graph in prompts]
            taken = [graph["1"]["inputs"].get("kept") for graph in prompts]
            assert taken[1:] == names[:-1]  # each takes what the one before it kept
            await engine.ask(Set, stream="main", params={"feedback": False})
            await bridge.until(lambda: bridge.bridge.scheduler.is_idle("comfy"), "an idle ComfyUI")
            before = bridge.gate.begun
            await engine.ask(Set, stream="main", params={"feedback": True})
            await bridge.begun(before + 3)

    run(test)


def test_queued_runs_are_one_chain(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            await engine.ask(Set, stream="main", params={"picture": raw(PHOTO), "feedback_x": 0.25})
            requests = [(await engine.ask(Run, stream="main")).request for _ in range(5)]
            for answer in await engine.finish(*requests):
                assert answer.outcome == "done", answer
            last = await engine.frame(lambda frame: frame.header.request == requests[4])
            expected = PHOTO[..., :3]
            for _ in range(4):
                expected = np.concatenate((expected[:, 11::-1], expected[:, :36]), axis=1)
            assert (last.pixels[..., :3] == expected).all()

    run(test)


def test_what_comfyui_lost_comes_from_the_bridge(tmp_path):
    """Its memory was emptied (restarted, or full of others' pictures): the run is made all the same."""

    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            await one(engine, picture=raw(PHOTO))
            bridge.comfy._files.kept.clear()
            assert (await one(engine, feedback_rotate=180.0) == PHOTO[::-1, ::-1, :3]).all()
            assert bridge.bridge.feedback.through == 1
            assert bridge.bridge.backends.get("comfy").nodes.usable  # no fault of the pack
            await one(engine)
            assert loaders(bridge)[-1] == "TexBridgeFeedback"

    run(test)


def test_with_another_backend_the_loop_goes_on_through_the_bridge(tmp_path):
    async def test():
        write_workflow(tmp_path, "loop", LOOP, BINDING)
        other = EmbeddedServer()
        await other.start()
        made = AppRig(tmp_path, {"main": {"workflow": "loop", "mode": "oneshot"}})
        async with made as bridge:
            try:
                engine = await bridge.engine()
                await engine.subscribe(credit=8)
                await one(engine, picture=raw(PHOTO))
                await one(engine, feedback_rotate=180.0)
                assert bridge.bridge.feedback.in_memory == 1
                from bridge.app.config.backend import BackendConfig

                bridge.server.backends.add(BackendConfig(url=other.url, name="other"))
                await bridge.until(lambda: "other" in bridge.bridge.backends_up, "the other ComfyUI")
                await bridge.comfy.close()
                bridge.comfy = None
                assert (await one(engine) == PHOTO[..., :3]).all()
                assert bridge.bridge.feedback.through >= 1
            finally:
                await other.close()

    run(test)


def test_it_is_described_and_moved_like_any_parameter(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            described = await engine.ask(Describe, stream="main")
            zoom = next(spec for spec in described.parameters if spec.name == "feedback_zoom")
            assert (zoom.min, zoom.max, zoom.value) == (0.5, 2.0, 1.0)
            osc = bridge.osc()
            osc.send("/texbridge/main/feedback_zoom/norm", 1.0)
            osc.send("/texbridge/main/feedback_rotate", 12.5)
            values = bridge.bridge.streams.by_name["main"].values
            await bridge.until(lambda: values["feedback_rotate"] == 12.5, "the values")
            assert values["feedback_zoom"] == 2.0

    run(test)


def test_the_frames_of_a_sequence_are_one_chain(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            await engine.ask(Set, stream="main", params={"picture": raw(PHOTO), "feedback_x": 0.25})
            tracks = {"feedback_rotate": [[0, 0.0]]}
            accepted = await engine.ask(Sequence, stream="main", frames=5, tracks=tracks)
            (answer,) = await engine.finish(accepted.request)
            assert (answer.outcome, answer.frames) == ("done", 5), answer
            last = await engine.frame(lambda frame: frame.header.index == 4)
            expected = PHOTO[..., :3]
            for _ in range(4):
                expected = np.concatenate((expected[:, 11::-1], expected[:, :36]), axis=1)
            assert (last.pixels[..., :3] == expected).all()

    run(test)


def test_a_live_loop_whose_picture_comfyui_lost_goes_on_without_a_word(tmp_path):
    async def test():
        async with rig(tmp_path, "live") as bridge:
            engine = await bridge.engine(hello={"events": ["live"]})
            await engine.ask(Set, stream="main", params={"picture": raw(PHOTO), "feedback_x": 0.25})
            await engine.subscribe()
            await bridge.begun(3)

            def lost():
                if bridge.bridge.feedback.through >= 1:
                    return True
                # Again and again: what is cleared before a prompt's end is there again after it.
                bridge.comfy._files.kept.clear()
                return False

            await bridge.until(lost, "a picture through the bridge")
            before = bridge.bridge.feedback.in_memory
            await bridge.until(lambda: bridge.bridge.feedback.in_memory > before + 2, "its memory again")
            assert not [answer for answer in engine.finished.values() if answer.outcome == "failed"]

    run(test)
