"""How much memory values take: pictures and long texts of streams and of unfinished runs, each counted once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Picture, RawPicture, Value

SMALL_BYTES: Final = 256
"""Texts up to here don't count: a run costs more than that by itself."""

Holder: TypeAlias = int | tuple[str, int]


def stream_holder(number: int) -> Holder:
    """Give what a stream holds its values as."""
    return ("stream", number)


def value_bytes(value: object) -> int:
    """Give the bytes of a value that count, as it came over the link or as it was checked; 0 for small ones."""
    if isinstance(value, Picture | RawPicture):
        return len(value.data)
    if isinstance(value, Mapping):
        return value_bytes(value.get("encoded")) + value_bytes(value.get("data"))
    if isinstance(value, str | bytes | bytearray | memoryview):
        return len(value) if len(value) > SMALL_BYTES else 0
    return 0


class RetainedValues:
    """The large values of requests and streams. `bytes` is what all of them take; `limit_mb` is in MiB.

    A holder is a request's number, or a stream's by `stream_holder`.
    """

    def __init__(self, limit_mb: int) -> None:
        self.bytes = 0
        self._limit_mb = limit_mb
        self._of: dict[Holder, tuple[Value, ...]] = {}
        self._users: dict[int, int] = {}
        """Holders by the value's identity, which is its own as long as `_of` holds it."""

    def __len__(self) -> int:
        return len(self._users)

    def would_add(self, values: Iterable[Value]) -> int:
        """Give the bytes that somebody with these values would add."""
        return sum(value_bytes(value) for value in values if id(value) not in self._users)

    def check_room(
        self, params: Mapping[str, object], values: Mapping[str, Value], stream: int = 0, *, runs: bool = False
    ) -> None:
        """Look whether a stream may take these params in place of its own `values`, and a request wait with them.

        `stream` is its number, 0 for a new one; `runs` if a request comes of it. What takes less than before is taken.

        Raises:
            NotAllowedError: it would be too many bytes: since runs wait with theirs (405), or all the same (414).
        """
        more = sum(map(value_bytes, params.values()))
        more += self.would_add(value for name, value in values.items() if name not in params)
        own = {id(value) for value in self._of.get(stream_holder(stream), ())}
        freed = sum(
            value_bytes(value)
            for name, value in values.items()
            if name in params and id(value) in own and self._users[id(value)] == 1
        )
        limit = self._limit_mb << 20
        if more <= freed or self.bytes + more - freed <= limit:
            return
        of_streams = self._bytes_of_streams()
        if runs and of_streams + more - freed <= limit:
            code, advice = ErrorCode.TOO_MANY_WAITING, "wait for answers, cancel some"
        else:
            code, advice = ErrorCode.MEMORY_FULL, "send smaller ones, close streams"
        holders = "streams" if of_streams == self.bytes else "streams and unfinished runs"
        raise NotAllowedError(
            f"pictures and texts of {holders} take {self.bytes >> 20} MiB, and {(more - freed) >> 10} KiB more would "
            f"be over the limit of {self._limit_mb} MiB; {advice}, or raise limits.request_memory_mb",
            code=code,
            field="params",
            value=self.bytes + more - freed,
            limit=limit,
        )

    def _bytes_of_streams(self) -> int:
        held = {
            id(value): value_bytes(value)
            for holder, values in self._of.items()
            if isinstance(holder, tuple)
            for value in values
        }
        return sum(held.values())

    def use(self, holder: Holder, values: Iterable[Value]) -> None:
        """A request or stream has these values from now on, and those that it had before no more."""
        large = tuple(value for value in values if value_bytes(value))
        for value in large:
            users = self._users.get(id(value), 0)
            self._users[id(value)] = users + 1
            if not users:
                self.bytes += value_bytes(value)
        self.drop(holder)
        if large:
            self._of[holder] = large

    def drop(self, holder: Holder) -> None:
        """A request is over, or a stream gone; unknown ones are ignored."""
        for value in self._of.pop(holder, ()):
            users = self._users.pop(id(value)) - 1
            if users:
                self._users[id(value)] = users
            else:
                self.bytes -= value_bytes(value)
