"""What doctor says of a running bridge's warnings and of restart commands."""

import asyncio
import socket

from bridge.app.config.config import BackendConfig, load_config
from bridge.app.doctor.operation_check import ask_warnings, restart_checks, warning_checks
from bridge.app.doctor.verdicts import Verdict


def test_a_restart_command_is_named_with_its_limits() -> None:
    backends = (
        BackendConfig(url="http://a"),
        BackendConfig(url="http://b", name="gpu", restart_command=("systemctl", "restart", "--token=x", "comfyui")),
    )
    (check,) = restart_checks(backends, lambda program: f"/bin/{program}")
    assert check.verdict is Verdict.OK
    assert check.found == (
        "systemctl restarts gpu when it is mute, or away for 180 s: every 600 s and 3 times a day at most"
    )


def test_a_program_that_is_not_there_is_bad() -> None:
    (check,) = restart_checks((BackendConfig(url="http://b", restart_command=("nothing",)),), lambda program: None)
    assert check.verdict is Verdict.BAD
    assert "'nothing'" in check.found


def test_a_line_for_each_warning() -> None:
    assert warning_checks({}) == []
    checks = warning_checks({"two": "mute", "one": "restart ComfyUI"})
    assert [check.found for check in checks] == ["one: restart ComfyUI", "two: mute"]
    assert all(check.verdict is Verdict.WARN for check in checks)


def test_nobody_there_is_no_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = load_config(None, {}, {"http": {"listen": listen}})
        assert asyncio.run(ask_warnings(config)) == {}
    assert asyncio.run(ask_warnings(load_config(None, {}, {"http": {"listen": ""}}))) == {}
