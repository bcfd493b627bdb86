"""A parameter's type, range and default, and how its value becomes what the node's input takes.

What the binding doesn't say comes from the graph (default) and object_info (type, range, choices).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.types import COMPONENTS, Curve, ParameterSpec, ParameterType, Value
from bridge.workflow.binding_file import ParameterEntry
from bridge.workflow.names import label_of
from bridge.workflow.object_info import Choice
from bridge.workflow.targets import Target
from bridge.workflow.writers import (
    MAX_SEED,
    Write,
    bool_writer,
    choice_writer,
    color_number,
    color_writer,
    float_writer,
    int_writer,
    is_number,
    seed_writer,
    text_writer,
    vector_writer,
)

INT_MINIMUM: Final = -(2**63)
"""Of what 64 bits hold, as the link carries it; `MAX_SEED` is the other end."""

VECTORS: Final = (ParameterType.VEC2, ParameterType.VEC3, ParameterType.VEC4)

_TYPES_OF_INPUT: Final[dict[str, tuple[ParameterType, ...]]] = {
    "INT": (ParameterType.INT, ParameterType.SEED, ParameterType.COLOR),
    "FLOAT": (ParameterType.FLOAT, ParameterType.INT),
    "BOOLEAN": (ParameterType.BOOL,),
    "STRING": (ParameterType.STRING, ParameterType.CHOICE, ParameterType.COLOR),
    "COMBO": (ParameterType.CHOICE,),
}


@dataclass(frozen=True, slots=True)
class BoundInput:
    """One input that a parameter writes, and how."""

    node_id: str
    input: str
    write: Write


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter with all that it writes."""

    spec: ParameterSpec
    inputs: tuple[BoundInput, ...]


def make_parameter(
    name: str, targets: tuple[Target, ...], label: str, entry: ParameterEntry, problems: list[str]
) -> Parameter | None:
    """Settle a parameter's type, range and default; what is wrong is added to `problems`.

    `label` is the title's, "" if it has none. With several targets all are written the same, except for a vector,
    which has one target for each component.
    """
    maker = _Maker(name, targets, entry, problems)
    return maker.parameter(label)


class _Maker:
    def __init__(self, name: str, targets: tuple[Target, ...], entry: ParameterEntry, problems: list[str]) -> None:
        self.name = name
        self.targets = targets
        self.entry = entry
        self.problems = problems
        self.where = f"parameter {name!r}"
        self.faults = 0

    def fault(self, text: str) -> None:
        self.faults += 1
        self.problems.append(f"{self.where}: {text}")

    def parameter(self, label: str) -> Parameter | None:
        kind = self._type()
        if kind is None:
            return None
        if self.entry.picture and kind is not ParameterType.IMAGE:
            self.fault(f"{next(iter(self.entry.picture))} says nothing for type {kind}: take it out")
        minimum, maximum = self._range(kind)
        choices = self._choices(kind)
        default = self._default(kind, tuple(choices))
        if default is None or self.faults:
            return None
        self._check_default(kind, default, minimum, maximum, choices)
        curve = self.entry.curve or Curve.LINEAR
        if curve is Curve.LOG and (minimum is None or maximum is None or minimum <= 0):
            self.fault(f"curve 'log' needs a min above 0 and a max, not {minimum}..{maximum}")
        info = self.targets[0].info
        spec = ParameterSpec(
            name=self.name,
            label=self.entry.label or label or label_of(self.name),
            type=kind,
            default=default,
            minimum=minimum,
            maximum=maximum,
            step=self._step(kind),
            unit=self.entry.unit or "",
            choices=tuple(choices),
            curve=curve,
            clamp=self.entry.clamp is not False,
            multiline=bool(info and info.multiline) if self.entry.multiline is None else self.entry.multiline,
        )
        if self.faults:
            return None
        inputs = tuple(
            BoundInput(target.node.id, target.input, self._writer(kind, index, target, choices))
            for index, target in enumerate(self.targets)
        )
        return Parameter(spec, inputs)

    # --- type ----------------------------------------------------------------------------------------------

    def _type(self) -> ParameterType | None:
        wanted = self.entry.type
        if wanted in VECTORS:
            components = COMPONENTS[wanted]
            if len(self.targets) != components:
                self.fault(f"type {wanted} needs {components} inputs, one for each component, not {len(self.targets)}")
                return None
            bad = [target for target in self.targets if _input_type(target) not in ("INT", "FLOAT")]
            for target in bad:
                self.fault(f"{target.words} takes {_input_type(target)}, a component of {wanted} needs FLOAT or INT")
            return None if bad else wanted
        kinds: list[ParameterType] = []
        for target in self.targets:
            kind = self._type_of(target, wanted)
            if kind is None:
                return None
            kinds.append(kind)
        if len(set(kinds)) > 1:
            pairs = ", ".join(f"{t.words} is {k}" for t, k in zip(self.targets, kinds, strict=True))
            self.fault(f"its inputs have different types: {pairs}; say type, or give them names of their own")
            return None
        return kinds[0]

    def _type_of(self, target: Target, wanted: ParameterType | None) -> ParameterType | None:
        word = _input_type(target)
        allowed = _TYPES_OF_INPUT.get(word, ())
        info = target.info
        if info is not None and info.is_picture:
            allowed = (ParameterType.IMAGE,)
        if not allowed:
            self.fault(f"{target.words} holds {target.value!r}, which no type of parameter fits")
            return None
        if wanted is not None:
            if wanted in allowed:
                return wanted
            self.fault(f"type {wanted} doesn't fit {target.words}, which takes {word}; right are {', '.join(allowed)}")
            return None
        if info is not None and info.is_color:
            return ParameterType.COLOR
        if info is not None and info.is_seed:
            return ParameterType.SEED
        if word == "STRING" and self.entry.choices is not None:
            return ParameterType.CHOICE
        return allowed[0]

    # --- range, choices, step ------------------------------------------------------------------------------

    def _range(self, kind: ParameterType) -> tuple[float | int | None, float | int | None]:
        entry = self.entry
        if kind not in (ParameterType.INT, ParameterType.FLOAT, ParameterType.SEED, *VECTORS):
            for key, value in (("min", entry.minimum), ("max", entry.maximum), ("step", entry.step)):
                if value is not None:
                    self.fault(f"{key} says nothing for type {kind}: take it out")
            return None, None
        infos = [target.info for target in self.targets if target.info is not None]
        lows = [info.minimum for info in infos if info.minimum is not None]
        highs = [info.maximum for info in infos if info.maximum is not None]
        low, high = (max(lows) if lows else None), (min(highs) if highs else None)
        if kind is ParameterType.SEED:
            low = max(low or 0, 0)
            high = min(MAX_SEED if high is None else high, MAX_SEED)
        node_range = f"{_shown(low)}..{_shown(high)}"
        minimum = low if entry.minimum is None else entry.minimum
        maximum = high if entry.maximum is None else entry.maximum
        first = self.targets[0].words
        for key, value in (("min", entry.minimum), ("max", entry.maximum)):
            if value is None:
                continue
            if (low is not None and value < low) or (high is not None and value > high):
                self.fault(f"{key} {value} is outside what {first} takes ({node_range})")
            if kind in (ParameterType.INT, ParameterType.SEED) and not float(value).is_integer():
                self.fault(f"{key} {value} must be a whole number for type {kind}")
        if minimum is not None and maximum is not None and minimum > maximum:
            self.fault(f"min {minimum} is over max {maximum}")
        if kind in (ParameterType.INT, ParameterType.SEED):
            # A FLOAT input's range may end between whole numbers.
            return (
                None if minimum is None else max(INT_MINIMUM, math.ceil(minimum)),
                None if maximum is None else min(MAX_SEED, math.floor(maximum)),
            )
        return minimum, maximum

    def _step(self, kind: ParameterType) -> float | int | None:
        if kind not in (ParameterType.INT, ParameterType.FLOAT, *VECTORS):
            return None
        info = self.targets[0].info
        step = self.entry.step if self.entry.step is not None else info.step if info is not None else None
        if kind is ParameterType.INT and step is not None:
            step = int(step) if float(step).is_integer() else 1
        if step is not None and step <= 0:
            if self.entry.step is not None:
                self.fault(f"step {step} must be above 0")
            return None
        return step

    def _choices(self, kind: ParameterType) -> dict[str, Choice]:
        """Choice texts with what is written for each; COMBO options may be numbers."""
        if kind is not ParameterType.CHOICE:
            if self.entry.choices is not None:
                self.fault(f"choices say nothing for type {kind}: take them out")
            return {}
        info = self.targets[0].info
        known = {str(option): option for option in info.choices} if info is not None else {}
        if self.entry.choices is not None:
            wrong = [choice for choice in self.entry.choices if known and choice not in known]
            if wrong:
                listed = ", ".join(list(known)[:16])
                self.fault(f"choice {wrong[0]!r} isn't offered by {self.targets[0].words}; it has {listed}")
            return {choice: known.get(choice, choice) for choice in self.entry.choices}
        # What the graph holds is right on the machine it was made on: a model that isn't listed here may be there.
        value = self.targets[0].value
        if isinstance(value, str | int | float) and str(value) not in known:
            known = {str(value): value, **known}
        if not known:
            self.fault(f"{self.targets[0].words} offers nothing to choose from here, and the graph holds no value")
        return known

    # --- default -------------------------------------------------------------------------------------------

    def _default(self, kind: ParameterType, choices: tuple[str, ...]) -> Value | None:
        given = self.entry.default
        if given is not None:
            value = _read_value(kind, given)
            if value is None:
                self.fault(f"default {str(given)[:80]!r} is no {kind}{_example(kind)}")
            return value
        held: Any = [target.value for target in self.targets] if kind in VECTORS else self.targets[0].value
        value = _read_value(kind, held)
        if value is None:
            words = self.targets[0].words
            if held is None:
                self.fault(f"{words} holds no value; give a default")
            else:
                self.fault(f"{words} holds {str(held)[:80]!r}, which is no {kind}{_example(kind)}")
        return value

    def _check_default(
        self,
        kind: ParameterType,
        default: Value,
        minimum: float | int | None,
        maximum: float | int | None,
        choices: Mapping[str, Choice],
    ) -> None:
        source = "binding.toml" if self.entry.default is not None else "the graph"
        if kind is ParameterType.CHOICE and default not in choices:
            self.fault(f"default {default!r} (from {source}) isn't among the choices {', '.join(list(choices)[:16])}")
        numbers = default if isinstance(default, tuple) else (default,)
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
                self.fault(f"default {number} (from {source}) is outside {_shown(minimum)}..{_shown(maximum)}")

    # --- writing -------------------------------------------------------------------------------------------

    def _writer(self, kind: ParameterType, index: int, target: Target, choices: Mapping[str, Choice]) -> Write:
        name, word = self.name, _input_type(target)
        if kind in VECTORS:
            return vector_writer(name, index, COMPONENTS[kind], word == "INT")
        if kind is ParameterType.CHOICE:
            return choice_writer(name, dict(choices))
        if kind is ParameterType.COLOR:
            return color_writer(name, word == "STRING")
        if kind is ParameterType.INT:
            return int_writer(name, word == "FLOAT")
        if kind is ParameterType.SEED:
            return seed_writer(name, target)
        if kind is ParameterType.FLOAT:
            return float_writer(name)
        if kind is ParameterType.BOOL:
            return bool_writer(name)
        return text_writer(name)


def _input_type(target: Target) -> str:
    """ComfyUI's word for the input; for a node that object_info doesn't know, by the value that the graph holds."""
    if target.info is not None:
        return target.info.type
    value = target.value
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INT"
    if isinstance(value, float):
        return "FLOAT"
    return "STRING" if isinstance(value, str) else "nothing"


def _read_value(kind: ParameterType, value: Any) -> Value | None:
    """A default as it stands in a graph or a binding, as a value of the wire; None if it is none of this type."""
    if kind in (ParameterType.INT, ParameterType.SEED):
        if not is_number(value) or not float(value).is_integer() or not INT_MINIMUM <= value <= MAX_SEED:
            return None
        return int(value)
    if kind is ParameterType.FLOAT:
        return float(value) if is_number(value) else None
    if kind is ParameterType.BOOL:
        return value if isinstance(value, bool) else None
    if kind is ParameterType.COLOR:
        return color_number(value)
    if kind in VECTORS:
        if not isinstance(value, list) or len(value) != COMPONENTS[kind] or not all(map(is_number, value)):
            return None
        return tuple(float(item) for item in value)
    if kind is ParameterType.CHOICE:
        return str(value) if isinstance(value, str | int | float) else None
    return value if isinstance(value, str) else None


def _example(kind: ParameterType) -> str:
    examples = {
        ParameterType.COLOR: '; write "#3366ff" or [0.2, 0.4, 1.0]',
        ParameterType.VEC2: "; write [0.5, 0.5]",
        ParameterType.BOOL: "; write true or false",
    }
    return examples.get(kind, "")


def _shown(number: float | int | None) -> str:
    return "open" if number is None else str(number)
