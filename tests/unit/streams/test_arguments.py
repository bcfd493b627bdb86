"""OSC arguments in all the spellings that controllers use."""

import math
from enum import Enum
from typing import NamedTuple

import pytest

from bridge.errors import ErrorCode, TexbridgeError
from bridge.streams.arguments import read_number, read_switch, read_value, spread
from bridge.types import ParameterSpec, ParameterType


class Rgba(NamedTuple):
    """As the OSC codec gives type tag `r`."""

    red: int
    green: int
    blue: int
    alpha: int


class Impulse(Enum):
    """As the OSC codec gives type tag `I`."""

    IMPULSE = "I"


BANG = Impulse.IMPULSE


def spec(kind: str, **more) -> ParameterSpec:
    return ParameterSpec("p", "P", ParameterType(kind), 0, **more)


INT = spec("int", minimum=0, maximum=64)
STRICT_INT = spec("int", minimum=0, maximum=64, clamp=False)
FLOAT = spec("float", minimum=0.0, maximum=1.0)
BOOL = spec("bool")
STRING = spec("string")
CHOICE = spec("choice", choices=("area", "nearest exact", "10"))
STRICT_CHOICE = spec("choice", choices=("area", "bilinear"), clamp=False)
SEED = spec("seed")
COLOR = spec("color")
STRICT_COLOR = spec("color", clamp=False)
VEC2 = spec("vec2", minimum=-1.0, maximum=1.0)
VEC4 = spec("vec4")
IMAGE = spec("image")


@pytest.mark.parametrize(
    ("parameter", "arguments", "value"),
    [
        (INT, (5,), 5),
        (INT, (5.0,), 5),
        (INT, ("5",), 5),
        (INT, (" 5.0 ",), 5),
        (INT, ("1e1",), 10),
        (INT, (99,), 64),
        (INT, (-99.0,), 0),
        (INT, ((5,),), 5),
        (FLOAT, (1,), 1.0),
        (FLOAT, (".5",), 0.5),
        (FLOAT, (2.5,), 1.0),
        (BOOL, (True,), True),
        (BOOL, (False,), False),
        (BOOL, (1,), True),
        (BOOL, (0.0,), False),
        (BOOL, (127,), True),
        (BOOL, ("true",), True),
        (BOOL, ("Off",), False),
        (BOOL, ("0",), False),
        (BOOL, (BANG,), True),
        (STRING, ("a lake",), "a lake"),
        (STRING, ("a", "lake", "at", "dawn"), "a lake at dawn"),
        (STRING, ("",), ""),
        (STRING, ("3", 3, 0.10000000149011612, "cats"), "3 3 0.1 cats"),
        (STRING, (("a", "lake"),), "a lake"),
        (STRING, ("caf\xe9".encode(),), "café"),
        (CHOICE, ("area",), "area"),
        (CHOICE, ("nearest", "exact"), "nearest exact"),
        (CHOICE, ("10",), "10"),  # its text goes before its index
        (CHOICE, (1,), "nearest exact"),
        (CHOICE, (1.0,), "nearest exact"),
        (CHOICE, ("0",), "area"),
        (CHOICE, (99,), "10"),
        (CHOICE, (-1,), "area"),
        (SEED, (7,), 7),
        (SEED, ("18446744073709551615",), 2**64 - 1),
        (SEED, (7.0,), 7),
        (COLOR, (0.0, 0.5, 1.0), (0.0, 0.5, 1.0, 1.0)),
        (COLOR, (0.0, 0.5, 1.0, 0.25), (0.0, 0.5, 1.0, 0.25)),
        (COLOR, (1, 0.5, 0), (1.0, 0.5, 0.0, 1.0)),  # JavaScript makes ints of 1.0 and 0.0
        (COLOR, (255, 0, 51), (1.0, 0.0, 0.2, 1.0)),
        (COLOR, (255, 0, 51, 102), (1.0, 0.0, 0.2, 0.4)),
        (COLOR, (300, -5, 0), (1.0, 0.0, 0.0, 1.0)),
        (COLOR, (2.0, -1.0, 0.5), (1.0, 0.0, 0.5, 1.0)),
        (COLOR, (Rgba(255, 0, 51, 102),), (1.0, 0.0, 0.2, 0.4)),
        (COLOR, ((0.0, 0.5, 1.0),), (0.0, 0.5, 1.0, 1.0)),
        (COLOR, ("#ff0033",), (1.0, 0.0, 0.2, 1.0)),
        (COLOR, ("#ff003366",), (1.0, 0.0, 0.2, 0.4)),
        (COLOR, ("255", "0", "51"), (1.0, 0.0, 0.2, 1.0)),
        (COLOR, ("1.0", "0.0", "0.5"), (1.0, 0.0, 0.5, 1.0)),
        (VEC2, (0.5, -0.5), (0.5, -0.5)),
        (VEC2, (5, "-5"), (1.0, -1.0)),
        (VEC2, ((0.5, -0.5),), (0.5, -0.5)),
        (VEC4, (1, 2, 3, 4), (1.0, 2.0, 3.0, 4.0)),
    ],
)
def test_taken(parameter, arguments, value):
    given = read_value(parameter, arguments)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("parameter", "arguments", "code"),
    [
        (INT, (), ErrorCode.WRONG_COMPONENTS),
        (INT, (1, 2), ErrorCode.WRONG_COMPONENTS),
        (INT, ("seven",), ErrorCode.WRONG_TYPE),
        (INT, ("1_0",), ErrorCode.WRONG_TYPE),
        (INT, ("0x10",), ErrorCode.WRONG_TYPE),
        (INT, ("",), ErrorCode.WRONG_TYPE),
        (INT, ("nan",), ErrorCode.WRONG_TYPE),
        (INT, (True,), ErrorCode.WRONG_TYPE),
        (INT, (None,), ErrorCode.WRONG_TYPE),
        (INT, (BANG,), ErrorCode.WRONG_TYPE),
        (INT, (b"\0\0\0\5",), ErrorCode.WRONG_TYPE),
        (INT, (1.5,), ErrorCode.WRONG_TYPE),
        (INT, (math.nan,), ErrorCode.NOT_FINITE),
        (INT, (math.inf,), ErrorCode.NOT_FINITE),
        (STRICT_INT, (65,), ErrorCode.OUT_OF_RANGE),
        (FLOAT, (math.inf,), ErrorCode.NOT_FINITE),
        (FLOAT, ("1e999",), ErrorCode.NOT_FINITE),
        (FLOAT, (0.5, 0.5), ErrorCode.WRONG_COMPONENTS),
        (BOOL, ("maybe",), ErrorCode.WRONG_TYPE),
        (BOOL, (None,), ErrorCode.WRONG_TYPE),
        (BOOL, (math.nan,), ErrorCode.WRONG_TYPE),
        (BOOL, (1, 1), ErrorCode.WRONG_COMPONENTS),
        (STRING, (), ErrorCode.WRONG_COMPONENTS),
        (STRING, ((),), ErrorCode.WRONG_COMPONENTS),
        (STRING, (None,), ErrorCode.WRONG_TYPE),
        (STRING, ("a", ("b",)), ErrorCode.WRONG_TYPE),
        (STRING, (b"\xff",), ErrorCode.BAD_TEXT),
        (STRING, ("x" * 60_000, "y" * 60_000), ErrorCode.TOO_LONG),
        (CHOICE, ("nothing",), ErrorCode.NOT_A_CHOICE),
        (CHOICE, (0.5,), ErrorCode.NOT_A_CHOICE),
        (CHOICE, (math.nan,), ErrorCode.NOT_FINITE),
        (CHOICE, (1, 2), ErrorCode.WRONG_COMPONENTS),
        (STRICT_CHOICE, (2,), ErrorCode.NOT_A_CHOICE),
        (STRICT_CHOICE, (math.inf,), ErrorCode.NOT_A_CHOICE),
        (COLOR, (1.0, 0.5), ErrorCode.WRONG_COMPONENTS),
        (COLOR, (0.0,) * 5, ErrorCode.WRONG_COMPONENTS),
        (COLOR, (7,), ErrorCode.WRONG_COMPONENTS),
        (COLOR, ("red",), ErrorCode.WRONG_TYPE),
        (COLOR, (0.0, 0.0, math.nan), ErrorCode.NOT_FINITE),
        (COLOR, (0.0, 0.0, True), ErrorCode.WRONG_TYPE),
        (STRICT_COLOR, (256, 0, 0), ErrorCode.OUT_OF_RANGE),
        (STRICT_COLOR, (1.5, 0.0, 0.0), ErrorCode.OUT_OF_RANGE),
        (VEC2, (0.5,), ErrorCode.WRONG_COMPONENTS),
        (VEC2, (0.5, 0.5, 0.5), ErrorCode.WRONG_COMPONENTS),
        (VEC2, (0.5, None), ErrorCode.WRONG_TYPE),
        (VEC4, (Rgba(1, 2, 3, 4),), ErrorCode.WRONG_COMPONENTS),
        (IMAGE, (b"\x89PNG",), ErrorCode.NOT_SUPPORTED),
    ],
)
def test_refused(parameter, arguments, code):
    with pytest.raises(TexbridgeError) as caught:
        read_value(parameter, arguments)
    assert caught.value.code is code
    assert caught.value.field == "p"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("argument", "number"),
    [(1, 1), (1.5, 1.5), ("+3", 3), ("-3.", -3.0), ("1e-2", 0.01), (True, None), ("inf", None), ("1" * 65, None)],
)
def test_read_number(argument, number):
    assert read_number(argument) == number


@pytest.mark.parametrize(
    ("argument", "on"), [(BANG, True), ("yes", True), ("no", False), (-1, True), ((), None), (b"1", None)]
)
def test_read_switch(argument, on):
    assert read_switch(argument) is on


def test_spread_opens_a_lone_array_only():
    assert spread(((1, 2),)) == (1, 2)
    assert spread(((1, 2), 3)) == ((1, 2), 3)
    assert spread((Rgba(1, 2, 3, 4),)) == (Rgba(1, 2, 3, 4),)
