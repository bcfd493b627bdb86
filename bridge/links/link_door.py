"""What the two doors of the engine link share: the gate, where it really listens, totals, and the end of everybody."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import ClassVar

from bridge.errors import BridgeError, ErrorCode, TexbridgeError
from bridge.links.connection import Hub, LinkLimits, LinkShared
from bridge.links.gate import Gate, TokenDelays
from bridge.links.listener import bind_listener, socket_address


class LinkDoor(ABC):
    """Listens for engines. `start`, then `address`, then `close`.

    `delays` may be shared with another door, so that wrong tokens count together.
    """

    what: ClassVar[str]
    """For the words of errors, with the option that names its address."""
    option: ClassVar[str]

    def __init__(self, hub: Hub, limits: LinkLimits | None = None, *, delays: TokenDelays | None = None) -> None:
        limits = LinkLimits() if limits is None else limits
        gate = Gate(limits.max_connections, limits.max_connections_per_address)
        self._shared = LinkShared(hub, limits, gate, TokenDelays() if delays is None else delays)
        self._address = ""
        self._is_open = False

    @property
    def address(self) -> str:
        """Where the door really listens, `host:port`."""
        return self._address

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the start, by reason: refused, evicted, malformed, stalled, closed_<error name> ..."""
        return dict(self._shared.counts)

    @property
    def connections(self) -> int:
        """How many are connected now, hello said or not."""
        return len(self._shared.gate)

    async def start(self, host: str, port: int) -> None:
        """Listen at `host:port`; port 0 takes a free one.

        Raises:
            ConfigError: the port is taken, or the address can't be used.
        """
        listener = bind_listener(self.what, self.option, host, port, socket.SOCK_STREAM)
        self._address = socket_address(listener.getsockname())
        await self._listen(listener, host)
        self._is_open = True

    async def close(self, error: TexbridgeError | None = None) -> None:
        """Stop listening, tell every engine (601 draining unless `error` says otherwise), and wait for the end."""
        if self._is_open:
            self._is_open = False
            await self._end(error or BridgeError("the bridge is shutting down", code=ErrorCode.DRAINING))

    @abstractmethod
    async def _listen(self, listener: socket.socket, host: str) -> None:
        """Take engines from this socket, bound for `host`."""

    @abstractmethod
    async def _end(self, error: TexbridgeError) -> None:
        """Stop listening, close every connection with `error`; each has a close timer that cuts it. Return when all
        are gone."""
