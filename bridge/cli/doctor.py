"""`texbridge doctor`: what stands in the way, and what to do next."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bridge import __version__
from bridge.app.config.config import BackendConfig, Config, find_config, load_config
from bridge.app.configured_streams import stream_checks
from bridge.app.doctor import machine
from bridge.app.doctor.comfy_check import Comfy, ask_comfy, comfy_checks, workflow_checks
from bridge.app.doctor.operation_check import ask_comfies_in_use, ask_warnings, restart_checks, warning_checks
from bridge.app.doctor.picture_checks import picture_checks
from bridge.app.doctor.verdicts import (
    Check,
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
)
from bridge.app.pool.backends import find_comfy, no_comfy
from bridge.app.runtime import SWITCH_INTERVAL_MS, choose_loop
from bridge.app.serve import make_library
from bridge.app.timer import measure_lateness_s
from bridge.cli.options import add_comfy, add_config, read_config
from bridge.cli.orientation import engine_lines, orientation_checks, save_sheet
from bridge.cli.printing import say
from bridge.cli.round_trip import round_trip_check
from bridge.errors import ConfigError

SHEET: Final = "test_card_sheet.png"
NARROWEST: Final = 60

DESCRIPTION = """\
Look at everything that texbridge needs, one line each with a verdict (ok, warn, bad), and say what to do next: Python
and packages, timers, the configuration, the doors' ports, ComfyUI with the nodes and models of every workflow, and the
whole way of one picture inside this machine. Nothing is changed. Exit code 1 if a line is bad.

  texbridge doctor
  texbridge doctor --comfy http://192.168.1.20:8188
  texbridge doctor --orientation --out sheet.png

--orientation asks the running bridge, or one of its own, for the workflow `test_card` in every format and both
origins, compares every pixel, says what each engine subscribes to, and saves a sheet of how the card looks when an
engine has it upside down, mirrored, swapped or in the wrong gamma.
"""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `doctor` to the command line."""
    parser = commands.add_parser(
        "doctor",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_comfy(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for a script")
    parser.add_argument("--orientation", action="store_true", help="check the test card in every format and origin")
    parser.add_argument("--out", metavar="FILE", help=f"with --orientation: where the sheet goes, {SHEET} by default")
    parser.set_defaults(action=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Look, print, and give 1 if something is bad."""
    from bridge.cli import set_up_logging

    set_up_logging("critical")
    if options.out is not None and not options.orientation:
        raise ConfigError("--out belongs to --orientation")
    if options.orientation:
        return _orientation(options)
    find_config(options.config)  # one that is named and isn't there is bad use
    checks = asyncio.run(_look(options))
    say(json.dumps({"version": __version__, **report(checks)}, indent=2) if options.json else table(checks))
    return 1 if is_bad(checks) else 0


def _orientation(options: argparse.Namespace) -> int:
    config, _ = read_config(options, {})
    sheet = Path(options.out or SHEET)
    save_sheet(sheet)
    try:
        checks = asyncio.run(orientation_checks(config, private=bool(options.comfy or options.workflows)))
    except (OSError, TimeoutError) as error:
        checks = [Check("orientation", Verdict.BAD, f"the bridge gave no picture: {error or type(error).__name__}")]
    if options.json:
        say(json.dumps({"version": __version__, "sheet": str(sheet), **report(checks)}, indent=2))
    else:
        say(table(checks))
        say("Subscribe with:")
        say("\n".join(f"  {line}" for line in engine_lines()))
        say(f"How the card looks when it is wrong: {sheet}")
    return 1 if is_bad(checks) else 0


async def _look(options: argparse.Namespace) -> list[Check]:
    """Everything, in the order of the table; the measurements first, before the rest makes the machine busy."""
    lateness_s = await measure_lateness_s()
    version = sys.version_info[:3]
    words, simd, x86 = machine.block_compressor()
    checks = [
        python_check(version, machine.word_bits(), machine.system_name()),
        *package_checks(*machine.packages()),
        decoder_check(machine.decoders_in_use(), machine.pillow_features()),
        block_check(words, simd=simd, x86=x86),
        loop_check(choose_loop().words, SWITCH_INTERVAL_MS),
        timer_check(lateness_s, time.get_clock_info("monotonic").resolution, sys.platform, version),
        loopback_check(*machine.loopbacks()),
        receive_buffer_check(*machine.receive_buffer(), sys.platform),
    ]
    config, check = _read_config(options)
    checks.append(check)
    checks += port_checks(await machine.look_at_ports(config))
    checks += warning_checks(await ask_warnings(config))
    comfies, found = await _ask_comfies(config)
    checks += found
    checks += restart_checks(config.backend)
    try:
        library, _ = make_library(config.workflows.folders, log_errors=False)
    except ConfigError as error:
        checks.append(Check("workflows", Verdict.BAD, error.message))
    else:
        used = [stream.workflow for stream in config.streams.values()]
        for comfy in comfies or [None]:
            checks += workflow_checks(library, used, comfy)
        checks += stream_checks(config, library)
    checks += picture_checks(config)
    checks.append(await round_trip_check())
    return checks


def _read_config(options: argparse.Namespace) -> tuple[Config, Check]:
    """Give the configuration, the defaults where it can't be used, and the line that says so."""
    try:
        config, path = read_config(options, {})
    except ConfigError as error:
        advice = (
            "correct that; the lines below are about the defaults. `texbridge init DIR` writes a file to begin with"
        )
        return load_config(None, {}), Check("configuration", Verdict.BAD, error.message, advice)
    return config, Check("configuration", Verdict.OK, "no file: the defaults" if path is None else str(path.absolute()))


async def _ask_comfies(config: Config) -> tuple[list[Comfy | None], list[Check]]:
    """Ask every ComfyUI that is named, or those of the bridge that runs, or the one that is found; give those that
    answer, and the lines about all."""
    comfies: list[Comfy | None] = []
    checks: list[Check] = []
    for backend in config.backend:
        try:
            comfy = await ask_comfy(backend)
        except ConfigError as error:
            checks.append(Check("comfyui", Verdict.BAD, error.message))
            continue
        checks += comfy_checks(comfy, named=True)
        if not comfy.problem:
            comfies.append(comfy)
    if config.backend:
        return comfies, checks
    if running := await ask_comfies_in_use(config):
        for url, is_embedded in running:
            answering, found = await _ask_one_in_use(url, is_embedded)
            comfies += answering
            checks += found
        return comfies, checks
    if config.embedded.enabled:
        return [], [Check("comfyui", Verdict.OK, "the embedded one, as the configuration says")]
    found_url = await find_comfy(config.search.places)
    if found_url is None:
        what, _, advice = no_comfy(config.search.places).partition(": ")
        return [], [Check("comfyui", Verdict.WARN, what, advice)]
    comfy = await ask_comfy(BackendConfig(url=found_url))
    return [] if comfy.problem else [comfy], comfy_checks(comfy, named=False)


async def _ask_one_in_use(url: str, is_embedded: bool) -> tuple[list[Comfy], list[Check]]:
    """Ask a ComfyUI that the running bridge uses, by what it tells of it: headers and tokens it keeps to itself."""
    if is_embedded:
        return [], [Check("comfyui", Verdict.OK, "the embedded one of the running bridge")]
    try:
        comfy = await ask_comfy(BackendConfig(url=url))
    except ConfigError as error:
        comfy = Comfy(url, error.message)
    if not comfy.problem:
        return [comfy], comfy_checks(comfy, named=True)
    advice = "`texbridge backends list` says how the bridge finds it; give doctor the bridge's own --config or --comfy"
    return [], [Check("comfyui", Verdict.WARN, f"{comfy.problem} (the running bridge uses it)", advice)]


def table(checks: Sequence[Check], columns: int | None = None) -> str:
    """Give the table for a person: verdict, topic, what was found, and below it what to do."""
    columns = columns or max(NARROWEST, min(120, shutil.get_terminal_size((100, 24)).columns))
    width = max((len(check.topic) for check in checks), default=0)
    indent = " " * (6 + width + 2)
    lines: list[str] = []
    for check in checks:
        head = f"{check.verdict.value:4}  {check.topic:{width}}  "
        lines += textwrap.wrap(
            check.found, columns, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
        ) or [head.rstrip()]
        for number, step in enumerate(check.advice.split("; ")):
            if step:
                start = indent + ("-> " if not number else "   ")
                lines += textwrap.wrap(
                    step, columns, initial_indent=start, subsequent_indent=indent + "   ", break_on_hyphens=False
                )
    counts = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    lines.append("")
    lines.append(", ".join(f"{count} {verdict.value}" for verdict, count in counts.items()))
    return "\n".join(lines)
