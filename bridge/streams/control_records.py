"""The records that OSC controls become: what somebody asked for, typed and checked. Source: wire contract, OSC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bridge.errors import ErrorCode
from bridge.types import Size, Value


@dataclass(frozen=True, slots=True)
class SetValues:
    """Checked and clamped values for parameters of one stream."""

    stream: str
    params: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RunRequested:
    """Make one picture; `params` become the stream's values first. `seed` is for this one alone, None: the stream's."""

    stream: str
    params: Mapping[str, Value] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Cancel what was requested of this stream over OSC."""

    stream: str


@dataclass(frozen=True, slots=True)
class LiveSwitched:
    """Go live, or back to the mode before."""

    stream: str
    on: bool
    fade_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SeedSet:
    """The seed of the next picture, 0..2^64-1."""

    stream: str
    seed: int


@dataclass(frozen=True, slots=True)
class SizeSet:
    """The size asked for, in pixels; still to be snapped to the workflow's step."""

    stream: str
    size: Size


@dataclass(frozen=True, slots=True)
class WorkflowSet:
    """Another workflow for this stream; the name is not checked here."""

    stream: str
    workflow: str


@dataclass(frozen=True, slots=True)
class PanicPressed:
    """Everything stops now."""


@dataclass(frozen=True, slots=True)
class ResumePressed:
    """Panic is over."""


@dataclass(frozen=True, slots=True)
class RefreshRequested:
    """Send all values again."""


@dataclass(frozen=True, slots=True)
class ReplyRegistered:
    """Status goes to this port of the sender, 1..65535; 0 takes it back."""

    port: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """Rightly nothing: a button's release."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message did nothing, or not all it could. `nearest` is the nearest right address, if any looks alike."""

    address: str
    code: ErrorCode
    message: str
    nearest: str | None = None


Control: TypeAlias = (
    SetValues
    | RunRequested
    | CancelRequested
    | LiveSwitched
    | SeedSet
    | SizeSet
    | WorkflowSet
    | PanicPressed
    | ResumePressed
    | RefreshRequested
    | ReplyRegistered
    | Ignored
    | Rejected
)


def merge_controls(controls: Iterable[Control]) -> list[Control]:
    """Give the controls of a bundle with neighbouring SetValues of one stream made one: one revision of its values.

    Order is kept: values that follow a run (or anything else but values) of the same stream stay behind it.
    """
    merged: list[Control] = []
    open_sets: dict[str, int] = {}
    for control in controls:
        if isinstance(control, SetValues):
            place = open_sets.get(control.stream)
            before = None if place is None else merged[place]
            if place is not None and isinstance(before, SetValues):
                merged[place] = SetValues(control.stream, {**before.params, **control.params})
                continue
            open_sets[control.stream] = len(merged)
        elif isinstance(control, PanicPressed | ResumePressed):
            open_sets.clear()
        elif not isinstance(control, Ignored | Rejected | RefreshRequested | ReplyRegistered):
            open_sets.pop(control.stream, None)
        merged.append(control)
    return merged
