"""All streams by name and number: open, attach, replace, and the end of those that nobody wants any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from types import MappingProxyType
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.streams.names import check_stream_name, nearest, plain, shown
from bridge.streams.seeds import check_seed_every, check_seed_every_s
from bridge.streams.sizes import Shape, check_shape, check_size, shape_of, shaped_size
from bridge.streams.stream import Stream, check_max_fps, check_min_change, check_seed
from bridge.streams.values import ValueLimits, Values
from bridge.types import Mode, SeedPolicy, Size, WorkflowSpec

MAX_STREAMS: Final = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """What an `open` did.

    `created`: the stream is new, or was made anew by `replace`. `replaced`: it was there with another workflow or
    mode, whose requests must end `cancelled`. `changed`: parameters that have another value now. `resized`: a stream
    that was there has pictures of another size now.
    """

    stream: Stream
    created: bool
    replaced: bool = False
    changed: tuple[str, ...] = ()
    resized: bool = False


class Streams:
    """The streams there are. Numbers begin at 1 and are never given twice."""

    def __init__(self, *, limit: int = MAX_STREAMS, value_limits: ValueLimits | None = None) -> None:
        self._limit = limit
        self._value_limits = ValueLimits() if value_limits is None else value_limits
        self._next_number = 1
        self._by_name: dict[str, Stream] = {}
        self._by_number: dict[int, Stream] = {}
        self.by_name: Mapping[str, Stream] = MappingProxyType(self._by_name)
        """The streams by name, always the present ones."""
        self.by_number: Mapping[int, Stream] = MappingProxyType(self._by_number)
        """The same by number."""

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, reference: object) -> Stream:
        """Give the stream with this name, or this number.

        Raises: UnknownNameError (203 unknown_stream) with the nearest name.
        """
        stream: Stream | None = None
        if isinstance(reference, str):
            stream = self._by_name.get(reference)
        elif isinstance(reference, int) and not isinstance(reference, bool):
            stream = self._by_number.get(reference)
        elif isinstance(reference, float) and reference.is_integer():
            stream = self._by_number.get(int(reference))
        if stream is None:
            close = nearest(reference, tuple(self._by_name))
            known = ", ".join(sorted(self._by_name)[:10]) or "none"
            hint = f"nearest is {close!r}" if close else f"there are: {known}"
            raise UnknownNameError(
                f"no stream {shown(reference)}; {hint}",
                code=ErrorCode.UNKNOWN_STREAM,
                field="stream",
                value=plain(reference),
                limit=close,
            )
        return stream

    def open(
        self,
        name: object,
        workflow: WorkflowSpec,
        mode: Mode,
        *,
        now: float,
        session: int | None = None,
        params: Mapping[str, object] | None = None,
        seed_policy: SeedPolicy | None = None,
        seed: object = None,
        seed_every: object = None,
        seed_every_s: object = None,
        max_fps: object = None,
        min_change: object = None,
        size: object = None,
        aspect: object = None,
        megapixels: object = None,
        replace: bool = False,
        configured: bool = False,
    ) -> Opened:
        """Open a stream, or attach to the one that has this name, workflow and mode. All or nothing.

        A stream whose mode was switched by `live` still counts as one of the mode that it was opened in. When it
        attaches, `params`, `seed_policy`, `seed`, `max_fps` and `size` are set if given. `aspect` and `megapixels`
        stand for a size that is snapped (see `sizes`); what they leave open is as it was, or the workflow's own.
        `replace` makes a stream of another workflow or mode anew: its name, number and viewers stay, values begin from
        the defaults.

        Raises: InvalidValueError (307 bad_name, 305 bad_size, and for params), UnknownNameError (204),
        NotAllowedError (404 stream_exists, 406 too_many_streams). Source: wire contract, Engine link.
        """
        name = check_stream_name(name)
        fps = check_max_fps(max_fps)
        own_seed = None if seed is None else check_seed(seed)
        change = check_min_change(min_change)
        every, every_s = check_seed_every(seed_every), check_seed_every_s(seed_every_s)
        stream = self._by_name.get(name)
        attaches = (
            stream is not None and stream.workflow.name == workflow.name and mode in (stream.mode, stream.opened_mode)
        )
        before = None if stream is None else stream.picture_size
        own_size, shape = _asked_size(workflow, stream if attaches else None, size, aspect, megapixels)
        if stream is None:
            stream, changed = self._create(name, workflow, mode, params, now)
            opened = Opened(stream, created=True, changed=changed)
        elif attaches:
            opened = Opened(stream, created=False, changed=stream.values.set(params or {}))
        elif replace:
            opened = Opened(stream, created=True, replaced=True, changed=self._remake(stream, workflow, mode, params))
        else:
            raise NotAllowedError(
                f"stream {name!r} is there with workflow {stream.workflow.name!r} in mode {stream.mode}; "
                "open it as that, take another name, or say replace",
                code=ErrorCode.STREAM_EXISTS,
                field="stream",
                value=name,
                limit=f"{stream.workflow.name} {stream.mode}",
            )
        self._apply(stream, fresh=opened.created, seed_policy=seed_policy, seed=own_seed, fps=fps)
        if opened.created or change is not None:
            stream.min_change = change
        stream.seeds.use_steps(
            1 if opened.created and every is None else every, 0.0 if opened.created and every_s is None else every_s
        )
        if opened.created or own_size is not None:
            stream.size, stream.shape = own_size, shape
        stream.configured = stream.configured or configured
        if session is not None:
            stream.attach(session)
        is_new = opened.created and not opened.replaced
        return opened if is_new else replace_fields(opened, resized=opened.stream.picture_size != before)

    def _create(
        self, name: str, workflow: WorkflowSpec, mode: Mode, params: Mapping[str, object] | None, now: float
    ) -> tuple[Stream, tuple[str, ...]]:
        if len(self._by_name) >= self._limit:
            raise NotAllowedError(
                f"{len(self._by_name)} streams are open, the limit; close one first",
                code=ErrorCode.TOO_MANY_STREAMS,
                field="stream",
                value=name,
                limit=self._limit,
            )
        values = Values(workflow.parameters, limits=self._value_limits)
        changed = values.set(params or {})
        stream = Stream(self._next_number, name, workflow, mode, now=now, values=values)
        self._next_number += 1
        self._by_name[name] = stream
        self._by_number[stream.number] = stream
        return stream, changed

    def _remake(
        self, stream: Stream, workflow: WorkflowSpec, mode: Mode, params: Mapping[str, object] | None
    ) -> tuple[str, ...]:
        # Checked against the new workflow before anything is touched.
        checked = Values(workflow.parameters, limits=self._value_limits).check(params or {})
        stream.change_workflow(workflow, carry=False)
        stream.use_mode(mode)
        return stream.values.set(checked)

    @staticmethod
    def _apply(
        stream: Stream,
        *,
        fresh: bool,
        seed_policy: SeedPolicy | None,
        seed: int | None,
        fps: float | None,
    ) -> None:
        if fresh or seed_policy is not None:
            stream.seed_policy = seed_policy or SeedPolicy.FIXED
        if fresh or fps is not None:
            stream.max_fps = fps
        if seed is not None:
            stream.seed = seed

    def remove(self, stream: Stream) -> None:
        """Take a stream out at once. Its number is never given again."""
        if self._by_number.pop(stream.number, None) is not None:
            del self._by_name[stream.name]

    def session_away(self, session: int, now: float) -> None:
        """Tell all streams that a session's connection has gone; it may come back."""
        for stream in self._by_name.values():
            stream.session_away(session, now)

    def session_back(self, session: int, now: float) -> None:
        """Tell all streams that a session is connected again."""
        for stream in self._by_name.values():
            stream.session_back(session, now)

    def session_ended(self, session: int, now: float) -> None:
        """Tell all streams that a session won't come back."""
        for stream in self._by_name.values():
            stream.session_ended(session, now)

    def next_deadline(self) -> float | None:
        """Give when the next stream ends unless somebody comes, or None."""
        return min((d for stream in self._by_name.values() if (d := stream.deadline) is not None), default=None)

    def expire(self, now: float) -> list[Stream]:
        """Take out, and give, the streams that have been alone for 30 s. Streams from the config stay always."""
        ended = [stream for stream in self._by_name.values() if (d := stream.deadline) is not None and d <= now]
        for stream in ended:
            self.remove(stream)
        return ended


def _asked_size(
    workflow: WorkflowSpec, stream: Stream | None, size: object, aspect: object, megapixels: object
) -> tuple[Size | None, Shape | None]:
    """Give the size that an `open` asks for, None if for none, and the whole shape if by one.

    Raises InvalidValueError (305, 301, 308).
    """
    shape = check_shape(aspect, megapixels)
    if shape is None:
        return None if size is None else check_size(workflow, size), None
    if size is not None:
        raise InvalidValueError(
            f"size {shown(size)} beside {shape}: say the size, or aspect and megapixels",
            code=ErrorCode.BAD_SIZE,
            field="size",
            value=plain(size),
            limit="size alone, or aspect and megapixels",
        )
    if stream is not None:
        shape = stream.whole_shape(shape)
    elif workflow.size is not None:
        shape = shape.over(shape_of(workflow.size))
    return shaped_size(workflow, shape), shape
