"""The loop of a render: sets of frames come in order, each is written in a thread and then told to the manifest.

However it ends, whatever has its own name is whole, and the manifest says so: after an error, Ctrl+C or a kill the same
command with `--resume` goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
from PIL import Image

from bridge.errors import BackendError, ErrorCode
from bridge.render.job import Job
from bridge.render.manifest import FrameRecord
from bridge.render.manifest_keeper import ManifestKeeper
from bridge.render.progress import Progress
from bridge.render.sheet import sheet_frames, thumbnail, write_sheet
from bridge.render.video import VideoFile
from bridge.render.writers import Pixels, exact_bytes, in_8_bits, read_back
from bridge.types import OutputKind

WRITERS: Final = max(2, min(4, os.cpu_count() or 2))
"""Frames that are written at the same time."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrameSet:
    """One frame of the shot as it came: pixels by the output's index, and the facts of the pictures that went in."""

    frame: int
    pixels: dict[int, Pixels]
    plates: dict[str, dict[str, Any]]


@dataclass(slots=True)
class Summary:
    """How a render went. `only_8_bits`: a file had room for more, and no frame had more."""

    state: str = "failed"
    frames: int = 0
    there: int = 0
    rendered: int = 0
    seconds: float = 0.0
    only_8_bits: bool = False
    size: list[int] | None = None
    sheet: Path | None = None


class Rendering:
    """One run of a job. `summary` may be read at any time, above all after an error."""

    def __init__(self, job: Job, progress: Progress, *, timeout_s: float) -> None:
        self.job = job
        self.progress = progress
        self.summary = Summary(frames=len(job.order.own_frames), there=len(job.order.own_frames) - len(job.todo))
        self._timeout_s = timeout_s
        self._keeper = ManifestKeeper(job.manifest)
        self._writing: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(WRITERS)
        self._had_more = False
        self._told_of_alpha = False
        self._shown: dict[int, Image.Image] = {}
        order = job.order
        self._on_sheet = frozenset(sheet_frames(order.own_frames) if order.sheet is not None else ())
        self._videos: list[tuple[int, VideoFile]] = []

    async def run(self, sets: Callable[[], AsyncIterator[FrameSet]]) -> Summary:
        """Make what is left; `sets` asks for the frames of `job.todo`, in order.

        Raises:
            BackendError: a frame failed, or none came for too long. OSError: a file can't be written. ConfigError: the
                frames can't be what was asked for.
        """
        began = time.perf_counter()
        stack = contextlib.ExitStack()
        state = "failed"
        try:
            for video in self.job.open_videos:
                self._videos.append((video.index, stack.enter_context(VideoFile(video.path, video.form))))
            if self.job.todo or self._videos or self._on_sheet:
                await self._all(sets)
            await self._written()
            await _finished(asyncio.to_thread(stack.close))
            for video in self.job.open_videos:
                self.job.video_done(video)
            self.job.record_videos()
            await self._save_sheet()
            state = "done"
        except asyncio.CancelledError:
            state = "stopped"
            raise
        finally:
            stack.__exit__(*sys.exc_info())
            await asyncio.gather(*self._writing, return_exceptions=True)
            self.summary.seconds = time.perf_counter() - began
            self.summary.state = state
            self.summary.only_8_bits = self.job.wants_more and not self._had_more and self.summary.rendered > 0
            await self._keeper.close(state)
        return self.summary

    async def _all(self, sets: Callable[[], AsyncIterator[FrameSet]]) -> None:
        todo = frozenset(self.job.todo)
        wanted = sets() if todo else None
        try:
            for frame in self.job.order.own_frames:
                if frame in todo:
                    assert wanted is not None
                    await self._take(await self._next(wanted, frame))
                elif self._videos or frame in self._on_sheet:
                    await self._from_disk(frame)
        finally:
            if wanted is not None and hasattr(wanted, "aclose"):
                await wanted.aclose()

    async def _next(self, sets: AsyncIterator[FrameSet], frame: int) -> FrameSet:
        try:
            async with asyncio.timeout(self._timeout_s):
                came = await anext(sets)
        except TimeoutError:
            raise BackendError(
                f"frame {frame}: no picture within {self._timeout_s:g} s; give it longer with --timeout",
                code=ErrorCode.BACKEND_UNAVAILABLE,
            ) from None
        except StopAsyncIteration:
            raise BackendError(f"frame {frame} never came", code=ErrorCode.NO_IMAGE) from None
        if came.frame != frame:
            raise BackendError(f"frame {came.frame} came where {frame} was next", code=ErrorCode.NO_IMAGE)
        return came

    async def _take(self, came: FrameSet) -> None:
        self._raise_what_failed()
        await self._free.acquire()
        task = asyncio.create_task(self._write(came))
        self._writing.add(task)
        task.add_done_callback(self._writing_ended)
        for index, video in self._videos:
            await _finished(asyncio.to_thread(video.add, in_8_bits(came.pixels[index][..., :3])))

    def _writing_ended(self, task: asyncio.Task[None]) -> None:
        self._free.release()
        if not task.cancelled() and task.exception() is None:
            self._writing.discard(task)

    def _raise_what_failed(self) -> None:
        if self._keeper.error is not None:
            raise self._keeper.error
        for task in self._writing:
            if task.done():
                task.result()

    async def _written(self) -> None:
        while self._writing:
            self._raise_what_failed()
            await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)

    async def _write(self, came: FrameSet) -> None:
        began = time.perf_counter()
        record, had_more, alpha, shown = await asyncio.to_thread(self._write_files, came)
        self._had_more |= had_more
        if shown is not None:
            self._shown[came.frame] = shown
        if alpha and not self._told_of_alpha:
            self._told_of_alpha = True
            self.progress.say(f"frame {came.frame} has transparency, which is left out; --alpha keeps it")
        self.job.manifest.done[came.frame] = record
        self._keeper.changed()
        self.summary.rendered += 1
        self.summary.size = record.size
        self.progress.frame(
            came.frame,
            files=[str(self.job.manifest.path_of(name)) for name in record.files],
            seed=record.seed,
            write_ms=round((time.perf_counter() - began) * 1000),
        )

    def _write_files(self, came: FrameSet) -> tuple[FrameRecord, bool, bool, Image.Image | None]:
        """Write all files of a frame, in a thread: its record, whether it had more than 8 bits, transparency that is
        left out, and how it stands in the sheet."""
        job = self.job
        bits: dict[int, int] = {}
        pixels: dict[int, Pixels] = {}
        for index, given in came.pixels.items():
            exact = exact_bytes(given)
            bits[index] = 16 if exact is None else 8
            pixels[index] = given if exact is None else exact
        alpha = False
        files = {}
        for output in job.files:
            shown = pixels[output.index]
            path = output.pattern.path(came.frame)
            files[job.manifest.name_of(path)] = output.form.write(path, shown)
            if not output.form.alpha and output.form.kind is OutputKind.COLOR and not self._told_of_alpha:
                alpha |= bool((shown[..., 3] < (255 if shown.dtype == np.uint8 else 1)).any())
        first = pixels[self._first_index]
        height, width = first.shape[:2]
        record = FrameRecord(
            job.shot.frame_seed(came.frame),
            job.shot.values(came.frame),
            [width, height],
            files,
            came.plates,
            {output.output: bits[output.index] for output in job.files} if job.wants_more else {},
        )
        on_sheet = thumbnail(in_8_bits(first[..., :3])) if came.frame in self._on_sheet else None
        return record, 16 in bits.values(), alpha, on_sheet

    @property
    def _first_index(self) -> int:
        return self.job.files[0].index if self.job.files else self.job.videos[0].index

    async def _from_disk(self, frame: int) -> None:
        """A frame that is there already: into the videos that are made, and onto the sheet."""
        cache: dict[Path, Any] = {}
        open_videos = {video.path: video for video in self.job.open_videos}
        for (_, file), video in zip(self._videos, open_videos.values(), strict=True):
            assert video.source is not None
            path = video.source.pattern.path(frame)
            if path not in cache:
                cache[path] = await asyncio.to_thread(read_back, path)
            await _finished(asyncio.to_thread(file.add, cache[path]))
        if frame in self._on_sheet and self.job.files:
            path = self.job.files[0].pattern.path(frame)
            self._shown[frame] = thumbnail(cache[path] if path in cache else await asyncio.to_thread(read_back, path))

    async def _save_sheet(self) -> None:
        sheet = self.job.order.sheet
        if sheet is not None:
            await asyncio.to_thread(write_sheet, sheet, self._shown)
            self.summary.sheet = sheet


async def _finished(work: Awaitable[T]) -> T:
    """Wait for what runs in a thread, also if we are cancelled meanwhile: it must not go on beside what comes next."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
