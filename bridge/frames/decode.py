"""A few threads that decode pictures, so that the event loop and the sockets never wait for one.

Work waits in one bounded line. Just before its turn the pool asks whether it is still wanted, on the event loop: a
picture that a newer one has overtaken is dropped before it costs anything. Slow work (a third of a second of BC7) never
has all threads: what is quick goes past it.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from bridge.codec.pixels import PictureLimits, Pixels
from bridge.errors import BridgeError, ErrorCode
from bridge.frames.decoders import decoders

__all__ = ["DecodeLineFullError", "DecodePool", "DecodeStats", "default_workers"]

T = TypeVar("T")


class DecodeLineFullError(BridgeError):
    """So many pictures that are still wanted wait to be decoded that the oldest of them has to go (603)."""


class DecodeStats(NamedTuple):
    """What a pool does now, and what it did since it began.

    `dropped` were no longer wanted at their turn; `refused` had no place in the line any more.
    """

    running: int
    waiting: int
    done: int
    dropped: int
    refused: int


@dataclass(eq=False, slots=True)
class _Job:
    work: Callable[[], Any]
    wanted: Callable[[], bool] | None
    dispose: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    slow: bool

    def overtaken(self) -> bool:
        return self.future.done() or (self.wanted is not None and not self.wanted())


def default_workers() -> int:
    """2 to 4 by the number of processors."""
    return min(4, max(2, os.cpu_count() or 2))


class DecodePool:
    """Threads that run decoding work for one event loop. All methods belong to that loop's thread.

    Results come in the order in which work ends, not in which it began: who shows them compares numbers.
    """

    def __init__(self, workers: int | None = None, max_waiting: int = 64) -> None:
        """`workers` threads (2 to 4 by processors unless said); at most `max_waiting` wait for one."""
        self.workers = default_workers() if workers is None else workers
        self.max_waiting = max_waiting
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="texbridge-decode")
        self._waiting: deque[_Job] = deque()
        self._idle: asyncio.Event | None = None
        self._closed = False
        self._running = 0
        self._slow_running = 0
        self._done = 0
        self._dropped = 0
        self._refused = 0

    def submit(
        self,
        work: Callable[[], T],
        wanted: Callable[[], bool] | None = None,
        dispose: Callable[[T], None] | None = None,
        slow: bool = False,
    ) -> asyncio.Future[T | None]:
        """A future of what `work()` returns in a thread, or of None if it is no longer wanted at its turn.

        `wanted()` is asked on the event loop, just before work begins. A cancelled future drops work that waits;
        work that already runs ends, and `dispose` gets its result (a lease inside must be released by somebody).
        `slow` work leaves one of the threads to the rest, where there are several.

        A line that is full of wanted work lets the oldest picture in it go, whose future raises DecodeLineFullError
        (603): newer ones are what people wait for. Work that can't say whether it is wanted stays.

        Raises:
            DecodeLineFullError: the line is full of work that stays (603).
            BridgeError: the pool is closed (601).
        """
        if self._closed:
            raise BridgeError("pictures are no longer decoded: the bridge is closing", code=ErrorCode.DRAINING)
        if slow or len(self._waiting) >= self.max_waiting:
            self._drop_overtaken()  # slow work would keep its pictures for long
        if len(self._waiting) >= self.max_waiting:
            self._make_room()
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(work, wanted, dispose, future, slow))
        self._start()
        return future

    async def run(self, work: Callable[[], T], dispose: Callable[[T], None]) -> T | None:
        """The result of `work()`, or None if the pool closed before its turn. Raises as `submit` does.

        Whenever the caller is cancelled, `dispose` gets a result that nobody takes any more.
        """
        future = self.submit(work, dispose=dispose)
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled in the turn in which the result came: the future has it, the caller never will.
            if future.done() and not future.cancelled() and future.exception() is None:
                late = future.result()
                if late is not None:
                    dispose(late)
            raise

    async def decode(
        self,
        data: bytes | bytearray | memoryview,
        limits: PictureLimits | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> Pixels | None:
        """The pixels of an encoded picture, or None if it is no longer wanted at its turn.

        Raises:
            PictureDecodeError: whatever is wrong with the bytes.
            BridgeError: as `submit`.
        """
        return await self.submit(lambda: decoders.decode(data, limits), wanted)

    def stats(self) -> DecodeStats:
        """Counts of this moment."""
        return DecodeStats(self._running, len(self._waiting), self._done, self._dropped, self._refused)

    async def close(self) -> None:
        """Drop what waits (its futures give None), wait for what runs, end the threads. May be called again."""
        self._closed = True
        while self._waiting:
            self._drop(self._waiting.popleft())
        if self._running:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()
        self._executor.shutdown(wait=True)  # every thread is idle: nothing to wait for but their end

    def _start(self) -> None:
        place = 0
        while place < len(self._waiting) and self._running < self.workers:
            job = self._waiting[place]
            if job.slow and self._slow_running >= max(1, self.workers - 1):
                place += 1
                continue
            del self._waiting[place]
            try:
                if job.overtaken():
                    self._drop(job)
                    continue
            except Exception as error:  # noqa: BLE001
                job.future.set_exception(error)  # the caller's own callback failed: the caller hears of it
                continue
            self._running += 1
            self._slow_running += job.slow
            tell = partial(_tell, job.future.get_loop(), self._finish, job)
            self._executor.submit(job.work).add_done_callback(tell)

    def _finish(self, job: _Job, ended: ThreadFuture[Any]) -> None:
        self._running -= 1
        self._slow_running -= job.slow
        self._done += 1
        error = ended.exception()
        if job.future.done():
            if error is None:
                _dispose(job, ended)
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(ended.result())
        self._start()
        if not self._running and self._idle is not None:
            self._idle.set()

    def _drop(self, job: _Job) -> None:
        self._dropped += 1
        if not job.future.done():
            job.future.set_result(None)

    def _make_room(self) -> None:
        """Let the oldest picture of the full line go. Raises DecodeLineFullError if there is none that may."""
        self._refused += 1
        error = DecodeLineFullError(
            f"{len(self._waiting)} pictures wait to be decoded, {self.max_waiting} may; "
            "they arrive faster than this machine decodes them",
            code=ErrorCode.TOO_SLOW,
            value=len(self._waiting),
            limit=self.max_waiting,
        )
        oldest = next((place for place, job in enumerate(self._waiting) if job.wanted is not None), None)
        if oldest is None:
            raise error
        self._waiting[oldest].future.set_exception(error)
        del self._waiting[oldest]

    def _drop_overtaken(self) -> None:
        kept: deque[_Job] = deque()
        for job in self._waiting:
            if job.overtaken():
                self._drop(job)
            else:
                kept.append(job)
        self._waiting = kept


def _tell(
    loop: asyncio.AbstractEventLoop,
    finish: Callable[[_Job, ThreadFuture[Any]], None],
    job: _Job,
    ended: ThreadFuture[Any],
) -> None:
    """Runs in the worker's thread when work has ended."""
    try:
        loop.call_soon_threadsafe(finish, job, ended)
    except RuntimeError:  # the loop was closed without closing the pool: nobody will take the result
        if ended.exception() is None:
            _dispose(job, ended)


def _dispose(job: _Job, ended: ThreadFuture[Any]) -> None:
    if job.dispose is not None:
        job.dispose(ended.result())
