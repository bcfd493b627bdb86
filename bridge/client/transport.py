"""The two ways to a bridge: TCP with a length before each message, and WebSocket.

Both give whole messages to a `Receiver`, synchronously and in order. Source: protocols/engine-link.md, Transport.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from bridge.client.faults import LinkLostError, error_of_close
from bridge.codec.framing import LengthDecoder, encode_length
from bridge.codec.hosts import next_address_after
from bridge.errors import FramingDecodeError

SUBPROTOCOL: Final = Subprotocol("texbridge.v1")
CLOSE_WITHIN_S: Final = 1.0

MAX_WAITING: Final = 64
"""Messages that wait for the socket before `drain` waits too."""


class Receiver(Protocol):
    """Who takes what comes in."""

    def message(self, data: bytes | memoryview) -> None:
        """Take one whole message. Large ones are memory of their own: nobody writes there again."""
        ...

    def ended(self, error: Exception) -> None:
        """The socket is closed. Called once."""
        ...


class Transport(Protocol):
    """One socket."""

    @property
    def heard(self) -> int:
        """Grows whenever bytes come in."""
        ...

    def send(self, message: bytes) -> None:
        """Queue one message; see `drain`."""
        ...

    async def drain(self) -> None:
        """Wait until the socket takes more, or is closed."""
        ...

    async def close(self) -> None:
        """Close in order, within a second, and wait for it."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bridge listens: `url` for WebSocket, else `host` and `port`."""

    host: str
    port: int
    url: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Give the address in `HOST:PORT` or `tcp://HOST:PORT` (TCP), `ws://...` or `wss://...` (WebSocket).

    A WebSocket URL without a path gets `/link`. Raises ValueError.
    """
    try:
        parts = urlsplit(text if "://" in text else f"tcp://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # unbalanced brackets, or a port that is no number
        parts, host, port = urlsplit(""), None, None
    if parts.scheme in ("ws", "wss") and host:
        url = urlunsplit(parts._replace(path="/link")) if parts.path in ("", "/") else text
        return Address(host, port or (443 if parts.scheme == "wss" else 80), url)
    if parts.scheme == "tcp" and host and port and parts.path in ("", "/"):
        return Address(host, port)
    raise ValueError(
        f"address {text!r} must be HOST:PORT (TCP, e.g. 127.0.0.1:9402) or a URL like ws://127.0.0.1:9401/link"
    )


async def open_transport(address: Address, receiver: Receiver, max_message_bytes: int) -> Transport:
    """Open a socket. Raises LinkLostError if nobody answers there, or answers otherwise than a bridge."""
    try:
        if address.url is not None:
            return await _open_websocket(address.url, receiver, max_message_bytes)
        loop = asyncio.get_running_loop()
        _, transport = await loop.create_connection(
            lambda: TcpTransport(receiver, max_message_bytes),
            address.host,
            address.port,
            **_race(address.host),
        )
        return transport
    except InvalidStatus as error:
        words = (error.response.body or b"")[:300].decode("utf-8", "replace").strip()
        raise LinkLostError(f"{address} answers HTTP {error.response.status_code}: {words}") from error
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise LinkLostError(f"no bridge answers at {address}: {error}") from error


class TcpTransport(asyncio.BufferedProtocol):
    """Bytes go from the socket into the message's own memory, without a copy."""

    def __init__(self, receiver: Receiver, max_message_bytes: int) -> None:
        self.heard = 0
        self._receiver = receiver
        self._decoder = LengthDecoder(max_message_bytes)
        self._fault: Exception | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._closed = asyncio.Event()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport = transport
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += 1
        if self._fault is not None:
            return
        messages: tuple[bytes | memoryview, ...]
        try:
            messages = tuple(self._decoder.buffer_updated(nbytes))
        except FramingDecodeError as error:
            messages = error.messages
            self._fault = error
            self._transport.abort()
        for message in messages:
            self._receiver.message(message)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._may_write.set()
        self._closed.set()
        self._receiver.ended(self._fault or LinkLostError(f"the bridge closed the link: {exc or 'end of stream'}"))

    def send(self, message: bytes) -> None:
        self._transport.writelines((encode_length(len(message)), message))

    async def drain(self) -> None:
        await self._may_write.wait()

    async def close(self) -> None:
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._closed.wait()
        except TimeoutError:
            self._transport.abort()
            await self._closed.wait()

    def abort(self) -> None:
        self._transport.abort()


class _Socket(ClientConnection):
    """The library's connection, which tells of every byte that comes, not of whole messages alone."""

    heard = 0

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        super().data_received(data)


class WebSocketTransport:
    """The `websockets` library's client, with one task that reads and one that writes."""

    def __init__(self, receiver: Receiver, peer: _Socket) -> None:
        self._receiver = receiver
        self._peer = peer
        self._waiting: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._writer = asyncio.create_task(self._write_all(), name="texbridge client writer")
        self._reader = asyncio.create_task(self._read_all(), name="texbridge client reader")

    @property
    def heard(self) -> int:
        return self._peer.heard

    async def _read_all(self) -> None:
        error: Exception = LinkLostError("the link was closed")
        try:
            while True:
                message = await self._peer.recv()
                if isinstance(message, str):
                    error = LinkLostError("a text message came; a bridge sends binary ones only")
                    return
                self._receiver.message(message)
        except ConnectionClosed as closed:
            received = closed.rcvd
            error = error_of_close(received.code if received else None, received.reason if received else "")
        finally:
            self._writer.cancel()
            self._has_room.set()
            self._peer.transport.abort()
            self._receiver.ended(error)

    async def _write_all(self) -> None:
        try:
            while True:
                while self._waiting:
                    await self._peer.send(self._waiting.popleft())
                    if len(self._waiting) < MAX_WAITING:
                        self._has_room.set()
                self._woken.clear()
                await self._woken.wait()
        except ConnectionClosed:
            pass  # the reader sees it too, and tells

    def send(self, message: bytes) -> None:
        self._waiting.append(message)
        if len(self._waiting) >= MAX_WAITING:
            self._has_room.clear()
        self._woken.set()

    async def drain(self) -> None:
        if not self._reader.done():
            await self._has_room.wait()

    async def close(self) -> None:
        await self._peer.close()
        await asyncio.wait((self._reader, self._writer))

    def abort(self) -> None:
        self._peer.transport.abort()


def _race(host: str) -> dict[str, Any]:
    """Options that race a name's addresses: none where there is one, or where the loop can't (uvloop, winloop)."""
    delay = next_address_after(host)
    if delay is None or not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        return {}
    return {"happy_eyeballs_delay": delay}


async def _open_websocket(url: str, receiver: Receiver, max_message_bytes: int) -> WebSocketTransport:
    options: dict[str, Any] = {
        "proxy": None,
        "create_connection": _Socket,
        **_race(urlsplit(url).hostname or ""),
    }
    peer = await connect(
        url,
        subprotocols=[SUBPROTOCOL],
        # Pixels don't shrink, and trying costs more than sending them.
        compression=None,
        user_agent_header="texbridge",
        open_timeout=None,
        # The link's own ping does this, the same over both transports.
        ping_interval=None,
        close_timeout=CLOSE_WITHIN_S,
        max_size=max_message_bytes,
        **options,
    )
    assert isinstance(peer, _Socket)
    return WebSocketTransport(receiver, peer)
