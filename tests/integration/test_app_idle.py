"""`idle_after_s` through the whole bridge: a live stream with a random seed rests, and a change wakes it."""

from app_rig import AppRig, color, run

from bridge.codec.messages import Ping

STREAMS = {
    "main": {"workflow": "clouds", "mode": "live", "seed_policy": "random", "idle_after_s": 3600, "max_fps": 50},
}


def test_a_live_stream_rests_until_somebody_changes_something(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, osc = await rig.engine(), rig.osc()

            async def rests():
                """An hour after the last change: ask for so long until nothing is made and nothing is due."""
                scheduler = rig.bridge.scheduler
                for stream in scheduler._ledger.streams.values():
                    stream.changed_at -= 3600
                while scheduler.next_deadline() is not None or scheduler.open_requests():
                    await engine.ask(Ping)

            await engine.subscribe()
            await rig.begun(3)  # it goes on by itself
            await rests()
            first = rig.gate.begun
            await engine.set(params={"fill": color(0x123456)})
            await rig.begun(first + 2)
            await rests()
            second = rig.gate.begun
            osc.send("/texbridge/main/strength/norm", 0.25)
            await rig.begun(second + 2)
            await rests()
            assert set(rig.gate.inputs("color")[first:]) == {0x123456}

    run(test)
