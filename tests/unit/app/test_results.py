"""Results on their way to viewers, where the order in which pictures come is the point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from png_files import png8

from bridge.app.actions import Actions
from bridge.app.bridge import Bridge
from bridge.app.config import load_config
from bridge.app.serve import make_library
from bridge.app.viewers import Viewer
from bridge.backends.records import BackendPicture
from bridge.scheduler.events import AttemptEnded, AttemptPosted, AttemptStarted, BackendUp
from bridge.types import Mode, PayloadSpec, PixelFormat


class SilentBackend:
    """Takes prompts and tells nothing: the test says what comes of them, and when."""

    object_info = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts: list[int] = []

    def submit(self, attempt: int, prompt: Mapping[str, Any], output_nodes: Mapping[str, int]) -> None:
        self.attempts.append(attempt)
        self.output_nodes = output_nodes

    def withdraw(self, attempt: int) -> None:
        """Its result is dropped all the same."""

    async def close(self) -> None:
        """Nothing is open."""


def picture(backend: SilentBackend, attempt: int, colour: tuple[int, int, int]) -> BackendPicture:
    data = memoryview(png8([[colour] * 8] * 8))
    now = time.perf_counter()
    (node,) = backend.output_nodes
    return BackendPicture(backend.name, attempt, node, 0, 0, "png", data, now, now)


def test_the_older_of_two_pictures_that_come_together_is_the_one_that_is_dropped() -> None:
    """Live at two backends: the slow one's older picture comes while the newer one is still in decoding."""

    async def scenario() -> None:
        library, _ = make_library()
        bridge = Bridge(load_config(None, {}), library)
        actions = Actions(bridge)
        slow, quick = SilentBackend("a"), SilentBackend("b")
        bridge.backends._backends.update(a=slow, b=quick)  # type: ignore[dict-item]
        try:
            stream = actions.open_stream("made", "gradient", Mode.LIVE).stream
            offered = asyncio.Event()
            viewer = Viewer("somebody", stream.number, (0,), PayloadSpec(PixelFormat.RGB8), offered.set)
            actions.add_viewer(stream, viewer)
            bridge.backend_event(BackendUp("a"))
            bridge.backend_event(BackendUp("b"))
            actions.set_values(stream, {"noise": 0.3})
            (older,), (newer,) = slow.attempts, quick.attempts
            assert older < newer
            for attempt in (older, newer):
                bridge.backend_event(AttemptPosted(attempt))
                bridge.backend_event(AttemptStarted(attempt))
            placeholder = viewer.take()
            assert placeholder is not None
            placeholder.release()
            bridge.backend_event(picture(quick, newer, (0, 255, 0)))
            bridge.backend_event(picture(slow, older, (255, 0, 0)))
            bridge.backend_event(AttemptEnded(newer))
            bridge.backend_event(AttemptEnded(older))
            async with asyncio.timeout(20):
                while (shown := viewer.take()) is None:
                    offered.clear()
                    await offered.wait()
                assert bytes(shown.payloads[0][1].data[:3]) == b"\x00\xff\x00"
                shown.release()
                viewer.ack(shown.number)
                await asyncio.gather(*bridge.results._tasks)
            assert viewer.take() is None
            assert bridge.results.counts == {"released": 1, "dropped": 1}
            assert bridge.counts == {"finished_done": 1, "finished_superseded": 1}
        finally:
            await actions.close()
            await bridge.close()

    asyncio.run(scenario())
