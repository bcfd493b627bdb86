"""Seeds over real sockets: locked to the picture that is shown, walking by pictures and by seconds."""

from app_rig import AppRig, color, run

from bridge.codec.bridge_messages import Described
from bridge.codec.messages import Describe, Open, Seed, Set
from bridge.types import Mode, SeedPolicy

LIVE = {"main": {"workflow": "clouds", "mode": "live", "seed": 100, "seed_policy": "increment"}}


def seeds(rig):
    return rig.gate.inputs("seed", "2")


async def idle(rig):
    await rig.until(lambda: rig.bridge.scheduler.is_idle("comfy") and not rig.bridge.requests, "an idle ComfyUI")


def test_lock_keeps_the_picture_that_is_shown_and_unlock_goes_on(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            await engine.subscribe()
            rig.gate.step(3)
            await rig.begun(4)  # the fourth is held at ComfyUI, the third is shown
            frame = await engine.frame(lambda frame: frame.header.number == 3)
            await engine.ask(Seed, stream="main", lock=True)
            rig.gate.open()
            await idle(rig)
            again = await engine.frame(lambda other: other.header.number > 3)
            assert (again.pixels == frame.pixels).all()
            assert seeds(rig)[-1] == 102
            described: Described = await engine.ask(Describe, stream="main")
            assert (described.seed, described.seed_policy, described.seed_locked) == (102, SeedPolicy.FIXED, True)
            await engine.ask(Set, stream="main", params={"fill": color(5)})
            await idle(rig)
            assert seeds(rig)[-1] == 102
            rig.osc().send("/texbridge/main/seed/lock", 0)
            count = rig.gate.begun
            await rig.begun(count + 3)
            assert seeds(rig)[count : count + 3] == [102, 103, 104]

    run(test)


def test_a_walk_by_pictures_from_open_config_and_osc(tmp_path):
    async def test():
        streams = {"main": {**LIVE["main"], "seed_every": 2}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await rig.begun(6)
            assert seeds(rig)[:6] == [100, 100, 101, 101, 102, 102]
            await engine.ask(Open, stream="other", workflow="clouds", mode=Mode.ONESHOT, seed_every=3)
            described = await engine.ask(Describe, stream="other")
            assert described.seed_every == 3
            rig.osc().send("/texbridge/other/seed/every", 5)
            stream = rig.bridge.streams.by_name["other"]
            await rig.until(lambda: stream.seeds.every == 5, "the walk")

    run(test)


def test_a_walk_by_seconds_makes_a_picture_a_step_and_none_between(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            await engine.subscribe()
            await rig.begun(1)
            await engine.ask(Seed, stream="main", every_s=3600.0)
            rig.gate.open()
            await idle(rig)
            count = rig.gate.begun
            assert count <= 2
            stream = rig.bridge.streams.by_name["main"]
            stream.seeds._since -= 3600.0  # an hour has passed
            rig.server.actions.seeds._asked_at.clear()
            rig.bridge.set_timer()
            await rig.begun(count + 1)
            await idle(rig)
            assert rig.gate.begun == count + 1
            assert seeds(rig)[count] == seeds(rig)[count - 1] + 1
            # A value that changes meanwhile is a picture with the seed of this step.
            await engine.ask(Set, stream="main", params={"fill": color(9)})
            await rig.begun(count + 2)
            assert seeds(rig)[count + 1] == seeds(rig)[count]

    run(test)
