"""Texts of `run` as values."""

import pytest

from bridge.cli.run import parse_param, parse_size, typed_value
from bridge.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", "int", 3),
        ("3.5", "int", "3.5"),
        ("18446744073709551615", "seed", 2**64 - 1),
        ("99999999999999999999999", "int", "99999999999999999999999"),
        ("3", "float", 3.0),
        ("true", "bool", True),
        ("OFF", "bool", False),
        ("maybe", "bool", "maybe"),
        ("#ff8800", "color", "#ff8800"),
        ("0.2,0.4, 1", "color", [0.2, 0.4, 1.0]),
        ("red", "color", "red"),
        ("3,4", "vec2", [3.0, 4.0]),
        ("3", "string", "3"),
        ("euler", "choice", "euler"),
        ("3", None, "3"),
    ],
)
def test_typed_value(text, kind, value):
    assert typed_value(text, kind) == value
    assert type(typed_value(text, kind)) is type(value)


def test_a_picture_is_read(tmp_path):
    path = tmp_path / "in.png"
    path.write_bytes(b"123")
    assert typed_value(str(path), "image") == {"encoded": b"123"}
    with pytest.raises(ConfigError, match="can't read the picture"):
        typed_value(str(tmp_path), "image")


def test_parse_param_and_size():
    assert parse_param("prompt=a=b") == ("prompt", "a=b")
    assert parse_param("prompt=") == ("prompt", "")
    assert parse_size("768x512") == (768, 512)
    assert parse_size("768X512") == (768, 512)
    with pytest.raises(ConfigError, match="--aspect 16:9"):
        parse_size("16:9")
