"""What WebSocket and TCP share: hello first, messages in, messages and frames out in order, errors, slow peers.

A connection has one writer. Control messages go first, then frames, which the hub hands over one at a time and
only when the last one is in the kernel: so nothing but the hub's own outbox decides which frame is next, and
"latest wins" holds until the very moment of writing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final, Protocol

import msgspec

from bridge.codec.messages import BridgeMessage, EngineMessage, Error, Hello, Welcome, decode_message, encode_message
from bridge.codec.parts import PartAssembler, split_message
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

logger = logging.getLogger("bridge.links")

JOINED_BYTES: Final = 64 * 1024
"""Up to here, copying into one write is cheaper than a second system call."""

FRAMES_BEFORE_AFTER: Final = 256
"""A message sent `after_frames` waits for at most so many frames, however fast new ones come."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of an engine link; one connection costs at most about `max_message_bytes` in and `queue_bytes` out.

    Attributes:
        max_message_bytes: largest message taken from an engine, whole or put together from parts.
        hello_timeout_s: how long a newcomer may take to say hello.
        max_connections, max_connections_per_address: further ones are refused with words.
        queue_messages, queue_bytes: control messages that may wait for a peer; over it, it is cut (603). From
            half of it on nothing more is read from this peer, so its own questions never cut it.
        stall_timeout_s: a write that makes no progress for so long cuts the peer.
        close_timeout_s: what a close may take, the last messages included.
        send_buffer_bytes: SO_SNDBUF, so that the kernel holds a frame or two and not seconds of them. Under 128 KiB a
            loopback link crawls (one packet fits, and waits for the delayed ack); 1 MiB is as fast as no cap.
    """

    max_message_bytes: int = 16 * 1024 * 1024
    hello_timeout_s: float = 5.0
    max_connections: int = 256
    max_connections_per_address: int = 64
    queue_messages: int = 4096
    queue_bytes: int = 8 * 1024 * 1024
    stall_timeout_s: float = 30.0
    close_timeout_s: float = 2.0
    send_buffer_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OutgoingFrame:
    """One frame for one subscriber.

    Attributes:
        header: the 64 bytes of the frame header, already this subscriber's own.
        payload: the bytes that follow it, lent until `done`.
        done: called exactly once, when the payload's memory is not needed any more or the peer is lost.
    """

    header: bytes
    payload: memoryview
    done: Callable[[], None]


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


class Phase(Enum):
    """Where a connection stands."""

    OPENING = "opening"
    DELAYED = "delayed"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


def refusal_words(limits: LinkLimits) -> str:
    """Give what a newcomer over a cap is told."""
    return (
        f"too many connections: the limit is {limits.max_connections_per_address} from one address"
        f" and {limits.max_connections} in all"
    )


def error_message(error: TexbridgeError, id: int | None = None, *, fatal: bool = False) -> Error:
    """Give an error as the message that tells it. `value` and `limit` go as plain numbers, or as text cut at 200."""
    return Error(
        id=id,
        code=int(error.code),
        name=error.code.word,
        message=error.message[:1000],
        field=error.field,
        value=_plain(error.value),
        limit=_plain(error.limit),
        fatal=fatal,
    )


def _plain(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    return str(value)[:200].encode("utf-8", "replace").decode()


class Connection(ABC):
    """One engine on one socket. The hub uses what has no underscore; the doors fill in the rest.

    Attributes:
        kind: `websocket` or `tcp`.
        address: the peer, `host:port`.
        max_message_bytes: the largest message that the peer takes, None for any; larger ones go in parts.
        state: the hub's own, whatever it likes to keep with a connection.
    """

    kind: ClassVar[str]

    def __init__(self, shared: LinkShared) -> None:
        self.address = "?"
        self.max_message_bytes: int | None = None
        self.state: object = None
        self._shared = shared
        self._limits = shared.limits
        self._hub = shared.hub
        self._loop = asyncio.get_running_loop()
        self._host = "?"
        self._phase = Phase.OPENING
        self._greeted = False
        self._parts = PartAssembler(shared.limits.max_message_bytes)
        self._queue: deque[bytes] = deque()
        self._after: deque[bytes] = deque()
        self._frames_since_after = 0
        self._queued_bytes = 0
        self._parts_sent = 0
        self._woken = asyncio.Event()
        self._close_error: TexbridgeError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None
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
        waiting = len(self._queue) + len(self._after)
        if waiting and (
            waiting >= self._limits.queue_messages or self._queued_bytes + len(data) > self._limits.queue_bytes
        ):
            self._shared.counts["too_slow"] += 1
            self._forget_queues()
            self.close(
                BridgeError(
                    f"{waiting} messages wait for this connection, which doesn't read; the limit is"
                    f" {self._limits.queue_messages} messages or {self._limits.queue_bytes} bytes",
                    code=ErrorCode.TOO_SLOW,
                    limit=self._limits.queue_messages,
                )
            )
            return
        self._queued_bytes += len(data)
        if after_frames:
            if not self._after:
                self._frames_since_after = 0
            self._after.append(data)
        else:
            self._queue.append(data)
        self._woken.set()

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
            self._shared.counts[f"closed_{error.code.word}"] += 1
            logger.debug("closing %s %s: %s", self.kind, self.address, error.message)
            data = encode_message(error_message(error, id, fatal=True))
            self._queued_bytes += len(data)
            self._queue.append(data)
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
            self._shared.counts[admission.value] += 1
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
        self._shared.counts["evicted"] += 1
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _set_timer(self, delay_s: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, action)

    def _forget_queues(self) -> None:
        self._queue.clear()
        self._after.clear()
        self._queued_bytes = 0

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
        return self._phase is not Phase.OPEN or (
            len(self._queue) <= self._limits.queue_messages // 2 and self._queued_bytes <= self._limits.queue_bytes // 2
        )

    @abstractmethod
    def _reading_changed(self) -> None:
        """`_may_read` may have changed."""

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
            self._shared.counts["malformed"] += 1
            if self._phase is Phase.OPENING and error.code is ErrorCode.UNKNOWN_OP:
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
            self._shared.counts["hello_delayed"] += 1
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

    # --- for the doors: what goes out ------------------------------------------------------------------------

    @abstractmethod
    def _prefix(self, message_bytes: int) -> bytes:
        """Give the bytes that stand before a message of this size on this kind of link."""

    def _can_write(self) -> bool:
        """False once nothing may be written any more."""
        return self._transport is not None and not self._transport.is_closing()

    @abstractmethod
    async def _finish(self, error: TexbridgeError | None) -> None:
        """All is written: close the socket so that the peer still gets it."""

    async def _write_all(self) -> None:
        try:
            while self._phase is not Phase.CLOSED:
                self._woken.clear()
                if self._queue:
                    await self._write_queue()
                elif self._phase is Phase.CLOSING:
                    await self._finish(self._close_error)
                    return
                elif self._phase is not Phase.OPEN or not await self._write_next_frame():
                    await self._woken.wait()
        except ConnectionError:
            self._abort()
        except Exception:
            logger.exception("writing to %s failed", self.address)
            self._abort()

    async def _write_next_frame(self) -> bool:
        """Write one frame, or let the messages go that waited for frames; False if there is neither."""
        frame = None
        if not self._after or self._frames_since_after < FRAMES_BEFORE_AFTER:
            frame = self._hub.next_frame(self)
        if frame is not None:
            self._frames_since_after += 1
            await self._write_frame(frame)
            return True
        if self._after:
            self._queue.extend(self._after)
            self._after.clear()
            return True
        return bool(self._queue)

    async def _write_queue(self) -> None:
        pieces: list[bytes] = []
        size = 0
        while self._queue and size < JOINED_BYTES:
            message = self._queue.popleft()
            self._queued_bytes -= len(message)
            if self.max_message_bytes is not None and len(message) > self.max_message_bytes:
                for part in self._split(message):
                    pieces += (self._prefix(len(part)), part)
            else:
                pieces += (self._prefix(len(message)), message)
            size += len(message)
        self._write(b"".join(pieces))
        await self._drained()
        self._reading_changed()

    async def _write_frame(self, frame: OutgoingFrame) -> None:
        size = len(frame.header) + frame.payload.nbytes
        try:
            if self.max_message_bytes is not None and size > self.max_message_bytes:
                for part in self._split(b"".join((frame.header, frame.payload))):
                    self._write(self._prefix(len(part)) + part)
                    await self._drained()
                    if self._queue:  # other messages may stand between parts
                        await self._write_queue()
            elif size <= JOINED_BYTES:
                self._write(b"".join((self._prefix(size), frame.header, frame.payload)))
                await self._drained()
            else:
                self._write(self._prefix(size) + frame.header)
                self._write(frame.payload)
                await self._drained()
        finally:
            frame.done()

    def _split(self, message: bytes) -> Iterator[bytes]:
        assert self.max_message_bytes is not None
        number = self._parts_sent
        self._parts_sent = (number + 1) & 0xFFFFFFFF
        return split_message(message, self.max_message_bytes, number)

    def _write(self, data: bytes | memoryview) -> None:
        if self._transport is None or not self._can_write():
            raise ConnectionResetError(f"{self.address} is gone")
        self._transport.write(data)

    def pause_writing(self) -> None:
        """asyncio: the kernel did not take all."""
        self._paused = True

    def resume_writing(self) -> None:
        """asyncio: the kernel has taken all (the high-water mark is 0)."""
        self._paused = False
        self._release_drain()

    def _release_drain(self) -> None:
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    async def _drained(self) -> None:
        """Wait until the kernel has all that was written; the memory behind it is free then.

        Raises:
            ConnectionResetError: the peer is lost, or was cut because it took nothing for `stall_timeout_s`.
        """
        transport = self._transport
        assert transport is not None
        if not self._paused and not transport.get_write_buffer_size():
            await asyncio.sleep(0)  # the other connections' turn
        while self._phase is not Phase.CLOSED and (self._paused or transport.get_write_buffer_size()):
            self._drain_waiter = self._loop.create_future()
            stall = self._loop.call_later(
                self._limits.stall_timeout_s, self._check_progress, transport.get_write_buffer_size()
            )
            try:
                await self._drain_waiter
            finally:
                stall.cancel()
                self._drain_waiter = None
        if self._phase is Phase.CLOSED:
            raise ConnectionResetError(f"{self.address} is gone")

    def _check_progress(self, before: int) -> None:
        # Proactor transports count a write as waiting until all of it is out: there this limits the whole write.
        assert self._transport is not None
        now = self._transport.get_write_buffer_size()
        if now >= before:
            self._shared.counts["stalled"] += 1
            logger.info(
                "cutting %s %s: it took nothing for %g s", self.kind, self.address, self._limits.stall_timeout_s
            )
            self._abort()
        else:  # some progress: ask the waiter to look again, with a new limit
            self._release_drain()
