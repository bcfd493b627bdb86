"""What doctor concludes, case by case: the verdict, and words that tell what to do."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from bridge.app.doctor.machine import NEEDED
from bridge.app.doctor.verdicts import (
    Check,
    Port,
    Verdict,
    block_check,
    decoder_check,
    is_bad,
    loop_check,
    loopback_check,
    package_checks,
    port_checks,
    python_check,
    receive_buffer_check,
    report,
    timer_check,
    workflow_check,
)
from bridge.workflow.check import Problem, ProblemKind

OK, WARN, BAD = Verdict.OK, Verdict.WARN, Verdict.BAD
FINE, TICK = 1e-7, 0.015625


@pytest.mark.parametrize(
    ("version", "bits", "verdict", "words"),
    [
        ((3, 13, 1), 64, OK, ""),
        ((3, 11, 0), 64, OK, ""),
        ((3, 10, 9), 64, BAD, "3.11 or newer"),
        ((3, 12, 0), 32, WARN, "64-bit"),
    ],
)
def test_python(version: tuple[int, int, int], bits: int, verdict: Verdict, words: str) -> None:
    check = python_check(version, bits, "Windows 11")
    assert (check.verdict, words in check.advice) == (verdict, True)
    assert "Windows 11" in check.found


@pytest.mark.parametrize(
    ("have", "verdict"),
    [("2.0", OK), ("2.0.0", OK), ("2", OK), ("10.1", OK), ("2.1rc1", OK), ("1.9.9", BAD), ("1.99", BAD), (None, BAD)],
)
def test_a_package_of_which_2_0_is_needed(have: str | None, verdict: Verdict) -> None:
    check = package_checks({"thing": "2.0"}, {"thing": have})[-1]
    assert check.verdict is verdict
    assert ("pip install" in check.advice) == (verdict is BAD)


def test_good_packages_share_a_line() -> None:
    checks = package_checks({"b": "1", "a": "1", "c": "1"}, {"a": "1.0", "b": "1.5"})
    assert [check.found for check in checks] == ["a 1.0, b 1.5", "c is missing"]


def test_what_is_needed_is_what_the_project_says() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    assert dict(re.split(r">=", line.partition(";")[0]) for line in project["dependencies"]) == NEEDED


def test_decoders_tell_who_reads_what() -> None:
    check = decoder_check({"jpeg": "simplejpeg 1.9.0", "png": "Pillow 13.0", "webp": "Pillow 13.0"}, ["libjpeg-turbo"])
    assert check.found == "JPEG by simplejpeg 1.9.0, PNG by Pillow 13.0, WebP by Pillow 13.0; Pillow has libjpeg-turbo"
    assert not check.advice
    assert "[fast]" in decoder_check({"jpeg": "Pillow 13.0"}, []).advice


@pytest.mark.parametrize(
    ("words", "simd", "x86", "verdict", "told"),
    [
        ("", False, True, OK, "extra [bc]"),
        ("etcpak 0.9.15, avx2", True, True, OK, "by etcpak 0.9.15, avx2"),
        ("etcpak 0.9.15, scalar", False, True, WARN, "scalar"),
        ("etcpak 0.9.15, scalar", False, False, OK, "scalar"),
    ],
)
def test_the_compressor_is_named_and_a_slow_one_is_told(
    words: str, simd: bool, x86: bool, verdict: Verdict, told: str
) -> None:
    check = block_check(words, simd=simd, x86=x86)
    assert (check.verdict, told in check.found) == (verdict, True)


def test_the_loop_is_named() -> None:
    assert loop_check("uvloop 0.23", 0.5).found == "uvloop 0.23; threads change places within 0.5 ms"


@pytest.mark.parametrize(
    ("lateness_s", "resolution_s", "platform", "python", "verdict", "words"),
    [
        (0.0003, FINE, "linux", (3, 11, 7), OK, ""),
        (0.0003, FINE, "win32", (3, 13, 0), OK, ""),
        (0.012, TICK, "win32", (3, 12, 4), WARN, "Python 3.13"),
        (0.0, TICK, "win32", (3, 11, 0), WARN, "Python 3.13"),
        (0.012, FINE, "win32", (3, 13, 0), WARN, "thread"),
        (0.02, FINE, "linux", (3, 13, 0), WARN, "busy"),
    ],
)
def test_timer(
    lateness_s: float,
    resolution_s: float,
    platform: str,
    python: tuple[int, int, int],
    verdict: Verdict,
    words: str,
) -> None:
    check = timer_check(lateness_s, resolution_s, platform, python)
    assert check.verdict is verdict
    assert words in check.advice
    assert f"{lateness_s * 1000:.1f} ms late" in check.found


BOTH = {"127.0.0.1": True, "::1": True}


@pytest.mark.parametrize(
    ("addresses", "bindable", "verdict", "words"),
    [
        (["127.0.0.1", "::1"], BOTH, OK, "127.0.0.1 and ::1"),
        (["127.0.0.1"], BOTH, OK, "not ::1"),
        (["127.0.0.1"], {"127.0.0.1": True, "::1": False}, OK, "no IPv6 loopback"),
        (["::1", "127.0.0.1"], BOTH, WARN, "write 127.0.0.1"),
        (["::1"], BOTH, WARN, "hosts file"),
        ([], BOTH, WARN, "hosts file"),
        (["127.0.0.1"], {"127.0.0.1": False, "::1": True}, BAD, "loopback interface"),
    ],
)
def test_localhost(addresses: list[str], bindable: dict[str, bool], verdict: Verdict, words: str) -> None:
    check = loopback_check(addresses, bindable)
    assert check.verdict is verdict
    assert words in f"{check.found} {check.advice}"


@pytest.mark.parametrize(
    ("granted", "platform", "verdict", "words"),
    [
        (8 << 20, "linux", OK, ""),  # Linux tells twice what it grants
        (425_984, "linux", OK, "net.core.rmem_max=4194304"),
        (100_000, "linux", WARN, "net.core.rmem_max"),
        (4 << 20, "win32", OK, ""),
        (8192, "darwin", WARN, "maxsockbuf"),
    ],
)
def test_receive_buffer(granted: int, platform: str, verdict: Verdict, words: str) -> None:
    check = receive_buffer_check(granted, 4 << 20, platform)
    assert check.verdict is verdict
    assert words in check.advice
    assert bool(check.advice) == bool(words)


IN_USE = "tcp: 127.0.0.1:9402 is in use by another program; stop it, or choose another with --tcp HOST:PORT"


@pytest.mark.parametrize(
    ("port", "verdict", "words"),
    [
        (Port("tcp", ""), OK, "switched off"),
        (Port("tcp", "127.0.0.1:9402"), OK, "is free"),
        (Port("tcp", "127.0.0.1:0"), OK, "a free port at each start"),
        (Port("tcp", "127.0.0.1:9402", IN_USE), BAD, "127.0.0.1:9402 is in use by another program"),
        (Port("tcp", "127.0.0.1:9402", IN_USE, "texbridge 0.1.0"), OK, "held by texbridge 0.1.0"),
        (Port("tcp", "127.0.0.1:9402", IN_USE, "", range(9395, 9495)), BAD, "reserved by Windows, with all of 9395"),
        (Port("osc", "127.0.0.1:9400", "osc: 127.0.0.1:9400 is in use by another program"), BAD, "in use"),
    ],
)
def test_ports(port: Port, verdict: Verdict, words: str) -> None:
    (check,) = port_checks([port])
    assert check.verdict is verdict
    assert words in check.found
    assert check.topic == f"{port.door} door"


def test_the_osc_port_of_a_running_bridge_is_taken_for_its_own() -> None:
    osc = Port("osc", "127.0.0.1:9400", "osc: 127.0.0.1:9400 is in use by another program")
    checks = port_checks([osc, Port("tcp", "127.0.0.1:9402", IN_USE, "texbridge 0.1.0")])
    assert [check.verdict for check in checks] == [OK, OK]
    assert "as it seems" in checks[0].found


def problem(kind: ProblemKind, text: str) -> Problem:
    return Problem(kind, text)


def test_a_workflow_that_a_stream_uses_must_run() -> None:
    lacking = (
        problem(ProblemKind.MISSING_MODEL, "put a.safetensors into models/checkpoints"),
        problem(ProblemKind.MISSING_MODEL, "put b.safetensors into models/loras"),
        problem(ProblemKind.MISSING_NODE, "no such node"),
        problem(ProblemKind.UNUSED_INPUT, "ignored"),
    )
    for used, verdict in ((True, BAD), (False, WARN)):
        check = workflow_check("sky", lacking, used=used, where="http://x")
        assert check.verdict is verdict
        assert "2 models, 1 node" in check.found
        assert check.advice.startswith("put a.safetensors into models/checkpoints; ")
        assert "ignored" not in check.advice


def test_what_comfyui_ignores_or_gets_later_stops_nothing() -> None:
    harmless = (problem(ProblemKind.UNUSED_INPUT, "ignored"), problem(ProblemKind.MISSING_PICTURE, "sent later"))
    assert workflow_check("sky", harmless, used=True, where="http://x").verdict is OK


def test_the_report_is_json_and_says_whether_all_is_well() -> None:
    checks = [Check("a", OK, "x"), Check("b", WARN, "y", "do")]
    told = json.loads(json.dumps(report(checks)))
    assert told == {
        "ok": True,
        "checks": [
            {"topic": "a", "verdict": "ok", "found": "x", "advice": ""},
            {"topic": "b", "verdict": "warn", "found": "y", "advice": "do"},
        ],
    }
    assert not is_bad(checks)
    assert is_bad([*checks, Check("c", BAD, "z")])
