"""What `texbridge doctor` says of a bridge that runs, and of the commands that are to restart its ComfyUIs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from bridge.app.config.config import BackendConfig, Config
from bridge.app.doctor.verdicts import Check, Verdict
from bridge.app.http_question import ask_backends, ask_http


async def ask_warnings(config: Config) -> Mapping[str, str]:
    """Give what the bridge at the HTTP door warns of, by backend; empty if none answers there, or all is well."""
    warnings = (await ask_http(config, "/readyz")).get("warnings")
    if not isinstance(warnings, dict):
        return {}
    return {str(name)[:200]: str(words)[:1000] for name, words in warnings.items()}


async def ask_comfies_in_use(config: Config) -> list[tuple[str, bool]]:
    """Give the ComfyUIs of the bridge at the HTTP door: the URL, and whether it is its embedded one; empty if none
    answers there."""
    urls = [(one.get("url"), one.get("name") == "embedded") for one in await ask_backends(config) or ()]
    return [(url, is_embedded) for url, is_embedded in urls if isinstance(url, str)]


def warning_checks(warnings: Mapping[str, str]) -> list[Check]:
    """Give a line for each ComfyUI that the running bridge warns of."""
    advice = "docs/troubleshooting.md says what each word means"
    return [
        Check("running bridge", Verdict.WARN, f"{name}: {words}", advice) for name, words in sorted(warnings.items())
    ]


def restart_checks(
    backends: tuple[BackendConfig, ...], find: Callable[[str], str | None] = shutil.which
) -> list[Check]:
    """Say which ComfyUIs are restarted by a command, when, and whether its program is there."""
    checks = []
    for backend in backends:
        if not backend.restart_command:
            continue
        program = backend.restart_command[0]
        name = backend.name or "a ComfyUI"
        if find(program) is None:
            found = f"the restart command of {name} is {program!r}, and there is no such program"
            advice = "write its whole path into restart_command, a list of program and arguments"
            checks.append(Check("restart command", Verdict.BAD, found, advice))
            continue
        found = (
            f"{program} restarts {name} when it is mute, or away for {backend.restart_after_s:g} s: every "
            f"{backend.restart_every_s:g} s and {backend.restarts_per_day} times a day at most"
        )
        checks.append(Check("restart command", Verdict.OK, found))
    return checks
