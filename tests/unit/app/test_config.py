"""Configuration: where it is found, how its sources add up, and what a mistake reads like."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from bridge.app.config.config import Config, find_config, load_config, parse_listen, user_config_folder
from bridge.app.config.file import commented_config
from bridge.app.data import data_folder
from bridge.errors import ConfigError
from bridge.types import Mode


def test_the_default_has_main() -> None:
    config = load_config(None, {})
    main = config.streams["main"]
    assert (main.workflow, main.mode, main.max_fps, main.size) == ("gradient", Mode.LIVE, 30.0, (512, 512))
    assert config.osc.listen == "127.0.0.1:9400"


def test_file_environment_and_flags_in_that_order(tmp_path: Path) -> None:
    file = tmp_path / "texbridge.toml"
    file.write_text(
        '[osc]\nlisten = "127.0.0.1:1"\nmax_hold_ms = 5\n[tcp]\nlisten = "127.0.0.1:2"\n'
        '[workflows]\nfolders = ["mine"]\n',
        encoding="utf-8",
    )
    environment = {"TEXBRIDGE_OSC_LISTEN": "127.0.0.1:3", "TEXBRIDGE_TCP_LISTEN": "127.0.0.1:4", "PATH": "x"}
    config = load_config(file, environment, {"tcp": {"listen": "127.0.0.1:5"}})
    assert config.osc.listen == "127.0.0.1:3"
    assert config.osc.max_hold_ms == 5
    assert config.tcp.listen == "127.0.0.1:5"
    assert config.workflows.folders == (str(tmp_path / "mine"),)


def test_streams_of_the_command_line_come_beside_main(tmp_path: Path) -> None:
    more = {"streams": {"sky": {"workflow": "shapes", "mode": "latest"}}}
    config = load_config(None, {}, more)
    assert sorted(config.streams) == ["main", "sky"]
    assert config.streams["main"] == load_config(None, {}).streams["main"]
    file = tmp_path / "texbridge.toml"
    file.write_text('[streams.wall]\nworkflow = "gradient"\n', encoding="utf-8")
    assert sorted(load_config(file, {}, more).streams) == ["sky", "wall"]


def test_a_stream_of_the_command_line_takes_nothing_from_one_of_the_same_name(tmp_path: Path) -> None:
    more = {"streams": {"main": {"workflow": "shapes", "mode": "latest"}}}
    main = load_config(None, {}, more).streams["main"]
    assert (main.workflow, main.size, main.max_fps) == ("shapes", None, None)
    file = tmp_path / "texbridge.toml"
    file.write_text('[streams.main]\nworkflow = "gradient"\nparams = {noise = 0.2}\n', encoding="utf-8")
    assert load_config(file, {}, more).streams["main"] == main


def test_comfy_urls_from_the_environment() -> None:
    config = load_config(None, {"TEXBRIDGE_COMFY": "http://a:1, http://b:2"})
    assert [backend.url for backend in config.backend] == ["http://a:1", "http://b:2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[osc]\nlissten = "x"', "unknown key 'lissten'; did you mean 'listen'"),
        ("[oscc]\n", "unknown key 'oscc'; did you mean 'osc'"),
        ('[streams.a]\nworkflow="g"\nmaxfps = 3', r"\[streams.a\]: unknown key 'maxfps'; did you mean 'max_fps'"),
        ('[[map]]\naddress="/a"\nto="panic"\ninn = [0, 1]', r"\[\[map\]\]: unknown key 'inn'; did you mean 'in'"),
        ('[[map]]\naddress="/a"\nto="panic"\nsmoothing = 1', "did you mean 'smoothing_s'"),
        ('[[backend]]\nurll = "x"', r"\[\[backend\]\]: unknown key 'urll'; did you mean 'url'"),
        ("[osc]\nlisten = 3", "Expected `?str`?, got `?int`? - at osc.listen"),
        ('[streams.a]\nworkflow="g"\nmode="alive"', "Invalid enum value"),
        ('[streams.a]\nworkflow="g"\nmax_fps=0', "> 0"),
        ("[limits]\nsessions = 0", ">= 1"),
        ('[osc]\nlisten = "localhost"', "must be HOST:PORT"),
        ('[osc]\nlisten = "0.0.0.0:9400"', "osc.allow"),
        ('[osc]\nallow = ["300.1.1.1/8"]', "not a network"),
        ('[tcp]\nlisten = "0.0.0.0:9402"', "link.token"),
        ('[tcp]\nlisten = "0.0.0.0:9402"\n[link]\ntoken = "short"', "16 characters"),
        ("[osc", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "texbridge.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        load_config(file, {})


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"TEXBRIDGE_OSC_LISTENN.*did you mean 'listen'"):
        load_config(None, {"TEXBRIDGE_OSC_LISTENN": "x"})


def test_beyond_loopback_with_protection() -> None:
    config = load_config(
        None,
        {},
        {
            "osc": {"listen": "0.0.0.0:0", "allow": ["192.168.1.0/24"]},
            "tcp": {"listen": "0.0.0.0:0"},
            "link": {"token": "0123456789abcdef"},
        },
    )
    assert config.osc.allow == ("192.168.1.0/24",)


def test_find_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "APPDATA": str(tmp_path / "xdg")}
    assert find_config(None, home) is None
    user = user_config_folder(home) / "texbridge.toml"
    user.parent.mkdir(parents=True)
    user.write_text("", encoding="utf-8")
    assert find_config(None, home) == user
    (tmp_path / "texbridge.toml").write_text("", encoding="utf-8")
    assert find_config(None, home) == Path("texbridge.toml")
    other = tmp_path / "other.toml"
    other.write_text("", encoding="utf-8")
    assert find_config(None, {**home, "TEXBRIDGE_CONFIG": str(other)}) == other
    assert find_config(str(user), {**home, "TEXBRIDGE_CONFIG": str(other)}) == user
    with pytest.raises(ConfigError, match="not a file"):
        find_config(str(tmp_path / "none.toml"), home)


@pytest.mark.parametrize(
    ("platform", "tail"),
    [
        ("win32", "AppData/Roaming/texbridge"),
        ("darwin", "Library/Application Support/texbridge"),
        ("linux", ".config/texbridge"),
    ],
)
def test_user_folder_by_system(platform: str, tail: str) -> None:
    folder = user_config_folder({"HOME": "/home/x", "USERPROFILE": "/home/x"}, platform)
    assert folder.as_posix() == f"/home/x/{tail}"


def test_the_commented_config_says_the_truth() -> None:
    """Every comment sign taken away, the file loads, and all that has a default has the one that it shows."""
    text = commented_config()
    bare = "\n".join(line[2:] if re.match(r"# (\w+ = |\[)", line) else line for line in text.splitlines())
    config = msgspec.convert(tomllib.loads(bare), Config, strict=False)
    default = Config()
    for name in Config.__struct_fields__:
        if name not in ("backend", "streams", "map"):
            assert getattr(config, name) == getattr(default, name)
    for section in Config.__struct_fields__:
        assert f"[{section}" in text
    assert msgspec.convert(tomllib.loads(text), Config) == default


@pytest.mark.parametrize(
    ("text", "result"),
    [("127.0.0.1:9400", ("127.0.0.1", 9400)), ("[::1]:0", ("::1", 0)), ("localhost:1", ("localhost", 1))],
)
def test_parse_listen(text: str, result: tuple[str, int]) -> None:
    assert parse_listen(text, "x") == result


def test_data_folders_are_found_in_the_checkout() -> None:
    assert data_folder("workflows").name == "workflows"
    with pytest.raises(ConfigError):
        data_folder("nothing")


def test_files_of_a_backend_are_taken_from_where_the_configuration_is(tmp_path: Path) -> None:
    path = tmp_path / "texbridge.toml"
    path.write_text(
        '[[backend]]\nurl = "https://a"\nheaders_file = "cookies.txt"\nca_file = "/etc/ca.pem"\n'
        '[[backend]]\nurl = "b"\n'
    )
    one, two = load_config(path, {}).backend
    assert Path(one.headers_file) == tmp_path / "cookies.txt"
    assert Path(one.ca_file) == Path("/etc/ca.pem")
    assert (two.headers_file, two.ca_file, two.remote) == ("", "", None)


def test_secrets_are_not_in_the_repr() -> None:
    secret = "not-to-be-shown-1234"
    backend = {"url": f"https://ann:{secret}@host/?token={secret}", "headers": {"X-Key": secret}}
    config = load_config(None, {}, {"link": {"token": secret}, "backend": [backend]})
    assert secret not in repr(config)


def test_doors_may_be_looked_at_later() -> None:
    overrides = {"tcp": {"listen": "0.0.0.0:0"}}
    assert load_config(None, {}, overrides, check_doors=False).tcp.listen == "0.0.0.0:0"
