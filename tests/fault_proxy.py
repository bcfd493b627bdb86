"""A small TCP proxy that misbehaves on demand: latency, slices, silence, resets, refusal.

Connections that begin with a WebSocket handshake are told apart, so that a fault can hit the socket alone.
"""

import asyncio
import contextlib
import socket
import struct
import sys

from ports import ReservedPort

_LINGER = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)


class _Pair:
    """One client connection and its upstream."""

    def __init__(self, client, upstream):
        self.writers = (client, upstream)
        self.is_socket = False
        self.stalled = False

    def reset(self):
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            writer.transport.abort()


class FaultProxy:
    """`async with FaultProxy(port) as proxy`, then point the client at `proxy.url` and set its faults.

    latency_s: added to each chunk, both ways. slice_bytes: the most that is written at once. stall(): nothing flows
    until `flow()`, though connections stay open and new ones are taken (`sockets_only`: WebSockets only).
    reset(): every connection ends with RST. refuse(): the door is shut. open(): and opened again, at the same port.
    """

    def __init__(self, target_port, target_host="127.0.0.1"):
        self._target = (target_host, target_port)
        self.port = 0
        self.latency_s = 0.0
        self.slice_bytes = 0
        self.connections = 0
        self._stall_all = False
        self._stall_sockets = False
        self._moved = asyncio.Event()
        self._pairs = set()
        self._tasks = set()
        self._server = None
        self._reserved = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def aim(self, target_port):
        """New connections go to this port: for a server that has to know the proxy's own first."""
        self._target = (self._target[0], target_port)

    async def __aenter__(self):
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._reserved is not None:
            self._reserved.close()

    async def open(self):
        if not self.port:
            self._reserved = ReservedPort()
            self.port = self._reserved.port
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self):
        """Shut the door, and reset what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.sleep(0)

    def reset(self, sockets_only=False):
        for pair in list(self._pairs):
            if pair.is_socket or not sockets_only:
                pair.reset()

    def stall(self, sockets_only=False):
        self._stall_sockets = True
        self._stall_all = not sockets_only

    def flow(self):
        self._stall_sockets = self._stall_all = False
        self._moved.set()
        self._moved = asyncio.Event()

    async def _take(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        try:
            await self._wait_for_flow(None)
            try:
                up_reader, up_writer = await asyncio.open_connection(*self._target)
            except OSError:
                writer.transport.abort()
                return
            pair = _Pair(writer, up_writer)
            self._pairs.add(pair)
            try:
                ways = (self._pump(pair, reader, up_writer, True), self._pump(pair, up_reader, writer, False))
                done, rest = await asyncio.wait(
                    [asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED
                )
                for task in rest:
                    task.cancel()
                await asyncio.gather(*done, *rest, return_exceptions=True)
            finally:
                self._pairs.discard(pair)
                for end in pair.writers:
                    end.transport.abort()
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _pump(self, pair, reader, writer, upward):
        first = upward
        while data := await reader.read(1 << 16):
            if first:
                pair.is_socket = b"upgrade: websocket" in data.lower()
                first = False
            await self._wait_for_flow(pair)
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            size = self.slice_bytes or len(data)
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()
                if self.slice_bytes:
                    await asyncio.sleep(0)
        if not writer.transport.is_closing():
            writer.write_eof()

    async def _wait_for_flow(self, pair):
        while self._stall_all or (self._stall_sockets and pair is not None and pair.is_socket):
            await self._moved.wait()
