"""A controller's 0..1 as a parameter's value: `/norm` below a parameter. Source: wire contract, OSC.

With t from 0 to 1 and a range from low to high, the binding's curve gives

    linear   low + t (high - low)
    log      low (high / low)^t               equal steps of the fader are equal factors; low must be over 0
    exp      low + (100^t - 1) / 99 (high - low)   fine steps at the low end, also where low is 0 or below
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NoReturn

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.streams.arguments import is_impulse, read_number, read_value, spread
from bridge.streams.checks import check_value
from bridge.streams.names import plain, shown
from bridge.types import COMPONENTS, Curve, ParameterSpec, ParameterType, Value

EXP_SPAN: Final = 100.0
"""The last step of an `exp` fader is so many times as large as the first."""


def curved(share: float, low: float, high: float, curve: Curve) -> float:
    """Give the value at `share` (0..1) of the way from `low` to `high`; both ends are exact.

    `log` needs both ends over 0. Raises nothing for finite numbers.
    """
    if share <= 0:
        return low
    if share >= 1:
        return high
    if curve is Curve.LOG:
        ratio = high / low
        if 0 < ratio < math.inf:
            return low * math.pow(ratio, share)
        return math.exp(math.log(low) * (1 - share) + math.log(high) * share)
    if curve is Curve.EXP:
        share = (math.pow(EXP_SPAN, share) - 1) / (EXP_SPAN - 1)
    # Not low + share * (high - low): the width of a range may be more than a float holds.
    return low * (1 - share) + high * share


def uncurved(value: float, low: float, high: float, curve: Curve) -> float:
    """Give the share (0..1) at which `curved` gives `value`; outside of `low` to `high` it is the nearer end."""
    if low == high:
        return 0.0
    value = min(max(value, min(low, high)), max(low, high))
    if curve is Curve.LOG:
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    else:
        # Halves: the width of a range may be more than a float holds.
        share = (value / 2 - low / 2) / (high / 2 - low / 2)
    share = min(max(share, 0.0), 1.0)
    if curve is Curve.EXP:
        share = math.log(1 + share * (EXP_SPAN - 1)) / math.log(EXP_SPAN)
    return share


def norm_of(spec: ParameterSpec, value: Value) -> tuple[float, ...] | None:
    """Give the 0..1 that `read_norm` makes this value of, or one of those; None where a parameter takes no /norm."""
    match spec.type:
        case ParameterType.STRING | ParameterType.IMAGE:
            return None
        case ParameterType.BOOL:
            return (1.0 if value else 0.0,)
        case ParameterType.CHOICE:
            place = spec.choices.index(value) if isinstance(value, str) and value in spec.choices else 0
            return (place / max(1, len(spec.choices) - 1),)
        case ParameterType.COLOR:
            return tuple(float(number) for number in value) if isinstance(value, tuple) else None
    low, high = spec.minimum, spec.maximum
    if low is None or high is None or (spec.curve is Curve.LOG and low <= 0):
        return None
    numbers = value if isinstance(value, tuple) else (value,)
    return tuple(
        uncurved(float(number), float(low), float(high), spec.curve)
        for number in numbers
        if isinstance(number, int | float)
    )


def rounded(number: float) -> int:
    """Give the nearest whole number; n.5 goes up."""
    return math.floor(number + 0.5)


def read_norm(spec: ParameterSpec, arguments: Sequence[object]) -> Value:
    """Give OSC arguments 0..1 as the checked value of a parameter: mapped by its curve, ints and indices rounded.

    A vector takes as many numbers as it has, a colour three or four (all 0..1, ints too); a bool is on from 0.5, and
    takes `T` and `F`. Outside 0..1 is clamped unless the binding says reject.
    Raises: InvalidValueError (301, 302, 304, 308), NotAllowedError (411: text, pictures, and numbers without a range).
    """
    arguments = spread(arguments)
    match spec.type:
        case ParameterType.STRING | ParameterType.IMAGE:
            _refuse_whole(spec, f"a {spec.type} has no range")
        case ParameterType.COLOR:
            if len(arguments) not in (3, 4):
                _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, f"takes 3 or 4 numbers, not {len(arguments)}")
            return check_value(spec, [_share(spec, argument) for argument in arguments])
        case ParameterType.VEC2 | ParameterType.VEC3 | ParameterType.VEC4:
            low, high = _range(spec)
            wanted = COMPONENTS[spec.type]
            if len(arguments) != wanted:
                _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, f"takes {wanted} numbers, not {len(arguments)}")
            numbers = [curved(_share(spec, argument), low, high, spec.curve) for argument in arguments]
            return check_value(spec, numbers, clamp=True)
    if len(arguments) != 1:
        _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, f"takes one number, not {len(arguments)}")
    if spec.type is ParameterType.BOOL:
        if isinstance(arguments[0], bool) or is_impulse(arguments[0]):
            return read_value(spec, arguments)
        return _share(spec, arguments[0]) >= 0.5
    if spec.type is ParameterType.CHOICE:
        return spec.choices[rounded(_share(spec, arguments[0]) * (len(spec.choices) - 1))]
    low, high = _range(spec)
    number = curved(_share(spec, arguments[0]), low, high, spec.curve)
    if spec.type is ParameterType.FLOAT:
        return check_value(spec, number, clamp=True)
    return check_value(spec, rounded(number), clamp=True)


def _range(spec: ParameterSpec) -> tuple[float, float]:
    low, high = spec.minimum, spec.maximum
    if low is None or high is None:
        _refuse_whole(spec, "it has no range; give it min and max in binding.toml")
    if spec.curve is Curve.LOG and low <= 0:
        _refuse_whole(spec, f"its curve is log, which needs a min over 0, not {low}")
    return float(low), float(high)


def _share(spec: ParameterSpec, argument: object) -> float:
    number = read_number(argument)
    if number is None:
        _refuse(spec, (argument,), ErrorCode.WRONG_TYPE, "takes numbers 0..1")
    if isinstance(number, float) and not math.isfinite(number):
        _refuse(spec, (argument,), ErrorCode.NOT_FINITE, "takes numbers 0..1")
    if not 0 <= number <= 1 and not spec.clamp:
        _refuse(spec, (argument,), ErrorCode.OUT_OF_RANGE, "takes numbers 0..1")
    return float(min(max(number, 0), 1))


def _refuse(spec: ParameterSpec, arguments: Sequence[object], code: ErrorCode, what: str) -> NoReturn:
    given: object = arguments[0] if len(arguments) == 1 else tuple(arguments)
    raise InvalidValueError(
        f"{spec.name}/norm {what}; got {shown(given) if arguments else 'nothing'}",
        code=code,
        field=spec.name,
        value=plain(given),
        limit="0..1",
    )


def _refuse_whole(spec: ParameterSpec, why: str) -> NoReturn:
    raise NotAllowedError(
        f"{spec.name} takes no /norm: {why}",
        code=ErrorCode.NOT_SUPPORTED,
        field=spec.name,
        limit="real values",
    )
