"""One list of development commands, the same on Windows, macOS and Linux.

    python3 dev.py demo     see the whole path work (makes its own .venv first)
    python3 dev.py serve    run the bridge (arguments are passed on)
    python3 dev.py check    lint, types and every test; the last line counts what was skipped and why
    python3 dev.py test     the tests alone (arguments are passed to pytest)
    python3 dev.py lint     ruff
    python3 dev.py types    mypy, strict
    python3 dev.py fmt      ruff, applying fixes and formatting
    python3 dev.py clean    remove caches, builds and the .venv

Only the standard library is used here: this file runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".texbridge-installed"


def run(*command: str | os.PathLike[str], check: bool = True) -> int:
    """Run a command in the checkout, give its exit code; with `check`, end with it if it isn't 0."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if check and code != 0:
        raise SystemExit(code)
    return code


def ensure_venv(extra: str) -> None:
    """Make .venv with this project and the extra ("" or "dev") in it, unless it is there and current.

    `demo` and `serve` need no development tools; a .venv made for `check` serves them too.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 is there
        raise SystemExit(f"texbridge needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    have = STAMP.read_text().split() if STAMP.exists() and PYTHON.exists() else []
    if have[:1] == [wanted] and (not extra or extra in have[1:]):
        return
    print(f"dev.py: preparing {VENV.name} (once; needs the network) ...", flush=True)
    if not PYTHON.exists():
        try:
            venv.create(VENV, with_pip=True, clear=VENV.exists())
        except subprocess.CalledProcessError as error:
            raise SystemExit(
                f"could not create {VENV}: {error}\nOn Debian and Ubuntu: apt-get install python3-venv"
            ) from error
    target = f".[{extra}]" if extra else "."
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", target)
    extras = {extra, *have[1:]} - {""} if have[:1] == [wanted] else {extra} - {""}
    STAMP.write_text("\n".join([wanted, *sorted(extras)]) + "\n")


def command_demo(args: list[str]) -> int:
    ensure_venv("")
    return run(PYTHON, "-m", "bridge", "demo", *args, check=False)


def command_serve(args: list[str]) -> int:
    ensure_venv("")
    return run(PYTHON, "-m", "bridge", "serve", *args, check=False)


def command_lint(args: list[str]) -> int:
    ensure_venv("dev")
    run(PYTHON, "-m", "ruff", "check", ".")
    run(PYTHON, "-m", "ruff", "format", "--check", ".")
    return 0


def command_types(args: list[str]) -> int:
    ensure_venv("dev")
    return run(PYTHON, "-m", "mypy")


def command_test(args: list[str]) -> int:
    ensure_venv("dev")
    return run(PYTHON, "-m", "pytest", *args, check=False)


def command_check(args: list[str]) -> int:
    """Lint, types and tests; the last line counts the skipped tests by reason."""
    command_lint([])
    command_types([])
    skipped: dict[str, int] = {}
    command = [str(PYTHON), "-m", "pytest", *args]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            # pytest's own summary: "SKIPPED [3] tests/e2e/test_x.py:12: reason"
            if match := re.match(r"SKIPPED \[(\d+)\] \S+?(?::\d+)?: (.*)", line):
                skipped[match[2]] = skipped.get(match[2], 0) + int(match[1])
    if process.returncode != 0:
        print(f"check: FAILED (pytest exit code {process.returncode})")
        return process.returncode
    total = sum(skipped.values())
    reasons = "; ".join(f"{count} x {reason.strip()}" for reason, count in sorted(skipped.items()))
    print(f"check: ok, {total} skipped" + (f": {reasons}" if reasons else ""))
    return 0


def command_fmt(args: list[str]) -> int:
    ensure_venv("dev")
    run(PYTHON, "-m", "ruff", "check", "--fix", ".", check=False)
    return run(PYTHON, "-m", "ruff", "format", ".")


def command_clean(args: list[str]) -> int:
    for name in (".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "dist", "build", "demo-out"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in ROOT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    return 0


COMMANDS = {
    name.removeprefix("command_"): function for name, function in list(globals().items()) if name.startswith("command_")
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        return 0 if sys.argv[1:] in ([], ["--help"], ["-h"]) else 2
    return COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(main())
