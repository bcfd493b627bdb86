"""The engine link over WebSocket: path `/link`, subprotocol `texbridge.v1`, binary messages only.

Source: wire contract, Doors. The `websockets` library does the handshake, what comes in, pings and the close.
Messages out are written by us, straight to its transport: one final binary frame each, header and payload without
being joined first.
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from bridge.errors import ErrorCode, MessageDecodeError, TexbridgeError
from bridge.links.connection import Connection, Hub, LinkLimits, LinkShared, Phase, refusal_words
from bridge.links.gate import Admission, TokenDelays
from bridge.links.link_door import LinkDoor
from bridge.links.listener import host_names, is_own_host

PATH: Final = "/link"
SUBPROTOCOL: Final = Subprotocol("texbridge.v1")

MESSAGES_A_TURN: Final = 64
"""A flood of small messages is taken in turns with everybody else."""

WAITING_MESSAGES: Final = 4
"""Messages that the library may hold for us; more stay in the kernel, and then with the engine."""

PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 40.0
"""An engine that loads a level doesn't poll its socket: longer than a hitch, shorter than a NAT's memory."""


def frame_prefix(message_bytes: int) -> bytes:
    """Give the head of one final, unmasked binary frame of this size. Source: RFC 6455, 5.2."""
    if message_bytes < 126:
        return struct.pack("!BB", 0x82, message_bytes)
    if message_bytes < 65536:
        return struct.pack("!BBH", 0x82, 126, message_bytes)
    return struct.pack("!BBQ", 0x82, 127, message_bytes)


def close_reason(error: TexbridgeError) -> str:
    """Give the error's message, cut to the 123 bytes that a close frame holds."""
    return error.message.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")


class WebSocketConnection(Connection):
    """One engine on WebSocket."""

    kind: ClassVar[str] = "websocket"

    def __init__(self, shared: LinkShared, peer: _Peer) -> None:
        super().__init__(shared)
        self._peer = peer
        self._may_read_again = asyncio.Event()

    async def _read_all(self) -> None:
        """Take messages until the socket is closed."""
        taken = 0
        try:
            async for message in self._peer:
                if isinstance(message, str):
                    self.close(
                        MessageDecodeError(
                            "a text message came; this link takes binary messages only (msgpack)",
                            code=ErrorCode.NOT_MSGPACK,
                        )
                    )
                else:
                    self._receive(message)
                taken += 1
                if taken % MESSAGES_A_TURN == 0:
                    await asyncio.sleep(0)
                while not self._may_read and self._phase is not Phase.CLOSED:
                    self._may_read_again.clear()
                    await self._may_read_again.wait()
        except ConnectionClosed:
            pass  # how it ended is the peer's affair; `_ended` follows

    def _reading_changed(self) -> None:
        self._may_read_again.set()

    def _prefix(self, message_bytes: int) -> bytes:
        return frame_prefix(message_bytes)

    def _can_write(self) -> bool:
        # Nothing may follow a close frame, which the library sends by itself in answer to the peer's; a frame that was
        # begun before is finished, and the library's waits.
        return super()._can_write() and (self._inside_frame or self._peer.protocol.state is State.OPEN)

    def _frame_over(self) -> None:
        if not self._peer.transport.is_closing():
            self._peer.send_data()

    async def _finish(self, error: TexbridgeError | None) -> None:
        if error is None:
            await self._peer.close()
        else:
            await self._peer.close(4000 + int(error.code), close_reason(error))


class _Peer(ServerConnection):
    """The library's connection, with our limits from the first byte on."""

    def __init__(self, door: WebSocketDoor, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.door = door
        self.link = WebSocketConnection(door._shared, self)
        self.refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self.door._peers.add(self)
        admission = self.link._attach(transport)
        self.refused = admission is Admission.REFUSED
        if admission is Admission.DROPPED:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.door._peers.discard(self)
        self.link._ended()

    def send_data(self) -> None:
        # What the library sends by itself (pongs, pings, a close) must not come between the pieces of a frame of ours.
        if not self.link._inside_frame:
            super().send_data()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.state is State.CLOSING:
            # The peer said goodbye, or broke the protocol: the library has answered, and would wait for its EOF.
            self.link._leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.link.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.link.resume_writing()


class WebSocketDoor(LinkDoor):
    """Listens for engines on WebSocket.

    `origins` are the pages that may connect, exact (`http://127.0.0.1:9480`): browsers send one, native clients
    don't and need none. `hosts` are further `Host` names, with or without a port, beside loopback and the address
    it listens at.
    """

    what = "engine link over WebSocket"
    option = "--link"

    def __init__(
        self,
        hub: Hub,
        limits: LinkLimits | None = None,
        *,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        delays: TokenDelays | None = None,
    ) -> None:
        super().__init__(hub, limits, delays=delays)
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._more_hosts = tuple(hosts)
        self._hosts: frozenset[str] = frozenset()
        self._peers: set[_Peer] = set()

    async def _listen(self, listener: socket.socket, host: str) -> None:
        self._hosts = host_names(host, int(listener.getsockname()[1]), self._more_hosts)
        limits = self._shared.limits
        self._server = await serve(
            self._handle,
            sock=listener,
            process_request=self._check_request,
            select_subprotocol=_select_subprotocol,
            compression=None,
            server_header="texbridge",
            open_timeout=limits.hello_timeout_s,
            ping_interval=PING_EVERY_S,
            ping_timeout=PONG_WITHIN_S,
            close_timeout=limits.close_timeout_s,
            max_size=limits.max_message_bytes,
            max_queue=WAITING_MESSAGES,
            write_limit=0,
            # The library asks for a class here; it only calls it.
            create_connection=cast(type[ServerConnection], partial(_Peer, self)),
        )

    def _check_request(self, peer: ServerConnection, request: Request) -> Response | None:
        """Give a refusal, or None to go on with the handshake."""
        assert isinstance(peer, _Peer)
        if peer.refused:
            return self._refuse(peer, http.HTTPStatus.SERVICE_UNAVAILABLE, refusal_words(self._shared.limits))
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1:
            return self._refuse(peer, http.HTTPStatus.BAD_REQUEST, f"{len(hosts)} Host headers, must be 1")
        if not is_own_host(hosts[0], self._hosts, peer.local_address):
            return self._refuse(
                peer,
                http.HTTPStatus.FORBIDDEN,
                f"Host {hosts[0]!r} is not a name of this bridge; add it to the allowed hosts if it should be",
            )
        origins = request.headers.get_all("Origin")
        if len(origins) > 1 or (origins and origins[0].lower() not in self._origins):
            return self._refuse(
                peer,
                http.HTTPStatus.FORBIDDEN,
                f"Origin {origins[0]!r} may not connect; add it to the allowed origins if it should",
            )
        if request.path.partition("?")[0] != PATH:
            return self._refuse(
                peer,
                http.HTTPStatus.NOT_FOUND,
                f"the engine link is at {PATH}, not at {request.path.partition('?')[0]!r}",
            )
        return None

    def _refuse(self, peer: ServerConnection, status: http.HTTPStatus, words: str) -> Response:
        self._shared.counts[f"http_{status.value}"] += 1
        return peer.respond(status, words + "\n")

    async def _handle(self, peer: ServerConnection) -> None:
        assert isinstance(peer, _Peer)
        peer.link._start()
        await peer.link._read_all()
        await peer.close()  # at once if it is closed; else it sees to it that the socket really ends
        await peer.link.wait_closed()

    async def _end(self, error: TexbridgeError) -> None:
        everybody = list(self._peers)
        self._server.close(close_connections=False)
        for peer in everybody:
            if peer.protocol.state is State.OPEN:
                peer.link.close(error)
            else:
                peer.transport.abort()
        await asyncio.gather(*(peer.link.wait_closed() for peer in everybody))
        await self._server.wait_closed()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take ours, or a client that offers none at all (some engines can't)."""
    if not offered:
        return None
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    raise NegotiationError(f"subprotocols {', '.join(offered)[:200]} are not known here; offer {SUBPROTOCOL} or none")
