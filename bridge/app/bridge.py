"""The one loop: whatever happens becomes an event for the scheduler, whose commands become deeds here.

Everything runs on the event loop's thread and returns at once; what takes time (decoding, sockets, uploads) is
elsewhere and reports back. What clients may ask stands in `actions`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from bridge.app.config.config import Config
from bridge.app.inputs.feedback_pictures import FeedbackPictures, Step
from bridge.app.inputs.uploads import PictureUploads, upload_tag
from bridge.app.pictures.previews import Previews
from bridge.app.pictures.results import Results
from bridge.app.pictures.shown import ShownSets
from bridge.app.pool.drains import Drains
from bridge.app.pool.node_prompts import prompt_for
from bridge.app.pool.troubles import with_memory_words
from bridge.app.progress import RequestProgress
from bridge.app.records import ReleasedSet, Request
from bridge.app.retained import RetainedValues
from bridge.app.sequences import Sequences
from bridge.app.timer import Handle, PreciseTimer
from bridge.app.viewers.shared_forms import SharedForms
from bridge.app.viewers.viewers import Viewers
from bridge.backends.pool import BackendPool
from bridge.backends.records import (
    BackendMute,
    BackendNodes,
    BackendPicture,
    BackendPreview,
    BackendProgress,
    BackendRecord,
    BackendWarning,
)
from bridge.codec.picture_header import PictureLimits, read_picture_header
from bridge.errors import BridgeError, DecodeError, TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.frames.leases import BufferPool
from bridge.frames.packets import PayloadSource
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPrepared,
    AttemptRefused,
    AttemptWithdrawn,
    BackendDoubted,
    BackendDown,
    BackendMuted,
    BackendRemoved,
    BackendUp,
    Command,
    Event,
    Finish,
    Submit,
    Withdraw,
)
from bridge.scheduler.scheduler import Scheduler
from bridge.streams.checks import ValueLimits
from bridge.streams.registry import Streams
from bridge.streams.stream import Stream
from bridge.streams.values import Snapshot
from bridge.types import Outcome, Picture, RawPicture, SeedPolicy, Size
from bridge.workflow.library import Library

logger = logging.getLogger("bridge.app")


class Listener(Protocol):
    """A hub that wants to hear of what happens, to tell its clients."""

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """A request has its terminal answer."""
        ...

    def request_progress(self, request: Request, value: float, maximum: float, node: str, whole: float) -> None:
        """A running request went a step further, at a node and as a `whole`, 0..1; at most every 50 ms."""
        ...

    def set_released(self, stream: Stream, shared: ReleasedSet, size: Size) -> None:
        """A stream shows another picture."""
        ...

    def backends_changed(self) -> None:
        """A backend came or went."""
        ...


class Bridge:
    """The relay without its doors.

    Args:
        config: the checked configuration.
        library: the workflows.
        clock: monotonic seconds; one for everything.
    """

    def __init__(self, config: Config, library: Library, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.config = config
        self.library = library
        self.clock = clock
        self.boot = secrets.token_hex(8)
        self.started_at = clock()
        self.scheduler = Scheduler(backend_lost_after_s=config.scheduler.backend_lost_after_s)
        self.picture_limits = PictureLimits(max_pixels=config.limits.picture_pixels)
        value_limits = ValueLimits(
            max_picture_bytes=config.limits.max_message_bytes,
            max_picture_pixels=config.limits.picture_pixels,
            check_picture=lambda data: read_picture_header(data, self.picture_limits),
        )
        self.streams = Streams(limit=config.limits.streams, value_limits=value_limits)
        self.viewers = Viewers()
        self.requests: dict[int, Request] = {}
        self.retained = RetainedValues(config.limits.request_memory_mb)
        self.backends = BackendPool(self.backend_event, upload_tag(config))
        self.listeners: list[Listener] = []
        self.counts: Counter[str] = Counter()
        self.decoders = DecodePool(max_waiting=256)
        self.pictures = PictureUploads(self.backends, self.decoders, self.picture_limits)
        self.buffers = BufferPool(config.limits.frame_memory_mb << 20)
        self.memory = SharedForms(
            self.buffers,
            config.limits.shared_memory_mb << 20,
            config.limits.session_shared_memory_mb << 20,
            clock,
        )
        self.shown = ShownSets()
        self.results = Results(
            self.scheduler,
            self.viewers,
            self.shown,
            self.decoders,
            self.buffers,
            self.tell,
            self._set_released,
            clock,
            self.picture_limits,
            config.http.jpeg_quality,
            self.memory.sink_for,
        )
        self.results.waiting_bytes_most = config.limits.frame_memory_mb << 20
        making = (self.results, self.scheduler, self.viewers, self.decoders, self.buffers)
        self.previews = Previews(*making, clock, self.picture_limits, config.http.jpeg_quality)
        self.feedback = FeedbackPictures(self.pictures, self.decoders, self.picture_limits, self.shown.newest, clock)
        self.sequences = Sequences(self.tell, self.results, self.viewers, self.retained, clock, value_limits)
        self.sequences.progressed = self._tell_progress
        self.sequences.lossless_bytes = config.limits.lossless_memory_mb << 20
        self.sequences.all_lossless_bytes = config.limits.frame_memory_mb << 19
        self.backends_up: set[str] = set()
        self.backends_mute: set[str] = set()
        """Those whose socket tells nothing of the prompts that they run."""
        self.drains = Drains(self.tell, self._backends_changed)
        self.on_object_info: Callable[[str, bytes], None] | None = None
        """Called when a backend's node types are known; set by who keeps the library current."""
        self.attempt_over: Callable[[], None] | None = None
        """Called when a prompt is over at its backend, however it ended, wanted or not."""
        self.before_bind: Callable[[Stream], None] | None = None
        """Called just before a stream's newest values are taken for a picture: those that move come up to then."""
        self._random = random.SystemRandom()
        self._attempts: dict[int, tuple[Request, str]] = {}
        self._uploads: dict[int, asyncio.Task[dict[str, str]]] = {}
        self._events: deque[Event] = deque()
        self._telling = False
        self.precise_timer: PreciseTimer | None = None
        """Takes the place of the loop's own timers where those are too coarse; set by who starts the bridge."""
        self._timer: Handle | None = None
        self._timer_at: float | None = None
        self.progress = RequestProgress(self._tell_progress, lambda: self.clock())
        self._due: list[tuple[Callable[[], float | None], Callable[[float], None]]] = []
        self.add_deadline(self.sequences.next_deadline, self.sequences.expire)
        self._closed = False

    # --- the loop ------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Give the scheduler an event and carry out what it says. Events told meanwhile come after it."""
        self._events.append(event)
        if self._telling:
            return
        self._telling = True
        try:
            while self._events:
                self._carry_out(self.scheduler.handle(self._events.popleft(), self.clock()))
        finally:
            self._telling = False
        self.set_timer()

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        now = self.clock()
        self._telling = True
        try:
            self._carry_out(self.scheduler.handle_timer(now))
        finally:
            self._telling = False
        for _, when_due in self._due:
            when_due(now)
        if self._events:
            self.tell(self._events.popleft())
        self.set_timer()

    def add_deadline(self, next_deadline: Callable[[], float | None], when_due: Callable[[float], None]) -> None:
        """Have `when_due(now)` called when `next_deadline()` has come; `set_timer` says that it may have changed."""
        self._due.append((next_deadline, when_due))

    def set_timer(self) -> None:
        """Look again at what is due next."""
        deadlines = [self.scheduler.next_deadline(), *(next_deadline() for next_deadline, _ in self._due)]
        at = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if at == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at is not None and not self._closed:
            timers = self.precise_timer or asyncio.get_running_loop()
            self._timer = timers.call_later(max(0.0, at - self.clock()), self._on_timer)

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            try:
                match command:
                    case Submit():
                        self._submit(command)
                    case Withdraw():
                        self._withdraw(command)
                    case Finish():
                        self._finish(command)
            except Exception:
                logger.exception("carrying out %s failed", type(command).__name__)
                if isinstance(command, Submit):
                    self._refuse(command.attempt, BridgeError("the bridge failed at this request; its log says why"))

    # --- commands ------------------------------------------------------------------------------------------

    def _submit(self, command: Submit) -> None:
        request = self.requests.get(command.request)
        stream = self.streams.find(command.stream) if request is None else request.stream
        if self.before_bind is not None and (request is None or command.revision is None):
            self.before_bind(stream)
        if command.index is not None:
            request = self.sequences.frame(command.request, command.index, command.backend)
        elif request is None:
            request = Request(
                command.request,
                stream,
                self.library.get(stream.workflow.name),
                stream.values.snapshot(),
                stream.size,
                self.clock(),
                generation=True,
            )
            self.requests[command.request] = request
        elif command.revision is None:
            request.workflow = self.library.get(stream.workflow.name)
            request.snapshot = stream.values.snapshot()
            self.retained.use(request.number, request.snapshot.values.values())
            request.size = stream.size
        # A request that is bound again keeps its seed, unless the seed is one that somebody sets.
        if request.own_seed is not None:
            request.seed = request.own_seed
        elif request.seed is None or stream.seed_policy is SeedPolicy.FIXED:
            request.seed = stream.next_seed(self._random.getrandbits, now=self.clock())
        request.backend = command.backend
        self._attempts[command.attempt] = (request, command.backend)
        values = request.snapshot.values.items()
        pictures = {name: value for name, value in values if isinstance(value, Picture | RawPicture)}
        if not request.submitted_at:
            request.submitted_at = self.clock()
        step = self.feedback.step(command.attempt, request, self.backends.get(command.backend))
        if pictures or step is not None:
            # Picture and values are those of one moment: what comes while the picture goes up is the next prompt's.
            snapshot = request.snapshot
            task = asyncio.get_running_loop().create_task(self._upload(command, request, pictures, step))
            self._uploads[command.attempt] = task
            began = self.clock()
            task.add_done_callback(lambda ended: self._uploaded(command, request, snapshot, began, ended))
        else:
            self._post(command.attempt, command.backend, request, request.snapshot, {})

    def _post(
        self, attempt: int, backend_name: str, request: Request, snapshot: Snapshot, picture_names: Mapping[str, str]
    ) -> None:
        backend = self.backends.get(backend_name)
        if backend is None:
            self._over(attempt)
            self.tell(BackendDoubted(backend_name))  # or it would be tried there again at once, without an end
            self.tell(AttemptLost(attempt))
            return
        try:
            bound = request.workflow.bind(snapshot.values, request.seed or 0, request.size, picture_names)
        except TexbridgeError as error:
            self._refuse(attempt, error)
            return
        self.progress.begin(attempt, request, bound)
        self.results.begin(attempt, request, dict(snapshot.client_times), dict(bound.output_nodes))
        keep = self.feedback.keep(attempt, request)
        prompt, files = prompt_for(backend, bound, request.workflow, keep, exact=request.index is not None)
        previews = self.previews.are_wanted(request.stream)
        backend.submit(attempt, prompt, bound.output_nodes, files=files, previews=previews)

    async def _upload(
        self, command: Submit, request: Request, pictures: Mapping[str, Picture | RawPicture], step: Step | None
    ) -> dict[str, str]:
        """Bring a request's pictures to the backend; gives the names by which it knows them."""
        backend = self.backends.get(command.backend)
        return {} if backend is None else await self.feedback.bring(backend, command.attempt, request, pictures, step)

    def _uploaded(
        self, command: Submit, request: Request, snapshot: Snapshot, began: float, task: asyncio.Task[dict[str, str]]
    ) -> None:
        """An upload has ended, however it did: post the prompt, if it is still wanted. Never called from within `tell`.

        Whoever gave the attempt up meanwhile has settled it: a task that is cancelled before its first step runs none
        of its own code, so nothing of that may depend on it.
        """
        self._uploads.pop(command.attempt, None)
        if task.cancelled():
            return
        error = task.exception()
        if command.attempt not in self._attempts:
            self.pictures.release(command.attempt, command.backend)
            return
        if error is None:
            request.pictures_s = self.clock() - began
            self.tell(AttemptPrepared(command.attempt))
            self._post(command.attempt, command.backend, request, snapshot, task.result())
        elif isinstance(error, TexbridgeError):
            self._refuse(command.attempt, error, retry=not isinstance(error, DecodeError))
        else:
            logger.error("uploading the pictures of request %d failed", request.number, exc_info=error)
            self._refuse(command.attempt, BridgeError("the bridge failed at this request; its log says why"))

    def _give_up_upload(self, attempt: int) -> bool:
        """End an upload, if there is one; what becomes of its attempt is the caller's to tell."""
        upload = self._uploads.get(attempt)
        if upload is None:
            return False
        self._over(attempt)
        upload.cancel()
        return True

    def _refuse(self, attempt: int, error: TexbridgeError, retry: bool = False) -> None:
        self.feedback.failed(self._over(attempt))
        self.tell(AttemptRefused(attempt, error, retry))

    def _over(self, attempt: int, *, trusted: bool = True) -> Request | None:
        """An attempt is over: its files may be written over. If it failed they are not `trusted` to be there.

        Gives its request, None if it was over before.
        """
        known = self._attempts.pop(attempt, None)
        if known is None:
            return None
        self.pictures.release(attempt, known[1], trusted=trusted)
        return known[0]

    def _withdraw(self, command: Withdraw) -> None:
        self._forget(command.attempt)
        if self._give_up_upload(command.attempt):
            self.tell(AttemptWithdrawn(command.attempt))
        elif (backend := self.backends.get(command.backend)) is not None:
            backend.withdraw(command.attempt)

    def _forget(self, attempt: int) -> None:
        """An attempt doesn't count: what came of it is dropped."""
        self.progress.forget(attempt)
        self.previews.forget(attempt)
        self.results.forget(attempt)

    def _finish(self, command: Finish) -> None:
        self.counts[f"finished_{command.outcome.value}"] += 1
        request = self.requests.pop(command.request, None)
        self.progress.over(command.request)
        self.retained.drop(command.request)
        self.sequences.finished(command.request)
        if request is None:  # a generation that never was submitted
            return
        self.previews.over(request)
        if command.error is not None:
            log = logger.warning if command.outcome is Outcome.FAILED else logger.debug
            log("request %d of stream %s %s: %s", request.number, request.stream.name, command.outcome, command.error)
        now = self.clock()
        for listener in self.listeners:
            listener.request_finished(request, command, now)

    # --- backends ------------------------------------------------------------------------------------------

    def backend_event(self, record: BackendRecord) -> None:
        """Take what a backend reports."""
        match record:
            case BackendPicture():
                self.results.picture(record)
            case BackendPreview():
                self.previews.picture(record)
            case BackendProgress():
                self.results.progress(record)
                self.progress.step(record)
            case BackendNodes():
                self.progress.nodes(record)
            case BackendWarning():
                self.counts["backend_warnings"] += 1
                logger.warning("backend %s: %s", record.backend, record.message)
            case BackendMute():
                (self.backends_mute.add if record.mute else self.backends_mute.discard)(record.backend)
                self.tell(BackendMuted(record.backend, record.mute))
                self._backends_changed()
            case AttemptEnded():
                request = self._over(record.attempt, trusted=record.error is None)
                if record.error is not None:
                    self.feedback.failed(request)
                self.previews.forget(record.attempt)
                self.tell(record if request is None else with_memory_words(record, request))
                if record.error is None:
                    self.progress.ended(record.attempt)
                    self.results.ended(record.attempt)
                else:
                    self._forget(record.attempt)
                self._attempt_is_over()
            case AttemptRefused() | AttemptLost() | AttemptWithdrawn():
                request = self._over(record.attempt, trusted=not isinstance(record, AttemptRefused))
                if not isinstance(record, AttemptWithdrawn):
                    self.feedback.failed(request)
                self._forget(record.attempt)
                self.tell(record)
                self._attempt_is_over()
            case BackendUp():
                self.backends_up.add(record.backend)
                backend = self.backends.get(record.backend)
                if backend is not None and backend.object_info is not None and self.on_object_info is not None:
                    self.on_object_info(record.backend, backend.object_info)
                self.tell(record)
                self._backends_changed()
            case BackendDoubted():
                self.tell(record)
            case BackendDown() | BackendRemoved():
                self.backends_up.discard(record.backend)
                self.backends_mute.discard(record.backend)
                for attempt, (_, backend_name) in list(self._attempts.items()):
                    if backend_name == record.backend:
                        self._give_up_upload(attempt)  # the scheduler takes all of this backend's as lost
                self.tell(record)
                self._backends_changed()
            case _:
                self.tell(record)

    def _attempt_is_over(self) -> None:
        if self.attempt_over is not None:
            self.attempt_over()

    def _backends_changed(self) -> None:
        self.sequences.backends_changed(len(self.backends_up))
        for listener in self.listeners:
            listener.backends_changed()

    def _tell_progress(self, request: Request, value: float, maximum: float, node: str, whole: float) -> None:
        if request.index is not None:
            self.sequences.step(request, whole, node)  # it is told of the sequence
            return
        for listener in self.listeners:
            listener.request_progress(request, value, maximum, node, whole)

    def _set_released(self, stream: Stream, shared: ReleasedSet, source: PayloadSource) -> None:
        self.feedback.set_released(stream, shared)
        for listener in self.listeners:
            listener.set_released(stream, shared, source.size)

    # --- the end -------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Let go of backends, decoders and buffers. Requests must be over by now."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self.precise_timer is not None:
            self.precise_timer.close()
        for task in list(self._uploads.values()):
            task.cancel()
        await asyncio.gather(*self._uploads.values(), return_exceptions=True)
        await self.backends.close()
        await self.previews.close()
        await self.results.close()
        for viewer in self.viewers.all():
            viewer.close()
        await self.decoders.close()
        self.buffers.clear()
        self.memory.close()
