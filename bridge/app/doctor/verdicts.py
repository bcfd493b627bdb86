"""What `texbridge doctor` concludes from what was found: one verdict a line, and what to do next.

Everything here is a function of its arguments; `machine` and `comfy_check` look at the system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from bridge.app.timer import COARSE_S, clock_is_coarse
from bridge.workflow.check import Problem, ProblemKind

OLDEST_PYTHON: Final = (3, 11)
PRECISE_PYTHON: Final = (3, 13)
"""From here on the event loop's clock is fine on Windows too."""

ENOUGH_BUFFER_BYTES: Final = 256 * 1024


class Verdict(StrEnum):
    """How one line of the table ends."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, what was found, and what to do next (empty if nothing)."""

    topic: str
    verdict: Verdict
    found: str
    advice: str = ""


def report(checks: Sequence[Check]) -> dict[str, Any]:
    """Give all checks for a program: `ok` is False if one is bad."""
    return {"ok": not is_bad(checks), "checks": [asdict(check) for check in checks]}


def is_bad(checks: Iterable[Check]) -> bool:
    """Say whether something has to be put right before texbridge works."""
    return any(check.verdict is Verdict.BAD for check in checks)


def python_check(version: tuple[int, int, int], bits: int, system: str) -> Check:
    """Judge Python, its word size and the system that it runs on."""
    found = f"Python {'.'.join(map(str, version))}, {bits} bit, on {system}"
    if version[:2] < OLDEST_PYTHON:
        return Check("python", Verdict.BAD, found, "texbridge needs Python 3.11 or newer")
    if bits < 64:
        return Check("python", Verdict.WARN, found, "install a 64-bit Python: pictures take a lot of address space")
    return Check("python", Verdict.OK, found)


def package_checks(required: Mapping[str, str], installed: Mapping[str, str | None]) -> list[Check]:
    """Judge the packages: name -> oldest version that will do, and name -> version found, None if missing."""
    checks = []
    good = []
    for name, oldest in sorted(required.items(), key=lambda item: item[0].lower()):
        have = installed.get(name)
        if have is None:
            advice = f"install it: pip install '{name}>={oldest}', or install texbridge again"
            checks.append(Check("packages", Verdict.BAD, f"{name} is missing", advice))
        elif _numbers(have) < _numbers(oldest):
            found = f"{name} {have}, {oldest} or newer is needed"
            checks.append(Check("packages", Verdict.BAD, found, f"pip install --upgrade '{name}>={oldest}'"))
        else:
            good.append(f"{name} {have}")
    return [Check("packages", Verdict.OK, ", ".join(good)), *checks] if good else checks


def _numbers(version: str) -> tuple[int, ...]:
    """Give the leading numbers of a version; `16.0rc1` is (16, 0)."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def decoder_check(in_use: Mapping[str, str], features: Sequence[str]) -> Check:
    """Say what decodes which files, with versions and Pillow's libraries."""
    found = ", ".join(f"{kind.upper() if kind != 'webp' else 'WebP'} by {words}" for kind, words in in_use.items())
    if features:
        found += f"; Pillow has {', '.join(features)}"
    missing = in_use.get("jpeg", "").startswith("Pillow")
    advice = "with the extra [fast] JPEG is decoded a third faster: docs/install.md" if missing else ""
    return Check("decoders", Verdict.OK, found, advice)


def block_check(words: str, *, simd: bool, x86: bool) -> Check:
    """Say what compresses textures: the compressor's words, empty if there is none; scalar code is six times slower."""
    if not words:
        return Check(
            "textures", Verdict.OK, "bc1, bc3 and bc7 are not made: the extra [bc] brings them, docs/install.md"
        )
    found = f"bc1, bc3 and bc7 by {words}"
    if simd or not x86:
        return Check("textures", Verdict.OK, found)
    advice = "vector instructions go unused, which is six times slower: another version of etcpak may help"
    return Check("textures", Verdict.WARN, found, advice)


def loop_check(words: str, switch_interval_ms: float) -> Check:
    """Say which event loop `serve` uses, and how soon threads change places."""
    return Check("event loop", Verdict.OK, f"{words}; threads change places within {switch_interval_ms:g} ms")


def timer_check(lateness_s: float, resolution_s: float, platform: str, python: tuple[int, int, int]) -> Check:
    """Judge the event loop's timer: how late one of a millisecond is, and the resolution of its clock.

    Late binding posts a few milliseconds before the running prompt ends; a tick of 15.6 ms stands in its way.
    """
    found = f"a timer of 1 ms is {lateness_s * 1000:.1f} ms late, the clock's step is {resolution_s * 1000:.2g} ms"
    coarse = clock_is_coarse(resolution_s)
    if not coarse and lateness_s <= COARSE_S:
        return Check("timer", Verdict.OK, found)
    if coarse or platform == "win32":
        old = platform == "win32" and python[:2] < PRECISE_PYTHON
        advice = (
            "`serve` has a thread wait for its own deadlines, so late binding works; bundles held by an OSC time tag "
        )
        advice += "still come up to 16 ms late"
        return Check("timer", Verdict.WARN, found, advice + ("; Python 3.13 or newer ticks finely" if old else ""))
    return Check("timer", Verdict.WARN, found, "the machine is busy: close other programs, and look again")


def loopback_check(addresses: Sequence[str], bindable: Mapping[str, bool]) -> Check:
    """Judge what `localhost` means: its addresses in the system's order, and which loopbacks can be listened at."""
    found = f"localhost is {' and '.join(addresses) or 'nothing'}"
    if "127.0.0.1" not in addresses:
        advice = "write 127.0.0.1 instead of localhost, or put `127.0.0.1 localhost` into the hosts file"
        return Check("localhost", Verdict.WARN, found, advice)
    if not bindable.get("127.0.0.1", False):
        return Check(
            "localhost", Verdict.BAD, f"{found}; nothing can listen at 127.0.0.1", "put the loopback interface right"
        )
    if addresses[0] != "127.0.0.1":
        advice = "OSC senders that say localhost may send to ::1, where nobody listens: write 127.0.0.1 there"
        return Check("localhost", Verdict.WARN, f"{found}, in this order", advice)
    if not bindable.get("::1", False):
        found += "; there is no IPv6 loopback"
    elif "::1" not in addresses:
        found += " alone, not ::1 as well"
    return Check("localhost", Verdict.OK, found)


def receive_buffer_check(granted_bytes: int, wanted_bytes: int, platform: str) -> Check:
    """Judge how much of a burst of OSC packets the system keeps until they are read. Linux tells twice the size."""
    usable = granted_bytes // 2 if platform.startswith("linux") else granted_bytes
    found = f"{usable // 1024} KiB of {wanted_bytes // 1024} KiB that were asked for"
    if usable >= ENOUGH_BUFFER_BYTES:
        return Check("osc buffer", Verdict.OK, found)
    advice = "a burst of OSC packets may lose some"
    if platform.startswith("linux"):
        advice += f"; as root: sysctl -w net.core.rmem_max={wanted_bytes}"
    elif platform == "darwin":
        advice += f"; as root: sysctl -w kern.ipc.maxsockbuf={2 * wanted_bytes}"
    # Half a thousand packets of a controller fit even so.
    return Check("osc buffer", Verdict.OK if usable >= ENOUGH_BUFFER_BYTES // 4 else Verdict.WARN, found, advice)


@dataclass(frozen=True, slots=True)
class Port:
    """What was found at one door's address.

    Attributes:
        door, listen: `osc`, `link`, `tcp` or `http`, and its address; empty if it is switched off.
        problem: why it can't be listened at now, in the words of the bridge itself; empty if it can.
        bridge: version and address of the texbridge that runs there, empty if none answers.
        reserved: the range of ports that the system keeps for itself and this one is in, or None.
    """

    door: str
    listen: str
    problem: str = ""
    bridge: str = ""
    reserved: range | None = None


def port_checks(ports: Sequence[Port]) -> list[Check]:
    """Judge the doors. A port that a running texbridge holds is as it should be."""
    running = next((port.bridge for port in ports if port.bridge), "")
    return [_port_check(port, running) for port in ports]


def _port_check(port: Port, running: str) -> Check:
    topic = f"{port.door} door"
    if not port.listen:
        return Check(topic, Verdict.OK, "switched off")
    if not port.problem:
        if port.listen.endswith(":0"):
            return Check(topic, Verdict.OK, f"{port.listen}: takes a free port at each start")
        return Check(topic, Verdict.OK, f"{port.listen} is free")
    if port.reserved is not None:
        first, last = port.reserved[0], port.reserved[-1]
        return Check(
            topic,
            Verdict.BAD,
            f"{port.listen} is reserved by Windows, with all of {first} to {last}",
            f"choose one outside of it with --{port.door} HOST:PORT, or {port.door}.listen in the configuration; "
            "Hyper-V, WSL and Docker reserve such ranges anew at each start of Windows",
        )
    if port.bridge:
        return Check(topic, Verdict.OK, f"{port.listen} is held by {port.bridge}, which runs")
    if running and port.door == "osc":
        # Nobody answers over OSC unless asked to, so this one can't be told for certain.
        return Check(topic, Verdict.OK, f"{port.listen} is taken, by {running} as it seems")
    return Check(topic, Verdict.BAD, port.problem.partition(": ")[2] or port.problem, "or stop what listens there")


def workflow_check(name: str, problems: Sequence[Problem], *, used: bool, where: str) -> Check:
    """Judge one workflow against a ComfyUI; `used` if a stream of the configuration needs it."""
    stops = [problem for problem in problems if problem.stops]
    if not stops:
        return Check(f"workflow {name}", Verdict.OK, f"{where} has all of its nodes and models")
    models = sum(problem.kind is ProblemKind.MISSING_MODEL for problem in stops)
    nodes = sum(problem.kind is ProblemKind.MISSING_NODE for problem in stops)
    others = len(stops) - models - nodes
    counted = ((models, "model"), (nodes, "node"), (others, "input"))
    lacking = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counted if count)
    return Check(
        f"workflow {name}",
        Verdict.BAD if used else Verdict.WARN,
        f"{where} lacks, or refuses, {lacking}",
        "; ".join(stops),
    )
