"""What goes out on an engine link, in which order and how fast: one writer for each connection.

Control messages go first, then frames, which are asked for one at a time and only when the last one is in the
kernel: so nothing but the hub's own outbox decides which frame is next, and "latest wins" holds until the very moment
of writing.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from bridge.codec.parts import split_message
from bridge.errors import TexbridgeError

logger = logging.getLogger("bridge.links")

JOINED_BYTES: Final = 64 * 1024
"""Up to here, copying into one write is cheaper than a second system call."""

PIECE_BYTES: Final = 4 * 1024 * 1024
"""A frame goes to the transport in pieces: Python 3.11's copies what the kernel doesn't take, and for twenty slow
viewers of one large picture that would be twenty pictures which no limit knows of."""

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
        before: a control message that has to stand right before the frame, if any: what its doorbell points into.
    """

    header: bytes
    payload: memoryview
    done: Callable[[], None]
    before: bytes | None = None


class Phase(Enum):
    """Where a connection stands."""

    OPENING = "opening"
    DELAYED = "delayed"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class LinkWriter(ABC):
    """The outgoing half of a connection.

    Attributes:
        kind: `websocket` or `tcp`.
        address: the peer, `host:port`.
        max_message_bytes: the largest message that the peer takes, None for any; larger ones go in parts.
    """

    kind: ClassVar[str]

    def __init__(self, limits: LinkLimits, counts: Counter[str]) -> None:
        self.address = "?"
        self.max_message_bytes: int | None = None
        self._limits = limits
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.OPENING
        self._transport: asyncio.Transport | None = None
        self._writer: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._queue: deque[bytes] = deque()
        self._after: deque[bytes] = deque()
        self._unsent: list[bytes] = []
        self._queued_bytes = 0
        self._frames_since_after = 0
        self._parts_sent = 0
        self._close_error: TexbridgeError | None = None
        self._paused = False
        self._inside_frame = False
        self._rests = False
        """The writer's task waits for something to do."""
        self._begun: tuple[OutgoingFrame, int] | None = None
        """A frame of which so much was given to the transport, before the task could take it over."""
        self._drain_waiter: asyncio.Future[None] | None = None

    # --- what a kind of link fills in ------------------------------------------------------------------------

    @abstractmethod
    def _next_frame(self) -> OutgoingFrame | None:
        """Give the frame to write now, or None."""

    @abstractmethod
    def _prefix(self, message_bytes: int) -> bytes:
        """Give the bytes that stand before a message of this size on this kind of link."""

    @abstractmethod
    async def _finish(self, error: TexbridgeError | None) -> None:
        """All is written: close the socket so that the peer still gets it."""

    @abstractmethod
    def _reading_changed(self) -> None:
        """There may be room again for answers to what the peer sends."""

    def _can_write(self) -> bool:
        """False once nothing may be written any more."""
        return self._transport is not None and not self._transport.is_closing()

    # --- the queue of control messages -----------------------------------------------------------------------

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._after)

    def _has_room(self, data: bytes) -> bool:
        """Say whether one more message may wait; an empty queue takes any."""
        if not self._waiting:
            return True
        limits = self._limits
        return self._waiting < limits.queue_messages and self._queued_bytes + len(data) <= limits.queue_bytes

    def _is_half_full(self) -> bool:
        limits = self._limits
        return self._waiting > limits.queue_messages // 2 or self._queued_bytes > limits.queue_bytes // 2

    def _push(self, data: bytes, *, after_frames: bool = False) -> None:
        self._queued_bytes += len(data)
        if after_frames:
            if not self._after:
                self._frames_since_after = 0
            self._after.append(data)
        else:
            self._queue.append(data)
        self._woken.set()

    def take_unsent(self) -> list[bytes]:
        """Give, once, the control messages that were not even begun to be written and will not be any more."""
        self._forget_queues()
        unsent, self._unsent = self._unsent, []
        return unsent

    def _forget_queues(self) -> None:
        self._unsent += (*self._queue, *self._after)
        self._clear_queues()

    def _clear_queues(self) -> None:
        self._queue.clear()
        self._after.clear()
        self._queued_bytes = 0

    def _abort(self) -> None:
        """Cut the socket at once, unless it is closed; the end is reported as after any loss."""
        if self._transport is not None and self._phase is not Phase.CLOSED:
            self._transport.abort()

    # --- writing ---------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        try:
            while self._phase is not Phase.CLOSED:
                self._woken.clear()
                if self._begun is not None:
                    await self._end_frame(*self._begun)
                elif self._queue:
                    await self._write_queue()
                elif self._phase is Phase.CLOSING:
                    await self._finish(self._close_error)
                    return
                elif self._phase is not Phase.OPEN or not await self._write_next_frame():
                    self._rests = True
                    await self._woken.wait()
                    self._rests = False
        except OSError:  # ConnectionError, or ENOTCONN from a socket that was reset under us
            self._abort()
        except Exception:
            logger.exception("writing to %s failed", self.address)
            self._abort()
        finally:
            self._rests = False
            if self._begun is not None:
                self._give_back(self._begun[0])

    def write_now(self) -> None:
        """Write the next frame here and now if the writer rests and nothing stands before it; else wake the writer.

        One turn of the event loop less per picture; what the kernel doesn't take at once is the writer's again.
        """
        transport = self._transport
        if (
            not self._rests
            or self._phase is not Phase.OPEN
            or self._begun is not None
            or self._after
            or self._queued_bytes > JOINED_BYTES
            or self.max_message_bytes is not None
            or self._paused
            or transport is None
            or transport.get_write_buffer_size()
        ):
            self._woken.set()
            return
        frame = self._next_frame()
        if frame is None:
            return
        try:
            messages = list(self._queue)
            self._clear_queues()
            if frame.before is not None:
                messages.append(frame.before)
            # In one piece with the frame's header: every write wakes the peer.
            lead = b"".join(piece for data in messages for piece in (self._prefix(len(data)), data))
            done = self._begin_frame(frame, lead)
            self._reading_changed()
        except Exception as error:
            self._give_back(frame)
            if not isinstance(error, OSError):
                logger.exception("writing to %s failed", self.address)
            self._abort()
            return
        if done == frame.payload.nbytes and not transport.get_write_buffer_size():
            self._give_back(frame)
        else:
            self._begun = frame, done
        self._woken.set()  # there may be more

    async def _write_next_frame(self) -> bool:
        """Write one frame, or let the messages go that waited for frames; False if there is neither."""
        frame = None
        if not self._after or self._frames_since_after < FRAMES_BEFORE_AFTER:
            frame = self._next_frame()
        if frame is not None:
            self._frames_since_after += 1
            await self._write_frame(frame)
            return True
        if self._after:
            self._queue.extend(self._after)
            self._after.clear()
            return True
        return bool(self._queue)

    async def _write_queue(self, *, between_parts: bool = False) -> None:
        """Write what is queued, several messages at once. Whole messages may stand between the parts of another one,
        but parts of two never mix.
        """
        limit = self.max_message_bytes
        pieces: list[bytes] = []
        size = 0
        while self._queue and size < JOINED_BYTES:
            in_parts = limit is not None and len(self._queue[0]) > limit
            if in_parts and between_parts:
                break
            message = self._queue.popleft()
            self._queued_bytes -= len(message)
            for piece in self._split(message) if in_parts else (message,):
                pieces += (self._prefix(len(piece)), piece)
            size += len(message)
        if pieces:
            self._write(b"".join(pieces))
            if self._queue or self._is_backed_up():
                await self._drained()
            self._reading_changed()  # at once if the kernel has it: the writer rests again before a picture comes

    async def _write_frame(self, frame: OutgoingFrame) -> None:
        size = len(frame.header) + frame.payload.nbytes
        try:
            if frame.before is not None:
                limit = self.max_message_bytes
                whole = limit is None or len(frame.before) <= limit
                for piece in (frame.before,) if whole else self._split(frame.before):
                    self._write(self._prefix(len(piece)) + piece)
                    await self._drained()
            if self.max_message_bytes is not None and size > self.max_message_bytes:
                for part in self._split(b"".join((frame.header, frame.payload))):
                    self._write(self._prefix(len(part)) + part)
                    await self._drained()
                    if self._queue:
                        await self._write_queue(between_parts=True)
            else:
                await self._drain_frame(frame, self._begin_frame(frame))
        finally:
            self._give_back(frame)

    def _begin_frame(self, frame: OutgoingFrame, lead: bytes = b"") -> int:
        """Give the transport a frame up to its first piece; the result is how much of the payload that is.

        `lead` is what goes before it, whole messages with their prefixes.
        """
        size = len(frame.header) + frame.payload.nbytes
        if size <= JOINED_BYTES:
            self._write(b"".join((lead, self._prefix(size), frame.header, frame.payload)))
            return frame.payload.nbytes
        self._write(lead + self._prefix(size) + frame.header)
        self._inside_frame = True
        self._write(frame.payload[:PIECE_BYTES])
        return min(PIECE_BYTES, frame.payload.nbytes)

    async def _drain_frame(self, frame: OutgoingFrame, done: int) -> None:
        """Wait until the kernel has what was begun, and write the rest."""
        await self._drained()
        for start in range(done, frame.payload.nbytes, PIECE_BYTES):
            self._write(frame.payload[start : start + PIECE_BYTES])
            await self._drained()

    async def _end_frame(self, frame: OutgoingFrame, done: int) -> None:
        try:
            await self._drain_frame(frame, done)
        finally:
            self._give_back(frame)

    def _give_back(self, frame: OutgoingFrame) -> None:
        """The frame is out, or never will be."""
        self._begun = None
        self._inside_frame = False
        frame.done()
        self._frame_over()

    def _frame_over(self) -> None:  # noqa: B027
        """A frame has gone out whole, or never will: whatever waited for that may follow. By default nothing waits."""

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

    def _is_backed_up(self) -> bool:
        """Whether the kernel did not take all that was written."""
        return self._paused or self._transport is None or self._transport.get_write_buffer_size() > 0

    async def _drained(self) -> None:
        """Wait until the kernel has all that was written; the memory behind it is free then.

        Raises:
            ConnectionResetError: the peer is lost, or was cut because it took nothing for `stall_timeout_s`.
        """
        transport = self._transport
        assert transport is not None
        if not self._is_backed_up():
            await asyncio.sleep(0)  # the other connections' turn
        while self._phase is not Phase.CLOSED and self._is_backed_up():
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
            self._counts["stalled"] += 1
            logger.info(
                "cutting %s %s: it took nothing for %g s", self.kind, self.address, self._limits.stall_timeout_s
            )
            self._abort()
        else:  # some progress: ask the waiter to look again, with a new limit
            self._release_drain()
