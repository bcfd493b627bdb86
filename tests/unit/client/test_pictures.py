"""A picture as the client sends it."""

import numpy as np
import pytest

from bridge.client.pictures import picture_value
from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Origin


@pytest.mark.parametrize(
    ("dtype", "shape", "word"),
    [
        ("u1", (2, 3), "r8"),
        ("u1", (2, 3, 1), "r8"),
        ("u1", (2, 3, 3), "rgb8"),
        ("u1", (2, 3, 4), "rgba8"),
        ("<u2", (2, 3), "r16"),
        (">u2", (2, 3), "r16"),
        ("<f2", (2, 3), "r16f"),
        ("<f2", (2, 3, 4), "rgba16f"),
        ("<f4", (2, 3), "r32f"),
        (">f4", (2, 3, 4), "rgba32f"),
    ],
)
def test_an_array_is_sent_as_what_it_is(dtype, shape, word):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    value = picture_value(array)
    assert (value["width"], value["height"], value["format"], value["origin"]) == (3, 2, word, "top_left")
    assert value["data"] == array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()


@pytest.mark.parametrize(("dtype", "word"), [("<f2", "rgba16f"), (">f4", "rgba32f")])
def test_three_channels_of_floats_get_an_alpha_of_1(dtype, word):
    array = np.linspace(0, 1, 18).reshape(2, 3, 3).astype(dtype)
    value = picture_value(array)
    sent = np.frombuffer(value["data"], np.dtype(dtype).newbyteorder("<")).reshape(2, 3, 4)
    assert value["format"] == word
    assert np.array_equal(sent[..., :3], array)
    assert (sent[..., 3] == 1).all()


def test_format_and_origin_may_be_said():
    array = np.zeros((2, 3, 4), np.uint8)
    assert picture_value(array, format="bgra8", origin=Origin.BOTTOM_LEFT)["format"] == "bgra8"
    assert picture_value(array, origin="bottom_left")["origin"] == "bottom_left"


def test_rows_that_are_not_in_a_row_are_copied():
    array = np.arange(48, dtype=np.uint8).reshape(4, 3, 4)
    assert picture_value(array[::2, ::-1])["data"] == np.ascontiguousarray(array[::2, ::-1]).tobytes()


def test_a_file_and_a_value():
    assert picture_value(bytearray(b"x")) == {"encoded": b"x"}
    assert picture_value({"slot": 1, "seq": 2}) == {"slot": 1, "seq": 2}


@pytest.mark.parametrize(
    ("array", "options", "code"),
    [
        (np.zeros((2, 3, 2), np.uint8), {}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros((2, 3), np.int32), {}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros((2, 3), np.float64), {}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros(3, np.uint8), {}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros((0, 3), np.uint8), {}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros((2, 3, 3), np.uint8), {"format": "rgba8"}, ErrorCode.UNSUPPORTED_FORMAT),
        (np.zeros((2, 3), np.uint8), {"origin": "middle"}, ErrorCode.NOT_A_CHOICE),
    ],
)
def test_refused(array, options, code):
    with pytest.raises(InvalidValueError) as caught:
        picture_value(array, **options)
    assert caught.value.code is code
