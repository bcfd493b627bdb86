"""What WebSocket and TCP share: hello first, messages in, answers out, errors, and the end of a connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from bridge.codec.messages import (
    BridgeMessage,
    EngineMessage,
    Hello,
    Welcome,
    decode_message,
    encode_message,
    error_message,
)
from bridge.codec.parts import PartAssembler
from bridge.errors import (
    BridgeError,
    DecodeError,
    ErrorCode,
    MessageDecodeError,
    NotAllowedError,
    TexbridgeError,
)
from bridge.links.gate import Admission, Gate, TokenDelays
from bridge.links.listener import limit_kernel_buffer, socket_address
from bridge.links.writing import LinkLimits, LinkWriter, OutgoingFrame, Phase

logger = logging.getLogger("bridge.links")

__all__ = ["Connection", "Hub", "LinkLimits", "LinkShared", "OutgoingFrame", "Phase", "refusal_words"]


class Hub(Protocol):
    """The bridge as an engine connection sees it. Every method is called on the event loop and returns at once."""

    def hello(self, connection: Connection, message: Hello) -> Welcome:
        """Greet a newcomer. What is sent to `connection` meanwhile follows the welcome.

        Raises:
            TexbridgeError: no entry: wrong token (401), version (402), draining (601) ...; the connection sends it
                as a fatal error and closes.
        """
        ...

    def message(self, connection: Connection, message: EngineMessage) -> None:
        """Take a message of a greeted connection. A TexbridgeError raised here is answered with the message's id."""
        ...

    def gone(self, connection: Connection) -> None:
        """A greeted connection has ended, for whatever reason. Called once."""
        ...

    def next_frame(self, connection: Connection) -> OutgoingFrame | None:
        """Give the frame to write now, or None. Asked again after each write and each `wake`."""
        ...


@dataclass(slots=True)
class LinkShared:
    """What all connections of a door share. `counts` are totals by reason, for the metrics."""

    hub: Hub
    limits: LinkLimits
    gate: Gate
    delays: TokenDelays
    counts: Counter[str] = field(default_factory=Counter)


def refusal_words(limits: LinkLimits) -> str:
    """Give what a newcomer over a cap is told."""
    return (
        f"too many connections: the limit is {limits.max_connections_per_address} from one address"
        f" and {limits.max_connections} in all"
    )


class Connection(LinkWriter):
    """One engine on one socket. The hub uses what has no underscore; the doors fill in the rest.

    Attributes:
        state: the hub's own, whatever it likes to keep with a connection. See `LinkWriter` for the others.
    """

    def __init__(self, shared: LinkShared) -> None:
        super().__init__(shared.limits, shared.counts)
        self.state: object = None
        self._shared = shared
        self._hub = shared.hub
        self._host = "?"
        self._greeted = False
        self._parts = PartAssembler(shared.limits.max_message_bytes)
        self._timer: asyncio.TimerHandle | None = None
        self._socket_closed = asyncio.Event()

    # --- for the hub -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True from the hello until the close begins."""
        return self._phase is Phase.OPEN

    def send(self, message: BridgeMessage, *, after_frames: bool = False) -> None:
        """Queue a control message; it goes before any frame that is not being written yet.

        With `after_frames` it goes once the frames that `next_frame` can give now have gone: the order
        "`accepted`, then the frames already released, then `finished`". Frames without credit are not waited for.
        A peer that lets too much pile up is cut with `too_slow` (603). After `close` messages are dropped.
        """
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            return
        data = encode_message(message)
        if self._has_room(data):
            self._push(data, after_frames=after_frames)
            return
        waiting = self._waiting
        self._counts["too_slow"] += 1
        self._forget_queues()
        self.close(
            BridgeError(
                f"{waiting} messages wait for this connection, which doesn't read; the limit is"
                f" {self._limits.queue_messages} messages or {self._limits.queue_bytes} bytes",
                code=ErrorCode.TOO_SLOW,
                limit=self._limits.queue_messages,
            )
        )

    def wake(self) -> None:
        """Say that `next_frame` may have a frame for this connection."""
        self._woken.set()

    def close(self, error: TexbridgeError | None = None) -> None:
        """End the connection: what is queued, then `error` as a fatal one, then the close (WebSocket: 4000 + code).

        Returns at once; `Hub.gone` follows when the socket is closed. From now on nothing is read from the peer
        and no frame is asked for. A peer that doesn't take the last words within `close_timeout_s` is cut.
        """
        self._close(error, getattr(error, "id", None))

    def _close(self, error: TexbridgeError | None, id: int | None) -> None:
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            return
        self._phase = Phase.CLOSING
        self._close_error = error
        self._queue.extend(self._after)
        self._after.clear()
        if error is not None:
            self._counts[f"closed_{error.code.word}"] += 1
            logger.debug("closing %s %s: %s", self.kind, self.address, error.message)
            self._push(encode_message(error_message(error, id, fatal=True)))
        self._set_timer(self._limits.close_timeout_s, self._abort)
        self._woken.set()
        self._reading_changed()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed and the writer is done."""
        await self._socket_closed.wait()
        if self._writer is not None:
            await asyncio.wait([self._writer])

    # --- for the doors: begin and end ------------------------------------------------------------------------

    def _attach(self, transport: asyncio.Transport) -> Admission:
        """The socket is there: ask the gate, set the buffers."""
        peer = transport.get_extra_info("peername")
        self._transport = transport
        self._host = str(peer[0]) if isinstance(peer, tuple) else "?"
        self.address = socket_address(peer)
        # Nothing is buffered above the kernel but the rest of one write: see the module's docstring.
        transport.set_write_buffer_limits(high=0)
        limit_kernel_buffer(transport.get_extra_info("socket"), self._limits.send_buffer_bytes)
        admission = self._shared.gate.enter(self, self._host)
        if admission is not Admission.ADMITTED:
            self._counts[admission.value] += 1
        return admission

    def _start(self) -> None:
        """Messages can be written: start the writer, and the clock for hello."""
        self._set_timer(self._limits.hello_timeout_s, self._hello_missing)
        self._writer = self._loop.create_task(self._write_all(), name=f"texbridge link {self.address}")

    def _ended(self) -> None:
        """The socket is closed. Safe to call twice."""
        if self._phase is Phase.CLOSED:
            return
        self._phase = Phase.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        self._forget_queues()
        self._shared.gate.leave(self)
        self._release_drain()
        self._woken.set()
        self._socket_closed.set()
        self._reading_changed()
        if self._greeted:
            self._greeted = False
            self._hub.gone(self)

    def _leave(self) -> None:
        """The peer ends the link by its own close: nothing more can be said."""
        if self._phase not in (Phase.CLOSING, Phase.CLOSED):
            self._forget_queues()
            self.close()

    def evict(self) -> None:
        """Cut at once, for the gate."""
        self._counts["evicted"] += 1
        self._abort()

    def _set_timer(self, delay_s: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, action)

    def _hello_missing(self) -> None:
        if self._phase is Phase.OPENING:
            self.close(
                NotAllowedError(f"no hello within {self._limits.hello_timeout_s:g} s", code=ErrorCode.HELLO_EXPECTED)
            )

    # --- for the doors: what comes in ------------------------------------------------------------------------

    @property
    def _may_read(self) -> bool:
        """False while more from this peer must wait: a delayed hello, or too many answers that it doesn't take."""
        if self._phase is Phase.DELAYED:
            return False
        return self._phase is not Phase.OPEN or not self._is_half_full()

    def _next_frame(self) -> OutgoingFrame | None:
        return self._hub.next_frame(self)

    def _receive(self, message: bytes | bytearray | memoryview) -> None:
        """Take one whole message off the wire: a part, or a msgpack map."""
        if self._phase not in (Phase.OPENING, Phase.OPEN):
            return
        try:
            whole = self._parts.feed(message) if message[:4] == b"TXBP" else message
        except DecodeError as error:
            self.close(error)
            return
        if whole is None:
            return
        try:
            if whole[:2] == b"TX":
                raise MessageDecodeError(
                    "a frame or doorbell came from an engine; they go from the bridge to the engine only",
                    code=ErrorCode.BAD_FRAME,
                )
            record = decode_message(whole)
        except DecodeError as error:
            self._counts["malformed"] += 1
            op = getattr(error, "op", None)
            if self._phase is Phase.OPENING and op is not None and op != Hello.__struct_config__.tag:
                self._say_hello_expected(getattr(error, "id", None))
            elif self._phase is Phase.OPENING or error.code is ErrorCode.NOT_MSGPACK:
                self.close(error)
            else:
                self.send(error_message(error, getattr(error, "id", None)))
            return
        if self._phase is Phase.OPENING:
            self._open(record)
        elif isinstance(record, Hello):
            self.send(
                error_message(
                    NotAllowedError("hello was said already on this connection", code=ErrorCode.HELLO_REPEATED),
                    record.id,
                )
            )
        else:
            self._hand_over(record)

    def _say_hello_expected(self, id: int | None) -> None:
        self._close(NotAllowedError("the first message must be hello", code=ErrorCode.HELLO_EXPECTED, field="op"), id)

    def _open(self, record: EngineMessage) -> None:
        if not isinstance(record, Hello):
            self._say_hello_expected(record.id)
            return
        delay_s = self._shared.delays.delay_s(self._host, time.perf_counter())
        if delay_s > 0:
            self._counts["hello_delayed"] += 1
            self._phase = Phase.DELAYED
            self._set_timer(delay_s, lambda: self._greet(record))
            self._reading_changed()
        else:
            self._greet(record)

    def _greet(self, hello: Hello) -> None:
        if self._phase not in (Phase.OPENING, Phase.DELAYED):
            return
        self._phase = Phase.OPENING
        self.max_message_bytes = hello.max_message_bytes
        try:
            welcome = self._hub.hello(self, hello)
        except TexbridgeError as error:
            if error.code is ErrorCode.BAD_TOKEN:
                self._shared.delays.failed(self._host, time.perf_counter())
            self._forget_queues()
            self._close(error, hello.id)
            return
        except Exception:
            logger.exception("hello of %s failed", self.address)
            self._forget_queues()
            self._close(BridgeError("the bridge failed at this hello; its log says why"), hello.id)
            return
        self._greeted = True
        if self._phase is not Phase.OPENING:  # closed by the hub meanwhile
            return
        if welcome.id is None and hello.id is not None:
            welcome = msgspec.structs.replace(welcome, id=hello.id)
        data = encode_message(welcome)
        self._queued_bytes += len(data)
        self._queue.appendleft(data)
        self._phase = Phase.OPEN
        if self._timer is not None:
            self._timer.cancel()
        self._shared.gate.settle(self)
        self._woken.set()
        self._reading_changed()

    def _hand_over(self, record: EngineMessage) -> None:
        try:
            self._hub.message(self, record)
        except TexbridgeError as error:
            self.send(error_message(error, record.id))
        except Exception:
            logger.exception("a message of %s failed", self.address)
            self.send(error_message(BridgeError("the bridge failed at this message; its log says why"), record.id))
