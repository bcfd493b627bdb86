"""Workflows in the running bridge: changed, edited, of several pictures, ended by SaveImage, cached, failing."""

import io
import json

import numpy as np
import pytest
from app_rig import WORKFLOWS, AppRig, LinkError, color, node, run, solid, write_workflow
from PIL import Image

from bridge.app import watch
from bridge.codec.messages import Cancel, Changed, Describe, Finished, Open, Ping, Run, Set
from bridge.types import FrameFlags, Mode


def png(color=(10, 200, 30), size=(24, 16)):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def test_osc_changes_the_workflow_and_values_that_fit_stay(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.set(params={"fill": color(5), "note": "x"})
            await engine.frame(lambda frame: frame.number == 5)
            begun = rig.gate.begun
            osc = rig.osc()
            osc.send("/texbridge/main/workflow", "pair")
            await engine.frame(lambda frame: frame.header.output == 1)  # all outputs were asked for: now there are two
            (changed,) = [change for change in engine.of(Changed) if change.workflow]
            assert (changed.stream, changed.workflow) == (1, "pair")
            newest = engine.frames[-1].header.number
            pair = [frame for frame in engine.frames if frame.header.number == newest]
            assert [(frame.header.output, frame.number) for frame in pair] == [(0, 5), (1, 0)]
            described = await engine.ask(Describe, stream="main")
            assert (described.workflow, len(described.outputs)) == ("pair", 2)
            osc.send("/texbridge/main/workflow", "solid")
            await engine.frame(lambda frame: frame.header.number == newest + 1)
            assert engine.frames[-1].header.output == 0
            assert rig.gate.begun == begun + 2  # one picture for each change

    run(test)


def test_another_size_is_one_picture(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.subscribe()
            await engine.frame()
            begun = rig.gate.begun
            osc.send("/texbridge/main/size", 64, 64)
            await engine.frame(lambda frame: frame.header.width == 64)
            await engine.set(params={"fill": color(1)})
            await engine.frame(lambda frame: frame.number == 1)
            assert rig.gate.begun == begun + 2

    run(test)


def test_a_viewer_of_an_output_that_is_gone_stops_nobody(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            depth, both = await rig.engine(), await rig.engine()
            await depth.subscribe(outputs=[1])
            rig.osc().send("/texbridge/main/workflow", "solid")
            await depth.until(lambda: any(change.workflow for change in depth.of(Changed)))
            (end,) = await depth.finish(await depth.run(params={"fill": color(1)}))
            assert (end.outcome, end.frames) == ("done", 1)  # it is there for whoever comes
            await both.subscribe()
            held = await both.frame(held=True)
            assert (held.header.number, held.number) == (1, 1)
            await depth.ask(Ping)
            assert depth.frames == []

    run(test)


def test_open_with_replace_makes_a_stream_anew(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine()
            await other.subscribe()
            rig.gate.shut()
            requests = [await other.run(params={"fill": color(value)}) for value in (1, 2, 3)]
            await rig.begun(1)
            error = await engine.refused(Open, stream="main", workflow="batch", mode=Mode.ONESHOT)
            assert (error.code, error.limit) == (404, "solid oneshot")
            opened = await engine.open("main", "batch", replace=True, params={"count": 2})
            assert (opened.number, opened.created) == (1, True)
            ends = await other.finish(*requests)
            assert [end.outcome for end in ends] == ["cancelled"] * 3
            rig.gate.open()
            await engine.finish(await engine.run(params={"fill": color(9)}))
            await other.frame(lambda frame: frame.number == 9)  # viewers stay

    run(test)


def test_an_edited_workflow_is_taken_over_and_a_bad_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.02)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.set(params={"fill": color(5)})
            frame = await engine.frame(lambda frame: frame.number == 5)
            assert (frame.header.width, frame.header.height) == (32, 16)
            edited = WORKFLOWS["solid"] | {"1": solid(width=64, height=48)}
            write_workflow(tmp_path, "solid", edited)
            frame = await engine.frame(lambda frame: frame.header.width == 64)
            assert frame.number == 5  # the value stays
            edited_at = len(engine.frames) - 1

            (tmp_path / "solid" / "workflow_api.json").write_text('{"1": {"inputs": {', encoding="utf-8")
            write_workflow(tmp_path, "fresh", WORKFLOWS["solid"])
            # `fresh` was written after it: once that is there, the bad one has been looked at.
            await _until_opened(engine)
            request = await engine.run(params={"fill": color(6)})
            (end,) = await engine.finish(request)
            assert end.outcome == "done"
            frame = await engine.frame(lambda frame: frame.number == 6)
            assert frame.header.width == 64
            assert {frame.header.width for frame in engine.frames[edited_at:]} == {64}

            write_workflow(tmp_path, "solid", WORKFLOWS["solid"])
            await engine.until(lambda: engine.frames[-1].header.width == 32)

    async def _until_opened(engine):
        while True:
            try:
                return await engine.open("other", "fresh")
            except LinkError as error:
                if error.code not in (202, 604):
                    raise

    run(test)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_batch_is_as_many_sets(tmp_path, count):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "batch", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            before = await engine.run(params={"fill": color(1)})
            await engine.finish(before)
            request = await engine.run(params={"fill": color(2), "count": count})
            (end,) = await engine.finish(request)
            assert (end.outcome, end.frames, end.number) == ("done", count, 1 + count)
            last = await engine.frame(lambda frame: frame.header.request == request and frame.has(FrameFlags.LAST_SET))
            assert (last.header.index, last.header.number) == (count - 1, 1 + count)
            batch = [frame for frame in engine.frames if frame.header.request == request]
            for frame in batch:
                header = frame.header
                assert header.number == 2 + header.index
                assert frame.has(FrameFlags.LAST_OF_SET)
                assert frame.has(FrameFlags.LAST_SET) == (header.index == count - 1)
            assert [frame.header.index for frame in batch] == sorted({frame.header.index for frame in batch})

    run(test)


def test_a_batch_cancelled_in_the_middle_ends_cancelled(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "batch", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            rig.gate.shut()
            request = await engine.run(params={"count": 30})
            await rig.begun(1)
            await engine.ask(Cancel, request=request)
            rig.gate.open()
            (end,) = await engine.finish(request)
            assert end.outcome == "cancelled"
            await engine.finish(await engine.run(params={"count": 1, "fill": color(3)}))
            await engine.frame(lambda frame: frame.number == 3)
            assert [frame for frame in engine.frames if frame.header.request == request] == []

    run(test)


def test_a_graph_that_ends_in_save_image_works_again_and_again(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "saved", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            for number, value in enumerate((1, 1, 2), 1):
                (end,) = await engine.finish(await engine.run(params={"fill": color(value)}))
                assert (end.outcome, end.frames) == ("done", 1)
                frame = await engine.frame(lambda frame, number=number: frame.header.number == number)
                assert frame.number == value
            assert [graph["2"]["class_type"] for graph in rig.gate.graphs] == ["TexBridgeOutput"] * 3

    run(test)


def test_the_same_values_again_are_the_same_picture(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "clouds", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            for number in (1, 2, 3):  # all but the output is cached from the second on
                (end,) = await engine.finish(await engine.run())
                assert (end.outcome, end.frames, end.number) == ("done", 1, number)
                await engine.frame(lambda frame, number=number: frame.header.number == number)
            assert len({frame.data for frame in engine.frames}) == 1

    run(test)


def test_a_failing_prompt_ends_failed_with_words_and_the_stream_goes_on(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "brittle", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            osc = rig.osc()
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: bool(osc.heard))
            (good,) = await engine.finish(await engine.run(params={"fill": color(1)}))
            assert (good.outcome, good.frames) == ("done", 2)
            (bad,) = await engine.finish(await engine.run(params={"count": 3}))
            assert (bad.outcome, bad.code, bad.name, bad.frames) == ("failed", 504, "execution_failed", 0)
            assert "ImageBlend" in bad.message
            await engine.until(lambda: any(change.state == "degraded" for change in engine.of(Changed)))
            osc.send("/texbridge/main/run")
            await osc.until(lambda: bool(osc.at("/texbridge/main/error")))
            (code, words) = osc.at("/texbridge/main/error")[0]
            assert code == 504
            assert "ImageBlend" in words
            (good,) = await engine.finish(await engine.run(params={"count": 2, "fill": color(2)}))
            assert good.outcome == "done"
            await engine.frame(lambda frame: frame.number == 2)
            await engine.until(lambda: engine.of(Changed)[-1].state == "ready")

    run(test)


def test_a_failing_live_stream_goes_on_when_its_values_do(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "brittle", "mode": "live"}}) as rig:
            engine = await rig.engine(hello={"events": ["live"]})
            await engine.set(params={"count": 3, "fill": color(4)})
            await engine.subscribe()
            await engine.until(lambda: any(end.outcome == "failed" for end in engine.of(Finished)))
            await engine.set(params={"count": 2})
            await engine.frame(lambda frame: frame.number == 4)

    run(test)


def test_a_picture_from_the_engine_goes_in_and_comes_back(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            for value in ((10, 200, 30), (250, 0, 99)):
                data = png(value)
                (end,) = await engine.finish(await engine.run(params={"picture": {"encoded": data}}))
                assert end.outcome == "done", end
                number = engine.finished[end.request].number
                frame = await engine.frame(lambda frame, number=number: frame.header.number == number)
                assert (frame.header.width, frame.header.height) == (24, 16)
                assert (frame.pixels[..., :3] == value).all()
            described = await engine.ask(Describe, stream="main")
            (parameter,) = described.parameters
            assert (parameter.type, parameter.default, parameter.value) == ("image", None, None)

    run(test)


@pytest.mark.parametrize(
    "data",
    [
        b"not a picture at all",
        b"GIF89a" + bytes(100),
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        png()[:40],
        # A header that promises 60,000 x 60,000 pixels.
        png()[:16] + (60_000).to_bytes(4, "big") * 2 + png()[24:],
    ],
    ids=["text", "gif", "svg", "cut", "bomb"],
)
def test_what_is_no_picture_is_refused_at_the_door(tmp_path, data):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            for kind in (Set, Run):
                error = await engine.refused(kind, stream="main", params={"picture": {"encoded": data}})
                assert (error.code, error.name, error.field) == (109, "bad_picture", "picture")
            error = await engine.refused(
                Open, stream="new", workflow="photo", mode=Mode.ONESHOT, params={"picture": {"encoded": data}}
            )
            assert error.code == 109
            assert "new" not in rig.bridge.streams.by_name
            (end,) = await engine.finish(await engine.run(params={"picture": {"encoded": png()}}))
            assert end.outcome == "done"

    run(test)


def test_describe_tells_what_a_workflow_has(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            told = await engine.ask(Describe, workflow="pair")
            assert [(parameter.name, parameter.type) for parameter in told.parameters] == [
                ("fill", "color"),
                ("depth", "color"),
            ]
            assert [(output.name, output.kind) for output in told.outputs] == [("image", "color"), ("depth", "data")]
            assert (told.stream, told.mode, told.seed, told.seed_policy) == (None, None, None, None)
            told = await engine.ask(Describe, stream=1)
            assert (told.stream, told.number, told.mode, told.state) == ("main", 1, "oneshot", "ready")
            assert told.size == (32, 16)
            error = await engine.refused(Describe)
            assert (error.code, error.name) == (107, "bad_message")
            error = await engine.refused(Describe, workflow="../x")
            assert error.code == 202

    run(test)


def test_a_workflow_of_a_missing_node_says_which(tmp_path):
    async def test():
        write_workflow(
            tmp_path,
            "exotic",
            {"1": node("NoSuchNode", "@amount", amount=1), "2": node("SaveImageWebsocket", "", images=["1", 0])},
        )
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.open("exotic", "exotic")
            (end,) = await engine.finish(await engine.run("exotic"))
            assert (end.outcome, end.code, end.name) == ("failed", 509, "missing_node"), end
            assert "NoSuchNode" in end.message

    run(test)


def test_graphs_of_the_rig_are_json(tmp_path):
    assert json.loads(json.dumps(WORKFLOWS)) == WORKFLOWS
    assert np.array_equal(color(0x010203), [1 / 255, 2 / 255, 3 / 255])
