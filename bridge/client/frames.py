"""Frames of one subscription: the newest set waits, and its ack goes out when the next one is asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.client.faults import LinkLostError
from bridge.client.shared_memory import MemoryReader
from bridge.codec.frame import FrameHeader
from bridge.codec.messages import Subscribe, Subscribed
from bridge.types import FrameFlags, Origin, PixelFormat

MAX_FRAMES_OF_SET: Final = 256
"""Outputs are numbered by a u8."""

_LAYOUTS: Final[dict[int, tuple[type[np.generic], int]]] = {
    PixelFormat.RGBA8: (np.uint8, 4),
    PixelFormat.BGRA8: (np.uint8, 4),
    PixelFormat.RGB8: (np.uint8, 3),
    PixelFormat.R8: (np.uint8, 1),
    PixelFormat.RGBA16F: (np.float16, 4),
    PixelFormat.RGBA32F: (np.float32, 4),
    PixelFormat.R16: (np.uint16, 1),
    PixelFormat.R16F: (np.float16, 1),
    PixelFormat.R32F: (np.float32, 1),
}
_FREE: Final = int(FrameFlags.HELD | FrameFlags.PREVIEW)
"""Frames with one of these are no new set. A held one that shows a set is acked: the blends of a fade cost credit."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One texture: `header` as on the wire, `data` the payload's bytes, read-only."""

    header: FrameHeader
    data: memoryview

    @property
    def pixels(self) -> NDArray[np.generic]:
        """The pixels as an array [height, width, channel], always three axes, read-only, without a copy.

        Rows are in the order of the payload: the first is the lowest of the picture if `origin` is `bottom_left`.
        uint8, uint16, float16 or float32 by format; mip 0 alone. Raises ValueError for encoded and block formats,
        whose bytes are in `data`.
        """
        layout = _LAYOUTS.get(self.header.format)
        if layout is None:
            raise ValueError(f"format {self.format_name} is not an array of pixels; its bytes are in `data`")
        dtype, channels = layout
        shape = (self.header.height, self.header.width, channels)
        count = shape[0] * shape[1] * channels
        little_endian = np.dtype(dtype).newbyteorder("<")
        return np.frombuffer(self.data, little_endian, count).reshape(shape)

    @property
    def format_name(self) -> str:
        """The pixel format's word, e.g. `rgba8`; its number for one that this version doesn't know."""
        try:
            return PixelFormat(self.header.format).word
        except ValueError:
            return str(self.header.format)

    @property
    def origin(self) -> Origin:
        """Where the first row of the payload is."""
        return Origin.BOTTOM_LEFT if self.header.flags & FrameFlags.BOTTOM_LEFT else Origin.TOP_LEFT

    @property
    def number(self) -> int:
        """The set's number; 0 for a placeholder. A gap tells how many sets this subscriber did not get."""
        return self.header.number

    @property
    def output(self) -> int:
        """Which of the workflow's outputs it is, 0 for the first."""
        return self.header.output

    @property
    def held(self) -> bool:
        """True if this is no new result: a repeat for a newcomer, a placeholder, a panic picture."""
        return bool(self.header.flags & FrameFlags.HELD)

    @property
    def preview(self) -> bool:
        """True for a preview of the set in work: of the sampler, not of the result; it needs no ack."""
        return bool(self.header.flags & FrameFlags.PREVIEW)

    @property
    def last(self) -> bool:
        """True on the frames of the last set of their request."""
        return bool(self.header.flags & FrameFlags.LAST_SET)


class FramesOwner(Protocol):
    """The client, as its subscriptions see it."""

    def send_ack(self, stream: int, number: int) -> None:
        """Tell the bridge; lost without harm if the link is down."""
        ...

    async def unsubscribe(self, frames: Frames) -> None:
        """End a subscription."""
        ...


class Frames:
    """The frames of one stream, newest first: `await frames.next()`, or `async for frame in frames`.

    Only the newest whole set waits here. The set that was handed out is acked when the next one is asked for, so that
    what comes then is the newest that the bridge has. A set of several outputs is several frames, one after the other.

    Attributes:
        stream: the stream as it was asked for.
        subscribed: the bridge's answer: number, format, origin, credit ... that hold.
        missed: whole sets that came, and that a newer one replaced before they were asked for, or in shared memory.
        memory: the file that frames are read from; None while they come over the link.
    """

    def __init__(self, owner: FramesOwner, message: Subscribe) -> None:
        self.message = message
        self.stream = message.stream
        self.subscribed: Subscribed
        self.missed = 0
        self._owner = owner
        self._came = asyncio.Event()
        self._current: deque[Frame] = deque()
        self._waiting: list[Frame] = []
        self._waiting_number = 0  # to ack once it is over with; 0 if it needs none
        self._building: list[Frame] = []
        self._in_hand = 0  # number of the set that was handed out; 0 if it needs no ack
        self._done = 0  # all sets up to this one may be acked
        self._acked = 0
        self._error: Exception | None = None
        self._closed = False
        self.memory: MemoryReader | None = None
        self._torn: FrameHeader | None = None

    @property
    def number(self) -> int:
        """The stream's number."""
        return self.subscribed.number

    @property
    def is_open(self) -> bool:
        """False after `close`, after a newer subscription of the same stream, and when the client is closed."""
        return not self._closed and self._error is None

    async def next(self, timeout_s: float | None = None) -> Frame:
        """Give the next frame.

        Raises:
            TimeoutError: none came within `timeout_s`. LinkLostError: the subscription or the client is closed, or
                the link is lost for good. TexbridgeError: the bridge said why it is over.
        """
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._next()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"no frame of stream {self.stream!r} within {timeout_s} s") from None

    async def _next(self) -> Frame:
        while not self._current:
            self._done = max(self._done, self._in_hand)
            repeats = 0 < self._in_hand <= self._acked
            self._in_hand = 0
            self._send_ack(repeats)
            if self._waiting:
                self._current.extend(self._waiting)
                self._in_hand = self._waiting_number
                self._waiting = []
                break
            if self._error is not None:
                raise self._error.with_traceback(None)  # it may be raised again and again
            if self._closed:
                raise LinkLostError(f"the subscription to stream {self.stream!r} is closed")
            self._came.clear()
            await self._came.wait()
        return self._current.popleft()

    async def next_set(self, timeout_s: float | None = None) -> tuple[Frame, ...]:
        """Give the next whole set: a frame for each output that was subscribed to, in their order.

        Raises as `next`.
        """
        first = await self.next(timeout_s)
        rest = tuple(self._current)
        self._current.clear()
        return (first, *rest)

    def __aiter__(self) -> Frames:
        return self

    async def __anext__(self) -> Frame:
        if self._closed and self._error is None:
            raise StopAsyncIteration
        try:
            return await self.next()
        except LinkLostError:
            if self._closed and self._error is None:
                raise StopAsyncIteration from None
            raise

    async def close(self) -> None:
        """Unsubscribe; iteration ends. Safe to call twice."""
        if self.is_open:
            await self._owner.unsubscribe(self)

    async def __aenter__(self) -> Frames:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _send_ack(self, again: bool) -> None:
        if (self._done > self._acked or again) and self.is_open:
            self._acked = self._done
            self._owner.send_ack(self.number, self._done)

    # --- for the client ------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """A frame came. With the last of its set, the set is the one that waits."""
        if self._torn is not None and _same_set(self._torn, frame.header):
            self.tear(frame.header)  # the rest of a set is no set
            return
        self._torn = None
        building = self._building
        if building and not _same_set(building[0].header, frame.header):
            building.clear()  # it was cut in the middle, and something else was begun
        building.append(frame)
        if not frame.header.flags & FrameFlags.LAST_OF_SET:
            if len(building) > MAX_FRAMES_OF_SET:
                building.clear()
            return
        self._building = []
        waits = bool(self._waiting) and not self._waiting[-1].preview
        if frame.preview and waits:
            return  # a result is never put behind a preview of the next
        if waits and not (frame.held and frame.number == self._waiting[-1].number):  # else: the same set
            self.missed += 1
            self._done = max(self._done, self._waiting_number)
        self._waiting = building
        self._waiting_number = 0 if frame.header.flags & FrameFlags.PREVIEW else frame.number
        self._came.set()

    def tear(self, header: FrameHeader) -> None:
        """A frame was announced, and can't be had any more: its set is dropped, and acked so that others follow."""
        self._torn = header
        self._building = []
        if header.flags & FrameFlags.LAST_OF_SET:
            self._torn = None
            self.missed += 1
            if header.number and not header.flags & FrameFlags.PREVIEW:
                repeats = header.number <= self._acked
                self._done = max(self._done, header.number)
                self._send_ack(repeats)

    def use_memory(self, memory: MemoryReader | None) -> None:
        """Frames are in this file from now on; None: they come over the link."""
        if self.memory is not None:
            self.memory.close()
        self.memory = memory

    def restart(self, subscribed: Subscribed | None = None) -> None:
        """Full credit again: what came before needs no ack. `subscribed` is the answer to a new subscription."""
        if subscribed is not None:
            self.subscribed = subscribed
            self._waiting = []
        self.use_memory(None)  # named anew before it is needed
        self._torn = None
        self._building = []
        self._waiting_number = self._in_hand = self._done = self._acked = 0

    def end(self, error: Exception | None = None) -> None:
        """No more frames come: after `close` iteration ends, with an error it is raised."""
        if self.is_open:
            self._error = error
            self._closed = True
            self.use_memory(None)
            self._came.set()


def _same_set(one: FrameHeader, other: FrameHeader) -> bool:
    return (one.number, one.request, one.index, one.flags & _FREE) == (
        other.number,
        other.request,
        other.index,
        other.flags & _FREE,
    )
