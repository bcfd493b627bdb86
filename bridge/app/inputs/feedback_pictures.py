"""Loops: a stream's last picture goes back into an image parameter of its own workflow, for the next one.

The last picture is at two places: in the memory of the ComfyUI that made it, if that has the node pack, and here. A
prompt that goes to that ComfyUI names it there, and no pixels travel; every other one gets the bridge's own: moved in a
decoder's thread, and brought up as any picture is. So no stream is tied to a backend, and one that is lost costs the
loop nothing but the difference between floats and eight bits. The scheduler sees to it that a loop has one prompt on
its way at a time (`StreamConfigured.chained`).

A loop begins with the parameter's own picture, or black, and begins anew with another picture there, after panic (which
may have been for what was in it), and when its switch is set.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from bridge.app.inputs.uploads import PictureUploads, raw_picture
from bridge.app.records import ReleasedSet, Request
from bridge.backends.comfy import ComfyBackend
from bridge.codec.feedback_moves import color_statistics, move_picture
from bridge.codec.picture_header import Buffer, PictureLimits
from bridge.codec.pixels import Pixels
from bridge.errors import BridgeError, ErrorCode
from bridge.frames.decode import DecodePool
from bridge.frames.decoders import decoders
from bridge.frames.packets import PayloadSource, Undecoded
from bridge.streams.stream import Stream
from bridge.types import (
    ColorMatch,
    FeedbackRule,
    Origin,
    Picture,
    PictureRule,
    PixelFormat,
    RawPicture,
    Size,
    Value,
)
from bridge.workflow.feedback import feedback_is_on, feedback_match, feedback_move
from bridge.workflow.nodes import Keep, kept_ticket, takes_kept

T = TypeVar("T")

DEFAULT_SIZE: Final = Size(512, 512)
"""Of the black picture that a loop begins with, where the graph alone knows its size."""

KEPT_SHARE: Final = 0.8
"""Of the time for which a ComfyUI keeps a picture that nobody uses: later the bridge's own is safer."""

Statistics: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


class _Kept(NamedTuple):
    """A picture in a ComfyUI's memory. `learned` is how often that was asked what it is, `ends_at` when it may go."""

    backend: str
    learned: int
    name: str
    ends_at: float


@dataclass(slots=True, eq=False)
class _Loop:
    """What a stream's loop has made so far. `start` is the parameter's value that it began with."""

    workflow: str
    start: Value
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    picture: Buffer | Pixels | Undecoded | None = None
    """The last picture as it came; None until there is one."""
    kept: _Kept | None = None
    """Which backend has it in its memory."""
    pending: tuple[int, _Kept] | None = None
    """The request on its way, and where its picture will be kept."""
    reference: Statistics | None = None
    """What colours are held to; None while they aren't."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One picture's part of a loop: what it is made of, as its prompt is decided on."""

    loop: _Loop
    rule: FeedbackRule
    values: Mapping[str, Value]


class FeedbackPictures:
    """The loops of one bridge."""

    def __init__(
        self,
        uploads: PictureUploads,
        pool: DecodePool,
        limits: PictureLimits,
        newest: Callable[[int], tuple[ReleasedSet, Mapping[int, PayloadSource]] | None],
        clock: Callable[[], float],
    ) -> None:
        """`newest` gives the last released set of a stream, frozen or not."""
        self._uploads = uploads
        self._pool = pool
        self._limits = limits
        self._newest = newest
        self._clock = clock
        self._loops: dict[int, _Loop] = {}
        self._keeps: dict[int, tuple[int, Keep]] = {}
        """By stream: what its newest attempt is to keep in ComfyUI's memory."""
        self.in_memory = 0
        """Pictures that went back within ComfyUI's memory, and those that went `through` the bridge."""
        self.through = 0

    # --- a prompt ------------------------------------------------------------------------------------------

    def step(self, attempt: int, request: Request, backend: ComfyBackend | None) -> Step | None:
        """What this attempt's picture is made of; None without a loop."""
        spec, number = request.workflow.spec, request.stream.number
        rule, values = spec.feedback, request.snapshot.values
        if rule is None or not feedback_is_on(rule, values):
            if not request.warm_up:
                self._loops.pop(number, None)
            return None
        start = values[rule.parameter]
        if request.warm_up:
            return Step(_Loop(spec.name, start), rule, values)
        loop = self._loops.get(number)
        if loop is None or loop.workflow != spec.name or not _is_same(loop.start, start):
            loop = self._loops[number] = _Loop(spec.name, start)
        loop.pending, keep = None, None
        self._keeps.pop(number, None)
        if backend is not None and backend.nodes.keeps_pictures and not backend.mute:
            keep = Keep(rule.output, f"{loop.name}/{secrets.token_hex(8)}")
            self._keeps[number] = attempt, keep
            facts = backend.nodes.facts
            ends_at = self._clock() + (0.0 if facts is None else KEPT_SHARE * facts.keep_s)
            loop.pending = (request.number, _Kept(backend.name, backend.nodes.learned, keep.name, ends_at))
        return Step(loop, rule, values)

    async def bring(
        self,
        backend: ComfyBackend,
        attempt: int,
        request: Request,
        pictures: Mapping[str, Picture | RawPicture],
        step: Step | None,
    ) -> dict[str, str]:
        """Bring a request's pictures to a backend, with what its loop puts in; as `PictureUploads.bring`."""
        if step is None:
            return await self._uploads.bring(backend, attempt, request, pictures)
        rule, loop = step.rule, step.loop
        others = {name: picture for name, picture in pictures.items() if name != rule.parameter}
        size = request.size or request.workflow.spec.size
        if loop.picture is None:
            start = loop.start if isinstance(loop.start, Picture | RawPicture) else _black(size or DEFAULT_SIZE)
            return await self._uploads.bring(backend, attempt, request, {**others, rule.parameter: start})
        match = await self._match(loop, step.values)
        move, size = feedback_move(rule, step.values), size if rule.sized else None
        kept = loop.kept
        if kept is not None and self._is_there(kept, backend) and takes_kept(request.workflow, rule.parameter):
            self.in_memory += 1
            ticket = kept_ticket(kept.name, move, size, match)
            names = await self._uploads.bring(backend, attempt, request, others) if others else {}
            return {**names, rule.parameter: ticket}
        self.through += 1
        work = partial(_pixels, loop.picture, self._limits)
        moved = await self._in_thread(lambda: raw_picture(move_picture(work(), move, size, match)))
        own = request.workflow.picture_rules[rule.parameter]
        rules = {rule.parameter: PictureRule(lossless=True, alpha=own.alpha)}
        return await self._uploads.bring(backend, attempt, request, {**others, rule.parameter: moved}, rules)

    def _is_there(self, kept: _Kept, backend: ComfyBackend) -> bool:
        nodes = backend.nodes
        same = kept.backend == backend.name and kept.learned == nodes.learned
        return same and nodes.keeps_pictures and self._clock() < kept.ends_at

    async def _match(self, loop: _Loop, values: Mapping[str, Value]) -> ColorMatch | None:
        """What colours are held to: those of the picture that stood when somebody began to hold them."""
        amount = feedback_match(values)
        if not amount:
            loop.reference = None
            return None
        if loop.reference is None:
            assert loop.picture is not None
            work = partial(_pixels, loop.picture, self._limits)
            loop.reference = await self._in_thread(lambda: color_statistics(work()))
        return ColorMatch(amount, *loop.reference)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        made = await self._pool.submit(work)
        if made is None:
            raise BridgeError("pictures are no longer made ready: the bridge is closing", code=ErrorCode.DRAINING)
        return made

    def keep(self, attempt: int, request: Request) -> Keep | None:
        """What this attempt's prompt is to keep in ComfyUI's memory."""
        known = self._keeps.get(request.stream.number)
        return known[1] if known is not None and known[0] == attempt else None

    # --- what comes of it ----------------------------------------------------------------------------------

    def set_released(self, stream: Stream, shared: ReleasedSet) -> None:
        """A stream has a new picture: the next one is made of it."""
        loop, newest = self._loops.get(stream.number), self._newest(stream.number)
        rule = stream.workflow.feedback
        if loop is None or rule is None or newest is None or newest[0] is not shared:
            return
        source = newest[1].get(rule.output)
        if source is None or loop.workflow != stream.workflow.name:
            return
        loop.picture = source.picture
        pending = loop.pending
        loop.kept = pending[1] if pending is not None and pending[0] == shared.request else None

    def failed(self, request: Request | None) -> None:
        """An attempt of a request came to nothing: what ComfyUI keeps is not relied on for the next one."""
        loop = None if request is None else self._loops.get(request.stream.number)
        if loop is not None:
            loop.kept = None

    def forget_stream(self, stream: int) -> None:
        """The stream is gone, or made anew: its loop begins again."""
        self._loops.pop(stream, None)
        self._keeps.pop(stream, None)

    def begin_anew(self) -> None:
        """Every loop begins again, from its first picture."""
        self._loops.clear()


def _is_same(one: Value, two: Value) -> bool:
    """Whether a loop goes on with this value. Pictures are known by themselves: an equal one is never set again."""
    return one is two or (isinstance(one, str) and one == two)


def _black(size: Size) -> RawPicture:
    data = bytes((0, 0, 0, 255)) * (size.width * size.height)
    return RawPicture(*size, PixelFormat.RGBA8, Origin.TOP_LEFT, data)


def _pixels(picture: Buffer | Pixels | Undecoded, limits: PictureLimits) -> Pixels:
    """In a thread: the pixels of a picture as it came."""
    if isinstance(picture, Pixels):
        return picture
    if isinstance(picture, bytes | bytearray | memoryview):
        return decoders.decode(picture, limits)
    return picture.pixels()
