"""Sequences under way: what goes into each frame, how far they may go, and their sets in the order of their index.

The scheduler says which frame is posted where; frames come back in any order. What comes early waits here, encoded, for
its turn, and is shown by `Results` like any other set. How far a sequence may go (`until`) follows from what its reader
has acknowledged, from bytes, and from the pictures that came for single frames.
Source: wire contract, `sequence` and Delivery; protocols/engine-link.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from bridge.app.pictures.results import Results
from bridge.app.pictures.sets import PictureSet
from bridge.app.records import Request, ViewerSet
from bridge.app.retained import RetainedValues, value_bytes
from bridge.app.viewers.viewers import Viewers
from bridge.delivery.lossless import LosslessOutbox
from bridge.errors import BridgeError, ErrorCode, InvalidValueError, NotAllowedError, TexbridgeError
from bridge.scheduler.events import Event, RequestFailed, SequenceMoved
from bridge.streams.checks import ValueLimits, check_value
from bridge.streams.stream import Stream
from bridge.streams.tracks import Tracks, frame_seed
from bridge.types import SeedPolicy, Value

WINDOW: Final = 16
"""Frames that are in work, wait for their turn, or wait for their reader."""

WINDOW_PER_BACKEND: Final = 4
"""With many backends the window is wider: each has one frame running and one waiting, and none waits for another."""

PICTURES_AHEAD: Final = 16
"""Frames ahead of the newest released one whose own pictures are taken."""

PROGRESS_EVERY_S: Final = 0.05
PICTURE_MISSING_S: Final = 30.0
MAX_OF_STREAM: Final = 8
"""Sequences of one stream that are not over."""


@dataclass(slots=True, eq=False)
class RunningSequence:
    """One sequence between acceptance and its terminal answer.

    `request` is the whole, whose number its frames have; `first` the number of frame 0 in tracks and seeds; so many
    frames as `seed_every` have the same seed.
    """

    request: Request
    tracks: Tracks
    frames: int
    first: int
    seed: int
    seed_policy: SeedPolicy
    seed_every: int = 1
    fps: float | None = None
    images: tuple[str, ...] = ()
    until: int = 0
    released: int = 0
    """Frames that were released: all below this index."""
    shown: PictureSet | None = None
    """The set whose turn it is."""
    arrived: dict[int, PictureSet] = field(default_factory=dict)
    """Whole sets that wait for their turn, by index."""
    begun: dict[int, Request] = field(default_factory=dict)
    """The frames that were posted and are not released."""
    pictures: dict[int, dict[str, Value]] = field(default_factory=dict)
    """Own pictures of frames that are not released."""
    complete: int = 0
    """Frames whose own pictures are all there: all below this index."""
    missing_at: float | None = None
    """When the picture that alone is in the way is given up."""
    frame_bytes: int = 0
    """The largest of its sets, in the form in which it waits."""
    parts: dict[int, float] = field(default_factory=dict)
    """What part of a frame in work is done, 0..1."""
    told: float = 0.0
    told_at: float = 0.0

    @property
    def done(self) -> float:
        """Frames that are done, and parts of those in work; it never goes back."""
        waiting = len(self.arrived) + (self.shown is not None)
        parts = sum(part for index, part in self.parts.items() if index >= self.released and index not in self.arrived)
        self.told = max(self.told, min(float(self.frames), self.released + waiting + parts))
        return self.told


class Sequences:
    """All sequences of the bridge by request number. `tell` gives the scheduler an event."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        results: Results,
        viewers: Viewers,
        retained: RetainedValues,
        clock: Callable[[], float],
        value_limits: ValueLimits,
    ) -> None:
        self._tell = tell
        self._results = results
        self._viewers = viewers
        self._retained = retained
        self._clock = clock
        self._value_limits = value_limits
        self.lossless_bytes = 256 << 20
        """What waits for one reader at most. Its own sequence takes half, so that sets of others find room too."""
        self.all_lossless_bytes = 512 << 20
        """What waits for all of them together: the rest of the frame memory is for those who want the newest only."""
        self.progressed: Callable[[Request, float, float, str, float], None] = lambda *_: None
        """Tells who asked how far a request is."""
        self._backends = 0
        self._running: dict[int, RunningSequence] = {}
        results.frame_arrived = self.arrived
        results.frame_over = self.over

    @property
    def window(self) -> int:
        """How many frames of one sequence may be in work, wait for their turn or wait for their reader."""
        return max(WINDOW, WINDOW_PER_BACKEND * self._backends)

    def __len__(self) -> int:
        return len(self._running)

    def get(self, request: int) -> RunningSequence | None:
        """The sequence of this request, None if it is over or none."""
        return self._running.get(request)

    # --- begin and end -------------------------------------------------------------------------------------

    def check_room(self, stream: Stream) -> None:
        """Raise NotAllowedError (405) if the stream has as many sequences as it may."""
        if sum(other.request.stream is stream for other in self._running.values()) >= MAX_OF_STREAM:
            raise NotAllowedError(
                f"{MAX_OF_STREAM} sequences of stream {stream.name!r} are not over yet, the limit; wait for answers, "
                "or cancel some",
                code=ErrorCode.TOO_MANY_WAITING,
                field="stream",
                value=stream.name,
                limit=MAX_OF_STREAM,
            )

    def add(self, sequence: RunningSequence) -> int:
        """Take a sequence in; gives how far it may go at first."""
        self._running[sequence.request.number] = sequence
        self._retain(sequence)
        sequence.until = self._how_far(sequence)
        return sequence.until

    def finished(self, request: int) -> None:
        """A request has its terminal answer: what waits of it is dropped. Unknown ones are ignored."""
        sequence = self._running.pop(request, None)
        if sequence is not None:
            for made in [*sequence.arrived.values()]:
                self._results.drop(made)
            sequence.arrived.clear()

    def is_requester(self, stream: int, session: object) -> bool:
        """True if this session asked for a sequence of this stream that is not over."""
        return any(
            other.request.stream.number == stream and other.request.session == session
            for other in self._running.values()
        )

    def fail(self, stream: int, session: object, error: BaseException) -> None:
        """The session that asked can't be given the sets of its sequences of this stream: they end `failed`."""
        why = error if isinstance(error, TexbridgeError) else BridgeError(f"a set can't be given: {error}")
        for sequence in list(self._running.values()):
            if sequence.request.stream.number == stream and sequence.request.session == session:
                self._tell(RequestFailed(sequence.request.number, why))

    def fps_of(self, stream: int) -> float | None:
        """The rate that the oldest sequence of a stream is meant to be shown at, None if none says one."""
        return next(
            (other.fps for other in self._running.values() if other.request.stream.number == stream and other.fps),
            None,
        )

    # --- frames --------------------------------------------------------------------------------------------

    def frame(self, request: int, index: int, backend: str) -> Request:
        """The request of one frame, to be bound and posted at `backend`: the same in every try.

        Raises KeyError for a sequence that is over.
        """
        sequence = self._running[request]
        whole = sequence.request
        whole.backend = backend
        if not whole.submitted_at:
            whole.submitted_at = self._clock()
        frame = sequence.begun.get(index)
        if frame is None:
            number = sequence.first + index
            values = {**whole.snapshot.values, **sequence.tracks.at(number), **sequence.pictures.get(index, {})}
            seed = sequence.tracks.seed_at(number)
            frame = sequence.begun[index] = Request(
                whole.number,
                whole.stream,
                whole.workflow,
                replace(whole.snapshot, values=MappingProxyType(values)),
                whole.size,
                self._clock(),
                session=whole.session,
                own_seed=frame_seed(sequence.seed_policy, sequence.seed, number // sequence.seed_every)
                if seed is None
                else seed,
                index=index,
                is_last=index == sequence.frames - 1,
            )
        return frame

    def arrived(self, made: PictureSet) -> None:
        """A frame's pictures are all there: it is shown at once, or waits for those before it."""
        request = made.attempt.request
        sequence = self._running.get(request.number)
        index = request.index
        if sequence is None or index is None or index < sequence.released or index in sequence.arrived:
            self._results.drop(made)
            return
        sequence.arrived[index] = made
        sequence.frame_bytes = max(sequence.frame_bytes, made.byte_count)
        sequence.parts.pop(index, None)
        self._show_next(sequence)

    def _show_next(self, sequence: RunningSequence) -> None:
        if sequence.shown is None and (made := sequence.arrived.pop(sequence.released, None)) is not None:
            sequence.shown = made
            self._results.show(made)

    def over(self, made: PictureSet) -> None:
        """A frame's set was released, or dropped: the next one's turn has come, or that of its next try."""
        frame = made.attempt.request
        sequence = self._running.get(frame.number)
        if sequence is None or frame.index is None:
            return
        if sequence.arrived.get(frame.index) is made:
            del sequence.arrived[frame.index]
        if sequence.shown is not made:
            return
        sequence.shown = None
        if not made.released:
            return
        whole = sequence.request
        whole.frames += 1
        whole.pictures += frame.pictures
        whole.number_of_last = frame.number_of_last
        whole.received_at, whole.comfy_s = frame.received_at, frame.comfy_s
        whole.pictures_s, whole.transfer = frame.pictures_s, frame.transfer
        sequence.released += 1
        sequence.begun.pop(frame.index, None)
        sequence.parts.pop(frame.index, None)
        if sequence.pictures.pop(frame.index, None) is not None:
            self._retain(sequence)
        self._tell_progress(sequence)
        self.look(sequence)
        self._show_next(sequence)

    def _tell_progress(self, sequence: RunningSequence, node: str = "") -> None:
        now = self._clock()
        if sequence.released == sequence.frames or now - sequence.told_at >= PROGRESS_EVERY_S:
            sequence.told_at = now
            done = sequence.done
            self.progressed(sequence.request, done, sequence.frames, node, done / sequence.frames)

    def step(self, frame: Request, part: float, node: str) -> None:
        """A frame is done to this part, 0..1."""
        sequence = self._running.get(frame.number)
        if sequence is not None and frame.index is not None and frame.index >= sequence.released:
            sequence.parts[frame.index] = min(1.0, max(part, sequence.parts.get(frame.index, 0.0)))
            self._tell_progress(sequence, node)

    # --- how far they may go -------------------------------------------------------------------------------

    def look(self, sequence: RunningSequence) -> None:
        """Something changed that says how far a sequence may go."""
        until = self._how_far(sequence)
        if until != sequence.until:
            sequence.until = until
            self._tell(SequenceMoved(sequence.request.number, until))

    def look_at(self, stream: int) -> None:
        """Readers of a stream acknowledged, came or went."""
        for sequence in list(self._running.values()):
            if sequence.request.stream.number == stream:
                self.look(sequence)

    def backends_changed(self, count: int) -> None:
        """So many backends are there now."""
        self._backends = count
        for sequence in list(self._running.values()):
            self.look(sequence)

    def _how_far(self, sequence: RunningSequence) -> int:
        window, free_bytes = self.window, self.lossless_bytes // 2
        session = sequence.request.session
        viewer = None if session is None else self._viewers.get(sequence.request.stream.number, session)
        if viewer is not None and isinstance(viewer.outbox, LosslessOutbox):
            outbox = viewer.outbox
            window -= outbox.sets
            free_bytes = min(free_bytes - outbox.set_bytes, self._left_for(sequence))
            if outbox.sets:
                sequence.frame_bytes = max(sequence.frame_bytes, outbox.set_bytes // outbox.sets)
            least = 0 if outbox.sets else 1
        else:
            least = 1
        if sequence.frame_bytes:
            window = min(window, free_bytes // sequence.frame_bytes)
        until = min(sequence.frames, sequence.released + max(least, window))
        if not sequence.images:
            return until
        self._watch_pictures(sequence, until)
        return min(until, sequence.complete)

    def _lossless(self) -> list[LosslessOutbox[ViewerSet]]:
        outboxes = (viewer.outbox for viewer in self._viewers.all())
        return [outbox for outbox in outboxes if isinstance(outbox, LosslessOutbox)]

    def share(self) -> int:
        """How many bytes may wait for a lossless reader now: of a full memory each has the same part."""
        outboxes = self._lossless()
        if sum(outbox.set_bytes for outbox in outboxes) < self.all_lossless_bytes:
            return self.lossless_bytes
        return self.all_lossless_bytes // max(1, len(outboxes))

    def _left_for(self, sequence: RunningSequence) -> int:
        """What all readers, and the frames that other sequences may still bring theirs, leave of the memory."""
        coming = sum(
            (other.until - other.released) * other.frame_bytes
            for other in self._running.values()
            if other is not sequence
        )
        return self.all_lossless_bytes - coming - sum(outbox.set_bytes for outbox in self._lossless())

    # --- pictures of single frames -------------------------------------------------------------------------

    def take_picture(self, request: int, index: int, param: str, raw: object) -> None:
        """Take a frame's own picture; one that came before is replaced, unless the frame is in work or done.

        Raises:
            InvalidValueError: no such frame (302), a parameter that the sequence didn't name (303), or what is wrong
                with the picture.
            NotAllowedError: too far ahead (405), or too much memory (414).
        """
        sequence = self._running[request]
        if not 0 <= index < sequence.frames:
            raise InvalidValueError(
                f"index {index} is outside 0..{sequence.frames - 1}, the frames of request {request}",
                code=ErrorCode.OUT_OF_RANGE,
                field="index",
                value=index,
                limit=f"0..{sequence.frames - 1}",
            )
        if param not in sequence.images:
            raise InvalidValueError(
                f"request {request} takes no pictures of {param[:64]!r} frame by frame; its `images` are: "
                f"{', '.join(sequence.images) or 'none'}",
                code=ErrorCode.NOT_A_CHOICE,
                field="param",
                value=param[:64],
                limit=", ".join(sequence.images),
            )
        first_too_far = sequence.released + PICTURES_AHEAD
        if index >= first_too_far:
            raise NotAllowedError(
                f"index {index} is too far ahead: {sequence.released} frames are released, and pictures are taken for "
                f"those below {first_too_far}; send it when more frames came",
                code=ErrorCode.TOO_MANY_WAITING,
                field="index",
                value=index,
                limit=first_too_far,
            )
        spec = next(spec for spec in sequence.request.workflow.spec.parameters if spec.name == param)
        picture = check_value(spec, raw, limits=self._value_limits)
        if index < sequence.released or index in sequence.begun:
            return
        self._retained.check_room({param: picture}, {})
        sequence.pictures.setdefault(index, {})[param] = picture
        self._retain(sequence)
        while len(sequence.pictures.get(sequence.complete, ())) == len(sequence.images):
            sequence.complete += 1
        sequence.missing_at = None
        self.look(sequence)

    def _watch_pictures(self, sequence: RunningSequence, until: int) -> None:
        """Begin to wait for a picture that alone is in the way."""
        if sequence.complete < until and sequence.complete <= sequence.released:
            if sequence.missing_at is None:
                sequence.missing_at = self._clock() + PICTURE_MISSING_S
        else:
            sequence.missing_at = None

    def _retain(self, sequence: RunningSequence) -> None:
        pictures = [picture for of_frame in sequence.pictures.values() for picture in of_frame.values()]
        values = [*sequence.request.snapshot.values.values(), *sequence.tracks.values(), *pictures]
        self._retained.use(sequence.request.number, [value for value in values if value_bytes(value)])

    def next_deadline(self) -> float | None:
        """When a picture is given up."""
        return min(
            (sequence.missing_at for sequence in self._running.values() if sequence.missing_at is not None),
            default=None,
        )

    def expire(self, now: float) -> None:
        """Fail the sequences that waited too long for a picture."""
        for sequence in list(self._running.values()):
            if sequence.missing_at is not None and sequence.missing_at <= now:
                there: Mapping[str, Value] = sequence.pictures.get(sequence.complete, {})
                missing = ", ".join(name for name in sequence.images if name not in there)
                error = BridgeError(
                    f"the picture of {missing} for frame {sequence.complete} didn't come within "
                    f"{PICTURE_MISSING_S:g} s",
                    code=ErrorCode.PICTURE_MISSING,
                    field="index",
                    value=sequence.complete,
                )
                sequence.missing_at = None
                self._tell(RequestFailed(sequence.request.number, error))
