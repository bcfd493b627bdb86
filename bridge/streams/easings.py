"""How a track gets from one key to the next: easings, as functions of 0..1.

On the wire an easing is a word, `step linear smoothstep cubic_in cubic_out cubic_in_out`, or a list
`["bezier", x1, y1, x2, y2]` as in CSS: a cubic curve from (0, 0) to (1, 1) with two handles, x of them in 0..1, y in
-10..10. A `Bezier` record is the checked list. Source: protocols/engine-link.md, sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.names import nearest, plain, shown

BEZIER_Y: Final = 10.0
"""How far a handle may go beyond 0..1: values overshoot, and are clamped to their range."""

BISECTIONS: Final = 48
"""Halvings of 0..1 that find a curve's parameter: always as many, so that every machine finds the same."""


@dataclass(frozen=True, slots=True)
class Bezier:
    """A cubic curve from (0, 0) to (1, 1) with these two handles."""

    x1: float
    y1: float
    x2: float
    y2: float


Easing: TypeAlias = str | Bezier

STEP: Final = "step"
LINEAR: Final = "linear"


def _cubic_in_out(t: float) -> float:
    if t < 0.5:
        return 4.0 * t * t * t
    rest = 1.0 - t
    return 1.0 - 4.0 * rest * rest * rest


# Products and not powers: they are rounded alike everywhere.
_CURVES: Final[Mapping[str, Callable[[float], float]]] = {
    STEP: lambda t: 1.0 if t >= 1.0 else 0.0,
    LINEAR: lambda t: t,
    "smoothstep": lambda t: t * t * (3.0 - 2.0 * t),
    "cubic_in": lambda t: t * t * t,
    "cubic_out": lambda t: 1.0 - (1.0 - t) * (1.0 - t) * (1.0 - t),
    "cubic_in_out": _cubic_in_out,
}

EASINGS: Final = tuple(_CURVES)
"""The words; `bezier` is a list."""

_ALL: Final = ", ".join(EASINGS) + ' or ["bezier", x1, y1, x2, y2]'


def eased(easing: Easing, t: float) -> float:
    """Give how much of the way is done at `t` (0..1) of the time: 0 at 0 and 1 at 1, whatever the easing."""
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return _bezier(easing, t) if isinstance(easing, Bezier) else _CURVES[easing](t)


def _bezier(curve: Bezier, x: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        if _along(curve.x1, curve.x2, middle) < x:
            low = middle
        else:
            high = middle
    return _along(curve.y1, curve.y2, (low + high) / 2.0)


def _along(first: float, second: float, t: float) -> float:
    rest = 1.0 - t
    return 3.0 * rest * rest * t * first + 3.0 * rest * t * t * second + t * t * t


def check_easing(raw: object, where: str) -> Easing:
    """Give `raw` as a checked easing. `where` names the key in a message, e.g. `denoise at frame 24`.

    Raises: InvalidValueError (301 wrong_type, 302 out_of_range, 303 not_a_choice, 304 wrong_components,
    308 not_finite), `field` is `tracks`.
    """
    if isinstance(raw, Bezier):
        return raw
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "replace")
    if isinstance(raw, str):
        if raw in _CURVES:
            return raw
        if raw == "bezier":
            _refuse(raw, where, ErrorCode.WRONG_COMPONENTS, 'needs its handles: ["bezier", x1, y1, x2, y2]')
        close = nearest(raw, EASINGS)
        hint = f"nearest is {close!r}; " if close else ""
        _refuse(raw, where, ErrorCode.NOT_A_CHOICE, f"is not one of: {hint}{_ALL}")
    if not isinstance(raw, list | tuple):
        _refuse(raw, where, ErrorCode.WRONG_TYPE, f"is not one of: {_ALL}")
    name = raw[0].decode("utf-8", "replace") if raw and isinstance(raw[0], bytes) else raw[0] if raw else None
    if name != "bezier" or len(raw) != 5:
        _refuse(raw, where, ErrorCode.WRONG_COMPONENTS, 'is not ["bezier", x1, y1, x2, y2]')
    handles: list[float] = []
    for place, number in enumerate(raw[1:]):
        word = ("x1", "y1", "x2", "y2")[place]
        if isinstance(number, bool) or not isinstance(number, int | float):
            _refuse(number, where, ErrorCode.WRONG_TYPE, f"is no number for {word} of a bezier")
        if isinstance(number, float) and not math.isfinite(number):
            _refuse(number, where, ErrorCode.NOT_FINITE, f"is not finite, for {word} of a bezier")
        low, high = (0.0, 1.0) if place % 2 == 0 else (-BEZIER_Y, BEZIER_Y)
        if not low <= number <= high:
            _refuse(number, where, ErrorCode.OUT_OF_RANGE, f"is outside {low:g}..{high:g}, for {word} of a bezier")
        handles.append(float(number))
    return Bezier(*handles)


def _refuse(raw: object, where: str, code: ErrorCode, what: str) -> NoReturn:
    raise InvalidValueError(
        f"{where}: easing {shown(raw)} {what}", code=code, field="tracks", value=plain(raw), limit=_ALL
    )
