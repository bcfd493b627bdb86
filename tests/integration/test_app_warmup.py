"""Warm-up prompts: one per ComfyUI, workflow and size, never shown, never in the way."""

import io

import pytest
from app_rig import AppRig, color, run
from PIL import Image
from scripted_comfy import ScriptedComfy

from bridge.codec.messages import Changed, Panic, Ping, Resume
from bridge.embedded import EmbeddedServer

WARM = {"warm_up": True}
LATEST = {"main": {"workflow": "solid", "mode": "latest"}}


async def _quiet(rig, warm_ups):
    """Wait until so many were made and nothing is open any more."""
    bridge = rig.bridge
    await rig.until(lambda: bridge.counts["warm_ups"] >= warm_ups and not bridge.requests, f"{warm_ups} warm-ups")
    assert bridge.counts["warm_ups"] == warm_ups


def test_a_configured_stream_is_warmed_once_and_nobody_sees_it(tmp_path):
    async def test():
        streams = {
            "main": {"workflow": "solid", "mode": "latest"},
            "dice": {"workflow": "clouds", "mode": "oneshot", "seed_policy": "increment", "seed": 5},
            "live": {"workflow": "solid", "mode": "live"},
            "art": {"workflow": "txt2img_turbo", "mode": "oneshot"},  # the embedded ComfyUI can't run it
        }
        async with AppRig(tmp_path, streams, scheduler=WARM) as rig:
            await rig.until(lambda: len(rig.ears.finished) == 2, "the warm-ups")
            assert [outcome for _, outcome in rig.ears.finished] == ["done", "done"]
            assert rig.ears.released == []
            engine = await rig.engine()
            await engine.subscribe("main")
            assert (await engine.frame(held=True)).header.number == 0
            (end,) = await engine.finish(await engine.run("main", params={"fill": color(3)}))
            assert (end.outcome, end.number, end.request) == ("done", 1, 3)  # numbers are everybody's
            (end,) = await engine.finish(await engine.run("dice"))
            assert end.seed == 5  # the warm-up moved nothing
            assert rig.gate.begun == 4

            rig.osc().send("/texbridge/main/size", 64, 64)
            await rig.until(lambda: rig.gate.begun == 5, "the warm-up of the new size")
            await rig.until(lambda: len(rig.ears.finished) == 5)
            await engine.ask(Ping)
            assert [frame.header.number for frame in engine.frames] == [1]  # the old picture stays
            assert rig.bridge.counts["warm_ups"] == 3

    run(test)


def test_one_whose_size_is_no_longer_wanted_is_given_up_and_it_can_be_switched_off(tmp_path):
    async def test():
        async with AppRig(tmp_path, LATEST, scheduler=WARM) as rig:
            await _quiet(rig, 1)
            osc = rig.osc()
            rig.gate.shut()
            for side in (64, 128, 192):
                osc.send("/texbridge/main/size", side, side)
                await rig.begun(2)
            rig.gate.open()
            await _quiet(rig, 3)  # 128 never began
            assert rig.gate.inputs("width") == [32, 64, 192]
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.ask(Ping)
            assert (rig.gate.begun, rig.bridge.counts["warm_ups"]) == (0, 0)

    run(test)


@pytest.mark.parametrize("mode", ["oneshot", "latest", "live"])
def test_it_gives_way_to_who_asks_for_a_picture(tmp_path, mode):
    async def test():
        async with AppRig(tmp_path, {}, scheduler=WARM) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            await engine.open("art", "solid", mode)
            await rig.begun(1)
            if mode == "live":
                await engine.subscribe("art")  # its own picture comes at once
            else:
                request = await engine.run("art", params={"fill": color(3)})
            assert [outcome for _, outcome in rig.ears.finished] == ["cancelled"]
            rig.gate.open()
            if mode == "live":
                await engine.frame()
            else:
                (end,) = await engine.finish(request)
                assert (end.outcome, end.number) == ("done", 1)
            await rig.until(lambda: not rig.bridge.requests)
            assert rig.bridge.counts["warm_ups"] == 1
            assert rig.gate.begun <= 2

    run(test)


def test_streams_that_engines_open_are_warmed_and_equal_ones_once(tmp_path):
    async def test():
        async with AppRig(tmp_path, {}, scheduler=WARM) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.open("one", "clouds")
            await engine.open("two", "clouds", "latest")
            await engine.open("three", "clouds", "live")  # nobody looks yet
            await _quiet(rig, 1)
            osc.send("/texbridge/two/workflow", "solid")
            await _quiet(rig, 2)
            osc.send("/texbridge/two/workflow", "clouds")
            await engine.until(lambda: [c.workflow for c in engine.of(Changed) if c.workflow][-1:] == ["clouds"])
            await engine.ask(Ping)
            assert rig.bridge.counts["warm_ups"] == 2
            assert rig.ears.released == []
            await engine.subscribe("three")
            assert (await engine.frame()).header.number == 1

    run(test)


def test_none_during_panic(tmp_path):
    async def test():
        async with AppRig(tmp_path, {}, scheduler=WARM) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            await engine.open("one", "clouds")
            await rig.begun(1)
            await engine.ask(Panic)
            await engine.open("two", "solid")
            rig.gate.open()
            await engine.ask(Ping)
            assert [outcome for _, outcome in rig.ears.finished] == ["cancelled"]
            assert rig.bridge.counts["warm_ups"] == 1
            await engine.ask(Resume)
            await _quiet(rig, 3)
            assert rig.ears.released == []

    run(test)


def test_one_that_takes_too_long_is_given_up_and_not_tried_again(tmp_path, caplog):
    async def test():
        async with AppRig(tmp_path, LATEST, scheduler=WARM | {"warm_up_limit_s": 1}) as rig:
            await _quiet(rig, 1)
            rig.gate.shut()
            rig.osc().send("/texbridge/main/size", 64, 64)
            await rig.until(lambda: "cancelled" in [outcome for _, outcome in rig.ears.finished])
            rig.gate.open()
            engine = await rig.engine()
            await engine.finish(await engine.run("main"))
            await rig.until(lambda: not rig.bridge.requests)
            assert rig.bridge.counts["warm_ups"] <= 2
            assert "warm_up_limit_s (1 s)" in caplog.text

    run(test)


def test_every_comfyui_that_can_run_it_is_warmed_one_prompt_at_a_time(tmp_path):
    async def test():
        begun = {"a": [], "b": []}

        def watch(name):
            def before(prompt_id, node_id):
                if prompt_id not in begun[name]:
                    begun[name].append(prompt_id)

            return before

        one, two = (EmbeddedServer(before_node=watch(name)) for name in ("a", "b"))
        async with ScriptedComfy() as unfit:  # it has one node, and not ours
            await one.start()
            await two.start()
            try:
                backends = [
                    {"url": one.url, "name": "a"},
                    {"url": two.url, "name": "b"},
                    {"url": unfit.url, "name": "unfit"},
                ]
                streams = {
                    "main": {"workflow": "solid", "mode": "oneshot"},
                    "other": {"workflow": "clouds", "mode": "oneshot"},
                }
                async with AppRig(tmp_path, streams, comfy=False, backend=backends, scheduler=WARM) as rig:
                    await rig.until(lambda: rig.bridge.counts["warm_ups"] == 4 and not rig.bridge.requests)
                    assert [outcome for _, outcome in rig.ears.finished] == ["done"] * 4
                    assert {name: len(ids) for name, ids in begun.items()} == {"a": 2, "b": 2}
                    assert unfit.posts == []
                    states = {stream.name: stream.state for stream in rig.server.actions.streams.by_name.values()}
                    assert states == {"main": "ready", "other": "ready"}
            finally:
                await one.close()
                await two.close()

    run(test)


@pytest.mark.parametrize("door", ["osc", "link"])
def test_another_workflow_keeps_the_old_picture_until_there_is_one_of_its_own(tmp_path, door):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "latest"}}, scheduler=WARM) as rig:
            engine = await rig.engine()
            await engine.subscribe("main")
            await engine.finish(await engine.run("main", params={"fill": color(3)}))
            await rig.until(lambda: not rig.bridge.requests)
            rig.gate.shut()
            begun = rig.gate.begun
            if door == "osc":
                rig.osc().send("/texbridge/main/workflow", "clouds")
            else:
                await engine.open("main", "clouds", "latest", replace=True)
            await rig.begun(begun + 1)  # the warm-up
            newcomer = await rig.engine()
            await newcomer.subscribe("main")
            frame = await newcomer.frame(held=True)
            assert (frame.header.number, frame.number) == (1, 3)
            rig.gate.open()
            await newcomer.ask(Ping)
            request = await newcomer.run("main", params={"strength": 0.0})
            await newcomer.finish(request)
            assert (await newcomer.frame()).header.number == 2
            assert [frame.header.number for frame in engine.frames] == [1, 2]

    run(test)


def test_a_workflow_that_takes_pictures_waits_for_the_first(tmp_path):
    async def test():
        file = io.BytesIO()
        Image.new("RGB", (32, 16), (1, 2, 3)).save(file, "PNG")
        async with AppRig(tmp_path, {}, scheduler=WARM) as rig:
            engine = await rig.engine()
            await engine.open("camera", "photo")
            await engine.ask(Ping)
            assert rig.bridge.counts["warm_ups"] == 0
            await engine.set("camera", params={"picture": {"encoded": file.getvalue()}})
            await _quiet(rig, 1)
            assert [outcome for _, outcome in rig.ears.finished] == ["done"]
            assert [change.state for change in engine.of(Changed) if change.state == "degraded"] == []

    run(test)


def test_a_failed_warm_up_degrades_what_the_configuration_named_alone(tmp_path):
    async def test():
        wrong = {"params": {"count": 3}}
        streams = {"main": {"workflow": "brittle", "mode": "oneshot", **wrong}}
        async with AppRig(tmp_path, streams, scheduler=WARM) as rig:
            await _quiet(rig, 1)
            state = rig.server.actions.streams.by_name["main"].state
            assert state == "degraded"
        async with AppRig(tmp_path, {}, scheduler=WARM) as rig:
            engine = await rig.engine()
            await engine.open("art", "brittle", **wrong)
            await _quiet(rig, 1)
            assert rig.server.actions.streams.by_name["art"].state == "ready"

    run(test)


def test_a_size_that_is_being_moved_is_warmed_when_it_rests(tmp_path):
    """A fader sends dozens of sizes: the first is warmed at once, and the one where it stops."""

    async def test():
        async with AppRig(tmp_path, LATEST, scheduler=WARM) as rig:
            await _quiet(rig, 1)
            osc = rig.osc()
            for side in range(64, 320, 8):
                osc.send("/texbridge/main/size", side, side)
            await rig.until(lambda: rig.bridge.streams.find("main").picture_size == (312, 312), "the last size")
            await rig.until(lambda: rig.gate.begun >= 2 and rig.gate.inputs("width")[-1] == 312, "its warm-up")
            await _quiet(rig, rig.bridge.counts["warm_ups"])
            assert rig.bridge.counts["warm_ups"] <= 3
            assert rig.gate.inputs("width")[0] == 32

    run(test)


def test_only_so_many_sizes_are_warmed(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.app.pool.warmup.MAX_SIZES", 3)
    monkeypatch.setattr("bridge.app.pool.warmup.SETTLE_S", 0.0)

    async def test():
        async with AppRig(tmp_path, LATEST, scheduler=WARM) as rig:
            await _quiet(rig, 1)
            osc = rig.osc()
            for count, side in enumerate((64, 128), 2):
                osc.send("/texbridge/main/size", side, side)
                await rig.begun(count)
                await _quiet(rig, count)
            osc.send("/texbridge/main/size", 192, 192)
            await rig.until(lambda: rig.bridge.streams.find("main").picture_size == (192, 192), "the fourth size")
            engine = await rig.engine()
            await engine.ask(Ping)
            assert rig.bridge.counts["warm_ups"] == 3
            (end,) = await engine.finish(await engine.run("main"))
            assert end.outcome == "done"
            osc.send("/texbridge/main/workflow", "clouds")  # that has models of its own
            await rig.until(lambda: rig.bridge.counts["warm_ups"] == 4, "the other workflow's")

    run(test)


def test_a_drained_one_is_not_warmed_until_it_is_kept(tmp_path):
    async def test():
        async with AppRig(tmp_path, LATEST, scheduler=WARM) as rig:
            await _quiet(rig, 1)
            rig.bridge.drains.switch("comfy", True)
            engine = await rig.engine()
            await engine.open("other", "clouds")
            await engine.ask(Ping)
            assert rig.bridge.counts["warm_ups"] == 1
            rig.bridge.drains.switch("comfy", False)
            await _quiet(rig, 2)

    run(test)
