"""Progress: weighted over the whole prompt, never so often that it is in the way, and never outside its range."""

import pytest
from app_rig import AppRig, node, run, solid, write_workflow
from scripted_rig import ScriptedRig

from bridge.backends.records import BackendProgress
from bridge.codec.messages import Cancel, Ping, Progress
from bridge.workflow.progress import NodeTimes


class Clock:
    """The time of progress, which stands still: what ComfyUI says late of a prompt's beginning is not told of."""

    def __init__(self, rig):
        self.now = rig.bridge.clock()
        rig.bridge.progress._clock = lambda: self.now


@pytest.mark.parametrize(("value", "maximum"), [(1, 2), (1, 1), (7, 3)])
def test_a_node_that_tells_its_progress_a_thousand_times_at_once_is_heard_once(tmp_path, value, maximum):
    """Even its end: some nodes count to 1 for each tile. An engine in a hitch must not be cut for it."""

    async def test():
        async with AppRig(tmp_path) as rig:
            engine, clock = await rig.engine(), Clock(rig)
            rig.gate.shut()
            request = await engine.run()
            await rig.begun(1)
            await engine.ask(Ping)
            before = len(engine.of(Progress))
            (attempt,) = rig.bridge._attempts
            clock.now += 10
            for _ in range(1000):
                rig.bridge.backend_event(BackendProgress(attempt, "2", value, maximum))
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
            clock = Clock(rig)
            rig.gate.shut()
            await engine.run()
            await rig.begun(1)
            await engine.ask(Ping)
            before = len(engine.of(Progress))
            (attempt,) = rig.bridge._attempts
            clock.now += 10
            rig.bridge.backend_event(BackendProgress(attempt, "2", value, maximum))
            await engine.ask(Ping)
            told = engine.of(Progress)[before:]
            assert [step.value / step.max for step in told] == ([] if share is None else [share])
            if share is not None:
                # Two nodes of equal weight: the one that began is not done, the output is so far.
                assert told[0].whole == pytest.approx(share / 2)
                await osc.until(
                    lambda: (pytest.approx(share / 2),) in osc.at("/texbridge/main/progress"), "the progress"
                )

    run(test)


def test_the_whole_prompt_counts_on_link_and_osc_and_never_falls(tmp_path):
    async def test():
        streams = {"main": {"workflow": "one", "mode": "oneshot"}}
        async with ScriptedRig(tmp_path, streams) as rig:
            engine, osc = await rig.engine(), rig.osc()
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: osc.at("/texbridge/main/status") != [], "the status")
            # In the clock of the test: so much later than the last message that it is told.
            now, real = [rig.bridge.clock()], rig.bridge.clock
            rig.bridge.progress._clock = lambda: now[0]
            request = await engine.run(key="k")
            item = await rig.begin()
            steps = []

            async def told(kind, **data):
                now[0] += 1.0
                before = len(engine.of(Progress))
                await rig.tell(item, kind, **data)
                await engine.until(lambda: len(engine.of(Progress)) > before, f"progress at {kind} {data}")
                steps.append(engine.of(Progress)[-1])

            await told("executing", node="1")
            await told("executing", node="5")
            for value in (1, 2, 3, 4):
                await told("progress", value=value, max=4, node="5")
            await told("progress", value=1, max=4, node="5")  # a node that goes over a list begins anew
            await told("executing", node="9")
            now[0] += 1.0
            await rig.picture(item, 200)
            await rig.end(item)
            await engine.finish(request)
            assert [(step.value, step.max, step.node) for step in steps] == [
                (0, 1, "Model"),
                (0, 1, "The sampler"),
                (1, 4, "The sampler"),
                (2, 4, "The sampler"),
                (3, 4, "The sampler"),
                (4, 4, "The sampler"),
                (1, 4, "The sampler"),
                (0, 1, "image"),
            ]
            wholes = [step.whole for step in engine.of(Progress)]
            assert wholes[0] == 0.0
            assert wholes == sorted(wholes)
            assert wholes[-1] == 1.0
            assert {(step.request, step.key) for step in engine.of(Progress)} == {(request, "k")}
            heard = [share for (share,) in osc.at("/texbridge/main/progress")]
            await osc.until(lambda: (1.0,) in osc.at("/texbridge/main/progress"), "the end over OSC")
            assert heard == sorted(heard)
            # The second time the sampler counts for the time that it took: five of seven seconds.
            second = await engine.run()
            item = await rig.begin(cached=["1"])
            steps.clear()
            await told("executing", node="5")
            await told("progress", value=2, max=4, node="5")
            sampler, output = 6.0, 1.0
            assert steps[-1].whole == pytest.approx(sampler * 0.5 / (sampler + output))
            await engine.ask(Cancel, request=second)
            rig._ends[item.prompt_id].set()
            await engine.finish(second)
            assert engine.of(Progress)[-1].whole < 1
            rig.bridge.clock = real

    run(test)


def test_a_comfyui_that_tells_what_is_done_may_run_nodes_beside_each_other(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, {"main": {"workflow": "two", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            now = [rig.bridge.clock()]
            rig.bridge.progress._clock = lambda: now[0]
            request = await engine.run()
            item = await rig.begin()

            async def state(**nodes):
                now[0] += 1.0
                told = {name.strip("_"): {"value": 1, "max": 1, "state": word} for name, word in nodes.items()}
                await rig.tell(item, "progress_state", nodes=told)

            async def begins(node_id):
                now[0] += 1.0
                before = len(engine.of(Progress))
                await rig.tell(item, "executing", node=node_id)
                await engine.until(lambda: len(engine.of(Progress)) > before, f"node {node_id}")
                return engine.of(Progress)[-1].whole

            await state(_1="finished")
            assert await begins("5") == pytest.approx(0.2)
            assert await begins("7") == pytest.approx(0.2)  # 5 is not over: nobody said so
            await state(_1="finished", _5="finished", _7="running")
            assert await begins("9") == pytest.approx(0.4)
            await rig.picture(item, 10)
            await rig.picture(item, 20, node_id="12")
            await rig.end(item)
            await engine.finish(request)
            assert engine.of(Progress)[-1].whole == 1.0

    run(test)


def test_an_embedded_sampler_is_followed_and_its_time_is_learned(tmp_path):
    graph = {
        "1": solid("Fill @fill:color"),
        "2": node("EmbeddedSampler", "Sampler @steps @seed", image=["1", 0], seed=1, steps=8, denoise=1.0),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    }

    async def test():
        write_workflow(tmp_path, "sampled", graph)
        streams = {"main": {"workflow": "sampled", "mode": "oneshot", "seed_policy": "increment"}}
        async with AppRig(tmp_path, streams) as rig:
            engine, clock = await rig.engine(), Clock(rig)
            take = rig.bridge.backend_event

            def take_and_count(record):
                clock.now += isinstance(record, BackendProgress) and record.node == "2"  # a second each step
                take(record)

            rig.bridge.backends.get("comfy")._on_event = take_and_count
            for _ in range(2):
                await engine.finish(await engine.run())
            for request in (1, 2):
                told = [step for step in engine.of(Progress) if step.request == request]
                wholes = [step.whole for step in told]
                assert wholes == sorted(wholes)
                assert wholes[-1] == 1.0
                assert "Sampler" in {step.node for step in told}
            (times,) = [times for _, times in rig.bridge.progress._times.values()]
            assert isinstance(times, NodeTimes)
            assert times.weight("2", 8) > 5 * times.weight("3", None)
            # Twice as many steps are expected to take twice as long.
            assert times.weight("2", 16) == pytest.approx(2 * times.weight("2", 8))

    run(test)
