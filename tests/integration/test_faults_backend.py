"""The whole bridge while its ComfyUI hangs, goes, comes back or isn't there yet, with real processes and sockets."""

import json
import signal

import pytest
from aiohttp import ClientSession
from fault_proxy import FaultProxy
from ports import ReservedPort
from restart_scenarios import is_away, never_backwards, plain, shows
from serve_rig import Comfy, Engine, Serve, polled, run

SIZE = [64, 64]
PATIENT = "[scheduler]\nbackend_lost_after_s = 60\n"
"""Requests whose backend is gone wait for it, so that nothing depends on how fast a process starts here."""


async def open_stream(engine, mode="oneshot"):
    opened = await engine.ask("open", stream="made", workflow="gradient", mode=mode, size=SIZE)
    assert opened["op"] == "opened", opened
    await engine.ask("subscribe", stream="made", format="rgba8", origin="top_left", delivery="latest", credit=2)
    return opened["number"]


async def backends(serve, wanted):
    """Ask /healthz until its backends are in these states."""

    async def reached():
        return [backend["state"] for backend in (await serve.health())["backends"]] == wanted

    await polled(reached)


async def all_done(engine, but=()):
    await engine.until(lambda: all(engine.outcome(request) for request in engine.accepted), "all answers")
    engine.assert_one_answer_each()
    assert set(engine.outcomes()) - set(but) == {"done"}, engine.outcomes()


async def prompts_run(url):
    """How many prompts a ComfyUI has in its history."""
    async with ClientSession() as session, session.get(f"{url}/history") as answer:
        return len(await answer.json())


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_hung_and_going_on():
    """Silence is a doubt: nothing fails, nothing is posted twice, and what was in hand arrives."""

    async def scenario():
        async with (
            Comfy(step_delay_ms=40) as comfy,
            Serve("--comfy", comfy.url, config="[scheduler]\nwarm_up = false") as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello()
            number = await open_stream(engine)
            await backends(serve, ["up"])
            engine.states.clear()
            asked = [await engine.run("made", seed=seed) for seed in range(8)]
            await engine.until(lambda: engine.outcomes()["done"] >= 2, "two done")
            comfy.send(signal.SIGSTOP)
            await backends(serve, ["doubted"])
            # Longer than a backend that is gone would be waited for; told by the bridge's own clock.
            hasty = await engine.run("made", deadline_ms=2_500)
            await engine.until(lambda: engine.outcome(hasty), "the deadline")
            assert engine.outcome(hasty) == "expired"
            assert set(engine.outcomes()) <= {"done", "none", "expired"}, engine.outcomes()
            assert (await serve.get("/streams/made.jpg"))[0] == 200
            comfy.send(signal.SIGCONT)
            await engine.until(lambda: all(engine.outcome(request) for request in asked), "all answers")
            engine.assert_one_answer_each()
            assert engine.outcomes() == {"done": 8, "expired": 1}
            frames = never_backwards(engine, number)
            assert len({frame.request for frame in frames}) == len(frames)
            assert await prompts_run(comfy.url) == 8
            assert not [state for stream, state in engine.states if state == "waiting_for_comfy"]

    run(scenario)


@pytest.mark.parametrize("mode", ["oneshot", "live"])
def test_one_of_two_killed(mode):
    """Its requests are asked again at the other at once: none fails, and nobody is told of a lack."""

    async def scenario():
        async with (
            Comfy(step_delay_ms=40) as one,
            Comfy(step_delay_ms=40) as other,
            Serve("--comfy", one.url, "--comfy", other.url) as serve,
            Engine("websocket", serve.link) as engine,
        ):
            await engine.hello()
            number = await open_stream(engine, mode)
            await backends(serve, ["up", "up"])
            engine.states.clear()
            for seed in range(24):
                await engine.run("made", seed=seed, params={"noise": 0.1 + seed / 100})
            await engine.until(lambda: engine.outcomes()["done"] >= 4, "four done")
            assert await prompts_run(one.url)
            await one.kill()
            # In live a result that another backend's newer one overtook is dropped: that is no failure.
            overtaken = ("superseded",) if mode == "live" else ()
            await all_done(engine, but=overtaken)
            assert len(engine.accepted) == 24
            assert not [state for _, state in engine.states if state == "waiting_for_comfy"]
            await backends(serve, ["down", "up"])
            await one.start()
            await backends(serve, ["up", "up"])
            for seed in range(8):
                await engine.run("made", seed=seed)
            await all_done(engine, but=overtaken)
            assert await prompts_run(one.url)  # it works again
            never_backwards(engine, number)

    run(scenario)


def test_restarted_with_its_queue_lost():
    """Ended by SIGTERM and started again: what was posted is posted once more, and each request makes one frame."""

    async def scenario():
        async with (
            Comfy(step_delay_ms=40) as comfy,
            Serve("--comfy", comfy.url, config=PATIENT) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello()
            number = await open_stream(engine)
            asked = [await engine.run("made", seed=seed) for seed in range(12)]
            await engine.until(lambda: engine.outcomes()["done"] >= 3, "three done")
            comfy.send(signal.SIGTERM)
            assert await comfy.ended() == 0
            await is_away(engine, number)
            await comfy.start()
            await all_done(engine)
            frames = never_backwards(engine, number)
            assert len({frame.request for frame in frames}) == len(frames)
            # Not in what order: two that are posted at once may change places on their way to ComfyUI.
            assert {engine.finished[request][0]["frames"] for request in asked} == {1}

    run(scenario)


@pytest.mark.parametrize("cut", ["socket", "everything"])
def test_network_cut(cut):
    """The socket alone, or the whole way, is cut again and again: no request is lost, none answered twice."""

    async def scenario():
        async with (
            Comfy(step_delay_ms=30) as comfy,
            FaultProxy(comfy.port) as proxy,
            Serve("--comfy", proxy.url, config=PATIENT) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello()
            number = await open_stream(engine)
            asked = [await engine.run("made", seed=seed) for seed in range(16)]
            for done in (2, 5, 8):
                await engine.until(lambda done=done: engine.outcomes()["done"] >= done, f"{done} done")
                if cut == "socket":
                    proxy.reset(sockets_only=True)
                else:
                    await proxy.refuse()
                    await proxy.open()
            await all_done(engine)
            frames = never_backwards(engine, number)
            assert len({frame.request for frame in frames}) == len(frames)
            assert {engine.finished[request][0]["frames"] for request in asked} == {1}

    run(scenario)


def test_not_there_yet():
    """Started before ComfyUI: viewers get a placeholder, runs wait, deadlines begin with the first ComfyUI."""

    async def scenario():
        with ReservedPort() as port:
            await late(port)

    async def late(port):
        async with (
            Comfy(port=port, started=False) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            await engine.hello()
            number = await open_stream(engine)
            await engine.until(lambda: engine.frames.get(number), "the placeholder")
            assert [(frame.held, frame.number) for frame in engine.frames[number]] == [(True, 0)]
            described = await engine.ask("describe", stream="made")
            assert described["state"] == "waiting_for_comfy"
            asked = await engine.run("made", params=plain(10, 20, 30))
            hasty = await engine.run("made", deadline_ms=200)
            assert (await serve.get("/streams/made.jpg?wait=1"))[0] == 503  # a second goes by, on the bridge's clock
            assert (engine.outcome(asked), engine.outcome(hasty)) == (None, None)
            assert (await serve.get("/readyz"))[0] == 503
            await comfy.start()
            await engine.until(lambda: engine.outcome(asked) and engine.outcome(hasty), "both answers")
            assert engine.outcome(asked) == "done"
            assert engine.outcome(hasty) in ("done", "expired")
            frames = await engine.until(lambda: engine.new_frames(number), "a frame")
            assert shows(frames[0], 10, 20, 30)
            status, body = await serve.get("/readyz")
            assert (status, json.loads(body)["streams"]["made"]) == (200, "ready")
            engine.assert_one_answer_each()

    run(scenario)
