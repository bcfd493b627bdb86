"""The bridge with the timer that it takes on a system whose own timers tick slowly."""

import asyncio
from typing import ClassVar

from app_rig import AppRig

from bridge.app import serve
from bridge.app.timer import PreciseTimer


class CountingTimer(PreciseTimer):
    """One that notes what it is asked for."""

    made: ClassVar[list["CountingTimer"]] = []

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.made.append(self)

    def call_later(self, delay_s, callback):
        self.asked.append(delay_s)
        return super().call_later(delay_s, callback)


def test_deadlines_of_the_bridge_come_by_the_thread(tmp_path, monkeypatch):
    """Live pictures at `max_fps` are deadlines: they come one after the other, and the thread ends with the bridge."""

    async def needed() -> bool:
        return True

    monkeypatch.setattr(serve, "needs_precise_timer", needed)
    monkeypatch.setattr(serve, "PreciseTimer", CountingTimer)
    stream = {"workflow": "clouds", "mode": "live", "seed_policy": "random", "max_fps": 50}

    async def main() -> None:
        async with AppRig(tmp_path, {"s": stream}) as rig:
            (timer,) = CountingTimer.made
            assert rig.bridge.precise_timer is timer
            engine = await rig.engine()
            await engine.subscribe("s")
            await engine.until(lambda: len(engine.frames) >= 5, "five pictures")
            assert timer.asked
        assert timer._thread is not None
        assert not timer._thread.is_alive()

    asyncio.run(main())


def test_systems_with_fine_timers_have_no_thread(tmp_path, monkeypatch):
    async def unneeded() -> bool:
        return False

    monkeypatch.setattr(serve, "needs_precise_timer", unneeded)

    async def main() -> None:
        async with AppRig(tmp_path) as rig:
            assert rig.bridge.precise_timer is None

    asyncio.run(main())
