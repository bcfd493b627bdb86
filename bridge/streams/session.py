"""Sessions: one engine each, over reconnects; what it subscribed to, asked for, and still has to be told."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bridge.errors import ErrorCode, NotAllowedError
from bridge.streams.requests import Key, SessionRequests, check_key
from bridge.streams.stream import KEEP_S
from bridge.types import Delivery, PayloadSpec

__all__ = ["Key", "Resumed", "Session", "SessionRequests", "Sessions", "Subscription", "check_key"]

MAX_SESSIONS: Final = 256
MAX_SUBSCRIPTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one session wants of one stream, with the values that hold (already clamped to the limits).

    `outputs` None is all that the stream's workflow has, whichever it has at the time.
    """

    stream: int
    payload: PayloadSpec
    delivery: Delivery = Delivery.LATEST
    credit: int = 1
    outputs: tuple[int, ...] | None = None
    previews: bool = False
    fps: float | None = None
    max_mbps: float | None = None
    blend_fps: float | None = None
    shared_memory: bool = False


class Session:
    """One engine. `connection` is whatever names its present socket (an id), None while it has none."""

    def __init__(self, number: int, token: str, client: str, events: frozenset[str], connection: Hashable) -> None:
        self.id = number
        self.token = token
        self.client = client
        self.events = events
        self.connection: Hashable = connection
        self.away_since: float | None = None
        self.shared_memory = False
        """Whether its present connection would read frames from shared memory."""
        self.attached: set[int] = set()
        self.subscriptions: dict[int, Subscription] = {}
        self.requests = SessionRequests()

    @property
    def connected(self) -> bool:
        """True while it has a socket."""
        return self.away_since is None

    @property
    def is_empty(self) -> bool:
        """True while nothing would be lost with it: no stream, no subscription, no request, no answer to come."""
        return not (self.attached or self.subscriptions or len(self.requests))

    @property
    def deadline(self) -> float | None:
        """When it ends unless it is resumed; None while it is connected."""
        return None if self.away_since is None else self.away_since + KEEP_S

    def check_room_for(self, stream: int) -> None:
        """Raise NotAllowedError (408 too_many_subscriptions) if one to `stream` would be one too many."""
        if stream not in self.subscriptions and len(self.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise NotAllowedError(
                f"{MAX_SUBSCRIPTIONS} subscriptions are the limit of a session; unsubscribe from another stream first",
                code=ErrorCode.TOO_MANY_SUBSCRIPTIONS,
                field="stream",
                value=stream,
                limit=MAX_SUBSCRIPTIONS,
            )

    def subscribe(self, subscription: Subscription) -> Subscription | None:
        """Note a subscription; a second one to a stream replaces the first, which is given back.

        Raises: NotAllowedError (408 too_many_subscriptions).
        """
        self.check_room_for(subscription.stream)
        before = self.subscriptions.get(subscription.stream)
        self.subscriptions[subscription.stream] = subscription
        return before

    def unsubscribe(self, stream: int) -> Subscription | None:
        """Forget a subscription and give it back; None if there was none."""
        return self.subscriptions.pop(stream, None)

    def forget_stream(self, stream: int) -> None:
        """Forget a stream that is gone. Its requests keep their answers."""
        self.attached.discard(stream)
        self.subscriptions.pop(stream, None)


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that is back, and the connection that it had until now (to be closed), None if it had none."""

    session: Session
    old_connection: Hashable = None


class Sessions:
    """The sessions there are.

    `make_token` gives a fresh secret of 32 hex characters. Ids begin at 1 and are never given twice.
    """

    def __init__(self, make_token: Callable[[], str], *, limit: int = MAX_SESSIONS) -> None:
        self._make_token = make_token
        self._limit = limit
        self._next_id = 1
        self._by_token: dict[str, Session] = {}
        self._by_id: dict[int, Session] = {}
        self._evicted: list[Session] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def get(self, number: int) -> Session | None:
        """Give the session with this id, or None."""
        return self._by_id.get(number)

    def open(self, now: float, connection: Hashable, *, client: str = "", events: Iterable[str] = ()) -> Session:
        """Give a new session for a connection.

        At the limit one without a connection that has opened and asked nothing makes room, the one away longest;
        `expire` gives it next. One in use is kept for its 30 s: newcomers are refused, however often they come.
        Raises: NotAllowedError (407 too_many_sessions).
        """
        if len(self._by_id) >= self._limit:
            gone = [session for session in self._by_id.values() if session.away_since is not None]
            away = [session for session in gone if session.is_empty]
            if not away:
                words = f"; {len(gone)} of them have lost their connection and may come back within {KEEP_S:g} s"
                raise NotAllowedError(
                    f"there are {len(self._by_id)} sessions, the limit{words if gone else ''}; "
                    "close one, go on with one by its session, or raise limits.sessions",
                    code=ErrorCode.TOO_MANY_SESSIONS,
                    value=len(self._by_id),
                    limit=self._limit,
                )
            longest = min(away, key=lambda session: session.away_since or 0.0)
            self._take_out(longest)
            self._evicted.append(longest)
        session = Session(self._next_id, self._make_token(), client, frozenset(events), connection)
        self._next_id += 1
        self._by_token[session.token] = session
        self._by_id[session.id] = session
        return session

    def resume(
        self,
        token: str,
        now: float,
        connection: Hashable,
        *,
        client: str | None = None,
        events: Iterable[str] | None = None,
    ) -> Resumed | None:
        """Give the session of this token to a new connection; None if there is none, or its 30 s are over.

        Still connected elsewhere, it moves: `old_connection` is to be closed with 409 session_taken.
        """
        session = self._by_token.get(token)
        if session is None or (session.deadline is not None and session.deadline <= now):
            return None
        old = session.connection if session.connected else None
        session.connection = connection
        session.away_since = None
        if client is not None:
            session.client = client
        if events is not None:
            session.events = frozenset(events)
        return Resumed(session, old)

    def disconnect(self, session: Session, connection: Hashable, now: float) -> bool:
        """Note that a connection is gone. Give False, and change nothing, if the session has another one by now."""
        if session.connection != connection or session.away_since is not None:
            return False
        session.connection = None
        session.away_since = now
        return True

    def next_deadline(self) -> float | None:
        """Give when `expire` has something to give: the next session's end unless it is resumed; None: nothing."""
        # One that had to make room is over already: any moment in the past says so.
        deadlines = [session.away_since for session in self._evicted]
        deadlines += [session.deadline for session in self._by_id.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def expire(self, now: float) -> list[Session]:
        """Take out, and give, the sessions that have been away for 30 s, and those that had to make room."""
        ended = [session for session in self._by_id.values() if (d := session.deadline) is not None and d <= now]
        for session in ended:
            self._take_out(session)
        evicted, self._evicted = self._evicted, []
        return evicted + ended

    def _take_out(self, session: Session) -> None:
        del self._by_token[session.token]
        del self._by_id[session.id]
