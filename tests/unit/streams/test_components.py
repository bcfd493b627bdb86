"""One component of a parameter: its name or place, real units or 0..1, and how components of a bundle merge."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError, TexbridgeError, UnknownNameError
from bridge.streams.components import Below, Components, find_below, read_below, whole_values
from bridge.streams.control_records import RunRequested, SetValues, merge_controls
from bridge.types import Curve, ParameterSpec, ParameterType

COLOR = ParameterSpec("tint", "tint", ParameterType.COLOR, (0.0,) * 4)
STRICT = ParameterSpec("tint", "tint", ParameterType.COLOR, (0.0,) * 4, clamp=False)
PLACE = ParameterSpec("place", "place", ParameterType.VEC3, (0.0,) * 3, minimum=-2.0, maximum=2.0)
LOG = ParameterSpec("place", "place", ParameterType.VEC2, (1.0,) * 2, minimum=1.0, maximum=100.0, curve=Curve.LOG)
BLUR = ParameterSpec("blur", "blur", ParameterType.INT, 0, minimum=0, maximum=31)


@pytest.mark.parametrize(
    ("spec", "path", "below"),
    [
        (COLOR, "", Below(False, None)),
        (COLOR, "norm", Below(True, None)),
        (COLOR, "a", Below(False, 3)),
        (COLOR, "3", Below(False, 3)),
        (COLOR, "norm/b", Below(True, 2)),
        (PLACE, "x", Below(False, 0)),
        (PLACE, "norm/2", Below(True, 2)),
        (BLUR, "norm", Below(True, None)),
        (PLACE, "w", None),
        (PLACE, "3", None),
        (PLACE, "r", None),
        (COLOR, "rg", None),
        (COLOR, "r/norm", None),
        (COLOR, "norm/norm", None),
        (BLUR, "0", None),
        (BLUR, "norm/x", None),
    ],
)
def test_what_stands_below(spec, path, below):
    assert find_below(spec, path.split("/") if path else []) == below


@pytest.mark.parametrize(
    ("spec", "below", "arguments", "numbers"),
    [
        (COLOR, Below(False, 0), (0.5,), {0: 0.5}),
        (COLOR, Below(False, 0), (51,), {0: 0.2}),
        (COLOR, Below(False, 0), (1,), {0: 1 / 255}),
        (COLOR, Below(True, 0), (1,), {0: 1.0}),
        (COLOR, Below(False, 1), (300,), {1: 1.0}),
        (COLOR, Below(False, 1), (2.0,), {1: 1.0}),
        (COLOR, Below(False, 3), ("0.25",), {3: 0.25}),
        (COLOR, Below(False, 3), ((0.25,),), {3: 0.25}),
        (PLACE, Below(False, 2), (1,), {2: 1.0}),
        (PLACE, Below(False, 2), (-9.5,), {2: -2.0}),
        (PLACE, Below(True, 1), (0.75,), {1: 1.0}),
        (LOG, Below(True, 1), (0.5,), {1: pytest.approx(10.0)}),
    ],
)
def test_one_component(spec, below, arguments, numbers):
    component = read_below(spec, below, arguments)
    assert isinstance(component, Components)
    assert component.numbers == numbers


@pytest.mark.parametrize(
    ("spec", "below", "arguments", "code"),
    [
        (STRICT, Below(False, 0), (256,), ErrorCode.OUT_OF_RANGE),
        (STRICT, Below(False, 0), (1.5,), ErrorCode.OUT_OF_RANGE),
        (STRICT, Below(True, 0), (-0.5,), ErrorCode.OUT_OF_RANGE),
        (COLOR, Below(False, 0), ("#ff0000",), ErrorCode.WRONG_TYPE),
        (COLOR, Below(False, 0), (0.1, 0.2), ErrorCode.WRONG_COMPONENTS),
        (COLOR, Below(False, 0), (True,), ErrorCode.WRONG_TYPE),
    ],
)
def test_a_component_refuses(spec, below, arguments, code):
    with pytest.raises(TexbridgeError) as caught:
        read_below(spec, below, arguments)
    assert caught.value.code is code
    assert caught.value.field == "tint/r"


def sets(**params) -> SetValues:
    return SetValues("main", params)


@pytest.mark.parametrize(
    ("controls", "merged"),
    [
        (
            [sets(tint=Components({0: 0.5})), sets(tint=Components({1: 0.25})), sets(tint=Components({0: 1.0}))],
            [sets(tint=Components({0: 1.0, 1: 0.25}))],
        ),
        ([sets(tint=(0.0,) * 4), sets(tint=Components({2: 1.0}))], [sets(tint=(0.0, 0.0, 1.0, 0.0))]),
        ([sets(tint=Components({2: 1.0})), sets(tint=(0.0,) * 4)], [sets(tint=(0.0,) * 4)]),
        (
            [sets(tint=Components({2: 1.0})), RunRequested("main"), sets(tint=Components({1: 1.0}))],
            [sets(tint=Components({2: 1.0})), RunRequested("main"), sets(tint=Components({1: 1.0}))],
        ),
        (
            [sets(tint=Components({2: 1.0})), sets(blur=3), sets(place=Components({0: 1.0}))],
            [sets(tint=Components({2: 1.0}), blur=3, place=Components({0: 1.0}))],
        ),
    ],
)
def test_components_of_a_bundle_merge(controls, merged):
    assert merge_controls(controls) == merged


def test_the_others_keep_their_present_values():
    present = {"tint": (0.1, 0.2, 0.3, 0.4), "blur": 3}
    assert whole_values({"tint": Components({1: 1.0}), "blur": 4}, present) == {"tint": (0.1, 1.0, 0.3, 0.4), "blur": 4}


@pytest.mark.parametrize(
    ("sent", "held", "becomes"),
    [
        (0.10000000149011612, 0.1, 0.1),
        (0.1000001, 0.1, 0.1000001),
        ((0.20000000298023224, 0.5, 0.0, 1.0), (0.2, 0.4, 0.0, 1.0), (0.2, 0.5, 0.0, 1.0)),
        (1e300, 1e301, 1e300),
        (3.5e38, 3.5e38, 3.5e38),
        (0.5, None, 0.5),
        ("0.1", 0.1, "0.1"),
        (3, 3.0, 3),
        ((0.1, 0.2), (0.1,), (0.1, 0.2)),
    ],
)
def test_what_comes_back_as_a_float32_changes_nothing(sent, held, becomes):
    present = {} if held is None else {"it": held}
    assert whole_values({"it": sent}, present) == {"it": becomes}


def test_a_workflow_that_changed_in_the_same_bundle():
    with pytest.raises(UnknownNameError):
        whole_values({"tint": Components({1: 1.0})}, {})
    with pytest.raises(InvalidValueError):
        whole_values({"tint": Components({2: 1.0})}, {"tint": (0.0, 0.0)})
    with pytest.raises(InvalidValueError):
        whole_values({"tint": Components({0: 1.0})}, {"tint": 7})
