"""The command line in this process: help that teaches, and what bad use reads like."""

from pathlib import Path

import pytest
from ports import ReservedPort

from bridge.cli import COMMANDS, main

COMMAND_LINES = [(name,) for name in COMMANDS] + [("workflows", verb) for verb in ("list", "show", "check")]


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    """An empty folder and home, no settings, and no ComfyUI of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("TEXBRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("TEXBRIDGE_SEARCH_PLACES", "[]")
    for door in ("OSC", "LINK", "TCP", "HTTP"):
        monkeypatch.setenv(f"TEXBRIDGE_{door}_LISTEN", "127.0.0.1:0")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "broken.toml").write_text("[osc", encoding="utf-8")


def ended(words):
    """The exit code, by return or by argparse."""
    try:
        return main(words)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_help_has_examples_and_every_option_explained(words, capsys):
    assert ended([*words, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"\n  texbridge {' '.join(words)}" in shown.out
    options = shown.out.partition("options:\n")[2]
    for line in options.splitlines():
        if line.startswith("  -"):
            lines = options.splitlines()
            following = lines[lines.index(line) + 1] if lines.index(line) + 1 < len(lines) else ""
            assert "  " in line.strip() or following.startswith("          "), f"{line} says nothing"


def test_help_of_all_names_every_command(capsys):
    assert ended(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, purpose in COMMANDS.items():
        assert f"\n    {name}" in shown
        assert purpose in shown


BAD_USE = [
    # words, what the message says
    (["nothing"], "invalid choice: 'nothing'"),
    (["serve", "--nothing"], "unrecognized arguments: --nothing"),
    (["serve", "--config", "none.toml"], "names none.toml, which is not a file"),
    (["serve", "--config", "."], "which is not a file"),
    (["serve", "--config", "bytes.toml"], "can't read bytes.toml"),
    (["serve", "--config", "broken.toml"], "broken.toml is not valid TOML"),
    (["serve", "--osc", "9400"], "osc.listen is '9400'; it must be HOST:PORT"),
    (["serve", "--tcp", "127.0.0.1:65536"], "port from 0 to 65535"),
    (["serve", "--tcp", "127.0.0.1:-1"], "port from 0 to 65535"),
    (["serve", "--osc", "0.0.0.0:0"], "osc.allow"),
    (["serve", "--http", "0.0.0.0:0"], "link.token"),
    (["serve", "--stream", "a"], "must be NAME=WORKFLOW"),
    (["serve", "--stream", "=gradient"], "must be NAME=WORKFLOW"),
    (["serve", "--stream", "a="], "must be NAME=WORKFLOW"),
    (["serve", "--stream", "a=gradient:liv"], "oneshot, latest, live"),
    (["serve", "--stream", "a=shapes", "--stream", "a=gradient"], "names 'a' twice"),
    (["serve", "--embedded", "--stream", "a b=gradient"], "stream name 'a b'"),
    (["serve", "--embedded", "--stream", "panic=gradient"], "'panic' is reserved"),
    (["serve", "--embedded", "--stream", "a=gradiant"], "did you mean 'gradient'?"),
    (["serve", "--workflows", "nowhere"], "workflow folder nowhere does not exist"),
    (["serve", "--workflows", "file"], "workflow folder file does not exist"),
    (["serve", "--comfy", ""], "ComfyUI address ''"),
    (["serve", "--comfy", "ftp://x"], "http://host:port"),
    (["serve", "--embedded", "--step-delay-ms", "-1"], "embedded.step_delay_ms"),
    (["serve", "--embedded", "--step-delay-ms", "nan"], "embedded.step_delay_ms"),
    (["serve", "--embedded", "--step-delay-ms", "fast"], "invalid float value: 'fast'"),
    (["embedded", "--port", "-1"], "--port -1 is not 0..65535"),
    (["embedded", "--port", "65536"], "--port 65536 is not 0..65535"),
    (["embedded", "--port", "x"], "invalid int value: 'x'"),
    (["embedded", "--step-delay-ms", "nan"], "--step-delay-ms nan is not 0 to 600,000"),
    (["embedded", "--step-delay-ms", "-0.5"], "--step-delay-ms -0.5 is not"),
    (["demo", "--seconds", "0"], "--seconds 0 must be over 0"),
    (["demo", "--seconds", "-3"], "--seconds -3 must be over 0"),
    (["demo", "--seconds", "nan"], "--seconds nan must be over 0"),
    (["demo", "--out", "file"], "can't write to file"),
    (["init"], "required: DIR"),
    (["init", ""], "DIR is empty"),
    (["init", "file"], "can't write in file"),
    (["send"], "required: ADDRESS"),
    (["send", ""], "must begin with /"),
    (["send", "texbridge/main/run"], "must begin with /"),
    (["send", "/texbridge/main/blur 0.5"], "has a space in it"),
    (["send", "/texbridge/#bundle"], "has a # in it"),
    (["send", "/a", "i:half"], "'half' is not a whole number"),
    (["send", "/a", "f:"], "'' is not a number"),
    (["send", "/a", "i:3000000000"], "h: takes 64 bits"),
    (["send", "/a", "h:9223372036854775808"], "s: sends it as text"),
    (["send", "/a", "f:1e300"], "d: takes a double"),
    (["send", "/a", "1e999"], "too large for any number"),
    (["send", "/a", "caf\udce9"], "not valid UTF-8"),
    (["send", "/caf\udce9"], "not valid UTF-8"),
    (["send", "--to", "9400", "/a"], "--to is '9400'; it must be HOST:PORT"),
    (["send", "--to", "127.0.0.1:0", "/a"], "nobody listens on port 0"),
    (["send", "--to", "host.invalid:9400", "/a"], "can't send to host.invalid:9400"),
    (["send", "--config", "broken.toml", "/a"], "not valid TOML"),
    (["run", "gradient"], "required: -o/--out"),
    (["run", "gradient", "-o", ""], "must end in .png, .jpg, .jpeg"),
    (["run", "gradient", "-o", "a.gif"], "must end in .png, .jpg, .jpeg"),
    (["run", "gradient", "-o", "folder.png"], "is a folder"),
    (["run", "gradient", "-o", "none/a.png"], "the folder none does not exist"),
    (["run", "gradient", "-o", "a.png", "--seed", "-1"], "--seed -1 is not 0 to 2^64-1"),
    (["run", "gradient", "-o", "a.png", "--seed", "x"], "invalid int value: 'x'"),
    (["run", "gradient", "-o", "a.png", "--size", "512"], "must be WIDTHxHEIGHT"),
    (["run", "gradient", "-o", "a.png", "--size", "0x8"], "must be WIDTHxHEIGHT"),
    (["run", "gradient", "-o", "a.png", "--size=-8x8"], "must be WIDTHxHEIGHT"),
    (["run", "gradient", "-o", "a.png", "--size", "9" * 30 + "x8"], "must be WIDTHxHEIGHT"),
    (["run", "gradient", "-o", "a.png", "--timeout", "0"], "--timeout 0 is not over 0"),
    (["run", "gradient", "-o", "a.png", "--timeout", "nan"], "--timeout nan is not over 0"),
    (["run", "gradient", "-o", "a.png", "-p", "noise"], "must be NAME=VALUE"),
    (["run", "gradient", "-o", "a.png", "-p", "=1"], "must be NAME=VALUE"),
    (["run", "gradient", "-o", "a.png", "-p", "seed=1"], "by --seed"),
    (["run", "gradient", "-o", "a.png", "-p", "prompt=caf\udce9"], "not valid UTF-8"),
    (["run", "gradiant", "-o", "a.png"], "did you mean 'gradient'?"),
    (["run", "", "-o", "a.png"], "there is no workflow ''"),
    (["run", "gradient", "-o", "a.png", "-p", "noice=0"], "no parameter 'noice'; nearest is 'noise'"),
    (["run", "gradient", "-o", "a.png", "-p", "noise=loud"], "noise: 'loud' is not a number"),
    (["run", "gradient", "-o", "a.png", "-p", "noise=9"], "noise: 9.0 is outside 0.0..0.5"),
    (["run", "gradient", "-o", "a.png", "-p", "noise=nan"], "noise: nan is not finite"),
    (["run", "gradient", "-o", "a.png", "-p", "top_left=#zz"], "top_left: '#zz' is not a colour"),
    (["run", "gradient", "-o", "a.png", "-p", "top_left=1,2"], "top_left: [1.0, 2.0] has 2 numbers"),
    (["run", "gradient", "-o", "a.png", "--size", "999x8"], "size: width 999 is not 8..4096, a multiple of 8"),
    (["run", "gradient", "-o", "a.png", "--workflows", "nowhere"], "workflow folder nowhere does not exist"),
    (["workflows"], "usage: texbridge workflows"),
    (["workflows", "nothing"], "invalid choice: 'nothing'"),
    (["workflows", "show"], "required: NAME"),
    (["workflows", "show", "gradiant"], "did you mean 'gradient'?"),
    (["workflows", "check", "gradiant"], "did you mean 'gradient'?"),
    (["workflows", "check", "none.json"], "none.json does not exist"),
    (["workflows", "check", "none/it"], "does not exist"),
    (["workflows", "check", "folder.png"], "folder.png has no workflow_api.json"),
    (["workflows", "list", "--workflows", "nowhere"], "workflow folder nowhere does not exist"),
    (["workflows", "check", "gradient", "--comfy", "http://127.0.0.1:99999"], "Port out of range 0-65535"),
    (["workflows", "check", "gradient", "--comfy", "http://"], "host or port is missing"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD_USE, ids=lambda value: ascii(" ".join(value))[:60] if isinstance(value, list) else ""
)
def test_bad_use(words, message, capsys):
    """Exit code 2, nothing on standard output, a message that says what, and no traceback."""
    assert ended(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.err.startswith(("texbridge", "usage: texbridge"))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["run"], "texbridge run"),
        (["run", "gradient", "-o", "x.png", "--sise", "3x4"], "texbridge run"),
        (["serve", "--nonsense"], "texbridge serve"),
        (["nonsense"], "texbridge"),
    ],
)
def test_a_mistake_points_at_the_help_of_its_command(words, name, capsys):
    assert ended(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"{name}: ")
    assert f"`{name} --help`" in shown


def test_a_file_that_cannot_be_read(monkeypatch, capsys, tmp_path):
    """An error of the system becomes one line."""
    path = tmp_path / "workflow.json"
    path.write_text("{}", encoding="utf-8")

    read_bytes = Path.read_bytes

    def refuse(self):
        if self.name == path.name:
            raise PermissionError(13, "Permission denied", str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["workflows", "check", str(path)]) == 2
    assert "can't read" in capsys.readouterr().err


def test_a_wrong_variable(monkeypatch, capsys):
    monkeypatch.setenv("TEXBRIDGE_OSC_LISTENN", "x")
    assert main(["workflows", "list"]) == 2
    assert "TEXBRIDGE_OSC_LISTENN" in capsys.readouterr().err


def test_nobody_answers_the_check(capsys):
    with ReservedPort() as port:
        assert main(["workflows", "check", "gradient", "--comfy", f"127.0.0.1:{port}"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"no ComfyUI answers at http://127.0.0.1:{port}" in shown.err
