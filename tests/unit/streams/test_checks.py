"""One value against its parameter: what the engine link takes, what it refuses and with which code."""

import hashlib
import math
import struct

import pytest

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, PictureDecodeError, TexbridgeError
from bridge.streams.checks import ValueLimits, check_value, clamp_value
from bridge.types import ParameterSpec, ParameterType, Picture


def spec(kind: str, **more) -> ParameterSpec:
    return ParameterSpec("p", "P", ParameterType(kind), more.pop("default", 0), **more)


def float32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


INT = spec("int", minimum=0, maximum=64)
FLOAT = spec("float", minimum=0.01, maximum=0.95)
OPEN_FLOAT = spec("float")
BOOL = spec("bool")
STRING = spec("string")
CHOICE = spec("choice", choices=("nearest-exact", "bilinear", "area"))
SEED = spec("seed")
SMALL_SEED = spec("seed", minimum=0, maximum=2**32 - 1)
COLOR = spec("color")
VEC2 = spec("vec2", minimum=-1.0, maximum=1.0)
VEC3 = spec("vec3")
VEC4 = spec("vec4")
IMAGE = spec("image")

PNG = b"\x89PNG\r\n\x1a\n...."


@pytest.mark.parametrize(
    ("parameter", "raw", "value"),
    [
        (INT, 0, 0),
        (INT, 64, 64),
        (INT, 7.0, 7),
        (spec("int"), -(2**63), -(2**63)),
        (FLOAT, 0.5, 0.5),
        (FLOAT, float32(0.01), 0.01),
        (spec("float", maximum=0.1), float32(0.1), 0.1),
        (OPEN_FLOAT, 3, 3.0),
        (BOOL, True, True),
        (BOOL, False, False),
        (BOOL, 1, True),
        (BOOL, 0, False),
        (BOOL, 1.0, True),
        (STRING, "", ""),
        (STRING, "café 猫 🐱\n", "café 猫 🐱\n"),
        (STRING, b"caf\xc3\xa9", "café"),
        (STRING, "x" * 100_000, "x" * 100_000),
        (CHOICE, "bilinear", "bilinear"),
        (SEED, 0, 0),
        (SEED, 2**64 - 1, 2**64 - 1),
        (SEED, float(2**53), 2**53),
        (SMALL_SEED, 2**32 - 1, 2**32 - 1),
        (COLOR, [0, 0.5, 1], (0.0, 0.5, 1.0, 1.0)),
        (COLOR, (0.0, 0.25, 0.5, 0.75), (0.0, 0.25, 0.5, 0.75)),
        (COLOR, "#ff0000", (1.0, 0.0, 0.0, 1.0)),
        (COLOR, "#00FF0080", (0.0, 1.0, 0.0, 128 / 255)),
        (VEC2, [-1, 1], (-1.0, 1.0)),
        (VEC3, [1, 2, 3.5], (1.0, 2.0, 3.5)),
        (VEC4, (1, 2, 3, 4), (1.0, 2.0, 3.0, 4.0)),
        (IMAGE, {"encoded": PNG}, Picture(PNG, hashlib.sha256(PNG).hexdigest())),
        (IMAGE, {"encoded": bytearray(PNG)}, Picture(PNG, hashlib.sha256(PNG).hexdigest())),
    ],
)
def test_taken(parameter, raw, value):
    checked = check_value(parameter, raw)
    assert checked == value
    assert type(checked) is type(value)
    assert check_value(parameter, checked) == checked


@pytest.mark.parametrize(
    ("parameter", "raw", "code"),
    [
        (INT, True, ErrorCode.WRONG_TYPE),
        (INT, "7", ErrorCode.WRONG_TYPE),
        (INT, 1.5, ErrorCode.WRONG_TYPE),
        (INT, None, ErrorCode.WRONG_TYPE),
        (INT, [1], ErrorCode.WRONG_TYPE),
        (INT, 2**70, ErrorCode.OUT_OF_RANGE),
        (INT, -1, ErrorCode.OUT_OF_RANGE),
        (INT, 65, ErrorCode.OUT_OF_RANGE),
        (INT, 1e300, ErrorCode.OUT_OF_RANGE),
        (spec("int"), 2**63, ErrorCode.OUT_OF_RANGE),
        (INT, math.nan, ErrorCode.NOT_FINITE),
        (FLOAT, math.nan, ErrorCode.NOT_FINITE),
        (FLOAT, math.inf, ErrorCode.NOT_FINITE),
        (FLOAT, True, ErrorCode.WRONG_TYPE),
        (FLOAT, "0.5", ErrorCode.WRONG_TYPE),
        (FLOAT, 0.9500003, ErrorCode.OUT_OF_RANGE),
        (FLOAT, 0, ErrorCode.OUT_OF_RANGE),
        (OPEN_FLOAT, 10**400, ErrorCode.OUT_OF_RANGE),
        (BOOL, 2, ErrorCode.WRONG_TYPE),
        (BOOL, "true", ErrorCode.WRONG_TYPE),
        (BOOL, None, ErrorCode.WRONG_TYPE),
        (BOOL, math.nan, ErrorCode.WRONG_TYPE),
        (STRING, ["4", 0], ErrorCode.WRONG_TYPE),
        (STRING, 7, ErrorCode.WRONG_TYPE),
        (STRING, {"a": 1}, ErrorCode.WRONG_TYPE),
        (STRING, "\ud800", ErrorCode.BAD_TEXT),
        (STRING, "a\0b", ErrorCode.BAD_TEXT),
        (STRING, b"\xff", ErrorCode.BAD_TEXT),
        (STRING, "x" * 100_001, ErrorCode.TOO_LONG),
        (STRING, b"x" * 400_001, ErrorCode.TOO_LONG),
        (CHOICE, "bilinea", ErrorCode.NOT_A_CHOICE),
        (CHOICE, "Bilinear", ErrorCode.NOT_A_CHOICE),
        (CHOICE, 1, ErrorCode.WRONG_TYPE),
        (CHOICE, ["4", 0], ErrorCode.WRONG_TYPE),
        (SEED, 2**64, ErrorCode.OUT_OF_RANGE),
        (SEED, -1, ErrorCode.OUT_OF_RANGE),
        (SEED, float(2**54), ErrorCode.OUT_OF_RANGE),
        (SEED, 0.5, ErrorCode.WRONG_TYPE),
        (SEED, True, ErrorCode.WRONG_TYPE),
        (SMALL_SEED, 2**32, ErrorCode.OUT_OF_RANGE),
        (COLOR, [0, 0.5], ErrorCode.WRONG_COMPONENTS),
        (COLOR, [0] * 5, ErrorCode.WRONG_COMPONENTS),
        (COLOR, [255, 0, 0], ErrorCode.OUT_OF_RANGE),
        (COLOR, [0, 0, "1"], ErrorCode.WRONG_TYPE),
        (COLOR, [0, 0, math.nan], ErrorCode.NOT_FINITE),
        (COLOR, "red", ErrorCode.WRONG_TYPE),
        (COLOR, "#fff", ErrorCode.WRONG_TYPE),
        (COLOR, "#ff0000\n", ErrorCode.WRONG_TYPE),
        (COLOR, 0xFF0000, ErrorCode.WRONG_TYPE),
        (VEC2, [0, 2], ErrorCode.OUT_OF_RANGE),
        (VEC2, [0, 0, 0], ErrorCode.WRONG_COMPONENTS),
        (VEC3, [1, [2], 3], ErrorCode.WRONG_TYPE),
        (VEC3, "1 2 3", ErrorCode.WRONG_TYPE),
        (IMAGE, "x.png", ErrorCode.WRONG_TYPE),
        (IMAGE, {}, ErrorCode.WRONG_TYPE),
        (IMAGE, {"encoded": "text"}, ErrorCode.WRONG_TYPE),
        (IMAGE, {"encoded": b""}, ErrorCode.WRONG_TYPE),
        (IMAGE, {"slot": 1, "seq": 2}, ErrorCode.NOT_SUPPORTED),
    ],
)
def test_refused(parameter, raw, code):
    with pytest.raises((InvalidValueError, NotAllowedError)) as caught:
        check_value(parameter, raw)
    error = caught.value
    assert error.code is code
    assert error.field == "p"
    assert error.limit is not None
    assert len(error.message) < 400
    error.message.encode("utf-8")
    str(error.value).encode("utf-8")


def test_out_of_range_says_value_and_limit():
    with pytest.raises(InvalidValueError) as caught:
        check_value(INT, 65)
    assert caught.value.message == "p: 65 is outside 0..64"

    assert (caught.value.value, caught.value.limit) == (65, "0..64")


def test_a_colour_of_bytes_says_what_the_link_wants():
    with pytest.raises(InvalidValueError) as caught:
        check_value(COLOR, [0, 255, 0])
    assert (caught.value.code, caught.value.value, caught.value.limit) == (ErrorCode.OUT_OF_RANGE, 255, "0.0..1.0")
    assert "floats from 0 to 1" in caught.value.message


def test_choice_names_the_nearest_and_the_others():
    with pytest.raises(InvalidValueError) as caught:
        check_value(CHOICE, "bilinea")
    assert "nearest is 'bilinear'" in caught.value.message
    assert "nearest-exact, bilinear, area" in caught.value.message


def test_own_limits():
    limits = ValueLimits(max_text=3, max_picture_bytes=4)
    assert check_value(STRING, "abc", limits=limits) == "abc"
    with pytest.raises(InvalidValueError) as caught:
        check_value(STRING, "abcd", limits=limits)
    assert caught.value.code is ErrorCode.TOO_LONG
    with pytest.raises(InvalidValueError) as caught:
        check_value(IMAGE, {"encoded": b"12345"}, limits=limits)
    assert caught.value.code is ErrorCode.TOO_LONG


@pytest.mark.parametrize(
    ("parameter", "raw", "value"),
    [
        (INT, 1e9, 64),
        (INT, -5, 0),
        (FLOAT, 7, 0.95),
        (FLOAT, -7, 0.01),
        (VEC2, [-3, 3], (-1.0, 1.0)),
        (COLOR, [2, -1, 0.5], (1.0, 0.0, 0.5, 1.0)),
        (SMALL_SEED, 2**40, 2**32 - 1),
        (spec("int", minimum=0.5, maximum=9.5), 100, 9),
    ],
)
def test_clamped(parameter, raw, value):
    clamped = clamp_value(parameter, raw)
    assert clamped == value
    assert type(clamped) is type(value)


@pytest.mark.parametrize("raw", [math.nan, math.inf, "x", None, 1.5])
def test_clamping_mends_no_wrong_type(raw):
    with pytest.raises(TexbridgeError):
        clamp_value(INT, raw)


def test_binding_can_say_reject():
    with pytest.raises(InvalidValueError) as caught:
        clamp_value(spec("int", minimum=0, maximum=9, clamp=False), 10)
    assert caught.value.code is ErrorCode.OUT_OF_RANGE


def test_what_looks_at_pictures_may_refuse_one():
    def look(data: bytes) -> None:
        if data != PNG:
            raise PictureDecodeError("it starts with 00", value="00", limit="png")

    limits = ValueLimits(check_picture=look)
    assert isinstance(check_value(IMAGE, {"encoded": PNG}, limits=limits), Picture)
    with pytest.raises(TexbridgeError) as caught:
        check_value(IMAGE, {"encoded": b"\0"}, limits=limits)
    error = caught.value
    assert (error.code, error.field, error.value, error.limit) == (ErrorCode.BAD_PICTURE, "p", "00", "png")
    assert error.message == "p: it starts with 00"
