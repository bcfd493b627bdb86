"""Progress: never so often that it is in the way, and never outside its range."""

import pytest
from app_rig import AppRig, run

from bridge.backends.records import BackendProgress
from bridge.codec.messages import Ping, Progress


@pytest.mark.parametrize(("value", "maximum"), [(1, 2), (1, 1), (7, 3)])
def test_a_node_that_tells_its_progress_a_thousand_times_at_once_is_heard_once(tmp_path, value, maximum):
    """Even its end: some nodes count to 1 for each tile. An engine in a hitch must not be cut for it."""

    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            request = await engine.run()
            await rig.begun(1)
            before = len(engine.of(Progress))
            (attempt,) = rig.bridge._attempts
            now = rig.bridge.clock() + 10
            rig.bridge.clock = lambda: now
            for _ in range(1000):
                rig.bridge.backend_event(BackendProgress(attempt, "2", value, maximum))
            rig.bridge.clock = rig.bridge.results._clock
            await engine.ask(Ping)
            told = engine.of(Progress)[before:]
            assert [(step.request, step.value, step.max) for step in told] == [(request, min(value, maximum), maximum)]

    run(test)


@pytest.mark.parametrize(
    ("value", "maximum", "share"),
    [(1, 2, 0.5), (0, 2, 0.0), (2, 2, 1.0), (5, 2, 1.0), (-1, 2, 0.0), (1e308, 1, 1.0), (1, 0, None), (1, -1, None)],
)
def test_progress_stays_in_its_range(tmp_path, value, maximum, share):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, osc = await rig.engine(), rig.osc()
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: osc.at("/texbridge/main/status") != [], "the status")
            rig.gate.shut()
            await engine.run()
            await rig.begun(1)
            await engine.ask(Ping)
            before = len(engine.of(Progress))
            (attempt,) = rig.bridge._attempts
            rig.bridge._progress_at.clear()
            rig.bridge.backend_event(BackendProgress(attempt, "2", value, maximum))
            await engine.ask(Ping)
            told = engine.of(Progress)[before:]
            assert [step.value / step.max for step in told] == ([] if share is None else [share])
            if share is not None:
                await osc.until(lambda: (share,) in osc.at("/texbridge/main/progress"), "the progress")

    run(test)
