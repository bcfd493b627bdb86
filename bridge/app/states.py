"""How each stream is: the word that OSC, link and /readyz tell of it.

paused > waiting_for_comfy > degraded > loading > warming > ready. `degraded` is a workflow that no ComfyUI that is up
has the nodes or models for, or whose last request failed; another workflow, or a picture, ends it. It is also a stream
whose every ComfyUI is mute, though its pictures come: that ends when one speaks again. `warming` is the
first prompt of a workflow and size, and `loading` one that takes far longer than is known of it: a model is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Final

from bridge.app.bridge import Bridge
from bridge.app.pool.places import Places
from bridge.app.pool.troubles import mute_trouble
from bridge.app.records import Request
from bridge.errors import BackendError, ErrorCode, TexbridgeError
from bridge.scheduler.state import Running
from bridge.streams.stream import Stream
from bridge.types import Outcome, StreamState, WorkflowSpec

logger = logging.getLogger("bridge.app")

WARMING_AFTER_S: Final = 0.3
"""A first prompt that is over by then needs no words."""

LOADING_AFTER_S: Final = 2.0
LONGER: Final = 4.0
"""A prompt that takes so many times what is known of it, and `LOADING_AFTER_S` at least, loads something."""

GONE: Final = (ErrorCode.BACKEND_LOST, ErrorCode.BACKEND_UNAVAILABLE)


class States:
    """Keeps `stream.state`.

    `covered(stream)` tells whether panic or a freeze holds it, `changed(stream)` is called when its state is another
    one, and `trouble(stream, error)` when it has a workflow that no ComfyUI here can run.
    """

    def __init__(
        self,
        bridge: Bridge,
        places: Places,
        covered: Callable[[Stream], bool],
        changed: Callable[[Stream], None],
        trouble: Callable[[Stream, BackendError], None],
    ) -> None:
        self._bridge = bridge
        self._places = places
        self._covered = covered
        self._changed = changed
        self._trouble = trouble
        self._broken: dict[int, WorkflowSpec] = {}
        """Streams whose last request failed, with the workflow that failed."""
        self._failures: dict[int, str] = {}
        """Why it failed."""
        self._proven: dict[int, WorkflowSpec] = {}
        """Streams whose workflow has made a picture, whatever its check says."""
        self._told: dict[int, str] = {}
        self._mute_told: set[int] = set()
        """Streams of which was told that every ComfyUI is mute."""
        self._looked_at = -inf
        """Up to when the running prompts were looked at."""
        bridge.add_deadline(self._next_deadline, self._when_due)

    # --- what happens --------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """ComfyUIs came or went, or panic did: look at every stream."""
        if not self._all_are_mute():
            self._mute_told.clear()
        for stream in list(self._bridge.streams.by_name.values()):
            self.note(stream)

    def request_finished(self, request: Request, outcome: Outcome, error: TexbridgeError | None = None) -> None:
        """A request's end says how its stream is, if it still has that workflow."""
        stream = request.stream
        if request.workflow.spec == stream.workflow:
            if outcome is Outcome.FAILED:
                if error is not None and error.code in GONE:
                    self.note(stream)
                    return  # that ComfyUI went away says nothing of the workflow
                self._broken[stream.number] = stream.workflow
                self._failures[stream.number] = "" if error is None else error.message
            elif outcome is Outcome.DONE:
                self._broken.pop(stream.number, None)
                self._proven[stream.number] = stream.workflow
        self.note(stream)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        for kept in (self._broken, self._proven, self._told, self._failures):
            kept.pop(stream, None)
        self._mute_told.discard(stream)

    # --- the word ------------------------------------------------------------------------------------------

    def note(self, stream: Stream) -> bool:
        """Look at a stream, and tell if its state is another one. Gives whether it was told."""
        if self._bridge.streams.by_number.get(stream.number) is not stream:
            return False
        state = self._state(stream)
        if state is stream.state:
            return False
        stream.state = state
        self._changed(stream)
        return True

    def _state(self, stream: Stream) -> StreamState:
        if self._covered(stream):
            return StreamState.PAUSED
        if not self._bridge.drains.without(self._bridge.backends_up):
            return StreamState.WAITING_FOR_COMFY
        if self._is_mute(stream) or self._is_unfit(stream) or self._broken.get(stream.number) == stream.workflow:
            return StreamState.DEGRADED
        now = self._bridge.clock()
        states = {
            state
            for running in self._bridge.scheduler.running()
            if running.stream == stream.number
            for at, state in _becomes(running)
            if at <= now
        }
        for state in (StreamState.LOADING, StreamState.WARMING):
            if state in states:
                return state
        return StreamState.READY

    def trouble(self, stream: Stream) -> str | None:
        """Why a stream is degraded, for a person; None if it isn't, or nobody knows."""
        if self._all_are_mute():
            return mute_trouble(self._bridge.backends_up).message
        if self._proven.get(stream.number) != stream.workflow and (unfit := self._places.trouble(stream)) is not None:
            return unfit.message
        if self._broken.get(stream.number) == stream.workflow and (words := self._failures.get(stream.number)):
            return f"its last request failed: {words}"
        return None

    def _all_are_mute(self) -> bool:
        return bool(self._bridge.backends_up) and self._bridge.backends_up <= self._bridge.backends_mute

    def _is_mute(self, stream: Stream) -> bool:
        if not self._all_are_mute():
            return False
        if stream.number not in self._mute_told:
            self._mute_told.add(stream.number)
            error = mute_trouble(self._bridge.backends_up)
            asyncio.get_running_loop().call_soon(self._trouble, stream, error)
        return True

    def _is_unfit(self, stream: Stream) -> bool:
        number = stream.number
        if self._proven.get(number) == stream.workflow:
            return False
        error = self._places.trouble(stream)
        if error is None:
            self._told.pop(number, None)
        elif self._told.get(number) != error.message:
            self._told[number] = error.message
            logger.warning("stream %s: %s", stream.name, error.message)
            # Not in the middle of what is being done: after the answer to it.
            asyncio.get_running_loop().call_soon(self._trouble, stream, error)
        return error is not None

    # --- time ----------------------------------------------------------------------------------------------

    def _next_deadline(self) -> float | None:
        # One that has come while the loop was busy still stands: whatever happens before the timer asks for it anew.
        return min(
            (at for running in self._bridge.scheduler.running() for at, _ in _becomes(running) if at > self._looked_at),
            default=None,
        )

    def _when_due(self, now: float) -> None:
        self._looked_at = now
        for number in {running.stream for running in self._bridge.scheduler.running()}:
            stream = self._bridge.streams.by_number.get(number)
            if stream is not None:
                self.note(stream)


def _becomes(running: Running) -> tuple[tuple[float, StreamState], ...]:
    """When a running prompt makes its stream which state."""
    if running.known_s is None:
        return (
            (running.started_at + WARMING_AFTER_S, StreamState.WARMING),
            (running.started_at + LOADING_AFTER_S, StreamState.LOADING),
        )
    return ((running.started_at + max(LOADING_AFTER_S, LONGER * running.known_s), StreamState.LOADING),)
