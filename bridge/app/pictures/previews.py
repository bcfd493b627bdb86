"""Sampler previews on their way to the viewers that want them: the newest one only, and never in a result's way.

Pictures are told from outputs by the node that sent them (`backends/attempts`). A preview is decoded only if somebody
wants previews, one at a time, and only while a decoder's thread stays free for a result; it is dropped when anything
waits for its viewer, when a set of its prompt is whole, and when its prompt doesn't count any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from bridge.app.pictures.results import Results, microseconds
from bridge.app.pictures.sets import InWork, Judge
from bridge.app.records import ReleasedSet, Request, ViewerSet
from bridge.app.viewers.viewers import Viewer, Viewers
from bridge.backends.records import BackendPreview
from bridge.codec.picture_header import PictureLimits
from bridge.errors import TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.frames.packets import Payload, PayloadSource
from bridge.streams.stream import Stream
from bridge.types import OutputKind, PayloadSpec, Sink

logger = logging.getLogger("bridge.app.pictures.previews")


class Previews:
    """All previews on their way. What becomes of each is in `counts`: shown, unwanted, dropped, broken."""

    def __init__(
        self,
        results: Results,
        judge: Judge,
        viewers: Viewers,
        pool: DecodePool,
        sink: Sink,
        clock: Callable[[], float],
        limits: PictureLimits,
        jpeg_quality: int,
    ) -> None:
        self._results = results
        self._judge = judge
        self._viewers = viewers
        self._pool = pool
        self._sink = sink
        self._clock = clock
        self._limits = limits
        self._quality = jpeg_quality
        self._newest: dict[int, BackendPreview] = {}
        """By stream: the preview that came last and is not begun."""
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()

    def picture(self, record: BackendPreview) -> None:
        """A preview came."""
        work = self._in_work(record.attempt)
        if work is None or not self._wanting(work.request.stream):
            self.counts["unwanted"] += 1
            return
        if self._newest.pop(work.request.stream.number, None) is not None:
            self.counts["dropped"] += 1
        self._newest[work.request.stream.number] = record
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._show_all())

    def are_wanted(self, stream: Stream) -> bool:
        """Whether some viewer of a stream asked for previews."""
        return any(viewer.previews for viewer in self._viewers.of_stream(stream.number))

    def forget(self, attempt: int) -> None:
        """The prompt is over, or not wanted any more: no preview of it may follow."""
        for stream, record in list(self._newest.items()):
            if record.attempt == attempt:
                del self._newest[stream]
                self.counts["dropped"] += 1
        known = self._results.attempt(attempt)
        if known is not None:
            self.over(known.request)

    def over(self, request: Request) -> None:
        """A request has its answer: none of its previews may follow."""
        for viewer in self._viewers.of_stream(request.stream.number):
            if viewer.previews:
                viewer.drop_preview(request.number)

    def _in_work(self, attempt: int) -> InWork | None:
        """The set that a preview of this attempt is of; None if it is not to be shown."""
        work = self._results.in_work(attempt)
        return work if work is not None and self._judge.wants(attempt) else None

    def _wanting(self, stream: Stream) -> list[tuple[Viewer, int, PayloadSpec]]:
        """Viewers that a preview may be made for now, each with the output that it stands for, and its form."""
        wanting: list[tuple[Viewer, int, PayloadSpec]] = []
        if self._results.paused or self._results.withholds(stream.number, stream.number_in_work):
            return wanting
        outputs = stream.workflow.outputs
        for viewer in self._viewers.of_stream(stream.number):
            if viewer.previews and not viewer.outbox.waits:
                asked, spec = viewer.wants
                for output in asked:
                    if output < len(outputs) and outputs[output].kind is OutputKind.COLOR:
                        wanting.append((viewer, output, spec))
                        break
        return wanting

    async def _show_all(self) -> None:
        try:
            while self._newest:
                stream = next(iter(self._newest))
                record = self._newest.pop(stream)
                try:
                    await self._show(record)
                except TexbridgeError as error:
                    self.counts["broken"] += 1
                    logger.debug("a preview can't be shown: %s", error)
        finally:
            self._task = None

    def _leaves_room(self) -> bool:
        """Whether a decoder's thread stays free for a result."""
        stats = self._pool.stats()
        return not stats.waiting and stats.running <= self._pool.workers - 2

    async def _show(self, record: BackendPreview) -> None:
        work = self._in_work(record.attempt)
        if work is None:
            self.counts["dropped"] += 1
            return
        stream = work.request.stream
        source = PayloadSource(record.data, self._pool, self._sink, limits=self._limits, jpeg_quality=self._quality)
        try:
            for spec in dict.fromkeys(spec for _, _, spec in self._wanting(stream)):
                if not self._leaves_room():
                    break
                payload = await source.payload(spec, lambda: self._in_work(record.attempt) is not None)
                if payload is None:
                    break
                try:
                    self._offer(record, spec, payload)
                finally:
                    payload.release()
        finally:
            source.close()

    def _offer(self, record: BackendPreview, spec: PayloadSpec, payload: Payload) -> None:
        """Give a preview to its viewers, if its set is still in work; `payload` stays the caller's."""
        work = self._in_work(record.attempt)
        if work is None:
            self.counts["dropped"] += 1
            return
        stream, now = work.request.stream, self._clock()
        comfy_s = record.at - record.posted_at
        shared = ReleasedSet(
            number=stream.number_in_work,
            request=work.request.number,
            index=work.index,
            last=False,
            client_times=work.client_times,
            comfy_us=microseconds(comfy_s),
            bridge_us=microseconds(now - work.request.accepted_at - comfy_s),
        )
        for viewer, output, wanted in self._wanting(stream):
            if wanted == spec:
                payload.retain()
                viewer.preview(ViewerSet(shared, ((output, payload),), preview=True))
                self.counts["shown"] += 1

    async def close(self) -> None:
        """Show nothing more."""
        self._newest.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
