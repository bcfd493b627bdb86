"""Arguments of `send`: what type each text becomes."""

import pytest

from bridge.cli.send import find_target, read_argument
from bridge.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value", "tag"),
    [
        ("0", 0, "i"),
        ("-7", -7, "i"),
        ("+7", 7, "i"),
        ("2147483647", 2**31 - 1, "i"),
        ("2147483648", 2**31, "h"),
        ("-2147483648", -(2**31), "i"),
        ("-9223372036854775808", -(2**63), "h"),
        ("9223372036854775808", "9223372036854775808", "s"),
        ("0.5", 0.5, "f"),
        (".5", 0.5, "f"),
        ("5.", 5.0, "f"),
        ("1e3", 1000.0, "f"),
        ("-1E-3", -0.001, "f"),
        ("1e39", 1e39, "d"),
        ("1e", "1e", "s"),
        ("nan", "nan", "s"),
        ("0x10", "0x10", "s"),
        ("true", True, "T"),
        ("false", False, "F"),
        ("True", "True", "s"),
        ("", "", "s"),
        ("#ff8800", "#ff8800", "s"),
        ("i:5", 5, "i"),
        ("h:5", 5, "h"),
        ("f:5", 5.0, "f"),
        ("d:5", 5.0, "d"),
        ("s:5", "5", "s"),
        ("s:i:5", "i:5", "s"),
        ("x:5", "x:5", "s"),
        ("٣", "٣", "s"),
    ],
)
def test_read_argument(text, value, tag):
    assert read_argument(text) == (value, tag)
    assert type(read_argument(text)[0]) is type(value)


def test_find_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_target("192.168.1.20:9000", None) == ("192.168.1.20", 9000)
    assert find_target("[::1]:9000", None) == ("::1", 9000)
    path = tmp_path / "texbridge.toml"
    for listen, target in [
        ("127.0.0.1:9500", ("127.0.0.1", 9500)),
        ("127.0.0.1:0", ("127.0.0.1", 9400)),
        ("", ("127.0.0.1", 9400)),
        ("0.0.0.0:9500", ("127.0.0.1", 9500)),
        ("[::]:9500", ("::1", 9500)),
    ]:
        path.write_text(f'[osc]\nlisten = "{listen}"\nallow = ["10.0.0.0/8"]\n', encoding="utf-8")
        assert find_target(None, str(path)) == target
    with pytest.raises(ConfigError, match="not a file"):
        find_target(None, str(tmp_path / "none.toml"))
    assert find_target("127.0.0.1:1", str(tmp_path / "none.toml")) == ("127.0.0.1", 1)
