"""SIGTERM to the bridge in the middle of everything, with a ComfyUI that answers and with one that hangs."""

import signal
import sys

import pytest
from serve_rig import Comfy, Engine, Serve, polled, queue_is_empty, run

SIZE = [64, 64]
DRAINING = 601


async def loaded(engine, mode):
    """A stream with more to do than it can, seen by this engine."""
    await engine.hello(events=["live"])
    await engine.ask("open", stream=mode, workflow="gradient", mode=mode, size=SIZE)
    await engine.ask("subscribe", stream=mode, format="rgba8", origin="top_left", delivery="latest", credit=2)
    for seed in range(30):
        await engine.run(mode, params={"noise": 0.2, "blur": 0.2 + seed / 100}, seed=seed)


@pytest.mark.parametrize("hangs", [False, True], ids=["answering", "hung"])
def test_terminated_under_load(hangs):
    """Every request has its answer, every engine its word, ComfyUI is rid of our prompts, and the exit code is 0.

    `serve` gives itself ten seconds for all of it, and ends with another code when they don't do.
    """

    async def scenario():
        async with (
            Comfy(step_delay_ms=100) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as one,
            Engine("websocket", serve.link) as two,
            Engine("tcp", serve.tcp) as three,
            Engine("tcp", serve.tcp, acks=False) as idle,
        ):
            await loaded(one, "oneshot")
            await loaded(two, "latest")
            await loaded(three, "live")
            await idle.hello()
            await idle.ask("subscribe", stream="live", format="rgba8", origin="top_left", delivery="latest")
            await one.until(lambda: one.outcomes()["done"], "one done")
            if hangs:
                comfy.send(signal.SIGSTOP)
            assert await serve.stop() == 0
            for engine in (one, two, three, idle):
                end = await engine.closed()
                assert (end["code"], end["name"], end["fatal"]) == (DRAINING, "draining", True)
            for engine in (one, two, three):
                engine.assert_one_answer_each()
                assert set(engine.outcomes()) <= {"done", "superseded", "cancelled"}, engine.outcomes()
                assert all(len(answers) == 1 for answers in engine.finished.values())
            assert one.outcomes()["cancelled"] >= 2
            assert not any("Traceback" in line for line in serve.lines), list(serve.lines)
            if not hangs:
                await polled(lambda: queue_is_empty(comfy.url))  # an interrupt acts at the next node

    if hangs and sys.platform == "win32":
        pytest.skip("no SIGSTOP on this system")
    run(scenario)
