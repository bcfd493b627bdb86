"""The bridge as engine connections see it: each op of the link becomes an action, each event a message.

Source: wire contract, Engine link.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Any, Final

from bridge.app.actions import Actions
from bridge.app.answers import describe, finished, plain_value
from bridge.app.greeting import PROTOCOL_VERSION, welcome
from bridge.app.link_memory import LinkMemory
from bridge.app.records import ReleasedSet, Request
from bridge.app.subscriptions import read_subscription
from bridge.app.viewer_rate import ViewerRate
from bridge.app.viewers import Viewer, nobody
from bridge.codec import messages as m
from bridge.errors import BackendError, BridgeError, ErrorCode, MessageDecodeError, NotAllowedError, UnknownNameError
from bridge.links.connection import Connection, OutgoingFrame
from bridge.scheduler.events import Finish
from bridge.streams.session import Session, Subscription
from bridge.streams.stream import Stream
from bridge.types import Size, StreamState, WorkflowSpec

logger = logging.getLogger("bridge.app.link")

EVENTS: Final = frozenset({"live"})
CHANGED_EVERY_S: Final = 1 / 30
SIZE: Final = "size"
"""The control that `changed` tells beside values; no parameter may have this name."""


class LinkHub:
    """The `Hub` of the link doors. A connection's `state` is its session."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._connections: dict[int, Connection] = {}
        self._turns: dict[int, int] = {}
        self._changes: dict[int, dict[int, set[str]]] = {}
        """Names of changed parameters still to be told, by session and stream."""
        self._changes_timer: asyncio.TimerHandle | None = None
        self._told: dict[int, tuple[WorkflowSpec, StreamState]] = {}
        """What engines were told of each stream last."""
        self._handlers: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            m.Describe: self._describe,
            m.Open: self._open,
            m.Set: self._set,
            m.Image: self._image,
            m.Run: self._run,
            m.Cancel: self._cancel,
            m.Live: self._live,
            m.Freeze: self._cover,
            m.Blackout: self._cover,
            m.Subscribe: self._subscribe,
            m.Unsubscribe: self._unsubscribe,
            m.Ack: self._ack,
            m.Stats: self._stats,
            m.EngineMemory: self._engine_memory,
            m.Ping: self._ping,
            m.Close: self._close,
            m.Panic: self._panic,
            m.Resume: self._resume,
        }
        self.memory = LinkMemory(self._bridge, self._connections.get)
        self._bridge.listeners.append(self)
        actions.watchers.append(self)

    # --- connections ---------------------------------------------------------------------------------------

    def hello(self, connection: Connection, message: m.Hello) -> m.Welcome:
        """Greet a newcomer with a session, new or resumed. Raises as `links.connection.Hub` says."""
        token = self._bridge.config.link.token
        if token and not hmac.compare_digest(token.encode(), (message.token or "").encode()):
            raise NotAllowedError("hello carries no token, or a wrong one", code=ErrorCode.BAD_TOKEN, field="token")
        if message.version < PROTOCOL_VERSION:
            raise NotAllowedError(
                f"version {message.version} is not spoken here; this bridge speaks {PROTOCOL_VERSION}",
                code=ErrorCode.UNSUPPORTED_VERSION,
                field="version",
                value=message.version,
                limit=PROTOCOL_VERSION,
            )
        if self._actions.draining:
            raise BridgeError("the bridge is shutting down", code=ErrorCode.DRAINING)
        now = self._bridge.clock()
        client = message.client[:200]
        events = [event for event in message.events or () if event in EVENTS]
        session: Session | None = None
        if message.session:
            back = self._actions.sessions.resume(message.session, now, connection, client=client, events=events)
            if back is not None:
                session = back.session
                old = self._connections.get(session.id)
                if old is not None and old is not connection:
                    old.state = None
                    old.close(NotAllowedError("this session is taken up elsewhere", code=ErrorCode.SESSION_TAKEN))
        resumed = session is not None
        if session is None:
            session = self._actions.sessions.open(now, connection, client=client, events=events)
        session.shared_memory = bool(message.shared_memory)
        connection.state = session
        self._connections[session.id] = connection
        if resumed:
            self._pick_up(connection, session, now)
        self._bridge.set_timer()
        return welcome(self._actions, session, resumed=resumed, id=message.id)

    def _pick_up(self, connection: Connection, session: Session, now: float) -> None:
        """A session is back: its subscriptions go on with full credit and the held picture; stored answers go out."""
        self._actions.streams.session_back(session.id, now)
        for number in list(session.subscriptions):
            stream = self._actions.streams.find(number)
            viewer = self._bridge.viewers.get(number, session.id)
            if viewer is None:
                self._actions.add_viewer(stream, self._viewer(session, stream, session.subscriptions[number]))
            else:
                viewer.reach(connection.wake, connection.write_now)
                viewer.restart()
                viewer.use_memory(self.memory.reader(session, stream, session.subscriptions[number]))
                self._actions.held.show_newcomer(stream, viewer)
                self._actions.tell_viewers(stream)
        for answer in session.requests.take_finished(connection):
            connection.send(answer, after_frames=True)  # type: ignore[arg-type]

    def gone(self, connection: Connection) -> None:
        """A connection has ended; its session waits 30 s for another."""
        self.memory.gone(connection)
        session = connection.state
        if not isinstance(session, Session) or self._connections.get(session.id) is not connection:
            return
        del self._connections[session.id]
        now = self._bridge.clock()
        if self._actions.sessions.disconnect(session, connection, now):
            self._actions.streams.session_away(session.id, now)
            for number in session.subscriptions:
                viewer = self._bridge.viewers.get(number, session.id)
                if viewer is not None:
                    viewer.leave()
                self._actions.tell_viewers(self._actions.streams.find(number))
        self._turns.pop(session.id, None)
        self._bridge.set_timer()

    def message(self, connection: Connection, message: m.EngineMessage) -> None:
        """Carry out one message; raises TexbridgeError for what is to be answered with `error`."""
        session = connection.state
        if not isinstance(session, Session):
            return
        handler = self._handlers.get(type(message))
        if handler is None:
            raise NotAllowedError(
                f"{message.op} is not in this build; welcome.features says what is",
                code=ErrorCode.NOT_SUPPORTED,
                field="op",
                value=message.op,
            )
        self._actions.switches.by = (session.client, connection.address)
        handler(connection, session, message)

    def next_frame(self, connection: Connection) -> OutgoingFrame | None:
        """Give the next frame for a connection, its streams in turn."""
        session = connection.state
        if not isinstance(session, Session):
            return None
        numbers = list(session.subscriptions)
        start = self._turns.get(session.id, 0)
        for step in range(len(numbers)):
            place = (start + step) % len(numbers)
            viewer = self._bridge.viewers.get(numbers[place], session.id)
            frame = None if viewer is None else viewer.outgoing()
            if frame is not None:
                # A set's frames stay together; the next set may be another stream's.
                self._turns[session.id] = place if viewer is not None and viewer.inside_set else place + 1
                return frame
        return None

    # --- ops -----------------------------------------------------------------------------------------------

    def _stream(self, reference: object) -> Stream:
        return self._actions.streams.find(reference)

    def _describe(self, connection: Connection, session: Session, message: m.Describe) -> None:
        stream = None if message.stream is None else self._stream(message.stream)
        if stream is None and message.workflow is None:
            raise MessageDecodeError("describe needs a workflow or a stream", field="workflow")
        workflow = self._bridge.library.get(message.workflow or "").spec if stream is None else stream.workflow
        connection.send(describe(workflow, stream, message.id))

    def _open(self, connection: Connection, session: Session, message: m.Open) -> None:
        opened = self._actions.open_stream(
            message.stream,
            message.workflow,
            message.mode,
            session=session.id,
            params=message.params or {},
            seed_policy=message.seed_policy,
            max_fps=message.max_fps,
            size=message.size,
            aspect=message.aspect,
            megapixels=message.megapixels,
            replace=message.replace,
        )
        stream = opened.stream
        session.attached.add(stream.number)
        connection.send(m.Opened(id=message.id, number=stream.number, created=opened.created, size=stream.picture_size))

    def _set(self, connection: Connection, session: Session, message: m.Set) -> None:
        self._actions.set_values(
            self._stream(message.stream),
            self.memory.with_pixels(connection, message.params),
            session=session.id,
            client_time=message.client_time or 0,
        )
        self._ok(connection, message.id)

    def _image(self, connection: Connection, session: Session, message: m.Image) -> None:
        params = {message.param: message.value}
        short = m.Set(id=message.id, stream=message.stream, params=params, client_time=message.client_time)
        self._set(connection, session, short)

    def _run(self, connection: Connection, session: Session, message: m.Run) -> None:
        now = self._bridge.clock()
        known = session.requests.lookup(message.key, now)
        if known is not None:
            connection.send(m.Accepted(id=message.id, request=known, key=message.key))
            answer = session.requests.repeat_finished(known, connection)
            if answer is not None:
                connection.send(answer, after_frames=True)  # type: ignore[arg-type]
            return
        stream = self._stream(message.stream)
        session.requests.check_room(message.key, now)

        def accepted(request: int) -> None:
            session.requests.remember(request, message.key, now)
            connection.send(m.Accepted(id=message.id, request=request, key=message.key))

        self._actions.run(
            stream,
            None if message.params is None else self.memory.with_pixels(connection, message.params),
            session=session.id,
            client_time=message.client_time or 0,
            priority=message.priority,
            deadline_s=None if message.deadline_ms is None else message.deadline_ms / 1000,
            seed=message.seed,
            accepted=accepted,
        )

    def _cancel(self, connection: Connection, session: Session, message: m.Cancel) -> None:
        if message.request is not None:
            number = message.request
            request = self._bridge.requests.get(number)
            if request is None and session.requests.key_of(number) is None and number >= self._actions.next_number:
                raise UnknownNameError(
                    f"no request {number}", code=ErrorCode.UNKNOWN_REQUEST, field="request", value=number
                )
            if request is not None and request.session != session.id and not message.all:
                raise NotAllowedError(
                    f"request {number} is not this session's; say all to cancel it",
                    code=ErrorCode.NOT_YOURS,
                    field="request",
                    value=number,
                )
            cancelled = self._actions.cancel(lambda other: other.number == number)
        else:
            stream = self._stream(message.stream)
            cancelled = self._actions.cancel(
                # Not the stream's own pictures: nobody asked for those, and a live stream goes on.
                lambda other: (
                    other.stream is stream and not other.generation and (message.all or other.session == session.id)
                )
            )
        connection.send(m.Ok(id=message.id, cancelled=cancelled))

    def _live(self, connection: Connection, session: Session, message: m.Live) -> None:
        self._actions.switch_live(self._stream(message.stream), message.on, message.fade_s)
        self._ok(connection, message.id)

    def _cover(self, connection: Connection, session: Session, message: m.Freeze | m.Blackout) -> None:
        covers = self._actions.covers
        switch = covers.freeze if isinstance(message, m.Freeze) else covers.blackout
        switch(self._stream(message.stream), message.on, message.fade_s)
        self._ok(connection, message.id)

    def _subscribe(self, connection: Connection, session: Session, message: m.Subscribe) -> None:
        stream = self._stream(message.stream)
        session.check_room_for(stream.number)
        subscription = read_subscription(stream, message, self._bridge.config.limits.credit)
        session.subscribe(subscription)
        viewer = self._viewer(session, stream, subscription)
        spec = subscription.payload
        connection.send(
            m.Subscribed(
                id=message.id,
                number=stream.number,
                format=spec.format.word,
                origin=spec.origin,
                delivery=subscription.delivery,
                credit=subscription.credit,
                outputs=viewer.wants[0],
                shared_memory=None if viewer.memory is None else True,
                size=None if spec.size is None else (spec.size.width, spec.size.height),
                fit=None if spec.size is None else spec.fit,
                mips=spec.mips or None,
                color="linear" if spec.linear else None,
                max_mbps=subscription.max_mbps,
            )
        )
        self._actions.add_viewer(stream, viewer)

    def _viewer(self, session: Session, stream: Stream, subscription: Subscription) -> Viewer:
        connection = self._connections.get(session.id)
        viewer = Viewer(
            session.id,
            stream.number,
            subscription.outputs,
            subscription.payload,
            nobody,
            outputs_there=len(stream.workflow.outputs),
            credit=subscription.credit,
            credit_limit=self._bridge.config.limits.credit,
            memory=self.memory.reader(session, stream, subscription),
            rate=None if subscription.max_mbps is None else ViewerRate(subscription.max_mbps, self._bridge.clock),
        )
        if connection is not None:
            viewer.reach(connection.wake, connection.write_now)
        return viewer

    def _subscribed(self, session: Session, reference: object) -> tuple[Stream, Viewer]:
        stream = self._stream(reference)
        viewer = self._bridge.viewers.get(stream.number, session.id)
        if viewer is None:
            raise NotAllowedError(
                f"this session has not subscribed to stream {stream.name!r}",
                code=ErrorCode.NOT_SUBSCRIBED,
                field="stream",
                value=stream.name,
            )
        return stream, viewer

    def _unsubscribe(self, connection: Connection, session: Session, message: m.Unsubscribe) -> None:
        stream, _ = self._subscribed(session, message.stream)
        session.unsubscribe(stream.number)
        self._actions.remove_viewer(stream, session.id)
        self._ok(connection, message.id)

    def _ack(self, connection: Connection, session: Session, message: m.Ack) -> None:
        viewer = self._bridge.viewers.get(self._stream(message.stream).number, session.id)
        if viewer is not None:  # else it crossed the end of the subscription: an ack has no answer
            viewer.ack(message.number)

    def _stats(self, connection: Connection, session: Session, message: m.Stats) -> None:
        stream, viewer = self._subscribed(session, message.stream)
        stats = viewer.outbox.stats(self._bridge.clock())
        connection.send(
            m.StatsAnswer(
                id=message.id,
                stream=stream.number,
                sent=stats.sent,
                dropped=stats.dropped,
                credit_stalls=stats.credit_stalls,
                age_ms=round(stats.age_s * 1000, 3),
            )
        )

    def _engine_memory(self, connection: Connection, session: Session, message: m.EngineMemory) -> None:
        self.memory.take_file(connection, message)
        self._ok(connection, message.id)

    def _ping(self, connection: Connection, session: Session, message: m.Ping) -> None:
        connection.send(m.Pong(id=message.id))

    def _close(self, connection: Connection, session: Session, message: m.Close) -> None:
        stream = self._stream(message.stream)
        session.attached.discard(stream.number)
        stream.detach(session.id, self._bridge.clock())
        self._bridge.set_timer()
        self._ok(connection, message.id)

    def _panic(self, connection: Connection, session: Session, message: m.Panic) -> None:
        self._actions.panic()
        self._ok(connection, message.id)

    def _resume(self, connection: Connection, session: Session, message: m.Resume) -> None:
        self._actions.resume()
        self._ok(connection, message.id)

    @staticmethod
    def _ok(connection: Connection, id: int | None) -> None:
        if id is not None:
            connection.send(m.Ok(id=id))

    # --- what happens --------------------------------------------------------------------------------------

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """Tell the session that asked, or, for a live stream's own picture, those that want to hear of it."""
        if request.session is not None:
            session = self._actions.sessions.get(request.session)
            if session is None:
                return
            key = session.requests.key_of(request.number)
            if session.requests.finish(request.number, finished(request, command, key, now), now):
                connection = self._connections.get(session.id)
                if connection is not None:
                    for answer in session.requests.take_finished(connection):
                        connection.send(answer, after_frames=True)  # type: ignore[arg-type]
        elif request.generation:
            answer = finished(request, command, None, now)
            for session_id in request.stream.attached | request.stream.subscribers:
                session = self._actions.sessions.get(session_id) if isinstance(session_id, int) else None
                connection = None if session is None else self._connections.get(session.id)
                if session is not None and connection is not None and "live" in session.events:
                    connection.send(answer, after_frames=True)

    def request_progress(self, request: Request, value: float, maximum: float, node: str) -> None:
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
                )
            )

    def set_released(self, stream: Stream, shared: ReleasedSet, size: Size) -> None:
        """Frames go by their own way."""

    def backends_changed(self) -> None:
        """Told per stream."""

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

    def close(self) -> None:
        """Tell nothing more."""
        self.memory.close()
        if self._changes_timer is not None:
            self._changes_timer.cancel()

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
        self._broadcast(stream, m.error_message(error))

    def stream_closed(self, stream: Stream) -> None:
        """It had nobody attached."""
        self._told.pop(stream.number, None)

    def _broadcast(self, stream: Stream, message: m.Changed | m.Error) -> None:
        for key in stream.attached | stream.subscribers:
            connection = self._connections.get(key) if isinstance(key, int) else None
            if connection is not None:
                connection.send(message)
