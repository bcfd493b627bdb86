"""0..1 to a parameter's range: curves, rounding, choices, and what has no range."""

import math
from enum import Enum

import pytest

from bridge.errors import ErrorCode, TexbridgeError
from bridge.streams.norm import curved, norm_of, read_norm, rounded, uncurved
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


@pytest.mark.parametrize("curve", list(Curve))
@pytest.mark.parametrize(("low", "high"), [(0.1, 30.0), (30.0, 0.1), (1.0, 1e6)])
def test_uncurved_is_the_way_back(curve, low, high):
    for place in range(11):
        share = place / 10
        assert math.isclose(uncurved(curved(share, low, high, curve), low, high, curve), share, abs_tol=1e-9)
    top, bottom = max(low, high) * 2, min(low, high) / 2
    assert {uncurved(top, low, high, curve), uncurved(bottom, low, high, curve)} == {0.0, 1.0}


@pytest.mark.parametrize(("low", "high"), [(-1.5e308, 1.5e308), (-1.0, 0.0), (2.0, 2.0)])
def test_uncurved_of_any_range_is_0_to_1(low, high):
    assert 0 <= uncurved(low / 2 + high / 2, low, high, Curve.LINEAR) <= 1


@pytest.mark.parametrize(
    ("parameter", "shares"),
    [
        (spec("float", 0.0, 8.0), (0.25,)),
        (spec("float", 1.0, 100.0, curve=Curve.LOG), (0.75,)),
        (spec("int", 0, 4), (0.75,)),
        (spec("seed", 0, 2**64 - 1), (1.0,)),
        (spec("bool"), (1.0,)),
        (spec("bool"), (0.0,)),
        (CHOICE, (0.5,)),
        (spec("choice", choices=("one",)), (0.0,)),
        (TWO, (0.25, 1.0)),
        (COLOR, (0.25, 0.5, 1.0, 1.0)),
    ],
)
def test_norm_of_gives_what_was_sent(parameter, shares):
    assert norm_of(parameter, read_norm(parameter, shares)) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (spec("string"), "text"),
        (spec("float", None, 1.0), 0.5),
        (spec("float", 0.0, 1.0, curve=Curve.LOG), 0.5),
        (spec("vec2"), (0.0, 0.0)),
    ],
)
def test_what_takes_no_norm_is_told_none(parameter, value):
    assert norm_of(parameter, value) is None
