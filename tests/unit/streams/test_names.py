"""Names of streams, the nearest right name, and wrong values as short text."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.names import check_stream_name, nearest, plain, shown


@pytest.mark.parametrize("name", ["main", "A", "left-eye_2", "x" * 64, "7"])
def test_good_stream_names(name):
    assert check_stream_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "é", "a*", "../x", "a\0", "main\n", "x" * 10_000])
def test_bad_stream_names(name):
    with pytest.raises(InvalidValueError) as caught:
        check_stream_name(name)
    assert caught.value.code is ErrorCode.BAD_NAME
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("name", ["reply", "error", "panic", "resume", "cue", "refresh"])
def test_reserved_names_come_with_a_suggestion(name):
    with pytest.raises(InvalidValueError, match=f"{name}_1") as caught:
        check_stream_name(name)
    assert caught.value.code is ErrorCode.BAD_NAME


@pytest.mark.parametrize("name", [None, 7, b"main", ["main"]])
def test_a_name_is_text(name):
    with pytest.raises(InvalidValueError) as caught:
        check_stream_name(name)
    assert caught.value.code is ErrorCode.WRONG_TYPE


def test_nearest():
    assert nearest("strenght", ("strength", "blur")) == "strength"
    assert nearest("STRENGTH", ("strength", "blur")) == "strength"
    assert nearest("zzz", ("strength", "blur")) is None
    assert nearest(7, ("strength",)) is None
    assert nearest("Cloud_mix", ("clouds", "cloud_mix_factor", "cloud_mix_mode")) == "cloud_mix_factor"
    assert nearest("clouds", ("clouds_size", "clouds")) == "clouds"
    assert nearest("", ("_a",)) is None
    assert nearest("x" * 100_000, ("strength",)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (7, "7"),
        (2**200, "an integer of 201 bits"),
        ("\ud800", "'\\ud800'"),
        ("é", "'é'"),
        (b"1234", "4 bytes"),
        ([1, [2], "x"], "[1, ..., 'x']"),
        (list(range(9)), "[0, 1, 2, 3, ...] (9 items)"),
        ({"a": 1}, "a map of 1"),
        (object(), "a object"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text


def test_shown_is_short():
    assert len(shown("x" * 10**6)) < 100
    assert len(shown(["y" * 10**6] * 100)) < 500


@pytest.mark.parametrize(
    ("value", "given"),
    [(5, 5), (2**64, repr(2**64)), (1.5, 1.5), (float("nan"), "nan"), ("a", "a"), (True, True), (b"x", "1 bytes")],
)
def test_plain(value, given):
    assert plain(value) == given
