"""The bridge as HTTP sees it: health, readiness, and the pictures of streams as JPEG."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from bridge import __version__
from bridge.app.actions import Actions
from bridge.app.http.loop_lag import LoopLag
from bridge.app.http.metrics import metrics
from bridge.app.http.readiness import readiness
from bridge.app.viewers.viewers import Viewer
from bridge.errors import BridgeError, ErrorCode
from bridge.streams.stream import Stream
from bridge.types import PayloadSpec, PixelFormat

JPEG: Final = PayloadSpec(PixelFormat.JPEG)
GLANCE_S: Final = 10.0
"""Who fetches a still counts as a viewer for so long: a page that asks again and again keeps a live stream live."""


class HttpHub:
    """The `HttpHub` of the HTTP door."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self.door_counts: dict[str, Callable[[], Mapping[str, int]]] = {}
        """What each door counted, by its name; filled by who opens them."""
        self.lag = LoopLag()
        """How late the event loop is; started by who opens the doors."""
        self._glances: dict[int, tuple[object, asyncio.TimerHandle]] = {}

    def health(self) -> dict[str, Any]:
        """Give what is wrong, if anything is, the bridge's version, uptime in seconds, counts, backends and buffers."""
        bridge = self._bridge
        reasons = [reason for reason in (self._actions.held.last_frames.trouble,) if reason is not None]
        return {
            "status": "degraded" if reasons else "ok",
            "reasons": reasons,
            "version": __version__,
            "boot": bridge.boot,
            "uptime_s": round(bridge.clock() - bridge.started_at, 3),
            "sessions": len(self._actions.sessions),
            "streams": len(self._actions.streams),
            "requests": {"open": bridge.scheduler.open_requests(), **bridge.counts},
            "results": dict(bridge.results.counts),
            "backends": [backend.info() for backend in bridge.backends],
            "doors": {name: dict(counts()) for name, counts in self.door_counts.items()},
            "buffers": bridge.buffers.stats()._asdict(),
            "shared_memory": bridge.memory.stats()._asdict(),
            "decoding": bridge.decoders.stats()._asdict(),
        }

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Say whether pictures can be made now, and what `/readyz` says."""
        return readiness(self._actions)

    def metrics(self) -> str:
        """Give what `/metrics` says."""
        return metrics(self._actions, self.lag, self.door_counts)

    def stream_names(self) -> list[str]:
        """Give the names of all streams."""
        return sorted(self._actions.streams.by_name)

    async def jpeg(self, name: str) -> bytes:
        """Give a stream's newest picture. Raises as the door's `HttpHub` says."""
        stream = self._actions.streams.find(name)
        self._glance(stream)
        if self._actions.held.is_covered(stream):
            held = await self._actions.held.make(stream, Viewer(object(), stream.number, (0,), JPEG, _nobody))
        else:
            held = await self._bridge.shown.held_set(stream.number, ((0,), JPEG))
        if held is None:
            raise BridgeError(
                f"stream {name!r} has no picture yet (it is {stream.state.value}); wait with ?wait=10, or send a run",
                code=ErrorCode.NO_IMAGE,
            )
        try:
            return bytes(held.payloads[0][1].data)
        finally:
            held.release()

    async def jpegs(self, name: str) -> AsyncIterator[bytes]:
        """Give the newest picture of a stream, then each newer one; what comes while the reader is busy is skipped."""
        stream = self._actions.streams.find(name)
        woken = asyncio.Event()
        key = object()
        viewer = Viewer(key, stream.number, (0,), JPEG, woken.set)
        self._actions.add_viewer(stream, viewer)
        try:
            while self._bridge.viewers.get(stream.number, key) is viewer:
                item = viewer.take()
                if item is None:
                    await woken.wait()
                    woken.clear()
                    continue
                try:
                    shown = item.number or self._actions.held.is_covered(stream)  # a newcomer's placeholder is not
                    picture = bytes(item.payloads[0][1].data) if shown else b""
                finally:
                    item.release()
                if picture:
                    yield picture
                viewer.ack(item.number)
        finally:
            self._actions.remove_viewer(stream, key)

    def _glance(self, stream: Stream) -> None:
        """Somebody looked at a stream for a moment."""
        known = self._glances.pop(stream.number, None)
        key = object() if known is None else known[0]
        if known is not None:
            known[1].cancel()
        else:
            stream.subscribe(key)
            self._actions.tell_viewers(stream)
        timer = asyncio.get_running_loop().call_later(GLANCE_S, self._look_away, stream, key)
        self._glances[stream.number] = (key, timer)

    def _look_away(self, stream: Stream, key: object) -> None:
        self._glances.pop(stream.number, None)
        self._actions.remove_viewer(stream, key)

    def close(self) -> None:
        """Forget who looked."""
        self.lag.close()
        for _, timer in self._glances.values():
            timer.cancel()
        self._glances.clear()


def _nobody() -> None:
    """The `wake` of who looks at one picture and goes."""
