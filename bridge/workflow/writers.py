"""From a checked value of the wire to the scalar that a node's input takes.

Each writer makes sure of the type once more: whatever comes in, a list never goes out, for in a prompt a list is a
node link.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Value
from bridge.workflow.object_info import Choice
from bridge.workflow.targets import Target
from bridge.workflow.template import Scalar

MAX_SEED: Final = 2**64 - 1

Write: TypeAlias = Callable[[Value], Scalar]
"""Turns a checked value into the scalar of one input; raises InvalidValueError for a value of another type."""


def color_number(value: Any) -> tuple[float, float, float, float] | None:
    """A colour as the wire has it (floats 0..1, alpha 1) from 0xRRGGBB, "#rrggbb" or three to four floats."""
    if isinstance(value, str):
        digits = value.removeprefix("#")
        if len(digits) not in (6, 8) or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            return None
        numbers = [int(digits[at : at + 2], 16) / 255 for at in range(0, len(digits), 2)]
    elif type(value) is int:
        if not 0 <= value <= 0xFFFFFF:
            return None
        numbers = [(value >> shift & 255) / 255 for shift in (16, 8, 0)]
    elif isinstance(value, list | tuple):
        if len(value) not in (3, 4) or not all(is_number(item) and 0 <= item <= 1 for item in value):
            return None
        numbers = [float(item) for item in value]
    else:
        return None
    red, green, blue, alpha = (*numbers, 1.0)[:4]
    return (red, green, blue, alpha)


def is_number(value: Any) -> bool:
    """Whether this is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def seed_writer(name: str, target: Target) -> Write:
    """Writes a seed 0..2^64-1, folded into the range of an input that takes less."""
    limit = target.info.maximum if target.info is not None else None
    modulus = int(min(MAX_SEED if limit is None else limit, MAX_SEED)) + 1

    def write(value: Value) -> Scalar:
        if type(value) is not int:
            raise _wrong_type(name, value, "a whole number")
        if not 0 <= value <= MAX_SEED:
            raise InvalidValueError(
                f"{name} {value} is outside 0..{MAX_SEED}",
                code=ErrorCode.OUT_OF_RANGE,
                field=name,
                value=value,
                limit=MAX_SEED,
            )
        return value % modulus

    return write


def _wrong_type(name: str, value: object, want: str) -> InvalidValueError:
    return InvalidValueError(
        f"{name} must be {want}, not {type(value).__name__}",
        code=ErrorCode.WRONG_TYPE,
        field=name,
        value=str(value)[:80],
        limit=want,
    )


def int_writer(name: str, as_float: bool) -> Write:
    def write(value: Value) -> Scalar:
        if type(value) is not int:
            raise _wrong_type(name, value, "a whole number")
        return float(value) if as_float else value

    return write


def float_writer(name: str) -> Write:
    def write(value: Value) -> Scalar:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise _wrong_type(name, value, "a finite number")
        return float(value)

    return write


def bool_writer(name: str) -> Write:
    def write(value: Value) -> Scalar:
        if not isinstance(value, bool):
            raise _wrong_type(name, value, "true or false")
        return value

    return write


def text_writer(name: str) -> Write:
    def write(value: Value) -> Scalar:
        # A list here would become a node link.
        if not isinstance(value, str):
            raise _wrong_type(name, value, "a text")
        return value

    return write


def choice_writer(name: str, choices: dict[str, Choice]) -> Write:
    def write(value: Value) -> Scalar:
        if not isinstance(value, str):
            raise _wrong_type(name, value, "a text")
        if value not in choices:
            raise InvalidValueError(
                f"{name} {value[:80]!r} isn't among the choices",
                code=ErrorCode.NOT_A_CHOICE,
                field=name,
                value=value[:80],
                limit=tuple(choices),
            )
        return choices[value]

    return write


def color_writer(name: str, as_text: bool) -> Write:
    def write(value: Value) -> Scalar:
        color = color_number(value) if isinstance(value, tuple) else None
        if color is None:
            raise _wrong_type(name, value, "three or four numbers 0..1")
        number = 0
        for component in color[:3]:
            number = number << 8 | math.floor(component * 255 + 0.5)
        return f"#{number:06x}" if as_text else number

    return write


def vector_writer(name: str, index: int, components: int, as_int: bool) -> Write:
    def write(value: Value) -> Scalar:
        if not isinstance(value, tuple) or len(value) != components or not all(map(is_number, value)):
            raise _wrong_type(name, value, f"{components} finite numbers")
        return math.floor(value[index] + 0.5) if as_int else float(value[index])

    return write
