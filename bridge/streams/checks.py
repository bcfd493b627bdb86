"""One value against its parameter: type, range, choices. Data from outside is checked once, here.

The engine link is strict (`check_value`); OSC is clamped to the range unless the binding says reject
(`clamp_value`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeAlias

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.names import nearest, plain, shown
from bridge.streams.pictures import ValueLimits, check_image
from bridge.types import COMPONENTS, ParameterSpec, ParameterType, Value

__all__ = ["DEFAULT_LIMITS", "EXACT_FLOAT", "MAX_SEED", "ValueLimits", "check_value", "clamp_value"]

MAX_SEED: Final = 2**64 - 1
EXACT_FLOAT: Final = 2**53
"""Whole numbers up to here are exact as float64; a larger seed that comes as a float is already wrong."""

_INT_LIMITS: Final = (-(2**63), 2**63 - 1)
_HEX_COLOR: Final = re.compile(r"#([0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")
_FLOAT32_EPSILON: Final = 2.0**-23
_CHOICES_SHOWN: Final = 12


DEFAULT_LIMITS: Final = ValueLimits()


def check_value(
    spec: ParameterSpec, raw: object, *, clamp: bool = False, limits: ValueLimits = DEFAULT_LIMITS
) -> Value:
    """Give `raw` as the checked value of parameter `spec`. A checked value comes back as it is.

    - int: an int, or a float without fraction (some senders have only floats); never a bool or text.
    - float: a number. A float32 neighbour of a limit is taken as the limit.
    - bool: true or false, or the numbers 0 and 1 (C# and JavaScript senders).
    - string: text without NUL that UTF-8 can carry; never a list, which ComfyUI would read as a node link.
    - choice: one of the choices, letter by letter.
    - seed: 0..2^64-1; as a float only up to 2^53.
    - color: 3 or 4 numbers 0..1 (alpha is 1 if absent), or "#rrggbb", "#rrggbbaa"; four floats come out.
    - vec2 vec3 vec4: as many numbers, each within the range.
    - image: see `pictures.check_image`.

    With `clamp`, numbers out of range become the nearest limit.
    Raises: InvalidValueError (301 wrong_type, 302 out_of_range, 303 not_a_choice, 304 wrong_components,
    305 bad_size, 306 unsupported_format, 308 not_finite, 309 too_long, 310 bad_text), NotAllowedError (411
    not_supported) and DecodeError (109 bad_picture); each carries field, value and limit. Source: wire contract,
    Workflows.
    """
    return _CHECKS[spec.type](spec, raw, clamp, limits)


def clamp_value(spec: ParameterSpec, raw: object, *, limits: ValueLimits = DEFAULT_LIMITS) -> Value:
    """Give `raw` as OSC takes it: out of range is clamped, unless the binding says reject. Raises as `check_value`."""
    return check_value(spec, raw, clamp=spec.clamp, limits=limits)


def _refuse(spec: ParameterSpec, raw: object, code: ErrorCode, what: str, limit: object) -> NoReturn:
    raise InvalidValueError(
        f"{spec.name}: {shown(raw)} {what}", code=code, field=spec.name, value=plain(raw), limit=limit
    )


def _number(spec: ParameterSpec, raw: object) -> int | float:
    """Give `raw` if it is a finite number and no bool."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is not a number; {spec.type} wants one", str(spec.type))
    if isinstance(raw, float) and not math.isfinite(raw):
        _refuse(spec, raw, ErrorCode.NOT_FINITE, "is not finite", "a finite number")
    return raw


def _in_range(
    spec: ParameterSpec, number: int | float, low: int | float | None, high: int | float | None, clamp: bool
) -> int | float:
    """Give `number`, or the limit it passes if clamped or only rounded past it by a float32."""
    limit = low if low is not None and number < low else high if high is not None and number > high else None
    if limit is None:
        return number
    # An engine's 0.1f is 0.100000001 here: that is the limit, not past it.
    rounded = isinstance(number, float) and abs(number - limit) <= abs(limit) * _FLOAT32_EPSILON
    if clamp or rounded:
        return limit
    bounds = f"{'' if low is None else low}..{'' if high is None else high}"
    _refuse(spec, number, ErrorCode.OUT_OF_RANGE, f"is outside {bounds}", bounds)


def _whole(spec: ParameterSpec, raw: object) -> int:
    number = _number(spec, raw)
    if isinstance(number, float):
        if not number.is_integer():
            _refuse(
                spec,
                raw,
                ErrorCode.WRONG_TYPE,
                f"has a fraction; {spec.type} wants a whole number: round it, or send 0..1 to its /norm over OSC",
                "int",
            )
        return int(number)
    return number


def _check_int(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    low = _INT_LIMITS[0] if spec.minimum is None else math.ceil(spec.minimum)
    high = _INT_LIMITS[1] if spec.maximum is None else math.floor(spec.maximum)
    return int(_in_range(spec, _whole(spec, raw), low, high, clamp))


def _check_float(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    return _float(spec, raw, spec.minimum, spec.maximum, clamp)


def _float(spec: ParameterSpec, raw: object, low: int | float | None, high: int | float | None, clamp: bool) -> float:
    number = _in_range(spec, _number(spec, raw), low, high, clamp)
    try:
        return float(number)
    except OverflowError:
        _refuse(spec, raw, ErrorCode.OUT_OF_RANGE, "is too large for a float", "-1.8e308..1.8e308")


def _check_bool(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    if isinstance(raw, int | float) and raw in (0, 1):
        return bool(raw)
    _refuse(spec, raw, ErrorCode.WRONG_TYPE, "is not true or false", "true, false, 0 or 1")


def _text(spec: ParameterSpec, raw: object, limits: ValueLimits) -> str:
    """Give `raw` as text. Bytes are taken as UTF-8: some senders have only one raw type for both."""
    if isinstance(raw, bytes | bytearray | memoryview):
        if len(raw) > 4 * limits.max_text:
            _refuse(spec, raw, ErrorCode.TOO_LONG, f"are over {limits.max_text} characters", limits.max_text)
        try:
            raw = bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            _refuse(spec, raw, ErrorCode.BAD_TEXT, "are not UTF-8", "UTF-8 text")
    if not isinstance(raw, str):
        hint = "; a value never becomes a node link" if isinstance(raw, list | tuple) else ""
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is not text{hint}", "text")
    if len(raw) > limits.max_text:
        _refuse(spec, raw, ErrorCode.TOO_LONG, f"is over {limits.max_text} characters", limits.max_text)
    if "\0" in raw:
        # It ends the text for every engine written in C, and no node can mean it.
        _refuse(spec, raw, ErrorCode.BAD_TEXT, "has a NUL character", "text without NUL")
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(spec, raw, ErrorCode.BAD_TEXT, "has half a surrogate pair, which no UTF-8 can carry", "UTF-8 text")
    return raw


def _check_string(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    return _text(spec, raw, limits)


def _check_choice(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    text = _text(spec, raw, limits)
    if text in spec.choices:
        return text
    some = ", ".join(spec.choices[:_CHOICES_SHOWN])
    if len(spec.choices) > _CHOICES_SHOWN:
        some += f", ... ({len(spec.choices)} in all)"
    close = nearest(text, spec.choices)
    hint = f"; nearest is {close!r}" if close else ""
    _refuse(spec, text, ErrorCode.NOT_A_CHOICE, f"is not one of: {some}{hint}", some)


def _check_seed(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    low = 0 if spec.minimum is None else max(0, math.ceil(spec.minimum))
    high = MAX_SEED if spec.maximum is None else min(MAX_SEED, math.floor(spec.maximum))
    seed = _whole(spec, raw)
    if isinstance(raw, float) and abs(seed) > EXACT_FLOAT:
        what = "as a float is no longer exact over 2^53; send it as an integer"
        _refuse(spec, raw, ErrorCode.OUT_OF_RANGE, what, EXACT_FLOAT)
    return int(_in_range(spec, seed, low, high, clamp))


def _check_color(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    if isinstance(raw, str):
        found = _HEX_COLOR.fullmatch(raw)
        if found is None:
            _refuse(spec, raw, ErrorCode.WRONG_TYPE, "is not a colour like #rrggbb or #rrggbbaa", "#rrggbb")
        return tuple(byte / 255 for byte in bytes.fromhex(found[1].ljust(8, "f")))
    numbers = _components(spec, raw, (3, 4))
    over = next((number for number in numbers if _number(spec, number) > 1 + _FLOAT32_EPSILON), None)
    if over is not None and not clamp:
        what = "is outside 0.0..1.0: colours over the link are floats from 0 to 1, not 0 to 255"
        _refuse(spec, over, ErrorCode.OUT_OF_RANGE, what, "0.0..1.0")
    color = tuple(_float(spec, number, 0.0, 1.0, clamp) for number in numbers)
    return color if len(color) == 4 else (*color, 1.0)


def _check_vector(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    numbers = _components(spec, raw, (COMPONENTS[spec.type],))
    return tuple(_float(spec, number, spec.minimum, spec.maximum, clamp) for number in numbers)


def _components(spec: ParameterSpec, raw: object, counts: tuple[int, ...]) -> list[object] | tuple[object, ...]:
    wanted = " or ".join(map(str, counts))
    if not isinstance(raw, list | tuple):
        _refuse(spec, raw, ErrorCode.WRONG_TYPE, f"is not a list of {wanted} numbers", f"{wanted} numbers")
    if len(raw) not in counts:
        _refuse(spec, raw, ErrorCode.WRONG_COMPONENTS, f"has {len(raw)} numbers, not {wanted}", f"{wanted} numbers")
    return raw


def _check_image(spec: ParameterSpec, raw: object, clamp: bool, limits: ValueLimits) -> Value:
    return check_image(spec, raw, limits)


_Check: TypeAlias = Callable[[ParameterSpec, object, bool, ValueLimits], Value]

_CHECKS: Final[Mapping[ParameterType, _Check]] = {
    ParameterType.INT: _check_int,
    ParameterType.FLOAT: _check_float,
    ParameterType.BOOL: _check_bool,
    ParameterType.STRING: _check_string,
    ParameterType.CHOICE: _check_choice,
    ParameterType.SEED: _check_seed,
    ParameterType.COLOR: _check_color,
    ParameterType.VEC2: _check_vector,
    ParameterType.VEC3: _check_vector,
    ParameterType.VEC4: _check_vector,
    ParameterType.IMAGE: _check_image,
}
