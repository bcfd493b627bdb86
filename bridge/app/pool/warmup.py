"""Warm-up prompts: so that the first picture that somebody asks for doesn't wait for a model to load.

For each stream, whoever opened it, one prompt is made with the values that hold at every ComfyUI that can run its
workflow: as soon as that is there, and whenever workflow, size or model files have become new ones. Its pictures are
dropped, and what is shown stays. It is never in the way: it begins where nothing else of ours is, one at a time at
each ComfyUI, and gives way when somebody asks for a picture and no other ComfyUI is free. A live stream that somebody
looks at warms itself, and one that takes pictures waits for the first. Nothing is warmed twice, nor during panic, nor
longer than `scheduler.warm_up_limit_s`. A size that is being moved is warmed when it has come to rest, and no more than
`MAX_SIZES` of them: the models are loaded by then, and the rest of a first time is little.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

from bridge.app.bridge import Bridge
from bridge.app.records import Request
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import Finish, RequestAdded, RequestCancelled
from bridge.streams.stream import Stream
from bridge.types import Mode, Outcome, ParameterType, Picture, RawPicture, Size, StreamState
from bridge.workflow.check import MODEL_SUFFIXES

logger = logging.getLogger("bridge.app")

LOWEST_PRIORITY: Final = 0
MAX_KEYS: Final = 1024
"""Kept of each ComfyUI, the newest; what is forgotten may be warmed once more."""

MAX_SIZES: Final = 8
"""Of one workflow with the same models at one ComfyUI."""

SETTLE_S: Final = 1.0
"""Sizes that follow each other faster are a fader's: the one that stays so long is warmed."""

MAX_TRIES: Final = 3
"""Of one key at one ComfyUI that loses prompts and comes back, or where others keep asking."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A warm-up that is on its way."""

    stream: Stream
    backend: str
    key: _Key
    ends_at: float


class WarmUps:
    """The warm-up prompts of one bridge.

    `revision(stream)` gives that of a stream's values, `can_run(backend, stream)` whether a ComfyUI has what a stream
    needs and isn't drained, `halted()` whether nothing may be made now.
    """

    def __init__(
        self,
        bridge: Bridge,
        revision: Callable[[Stream], int],
        can_run: Callable[[str, Stream], bool],
        halted: Callable[[], bool],
    ) -> None:
        self._bridge = bridge
        self._revision = revision
        self._can_run = can_run
        self._halted = halted
        self._known: dict[str, dict[_Key, bool]] = {}
        """By ComfyUI that is ready: what it was asked for, and whether it could."""
        self._tries: dict[tuple[str, _Key], int] = {}
        self._lacking: set[int] = set()
        """Streams that may need one."""
        self._open: dict[int, _Open] = {}
        """By request."""
        self._looked: dict[int, _Key] = {}
        """By stream: the key that it had at the last look."""
        self._resized_at: dict[int, float] = {}
        self._moving_until: dict[int, float] = {}
        """By stream whose size is being moved: when it counts as come to rest."""
        bridge.add_deadline(self._next_deadline, self._when_due)
        bridge.attempt_over = self._backend_is_free

    # --- what happens --------------------------------------------------------------------------------------

    def comfy_came(self, backend: str) -> None:
        """A ComfyUI is there, and what it can run is known."""
        known = self._known.setdefault(backend, {})
        for key in [key for key, could in known.items() if not could]:
            del known[key]  # it may have got what was missing
        self._lacking.update(self._bridge.streams.by_number)
        self._begin()

    def backends_changed(self) -> None:
        """ComfyUIs came or went, or panic did: what is gone is cold when it comes back."""
        for backend in [backend for backend in self._known if backend not in self._bridge.backends_up]:
            del self._known[backend]
            for tried in [tried for tried in self._tries if tried[0] == backend]:
                del self._tries[tried]
            self._cancel(lambda open_, gone=backend: open_.backend == gone)  # type: ignore[misc]
        self._lacking.update(self._bridge.streams.by_number)  # one may take prompts again that was drained
        self._begin()

    def look(self, stream: Stream) -> None:
        """Something of a stream is another one now: its workflow, size, models, mode, state, or who looks at it."""
        self._lacking.add(stream.number)
        self._watch_size(stream)
        self._cancel(lambda open_: open_.stream is stream and (open_.key != _key(stream) or _warms_itself(stream)))
        self._begin()

    def _watch_size(self, stream: Stream) -> None:
        """See whether a stream's size is being moved."""
        number, key = stream.number, _key(stream)
        before = self._looked.get(number)
        self._looked[number] = key
        if before is None or before == key or _without_size(before) != _without_size(key):
            return
        now = self._bridge.clock()
        last, self._resized_at[number] = self._resized_at.get(number, -inf), now
        if now - last < SETTLE_S:
            self._moving_until[number] = now + SETTLE_S
            self._bridge.set_timer()

    def values_changed(self, stream: Stream, names: tuple[str, ...]) -> None:
        """Parameters have other values now: those that name a model file count, and pictures."""
        if any(_counts(stream.values[name]) for name in names if name in stream.parameters):
            self.look(stream)

    def make_way(self) -> None:
        """Somebody asks for a picture: where no ComfyUI is free, warm-ups go out of its way."""
        if self._open and not any(self._bridge.scheduler.is_idle(backend) for backend in self._bridge.backends_up):
            self._cancel(lambda _: True)

    def request_finished(self, request: Request, command: Finish) -> None:
        """A request has ended: one that made a picture leaves its ComfyUI warm."""
        open_ = self._open.pop(request.number, None)
        outcome = command.outcome
        if open_ is not None:
            self._ended(open_, outcome, command.error)
        elif outcome is Outcome.DONE and request.backend in self._known:
            self._note(request.backend, _key_of(request), True)
        self._backend_is_free()

    def _backend_is_free(self) -> None:
        if self._lacking:
            self._begin()

    def failed_everywhere(self, request: Request) -> bool:
        """Whether the warm-up of this request has failed at each ComfyUI that should be able to run it.

        Of a stream of the configuration: the values that another begins with may be none to run with.
        """
        if not request.stream.configured:
            return False
        key = _key_of(request)
        able = [name for name in self._known if self._can_run(name, request.stream)]
        return bool(able) and all(self._known[backend].get(key) is False for backend in able)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        self._lacking.discard(stream)
        self._looked.pop(stream, None)
        self._resized_at.pop(stream, None)
        self._moving_until.pop(stream, None)

    # --- making --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Make a warm-up at each ComfyUI that has nothing else to do."""
        if not self._bridge.config.scheduler.warm_up or self._halted():
            return
        for number in list(self._lacking):
            stream = self._bridge.streams.by_number.get(number)
            if (
                stream is None
                or stream.state is StreamState.DEGRADED
                or _warms_itself(stream)
                or _waits_for_picture(stream)
            ):
                self._lacking.discard(number)  # it is looked at again when that changes
                continue
            if number in self._moving_until:
                continue
            key = _key(stream)
            cold = [
                backend
                for backend, known in self._known.items()
                if key not in known and self._can_run(backend, stream) and _sizes(known, key) < MAX_SIZES
            ]
            if not cold:
                self._lacking.discard(number)
            for backend in cold:
                self._make(stream, backend, key)

    def _make(self, stream: Stream, backend: str, key: _Key) -> None:
        if not self._bridge.scheduler.is_idle(backend) or any(
            open_.backend == backend for open_ in self._open.values()
        ):
            return
        if len(self._tries) >= MAX_KEYS:
            self._tries.clear()
        if any(r.backend == backend and _key_of(r) == key for r in self._bridge.requests.values()):
            return  # its pictures are being decoded: that one has warmed it
        tries = self._tries[backend, key] = self._tries.get((backend, key), 0) + 1
        if tries > MAX_TRIES:
            self._note(backend, key, True)
            return
        now = self._bridge.clock()
        number = self._bridge.scheduler.take_number()
        self._open[number] = _Open(stream, backend, key, now + self._bridge.config.scheduler.warm_up_limit_s)
        self._bridge.requests[number] = Request(
            number,
            stream,
            self._bridge.library.get(stream.workflow.name),
            stream.values.snapshot(),
            stream.size,
            now,
            own_seed=stream.seed,  # its own, so that the seed policy doesn't move on
            warm_up=True,
        )
        self._bridge.counts["warm_ups"] += 1
        self._bridge.tell(RequestAdded(number, stream.number, self._revision(stream), LOWEST_PRIORITY, backend=backend))

    def _ended(self, open_: _Open, outcome: Outcome, error: object) -> None:
        if open_.backend not in self._known:
            return
        lost = isinstance(error, BackendError) and error.code is ErrorCode.BACKEND_LOST
        if outcome in (Outcome.DONE, Outcome.SUPERSEDED):
            self._note(open_.backend, open_.key, True)
        elif outcome is Outcome.FAILED and not lost:
            self._note(open_.backend, open_.key, False)
        else:  # somebody cancelled it, or ComfyUI lost it: once more, but not for ever
            self._lacking.add(open_.stream.number)

    def _note(self, backend: str, key: _Key, could: bool) -> None:
        known = self._known[backend]
        known.pop(key, None)
        if len(known) >= MAX_KEYS:
            del known[next(iter(known))]
        known[key] = could
        self._tries.pop((backend, key), None)

    # --- the end of one ------------------------------------------------------------------------------------

    def _cancel(self, chosen: Callable[[_Open], bool]) -> None:
        for number in [number for number, open_ in self._open.items() if chosen(open_)]:
            self._bridge.tell(RequestCancelled(number))

    def _next_deadline(self) -> float | None:
        ends = (open_.ends_at for open_ in self._open.values())
        return min((*ends, *self._moving_until.values()), default=None)

    def _when_due(self, now: float) -> None:
        rested = [number for number, until in self._moving_until.items() if until <= now]
        for number in rested:
            del self._moving_until[number]
        for open_ in [open_ for open_ in self._open.values() if open_.ends_at <= now]:
            logger.warning(
                "the warm-up of workflow %s at backend %s takes more than scheduler.warm_up_limit_s (%g s): given up",
                open_.stream.workflow.name,
                open_.backend,
                self._bridge.config.scheduler.warm_up_limit_s,
            )
            self._note(open_.backend, open_.key, True)
        self._cancel(lambda open_: open_.ends_at <= now)
        if rested:
            self._begin()


def _warms_itself(stream: Stream) -> bool:
    """A live stream makes a picture as soon as somebody looks."""
    return stream.mode is Mode.LIVE and stream.viewers > 0


def _waits_for_picture(stream: Stream) -> bool:
    """Its graph takes a picture that nobody has sent yet; the file that the graph names needn't be there."""
    return any(
        spec.type is ParameterType.IMAGE and not isinstance(stream.values[name], Picture | RawPicture)
        for name, spec in stream.parameters.items()
    )


_Key: TypeAlias = tuple[tuple[str, Size | None], tuple[tuple[str, object], ...]]
"""Workflow and size, and the model files that its values name."""


def _without_size(key: _Key) -> Hashable:
    """What is loaded for it."""
    return key[0][0], key[1]


def _sizes(known: Mapping[_Key, bool], key: _Key) -> int:
    """How many sizes of the same were warmed."""
    return sum(_without_size(other) == _without_size(key) for other in known)


def _key(stream: Stream) -> _Key:
    return (stream.workflow.name, stream.picture_size), _models(stream.values.snapshot().values)


def _key_of(request: Request) -> _Key:
    spec = request.workflow.spec
    return (spec.name, request.size or spec.size), _models(request.snapshot.values)


def _models(values: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    """What of the values names a model file: another one has to be read."""
    return tuple((name, value) for name, value in values.items() if _is_model(value))


def _counts(value: object) -> bool:
    return isinstance(value, Picture | RawPicture) or _is_model(value)


def _is_model(value: object) -> bool:
    return isinstance(value, str) and value.lower().endswith(MODEL_SUFFIXES)
