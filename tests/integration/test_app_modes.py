"""Modes, priorities, deadlines, cancels, keys and seeds, through the whole bridge."""

from itertools import pairwise

import pytest
from app_rig import WORKFLOWS, AppRig, Engine, color, run

from bridge.codec.messages import Accepted, Cancel, Finished, Live, Open, Ping, Run, Set
from bridge.types import FrameFlags, SeedPolicy

DOORS = ["tcp", "websocket"]


@pytest.mark.parametrize("door", DOORS)
def test_oneshot_makes_every_run_in_order_with_its_own_values(tmp_path, door):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(door)
            await engine.subscribe(credit=8)
            requests = [await engine.run(params={"fill": color(value)}, client_time=value) for value in range(1, 9)]
            answers = await engine.finish(*requests)
            await engine.frame(lambda frame: frame.number == 8)
            assert [answer.outcome for answer in answers] == ["done"] * 8
            assert [answer.number for answer in answers] == list(range(1, 9))
            assert rig.posted("color") == list(range(1, 9))
            # Delivery is `latest`: a set that the next one overtakes before it is written is not sent.
            shown = [frame.number for frame in engine.frames]
            assert shown == sorted(set(shown))
            for frame in engine.frames:
                header = frame.header
                assert (header.number, header.client_time) == (frame.number, frame.number)
                assert header.request == requests[frame.number - 1]
            assert all(frame.header.flags == FrameFlags.LAST_SET | FrameFlags.LAST_OF_SET for frame in engine.frames)
            assert all(answer.frames == 1 and answer.seed is not None for answer in answers)
            assert all(
                answer.timing["waiting_us"] + answer.timing["comfy_us"] <= answer.timing["total_us"]
                for answer in answers
            )

    run(test)


@pytest.mark.parametrize("door", DOORS)
def test_accepted_then_frames_then_finished(tmp_path, door):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(door)
            await engine.subscribe(credit=8)
            for value in range(5):
                await engine.finish(await engine.run(params={"fill": color(value)}))
            places = {}
            for place, item in enumerate(engine.log):
                if isinstance(item, Accepted):
                    places.setdefault(item.request, []).append(("accepted", place))
                elif isinstance(item, Finished):
                    places.setdefault(item.request, []).append(("finished", place))
                elif not hasattr(item, "op") and not item.held:
                    places.setdefault(item.header.request, []).append(("frame", place))
            for steps in places.values():
                assert [step for step, _ in steps] == ["accepted", "frame", "finished"]

    run(test)


def test_latest_replaces_the_waiting_run_and_binds_the_newest_values(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "latest"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            rig.gate.shut()
            requests = [await engine.run(params={"fill": color(1)})]
            await rig.begun(1)
            for value in range(2, 7):
                requests.append(await engine.run(params={"fill": color(value)}))
            await engine.set(params={"fill": color(9)})
            rig.gate.step()
            await engine.frame(lambda frame: frame.number == 1)
            rig.gate.open()
            answers = await engine.finish(*requests)
            outcomes = [answer.outcome for answer in answers]
            assert outcomes == ["done", *["superseded"] * 4, "done"]
            await engine.until(lambda: engine.frames[-1].header.request == requests[-1])
            assert engine.frames[0].number == 1
            assert engine.frames[-1].number == 9  # set after the run, before it was posted: the newest goes in
            assert rig.bridge.counts["accepted"] == 6

    run(test)


def test_live_shows_every_change_at_last_and_rests_when_nothing_changes(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine(hello={"events": ["live"]})
            await engine.subscribe()
            await engine.frame(lambda frame: frame.number == 0)
            for value in range(1, 60):
                engine.send(Set(stream="main", params={"fill": color(value)}, client_time=value))
            last = await engine.frame(lambda frame: frame.number == 59)
            assert last.header.client_time == 59
            shown = [frame.number for frame in engine.frames]
            assert shown == sorted(shown)
            begun = rig.gate.begun
            await engine.ask(Ping)
            # A run makes a picture of its own though nothing changed; that nothing else was made shows in the count.
            request = await engine.run()
            await engine.finish(request)
            assert rig.gate.begun == begun + 1
            generations = [answer for answer in engine.of(Finished) if answer.request != request]
            done = [answer for answer in generations if answer.outcome == "done"]
            # One that was bound again before it began has its answer too, and made nothing.
            assert len(done) <= begun <= len(generations)
            assert {answer.outcome for answer in generations} <= {"done", "superseded"}

    run(test)


def test_live_does_nothing_without_a_viewer_and_begins_with_one(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.set(params={"fill": color(3)})
            await engine.ask(Ping)
            assert rig.gate.begun == 0
            await engine.subscribe()
            await engine.frame(lambda frame: frame.number == 3)

    run(test)


def test_a_run_in_live_keeps_its_own_values(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            await engine.frame()
            rig.gate.shut()
            requests = [await engine.run(params={"fill": color(value)}) for value in (101, 102, 103)]
            await engine.set(params={"fill": color(104)})
            for request in requests:
                rig.gate.step()
                (answer,) = await engine.finish(request)
                assert answer.outcome == "done"
            rig.gate.open()
            await engine.frame(lambda frame: frame.number == 104)
            made = {frame.header.request: frame.number for frame in engine.frames}
            assert [made[request] for request in requests] == [101, 102, 103]

    run(test)


def test_live_switched_on_and_off(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.set(params={"fill": color(5)})
            assert rig.gate.begun == 0
            await engine.ask(Live, stream="main", on=True)
            await engine.frame(lambda frame: frame.number == 5)
            await engine.ask(Live, stream="main", on=False)
            await engine.set(params={"fill": color(6)})
            for value in (7, 8):
                (answer,) = await engine.finish(await engine.run(params={"fill": color(value)}))
                assert answer.outcome == "done"
            assert [frame.number for frame in engine.frames] == [5, 7, 8]

    run(test)


def test_higher_priority_goes_first(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            first = [await engine.run(params={"fill": color(1)})]
            await rig.begun(1)
            first.append(await engine.run(params={"fill": color(2)}))  # at ComfyUI, behind the one that runs
            for value, priority in ((3, 0), (4, 5), (5, 9), (6, 5), (7, 9)):
                first.append(await engine.run(params={"fill": color(value)}, priority=priority))
            rig.gate.open()
            await engine.finish(*first)
            assert rig.posted("color") == [1, 2, 5, 7, 4, 6, 3]

    run(test)


def test_a_deadline_ends_a_waiting_and_a_running_request(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.finish(await engine.run(params={"fill": color(9)}))  # deadlines count once it is warm
            await engine.subscribe()
            rig.gate.shut()
            running = await engine.run(params={"fill": color(1)}, deadline_ms=30)
            waiting = await engine.run(params={"fill": color(2)}, deadline_ms=30)
            third = await engine.run(params={"fill": color(3)})
            late = await engine.run(params={"fill": color(4)}, deadline_ms=0)
            answers = await engine.finish(running, waiting, late)
            assert [answer.outcome for answer in answers] == ["expired"] * 3
            assert all(answer.frames == 0 and answer.number == 0 for answer in answers)
            assert third not in engine.finished
            rig.gate.open()
            (answer,) = await engine.finish(third)
            assert answer.outcome == "done"
            await engine.until(lambda: bool(engine.frames))
            assert [frame.number for frame in engine.frames] == [3]

    run(test)


async def _three_waiting(rig: AppRig, engine: Engine) -> list[int]:
    rig.gate.shut()
    requests = [await engine.run(params={"fill": color(value)}) for value in (1, 2, 3)]
    await rig.begun(1)
    return requests


def test_cancel_by_number_waiting_and_running(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            running, posted, waiting = await _three_waiting(rig, engine)
            for request in (waiting, posted, running):
                answer = await engine.ask(Cancel, request=request)
                assert list(answer.cancelled) == [request]
                (end,) = await engine.finish(request)
                assert (end.outcome, end.frames, end.number) == ("cancelled", 0, 0)
            answer = await engine.ask(Cancel, request=running)
            assert list(answer.cancelled) == []  # it was over
            rig.gate.open()
            last = await engine.run(params={"fill": color(9)})
            await engine.finish(last)
            await engine.until(lambda: bool(engine.frames))
            assert [frame.number for frame in engine.frames] == [9]

    run(test)


def test_cancel_own_leaves_others_and_all_takes_them(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine("websocket")
            mine = await _three_waiting(rig, engine)
            theirs = await other.run(params={"fill": color(7)})
            by_osc = rig.osc()
            by_osc.send("/texbridge/main/run")
            await rig.until(lambda: rig.bridge.counts["accepted"] == 5)
            refused = await engine.refused(Cancel, request=theirs)
            assert (refused.code, refused.name) == (410, "not_yours")
            refused = await engine.refused(Cancel, request=4_000_000)
            assert (refused.code, refused.name) == (205, "unknown_request")
            answer = await engine.ask(Cancel, stream="main")
            assert sorted(answer.cancelled) == mine
            assert theirs not in other.finished
            by_osc.send("/texbridge/main/cancel")  # those of OSC alone
            await rig.until(lambda: "cancelled" in [how for n, how in rig.ears.finished if n > theirs])
            assert theirs not in other.finished
            answer = await engine.ask(Cancel, stream="main", all=True)
            assert list(answer.cancelled) == [theirs]
            (end,) = await other.finish(theirs)
            assert end.outcome == "cancelled"
            ends = await engine.finish(*mine)
            assert [end.outcome for end in ends] == ["cancelled"] * 3

    run(test)


def test_cancel_all_leaves_a_live_stream_going(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            rig.gate.shut()
            await engine.set(params={"fill": color(4)})
            await rig.begun(1)
            asked = await engine.run(params={"fill": color(5)})
            answer = await engine.ask(Cancel, stream="main", all=True)
            assert list(answer.cancelled) == [asked]
            rig.gate.open()
            await engine.frame(lambda frame: frame.number == 5)

    run(test)


def test_the_same_key_is_the_same_request(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            first = await engine.run(params={"fill": color(1)}, key="door/1")
            again = await engine.ask(Run, stream="main", params={"fill": color(2)}, key="door/1")
            assert (again.request, again.key) == (first, "door/1")
            nowhere = await engine.ask(Run, stream="nowhere", key="door/1")
            assert nowhere.request == first
            rig.gate.open()
            (end,) = await engine.finish(first)
            assert (end.outcome, end.key) == ("done", "door/1")
            after = await engine.run(key="door/1")  # it is over, and remembered
            assert after == first
            number = await engine.run(key=7)
            assert number != first
            await engine.finish(number)
            await engine.ask(Ping)
            assert rig.gate.inputs("color") == [1, 1]
            assert len(engine.of(Finished)) == 2

    run(test)


def test_seed_policies(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            seen = {}
            for policy in SeedPolicy:
                await engine.open(policy.value, "clouds", seed_policy=policy)
                requests = [await engine.run(policy.value) for _ in range(4)]
                own = await engine.run(policy.value, seed=2**64 - 1)
                after = await engine.run(policy.value)
                ends = await engine.finish(*requests, own, after)
                seen[policy] = [end.seed for end in ends]
            assert seen[SeedPolicy.FIXED] == [7, 7, 7, 7, 2**64 - 1, 7]
            assert seen[SeedPolicy.INCREMENT] == [7, 8, 9, 10, 2**64 - 1, 11]
            assert seen[SeedPolicy.RANDOM][4] == 2**64 - 1
            assert len(set(seen[SeedPolicy.RANDOM])) == 6
            bound = rig.posted("seed", "2")
            assert bound == [seed for seeds in seen.values() for seed in seeds]

    run(test)


def test_live_streams_share_the_backend(tmp_path):
    async def test():
        stream = {"workflow": "clouds", "mode": "live", "seed_policy": "increment"}
        async with AppRig(tmp_path, {"left": stream, "right": stream}) as rig:
            engine = await rig.engine()
            rig.gate.shut()  # neither has a start
            numbers = [(await engine.subscribe(name)).number for name in ("left", "right")]
            rig.gate.open()

            def shown(number):
                return sum(frame.header.stream == number for frame in engine.frames)

            await engine.until(lambda: all(shown(number) >= 10 for number in numbers))
            assert abs(rig.bridge.streams.find("left").seed - rig.bridge.streams.find("right").seed) <= 4
            request = await engine.run("left", seed=99)
            (end,) = await engine.finish(request)  # and a run gets its turn
            assert (end.outcome, end.seed) == ("done", 99)

    run(test)


def test_a_live_stream_of_random_seeds_goes_on_by_itself(tmp_path):
    async def test():
        streams = {"main": {"workflow": "clouds", "mode": "live", "seed_policy": "random"}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.until(lambda: len(engine.frames) >= 6)
            assert all(a.data != b.data for a, b in pairwise(engine.frames))
            assert [b.header.number - a.header.number >= 1 for a, b in pairwise(engine.frames)]

    run(test)


def test_the_size_asked_for_is_the_size_made(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.open("wide", "solid", size=(64, 24))
            await engine.subscribe("wide", credit=8)
            request = await engine.run("wide", params={"fill": color(1)})
            await engine.finish(request)
            frame = await engine.frame()
            header = frame.header
            assert (header.width, header.height, header.row_pitch, header.payload_bytes) == (64, 24, 256, 64 * 24 * 4)
            assert frame.number == 1
            osc = rig.osc()
            osc.bundle(("/texbridge/wide/size", 100, 51), ("/texbridge/wide/run",))  # the nearest multiples of 8
            frame = await engine.frame(lambda frame: frame.header.number == 2)
            assert (frame.header.width, frame.header.height) == (104, 48)
            refused = await engine.refused(Open, stream="odd", workflow="solid", mode="oneshot", size=(65, 24))
            assert (refused.code, refused.field) == (305, "size")

    run(test)


def test_too_many_waiting_runs_are_refused_in_live(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            requests = [await engine.run(params={"fill": color(value)}) for value in range(66)]  # two are posted
            refused = await engine.refused(Run, stream="main", params={"fill": color(999)})
            assert (refused.code, refused.limit) == (405, 64)
            rig.gate.open()
            ends = await engine.finish(*requests)
            assert {end.outcome for end in ends} == {"done"}
            assert 999 not in rig.gate.inputs("color")

    run(test)


def test_every_workflow_of_the_rig_is_usable(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            assert {workflow.name for workflow in (await rig.engine()).welcome.workflows} >= WORKFLOWS.keys()

    run(test)
