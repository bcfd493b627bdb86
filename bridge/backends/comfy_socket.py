"""ComfyUI's WebSocket behind a small interface, so that another library can be measured beside this one."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from bridge.backends.faults import AccessRefused, BackendCut, BackendGone, BackendSilent, WrongAnswer

FEATURE_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
"""The first message of every connection: with it each picture names its prompt and node (binary type 4)."""


class ComfySocket(Protocol):
    """An open socket. `heard_at` is when its last message came (`time.perf_counter`)."""

    heard_at: float

    async def read(self, on_message: Callable[[str | bytes], None]) -> str:
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


class WebsocketsSocket:
    """`ComfySocket` by the `websockets` library."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.heard_at = time.perf_counter()

    async def read(self, on_message: Callable[[str | bytes], None]) -> str:
        """Call `on_message` with every message until the socket ends; the result says why it ended."""
        receive = self._connection.recv
        clock = time.perf_counter
        try:
            while True:
                message = await receive()
                self.heard_at = clock()
                on_message(message)
        except ConnectionClosed as closed:
            return str(closed)[:200]

    async def ping(self, limit_s: float) -> bool:
        """Whether a pong, or any message, came within `limit_s`. False too once the socket has ended."""
        sent_at = time.perf_counter()
        pong: Awaitable[float] | None = None
        try:
            async with asyncio.timeout(limit_s):
                pong = await self._connection.ping()
                await pong
        except ConnectionClosed:
            return False
        except TimeoutError:
            # After a pause of our own loop the pong and the limit fall due together: the pong counts.
            return self.heard_at > sent_at
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
    options: _Options = {"ssl": tls} if tls is not None and url.startswith("wss:") else {}
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
            max_queue=64,
            **options,
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        if status in (401, 403):
            raise AccessRefused(f"ComfyUI's WebSocket refused access ({status}): check the headers or token") from None
        raise WrongAnswer(f"ComfyUI's WebSocket answered {status} instead of 101", value=status) from None
    except ConnectionRefusedError as error:
        raise BackendGone(f"nobody listens for ComfyUI's WebSocket: {error.strerror}") from None
    except TimeoutError:
        raise BackendSilent(f"ComfyUI's WebSocket did not open in {open_timeout_s:g} s") from None
    except (OSError, EOFError) as error:
        raise BackendCut(f"ComfyUI's WebSocket did not open: {error or type(error).__name__}") from None
    except WebSocketException as error:
        raise WrongAnswer(f"ComfyUI's WebSocket did not open: {error}") from None
    if connection.protocol.extensions:
        await connection.close()
        raise WrongAnswer("the WebSocket peer negotiated an extension that was never offered")
    try:
        async with asyncio.timeout(open_timeout_s):
            await connection.send(FEATURE_FLAGS)
    except (ConnectionClosed, TimeoutError) as error:
        connection.transport.abort()
        raise BackendCut(f"ComfyUI's WebSocket broke at its first message: {error or 'no time left'}") from None
    return WebsocketsSocket(connection)
