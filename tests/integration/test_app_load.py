"""Many runs and many changes at once: the small versions of `tests/e2e/latest_load.py` and `late_binding.py`."""

from itertools import pairwise

import pytest
from app_rig import AppRig, color, run
from e2e.latest_load import faults, send_runs

from bridge.codec.messages import Ping, Set

LATEST = {"wall": {"workflow": "solid", "mode": "latest"}}
LIVE = {"wall": {"workflow": "solid", "mode": "live"}}


@pytest.mark.parametrize("door", ["tcp", "websocket"])
def test_latest_under_load_answers_every_run_once_and_ends_with_the_last(tmp_path, door):
    async def test():
        async with AppRig(tmp_path, LATEST, step_delay_ms=3) as rig:
            engine = await rig.engine(door)
            await engine.subscribe("wall")
            counts = await send_runs(engine, "wall", 300, None)
            assert faults(counts) == [], counts
            assert counts["superseded"] > 0
            assert counts["frames_of_answers"] == counts["done"] == rig.bridge.results.counts["released"]
            assert counts["frames"] <= counts["done"]
            assert not rig.bridge.requests
            assert rig.bridge.scheduler.open_requests() == 0

    run(test)


def test_live_binds_the_newest_value_when_the_running_prompt_ends(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            await engine.set("wall", params={"fill": color(1)})
            await engine.subscribe("wall")
            await rig.begun(1)
            for number in range(2, 300):
                engine.send(Set(stream="wall", params={"fill": color(number)}))
            await engine.ask(Ping)
            rig.gate.open()
            await engine.frame(lambda frame: frame.number == 299)
            assert rig.gate.inputs("color") == [1, 299]

    run(test)


def test_live_under_changes_never_goes_back_and_ends_with_the_last(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE, step_delay_ms=2) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.subscribe("wall")
            await engine.frame()
            for number in range(1, 400):
                if number % 2:
                    engine.send(Set(stream="wall", params={"fill": color(number)}))
                    await engine.ask(Ping)
                else:
                    osc.send("/texbridge/wall/fill", number >> 16, number >> 8 & 0xFF, number & 0xFF)
            await rig.until(lambda: rig.server._osc.counts["packets"] == 199, "all OSC")
            await engine.set("wall", params={"fill": color(1000)})
            last = await engine.frame(lambda frame: frame.number == 1000)
            assert last is engine.frames[-1]
            bound = rig.gate.inputs("color")
            assert all(a.header.number < b.header.number for a, b in pairwise(engine.frames))
            assert {frame.number for frame in engine.frames} <= set(bound)
            assert len(bound) < 400  # values in between were passed over

    run(test)
