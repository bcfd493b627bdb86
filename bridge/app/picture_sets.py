"""Sets of pictures on their way from a backend to their release, and who says which of them count."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from bridge.app.records import Request
from bridge.errors import TexbridgeError
from bridge.frames.packets import PayloadSource
from bridge.types import OutputKind


class Judge(Protocol):
    """Who says which results count: the scheduler."""

    def wants(self, attempt: int) -> bool:
        """True if a picture of this attempt would be released now."""
        ...

    def release(self, attempt: int) -> bool:
        """True if a picture of this attempt may be shown now."""
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
    before: PictureSet | None = None
    overtaken: bool = False
    started: bool = False
    last_known: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def earlier(self, steps: int) -> PictureSet | None:
        """The set that is shown so many sets before this one and is not over yet; None if there is none."""
        made: PictureSet | None = self
        for _ in range(steps):
            made = None if made is None else made.before
        return made

    def close(self) -> None:
        """Nobody new gets these pictures."""
        for source in self.sources.values():
            source.close()


@dataclass(slots=True, eq=False)
class AttemptPictures:
    """What came of one attempt so far, and what is still open."""

    number: int
    request: Request
    outputs: tuple[OutputKind, ...]
    client_times: dict[int, int]
    output_nodes: dict[str, int]
    sets: dict[int, PictureSet] = field(default_factory=dict)
    pictures: int = 0
    unwanted: int = 0
    total: int | None = None
    ended: bool = False
    open_sets: int = 0
    error: TexbridgeError | None = None
    overtaken: int = 0
