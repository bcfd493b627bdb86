"""The bridge as engine connections see it: each op of the link becomes an action, each event a message.

Source: wire contract, Engine link.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import Any, Final

from bridge.app.actions import Actions, draining_error
from bridge.app.link.answers import describe
from bridge.app.link.frames import LinkFrames
from bridge.app.link.greeting import PROTOCOL_VERSION, welcome
from bridge.app.link.memory import LinkMemory
from bridge.app.link.news import LinkNews
from bridge.app.link.sequences import LinkSequences, answer_known
from bridge.codec import messages as m
from bridge.errors import (
    ErrorCode,
    MessageDecodeError,
    NotAllowedError,
    TexbridgeError,
    UnknownNameError,
)
from bridge.links.connection import Connection, OutgoingFrame
from bridge.streams.session import Session
from bridge.streams.stream import Stream

logger = logging.getLogger("bridge.app.link")

EVENTS: Final = frozenset({"live"})


class LinkHub:
    """The `Hub` of the link doors. A connection's `state` is its session."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._connections: dict[int, Connection] = {}
        self.memory = LinkMemory(self._bridge, self._connections.get)
        self._frames = LinkFrames(actions, self._connections, self.memory)
        self._sequences = LinkSequences(actions, self.memory)
        self._news = LinkNews(actions, self._connections)
        self._handlers: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            m.Describe: self._describe,
            m.Open: self._open,
            m.Set: self._set,
            m.Image: self._image,
            m.Run: self._run,
            m.Sequence: self._sequences.sequence,
            m.Cancel: self._cancel,
            m.Live: self._live,
            m.Freeze: self._cover,
            m.Seed: self._seed,
            m.Blackout: self._cover,
            m.Subscribe: self._frames.subscribe,
            m.Unsubscribe: self._frames.unsubscribe,
            m.Ack: self._frames.ack,
            m.Stats: self._frames.stats,
            m.EngineMemory: self._engine_memory,
            m.Ping: self._ping,
            m.Close: self._close,
            m.Panic: self._panic,
            m.Resume: self._resume,
        }

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
            raise draining_error()
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
                    self._take_back(session, old, now)
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
        self._frames.back(connection, session)
        self._frames.tell_untold(connection, session)
        for answer in session.requests.take_finished(connection):
            connection.send(answer)  # type: ignore[arg-type]

    @staticmethod
    def _take_back(session: Session, connection: Connection, now: float) -> None:
        """Answers that still waited to be written on a connection that is over are for the next one."""
        for data in connection.take_unsent():
            message = m.decode_answer(data)
            if isinstance(message, m.Finished):
                session.requests.not_told(message.request, message.key, message, connection, now)

    def gone(self, connection: Connection) -> None:
        """A connection has ended; its session waits 30 s for another."""
        self.memory.gone(connection)
        session = connection.state
        if not isinstance(session, Session) or self._connections.get(session.id) is not connection:
            return
        del self._connections[session.id]
        now = self._bridge.clock()
        self._take_back(session, connection, now)
        if self._actions.sessions.disconnect(session, connection, now):
            self._actions.streams.session_away(session.id, now)
            self._frames.away(session)
        self._frames.gone(session)
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
        try:
            handler(connection, session, message)
        except TexbridgeError as error:
            error.stream = self._number_of(message)
            raise

    def _number_of(self, message: m.EngineMessage) -> int | None:
        """The stream that a message names, for an error without an id; None if it names none that is there."""
        try:
            return None if (named := getattr(message, "stream", None)) is None else self._stream(named).number
        except UnknownNameError:
            return None

    def next_frame(self, connection: Connection) -> OutgoingFrame | None:
        """Give the next frame for a connection, its streams in turn."""
        return self._frames.next_frame(connection)

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
            seed_every=message.seed_every,
            seed_every_s=message.seed_every_s,
            max_fps=message.max_fps,
            min_change=message.min_change,
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
        if message.request is not None:
            self._sequences.picture(connection, session, message)
            return
        params = {message.param: message.value}
        short = m.Set(id=message.id, stream=message.stream, params=params, client_time=message.client_time)
        self._set(connection, session, short)

    def _run(self, connection: Connection, session: Session, message: m.Run) -> None:
        now = self._bridge.clock()
        if answer_known(connection, session, message.key, message.id, now):
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

    def _seed(self, connection: Connection, session: Session, message: m.Seed) -> None:
        stream, seeds = self._stream(message.stream), self._actions.seeds
        seeds.check(message.every, message.every_s)
        if message.seed is not None:
            seeds.set_seed(stream, message.seed, source=session.id)
        seeds.steer(stream, message.policy, message.every, message.every_s, message.lock)
        self._ok(connection, message.id)

    def _cover(self, connection: Connection, session: Session, message: m.Freeze | m.Blackout) -> None:
        covers = self._actions.covers
        switch = covers.freeze if isinstance(message, m.Freeze) else covers.blackout
        switch(self._stream(message.stream), message.on, message.fade_s)
        self._ok(connection, message.id)

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

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Tell nothing more."""
        self.memory.close()
        self._news.close()
