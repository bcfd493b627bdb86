"""OSC arguments as a parameter's value, with all the spellings that controllers and show software use.

Arguments come as Python values: int, float, str, bytes, bool (`T F`), None (`N`), a tuple for an array or for a
colour (`r`, four ints with names), and an enumeration member of value "I" for an impulse.
Source: wire contract, OSC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, NoReturn

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.streams.checks import DEFAULT_LIMITS, ValueLimits, clamp_value
from bridge.streams.names import plain, shown
from bridge.types import COMPONENTS, ParameterSpec, ParameterType, Value

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_TRUE: Final = frozenset({"true", "on", "yes"})
_FALSE: Final = frozenset({"false", "off", "no"})


def is_impulse(argument: object) -> bool:
    """Tell whether this is the argument of type tag `I`."""
    return isinstance(argument, Enum) and argument.value == "I"


def read_number(argument: object) -> int | float | None:
    """Give a number, or text that reads as one, as a number; None for anything else. NaN and infinity pass."""
    if isinstance(argument, bool):
        return None
    if isinstance(argument, int | float):
        return argument
    if isinstance(argument, str) and len(argument) <= 64:
        text = argument.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return None


def read_switch(argument: object) -> bool | None:
    """Give on or off: `T F`, a number (0 is off), an impulse (on), true/false/on/off/yes/no; None for the rest."""
    if isinstance(argument, bool):
        return argument
    if is_impulse(argument):
        return True
    number = read_number(argument)
    if number is not None:
        return number != 0 if number == number else None
    if isinstance(argument, str) and len(argument) <= 64:
        word = argument.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return None


def spread(arguments: Sequence[object]) -> Sequence[object]:
    """Give the items of a lone array, else the arguments as they are."""
    if len(arguments) == 1:
        only = arguments[0]
        if isinstance(only, tuple | list) and not hasattr(only, "red"):
            return only
    return arguments


def read_value(spec: ParameterSpec, arguments: Sequence[object], limits: ValueLimits = DEFAULT_LIMITS) -> Value:
    """Give OSC arguments as the checked value of a parameter, clamped unless the binding says reject.

    Raises: InvalidValueError (301, 302, 303, 304 and what `check_value` raises), NotAllowedError (411: pictures
    come over the engine link).
    """
    arguments = spread(arguments)
    if spec.type is ParameterType.IMAGE:
        raise NotAllowedError(
            f"{spec.name}: a picture comes over the engine link, not over OSC",
            code=ErrorCode.NOT_SUPPORTED,
            field=spec.name,
            limit="engine link",
        )
    if not arguments:
        _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, "needs a value; none came")
    return clamp_value(spec, _raw(spec, arguments), limits=limits)


def _raw(spec: ParameterSpec, arguments: Sequence[object]) -> object:
    match spec.type:
        case ParameterType.STRING:
            return _join(spec, arguments)
        case ParameterType.CHOICE:
            return _choice(spec, arguments)
        case ParameterType.COLOR:
            return _color(spec, arguments)
        case ParameterType.VEC2 | ParameterType.VEC3 | ParameterType.VEC4:
            wanted = COMPONENTS[spec.type]
            if len(arguments) != wanted:
                _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, f"takes {wanted} numbers, not {len(arguments)}")
            return [_number(spec, argument) for argument in arguments]
        case ParameterType.BOOL:
            on = read_switch(_only(spec, arguments))
            if on is None:
                _refuse(spec, arguments, ErrorCode.WRONG_TYPE, "is on or off: 0, 1, T, F or true, false")
            return on
        case _:
            return _number(spec, _only(spec, arguments))


def _only(spec: ParameterSpec, arguments: Sequence[object]) -> object:
    if len(arguments) != 1:
        _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, f"takes one value, not {len(arguments)}")
    return arguments[0]


def _number(spec: ParameterSpec, argument: object) -> int | float:
    number = read_number(argument)
    if number is None:
        _refuse(spec, (argument,), ErrorCode.WRONG_TYPE, "takes numbers")
    return number


def _join(spec: ParameterSpec, arguments: Sequence[object]) -> str:
    """Give text that came in atoms, joined with spaces; Max sends the 3 of `3 cats` as a number."""
    words = []
    for argument in arguments:
        if isinstance(argument, str):
            words.append(argument)
        elif isinstance(argument, int | float) and not isinstance(argument, bool):
            # Seven digits are all that a float32 holds: 0.1 stays 0.1.
            words.append(f"{argument:.7g}" if isinstance(argument, float) else shown(argument))
        elif isinstance(argument, bytes) and len(arguments) == 1:
            try:
                return argument.decode("utf-8")
            except UnicodeDecodeError:
                _refuse(spec, arguments, ErrorCode.BAD_TEXT, "takes UTF-8 text")
        else:
            _refuse(spec, (argument,), ErrorCode.WRONG_TYPE, "takes text")
    return " ".join(words)


def _choice(spec: ParameterSpec, arguments: Sequence[object]) -> str:
    """Give a choice by its text (also in atoms), else by its index from 0."""
    if all(isinstance(argument, str) for argument in arguments):
        text = " ".join(str(argument) for argument in arguments)
        if text in spec.choices or len(arguments) > 1 or read_number(text) is None:
            return text
    number = _number(spec, _only(spec, arguments))
    last = len(spec.choices) - 1
    if number != number:
        _refuse(spec, arguments, ErrorCode.NOT_FINITE, "takes the index of a choice")
    if spec.clamp:
        number = min(max(number, 0), last)
    if not 0 <= number <= last:
        _refuse(spec, arguments, ErrorCode.NOT_A_CHOICE, f"has choices 0..{last}")
    if number != int(number):
        _refuse(spec, arguments, ErrorCode.NOT_A_CHOICE, "takes the index of a choice as a whole number")
    return spec.choices[int(number)]


def _color(spec: ParameterSpec, arguments: Sequence[object]) -> object:
    """Give a colour: "#rrggbb", `r`, 3-4 ints 0..255, or 3-4 numbers 0..1 of which one at least is a float."""
    if len(arguments) == 1:
        only = arguments[0]
        if isinstance(only, str):
            return only.strip()
        if isinstance(only, tuple):
            arguments = only
    if len(arguments) not in (3, 4):
        _refuse(spec, arguments, ErrorCode.WRONG_COMPONENTS, 'takes 3 or 4 numbers, or "#rrggbb"')
    numbers = [_number(spec, argument) for argument in arguments]
    if any(isinstance(number, float) for number in numbers):
        return numbers
    # Clamped here, where the words can still speak of 0..255.
    if not spec.clamp and not all(0 <= number <= 255 for number in numbers):
        _refuse(spec, arguments, ErrorCode.OUT_OF_RANGE, "takes ints 0..255, or floats 0..1")
    return [min(max(number, 0), 255) / 255 for number in numbers]


def _refuse(spec: ParameterSpec, arguments: Sequence[object], code: ErrorCode, what: str) -> NoReturn:
    given: object = arguments[0] if len(arguments) == 1 else tuple(arguments)
    raise InvalidValueError(
        f"{spec.name} ({spec.type}) {what}; got {shown(given) if arguments else 'nothing'}",
        code=code,
        field=spec.name,
        value=plain(given),
        limit=str(spec.type),
    )
