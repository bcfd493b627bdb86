"""A real ComfyUI, killed in the middle of load and started again, in each mode.

It is one of its own: COMFYUI_START is the command line that starts one, with `{port}` in it.
"""

import signal
import socket

import pytest
from restart_scenarios import SCENARIOS
from serve_rig import REAL_START, Comfy, Engine, Serve, polled, queue_is_empty, run

FIRST_PORT = 8300

pytestmark = [
    pytest.mark.skipif(
        "{port}" not in REAL_START, reason="COMFYUI_START names no command that starts a ComfyUI at {port}"
    ),
    pytest.mark.timeout(300),
]


def free_port():
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port from {FIRST_PORT} on")


@pytest.mark.parametrize("mode", SCENARIOS)
def test_killed_under_load_and_started_again(mode):
    async def scenario():
        async with (
            Comfy(port=free_port(), command=REAL_START) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello(events=["live"])
            await SCENARIOS[mode](comfy, serve, engine)
            engine.assert_one_answer_each()
            outcomes = dict(sorted(engine.outcomes().items()))
            print(f"{mode}: accepted {len(engine.accepted)}, {outcomes}, frames {engine.frame_counts()}")

    run(scenario, limit_s=240)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_hung_and_going_on():
    """Doubted, not given up: nothing fails, nothing is made twice."""

    async def scenario():
        async with (
            Comfy(port=free_port(), command=REAL_START) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("websocket", serve.link) as engine,
        ):
            await engine.hello()
            number = (await engine.ask("open", stream="made", workflow="gradient", mode="oneshot"))["number"]
            await engine.ask("subscribe", stream="made", format="rgba8", origin="top_left", delivery="latest", credit=2)

            async def backend_is(state):
                return [backend["state"] for backend in (await serve.health())["backends"]] == [state]

            await polled(lambda: backend_is("up"))
            asked = [await engine.run("made", params={"noise": 0.2}, seed=seed) for seed in range(30)]
            await engine.until(lambda: engine.outcomes()["done"] >= 3, "three done")
            comfy.send(signal.SIGSTOP)
            await polled(lambda: backend_is("doubted"))
            hasty = await engine.run("made", deadline_ms=2_500)
            await engine.until(lambda: engine.outcome(hasty), "the deadline")
            assert set(engine.outcomes()) <= {"done", "none", "expired"}, engine.outcomes()
            comfy.send(signal.SIGCONT)
            await engine.until(lambda: all(engine.outcome(request) for request in asked), "all answers")
            engine.assert_one_answer_each()
            assert engine.outcomes() == {"done": 30, "expired": 1}
            assert len({frame.request for frame in engine.new_frames(number)}) == len(engine.new_frames(number))
            print(f"hung: accepted {len(engine.accepted)}, {dict(engine.outcomes())}, frames {engine.frame_counts()}")

    run(scenario, limit_s=240)


def test_terminated_under_load():
    """SIGTERM to the bridge: every request has its answer, and ComfyUI is rid of our prompts."""

    async def scenario():
        async with (
            Comfy(port=free_port(), command=REAL_START) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello()
            await engine.ask("open", stream="made", workflow="shapes", mode="oneshot")
            for seed in range(60):
                await engine.run("made", params={"noise": 0.2}, seed=seed)
            await engine.until(lambda: engine.outcomes()["done"] >= 2, "two done")
            assert await serve.stop() == 0
            assert (await engine.closed())["code"] == 601
            engine.assert_one_answer_each()
            outcomes = engine.outcomes()
            assert set(outcomes) == {"done", "cancelled"}
            await polled(lambda: queue_is_empty(comfy.url))
            print(f"terminated: accepted {len(engine.accepted)}, {dict(outcomes)}")

    run(scenario, limit_s=240)
