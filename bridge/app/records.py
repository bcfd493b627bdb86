"""What the app keeps of requests and of the sets that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.frames.packets import Payload
from bridge.streams.stream import Stream
from bridge.streams.values import Snapshot
from bridge.types import Size
from bridge.workflow.workflow import Workflow


@dataclass(slots=True, eq=False)
class Request:
    """One request between acceptance and its terminal answer, and what its answer will say.

    `session` is the link session that asked, None for OSC and for a live stream's own pictures (`generation`).
    """

    number: int
    stream: Stream
    workflow: Workflow
    snapshot: Snapshot
    size: Size | None
    accepted_at: float
    session: int | None = None
    generation: bool = False
    warm_up: bool = False
    """Its pictures are dropped: it only loads what later ones need."""
    backend: str = ""
    """Where its newest prompt was posted."""
    own_seed: int | None = None
    seed: int | None = None
    """The one that was bound last."""
    submitted_at: float = 0.0
    received_at: float = 0.0
    """When the last picture's bytes came."""
    comfy_s: float = 0.0
    frames: int = 0
    number_of_last: int = 0
    pictures: int = 0
    cached: bool = False
    """Everything but the outputs of its newest prompt was in ComfyUI's cache."""
    pictures_s: float = 0.0
    """What it took to make its pictures ready and bring them to the backend, the last time; 0 without any."""
    transfer: str = ""
    """How its last picture came from ComfyUI: `raw`, `jpeg`, `webp` or `png`."""
    index: int | None = None
    """Of a frame of a sequence, whose number it has."""
    is_last: bool = False
    """True of the last frame."""
    memory_freed: bool = False
    """It failed for want of memory, and had another try."""


@dataclass(frozen=True, slots=True, eq=False)
class ReleasedSet:
    """What every viewer of one released set shares. Times are microseconds as in the frame header."""

    number: int
    request: int
    index: int
    last: bool
    client_times: Mapping[int, int] = field(default_factory=dict)
    comfy_us: int = 0
    bridge_us: int = 0
    sequence_of: int | None = None
    """The session that asked for the sequence that it is a frame of."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewerSet:
    """A set on its way to one viewer: (output, payload) pairs, each payload owned once by this record."""

    shared: ReleasedSet
    payloads: tuple[tuple[int, Payload], ...]
    held: bool = False
    preview: bool = False

    @property
    def number(self) -> int:
        """The set's number, 0 for a placeholder."""
        return self.shared.number

    @property
    def payload_bytes(self) -> int:
        """What all its frames take."""
        return sum(payload.payload_bytes for _, payload in self.payloads)

    def share(self) -> ViewerSet:
        """Give the same set with one owner more."""
        for _, payload in self.payloads:
            payload.retain()
        return self

    def release(self) -> None:
        """Give the payloads back: the set was sent, or never will be."""
        release_all(self.payloads)


def release_all(payloads: Iterable[tuple[int, Payload]]) -> None:
    """Give back what was made for a viewer that doesn't get it."""
    for _, payload in payloads:
        payload.release()
