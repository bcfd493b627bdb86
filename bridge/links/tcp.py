"""The engine link over TCP: each message after its length, a u32 little-endian. Source: wire contract, Doors."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import ClassVar, Final, cast

from bridge.codec.framing import LengthDecoder, encode_length
from bridge.errors import ErrorCode, FramingDecodeError, NotAllowedError, TexbridgeError
from bridge.links.connection import Connection, Hub, LinkLimits, LinkShared, Phase, refusal_words
from bridge.links.gate import Admission, TokenDelays
from bridge.links.link_door import LinkDoor

MESSAGES_A_TURN: Final = 64
"""A flood of small messages in one segment is taken in turns with everybody else."""

SCRATCH_BYTES: Final = 16 * 1024


class TcpConnection(Connection, asyncio.BufferedProtocol):
    """One engine on TCP. Bytes go from the socket into the length decoder's buffer without a copy."""

    kind: ClassVar[str] = "tcp"

    def __init__(self, shared: LinkShared, everybody: set[TcpConnection]) -> None:
        super().__init__(shared)
        self._everybody = everybody
        self._decoder = LengthDecoder(shared.limits.max_message_bytes)
        self._inbound: deque[bytes | memoryview] = deque()
        self._fault: FramingDecodeError | None = None
        self._turn_waits = False
        self._reading = True
        self._scratch = memoryview(b"")

    # --- asyncio's call-backs --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        admission = self._attach(transport)
        if admission is Admission.DROPPED:
            transport.abort()
            return
        self._everybody.add(self)
        self._start()
        if admission is Admission.REFUSED:
            self.close(NotAllowedError(refusal_words(self._limits), code=ErrorCode.TOO_MANY_SESSIONS))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            if not self._scratch:
                self._scratch = memoryview(bytearray(SCRATCH_BYTES))
            return self._scratch
        return self._decoder.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            return  # read only to see the end: a socket closed over unread bytes resets, and takes our words with it
        try:
            self._inbound.extend(self._decoder.buffer_updated(nbytes))
        except FramingDecodeError as error:
            self._inbound.extend(error.messages)
            self._fault = error  # what came whole before it is still taken
        self._take_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._everybody.discard(self)
        self._inbound.clear()
        self._ended()

    # --- reading ---------------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        self._turn_waits = False
        for _ in range(MESSAGES_A_TURN):
            if not self._inbound or not self._may_read:
                break
            self._receive(self._inbound.popleft())
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            self._inbound.clear()
        elif self._fault is not None and not self._inbound:
            self.close(self._fault)
        if self._inbound and self._may_read:
            self._turn_waits = True
            self._loop.call_soon(self._take_turn)
        self._set_reading(not self._inbound and self._may_read)

    def _set_reading(self, reading: bool) -> None:
        if reading == self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _reading_changed(self) -> None:
        if not self._turn_waits and not self._reading and self._may_read:
            self._turn_waits = True
            self._loop.call_soon(self._take_turn)

    # --- writing ---------------------------------------------------------------------------------------------

    def _prefix(self, message_bytes: int) -> bytes:
        return encode_length(message_bytes)

    async def _finish(self, error: TexbridgeError | None) -> None:
        # The peer closes when it has read our end; the close timer cuts it if it doesn't.
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        elif self._transport is not None:
            self._transport.close()


class TcpDoor(LinkDoor):
    """Listens for engines on TCP."""

    what = "engine link over TCP"
    option = "--tcp"

    def __init__(self, hub: Hub, limits: LinkLimits | None = None, *, delays: TokenDelays | None = None) -> None:
        super().__init__(hub, limits, delays=delays)
        self._connections: set[TcpConnection] = set()

    async def _listen(self, listener: socket.socket, host: str) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: TcpConnection(self._shared, self._connections), sock=listener, start_serving=True
        )

    async def _end(self, error: TexbridgeError) -> None:
        self._server.close()
        everybody = list(self._connections)
        for connection in everybody:
            connection.close(error)
        await asyncio.gather(*(connection.wait_closed() for connection in everybody))
        await self._server.wait_closed()
