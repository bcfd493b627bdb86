"""Engines' subscriptions, and which frame goes out next on each connection.

Source: wire contract, Engine link and Delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bridge.app.actions import Actions
from bridge.app.link.memory import LinkMemory
from bridge.app.link.subscriptions import read_subscription
from bridge.app.records import ViewerSet
from bridge.app.viewers.cross_fade import ViewerFade
from bridge.app.viewers.rate import ViewerPace, ViewerRate
from bridge.app.viewers.viewers import Viewer, nobody
from bridge.codec import messages as m
from bridge.delivery.lossless import LosslessOutbox
from bridge.errors import ErrorCode, NotAllowedError
from bridge.links.connection import Connection, OutgoingFrame
from bridge.streams.session import Session, Subscription
from bridge.streams.stream import Stream
from bridge.types import Delivery


class LinkFrames:
    """The ops that are about frames. `connections` are those that are there, by session."""

    def __init__(self, actions: Actions, connections: Mapping[int, Connection], memory: LinkMemory) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._connections = connections
        self._memory = memory
        self._turns: dict[int, int] = {}
        self._untold: dict[int, list[m.Error]] = {}
        """What sessions that are away have to be told when they are back."""

    # --- ops -----------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection, session: Session, message: m.Subscribe) -> None:
        """Take a subscription, in place of one before, and answer it."""
        stream = self._actions.streams.find(message.stream)
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
                previews=subscription.previews or None,
                color="linear" if spec.linear else None,
                fps=subscription.fps,
                max_mbps=subscription.max_mbps,
                blend_fps=subscription.blend_fps,
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
            memory=self._memory.reader(session, stream, subscription),
            previews=subscription.previews,
            rate=None if subscription.max_mbps is None else ViewerRate(subscription.max_mbps, self._bridge.clock),
            fade=self._fade(stream, subscription),
            lossless=self._lossless(subscription),
            pace=self._pace(stream, subscription),
        )
        viewer.lost = lambda error: self._lost(session, stream, viewer, error)
        viewer.freed = lambda: self._bridge.sequences.look_at(stream.number)
        if connection is not None:
            viewer.reach(connection.wake, connection.write_now)
        return viewer

    def _lossless(self, subscription: Subscription) -> LosslessOutbox[ViewerSet] | None:
        if subscription.delivery is Delivery.LATEST:
            return None
        limits = self._bridge.config.limits
        # A sequence pauses at half of it: the rest is for what others make meanwhile.
        return LosslessOutbox(
            subscription.credit,
            limits.credit,
            max_sets=2 * self._bridge.sequences.window,
            max_bytes=limits.lossless_memory_mb << 20,
            share=self._bridge.sequences.share,
        )

    def _pace(self, stream: Stream, subscription: Subscription) -> ViewerPace | None:
        if subscription.delivery is not Delivery.PACED:
            return None
        sequences = self._bridge.sequences
        return ViewerPace(lambda: subscription.fps or sequences.fps_of(stream.number), self._bridge.clock)

    def _lost(self, session: Session, stream: Stream, viewer: Viewer, missing: BaseException | None) -> None:
        """A lossless reader didn't keep up, or its form can't be made: it is told, and its subscription ends.

        Who waits for a sequence of its own loses the sets of others alone; where the form can't be made the sequence
        fails.
        """
        if self._bridge.sequences.is_requester(stream.number, session.id):
            if missing is not None:
                self._bridge.sequences.fail(stream.number, session.id, missing)
            return
        if self._bridge.viewers.get(stream.number, session.id) is not viewer:
            return
        session.unsubscribe(stream.number)
        self._actions.remove_viewer(stream, session.id)
        stats = viewer.outbox.stats(self._bridge.clock())
        why = f"{stats.waiting + stats.unacked} sets wait for it, and no more are kept" if missing is None else missing
        error = NotAllowedError(
            f"the subscription to stream {stream.name!r} has ended: {why}; subscribe again with latest, or read faster",
            code=ErrorCode.WINDOW_FULL,
            field="stream",
            value=stream.name,
            limit=stats.waiting + stats.unacked,
        )
        connection = self._connections.get(session.id)
        if connection is not None:
            connection.send(m.error_message(error))
        else:
            self._untold = {id: said for id, said in self._untold.items() if self._actions.sessions.get(id)}
            self._untold.setdefault(session.id, []).append(m.error_message(error))

    def tell_untold(self, connection: Connection, session: Session) -> None:
        """Tell a session that is back what happened meanwhile."""
        for message in self._untold.pop(session.id, ()):
            connection.send(message)

    def _fade(self, stream: Stream, subscription: Subscription) -> ViewerFade | None:
        """The cross-fade that a subscription asks for."""
        bridge = self._bridge
        if subscription.blend_fps is None:
            return None
        return ViewerFade(
            subscription.blend_fps,
            bridge.decoders,
            lambda size: bridge.memory.sink_for(stream.number, subscription.payload, size),
            lambda delay_s, call: (bridge.precise_timer or asyncio.get_running_loop()).call_later(delay_s, call),
            bridge.clock,
        )

    def _subscribed(self, session: Session, reference: object) -> tuple[Stream, Viewer]:
        stream = self._actions.streams.find(reference)
        viewer = self._bridge.viewers.get(stream.number, session.id)
        if viewer is None:
            raise NotAllowedError(
                f"this session has not subscribed to stream {stream.name!r}",
                code=ErrorCode.NOT_SUBSCRIBED,
                field="stream",
                value=stream.name,
            )
        return stream, viewer

    def unsubscribe(self, connection: Connection, session: Session, message: m.Unsubscribe) -> None:
        """Send no more frames of a stream."""
        stream, _ = self._subscribed(session, message.stream)
        session.unsubscribe(stream.number)
        self._actions.remove_viewer(stream, session.id)
        if message.id is not None:
            connection.send(m.Ok(id=message.id))

    def ack(self, connection: Connection, session: Session, message: m.Ack) -> None:
        """Take credit back."""
        viewer = self._bridge.viewers.get(self._actions.streams.find(message.stream).number, session.id)
        if viewer is not None:  # else it crossed the end of the subscription: an ack has no answer
            viewer.ack(message.number)

    def stats(self, connection: Connection, session: Session, message: m.Stats) -> None:
        """Answer what a subscription was sent."""
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
                skipped=self._actions.changes.skipped[stream.number] or None,
            )
        )

    # --- connections ---------------------------------------------------------------------------------------

    def back(self, connection: Connection, session: Session) -> None:
        """A session is back: its subscriptions go on, each with full credit and its held picture."""
        for number in list(session.subscriptions):
            stream = self._actions.streams.find(number)
            viewer = self._bridge.viewers.get(number, session.id)
            if viewer is None:
                self._actions.add_viewer(stream, self._viewer(session, stream, session.subscriptions[number]))
            else:
                viewer.reach(connection.wake, connection.write_now)
                viewer.restart()
                viewer.use_memory(self._memory.reader(session, stream, session.subscriptions[number]))
                self._actions.held.show_newcomer(stream, viewer)
                self._actions.tell_viewers(stream)

    def away(self, session: Session) -> None:
        """A session has no connection."""
        for number in session.subscriptions:
            viewer = self._bridge.viewers.get(number, session.id)
            if viewer is not None:
                viewer.leave()
            self._actions.tell_viewers(self._actions.streams.find(number))

    def gone(self, session: Session) -> None:
        """The connection that frames went to is no more."""
        self._turns.pop(session.id, None)

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
