"""Buffers with owners: a pool that lends them, never more bytes than it may, and takes them back for the next frame.

A payload is written once and read by many: each of them retains the lease and releases it when its bytes are sent.
With the last release the buffer is free for the next frame, so a steady stream allocates nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.errors import BridgeError, ErrorCode
from bridge.types import Lease

__all__ = ["BufferPool", "CountedLease", "Lease", "PoolStats", "size_class"]

ALIGNMENT: Final = 64
"""A cache line: more than the 16 bytes that are promised, and what wide vector stores like best."""
SMALLEST_CLASS: Final = 4_096
DEFAULT_MAX_BYTES: Final = 512 << 20
LARGE_BYTES: Final = 16 << 20
"""No buffer up to here is large, however small the pool: a picture of 2048 x 2048 in rgba8."""

_Block = NDArray[np.uint8]


class CountedLease:
    """Bytes with a count of owners; it begins with one. Any thread may retain and release.

    Release only when nothing reads the view any more: a transport that still holds a slice of it would send the next
    frame's bytes. A lease that is forgotten with owners left warns (ResourceWarning) and gives its bytes back.
    """

    __slots__ = ("_give_back", "_lock", "_owners", "_view")

    def __init__(self, view: memoryview, give_back: Callable[[bool], None] | None = None) -> None:
        """`give_back(reusable)` is called once, after the last release, outside any lock of the lease."""
        self._view: memoryview | None = view
        self._owners = 1
        self._lock = threading.Lock()
        self._give_back = give_back

    @property
    def view(self) -> memoryview:
        """The bytes, exactly as many as were asked for.

        Raises:
            RuntimeError: it was released by its last owner.
        """
        view = self._view
        if view is None:
            raise RuntimeError("the lease is over: its last owner released it")
        return view

    @property
    def owners(self) -> int:
        """How many have yet to release."""
        return self._owners

    def retain(self) -> None:
        """One owner more.

        Raises:
            RuntimeError: it was released by its last owner.
        """
        with self._lock:
            if not self._owners:
                raise RuntimeError("the lease is over: it can't be retained again")
            self._owners += 1

    def release(self) -> None:
        """One owner less; after the last one the buffer goes back.

        Raises:
            RuntimeError: nobody owns it: somebody released twice.
        """
        with self._lock:
            if not self._owners:
                raise RuntimeError("the lease is over: it was released once too often")
            self._owners -= 1
            if self._owners:
                return
            self._view = None
            give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(True)

    def __del__(self) -> None:
        if self._owners:
            give_back, self._give_back, self._owners = self._give_back, None, 0
            if give_back is not None:
                give_back(False)  # somebody may still hold a slice: the bytes are free, the buffer isn't used again
                warnings.warn("a lease was forgotten by an owner and never released", ResourceWarning, stacklevel=2)


class PoolStats(NamedTuple):
    """What a pool holds (bytes are those of the size classes) and what it did since it began."""

    lent: int
    lent_bytes: int
    idle_bytes: int
    peak_bytes: int
    reused: int
    allocated: int
    refused: int
    lost: int


def size_class(payload_bytes: int) -> int:
    """The buffer size that serves a payload: 4,096, or the next of 1, 1.25, 1.5, 1.75 times a power of two.

    At most a quarter is wasted, and the usual textures (512 x 512 x 4 ...) fit exactly.
    """
    if payload_bytes <= SMALLEST_CLASS:
        return SMALLEST_CLASS
    quarter = 1 << ((payload_bytes - 1).bit_length() - 3)
    return -(-payload_bytes // quarter) * quarter


class BufferPool:
    """Lends buffers of heap memory; a `Sink`. Any thread may lend and release.

    What is lent and what is kept for the next frame never exceed `max_bytes` together; what is kept alone never
    exceeds `max_idle_bytes` (a quarter of it unless said). Kept buffers of sizes unused for longest go first.

    Large buffers, those over a sixteenth of `max_bytes` and over 16 MiB, have half of it between them, so that a few
    viewers with huge forms leave the other half to everybody's ordinary frames. One alone may be larger than that.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, max_idle_bytes: int | None = None) -> None:
        self.max_bytes = max_bytes
        self.max_idle_bytes = max_bytes // 4 if max_idle_bytes is None else max_idle_bytes
        self.large_from = max(LARGE_BYTES, max_bytes // 16) + 1
        self.max_large_bytes = max_bytes // 2
        # Re-entrant: a forgotten lease may be collected in the middle of any call here.
        self._lock = threading.RLock()
        self._idle: OrderedDict[int, list[_Block]] = OrderedDict()
        self._idle_bytes = 0
        self._lent = 0
        self._lent_bytes = 0
        self._large_bytes = 0
        self._peak_bytes = 0
        self._reused = 0
        self._allocated = 0
        self._refused = 0
        self._lost = 0

    def lend(self, payload_bytes: int) -> CountedLease:
        """A writable buffer of exactly `payload_bytes`, 16-byte aligned, owned once, by the caller. Not zeroed.

        Raises:
            BridgeError: it would exceed `max_bytes`, or the half of it that large buffers have (603, a reader holds
                too much).
            ValueError: `payload_bytes` is negative.
        """
        if payload_bytes < 0:
            raise ValueError(f"a buffer of {payload_bytes} bytes")
        size = size_class(payload_bytes)
        large = size if size >= self.large_from else 0
        with self._lock:
            if large and self._large_bytes and self._large_bytes + large > self.max_large_bytes:
                self._refused += 1
                raise BridgeError(
                    f"large frame buffers take {self._large_bytes} bytes, and {size} more would be over the "
                    f"{self.max_large_bytes} that they may take together; ask for a smaller size or format, or raise "
                    "limits.frame_memory_mb",
                    code=ErrorCode.TOO_SLOW,
                    value=size,
                    limit=self.max_large_bytes,
                )
            if self._lent_bytes + size > self.max_bytes:
                self._refused += 1
                raise BridgeError(
                    f"frame buffers are full: {size} bytes wanted, {self._lent_bytes} of {self.max_bytes} lent in "
                    f"{self._lent} buffers; a viewer doesn't read, or the limit is too low for these pictures",
                    code=ErrorCode.TOO_SLOW,
                    value=size,
                    limit=self.max_bytes,
                )
            self._lent += 1
            self._lent_bytes += size
            self._large_bytes += large
            block = self._take_idle(size)
            self._shrink_idle(self.max_bytes - self._lent_bytes)
            self._peak_bytes = max(self._peak_bytes, self._lent_bytes + self._idle_bytes)
        if block is None:
            try:
                block = np.empty(size + ALIGNMENT, np.uint8)
            except MemoryError as error:
                with self._lock:
                    self._lent -= 1
                    self._lent_bytes -= size
                    self._large_bytes -= large
                    self._refused += 1
                raise BridgeError(f"no memory for a frame buffer of {size} bytes", code=ErrorCode.TOO_SLOW) from error
        start = -_address(block) % ALIGNMENT
        view = block.data[start : start + payload_bytes]
        return CountedLease(view, lambda reusable: self._take_back(size, block, reusable))

    def lends_at_once(self, payload_bytes: int) -> bool:
        """As `packets.PromptSink`: heap memory is there, or refused, at once."""
        return True

    def stats(self) -> PoolStats:
        """Counts and bytes of this moment."""
        with self._lock:
            return PoolStats(
                self._lent,
                self._lent_bytes,
                self._idle_bytes,
                self._peak_bytes,
                self._reused,
                self._allocated,
                self._refused,
                self._lost,
            )

    def clear(self) -> None:
        """Let go of every kept buffer; what is lent stays lent."""
        with self._lock:
            self._shrink_idle(0)

    def _take_idle(self, size: int) -> _Block | None:
        blocks = self._idle.get(size)
        if not blocks:
            self._allocated += 1
            return None
        block = blocks.pop()
        self._idle_bytes -= size
        if not blocks:
            del self._idle[size]
        self._reused += 1
        return block

    def _shrink_idle(self, limit: int) -> None:
        while self._idle_bytes > limit:
            size, blocks = next(iter(self._idle.items()))
            blocks.pop()
            self._idle_bytes -= size
            if not blocks:
                del self._idle[size]

    def _take_back(self, size: int, block: _Block, reusable: bool) -> None:
        with self._lock:
            self._lent -= 1
            self._lent_bytes -= size
            if size >= self.large_from:
                self._large_bytes -= size
            if not reusable:
                self._lost += 1
                return
            self._idle.setdefault(size, []).append(block)
            self._idle.move_to_end(size)
            self._idle_bytes += size
            self._shrink_idle(self.max_idle_bytes)


def _address(block: _Block) -> int:
    interface: dict[str, Any] = block.__array_interface__
    return int(interface["data"][0])
