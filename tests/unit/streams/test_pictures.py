"""Pictures as values: what is taken, and what is refused with which number, value and limit."""

import math

import pytest

from bridge.errors import ErrorCode, TexbridgeError
from bridge.streams.checks import check_value
from bridge.streams.pictures import RAW_FORMATS, ValueLimits
from bridge.streams.values import Values
from bridge.types import BYTES_PER_PIXEL, FORMATS_BY_WORD, Origin, ParameterSpec, ParameterType, Picture, RawPicture

IMAGE = ParameterSpec("p", "P", ParameterType.IMAGE, "example.png")


def raw(**fields):
    """Two by one pixels of rgba8, unless said otherwise."""
    return {"width": 2, "height": 1, "format": "rgba8", "origin": "top_left", "data": bytes(8), **fields}


def without(name):
    value = raw()
    del value[name]
    return value


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("word", RAW_FORMATS)
def test_every_uncompressed_format_and_origin_is_taken(word, origin):
    data = bytes(range(2 * BYTES_PER_PIXEL[FORMATS_BY_WORD[word]]))
    value = check_value(IMAGE, raw(format=word, origin=origin.value, data=data))
    assert value == RawPicture(2, 1, FORMATS_BY_WORD[word], origin, data)
    assert check_value(IMAGE, value) is value
    assert value.size == (2, 1)


def test_these_formats_are_uncompressed():
    assert RAW_FORMATS == ("rgba8", "bgra8", "rgb8", "r8", "rgba16f", "rgba32f", "r16", "r16f", "r32f")


@pytest.mark.parametrize("data", [bytearray(8), memoryview(bytes(8))])
def test_whatever_holds_bytes_is_taken(data):
    assert check_value(IMAGE, raw(data=data)).data == bytes(8)


def test_whole_floats_are_sizes():
    """Some senders have only floats."""
    assert check_value(IMAGE, raw(width=2.0, height=1.0)).size == (2, 1)


@pytest.mark.parametrize(
    ("value", "code", "in_words"),
    [
        (without("width"), ErrorCode.WRONG_TYPE, "has no `width`"),
        (without("format"), ErrorCode.WRONG_TYPE, "has no `format`"),
        (without("origin"), ErrorCode.WRONG_TYPE, "has no `origin`"),
        (without("data"), ErrorCode.WRONG_TYPE, "no `encoded` file and no `data`"),
        (raw(encoded=b"x"), ErrorCode.WRONG_TYPE, "both `encoded` and `data`"),
        (raw(slot=1, seq=2), ErrorCode.WRONG_TYPE, "both `data` and `slot`"),
        ({"slot": 1, "seq": 2}, ErrorCode.NOT_SUPPORTED, "shared memory"),
        (raw(width=True), ErrorCode.WRONG_TYPE, "True is no width"),
        (raw(width="2"), ErrorCode.WRONG_TYPE, "'2' is no width"),
        (raw(height=math.nan), ErrorCode.NOT_FINITE, "not finite"),
        (raw(height=math.inf), ErrorCode.NOT_FINITE, "not finite"),
        (raw(width=0, data=b"x"), ErrorCode.BAD_SIZE, "1..16384"),
        (raw(width=-2), ErrorCode.BAD_SIZE, "1..16384"),
        (raw(width=1.5), ErrorCode.BAD_SIZE, "whole number"),
        (raw(width=16_385), ErrorCode.BAD_SIZE, "1..16384"),
        (raw(width=2**70), ErrorCode.BAD_SIZE, "1..16384"),
        (raw(width=10_000, height=10_000), ErrorCode.BAD_SIZE, "100000000 pixels, more than 64000000"),
        (raw(format="rgba"), ErrorCode.UNSUPPORTED_FORMAT, "nearest is 'rgba8'"),
        (raw(format="bc1"), ErrorCode.UNSUPPORTED_FORMAT, "no format of raw pixels"),
        (raw(format="png"), ErrorCode.UNSUPPORTED_FORMAT, "a file goes as {encoded}"),
        (raw(format=1), ErrorCode.UNSUPPORTED_FORMAT, "no format"),
        (raw(origin="top"), ErrorCode.NOT_A_CHOICE, "top_left, bottom_left"),
        (raw(origin=["top_left"]), ErrorCode.NOT_A_CHOICE, "no origin"),
        (raw(data="12345678"), ErrorCode.WRONG_TYPE, "not the bytes of pixels"),
        (raw(data=b""), ErrorCode.WRONG_TYPE, "empty"),
        (raw(data=bytes(7)), ErrorCode.BAD_PICTURE, "data of 7 bytes; 2 x 1 of rgba8 at 4 bytes a pixel are 8"),
        (raw(data=bytes(9)), ErrorCode.BAD_PICTURE, "data of 9 bytes"),
        (raw(format="r32f", data=bytes(2)), ErrorCode.BAD_PICTURE, "r32f at 4 bytes a pixel are 8"),
    ],
)
def test_refused_with_its_number_value_and_limit(value, code, in_words):
    with pytest.raises(TexbridgeError) as caught:
        check_value(IMAGE, value)
    error = caught.value
    assert error.code is code
    assert in_words in error.message
    assert error.field == "p"
    assert error.limit is not None


def test_bytes_and_pixels_have_limits():
    limits = ValueLimits(max_picture_bytes=7, max_picture_pixels=2)
    with pytest.raises(TexbridgeError, match="over the limit of 7 bytes"):
        check_value(IMAGE, raw(), limits=limits)
    with pytest.raises(TexbridgeError, match="3 pixels, more than 2"):
        check_value(IMAGE, raw(width=3), limits=limits)


def test_the_same_picture_again_changes_nothing_and_stays_the_same_object():
    values = Values((IMAGE,))
    assert values.set({"p": raw(data=b"12345678")}) == ("p",)
    held, revision = values["p"], values.revision
    assert values.set({"p": raw(data=b"12345678")}) == ()
    assert (values["p"], values.revision) == (held, revision)
    assert values["p"] is held
    assert values.set({"p": raw(data=b"12345679")}) == ("p",)
    assert isinstance(values["p"], RawPicture)
    assert values.set({"p": {"encoded": b"x"}}) == ("p",)
    assert isinstance(values["p"], Picture)
