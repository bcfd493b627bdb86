"""Keeps the last picture of streams on disk, for whoever comes after a restart and before the first new one.

Off unless the configuration says otherwise: pictures may show people, and a disk forgets nothing. Written are sets
that were released, at most every few seconds and at the end, in a thread of their own; nothing is written while panic
or blackout covers a stream, so that what somebody took away doesn't come back. Whatever the disk does, the show goes
on: one warning, a word in /healthz, another try every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

from bridge.app.bridge import Bridge
from bridge.app.config.pictures import PicturesConfig
from bridge.app.pictures.last_frame_files import DamagedFileError, KeptSet, LastFrameFolder, user_cache_folder
from bridge.app.pictures.placeholder import Still
from bridge.codec.pixels import Pixels
from bridge.frames.packets import Undecoded
from bridge.streams.stream import Stream

logger = logging.getLogger("bridge.app")

EVERY_S: Final = 5.0
"""Between two writings of one stream, and between tries."""

END_S: Final = 3.0
"""How long the end waits for the disk."""

READ_S: Final = 2.0
"""How long a newcomer waits for it."""


class LastFrames:
    """The kept pictures of one bridge. `may_write(stream)` says whether what a stream shows may be kept now.

    `forget(still)` is called with a picture that won't be shown any more.
    """

    def __init__(self, bridge: Bridge, may_write: Callable[[Stream], bool], forget: Callable[[Still], None]) -> None:
        self._bridge = bridge
        self._may_write = may_write
        self._forget = forget
        config = bridge.config.pictures
        self._folder = LastFrameFolder(last_frames_folder(config), config.folder_mb << 20)
        self._kept: set[int] = set()
        self._stills: dict[int, tuple[tuple[str, ...], tuple[Still, ...]]] = {}
        """What was read, by stream: kinds of the outputs and their pictures; until the first set of its own."""
        self._loading: dict[int, asyncio.Future[None]] = {}
        self._due: dict[int, float] = {}
        """When what a stream shows is to be written; absent if it is."""
        self._not_before: dict[int, float] = {}
        self._writing: set[int] = set()
        self._troubles: dict[int, str] = {}
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        bridge.add_deadline(self._next_deadline, self._when_due)

    # --- reading -------------------------------------------------------------------------------------------

    def use(self, stream: Stream, keep: bool | None) -> None:
        """Keep a new stream's pictures, or don't; None is what the configuration says. What was kept is read."""
        if self._bridge.config.pictures.keep_last_frame if keep is None else keep:
            number = stream.number
            self._kept.add(number)
            self._loading[number] = asyncio.get_running_loop().create_future()
            self._do(partial(self._folder.read, stream.name, self._bridge.picture_limits), partial(self._read, stream))

    def _read(self, stream: Stream, result: KeptSet | BaseException | None) -> None:
        loading = self._loading.pop(stream.number, None)
        if loading is not None and not loading.done():
            loading.set_result(None)
        if stream.number not in self._kept:
            return
        if isinstance(result, KeptSet) and not stream.last_number:
            self._stills[stream.number] = (result.kinds, tuple(Still(pixels) for pixels in result.pictures))
        elif isinstance(result, BaseException):
            self._failed(stream, f"the last picture of stream {stream.name} can't be read: {_words(result)}")

    def is_loading(self, stream: Stream) -> bool:
        """Whether a picture of this stream may come from the disk in a moment."""
        return stream.number in self._loading

    async def loaded(self, stream: Stream) -> None:
        """Wait for that moment, not longer than two seconds."""
        loading = self._loading.get(stream.number)
        if loading is not None:
            await asyncio.wait((loading,), timeout=READ_S)
            self._loading.pop(stream.number, None)

    def still(self, stream: Stream, output: int) -> Still | None:
        """The picture from before the restart for an output, if the stream has made none since and its kinds fit."""
        known = self._stills.get(stream.number)
        if known is None or known[0] != _kinds(stream):
            return None
        return known[1][output]

    # --- writing -------------------------------------------------------------------------------------------

    def set_released(self, stream: Stream) -> None:
        """A stream shows another picture."""
        if stream.number not in self._kept:
            return
        if self._bridge.shown.get(stream.number) is not None:  # else it is frozen, and shows none of its own yet
            for still in self._stills.pop(stream.number, ((), ()))[1]:
                self._forget(still)
        if stream.number not in self._due:
            self._due[stream.number] = max(self._bridge.clock(), self._not_before.get(stream.number, -inf))
            self._bridge.set_timer()

    def _next_deadline(self) -> float | None:
        if self._closed:
            return None
        return min((at for number, at in self._due.items() if number not in self._writing), default=None)

    def _when_due(self, now: float) -> None:
        if self._closed:
            return
        for number in [number for number, at in self._due.items() if at <= now and number not in self._writing]:
            stream = self._bridge.streams.by_number.get(number)
            if stream is None:
                del self._due[number]
            elif self._may_write(stream):
                self._write(stream)
            else:  # what is covered may be wanted again: it is looked at again
                self._due[number] = now + EVERY_S

    def _write(self, stream: Stream) -> None:
        del self._due[stream.number]
        shown = self._bridge.shown.get(stream.number)
        if shown is None:
            return
        _, sources = shown
        kinds = tuple(source.kind.value for _, source in sorted(sources.items()))
        pictures: list[bytes | Pixels | Undecoded] = []
        for _, source in sorted(sources.items()):
            picture = source.picture
            pictures.append(bytes(picture) if isinstance(picture, bytearray | memoryview) else picture)
        self._writing.add(stream.number)
        self._not_before[stream.number] = self._bridge.clock() + EVERY_S
        self._do(
            partial(self._folder.write, stream.name, stream.workflow.name, kinds, pictures),
            partial(self._written, stream),
        )

    def _written(self, stream: Stream, result: object) -> None:
        number = stream.number
        self._writing.discard(number)
        if number not in self._kept:
            return
        if isinstance(result, BaseException):
            self._failed(
                stream,
                f"the last picture of stream {stream.name} can't be kept in {self._folder.path}: {_words(result)}",
            )
            self._due[number] = self._bridge.clock() + EVERY_S
        else:
            self._mended(number)
        if not self._closed:
            self._bridge.set_timer()

    # --- troubles ------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, for a person; None if nothing is known to be."""
        return next(iter(self._troubles.values()), None)

    def _failed(self, stream: Stream, words: str) -> None:
        if not self._troubles:
            logger.warning("%s; the show goes on without, and it is tried again", words)
        self._troubles[stream.number] = words

    def _mended(self, number: int) -> None:
        if self._troubles.pop(number, None) is not None and not self._troubles:
            logger.info("last pictures are kept again in %s", self._folder.path)

    # --- the thread ----------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], Any], tell: Callable[[Any], None]) -> None:
        """Have `work` done in the thread, one after the other, and its result or error told on the loop."""
        if self._thread is None:
            # A daemon: a disk that never answers is no reason to stay.
            self._thread = threading.Thread(target=self._run, name="texbridge-last-frames", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()

        def job() -> None:
            result: Any
            try:
                result = work()
            except Exception as error:  # noqa: BLE001
                result = error  # told on the loop, and warned of
            try:
                loop.call_soon_threadsafe(tell, result)
            except RuntimeError:
                pass  # the loop has ended: nobody wants to know

        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    # --- the end -------------------------------------------------------------------------------------------

    def forget_stream(self, stream: Stream) -> None:
        """The stream is gone; its last picture stays on disk, for the next of that name."""
        number = stream.number
        if number in self._due and number not in self._writing and self._may_write(stream):
            self._write(stream)
        self._kept.discard(number)
        for still in self._stills.pop(number, ((), ()))[1]:
            self._forget(still)
        self._due.pop(number, None)
        self._not_before.pop(number, None)
        loading = self._loading.pop(number, None)
        if loading is not None and not loading.done():
            loading.set_result(None)
        self._mended(number)

    async def close(self) -> None:
        """Write what is not written, and wait three seconds at most for the disk. May be called again."""
        if self._closed:
            return
        self._closed = True
        for number in list(self._due):
            stream = self._bridge.streams.by_number.get(number)
            if stream is not None and self._may_write(stream):
                self._write(stream)
        thread = self._thread
        if thread is None:
            return
        over = asyncio.Event()
        self._do(lambda: None, lambda _: over.set())
        self._jobs.put(None)
        try:
            async with asyncio.timeout(END_S):
                await over.wait()
            thread.join(END_S)
        except TimeoutError:
            logger.warning("%s does not answer: the last pictures may not be kept", self._folder.path)


def last_frames_folder(config: PicturesConfig) -> Path:
    """Give the folder of last pictures: the configured one, else one in the user's cache folder."""
    return Path(config.folder).expanduser() if config.folder else user_cache_folder() / "last_frames"


def _kinds(stream: Stream) -> tuple[str, ...]:
    return tuple(output.kind.value for output in stream.workflow.outputs)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, DamagedFileError) else f"{type(error).__name__}: {error}"
