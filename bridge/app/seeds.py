"""Seeds of streams: set, locked to the picture that is shown, and moved on by time where nothing else changes.

A live stream whose seed walks by seconds makes a picture when it takes its step, and rests between: the same seed and
values would only give the same picture again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bridge.app.bridge import Bridge
from bridge.app.records import ReleasedSet, Request
from bridge.scheduler.events import ValuesChanged
from bridge.streams.seeds import check_seed_every, check_seed_every_s
from bridge.streams.stream import Stream
from bridge.types import Mode, SeedPolicy


class StreamActions(Protocol):
    """What a change of a seed brings about; see `Actions`."""

    bridge: Bridge

    def configure(self, stream: Stream, *, touched: bool = False) -> None:
        """Tell the scheduler how a stream works now."""

    def next_revision(self, stream: Stream) -> int:
        """Give the number of a stream's values as they are from now on."""

    def tell_control_changed(self, stream: Stream, name: str, source: object) -> None:
        """Tell whoever watches."""

    def cancel(self, chosen: Callable[[Request], bool]) -> list[int]:
        """Cancel the unfinished requests that `chosen` says."""

    def is_paused(self, stream: Stream) -> bool:
        """True while panic or a freeze holds it."""


class Seeds:
    """The seeds of one bridge's streams."""

    def __init__(self, actions: StreamActions) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._shown: dict[int, int] = {}
        """The seed of the picture that came last, by stream."""
        self._asked_at: dict[int, float] = {}
        """When a step was asked for last, by stream."""
        self._changed_at: dict[int, float] = {}
        """When somebody last changed something, by stream."""
        self._bridge.add_deadline(self._next_deadline, self._step)

    def set_seed(self, stream: Stream, seed: object, *, source: object = None) -> None:
        """Set the seed of the next picture. Raises as `Stream.set_seed`."""
        before = stream.seed
        if stream.set_seed(seed) != before:
            self._actions.configure(stream, touched=True)
            self._actions.tell_control_changed(stream, "seed", source)

    @staticmethod
    def check(every: object, every_s: object) -> None:
        """Look whether a walk may be so. Raises as `check_seed_every`, `check_seed_every_s`."""
        check_seed_every(every, "every")
        check_seed_every_s(every_s, "every_s")

    def steer(
        self,
        stream: Stream,
        policy: SeedPolicy | None = None,
        every: object = None,
        every_s: object = None,
        lock: bool | None = None,
    ) -> None:
        """Set how the seed goes on; what is None stays. Raises as `check`."""
        every, every_s = check_seed_every(every, "every"), check_seed_every_s(every_s, "every_s")
        seeds = stream.seeds
        if policy is not None:
            seeds.use_policy(policy)
        seeds.use_steps(every, every_s)
        if lock and not seeds.is_locked:
            seeds.lock(self._shown.get(stream.number, seeds.seed))
            # What is on its way has another seed: it would take the place of the picture that is to stay.
            self._actions.cancel(lambda request: request.stream is stream and request.generation)
            self._actions.tell_control_changed(stream, "seed", None)
        elif lock is False:
            seeds.unlock()
        self._actions.configure(stream, touched=True)
        self._bridge.set_timer()

    def note(self, stream: Stream, *, changed: bool) -> None:
        """A stream works in another way now, or, if `changed`, makes another picture."""
        if changed:
            self._changed_at[stream.number] = self._bridge.clock()

    def set_released(self, stream: Stream, shared: ReleasedSet) -> None:
        """A stream shows another picture: its seed is what `lock` keeps."""
        request = self._bridge.requests.get(shared.request)
        if request is not None and request.seed is not None:
            self._shown[stream.number] = request.seed

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        for known in (self._shown, self._asked_at, self._changed_at):
            known.pop(stream, None)

    # --- by time -------------------------------------------------------------------------------------------

    def _steps_at(self, stream: Stream) -> float | None:
        """When a stream is to make a picture because its seed moves on, None if it makes none for that."""
        steps_at = stream.seeds.steps_at
        walks = stream.mode is Mode.LIVE and stream.seed_moves and not stream.feeds_back
        if not walks or steps_at is None or not stream.viewers or self._actions.is_paused(stream):
            return None
        number, every_s = stream.number, stream.seeds.every_s
        at = max(steps_at, self._asked_at.get(number, steps_at - every_s) + every_s)
        rests_at = None if stream.idle_after_s is None else self._changed_at.get(number, 0.0) + stream.idle_after_s
        return None if rests_at is not None and at >= rests_at else at

    def _next_deadline(self) -> float | None:
        times = [self._steps_at(stream) for stream in self._walkers()]
        return min((at for at in times if at is not None), default=None)

    def _walkers(self) -> list[Stream]:
        """The streams whose seed moves on by seconds: few, and asked for with every event."""
        return [stream for stream in self._bridge.streams.by_name.values() if stream.seeds.every_s]

    def _step(self, now: float) -> None:
        for stream in self._walkers():
            at = self._steps_at(stream)
            if at is not None and at <= now:
                self._asked_at[stream.number] = now
                self._bridge.tell(ValuesChanged(stream.number, self._actions.next_revision(stream)))
