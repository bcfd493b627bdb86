"""From ComfyUI's pictures to the viewers' outboxes: gather a set, decode it, release it, hand it to each viewer.

A *set* is the pictures of all outputs for one index of one attempt. As soon as it is complete its payloads are made,
one for each form that somebody wants; with the first that is ready the set is released (it gets its number), and each
viewer is offered it when its own form is ready. In `latest` and `live` a set that a newer one overtook before its
decoding began is dropped; otherwise sets of a stream are released in the order in which they came.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from bridge.app.pictures.sets import AttemptPictures, InWork, Judge, PictureSet, first_usable
from bridge.app.pictures.shown import ShownSets
from bridge.app.records import ReleasedSet, Request, ViewerSet, release_all
from bridge.app.viewers.viewers import Viewers, Wants
from bridge.backends.records import BackendPicture, BackendProgress
from bridge.codec.picture_header import PictureLimits
from bridge.errors import BackendError, BridgeError, ErrorCode, TexbridgeError
from bridge.frames.decode import DecodeLineFullError, DecodePool
from bridge.frames.packets import Payload, PayloadSource
from bridge.scheduler.events import ResultSettled
from bridge.streams.stream import Stream
from bridge.types import Mode, PayloadSpec, Sink, Size

logger = logging.getLogger("bridge.app.pictures.results")

U32_MAX: Final = 0xFFFF_FFFF
SETS_AHEAD: Final = 4
"""Sets of one stream in the making that all have to be shown: the next one begins when the first is shown, so that a
batch of hundreds fills neither the decoders' line nor the buffers.
"""


class Results:
    """All results on their way. `settle` is told when every picture of an ended attempt is dealt with."""

    def __init__(
        self,
        judge: Judge,
        viewers: Viewers,
        shown: ShownSets,
        pool: DecodePool,
        sink: Sink,
        settle: Callable[[ResultSettled], None],
        released: Callable[[Stream, ReleasedSet, PayloadSource], None],
        clock: Callable[[], float],
        limits: PictureLimits,
        jpeg_quality: int,
        sink_for: Callable[[int, PayloadSpec, Size], Sink] | None = None,
    ) -> None:
        self._judge = judge
        self._viewers = viewers
        self._shown = shown
        self._pool = pool
        self._sink = sink
        self._sink_for = sink_for
        self._settle = settle
        self._released = released
        self._clock = clock
        self._limits = limits
        self._quality = jpeg_quality
        self._attempts: dict[int, AttemptPictures] = {}
        self._newest: dict[int, PictureSet] = {}
        """The set that came last, by stream."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.paused = False
        """True during panic: a set that was released just before goes to nobody any more."""
        self.withholds: Callable[[int, int], bool] = lambda stream, number: False
        """Tells whether set `number` of a stream goes to nobody, though it is released: freeze and blackout."""
        self.frame_arrived: Callable[[PictureSet], None] = lambda made: None
        """Called with a frame of a sequence, whole and held back, to be shown or dropped in its turn."""
        self.frame_over: Callable[[PictureSet], None] = lambda made: None
        """Called with a frame that was released, or will never be."""
        self.counts: Counter[str] = Counter()
        self.waiting_bytes_most = 1 << 30
        """So many bytes of pictures may wait for those of other outputs, all requests together."""
        self._waiting_bytes = 0

    # --- what backends say ---------------------------------------------------------------------------------

    def begin(self, attempt: int, request: Request, client_times: dict[int, int], output_nodes: dict[str, int]) -> None:
        """A prompt goes out: pictures of this attempt may come."""
        kinds = tuple(output.kind for output in request.workflow.spec.outputs)
        is_open = bool(request.workflow.list_outputs)
        self._attempts[attempt] = AttemptPictures(attempt, request, kinds, client_times, output_nodes, is_open)

    def progress(self, record: BackendProgress) -> None:
        """An output node tells its progress once per picture of a batch: so the size of the batch is known."""
        attempt = self._attempts.get(record.attempt)
        if attempt is not None and record.node in attempt.output_nodes and record.maximum >= 1:
            attempt.announce(attempt.output_nodes[record.node], record.value, record.maximum)
            for index, waiting in attempt.sets.items():
                self._tell_last(waiting, index)

    def picture(self, record: BackendPicture) -> None:
        """A picture came: with it a set may be complete."""
        attempt = self._attempts.get(record.attempt)
        if attempt is None or attempt.request.warm_up or not self._judge.wants(record.attempt):
            self.counts["unwanted"] += 1
            if attempt is not None:
                attempt.unwanted += 1
            return
        stream, is_frame = attempt.request.stream, attempt.request.index is not None
        if is_frame and record.index > 0:
            attempt.unwanted += 1  # a frame of a sequence is the first picture of its prompt
            return
        attempt.counts[record.output] += 1
        attempt.request.pictures += 1
        attempt.request.transfer = record.image_format
        made = attempt.sets.get(record.index)
        if made is not None and made.over.is_set():
            return  # dropped: another output of it was no good
        if made is None:
            made = attempt.sets[record.index] = PictureSet(attempt, record.index, posted_at=record.posted_at)
            attempt.open_sets += 1
            earlier = attempt.sets.get(record.index - 1)
            if earlier is not None:
                self._tell_last(earlier, record.index - 1)
        try:
            made.sources[record.output] = PayloadSource(
                record.data,
                self._pool,
                self._sink,
                kind=attempt.outputs[record.output],
                limits=self._limits,
                jpeg_quality=self._quality,
                sink_for=None if self._sink_for is None else partial(self._sink_for, stream.number),
            )
        except TexbridgeError as error:
            attempt.error = attempt.error or error
            self._drop(made)
            return
        made.received_at = record.at
        if self._too_much_waits(made, record):
            return
        if len(made.sources) == len(attempt.outputs):
            if is_frame:
                made.started = made.held_back = True
                made.last_known.set()
                self.frame_arrived(made)
            else:
                self._complete(stream, made)

    def _too_much_waits(self, made: PictureSet, record: BackendPicture) -> bool:
        """Count a picture among those that wait for other outputs; one that there is no room for fails its request."""
        attempt = made.attempt
        made.waiting_bytes += record.data.nbytes
        self._waiting_bytes += record.data.nbytes
        if self._waiting_bytes > self.waiting_bytes_most and len(made.sources) < len(attempt.outputs):
            attempt.error = attempt.error or BridgeError(
                f"{self._waiting_bytes >> 20} MiB of pictures wait for those of other outputs, "
                f"{self.waiting_bytes_most >> 20} may (limits.frame_memory_mb); make smaller batches",
                code=ErrorCode.TOO_SLOW,
                limit=self.waiting_bytes_most,
            )
            self._drop(made)
            return True
        if len(made.sources) == len(attempt.outputs):
            self._waits_no_more(made)
        return False

    def _waits_no_more(self, made: PictureSet) -> None:
        self._waiting_bytes -= made.waiting_bytes
        made.waiting_bytes = 0

    def show(self, made: PictureSet) -> None:
        """It is the turn of a frame that was held back."""
        made.held_back = False
        self._complete(made.attempt.request.stream, made)

    def drop(self, made: PictureSet) -> None:
        """A frame that was held back is not wanted any more."""
        self._drop(made)

    def attempt(self, number: int) -> AttemptPictures | None:
        """What came of an attempt so far; None once it is over or forgotten."""
        return self._attempts.get(number)

    def in_work(self, number: int) -> InWork | None:
        """The set that an attempt is making; None while a whole one of it is on its way, or none is to come."""
        attempt = self._attempts.get(number)
        index = None if attempt is None or attempt.request.warm_up else attempt.index_in_work
        if attempt is None or index is None:
            return None
        request = attempt.request
        return InWork(request, index if request.index is None else request.index, attempt.client_times)

    def ended(self, number: int) -> None:
        """The prompt is over at the backend: no more pictures come."""
        attempt = self._attempts.get(number)
        if attempt is None or attempt.ended:
            return
        attempt.ended = True
        if not attempt.request.warm_up:
            attempt.error = attempt.error or attempt.shortage()
        for waiting in list(attempt.sets.values()):
            waiting.last_known.set()
            if not waiting.started and not waiting.over.is_set():
                self._drop(waiting)
        self._settle_if_done(attempt)

    def forget(self, number: int) -> None:
        """The attempt does not count (refused, lost, withdrawn): what came of it is dropped."""
        attempt = self._attempts.pop(number, None)
        if attempt is not None:
            attempt.ended = True
            for waiting in attempt.sets.values():
                waiting.last_known.set()
                if not waiting.started or waiting.held_back:
                    self._drop(waiting)
            attempt.sets.clear()

    # --- sets ----------------------------------------------------------------------------------------------

    def _tell_last(self, waiting: PictureSet, index: int) -> None:
        """Wake a set that waits to know whether it is the last of its request."""
        attempt = waiting.attempt
        if attempt.ended or index + 1 in attempt.sets or attempt.total is not None:
            waiting.last_known.set()

    def _is_last(self, shown: PictureSet) -> bool:
        attempt = shown.attempt
        if attempt.total is not None:
            return shown.index + 1 >= attempt.total
        return shown.index + 1 not in attempt.sets

    def _complete(self, stream: Stream, made: PictureSet) -> None:
        made.started = True
        self._tell_last(made, made.index)
        before = self._newest.get(stream.number)
        if before is not None and self._is_overtaken(stream, made, before):
            made.overtaken = True
        else:
            self._newest[stream.number] = made
        if before is not None and not before.over.is_set() and not made.overtaken:
            same = before.attempt is made.attempt
            if (
                same
                or self._any_frame(made, before)
                or stream.mode is Mode.ONESHOT
                or (not before.attempt.request.generation and stream.mode is Mode.LIVE)
            ):
                made.before = before
            else:
                before.overtaken = True
        if made.before is None and self._show_at_once(stream, made):
            return
        task = asyncio.get_running_loop().create_task(self._show(stream, made))
        self._tasks.add(task)
        task.add_done_callback(self._shown_or_failed)

    def _shown_or_failed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.counts["failed"] += 1
            logger.error("showing a picture failed", exc_info=task.exception())

    def _is_overtaken(self, stream: Stream, made: PictureSet, before: PictureSet) -> bool:
        """True if the set that came before, from another backend, is the newer one."""
        if stream.mode is Mode.ONESHOT or before.over.is_set() or self._any_frame(made, before):
            return False
        return self._judge.is_older(made.attempt.number, before.attempt.number)

    @staticmethod
    def _any_frame(made: PictureSet, before: PictureSet) -> bool:
        """True if one of them is a frame of a sequence: those overtake nothing, and nothing overtakes them."""
        return made.attempt.request.index is not None or before.attempt.request.index is not None

    def _show_at_once(self, stream: Stream, made: PictureSet) -> bool:
        """Release a set and write it to its viewers here and now; False where anything of that has to be waited for."""
        if made.overtaken or not made.last_known.is_set() or self.withholds(stream.number, stream.number_in_work):
            return False
        ready: dict[Wants, tuple[tuple[int, Payload], ...]] = {}
        try:
            for viewer in self._viewers.takers(stream.number):
                if viewer.wants not in ready:
                    if (payloads := made.at_once(viewer.wants)) is None:
                        return False
                    ready[viewer.wants] = payloads
            if not ready:
                return False
            shared = self._release(stream, made)
            if shared is None:
                made.attempt.overtaken += 1
                self.counts["dropped"] += 1
            else:
                for wants, payloads in ready.items():
                    self._offer(stream, shared, wants, payloads, at_once=True)
            self._end(made)
            return True
        finally:
            for payloads in ready.values():
                release_all(payloads)

    async def _show(self, stream: Stream, made: PictureSet) -> None:
        """Decode a set, release it, and hand it to everybody who wants it."""
        attempt = made.attempt
        making: dict[Wants, asyncio.Task[tuple[tuple[int, Payload], ...] | None]] = {}
        try:
            if (far := made.earlier(SETS_AHEAD)) is not None:
                await far.over.wait()
            withheld = self.withholds(stream.number, stream.number_in_work)
            # Who went longest without a picture first: where a form takes longer than the time between two pictures,
            # the one before it in the line would else be the only one that is ever made.
            viewers = () if withheld else sorted(self._viewers.takers(stream.number), key=lambda one: one.offered)
            for viewer in viewers:
                if viewer.wants not in making:
                    making[viewer.wants] = asyncio.ensure_future(self._payloads(made, viewer.wants))
            usable = await first_usable(making.values()) if making else not made.overtaken
            await made.last_known.wait()
            if made.before is not None:
                await made.before.over.wait()
            shared = self._release(stream, made) if usable else None
            if shared is None:
                attempt.overtaken += 1
                self.counts["dropped"] += 1
                return
            await self._hand_out(stream, made, shared, making)
        except DecodeLineFullError as error:
            self.counts["dropped"] += 1
            if attempt.request.generation:
                attempt.overtaken += 1  # nobody asked for this one: the next will do
            elif attempt.request.index is not None:
                attempt.error = attempt.error or BackendError(error.message, code=error.code, retry=True)
            else:
                attempt.error = attempt.error or error
        except TexbridgeError as error:
            attempt.error = attempt.error or error
        finally:
            for task in making.values():
                await self._give_back(task)
            self._end(made)

    async def _payloads(self, made: PictureSet, wants: Wants) -> tuple[tuple[int, Payload], ...] | None:
        """The payloads of a set in one form, none if it has no such output; None if nobody wants the set any more."""
        outputs, spec = wants
        number = made.attempt.number
        result: list[tuple[int, Payload]] = []
        try:
            for output in outputs:
                source = made.sources.get(output)
                if source is None:
                    continue

                def wanted(source: PayloadSource = source) -> bool:
                    # Once decoded the rest is cheap: else, where pictures come faster than they decode, all but the
                    # first form would be overtaken for ever.
                    return (not made.overtaken or source.decoded) and self._judge.wants(number)

                payload = await source.payload(spec, wanted)
                if payload is None:
                    break
                result.append((output, payload))
            else:
                return tuple(result)
        except BaseException:
            release_all(result)
            raise
        release_all(result)
        return None

    def _release(self, stream: Stream, made: PictureSet) -> ReleasedSet | None:
        attempt = made.attempt
        request = attempt.request
        last = self._is_last(made) if request.index is None else request.is_last
        if attempt.number not in self._attempts or not self._judge.release(attempt.number, last=last):
            return None
        now = self._clock()
        comfy_s = made.received_at - made.posted_at
        shared = ReleasedSet(
            number=stream.release(),
            request=request.number,
            index=made.index if request.index is None else request.index,
            last=last,
            sequence_of=None if request.index is None else request.session,
            client_times=attempt.client_times,
            comfy_us=microseconds(comfy_s),
            bridge_us=microseconds(now - request.accepted_at - comfy_s),
        )
        made.released = True
        request.frames += 1
        request.number_of_last = shared.number
        request.received_at = made.received_at
        request.comfy_s = comfy_s
        self._shown.put(stream.number, shared, made)
        self.counts["released"] += 1
        self._released(stream, shared, made.sources[0])
        return shared

    async def _hand_out(
        self,
        stream: Stream,
        made: PictureSet,
        shared: ReleasedSet,
        making: dict[Wants, asyncio.Task[tuple[tuple[int, Payload], ...] | None]],
    ) -> None:
        """Offer a released set to each viewer as soon as its form is ready, newcomers with another form included."""
        withheld = self.withholds(stream.number, shared.number)
        for viewer in () if withheld else self._viewers.takers(stream.number):
            if viewer.wants not in making:
                making[viewer.wants] = asyncio.ensure_future(self._payloads_of_shown(made, viewer.wants))
        waiting = {task: wants for wants, task in making.items()}
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                wants = waiting.pop(task)
                if task.exception() is None:
                    self._offer(stream, shared, wants, task.result())
                else:
                    self.counts["payload_failed"] += 1
                    logger.debug("stream %s: a payload failed: %s", stream.name, task.exception())
                    for viewer in self._viewers.takers(stream.number):
                        if viewer.wants == wants and not withheld:
                            viewer.missed(task.exception())

    def _offer(
        self,
        stream: Stream,
        shared: ReleasedSet,
        wants: Wants,
        payloads: tuple[tuple[int, Payload], ...] | None,
        at_once: bool = False,
    ) -> None:
        if not payloads or self.paused or self.withholds(stream.number, shared.number):
            return
        for viewer in self._viewers.takers(stream.number):
            if viewer.wants == wants:
                for _, payload in payloads:
                    payload.retain()
                viewer.offer(ViewerSet(shared, payloads), self._clock())
                if at_once:
                    viewer.flush()

    async def _payloads_of_shown(self, made: PictureSet, wants: Wants) -> tuple[tuple[int, Payload], ...] | None:
        try:
            return await self._payloads(made, wants)
        except RuntimeError:  # a newer set has closed the sources
            return None

    @staticmethod
    async def _give_back(task: asyncio.Task[tuple[tuple[int, Payload], ...] | None]) -> None:
        """Release what a making task owns; viewers have retained their own."""
        if not task.done():
            task.cancel()
        try:
            payloads = await task
        except (TexbridgeError, asyncio.CancelledError, RuntimeError):
            return
        release_all(payloads or ())

    def _drop(self, made: PictureSet) -> None:
        if not made.over.is_set():
            made.started = True
            self._end(made)

    def _end(self, made: PictureSet) -> None:
        if made.over.is_set():
            return
        made.over.set()
        made.before = None
        self._waits_no_more(made)
        stream = made.attempt.request.stream.number
        if self._newest.get(stream) is made:
            del self._newest[stream]
        if not self._shown.keeps(made):
            made.close()
        made.attempt.open_sets -= 1
        if made.attempt.request.index is not None:
            self.frame_over(made)
        self._settle_if_done(made.attempt)

    def _settle_if_done(self, attempt: AttemptPictures) -> None:
        if attempt.ended and attempt.open_sets == 0 and self._attempts.pop(attempt.number, None) is not None:
            overtaken = attempt.overtaken > 0 and attempt.request.frames == 0
            attempt.sets.clear()  # each knows its attempt: a circle that would keep every picture, in and out, for long
            self._settle(ResultSettled(attempt.number, attempt.error, overtaken))

    # --- the end -------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Drop everything on its way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._shown.close()


def microseconds(seconds: float) -> int:
    """Seconds as the frame header has them: whole microseconds, from 0 to the most that a u32 holds."""
    return min(U32_MAX, max(0, round(seconds * 1e6)))
