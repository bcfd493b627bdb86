"""A stream: a live instance of a workflow, with its values, mode, seed, size, viewers and numbering."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.checks import EXACT_FLOAT, MAX_SEED
from bridge.streams.names import plain, shown
from bridge.streams.seeds import SeedWalk
from bridge.streams.sizes import Shape, check_size, shape_of, shaped_size
from bridge.streams.values import Values
from bridge.types import Mode, ParameterSpec, SeedPolicy, Size, StreamState, WorkflowSpec

KEEP_S: Final = 30.0
"""How long a stream lives on alone, and a session without connection. Source: wire contract, Engine link."""


def check_seed(raw: object) -> int:
    """Give `raw` as a seed, 0..2^64-1; a float only if whole and exact (up to 2^53).

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range, 308 not_finite).
    """
    code = None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        code, what = ErrorCode.WRONG_TYPE, "is not a whole number"
    elif isinstance(raw, float) and not math.isfinite(raw):
        code, what = ErrorCode.NOT_FINITE, "is not finite"
    elif isinstance(raw, float) and not raw.is_integer():
        code, what = ErrorCode.WRONG_TYPE, "has a fraction"
    elif isinstance(raw, float) and abs(raw) > EXACT_FLOAT:
        code, what = ErrorCode.OUT_OF_RANGE, "as a float is no longer exact over 2^53; send it as an integer"
    elif not 0 <= raw <= MAX_SEED:
        code, what = ErrorCode.OUT_OF_RANGE, "is outside 0..2^64-1"
    else:
        return int(raw)
    raise InvalidValueError(f"seed: {shown(raw)} {what}", code=code, field="seed", value=plain(raw), limit="0..2^64-1")


def check_max_fps(raw: object) -> float | None:
    """Give `raw` as frames a second, over 0 and at most 1,000; None is no limit.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range, 308 not_finite).
    """
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise InvalidValueError(f"max_fps: {shown(raw)} is not a number", field="max_fps", value=plain(raw))
    if isinstance(raw, float) and not math.isfinite(raw):
        code = ErrorCode.NOT_FINITE
    elif not 0 < raw <= 1000:
        code = ErrorCode.OUT_OF_RANGE
    else:
        return float(raw)
    raise InvalidValueError(
        f"max_fps: {shown(raw)} is outside 0..1000", code=code, field="max_fps", value=plain(raw), limit="0..1000"
    )


def check_min_change(raw: object) -> float | None:
    """Give `raw` as a share, 0..1; None stays None.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range).
    """
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise InvalidValueError(f"min_change: {shown(raw)} is not a number", field="min_change", value=plain(raw))
    if not 0 <= raw <= 1:
        raise InvalidValueError(
            f"min_change: {shown(raw)} is outside 0..1",
            code=ErrorCode.OUT_OF_RANGE,
            field="min_change",
            value=plain(raw),
            limit="0..1",
        )
    return float(raw)


class Stream:
    """One stream. `number` and `name` never change; its workflow may.

    `attached` are session ids; `subscribers` are session ids or any other key of a viewer (an HTTP request).
    A session without connection stays in both, but doesn't keep the stream alive.
    """

    def __init__(
        self,
        number: int,
        name: str,
        workflow: WorkflowSpec,
        mode: Mode,
        *,
        now: float,
        seed_policy: SeedPolicy = SeedPolicy.FIXED,
        seed: int | None = None,
        size: Size | None = None,
        max_fps: float | None = None,
        configured: bool = False,
        values: Values | None = None,
    ) -> None:
        self.number = number
        self.name = name
        self.workflow = workflow
        self.values = Values(workflow.parameters) if values is None else values
        self.use_mode(mode)
        self.seeds = SeedWalk(seed_policy)
        self.seed = workflow.default_seed if seed is None else seed
        self.size = size
        self.shape: Shape | None = None
        """What `size` was asked for by, whole; None if in pixels. Further shapes and workflows go on from it."""
        self.max_fps = max_fps
        self.idle_after_s: float | None = None
        """Seconds after the last change at which a live stream whose seed varies rests; None is never."""
        self.min_change: float | None = None
        """How much a picture that comes in must differ to make one, 0..1; None is what the workflow says."""
        self.state = StreamState.WAITING_FOR_COMFY
        self.configured = configured
        self.last_number = 0
        self._attached: set[int] = set()
        self._subscribers: set[Hashable] = set()
        self._away: set[int] = set()
        self._alone_since: float | None = now

    # --- what it makes ---------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, ParameterSpec]:
        """The workflow's parameters by name."""
        return self.values.specs

    @property
    def varies(self) -> bool:
        """True when every picture differs even if no value changed; not where the seed has its own times."""
        return self.feeds_back or (self.seed_moves and not self.seeds.every_s)

    @property
    def seed_moves(self) -> bool:
        """True while the seed is another one by and by."""
        return self.workflow.has_seed and self.seeds.policy is not SeedPolicy.FIXED

    @property
    def seed(self) -> int:
        """The seed that comes next, or is held."""
        return self.seeds.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self.seeds.start(seed)

    @property
    def seed_policy(self) -> SeedPolicy:
        """What the seed does from picture to picture."""
        return self.seeds.policy

    @seed_policy.setter
    def seed_policy(self, policy: SeedPolicy) -> None:
        self.seeds.use_policy(policy)

    @property
    def feeds_back(self) -> bool:
        """True while each picture is made of the one before."""
        rule = self.workflow.feedback
        return rule is not None and rule.switch in self.parameters and self.values[rule.switch] is True

    @property
    def picture_size(self) -> Size | None:
        """The size asked for, else the graph's own; None if the graph alone knows."""
        return self.workflow.size if self.size is None else self.size

    @property
    def cost_key(self) -> Hashable:
        """What is worth timing together: workflow and size."""
        return (self.workflow.name, self.picture_size)

    def use_mode(self, mode: Mode) -> None:
        """Take the mode that an `open` names. A stream that begins live is `latest` when live is switched off."""
        self.mode: Mode = mode
        self.opened_mode: Mode = mode
        self.mode_before: Mode = Mode.LATEST if mode is Mode.LIVE else mode

    def switch_live(self, on: bool) -> bool:
        """Go live, or back to the mode before (`latest` if it began as live). Give whether the mode changed."""
        mode = Mode.LIVE if on else self.mode_before
        changed = mode is not self.mode
        if on and changed:
            self.mode_before = self.mode
        self.mode = mode
        return changed

    def next_seed(self, random_bits: Callable[[int], int], own: int | None = None, now: float = 0.0) -> int:
        """Give the seed of the next picture, and move on by the policy. A run's `own` seed moves nothing."""
        return self.seeds.take(random_bits, now) if own is None else own

    def set_seed(self, raw: object) -> int:
        """Set the seed that comes next; `increment` goes on from there. Raises as `check_seed`."""
        self.seed = check_seed(raw)
        return self.seed

    def set_size(self, raw: object, *, snap: bool = False) -> Size:
        """Set the size of the pictures. Give the size that holds. Raises as `check_size`."""
        self.size = check_size(self.workflow, raw, snap=snap)
        self.shape = None
        return self.size

    def set_shape(self, shape: Shape) -> Size:
        """Set the size by aspect and megapixels; what the shape leaves open stays. Raises as `shaped_size`."""
        whole = self.whole_shape(shape)
        self.size = shaped_size(self.workflow, whole)
        self.shape = whole
        return self.size

    def whole_shape(self, shape: Shape) -> Shape:
        """Give a shape with what it leaves open as it was asked for before, else as the pictures are."""
        size = self.picture_size
        before = self.shape or (None if size is None else shape_of(size))
        return shape if before is None else shape.over(before)

    def change_workflow(self, workflow: WorkflowSpec, *, carry: bool = True) -> None:
        """Go over to another workflow, or a new edition of this one, at the same number and with the same viewers.

        Values that were set are carried over where they fit (see `Values.change_specs`). The size, or the shape that it
        was asked for by, is snapped to the new step; the seed becomes the new default if it was the old one.
        """
        if not carry or self.seed == self.workflow.default_seed:
            self.seed = workflow.default_seed
        if not carry or workflow.size is None:
            self.size = self.shape = None
        elif self.shape is not None:
            self.size = shaped_size(workflow, self.shape)
        elif self.size is not None:
            self.size = check_size(workflow, self.size, snap=True)
        self.workflow = workflow
        self.values.change_specs(workflow.parameters, carry=carry)

    # --- what it released ------------------------------------------------------------------------------------

    @property
    def number_in_work(self) -> int:
        """The number of the set in work: what previews carry."""
        return self.last_number + 1

    def release(self) -> int:
        """Note that a set is released, and give its number: 1 for the first, then +1 each."""
        self.last_number += 1
        return self.last_number

    # --- who looks at it -------------------------------------------------------------------------------------

    @property
    def attached(self) -> frozenset[int]:
        """Sessions that opened it, connected or not."""
        return frozenset(self._attached)

    @property
    def subscribers(self) -> frozenset[Hashable]:
        """Who gets its frames, connected or not."""
        return frozenset(self._subscribers)

    @property
    def viewers(self) -> int:
        """How many look at it now: live pictures are made only while somebody does."""
        return len(self._subscribers - self._away)

    def attach(self, session: int) -> None:
        """A session opened this stream."""
        self._attached.add(session)
        self._alone_since = None

    def detach(self, session: int, now: float) -> None:
        """A session closed this stream. Its subscription, if any, stays."""
        self._attached.discard(session)
        self._settle(now)

    def subscribe(self, subscriber: Hashable) -> None:
        """A session, or another viewer, wants the frames."""
        self._subscribers.add(subscriber)
        self._alone_since = None

    def unsubscribe(self, subscriber: Hashable, now: float) -> None:
        """A session, or another viewer, wants no more frames."""
        self._subscribers.discard(subscriber)
        self._settle(now)

    def session_away(self, session: int, now: float) -> None:
        """The session's connection has gone; it may come back."""
        if session in self._attached or session in self._subscribers:
            self._away.add(session)
            self._settle(now)

    def session_back(self, session: int, now: float) -> None:
        """The session is connected again."""
        self._away.discard(session)
        self._settle(now)

    def session_ended(self, session: int, now: float) -> None:
        """The session won't come back: everything of it goes."""
        self._attached.discard(session)
        self._subscribers.discard(session)
        self._away.discard(session)
        self.values.forget_session(session)
        self._settle(now)

    def _settle(self, now: float) -> None:
        self._away &= self._attached | self._subscribers
        if (self._attached | self._subscribers) - self._away:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now

    @property
    def deadline(self) -> float | None:
        """When it ends unless somebody comes: 30 s after the last has gone. None: not yet, or never."""
        if self.configured or self._alone_since is None:
            return None
        return self._alone_since + KEEP_S
