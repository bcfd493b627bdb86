"""`idle_after_s` through the whole bridge: a live stream with a random seed rests, and a change wakes it."""

from app_rig import AppRig, color, run

from bridge.codec.messages import Ping

STREAMS = {
    "main": {"workflow": "clouds", "mode": "live", "seed_policy": "random", "idle_after_s": 0.3, "max_fps": 50},
}


def test_a_live_stream_rests_until_somebody_changes_something(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, osc = await rig.engine(), rig.osc()

            async def rests():
                """Ask for so long until nothing is made and nothing is due."""
                scheduler = rig.bridge.scheduler
                while scheduler.next_deadline() is not None or scheduler.open_requests():
                    await engine.ask(Ping)

            await engine.subscribe()
            await engine.frame()
            await rests()
            first = rig.gate.begun
            assert first > 1  # it went on by itself for a while
            await engine.set(params={"fill": color(0x123456)})
            await rig.begun(first + 2)
            await rests()
            second = rig.gate.begun
            osc.send("/texbridge/main/strength/norm", 0.25)
            await rig.begun(second + 2)
            await rests()
            assert set(rig.gate.inputs("color")[first:]) == {0x123456}

    run(test)
