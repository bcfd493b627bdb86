"""Warm-up prompts: one per workflow and size of a configured stream, never shown, never in the way."""

from app_rig import AppRig, color, run

from bridge.codec.messages import Ping

WARM = {"warm_up": True}


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
            assert (end.outcome, end.number) == ("done", 1)
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


def test_it_is_not_in_the_way_of_a_run_and_can_be_switched_off(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "latest"}}, scheduler=WARM) as rig:
            await rig.until(lambda: len(rig.ears.finished) == 1)
            engine, osc = await rig.engine(), rig.osc()
            rig.gate.shut()
            for side in (64, 128, 192):
                osc.send("/texbridge/main/size", side, side)
            await rig.until(lambda: rig.bridge.counts["warm_ups"] == 4)
            request = await engine.run("main", params={"fill": color(1)})
            rig.gate.open()
            (end,) = await engine.finish(request)
            assert end.outcome == "done"
            assert rig.ears.released == [("main", 1)]
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.ask(Ping)
            assert (rig.gate.begun, rig.bridge.counts["warm_ups"]) == (0, 0)

    run(test)
