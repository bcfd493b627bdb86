"""How much memory the values of unfinished runs take: pictures and texts, each counted once, whoever shares it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Picture, RawPicture, Value

SMALL_BYTES: Final = 256
"""Texts up to here don't count: a run costs more than that by itself."""


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
    """The large values of requests, by request number. `bytes` is what all of them take; `limit_mb` is in MiB."""

    def __init__(self, limit_mb: int) -> None:
        self.bytes = 0
        self._limit_mb = limit_mb
        self._of: dict[int, tuple[Value, ...]] = {}
        self._users: dict[int, int] = {}
        """Requests by the value's identity, which is its own as long as `_of` holds it."""

    def __len__(self) -> int:
        return len(self._users)

    def would_add(self, values: Iterable[Value]) -> int:
        """Give the bytes that a request with these values would add."""
        return sum(value_bytes(value) for value in values if id(value) not in self._users)

    def check_room(self, params: Mapping[str, object], values: Mapping[str, Value]) -> None:
        """Look whether a run with these params may come beside those that wait; `values` are the stream's own.

        Raises:
            NotAllowedError: it would be too many bytes (405).
        """
        more = sum(map(value_bytes, params.values()))
        more += self.would_add(value for name, value in values.items() if name not in params)
        if more and self.bytes + more > self._limit_mb << 20:
            raise NotAllowedError(
                f"pictures and texts of unfinished runs take {self.bytes >> 20} MiB, and {more >> 10} KiB more would "
                f"be over the limit of {self._limit_mb} MiB; wait for answers, cancel some, or raise "
                "limits.request_memory_mb",
                code=ErrorCode.TOO_MANY_WAITING,
                field="params",
                value=self.bytes + more,
                limit=self._limit_mb << 20,
            )

    def use(self, request: int, values: Iterable[Value]) -> None:
        """A request has these values from now on, and those that it had before no more."""
        large = tuple(value for value in values if value_bytes(value))
        for value in large:
            users = self._users.get(id(value), 0)
            self._users[id(value)] = users + 1
            if not users:
                self.bytes += value_bytes(value)
        self.drop(request)
        if large:
            self._of[request] = large

    def drop(self, request: int) -> None:
        """A request is over; unknown ones are ignored."""
        for value in self._of.pop(request, ()):
            users = self._users.pop(id(value)) - 1
            if users:
                self._users[id(value)] = users
            else:
                self.bytes -= value_bytes(value)
