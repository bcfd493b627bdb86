"""ComfyUI's `/ws`: one socket per client id, and one publisher that sends to one after the other.

A client id that connects twice has the trap of the original: when the first handler ends, it takes the second
socket out, which stays open and silent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import WSMsgType, web

logger = logging.getLogger("bridge.embedded")

FEATURES: Final = {"supports_preview_metadata": True, "max_upload_size": 100 << 20}
WAIT_LIMIT: Final = 256
"""The worker waits while this many messages are not yet sent."""
LET_GO_S: Final = 0.0002
"""So long the worker rests behind a picture; else the event loop would get the interpreter from it after 5 ms."""
DROP_LIMIT: Final = 4096
"""Beyond this many unsent messages, events that can't wait (`status`) are dropped."""
MAX_SOCKETS: Final = 256


class Sockets:
    """All WebSocket clients. `send` and `send_bytes` may be called from any thread."""

    def __init__(self, send_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._send_timeout_s = send_timeout_s
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._flags: dict[str, Mapping[str, Any]] = {}
        self._open: dict[web.WebSocketResponse, web.Request] = {}
        self._messages: asyncio.Queue[tuple[str | bytes, str | None]] = asyncio.Queue()
        self._unsent = 0
        self._room = threading.Condition()
        self._closed = False
        self._publisher = asyncio.create_task(self._publish(), name="embedded publisher")

    # --- from any thread --------------------------------------------------------------------------------

    def send(self, event: str, data: Mapping[str, Any], client_id: str | None) -> None:
        """Queue a JSON event for one client, or None for all. In the worker it waits while too many are unsent."""
        self._put(json.dumps({"type": event, "data": data}), client_id, waits=True)

    def tell_all(self, event: str, data: Mapping[str, Any]) -> None:
        """Queue a JSON event for all. It never waits, so that it may be called with a lock held."""
        self._put(json.dumps({"type": event, "data": data}), None, waits=False)

    def send_bytes(self, data: bytes, client_id: str | None) -> None:
        """Queue a binary message for one client, or None for all. From the worker the loop gets its turn at once."""
        self._put(data, client_id, waits=True)
        if threading.get_ident() != self._thread:
            time.sleep(LET_GO_S)

    def takes_metadata(self, client_id: str | None) -> bool:
        """Whether this client's first message said `supports_preview_metadata`."""
        return client_id is not None and bool(self._flags.get(client_id, {}).get("supports_preview_metadata"))

    @property
    def unsent(self) -> int:
        """How many messages wait for the publisher, the one that it sends included."""
        return self._unsent

    def _put(self, message: str | bytes, client_id: str | None, waits: bool) -> None:
        with self._room:
            if waits and threading.get_ident() != self._thread:
                self._room.wait_for(lambda: self._closed or self._unsent < WAIT_LIMIT)
            if self._closed or self._unsent >= DROP_LIMIT:
                return
            self._unsent += 1
            self._loop.call_soon_threadsafe(self._messages.put_nowait, (message, client_id))

    # --- on the event loop ------------------------------------------------------------------------------

    async def handle(self, request: web.Request, greet: Callable[[str], list[dict[str, Any]]]) -> web.StreamResponse:
        """Serve one connection; `greet(client_id)` gives the messages that it gets first."""
        if len(self._open) >= MAX_SOCKETS:
            raise web.HTTPServiceUnavailable(text=f"{len(self._open)} WebSocket clients = limit")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        self._sockets[client_id] = socket
        self._flags[client_id] = {}
        self._open[socket] = request
        try:
            for message in greet(client_id):
                await socket.send_str(json.dumps(message))
            await self._read(socket, client_id)
        except ConnectionError:
            logger.debug("client %s went away", client_id)
        finally:
            self._open.pop(socket, None)
            self._sockets.pop(client_id, None)
            self._flags.pop(client_id, None)
        return socket

    async def _read(self, socket: web.WebSocketResponse, client_id: str) -> None:
        first = True
        async for message in socket:
            if message.type is not WSMsgType.TEXT or not first:
                continue
            try:
                data = json.loads(message.data)
            except ValueError:
                continue  # not JSON: the next one may still be the first
            if not isinstance(data, dict):
                continue
            first = False
            if data.get("type") == "feature_flags":
                flags = data.get("data", {})
                self._flags[client_id] = flags if isinstance(flags, dict) else {}
                await socket.send_str(json.dumps({"type": "feature_flags", "data": FEATURES}))

    async def _publish(self) -> None:
        while True:
            message, client_id = await self._messages.get()
            if client_id is None:
                targets = list(self._sockets.values())
            else:
                targets = [self._sockets[client_id]] if client_id in self._sockets else []
            for socket in targets:
                await self._send(socket, message)
            with self._room:
                self._unsent -= 1
                self._room.notify_all()

    async def _send(self, socket: web.WebSocketResponse, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._send_timeout_s):
                if isinstance(message, str):
                    await socket.send_str(message)
                else:
                    await socket.send_bytes(message)
        except TimeoutError:
            logger.warning("a client does not read: cut after %s s", self._send_timeout_s)
            self._abort(socket)
        except (ConnectionError, RuntimeError):
            logger.debug("sending to a client that went away")

    def abort_all(self) -> None:
        """Cut every connection without a closing handshake, as a killed process does."""
        for socket in list(self._open):
            self._abort(socket)

    async def close(self) -> None:
        """Stop sending, release a waiting worker, and close every connection."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._publisher.cancel()
        await asyncio.gather(self._publisher, return_exceptions=True)
        for socket in list(self._open):
            try:
                async with asyncio.timeout(1):
                    await socket.close(code=1001)
            except TimeoutError:
                self._abort(socket)

    def _abort(self, socket: web.WebSocketResponse) -> None:
        request = self._open.get(socket)
        if request is not None and request.transport is not None:
            request.transport.abort()
