"""Warm-up prompts: so that the first picture that somebody asks for doesn't wait for a model to load.

A live stream warms itself with its first picture. For a stream of the configuration in `oneshot` or `latest` one
prompt is made with the values that hold, as soon as a ComfyUI is there and whenever workflow or size have become new
ones; its picture is dropped, and the picture that is shown stays. A run that somebody asks for meanwhile takes its
place, or comes right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from bridge.app.bridge import Bridge
from bridge.app.records import Request
from bridge.scheduler.events import RequestAdded, RequestCancelled
from bridge.streams.stream import Stream
from bridge.types import Mode, Outcome, StreamState

LOWEST_PRIORITY: Final = 0
MAX_KEYS: Final = 1024


class WarmUps:
    """The warm-up prompts of one bridge; `revision(stream)` gives that of a stream's values."""

    def __init__(self, bridge: Bridge, revision: Callable[[Stream], int]) -> None:
        self._bridge = bridge
        self._revision = revision
        self._is_ready = False
        self._warm: set[Hashable] = set()
        """Workflows and sizes of which a prompt has run, or for which one was tried."""
        self._open: dict[int, int] = {}
        """The warm-up request of a stream."""

    def comfy_came(self) -> None:
        """A ComfyUI is there, and what it can run is known: nothing is warm there."""
        self._is_ready = True
        self._warm.clear()
        for stream in list(self._bridge.streams.by_name.values()):
            self.look(stream)

    def look(self, stream: Stream) -> None:
        """Make a warm-up prompt for a stream, if it needs one."""
        config = self._bridge.config.scheduler
        if not (config.warm_up and self._is_ready and stream.configured) or stream.mode is Mode.LIVE:
            return
        if stream.cost_key in self._warm or stream.state in (
            StreamState.WAITING_FOR_COMFY,
            StreamState.DEGRADED,
            StreamState.PAUSED,
        ):
            return
        before = self._open.pop(stream.number, None)
        if before is not None:
            self._bridge.tell(RequestCancelled(before))
        if any(request.stream is stream for request in self._bridge.requests.values()):
            return  # that one warms it
        if len(self._warm) >= MAX_KEYS:
            self._warm.clear()
        self._warm.add(stream.cost_key)
        number = self._open[stream.number] = self._bridge.scheduler.take_number()
        self._bridge.requests[number] = Request(
            number,
            stream,
            self._bridge.library.get(stream.workflow.name),
            stream.values.snapshot(),
            stream.size,
            self._bridge.clock(),
            own_seed=stream.seed,  # its own, so that the seed policy doesn't move on
            warm_up=True,
        )
        self._bridge.counts["warm_ups"] += 1
        self._bridge.tell(RequestAdded(number, stream.number, self._revision(stream), LOWEST_PRIORITY))

    def request_finished(self, request: Request, outcome: Outcome) -> None:
        """A request has ended: one that made a picture leaves its stream warm."""
        if request.warm_up and self._open.get(request.stream.number) == request.number:
            del self._open[request.stream.number]
        if outcome is Outcome.DONE:
            self._warm.add(request.stream.cost_key)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        self._open.pop(stream, None)
