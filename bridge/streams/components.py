"""What stands below a parameter in an OSC address: `/norm`, one component, or one component after `/norm`.

    /texbridge/<stream>/<parameter>/norm          0..1, see `norm`
    /texbridge/<stream>/<parameter>/r             one number of a colour: r g b a, or its place 0..3
    /texbridge/<stream>/<parameter>/x             one number of a vector: x y z w, or its place 0..
    /texbridge/<stream>/<parameter>/norm/x        the same, 0..1

The other numbers keep the values that hold when it is done. Source: wire contract, OSC.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError, UnknownNameError
from bridge.streams.arguments import read_number, read_value, spread
from bridge.streams.control_records import Components
from bridge.streams.names import plain, shown
from bridge.streams.norm import read_norm
from bridge.types import COMPONENTS, Curve, ParameterSpec, ParameterType, Value

NORM: Final = "norm"
_MAX_FLOAT32: Final = 3.4028234e38
_COLOR_NAMES: Final = "rgba"
_VECTOR_NAMES: Final = "xyzw"


@dataclass(frozen=True, slots=True)
class Below:
    """What an address names below a parameter: 0..1 or real units, the whole (None) or one component by its place."""

    norm: bool
    place: int | None


def component_names(spec: ParameterSpec) -> str:
    """Give the letters of a parameter's components in order; empty if it has none."""
    names = _COLOR_NAMES if spec.type is ParameterType.COLOR else _VECTOR_NAMES
    return names[: COMPONENTS.get(spec.type, 0)]


def find_below(spec: ParameterSpec, rest: Sequence[str]) -> Below | None:
    """Give what `rest`, the parts after a parameter, names; None if this parameter has no such thing."""
    norm = bool(rest) and rest[0] == NORM
    more = rest[1:] if norm else rest
    if not more:
        return Below(norm, None)
    if len(more) > 1:
        return None
    names = component_names(spec)
    if len(more[0]) == 1 and more[0] in names:
        return Below(norm, names.index(more[0]))
    places = [str(place) for place in range(len(names))]
    return Below(norm, places.index(more[0])) if more[0] in places else None


def words_below(spec: ParameterSpec, rest: Sequence[str]) -> tuple[str, str]:
    """Give what there is below a parameter in words, and the path below it nearest to a wrong `rest` (may be empty)."""
    names = component_names(spec)
    has = f"{spec.name} ({spec.type}) has /norm"
    if names:
        has += "".join(f" /{name}" for name in names) + f" and /0 ... /{len(names) - 1}"
    norm = rest[0] == NORM
    last = rest[1] if norm and len(rest) == 2 else rest[0]
    other = _VECTOR_NAMES if names.startswith("r") else _COLOR_NAMES
    if len(last) == 1 and last in other and other.index(last) < len(names):
        # Somebody says x for r: the same place.
        return has, f"{'/norm' if norm else ''}/{names[other.index(last)]}"
    return has, "/norm" if norm else ""


def read_below(spec: ParameterSpec, below: Below, arguments: Sequence[object]) -> Value | Components:
    """Give OSC arguments as the value of what `below` names: a whole value, or one component.

    A component takes one number: real units (0..255 for the ints of a colour), or 0..1 after `/norm`.
    Raises: as `read_value` and `read_norm`.
    """
    if below.place is None:
        return read_norm(spec, arguments) if below.norm else read_value(spec, arguments)
    name = f"{spec.name}/{component_names(spec)[below.place]}"
    if spec.type is ParameterType.COLOR:
        one = replace(
            spec, name=name, type=ParameterType.FLOAT, minimum=0.0, maximum=1.0, curve=Curve.LINEAR, choices=()
        )
    else:
        one = replace(spec, name=name, type=ParameterType.FLOAT, choices=())
    if below.norm:
        number = read_norm(one, arguments)
    else:
        number = read_value(one, _color_share(one, arguments) if spec.type is ParameterType.COLOR else arguments)
    assert isinstance(number, float)
    return Components({below.place: number})


def _color_share(one: ParameterSpec, arguments: Sequence[object]) -> Sequence[object]:
    """Give an int 0..255 of a colour as 0..1; anything else as it is."""
    arguments = spread(arguments)
    number = read_number(arguments[0]) if len(arguments) == 1 else None
    if not isinstance(number, int):
        return arguments
    if not one.clamp and not 0 <= number <= 255:
        raise InvalidValueError(
            f"{one.name}: {shown(number)} is outside 0..255, which an int of a colour has",
            code=ErrorCode.OUT_OF_RANGE,
            field=one.name,
            value=plain(number),
            limit="0..255",
        )
    return (min(max(number, 0), 255) / 255,)


def whole_values(params: Mapping[str, Value | Components], present: Mapping[str, Value]) -> dict[str, Value]:
    """Give `params` with each component put into its parameter's `present` value.

    A number that is the present one as a float32 becomes the present one: a controller that sends back what it was
    told, as OSC's floats are, changes nothing.
    Raises: UnknownNameError (204) and InvalidValueError (304) where the stream's workflow changed meanwhile.
    """
    whole: dict[str, Value] = {}
    for name, value in params.items():
        if isinstance(value, Components):
            held = present.get(name)
            if held is None:
                raise UnknownNameError(
                    f"no parameter {shown(name)} in this workflow", code=ErrorCode.UNKNOWN_PARAMETER, field=name
                )
            if not isinstance(held, tuple) or max(value.numbers) >= len(held):
                raise InvalidValueError(
                    f"{name} has no component {max(value.numbers)} in this workflow",
                    code=ErrorCode.WRONG_COMPONENTS,
                    field=name,
                )
            value = value.over(held)
        whole[name] = _kept(value, present.get(name))
    return whole


def _kept(value: Value, held: Value | None) -> Value:
    """Give `held` where `value` is the same but for a float32's rounding, else `value`."""
    if isinstance(value, float) and isinstance(held, float):
        return held if _float32(value) == _float32(held) else value
    if isinstance(value, tuple) and isinstance(held, tuple) and len(value) == len(held):
        return tuple(old if _float32(new) == _float32(old) else new for new, old in zip(value, held, strict=True))
    return value


def _float32(number: float) -> float:
    if abs(number) > _MAX_FLOAT32:
        return number
    return float(struct.unpack("<f", struct.pack("<f", number))[0])
