"""Foreign controllers: what a message of any address means after `[[map]]`, with range, curve, smoothing and silence.

Pure: time is passed in. A mapping is fed with numbers when a message comes, and asked for its value whenever one is
needed, so that a smoothed value is exact at the moment a picture is bound. Source: protocols/osc.md, Maps.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from typing import Final

from bridge.errors import ErrorCode
from bridge.streams.arguments import is_impulse, read_number, spread
from bridge.streams.components import find_below
from bridge.streams.control_records import Control, Ignored, Moving, Rejected
from bridge.streams.controls import TOLD, PatternBudget, StreamParameters, read_controls
from bridge.streams.names import shown
from bridge.streams.norm import curved, norm_of, rounded, uncurved
from bridge.types import Curve, ParameterSpec, ParameterType, Value

SETTLED: Final = 7.0
"""Time constants until a smoothed value is taken as there: less than a thousandth of the way is left."""

TICK_S: Final = 1 / 30
MAX_REMEMBERED: Final = 1_024
LARGEST: Final = 1e300

BUTTONS: Final = frozenset({"run", "cancel", "panic", "resume", "refresh"})
SWITCHES: Final = frozenset({"live", "freeze", "blackout"})
NO_VALUES: Final = BUTTONS | SWITCHES | {"seed", "size", "workflow"}
_PATTERN: Final = frozenset("*?[]{}")
_WHOLE: Final = frozenset({ParameterType.INT, ParameterType.SEED, ParameterType.CHOICE})


@dataclass(frozen=True, slots=True)
class MapSpec:
    """One `[[map]]`, checked.

    `address` may hold a pattern; `to` is a whole address of ours. `argument` is the place of the one that counts, None
    for all. `plain` passes arguments on as they come; else numbers go from `low..high` to `out_low..out_high`.
    """

    address: str
    to: str
    argument: int | None = None
    plain: bool = False
    low: float = 0.0
    high: float = 1.0
    out_low: float = 0.0
    out_high: float = 1.0
    curve: Curve = Curve.LINEAR
    clamp: bool = True
    invert: bool = False
    smoothing_s: float = 0.0
    deadband: float = 0.0
    silent_after_s: float | None = None
    silent_value: float = 0.0
    feedback: bool = False

    def unmapped(self, number: float) -> float:
        """Give the number that came where `mapped` gives this one, or the nearest that may come."""
        if self.clamp:
            share = uncurved(number, self.out_low, self.out_high, self.curve)
        else:
            share = (number - self.out_low) / (self.out_high - self.out_low) if self.out_high != self.out_low else 0.0
        if self.invert:
            share = 1 - share
        return self.low * (1 - share) + self.high * share

    def mapped(self, number: float) -> float:
        """Give what a number that came becomes. `low` and `high` differ; without `clamp` the curve is linear."""
        share = (number - self.low) / (self.high - self.low)
        if self.invert:
            share = 1 - share
        if self.clamp:
            return curved(min(max(share, 0.0), 1.0), self.out_low, self.out_high, self.curve)
        return self.out_low + share * (self.out_high - self.out_low)


class Mapping:
    """One map at work: where its numbers are now, and where they go."""

    def __init__(self, spec: MapSpec) -> None:
        self.spec = spec
        self.source: object = None
        """Who moved it last."""
        self._target: tuple[float, ...] | None = None
        self._start: tuple[float, ...] = ()
        self._moved_at = 0.0
        self._settled = True
        self._silent_at: float | None = None
        self.pressed = False
        """Of a button or switch: whether it is down."""

    def feed(self, numbers: tuple[float, ...], now: float) -> bool:
        """Take numbers that came; False if they are within the deadband of the last ones."""
        spec = self.spec
        if spec.silent_after_s is not None:
            self._silent_at = now + spec.silent_after_s
        target = tuple(spec.mapped(number) for number in numbers)
        if self._target is not None and len(target) == len(self._target):
            ends = (spec.out_low, spec.out_high)
            # The ends are always taken: else a fader that is pulled down slowly would stop just before them.
            if all(
                new == old or (abs(new - old) < spec.deadband and new not in ends)
                for new, old in zip(target, self._target, strict=True)
            ):
                return False
        self._go(target, now)
        return True

    def _go(self, target: tuple[float, ...], now: float) -> None:
        held = self.value(now)
        # The first numbers hold at once: there is nowhere to come from.
        self._start = held if held is not None and len(held) == len(target) else target
        self._target = target
        self._moved_at = now
        self._settled = self.spec.smoothing_s <= 0

    def value(self, now: float) -> tuple[float, ...] | None:
        """Give its numbers at `now`, None before the first message. Exact targets once it has settled."""
        if self._target is None:
            return None
        tau = self.spec.smoothing_s
        passed = now - self._moved_at
        if tau <= 0 or passed >= SETTLED * tau:
            return self._target
        left = math.exp(-max(passed, 0.0) / tau)
        return tuple(to + (start - to) * left for start, to in zip(self._start, self._target, strict=True))

    @property
    def moving(self) -> bool:
        """Whether its value is another one a moment later."""
        return not self._settled

    @property
    def silent_at(self) -> float | None:
        """When the sender counts as silent unless something comes; None: never, or it is already."""
        return self._silent_at

    def advance(self, now: float) -> tuple[float, ...] | None:
        """Give the numbers at `now` for who sets them; notes that it has settled, or that its sender is silent."""
        if self._silent_at is not None and now >= self._silent_at and self._target is not None:
            self._silent_at = None
            self.source = None  # nobody sent this: the sender is told too
            self._go((self.spec.silent_value,) * len(self._target), now)
        if not self._settled and now >= self._moved_at + SETTLED * self.spec.smoothing_s:
            self._settled = True
        return self.value(now)

    def stop(self) -> None:
        """Go no further: what it moves is no longer there."""
        self._settled = True
        self._silent_at = None


class Mappings:
    """All maps: which of them a message is for, and what is due.

    Args:
        specs: the maps, in the order of the configuration.
        match_part: tells whether one part of an OSC pattern matches a name.
    """

    def __init__(self, specs: Sequence[MapSpec], match_part: Callable[[str, str], bool]) -> None:
        self._mappings = tuple(Mapping(spec) for spec in specs)
        self._match_part = match_part
        self._found: OrderedDict[str, tuple[Mapping, ...]] = OrderedDict()
        self._tick_at = 0.0

    def __len__(self) -> int:
        return len(self._mappings)

    def find(self, address: str) -> tuple[Mapping, ...]:
        """Give the maps that take this address."""
        if not self._mappings:
            return ()
        found = self._found.get(address)
        if found is None:
            found = tuple(mapping for mapping in self._mappings if self._takes(mapping.spec.address, address))
            self._found[address] = found
            if len(self._found) > MAX_REMEMBERED:
                self._found.popitem(last=False)
        return found

    def told(self, stream: str, spec: ParameterSpec, value: Value) -> list[tuple[str, tuple[float | str, ...]]]:
        """Give the addresses of maps with `feedback` that move a parameter, and what each would have to send for it."""
        start = f"/texbridge/{stream}/{spec.name}"
        found = []
        for mapping in self._mappings:
            to = mapping.spec.to
            if mapping.spec.feedback and (to == start or to.startswith(f"{start}/")):
                arguments = _incoming(mapping.spec, spec, value)
                if arguments is not None:
                    found.append((mapping.spec.address, arguments))
        return found

    def _takes(self, pattern: str, address: str) -> bool:
        if _PATTERN.isdisjoint(pattern):
            return pattern == address
        parts, names = pattern.split("/"), address.split("/")
        return len(parts) == len(names) and all(map(self._match_part, parts, names))

    def read(
        self,
        mapping: Mapping,
        arguments: Sequence[object],
        streams: AbstractMapping[str, StreamParameters],
        now: float,
        source: object = None,
    ) -> tuple[Control, ...]:
        """Give what a message for this map asks for. Raises nothing."""
        spec = mapping.spec
        arguments = spread(arguments)
        if spec.argument is not None and spec.argument >= len(arguments):
            message = (
                f"the map of {spec.address} to {spec.to} takes argument {spec.argument}, counted from 0, and the "
                f"message has {len(arguments) or 'none'}"
            )
            return (Rejected(spec.address[:200], ErrorCode.WRONG_COMPONENTS, message),)
        if spec.argument is not None:
            arguments = arguments[spec.argument : spec.argument + 1]
        if spec.plain:
            return self._controls(spec.to, arguments, streams)
        numbers = tuple(_number(argument) for argument in arguments)
        # Without clamp a number that a double just holds may become one that it doesn't: no way leads back from there.
        if not numbers or not all(math.isfinite(n) and abs(spec.mapped(n)) <= LARGEST for n in numbers):
            given = shown(tuple(arguments)) if arguments else "nothing"
            message = f"the map of {spec.address} to {spec.to} takes finite numbers; got {given}"
            return (Rejected(spec.address[:200], ErrorCode.WRONG_TYPE, message),)
        mapping.source = source
        if not mapping.feed(numbers, now):
            return (Ignored(f"map to {spec.to}: where it is already"),)
        if mapping.moving:
            return (Moving(spec.to, tuple(map(spec.mapped, numbers)), spec.smoothing_s),)
        return self.controls(mapping, mapping.value(now) or (), streams)

    def controls(
        self, mapping: Mapping, numbers: tuple[float, ...], streams: AbstractMapping[str, StreamParameters]
    ) -> tuple[Control, ...]:
        """Give what these numbers of a map ask for: a value, or the press of a button when they pass a half."""
        to = mapping.spec.to
        word = to.rpartition("/")[2]
        parts = to.split("/")
        is_control = len(parts) == 3 or (len(parts) == 4 and word in BUTTONS | SWITCHES)
        if is_control:
            was, mapping.pressed = mapping.pressed, numbers[0] >= 0.5
            if was is mapping.pressed or (word in BUTTONS and not mapping.pressed):
                return (Ignored(f"map to {to}: {'still down' if mapping.pressed else 'up'}"),)
            return self._controls(to, (int(mapping.pressed),), streams)
        return self._controls(to, _as_target(parts, numbers, streams), streams)

    def _controls(
        self, to: str, arguments: Sequence[object], streams: AbstractMapping[str, StreamParameters]
    ) -> tuple[Control, ...]:
        return read_controls(to, arguments, streams, self._match_part, PatternBudget(0))

    # --- what moves by itself ------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `due` has something to give."""
        silent = [mapping.silent_at for mapping in self._mappings if mapping.silent_at is not None]
        if any(mapping.moving for mapping in self._mappings):
            silent.append(self._tick_at)
        return min(silent, default=None)

    def due(self, now: float) -> list[tuple[Mapping, tuple[float, ...]]]:
        """Give the maps that move, or whose sender fell silent, with their numbers at `now`."""
        found = []
        for mapping in self._mappings:
            if mapping.moving or (mapping.silent_at is not None and now >= mapping.silent_at):
                numbers = mapping.advance(now)
                if numbers is not None:
                    found.append((mapping, numbers))
        self._tick_at = now + TICK_S
        return found

    def moving_to(self, stream: str, now: float) -> list[tuple[Mapping, tuple[float, ...]]]:
        """Give the moving maps to parameters of this stream with their numbers at `now`: asked when one is bound."""
        start = f"/texbridge/{stream}/"
        found = []
        for mapping in self._mappings:
            is_value = mapping.spec.to.startswith(start) and mapping.spec.to.split("/")[3] not in NO_VALUES
            if mapping.moving and is_value:
                numbers = mapping.value(now)
                if numbers is not None:
                    found.append((mapping, numbers))
        return found


def _incoming(entry: MapSpec, spec: ParameterSpec, value: Value) -> tuple[float | str, ...] | None:
    """Give what a controller sends for this value of the map's target; None for a picture, or what isn't there."""
    below = find_below(spec, entry.to.split("/")[4:])
    if below is None:
        return None
    numbers = norm_of(spec, value) if below.norm else _plain_numbers(spec, value, entry.plain)
    if numbers is None or (below.place is not None and below.place >= len(numbers)):
        return None
    if below.place is not None:
        numbers = numbers[below.place : below.place + 1]
    if entry.plain:
        return numbers
    return tuple(entry.unmapped(number) for number in numbers if not isinstance(number, str))


def _plain_numbers(spec: ParameterSpec, value: Value, texts: bool) -> tuple[float | str, ...] | None:
    """Give a value as numbers in real units: a choice as its index, or as its text where `texts` may go out."""
    if isinstance(value, str):
        if texts:
            return (value,)
        return (float(spec.choices.index(value)),) if value in spec.choices else None
    if isinstance(value, tuple):
        return tuple(float(number) for number in value)
    return (float(value),) if isinstance(value, bool | int | float) else None


def _number(argument: object) -> float:
    """Give an argument as a number: `T F I` too; NaN for what is none."""
    if isinstance(argument, bool) or is_impulse(argument):
        return float(argument is not False)
    number = read_number(argument)
    try:
        return math.nan if number is None else float(number)
    except OverflowError:
        return math.inf


def _as_target(
    parts: Sequence[str], numbers: tuple[float, ...], streams: AbstractMapping[str, StreamParameters]
) -> tuple[object, ...]:
    """Give numbers as the target takes them: whole ones for an int, on or off for a bool."""
    stream = streams.get(parts[2])
    spec = None if stream is None else stream.parameters.get(parts[3])
    if parts[3] in ("seed", "size") and len(parts) == 4:
        return tuple(map(rounded, numbers))
    if spec is None or find_below(spec, parts[4:]) is None or len(parts) > 4:
        return numbers
    if spec.type in _WHOLE:
        return tuple(map(rounded, numbers))
    if spec.type is ParameterType.BOOL:
        return tuple(number >= 0.5 for number in numbers)
    return numbers


def check_target(to: str, streams: AbstractMapping[str, StreamParameters]) -> str | None:
    """Give what is wrong with a map's target, with the nearest right one; None if it is an address of ours."""
    if not _PATTERN.isdisjoint(to):
        return f"{to} has a pattern; a map moves one thing"
    wrong = {
        ErrorCode.UNKNOWN_ADDRESS,
        ErrorCode.UNKNOWN_STREAM,
        ErrorCode.UNKNOWN_PARAMETER,
        ErrorCode.NOT_SUPPORTED,
    }
    for control in read_controls(to, (), streams, lambda pattern, name: pattern == name):
        if isinstance(control, Rejected) and control.code in wrong:
            return control.message
    if to.rpartition("/")[2] in TOLD:
        return f"{to} is what a bridge tells; a map moves what it can be told"
    if to.rpartition("/")[2] == "reply" and to.count("/") == 2:
        return f"{to} can't be moved by a map"
    return None
