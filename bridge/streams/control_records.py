"""The records that OSC controls become: what somebody asked for, typed and checked. Source: wire contract, OSC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bridge.errors import ErrorCode
from bridge.streams.sizes import Shape
from bridge.types import SeedPolicy, Size, Value


@dataclass(frozen=True, slots=True)
class Components:
    """Some numbers of a colour or vector, checked, by their place from 0; the others keep the values that hold."""

    numbers: Mapping[int, float]

    def over(self, held: tuple[float, ...]) -> tuple[float, ...]:
        """Give `held` with these numbers in it."""
        return tuple(self.numbers.get(place, number) for place, number in enumerate(held))


@dataclass(frozen=True, slots=True)
class SetValues:
    """Checked and clamped values for parameters of one stream, whole ones or components of them."""

    stream: str
    params: Mapping[str, Value | Components]


@dataclass(frozen=True, slots=True)
class RunRequested:
    """Make one picture; `params` become the stream's values first. `seed` is for this one alone, None: the stream's."""

    stream: str
    params: Mapping[str, Value] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class RunDoubled:
    """The same packet came twice, so its run is the one that was asked for already."""

    stream: str


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
class FreezeSwitched:
    """Hold the picture, or let it go on."""

    stream: str
    on: bool
    fade_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BlackoutSwitched:
    """Show black, or the picture again."""

    stream: str
    on: bool
    fade_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SeedSet:
    """The seed of the next picture, 0..2^64-1."""

    stream: str
    seed: int


@dataclass(frozen=True, slots=True)
class SeedSteered:
    """How the seed goes on: by which policy, every so many pictures or seconds, locked or not. None: as it was."""

    stream: str
    policy: SeedPolicy | None = None
    every: int | None = None
    every_s: float | None = None
    lock: bool | None = None


@dataclass(frozen=True, slots=True)
class SizeSet:
    """The size asked for, in pixels; still to be snapped to the workflow's step."""

    stream: str
    size: Size


@dataclass(frozen=True, slots=True)
class ShapeSet:
    """The size asked for by aspect and megapixels; still to become one that the workflow makes."""

    stream: str
    shape: Shape


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
    """Status goes to this port of the sender, 1..65535; 0 takes it back. `norm`: values as 0..1 too."""

    port: int
    norm: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Rightly nothing: a button's release."""

    reason: str


@dataclass(frozen=True, slots=True)
class Moving:
    """A map took numbers that are reached later, with its smoothing; nothing to do now."""

    to: str
    numbers: tuple[float, ...]
    smoothing_s: float


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
    | RunDoubled
    | CancelRequested
    | LiveSwitched
    | FreezeSwitched
    | BlackoutSwitched
    | SeedSet
    | SeedSteered
    | SizeSet
    | ShapeSet
    | WorkflowSet
    | PanicPressed
    | ResumePressed
    | RefreshRequested
    | ReplyRegistered
    | Ignored
    | Moving
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
                merged[place] = SetValues(control.stream, _merged(before.params, control.params))
                continue
            open_sets[control.stream] = len(merged)
        elif isinstance(control, PanicPressed | ResumePressed):
            open_sets.clear()
        elif not isinstance(control, Ignored | RunDoubled | Moving | Rejected | RefreshRequested | ReplyRegistered):
            open_sets.pop(control.stream, None)
        merged.append(control)
    return merged


def _merged(
    before: Mapping[str, Value | Components], after: Mapping[str, Value | Components]
) -> dict[str, Value | Components]:
    """Give the values of `before`, then of `after`: components go into what is there, a whole value replaces it."""
    merged = dict(before)
    for name, value in after.items():
        held = merged.get(name)
        if isinstance(value, Components) and isinstance(held, Components):
            value = Components({**held.numbers, **value.numbers})
        elif isinstance(value, Components) and isinstance(held, tuple):
            value = value.over(held)
        merged[name] = value
    return merged
