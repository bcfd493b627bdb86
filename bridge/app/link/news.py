"""What engines are told unasked: `finished`, `progress`, `changed`, and `error` for a stream in trouble.

Source: wire contract, Engine link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from bridge.app.actions import Actions
from bridge.app.link.answers import finished, plain_value
from bridge.app.records import ReleasedSet, Request
from bridge.codec import messages as m
from bridge.errors import BackendError
from bridge.links.connection import Connection
from bridge.scheduler.events import Finish
from bridge.streams.stream import Stream
from bridge.types import Size, StreamState, WorkflowSpec

CHANGED_EVERY_S: Final = 1 / 30
SIZE: Final = "size"
"""The control that `changed` tells beside values; no parameter may have this name."""


class LinkNews:
    """A listener of the bridge and a watcher of its actions. `connections` are those that are there, by session."""

    def __init__(self, actions: Actions, connections: Mapping[int, Connection]) -> None:
        self._actions = actions
        self._connections = connections
        self._changes: dict[int, dict[int, set[str]]] = {}
        """Names of changed parameters still to be told, by session and stream."""
        self._changes_timer: asyncio.TimerHandle | None = None
        self._told: dict[int, tuple[WorkflowSpec, StreamState]] = {}
        """What engines were told of each stream last."""
        actions.bridge.listeners.append(self)
        actions.watchers.append(self)

    # --- of requests ---------------------------------------------------------------------------------------

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """Tell the session that asked, or, for a live stream's own picture, those that want to hear of it."""
        if request.session is not None:
            session = self._actions.sessions.get(request.session)
            if session is None:
                return
            key = session.requests.key_of(request.number)
            if session.requests.finish(request.number, finished(request, command, key, now), now):
                connection = self._connections.get(session.id)
                if connection is not None and connection.is_open:  # else the next one has it
                    for answer in session.requests.take_finished(connection):
                        connection.send(answer, after_frames=True)  # type: ignore[arg-type]
        elif request.generation:
            answer = finished(request, command, None, now)
            for session_id in request.stream.attached | request.stream.subscribers:
                session = self._actions.sessions.get(session_id) if isinstance(session_id, int) else None
                connection = None if session is None else self._connections.get(session.id)
                if session is not None and connection is not None and "live" in session.events:
                    connection.send(answer, after_frames=True)

    def request_progress(self, request: Request, value: float, maximum: float, node: str, whole: float) -> None:
        """Tell the session that asked."""
        session = None if request.session is None else self._actions.sessions.get(request.session)
        connection = None if session is None else self._connections.get(session.id)
        if session is not None and connection is not None:
            connection.send(
                m.Progress(
                    request=request.number,
                    key=session.requests.key_of(request.number),
                    value=value,
                    max=maximum,
                    node=node,
                    whole=whole,
                )
            )

    def set_released(self, stream: Stream, shared: ReleasedSet, size: Size) -> None:
        """Frames go by their own way."""

    def backends_changed(self) -> None:
        """Told per stream."""

    # --- of streams ----------------------------------------------------------------------------------------

    def values_changed(self, stream: Stream, names: tuple[str, ...], source: object) -> None:
        """Tell everybody attached but who set them, at most 30 times a second, of the values that hold then."""
        for key in stream.attached | stream.subscribers:
            if isinstance(key, int) and key != source and key in self._connections:
                self._changes.setdefault(key, {}).setdefault(stream.number, set()).update(names)
        if self._changes and self._changes_timer is None:
            loop = asyncio.get_running_loop()
            self._changes_timer = loop.call_later(CHANGED_EVERY_S, self._tell_changes)

    def _tell_changes(self) -> None:
        self._changes_timer = None
        changes, self._changes = self._changes, {}
        for session_id, streams in changes.items():
            connection = self._connections.get(session_id)
            for number, names in streams.items():
                stream = self._actions.streams.by_number.get(number)
                if connection is not None and stream is not None:
                    if SIZE in names and stream.picture_size is not None:
                        connection.send(m.Changed(stream=stream.number, size=stream.picture_size))
                    params = {name: plain_value(stream.values[name]) for name in names if name in stream.parameters}
                    if params:
                        connection.send(m.Changed(stream=stream.number, params=params))

    def control_changed(self, stream: Stream, name: str, source: object) -> None:
        """Tell of another size as of a value; `stream_changed` tells the workflow, and the seed nobody."""
        if name == SIZE:
            self.values_changed(stream, (SIZE,), source)

    def stream_changed(self, stream: Stream) -> None:
        """Tell everybody attached what is another one than before: workflow, state, or both, each in its message.

        Of a new stream nobody needs to hear but its opener, who asked.
        """
        workflow, state = self._told.get(stream.number, (stream.workflow, stream.state))
        self._told[stream.number] = (stream.workflow, stream.state)
        if stream.workflow != workflow:
            self._broadcast(stream, m.Changed(stream=stream.number, workflow=stream.workflow.name))
        if stream.state is not state:
            self._broadcast(stream, m.Changed(stream=stream.number, state=stream.state.value))

    def stream_trouble(self, stream: Stream, error: BackendError) -> None:
        """Tell everybody attached why a stream's workflow can't run."""
        self._broadcast(stream, m.error_message(error, stream=stream.number))

    def stream_closed(self, stream: Stream) -> None:
        """It had nobody attached."""
        self._told.pop(stream.number, None)

    def _broadcast(self, stream: Stream, message: m.Changed | m.Error) -> None:
        for key in stream.attached | stream.subscribers:
            connection = self._connections.get(key) if isinstance(key, int) else None
            if connection is not None:
                connection.send(message)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Tell nothing more."""
        if self._changes_timer is not None:
            self._changes_timer.cancel()
