"""The pack starts a bridge with its ComfyUI, and ends it with it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from node_pack import PACK, load

autostart = load("autostart")

# Takes the words of a bridge, says that it is there, and ends with its input, as `serve --until-input-ends` does.
STAND_IN = "import sys; print(sys.argv[1:], flush=True); sys.stdin.read(); print('ended', flush=True)"


def settings(tmp_path: Path, **more: Any) -> Any:
    told = {"enabled": True, "command": [sys.executable, "-c", STAND_IN], "log": str(tmp_path / "log"), **more}
    return autostart.Settings(json.dumps(told))


def test_off_by_default(tmp_path: Path) -> None:
    assert autostart.read_settings({}, str(tmp_path / "none.json")) is None
    assert autostart.start(SimpleNamespace(), autostart.Settings("{}"), "http://x") is None
    assert not (PACK / "autostart.json").exists()


def test_settings_by_file_and_variable(tmp_path: Path) -> None:
    file = tmp_path / "autostart.json"
    file.write_text('{"enabled": true, "arguments": ["--lan"]}', encoding="utf-8")
    assert autostart.read_settings({}, str(file)).arguments == ["--lan"]
    assert not autostart.read_settings({"TEXBRIDGE_AUTOSTART": '{"enabled": false}'}, str(file)).enabled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"enabled": 1}',
        '{"enable": true}',
        '{"command": "texbridge"}',
        '{"arguments": [1]}',
        '{"log": 3}',
    ],
)
def test_wrong_settings_start_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    (tmp_path / "autostart.json").write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert autostart.read_settings({}, str(tmp_path / "autostart.json")) is None
    assert "settings are wrong" in caplog.text


@pytest.mark.parametrize(
    ("listen", "tls", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8188"),
        ("0.0.0.0,::", False, "http://127.0.0.1:8188"),
        ("::", False, "http://[::1]:8188"),
        ("192.168.1.5", True, "https://192.168.1.5:8188"),
    ],
)
def test_its_own_comfyui(listen: str, tls: bool, url: str) -> None:
    assert autostart.own_url(listen, 8188, tls) == url


def test_started_once_and_ended(tmp_path: Path) -> None:
    server = SimpleNamespace()
    child = autostart.start(server, settings(tmp_path, arguments=["--json"]), "http://127.0.0.1:1")
    assert autostart.start(server, settings(tmp_path), "http://127.0.0.1:1") is child
    child.end()
    assert child.process.returncode == 0
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert said.splitlines() == [
        "['serve', '--comfy', 'http://127.0.0.1:1', '--until-input-ends', '--json']",
        "ended",
    ]


def test_a_command_that_is_not_there_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        missing = settings(tmp_path, command=[str(tmp_path / "nothing")])
        assert autostart.start(SimpleNamespace(), missing, "http://x") is None
    assert "not started" in caplog.text


def test_it_ends_when_comfyui_is_killed(tmp_path: Path) -> None:
    """A parent that is killed closes no file by itself: the system does."""
    code = (
        f"import sys, os, types; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from node_pack import load\n"
        "autostart = load('autostart')\n"
        f"told = autostart.Settings({json.dumps(settings(tmp_path).__dict__)!r})\n"
        "child = autostart.start(types.SimpleNamespace(), told, 'http://127.0.0.1:1')\n"
        "print(child.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline())
        log = tmp_path / "log"
        with log.open(encoding="utf-8") as said:
            while "serve" not in (line := said.readline()):
                assert parent.poll() is None, line
            parent.kill()
            parent.wait()
            while "ended" not in said.readline():
                pass
