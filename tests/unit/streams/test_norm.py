"""0..1 to a parameter's range: curves, rounding, choices, and what has no range."""

import math
from enum import Enum

import pytest

from bridge.errors import ErrorCode, TexbridgeError
from bridge.streams.norm import curved, read_norm, rounded
from bridge.types import Curve, ParameterSpec, ParameterType


class Impulse(Enum):
    IMPULSE = "I"


def spec(kind: str, low=None, high=None, **more) -> ParameterSpec:
    return ParameterSpec("it", "it", ParameterType(kind), 0, minimum=low, maximum=high, **more)


COLOR = spec("color")
CHOICE = spec("choice", choices=("a", "b", "c"))
TWO = spec("vec2", -1.0, 1.0)


@pytest.mark.parametrize(
    ("share", "low", "high", "curve", "value"),
    [
        (0.0, 0.1, 30.0, Curve.LOG, 0.1),
        (1.0, 0.1, 30.0, Curve.LOG, 30.0),
        (0.5, 1.0, 100.0, Curve.LOG, 10.0),
        (0.25, 1.0, 16.0, Curve.LOG, 2.0),
        (0.5, 100.0, 1.0, Curve.LOG, 10.0),
        (0.5, 0.0, 99.0, Curve.EXP, 9.0),
        (0.5, -99.0, 0.0, Curve.EXP, -90.0),
        (1.0, 0.0, 7.0, Curve.EXP, 7.0),
        (0.25, -1.0, 1.0, Curve.LINEAR, -0.5),
        (0.3, 0.0, 1.0, Curve.LINEAR, 0.3),
        (0.5, -1.5e308, 1.5e308, Curve.LINEAR, 0.0),
        (-3.0, 2.0, 3.0, Curve.LINEAR, 2.0),
        (9.0, 2.0, 3.0, Curve.LOG, 3.0),
    ],
)
def test_curves(share, low, high, curve, value):
    assert curved(share, low, high, curve) == pytest.approx(value)


def test_a_log_curve_over_more_than_a_float_holds():
    assert curved(0.5, 1e-300, 1e300, Curve.LOG) == pytest.approx(1.0)


@pytest.mark.parametrize(("number", "whole"), [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, 0), (-1.5, -1), (2.4999, 2)])
def test_n_and_a_half_goes_up(number, whole):
    assert rounded(number) == whole


@pytest.mark.parametrize(
    ("spec", "arguments", "value"),
    [
        (spec("float", 0.0, 8.0), (0.25,), 2.0),
        (spec("float", 0.0, 8.0), (1,), 8.0),
        (spec("float", 0.0, 8.0), ("0.5",), 4.0),
        (spec("float", 0.0, 8.0), (1.7,), 8.0),
        (spec("float", 0.0, 8.0), (-0.1,), 0.0),
        (spec("float", 1.0, 100.0, curve=Curve.LOG), (0.5,), pytest.approx(10.0)),
        (spec("int", 0, 31), (0.5,), 16),  # 15.5
        (spec("int", 0, 3), (0.5,), 2),  # 1.5
        (spec("int", -3, 0), (0.5,), -1),  # -1.5
        (spec("int", 0.5, 3.5), (0.0,), 1),
        (spec("int", 0.5, 3.5), (1.0,), 3),
        (spec("seed", 0, 2**64 - 1), (1.0,), 2**64 - 1),
        (spec("bool"), (0.5,), True),
        (spec("bool"), (0.49,), False),
        (spec("bool"), (1,), True),
        (spec("bool"), (False,), False),
        (spec("bool"), (Impulse.IMPULSE,), True),
        (CHOICE, (0.0,), "a"),
        (CHOICE, (0.24,), "a"),
        (CHOICE, (0.25,), "b"),
        (CHOICE, (0.74,), "b"),
        (CHOICE, (0.75,), "c"),
        (CHOICE, (1,), "c"),
        (COLOR, (1, 0, 0.5), (1.0, 0.0, 0.5, 1.0)),
        (COLOR, ((1, 0, 0, 0.5),), (1.0, 0.0, 0.0, 0.5)),
        (TWO, (0.0, 0.75), (-1.0, 0.5)),
    ],
)
def test_takes(spec, arguments, value):
    assert read_norm(spec, arguments) == value


@pytest.mark.parametrize(
    ("spec", "arguments", "code"),
    [
        (spec("float", 0.0, 8.0), (), ErrorCode.WRONG_COMPONENTS),
        (spec("float", 0.0, 8.0), (0.1, 0.2), ErrorCode.WRONG_COMPONENTS),
        (spec("float", 0.0, 8.0), (True,), ErrorCode.WRONG_TYPE),
        (spec("float", 0.0, 8.0), ("half",), ErrorCode.WRONG_TYPE),
        (spec("float", 0.0, 8.0), (math.nan,), ErrorCode.NOT_FINITE),
        (spec("float", 0.0, 8.0), (math.inf,), ErrorCode.NOT_FINITE),
        (spec("float", 0.0, 8.0, clamp=False), (1.1,), ErrorCode.OUT_OF_RANGE),
        (spec("float", 0.0), (0.5,), ErrorCode.NOT_SUPPORTED),
        (spec("int"), (0.5,), ErrorCode.NOT_SUPPORTED),
        (spec("float", 0.0, 1.0, curve=Curve.LOG), (0.5,), ErrorCode.NOT_SUPPORTED),
        (spec("vec2"), (0.5, 0.5), ErrorCode.NOT_SUPPORTED),
        (spec("string"), (0.5,), ErrorCode.NOT_SUPPORTED),
        (spec("image"), (0.5,), ErrorCode.NOT_SUPPORTED),
        (TWO, (0.5,), ErrorCode.WRONG_COMPONENTS),
        (COLOR, (0.5,), ErrorCode.WRONG_COMPONENTS),
        (COLOR, ("#ff0000",), ErrorCode.WRONG_COMPONENTS),
    ],
)
def test_refuses(spec, arguments, code):
    with pytest.raises(TexbridgeError) as caught:
        read_norm(spec, arguments)
    assert caught.value.code is code
    assert caught.value.field == "it"
