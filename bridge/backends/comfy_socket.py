"""ComfyUI's WebSocket behind a small interface, so that another library can be measured beside this one.

The `websockets` library opens, answers, pings and closes; `socket_reading` takes whole messages past it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State
from websockets.uri import WebSocketURI

from bridge.backends.address import ComfyAddress
from bridge.backends.faults import BackendCut, BackendGone, BackendSilent, WrongAnswer, is_refusal
from bridge.backends.foreign_answers import foreign_answer
from bridge.backends.socket_reading import FrameReader
from bridge.codec.hosts import next_address_after

logger = logging.getLogger("bridge.backends")

FEATURE_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
"""The first message of every connection: with it each picture names its prompt and node (binary type 4)."""


MessageHandler: TypeAlias = Callable[[str | bytes | bytearray | memoryview], None]
"""Takes one message: text as str, binary as bytes of its own, which it may keep."""


_MOST_PIECES = 16_384
"""Fragments of one message, or messages before `read`, after which a peer is up to no good."""


class ComfySocket(Protocol):
    """An open socket. Times are `time.perf_counter` seconds."""

    @property
    def heard_at(self) -> float:
        """When its last message came."""
        ...

    @property
    def arrival_s(self) -> float:
        """How long the message that is handled now took from its first piece to its last."""
        ...

    @property
    def since_last_s(self) -> float:
        """How long after the message before it the message that is handled now was complete."""
        ...

    async def read(self, on_message: MessageHandler) -> str:
        """Call `on_message` with every message until the socket ends; the result says why it ended."""
        ...

    async def ping(self, limit_s: float) -> bool:
        """Whether a pong, or any message, came within `limit_s`."""
        ...

    async def close(self) -> None:
        """End it, within a second or two whatever the peer does."""
        ...


class SocketOpener(Protocol):
    """Opens a socket and sends `FEATURE_FLAGS` first. Raises the errors of `faults`, nothing else."""

    def __call__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        open_timeout_s: float,
        max_message_bytes: int,
        tls: ssl.SSLContext | None,
    ) -> Awaitable[ComfySocket]: ...


_Options: TypeAlias = dict[str, Any]


class _Connect(connect):
    """Follows no redirect: the headers hold secrets, and HTTP has already told where the server really is."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc

    async def open_tcp_connection(self) -> ClientConnection:
        """The transport talks to a `FrameReader`, which stands before the library's connection."""
        make = self.factory
        readers: list[FrameReader] = []

        def factory(uri: WebSocketURI) -> Any:
            connection = make(uri)
            assert isinstance(connection, _Connection)
            readers.append(FrameReader(connection, connection.protocol.max_message_size or 0))
            return readers[-1]

        self.factory = factory
        try:
            await super().open_tcp_connection()
        finally:
            self.factory = make
        inner = readers[-1].inner
        assert isinstance(inner, _Connection)
        return inner


class _Connection(ClientConnection):
    """Hands each message over where it was parsed: no queue, no task to wake, and reading never pauses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heard_at = time.perf_counter()
        self._on_message: MessageHandler | None = None
        self._early: list[str | bytes | bytearray | memoryview] = []
        self._fragments: list[Frame] = []
        self._was_cut_off = False
        self._began_at: float | None = None
        self.arrival_s = 0.0
        self.since_last_s = 0.0
        self._delivered_at = self.heard_at

    def begins(self) -> None:
        """As `socket_reading.Inner`: a message begins to arrive."""
        if self._began_at is None:
            self._began_at = time.perf_counter()

    def takes_frames(self) -> bool:
        """As `socket_reading.Inner`."""
        return self.protocol.state is State.OPEN and not self._fragments

    def take(self, is_text: bool, data: memoryview) -> None:
        """As `socket_reading.Inner`: a whole message."""
        self.heard_at = time.perf_counter()
        if not self._was_cut_off:
            self._deliver(str(data, "utf-8", "replace") if is_text else data)

    def listen(self, on_message: MessageHandler) -> None:
        """Give `on_message` what has come so far, and all that comes."""
        self._on_message = on_message
        early, self._early = self._early, []
        for message in early:
            self._deliver(message)

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self.heard_at = time.perf_counter()
        opcode, data = event.opcode, event.data
        if not event.fin or opcode is Opcode.CONT:
            self._fragments.append(event)  # the protocol counts their bytes against max_size
            if len(self._fragments) > _MOST_PIECES:
                self._cut_off()
            if not event.fin or self._was_cut_off:
                return
            opcode, data = self._fragments[0].opcode, b"".join(frame.data for frame in self._fragments)
            self._fragments = []
        self._deliver(str(data, "utf-8", "replace") if opcode is Opcode.TEXT else data)

    def _cut_off(self) -> None:
        self._was_cut_off = True
        self._fragments, self._early = [], []
        self.transport.abort()

    def _deliver(self, message: str | bytes | bytearray | memoryview) -> None:
        now = time.perf_counter()
        self.arrival_s = 0.0 if self._began_at is None else now - self._began_at
        self.since_last_s, self._delivered_at = now - self._delivered_at, now
        self._began_at = None
        if self._on_message is None:
            self._early.append(message)
            if len(self._early) > _MOST_PIECES:
                self._cut_off()
            return
        try:
            self._on_message(message)
        except Exception:
            logger.exception("a message of %d bytes or characters was not handled", len(message))


class WebsocketsSocket:
    """`ComfySocket` by the `websockets` library."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @property
    def heard_at(self) -> float:
        """When the last message came (`time.perf_counter`)."""
        return self._connection.heard_at

    @property
    def arrival_s(self) -> float:
        """How long the message that is handled now took from its first piece to its last."""
        return self._connection.arrival_s

    @property
    def since_last_s(self) -> float:
        """How long after the message before it the message that is handled now was complete."""
        return self._connection.since_last_s

    async def read(self, on_message: MessageHandler) -> str:
        """Call `on_message` with every message until the socket ends; the result says why it ended."""
        self._connection.listen(on_message)
        await self._connection.wait_closed()
        return str(self._connection.protocol.close_exc)[:200]

    async def ping(self, limit_s: float) -> bool:
        """Whether a pong, or any message, came within `limit_s`. False too once the socket has ended."""
        sent_at = time.perf_counter()
        pong: asyncio.Future[float] | None = None
        try:
            async with asyncio.timeout(limit_s):
                pong = asyncio.ensure_future(await self._connection.ping())
                await pong
        except ConnectionClosed:
            return False
        except TimeoutError:
            # After a pause of our own loop the pong and the limit fall due together: the pong counts.
            came = pong is not None and pong.done() and not pong.cancelled() and pong.exception() is None
            return came or self.heard_at > sent_at
        return True

    async def close(self) -> None:
        """Say goodbye if the peer still listens, else drop the connection."""
        try:
            async with asyncio.timeout(2.0):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()
        await self._connection.wait_closed()


async def open_socket(
    url: str,
    headers: Mapping[str, str],
    *,
    open_timeout_s: float,
    max_message_bytes: int,
    tls: ssl.SSLContext | None,
) -> ComfySocket:
    """A connected socket that has sent `FEATURE_FLAGS`.

    No compression is offered: a deflated 1.5 MiB picture takes 20 times as long. No Origin is sent: ComfyUI compares
    it with Host and refuses. No proxy is taken from the environment, as with HTTP.

    Raises:
        BackendGone: nobody listens there.
        BackendCut: no answer in `open_timeout_s`, or the connection broke.
        AccessRefused: 401 or 403.
        WrongAnswer: not a WebSocket of ComfyUI.
    """
    base, _, query = url.partition("?")
    address = ComfyAddress("http" + base.removesuffix("/ws").removeprefix("ws"), base, headers, query)
    options: _Options = {"ssl": tls} if tls is not None and url.startswith("wss:") else {}
    # `localhost` has two addresses, and Windows takes two seconds to find that one of them refuses. Only asyncio's own
    # loop can race them; uvloop doesn't take the word.
    delay = next_address_after(urlsplit(url).hostname or "")
    if delay is not None and isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        options["happy_eyeballs_delay"] = delay
    try:
        connection = await _Connect(
            url,
            additional_headers=dict(headers),
            compression=None,
            proxy=None,
            max_size=max_message_bytes,
            open_timeout=open_timeout_s,
            ping_interval=None,  # our own pings: a missed one is a doubt, not the end
            close_timeout=1.0,
            create_connection=_Connection,
            **options,
        )
    except InvalidStatus as refused:
        status, body = refused.response.status_code, bytes(refused.response.body or b"")
        told = dict(refused.response.headers.raw_items())
        if (strange := foreign_answer(address, "/ws", status, told, body)) is not None:
            raise strange from None
        raise WrongAnswer(f"ComfyUI's WebSocket answered {status} instead of 101", value=status) from None
    except TimeoutError:
        raise BackendSilent(f"ComfyUI's WebSocket did not open in {open_timeout_s:g} s") from None
    except OSError as error:
        if is_refusal(error):
            raise BackendGone(f"nobody listens for ComfyUI's WebSocket: {error}") from None
        raise BackendCut(f"ComfyUI's WebSocket did not open: {error or type(error).__name__}") from None
    except EOFError as error:
        raise BackendCut(f"ComfyUI's WebSocket did not open: {error or type(error).__name__}") from None
    except WebSocketException as error:
        raise WrongAnswer(f"ComfyUI's WebSocket did not open: {address.hide(str(error))}") from None
    if connection.protocol.extensions:
        await connection.close()
        raise WrongAnswer("the WebSocket peer negotiated an extension that was never offered")
    try:
        async with asyncio.timeout(open_timeout_s):
            await connection.send(FEATURE_FLAGS)
    except (ConnectionClosed, TimeoutError) as error:
        connection.transport.abort()
        raise BackendCut(f"ComfyUI's WebSocket broke at its first message: {error or 'no time left'}") from None
    assert isinstance(connection, _Connection)
    return WebsocketsSocket(connection)
