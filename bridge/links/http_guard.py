"""Limits below aiohttp: how long and how large a request may be, how many connections, how slow a reader.

aiohttp's server keeps a half-sent head open for as long as the client likes, so this protocol stands between the
socket and aiohttp's, passes everything on, and cuts what goes over a limit. A request with a body is passed on when all
of it is there: an answer that comes earlier would be lost, since a socket that is closed with unread bytes is reset.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from bridge.errors import NotAllowedError
from bridge.links.gate import Admission, Gate
from bridge.links.http_body import MAX_BODY_BYTES, ChunkedBody, LengthBody, RefusedBodyError, body_of
from bridge.links.listener import limit_kernel_buffer

HEAD_END: Final = re.compile(rb"\n\r?\n")
PIPELINED_REQUESTS: Final = 4
LINGER_S: Final = 1.0
REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of the HTTP door.

    Attributes:
        header_timeout_s: from the first byte of a request (for the first one: from the connection) to its end.
        max_header_bytes, max_header_lines: of one request's head.
        max_body_bytes: of one request's body.
        max_connections, max_connections_per_address: further ones get 503; half-open ones give way first.
        stall_timeout_s: a response that makes no progress for so long is cut.
        idle_timeout_s: a connection may idle so long between two requests.
        send_buffer_bytes: SO_SNDBUF, so that a slow viewer of `.mjpg` sees new pictures and not a buffer of old ones.
    """

    header_timeout_s: float = 5.0
    max_header_bytes: int = 16 * 1024
    max_header_lines: int = 100
    max_body_bytes: int = MAX_BODY_BYTES
    max_connections: int = 256
    max_connections_per_address: int = 64
    stall_timeout_s: float = 30.0
    idle_timeout_s: float = 10.0
    send_buffer_bytes: int = 128 * 1024


class GuardedConnection(asyncio.Protocol):
    """One HTTP connection: aiohttp's own protocol (made by `make_inner`), behind our limits."""

    def __init__(
        self,
        make_inner: Callable[[], asyncio.Protocol],
        limits: HttpLimits,
        gate: Gate,
        counts: Counter[str],
        everybody: dict[asyncio.Protocol, GuardedConnection],
    ) -> None:
        self._make_inner = make_inner
        self._limits = limits
        self._gate = gate
        self._counts = counts
        self._everybody = everybody
        self._loop = asyncio.get_running_loop()
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0
        self._head_lines = 0
        self._tail = b""
        self._head = b""
        self._body: LengthBody | ChunkedBody | None = None
        self._held: list[bytes] = []
        """A request with a body, from the end of its head on."""
        self._waiting_requests = 0
        self._busy = False
        self._refused = False
        self._discarding = False
        self._lost = False
        self._paused = False
        self._drain_waiter: asyncio.Future[None] | None = None

    # --- asyncio's call-backs --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport = transport
        peer = transport.get_extra_info("peername")
        admission = self._gate.enter(self, str(peer[0]) if isinstance(peer, tuple) else "?")
        if admission is Admission.DROPPED:
            self._counts["dropped"] += 1
            transport.abort()
            return
        # With a mark of 0 `pause_writing` comes whenever the kernel doesn't take all: the stall timer sees it.
        transport.set_write_buffer_limits(high=0)
        limit_kernel_buffer(transport.get_extra_info("socket"), self._limits.send_buffer_bytes)
        self._set_timer(self._limits.header_timeout_s, self._head_late)
        self._refused = admission is Admission.REFUSED
        if not self._refused:
            self._inner = self._make_inner()
            self._everybody[self._inner] = self
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        while data and not self._discarding and not self._lost:
            if self._body is not None:
                data = self._take_body(self._body, data)
                continue
            if not self._in_head:
                self._in_head = True
                self._head_bytes = self._head_lines = 0
                self._tail = self._head = b""
                self._set_timer(self._limits.header_timeout_s, self._head_late)
            window = self._tail + data
            match = HEAD_END.search(window)
            end = len(data) if match is None else match.end() - len(self._tail)
            piece, data = data[:end], data[end:]
            self._tail = window[-2:]
            self._head_bytes += len(piece)
            self._head_lines += piece.count(b"\n")
            if self._head_bytes > self._limits.max_header_bytes or self._head_lines > self._limits.max_header_lines:
                self._counts["http_431"] += 1
                self._answer(
                    431,
                    f"the request's head is over {self._limits.max_header_bytes} bytes"
                    f" or {self._limits.max_header_lines} lines",
                )
                return
            self._head += piece
            if match is not None:
                self._head_over(piece)
            elif self._inner is not None:
                self._inner.data_received(piece)

    def _head_over(self, piece: bytes) -> None:
        """`piece` is the head's end."""
        if self._refused:
            self._in_head = False
            self._request_over()
            return
        try:
            self._body = body_of(self._head, self._limits.max_body_bytes)
        except RefusedBodyError as error:
            self._refuse_body(error)
            return
        self._held.append(piece)
        if self._body is None:
            self._request_over()

    def _take_body(self, body: LengthBody | ChunkedBody, data: bytes) -> bytes:
        """Hold what is the body's, and give what follows it."""
        try:
            taken = body.feed(data)
        except RefusedBodyError as error:
            self._refuse_body(error)
            return b""
        self._held.append(data[:taken])
        if body.over:
            self._body = None
            self._request_over()
        return data[taken:]

    def _refuse_body(self, error: RefusedBodyError) -> None:
        self._counts[f"http_{error.status}"] += 1
        code = NotAllowedError(error.words).code
        self._answer(error.status, error.words, code=int(code), name=code.word)

    def _request_over(self) -> None:
        """The request is there as a whole."""
        held, self._held = b"".join(self._held), []
        self._judge_request()
        if self._inner is not None and not self._discarding:
            self._inner.data_received(held)

    def _judge_request(self) -> None:
        # The timer goes on until a handler has the request: there are heads that aiohttp takes and never hands over.
        self._in_head = False
        if self._busy:
            self._stop_timer()
        self._gate.settle(self)
        if self._refused:
            self._counts["http_503"] += 1
            self._answer(
                503,
                f"too many connections: the limit is {self._limits.max_connections_per_address} from one address"
                f" and {self._limits.max_connections} in all",
            )
            return
        self._waiting_requests += 1
        if self._waiting_requests > PIPELINED_REQUESTS:
            self._counts["pipelined"] += 1
            self.abort()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None and not self._discarding else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._gate.leave(self)
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)
        if self._inner is not None:
            self._everybody.pop(self._inner, None)
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._paused = True
        assert self._transport is not None
        self._stall = self._loop.call_later(
            self._limits.stall_timeout_s, self._check_progress, self._transport.get_write_buffer_size()
        )
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)
        if self._inner is not None:
            self._inner.resume_writing()

    # --- for the door ----------------------------------------------------------------------------------------

    def request_begins(self) -> None:
        """A handler has this connection's next request in hand."""
        self._waiting_requests = max(0, self._waiting_requests - 1)
        self._busy = True
        if not self._in_head:
            self._stop_timer()

    def request_ends(self) -> None:
        """The handler is done."""
        self._busy = False

    async def drained(self) -> None:
        """Wait until the kernel has all that was written.

        Raises:
            ConnectionResetError: the client is gone.
        """
        while self._paused and not self._lost:
            self._drain_waiter = self._loop.create_future()
            await self._drain_waiter
        if self._lost:
            raise ConnectionResetError("the client is gone")

    def evict(self) -> None:
        """Cut at once, for the gate."""
        self._counts["evicted"] += 1
        self.abort()

    def abort(self) -> None:
        """Cut at once."""
        self._discarding = True
        if self._transport is not None:
            self._transport.abort()

    # --- limits ----------------------------------------------------------------------------------------------

    def _set_timer(self, delay_s: float, action: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(delay_s, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_late(self) -> None:
        self._counts["http_408"] += 1
        self._answer(408, f"no complete request within {self._limits.header_timeout_s:g} s")

    def _check_progress(self, before: int) -> None:
        assert self._transport is not None
        now = self._transport.get_write_buffer_size()
        if now >= before:
            self._counts["stalled"] += 1
            self._transport.abort()
        else:
            self._stall = self._loop.call_later(self._limits.stall_timeout_s, self._check_progress, now)

    def _answer(self, status: int, words: str, **more: int | str) -> None:
        """Answer in aiohttp's place and close; the socket is read on for a moment, so that the answer arrives."""
        assert self._transport is not None
        if self._waiting_requests or self._busy:  # an earlier response may be half written
            self.abort()
            return
        self._discarding = True
        self._held = []
        body = json.dumps({"error": {**more, "message": words}}).encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nServer: texbridge\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._set_timer(LINGER_S, self._transport.abort)
        else:
            self._transport.close()
