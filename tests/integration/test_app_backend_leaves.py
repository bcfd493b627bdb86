"""A ComfyUI that is taken out while the bridge works: nothing more is given to it from that moment on."""

import asyncio
from pathlib import Path

import pytest
from app_rig import AppRig, color, run

from bridge.codec.messages import Set
from bridge.scheduler.events import BackendUp, ValuesChanged
from bridge.types import Mode

LIVE = {"main": {"workflow": "solid", "mode": "live"}}


def _change_a_value(rig: AppRig, number: int) -> None:
    """As if it came in this very moment."""
    stream = rig.bridge.streams.find("main")
    stream.values.set({"fill": color(number)})
    rig.bridge.tell(ValuesChanged(stream.number, stream.values.revision))


@pytest.mark.timeout(30)
def test_a_value_that_comes_while_the_only_backend_is_being_removed(tmp_path: Path) -> None:
    """A live stream's pictures have nowhere to go then: they are not tried again and again at what is gone."""

    async def test() -> None:
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            await engine.subscribe("main")
            await engine.frame()
            assert rig.bridge.streams.find("main").mode is Mode.LIVE
            removal = asyncio.create_task(rig.bridge.backends.remove("comfy"))
            await asyncio.sleep(0)  # it is on its way: the old connection is being ended
            failed = rig.bridge.counts["finished_failed"]
            _change_a_value(rig, 7)
            assert rig.bridge.counts["finished_failed"] == failed
            await removal
            rig.bridge.backends.add("comfy", rig.comfy.url)
            await engine.frame(lambda frame: frame.number == 7)

    run(test)


@pytest.mark.timeout(30)
def test_the_scheduler_learns_that_a_backend_is_not_there(tmp_path: Path) -> None:
    """Whatever made it think so: one picture is lost by that, and no more."""

    async def test() -> None:
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine()
            await engine.subscribe("main")
            await engine.frame()
            rig.bridge.tell(BackendUp("nobody"))
            await rig.bridge.backends.remove("comfy")
            failed = rig.bridge.counts["finished_failed"]
            engine.send(Set(stream="main", params={"fill": color(9)}, id=99))
            await engine.until(lambda: any(getattr(item, "id", None) == 99 for item in engine.log), "ok")
            assert rig.bridge.counts["finished_failed"] <= failed + 1

    run(test)
