"""The state of a stream, as link, OSC and /readyz tell it."""

import time

import aiohttp
from app_rig import AppRig, Frame, color, run

from bridge.app import states
from bridge.codec.messages import Blackout, Changed, Error, Freeze, Panic, Ping, Resume, Run
from bridge.scheduler.events import AttemptLost

UNFIT = "txt2img_turbo"  # the embedded ComfyUI has no models


def _states(engine):
    return [change.state for change in engine.of(Changed) if change.state]


async def _ready(rig):
    url = f"http://{rig.server.addresses.http}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


async def _status(rig, name):
    return (await _ready(rig))[1]["streams"][name]


async def _why(rig, name):
    return (await _ready(rig))[1]["why"].get(name)


def test_readyz_says_why(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "brittle", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            assert (await _ready(rig))[0] == 200
            assert (await _ready(rig))[1]["reason"] is None
            await engine.open("art", UNFIT)
            await engine.until(lambda: bool(engine.of(Error)), "the reason")
            status, told = await _ready(rig)
            assert (status, told["ready"]) == (200, True)  # the others go on
            assert list(told["why"]) == ["art"]
            assert UNFIT in told["why"]["art"]
            await engine.finish(await engine.run(params={"count": 3}))
            assert (await _why(rig, "main")).startswith("its last request failed: ")
            await engine.finish(await engine.run(params={"count": 2}))
            assert await _why(rig, "main") is None
            await engine.ask(Freeze, stream="main", on=True)
            assert await _why(rig, "main") == "it is frozen"
            assert (await _ready(rig))[1]["switches"]["main"] == {"live": False, "frozen": True, "blacked_out": False}
            await engine.ask(Freeze, stream="main", on=False)
            await engine.ask(Blackout, stream="main", on=True)
            told = (await _ready(rig))[1]
            assert (told["streams"]["main"], told["switches"]["main"]["blacked_out"]) == ("ready", True)
            assert "blacked out" in told["why"]["main"]
            await engine.ask(Blackout, stream="main", on=False)
            assert await _why(rig, "main") is None
            rig.gate.shut()
            engine.send(Run(stream="main", params={"fill": color(5)}))
            await engine.open("new", "clouds")
            request = await engine.run("new")
            rig.gate.step()
            await engine.until(lambda: "warming" in _states(engine))
            assert "first prompt of workflow clouds" in await _why(rig, "new")
            rig.gate.open()
            await engine.finish(request)
            await engine.ask(Panic)
            status, told = await _ready(rig)
            assert (status, told["ready"]) == (503, False)
            assert "panic" in told["reason"]
            assert set(told["why"].values()) == {"panic is on"}

    run(test)


def test_readyz_without_a_comfyui(tmp_path):
    async def test():
        nobody = [{"url": "http://127.0.0.1:9", "name": "gone"}]
        async with AppRig(tmp_path, comfy=False, backend=nobody) as rig:
            status, told = await _ready(rig)
            assert status == 503
            assert told["reason"].startswith("no ComfyUI answers: gone at http://127.0.0.1:9")
            assert told["streams"] == {"main": "waiting_for_comfy"}
            assert told["why"] == {"main": told["reason"]}
        async with AppRig(tmp_path, comfy=False, search={"places": []}) as rig:
            assert "no ComfyUI is known yet" in (await _ready(rig))[1]["reason"]

    run(test)


def test_a_workflow_that_no_comfyui_can_run_is_told_at_once_and_another_one_mends_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, osc = await rig.engine(), rig.osc()
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: osc.at("/texbridge/main/status") == [("ready",)])
            await engine.open("art", UNFIT)
            await engine.until(lambda: bool(engine.of(Error)), "the reason")
            error = engine.of(Error)[-1]
            assert (error.id, error.code, error.fatal) == (None, 509, False)
            assert UNFIT in error.message
            await osc.until(lambda: bool(osc.at("/texbridge/art/error")))
            assert osc.at("/texbridge/art/status") == [("degraded",)]
            assert await _status(rig, "art") == "degraded"

            osc.send("/texbridge/art/workflow", "solid")
            await engine.until(lambda: _states(engine)[-1:] == ["ready"])
            assert await _status(rig, "art") == "ready"
            osc.send("/texbridge/main/workflow", UNFIT)
            await osc.until(lambda: ("degraded",) in osc.at("/texbridge/main/status"))
            assert osc.at("/texbridge/main/error")[-1][0] == 509

    run(test)


def test_a_broken_stream_stays_degraded_over_a_panic_until_it_works(tmp_path):
    async def test():
        streams = {"main": {"workflow": "brittle", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.open("main", "brittle")
            (end,) = await engine.finish(await engine.run(params={"count": 3}))
            assert end.outcome == "failed"
            await engine.until(lambda: _states(engine)[-1:] == ["degraded"])
            await engine.ask(Panic)
            await engine.ask(Resume)
            await engine.ask(Ping)
            assert _states(engine)[-2:] == ["paused", "degraded"]
            await engine.finish(await engine.run(params={"count": 2}))
            await engine.until(lambda: _states(engine)[-1] == "ready")
            await engine.finish(await engine.run(params={"count": 3}))
            osc.send("/texbridge/main/workflow", "solid")
            await engine.until(lambda: _states(engine)[-2:] == ["degraded", "ready"])

    run(test)


def test_a_prompt_that_a_comfyui_lost_says_nothing_of_its_workflow(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            bridge = rig.server.bridge
            await engine.open("new", "solid", mode="live")
            rig.gate.shut()
            await engine.subscribe("new")
            await engine.until(lambda: bool(bridge._attempts), "a prompt")
            for attempt in list(bridge._attempts):
                bridge.backend_event(AttemptLost(attempt))  # as a restart between two probes ends it
            assert bridge.counts["finished_failed"] >= 1
            assert bridge.streams.by_name["new"].state != "degraded"
            rig.gate.open()
            await engine.until(lambda: any(not frame.held for frame in engine.of(Frame)), "the next picture")
            assert "degraded" not in _states(engine)

    run(test)


def test_a_state_that_was_due_while_the_loop_was_held_up_is_told_all_the_same(tmp_path, monkeypatch):
    """Whatever comes first after that has the timer set anew."""
    monkeypatch.setattr(states, "LOADING_AFTER_S", 3600.0)

    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.open("main", "solid")
            rig.gate.shut()
            request = await engine.run(params={"fill": color(1)})
            await rig.until(lambda: bool(rig.bridge.scheduler.running()), "its start")
            time.sleep(states.WARMING_AFTER_S)  # noqa: ASYNC251 - what is tested
            rig.bridge.set_timer()
            await engine.until(lambda: _states(engine) == ["warming"])
            rig.gate.open()
            await engine.finish(request)

    run(test)


def test_a_first_prompt_warms_and_then_loads_and_its_deadline_waits_for_that(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.open("main", "solid")
            rig.gate.shut()
            first = await engine.run(params={"fill": color(1)}, deadline_ms=1)
            await engine.until(lambda: _states(engine) == ["warming", "loading"])
            assert first not in engine.finished
            rig.gate.open()
            (end,) = await engine.finish(first)
            assert end.outcome == "done"
            await engine.until(lambda: _states(engine)[-1] == "ready")

    run(test)
