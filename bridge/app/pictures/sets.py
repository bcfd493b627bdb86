"""Sets of pictures on their way from a backend to their release, and who says which of them count."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bridge.app.records import Request, release_all
from bridge.app.viewers.viewers import Wants
from bridge.errors import BackendError, ErrorCode, PictureDecodeError, TexbridgeError
from bridge.frames.decode import DecodeLineFullError
from bridge.frames.packets import Payload, PayloadSource
from bridge.types import OutputKind


class Judge(Protocol):
    """Who says which results count: the scheduler."""

    def wants(self, attempt: int) -> bool:
        """True if a picture of this attempt would be released now."""
        ...

    def release(self, attempt: int, *, last: bool) -> bool:
        """True if a picture of this attempt, the `last` one or not, may be shown now."""
        ...

    def is_older(self, attempt: int, other: int) -> bool:
        """True if the values of `attempt` were bound before those of `other`."""
        ...


@dataclass(slots=True, eq=False)
class PictureSet:
    """The pictures of all outputs for one index of one attempt, between the first of them and its release."""

    attempt: AttemptPictures
    index: int
    sources: dict[int, PayloadSource] = field(default_factory=dict)
    posted_at: float = 0.0
    received_at: float = 0.0
    waiting_bytes: int = 0
    """Of its pictures, as long as it waits for those of other outputs."""
    before: PictureSet | None = None
    overtaken: bool = False
    started: bool = False
    held_back: bool = False
    """A frame that came before its turn."""
    released: bool = False
    last_known: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def earlier(self, steps: int) -> PictureSet | None:
        """The set that is shown so many sets before this one and is not over yet; None if there is none."""
        made: PictureSet | None = self
        for _ in range(steps):
            made = None if made is None else made.before
        return made

    def at_once(self, wants: Wants) -> tuple[tuple[int, Payload], ...] | None:
        """Its payloads in one form if they can be had at once, the caller's to release; else None.

        An output that the set doesn't have is left out.
        """
        outputs, spec = wants
        payloads: list[tuple[int, Payload]] = []
        for output in outputs:
            source = self.sources.get(output)
            if source is None:
                continue
            payload = None if source.closed else source.ready(spec)
            if payload is None:
                release_all(payloads)
                return None
            payloads.append((output, payload))
        return tuple(payloads)

    @property
    def byte_count(self) -> int:
        """What its pictures take as they came, about."""
        return sum(source.byte_count for source in self.sources.values())

    def close(self) -> None:
        """Nobody new gets these pictures."""
        for source in self.sources.values():
            source.close()


async def first_usable(making: Iterable[asyncio.Future[tuple[tuple[int, Payload], ...] | None]]) -> bool:
    """Wait for the first form of a set that is ready; False if nobody wants the set any more.

    A form that can't be made (its buffer is too large, for instance) is its viewer's affair: the set is good.

    Raises:
        PictureDecodeError: a picture that doesn't decode is no picture.
        DecodeLineFullError: nobody gets it, since the decoders' line is full of others' pictures.
    """
    waiting = set(making)
    failed = False
    full: DecodeLineFullError | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if isinstance(error, PictureDecodeError):
                raise error
            if isinstance(error, DecodeLineFullError):
                full = error
            elif error is not None:
                failed = True
            elif task.result() is not None:
                return True
    if full is not None and not failed:
        raise full
    return failed


@dataclass(frozen=True, slots=True)
class InWork:
    """The set that an attempt is making now."""

    request: Request
    index: int
    client_times: Mapping[int, int]


@dataclass(slots=True, eq=False)
class AttemptPictures:
    """What came of one attempt so far, and what is still open."""

    number: int
    request: Request
    outputs: tuple[OutputKind, ...]
    client_times: dict[int, int]
    output_nodes: dict[str, int]
    is_open: bool = False
    """An output of it may run again and again: how many pictures it sends shows at the prompt's end."""
    sets: dict[int, PictureSet] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    """Pictures that came, by output."""
    announced: dict[int, int] = field(default_factory=dict)
    """Pictures that are to come in all, by output, as far as it said so."""
    unwanted: int = 0
    ended: bool = False
    open_sets: int = 0
    error: TexbridgeError | None = None
    overtaken: int = 0

    def announce(self, output: int, value: float, maximum: float) -> None:
        """An output tells its progress, once per picture; one that is run again begins again at 0."""
        if value > 0 and output in self.announced:
            return
        self.announced[output] = self.announced.get(output, 0) + int(maximum)

    @property
    def total(self) -> int | None:
        """How many sets there will be; None as long as nobody knows."""
        return None if self.is_open or not self.announced else max(self.announced.values())

    def shortage(self) -> BackendError | None:
        """What is missing, now that the prompt is over: pictures of an output that others have, or that it announced.

        Pictures are paired by their place within each output, so there must be as many of each. Of a prompt that was
        not wanted to its end, and of a frame of a sequence, of which the first picture counts, not all need to be here.
        """
        names = [output.name for output in self.request.workflow.spec.outputs]
        whole = not self.unwanted and self.request.index is None
        most = max((self.counts[output] for output in range(len(names))), default=0)
        wanted = max(most, *(self.announced.values() if whole else (0,)), 0 if self.unwanted else 1)
        short = [output for output in range(len(names)) if self.counts[output] < wanted]
        if not short:
            return None
        if most:
            told = ", ".join(f"{names[output]} with {self.counts[output]}" for output in short)
            why = "each picture of a batch needs all its outputs" if len(names) > 1 else "look at ComfyUI's log"
            message = f"request {self.request.number} came without all its pictures: {told} of {wanted}; {why}"
        else:
            message = f"no picture of request {self.request.number} came from ComfyUI, and the prompt is over"
        return BackendError(message, code=ErrorCode.NO_IMAGE, value=self.counts[short[0]], limit=wanted)

    @property
    def index_in_work(self) -> int | None:
        """The index of the set that is in the making; None if a whole one is not shown yet, or no more come."""
        whole = 0
        while (made := self.sets.get(whole)) is not None and made.started:
            if not made.over.is_set():
                return None
            whole += 1
        return None if self.ended or (self.total is not None and whole >= self.total) else whole
