"""The whole bridge, with ComfyUI killed in the middle of load and started again. The processes are real ones."""

import pytest
from restart_scenarios import SCENARIOS
from serve_rig import Comfy, Engine, Serve, run


@pytest.mark.parametrize("mode", SCENARIOS)
def test_killed_under_load_and_started_again(mode):
    """The fault table's first row, in each mode."""

    async def scenario():
        async with (
            Comfy(step_delay_ms=400, later_delay_ms=40) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello(events=["live"])
            await SCENARIOS[mode](comfy, serve, engine)
            engine.assert_one_answer_each()

    run(scenario)
