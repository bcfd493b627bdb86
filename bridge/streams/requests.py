"""What one session asked for: its keys, what is unfinished, and the answers that it still has to be told.

For a run the order is: `check_key`; `lookup`, and if it gives a request, answer `accepted` and what
`repeat_finished` gives; else `check_room` before anything takes effect, then `remember`. At the end `finish`, and
`take_finished` for whatever connection the session has now, or has when it is resumed.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.streams.names import plain, shown

KEEP_ANSWER_S: Final = 30.0
MAX_KEYS: Final = 1_024
"""Keys remembered in one session. Source of both: wire contract, Engine link."""
MAX_UNFINISHED: Final = 4_096
MAX_UNDELIVERED: Final = 1_024
MAX_KEY_BYTES: Final = 64

Key: TypeAlias = int | str
"""A client's own name for a request, unique in its session: a u64 or a text up to 64 bytes."""


def check_key(raw: object) -> Key:
    """Give `raw` as a key: u64 (a whole float up to 2^53 too), or text of 1 to 64 UTF-8 bytes.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range, 309 too_long, 310 bad_text).
    """
    code, what = ErrorCode.WRONG_TYPE, "is not an integer or text"
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "surrogateescape")
    if isinstance(raw, float) and raw.is_integer() and abs(raw) <= 2**53:
        raw = int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        if 0 <= raw < 2**64:
            return raw
        code, what = ErrorCode.OUT_OF_RANGE, "is outside 0..2^64-1"
    elif isinstance(raw, str):
        try:
            if 0 < len(raw.encode("utf-8")) <= MAX_KEY_BYTES:
                return raw
            code, what = ErrorCode.TOO_LONG, f"is not 1..{MAX_KEY_BYTES} bytes"
        except UnicodeEncodeError:
            code, what = ErrorCode.BAD_TEXT, "is not UTF-8 text"
    limit = f"0..2^64-1, or text of 1..{MAX_KEY_BYTES} bytes"
    raise InvalidValueError(f"key {shown(raw)} {what}", code=code, field="key", value=plain(raw), limit=limit)


@dataclass(slots=True)
class _Asked:
    """One request: `finished_at` is None until its terminal answer, `had_by` the last connection that was told."""

    request: int
    key: Key | None
    answer: object = None
    finished_at: float | None = None
    had_by: Hashable = None


class SessionRequests:
    """The requests of one session.

    A request stays until its terminal answer; then, with a key, for 30 s, and without one until a connection has
    had the answer, 30 s at most. `connection` is whatever names a socket (an id).
    """

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._by_key: dict[Key, _Asked] = {}
        self._unfinished: dict[int, _Asked] = {}
        self._finished: dict[int, _Asked] = {}  # in the order finished
        self._undelivered: dict[int, _Asked] = {}  # those of _finished that no connection has had

    def __len__(self) -> int:
        return len(self._asked)

    def lookup(self, key: Key | None, now: float) -> int | None:
        """Give the request that `key` made, or None if the key is new or forgotten."""
        self._forget_old(now)
        asked = None if key is None else self._by_key.get(key)
        return None if asked is None else asked.request

    def check_room(self, key: Key | None, now: float) -> None:
        """Raise what `remember` would: ask before anything of a run takes effect."""
        self._forget_old(now)
        keys_full = key is not None and len(self._by_key) >= MAX_KEYS and self._oldest_finished_key() is None
        if keys_full or len(self._unfinished) >= MAX_UNFINISHED:
            limit = MAX_KEYS if keys_full else MAX_UNFINISHED
            raise NotAllowedError(
                f"{limit} requests {'with keys ' if keys_full else ''}of this session are unfinished, the limit; "
                "wait for answers, or cancel some",
                code=ErrorCode.TOO_MANY_WAITING,
                field="key" if keys_full else None,
                value=limit,
                limit=limit,
            )

    def remember(self, request: int, key: Key | None, now: float) -> None:
        """Note an accepted request, with its key if it has one. A key over the cap drops the oldest finished one.

        Raises: NotAllowedError (405 too_many_waiting) if all of the 1,024 keys, or 4,096 requests, are unfinished.
        """
        self.check_room(key, now)
        if key is not None and len(self._by_key) >= MAX_KEYS:
            oldest = self._oldest_finished_key()
            if oldest is not None:
                self._drop_key(oldest)
        asked = _Asked(request, key)
        self._asked[request] = self._unfinished[request] = asked
        if key is not None:
            self._by_key[key] = asked

    def unfinished(self) -> list[tuple[int, Key | None]]:
        """Give the requests without a terminal answer, in the order accepted, with their keys."""
        return [(asked.request, asked.key) for asked in self._unfinished.values()]

    def is_unfinished(self, request: int) -> bool:
        """Tell whether this request is this session's and has no terminal answer yet."""
        return request in self._unfinished

    def key_of(self, request: int) -> Key | None:
        """Give the key of a request, or None."""
        asked = self._asked.get(request)
        return None if asked is None else asked.key

    def finish(self, request: int, answer: object, now: float) -> bool:
        """Store the one terminal answer of a request; `take_finished` gives it for sending.

        Give False, and change nothing, if the request isn't this session's or has its answer.
        """
        self._forget_old(now)
        asked = self._unfinished.pop(request, None)
        if asked is None:
            return False
        asked.answer = answer
        asked.finished_at = now
        if len(self._undelivered) >= MAX_UNDELIVERED:
            self._delivered(next(iter(self._undelivered.values())))
        self._finished[request] = self._undelivered[request] = asked
        return True

    def take_finished(self, connection: Hashable) -> list[object]:
        """Give the answers that no connection has had, oldest first; from now on `connection` has had them."""
        told = list(self._undelivered.values())
        for asked in told:
            asked.had_by = connection
            self._delivered(asked)
        return [asked.answer for asked in told]

    def not_told(self, request: int, key: Key | None, answer: object, connection: Hashable, now: float) -> None:
        """Take back an answer that `take_finished` or `repeat_finished` gave to `connection`, which was lost before it
        could be said: the next connection has it.
        """
        asked = self._finished.get(request)
        if asked is None and key is None and request not in self._asked:  # forgotten when it was given
            if len(self._undelivered) >= MAX_UNDELIVERED:
                return
            asked = self._asked[request] = self._finished[request] = _Asked(request, None, answer, now, connection)
        if asked is not None and asked.had_by == connection:
            asked.had_by = None
            self._undelivered[request] = asked

    def repeat_finished(self, request: int, connection: Hashable) -> object | None:
        """Give the answer of a request whose key came again, unless this connection has had it, or there is none."""
        asked = self._finished.get(request)
        if asked is None or asked.had_by == connection:
            return None
        asked.had_by = connection
        self._delivered(asked)
        return asked.answer

    def _delivered(self, asked: _Asked) -> None:
        """Its answer is told, or given up: without a key nobody can ask for it again."""
        self._undelivered.pop(asked.request, None)
        if asked.key is None:
            self._forget(asked)

    def _oldest_finished_key(self) -> _Asked | None:
        return next((asked for asked in self._finished.values() if asked.key is not None), None)

    def _drop_key(self, asked: _Asked) -> None:
        if asked.key is not None:
            del self._by_key[asked.key]
            asked.key = None
        if asked.request not in self._undelivered:
            self._forget(asked)

    def _forget(self, asked: _Asked) -> None:
        del self._asked[asked.request]
        del self._finished[asked.request]
        self._undelivered.pop(asked.request, None)
        if asked.key is not None:
            del self._by_key[asked.key]

    def _forget_old(self, now: float) -> None:
        while self._finished:
            asked = next(iter(self._finished.values()))
            if asked.finished_at is None or now < asked.finished_at + KEEP_ANSWER_S:
                return
            self._forget(asked)
