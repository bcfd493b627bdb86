"""Values on their way into a node: what each input gets, and that a list never passes."""

from collections.abc import Callable
from typing import Any

import pytest
from workflow_files import INFO, blurred

from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Picture
from bridge.workflow.targets import Target
from bridge.workflow.template import parse_template
from bridge.workflow.writers import (
    Write,
    bool_writer,
    choice_writer,
    color_number,
    color_writer,
    float_writer,
    int_writer,
    seed_writer,
    text_writer,
    vector_writer,
)

BLUR = parse_template(blurred()).nodes["2"]


def seed(maximum: int | None) -> Write:
    info = INFO.get("Noise").inputs["seed"] if maximum is not None else None  # type: ignore[union-attr]
    return seed_writer("x", Target(BLUR, "seed", 0, info))


WRITTEN = [
    (int_writer("x", False), 3, 3),
    (int_writer("x", True), 3, 3.0),
    (float_writer("x"), 3, 3.0),
    (float_writer("x"), 0.5, 0.5),
    (bool_writer("x"), True, True),
    (text_writer("x"), '["4", 0]', '["4", 0]'),
    (choice_writer("x", {"a": "a", "2": 2}), "2", 2),
    (color_writer("x", False), (1.0, 0.5, 0.0, 0.25), 0xFF8000),
    (color_writer("x", True), (1.0, 0.5, 0.0), "#ff8000"),
    (vector_writer("x", 1, 2, False), (1.0, 2.5), 2.5),
    (vector_writer("x", 1, 2, True), (1.0, 2.5), 3),
    (seed(None), 2**64 - 1, 2**64 - 1),
    (seed(2**32 - 1), 2**64 - 1, 2**32 - 1),
    (seed(2**32 - 1), 2**32, 0),
]


@pytest.mark.parametrize(("write", "value", "expected"), WRITTEN)
def test_written(write: Write, value: Any, expected: object) -> None:
    result = write(value)
    assert result == expected
    assert type(result) is type(expected)


LIST: Any = ["4", 0]
WRITERS: list[Callable[[], Write]] = [
    lambda: int_writer("x", False),
    lambda: float_writer("x"),
    lambda: bool_writer("x"),
    lambda: text_writer("x"),
    lambda: choice_writer("x", {"a": "a"}),
    lambda: color_writer("x", False),
    lambda: vector_writer("x", 0, 2, False),
    lambda: seed(None),
]


@pytest.mark.parametrize("make", WRITERS)
@pytest.mark.parametrize("value", [LIST, ("4", 0), {"a": 1}, None, b"a", Picture(b"", "")])
def test_what_is_no_value_is_refused(make: Callable[[], Write], value: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()(value)
    assert caught.value.field == "x"


@pytest.mark.parametrize(
    ("write", "value", "words", "code"),
    [
        (int_writer("x", False), True, "x must be a whole number, not bool", ErrorCode.WRONG_TYPE),
        (int_writer("x", False), 1.5, "x must be a whole number, not float", ErrorCode.WRONG_TYPE),
        (float_writer("x"), True, "x must be a finite number, not bool", ErrorCode.WRONG_TYPE),
        (float_writer("x"), float("nan"), "x must be a finite number, not float", ErrorCode.WRONG_TYPE),
        (bool_writer("x"), 1, "x must be true or false, not int", ErrorCode.WRONG_TYPE),
        (text_writer("x"), LIST, "x must be a text, not list", ErrorCode.WRONG_TYPE),
        (text_writer("x"), Picture(b"", ""), "x must be a text, not Picture", ErrorCode.WRONG_TYPE),
        (choice_writer("x", {"a": "a"}), "b", "x 'b' isn't among the choices", ErrorCode.NOT_A_CHOICE),
        (
            color_writer("x", False),
            (2.0, 0, 0),
            "x must be three or four numbers 0..1, not tuple",
            ErrorCode.WRONG_TYPE,
        ),
        (color_writer("x", False), "#ff0000", "x must be three or four numbers 0..1, not str", ErrorCode.WRONG_TYPE),
        (vector_writer("x", 0, 2, False), (1.0,), "x must be 2 finite numbers, not tuple", ErrorCode.WRONG_TYPE),
        (seed(None), -1, "x -1 is outside 0..18446744073709551615", ErrorCode.OUT_OF_RANGE),
        (seed(None), 2**64, "x 18446744073709551616 is outside 0..18446744073709551615", ErrorCode.OUT_OF_RANGE),
    ],
)
def test_refused_in_words(write: Write, value: Any, words: str, code: ErrorCode) -> None:
    with pytest.raises(InvalidValueError) as caught:
        write(value)
    assert (caught.value.message, caught.value.code) == (words, code)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0x336699, (0.2, 0.4, 0.6, 1.0)),
        ("#336699", (0.2, 0.4, 0.6, 1.0)),
        ("336699", (0.2, 0.4, 0.6, 1.0)),
        ("#33669900", (0.2, 0.4, 0.6, 0.0)),
        ([0.2, 0.4, 0.6], (0.2, 0.4, 0.6, 1.0)),
        ((0, 1, 0, 0.5), (0.0, 1.0, 0.0, 0.5)),
        (0x1000000, None),
        (-1, None),
        (True, None),
        ("#33669", None),
        ("#33669é", None),
        ("#+33669", None),
        ([0.2, 0.4], None),
        ([0.2, 0.4, 2.0], None),
        ([0.2, 0.4, "1"], None),
        (None, None),
    ],
)
def test_colours_are_read(value: object, expected: object) -> None:
    assert color_number(value) == expected


def test_every_eight_bit_colour_comes_back_as_it_was() -> None:
    write = color_writer("x", False)
    for level in range(256):
        number = level << 16 | (255 - level) << 8 | level
        color = color_number(number)
        assert color is not None
        assert write(color) == number
