"""Collects what a backend reports, and waits for it with a time limit."""

import asyncio
import contextlib
from dataclasses import replace

from bridge.backends.comfy import ComfyBackend
from bridge.backends.records import BackendPicture, ComfyLimits
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptWithdrawn,
    BackendDoubted,
    BackendDown,
    BackendUp,
)

TERMINAL = (AttemptRefused, AttemptEnded, AttemptWithdrawn, AttemptLost)
BACKEND = (BackendUp, BackendDoubted, BackendDown)
LIMIT_S = 20.0

FAST = ComfyLimits(
    ping_interval_s=0.1,
    pong_timeout_s=30.0,
    probe_timeout_s=20.0,
    doubt_timeout_s=30.0,
    flags_timeout_s=1.0,
    http_timeout_s=5.0,
    check_interval_s=0.1,
    silence_s=0.3,
    stuck_after_s=30.0,
    stuck_retry_s=30.0,
    retire_poll_s=0.05,
    reconnect_first_s=0.05,
    reconnect_most_s=0.2,
    close_s=2.0,
)
"""Limits for tests: looks and tries ten times as often as by default, and patience with a machine that is held up."""

SOON_IN_DOUBT = replace(FAST, pong_timeout_s=0.4, probe_timeout_s=0.5)
"""For tests of silence: no pong is a doubt at once."""

SOON_STUCK = replace(FAST, stuck_after_s=0.5)
"""For tests of a worker that takes nothing."""


class Listener:
    """`on_event` of a backend: keeps every record, and wakes whoever waits."""

    def __init__(self):
        self.records = []
        self._woken = asyncio.Event()

    def __call__(self, record):
        self.records.append(record)
        self._woken.set()

    async def until(self, condition, what="a record", limit_s=LIMIT_S):
        """The first true result of `condition()`, which is asked again after every record."""
        try:
            async with asyncio.timeout(limit_s):
                while not (result := condition()):
                    self._woken.clear()
                    await self._woken.wait()
                return result
        except TimeoutError:
            raise AssertionError(f"no {what} in {limit_s} s; records: {self.records}") from None

    def of(self, kinds, attempt=None):
        return [
            record
            for record in self.records
            if isinstance(record, kinds) and (attempt is None or record.attempt == attempt)
        ]

    async def one(self, kinds, attempt=None, limit_s=LIMIT_S):
        """The first record of these kinds."""
        return await self.until(lambda: next(iter(self.of(kinds, attempt)), None), f"{kinds} {attempt}", limit_s)

    async def many(self, kinds, count, limit_s=LIMIT_S):
        return await self.until(lambda: len(self.of(kinds)) >= count and self.of(kinds), f"{count} {kinds}", limit_s)

    async def end_of(self, attempt, limit_s=LIMIT_S):
        """The one terminal record of an attempt."""
        await self.one(TERMINAL, attempt, limit_s)
        ends = self.of(TERMINAL, attempt)
        assert len(ends) == 1, ends
        return ends[0]

    def pictures(self, attempt):
        return self.of(BackendPicture, attempt)

    def lives(self):
        """The backend's own records, in order, by class name."""
        return [type(record).__name__ for record in self.of(BACKEND)]

    def assert_one_end_each(self, *attempts):
        for attempt in attempts:
            assert len(self.of(TERMINAL, attempt)) == 1, (attempt, self.of(TERMINAL, attempt))


@contextlib.asynccontextmanager
async def backend_at(url, *, limits=FAST, up=True, **options):
    """A started backend and its listener, closed at the end."""
    listener = Listener()
    backend = ComfyBackend("one", url, on_event=listener, limits=limits, **options)
    backend.start()
    try:
        if up:
            await listener.one(BackendUp)
        yield backend, listener
    finally:
        await backend.close()


def graph(color=0, batch=1, size=64, blurs=1, radius=2, end="SaveImageWebsocket"):
    """EmptyImage, `blurs` times ImageBlur, and node "9" at the end."""
    nodes = {"1": {"class_type": "EmptyImage", "inputs": {"width": size, "height": size, "batch_size": batch}}}
    nodes["1"]["inputs"]["color"] = color
    link = ["1", 0]
    for number in range(blurs):
        name = str(20 + number)
        inputs = {"image": link, "blur_radius": radius, "sigma": min(1.0 + radius / 4, 5.0)}
        nodes[name] = {"class_type": "ImageBlur", "inputs": inputs}
        link = [name, 0]
    nodes["9"] = {"class_type": end, "inputs": {"images": link}}
    return nodes
