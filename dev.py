"""One list of development commands, the same on Windows, macOS and Linux.

    python3 dev.py demo     see the whole path work (makes its own .venv first)
    python3 dev.py serve    run the bridge (arguments are passed on)
    python3 dev.py check    lint, types and every test; the last line counts what was skipped and why
    python3 dev.py test     the tests alone (arguments are passed to pytest)
    python3 dev.py bench    where the time goes, each goal with both sides (--quick, --only P1,P5, --json, --plots)
    python3 dev.py lint     ruff
    python3 dev.py types    mypy, strict
    python3 dev.py fmt      ruff, applying fixes and formatting
    python3 dev.py clean    remove caches, builds and the .venv

On Windows: `python dev.py ...` or `py dev.py ...`. Only the standard library is used here: this file runs before
anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".texbridge-installed"
DEBIAN_PACKAGES = (  # other languages' toolchains, for tests/engines: a test skips where its own is missing
    "mono-mcs",
    "mono-runtime",
    "g++",
    "chromium",  # 115 MB
    "nodejs",
    "npm",
    "liblo-tools",
    "puredata-core",
    "godot3-server",  # 70 MB
)
# A program of somebody else's package will do, and may not stand beside Debian's.
PROGRAMS = {"chromium": "chromium", "nodejs": "node", "npm": "npm"}
APT_LIMIT_S = 600

# More failures than these are no accident of a busy machine.
MOST_TRIED_AGAIN = 3


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
    # A checkout that was copied or moved brings a .venv that still points to the old place.
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    have = STAMP.read_text().split() if STAMP.exists() and PYTHON.exists() else []
    if have[:1] == [wanted] and (not extra or extra in have[1:]):
        return
    print(f"dev.py: preparing {VENV.name} (once; needs the network) ...", flush=True)
    if not PYTHON.exists():
        make_venv()
    target = f".[{extra}]" if extra else "."
    install = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", target)
    if run(*install, check=False) != 0:
        raise SystemExit("dev.py: pip could not install what is needed (see above); try again with a network")
    extras = {extra, *have[1:]} - {""} if have[:1] == [wanted] else {extra} - {""}
    STAMP.write_text("\n".join([wanted, *sorted(extras)]) + "\n")


def make_venv() -> None:
    """Make an empty .venv; half of one is taken away again, so that the next try begins anew."""
    try:
        venv.create(VENV, with_pip=True, clear=VENV.exists(), symlinks=os.name != "nt")
    except BaseException as error:
        shutil.rmtree(VENV, ignore_errors=True)
        if not isinstance(error, (subprocess.CalledProcessError, OSError)):
            raise
        raise SystemExit(
            f"could not create {VENV}: {error}\nOn Debian and Ubuntu: apt-get install python3-venv"
        ) from error


def missing_debian_packages() -> list[str]:
    """Give those of DEBIAN_PACKAGES that aren't installed; none where there is no dpkg."""
    query = shutil.which("dpkg-query")
    if query is None:
        return []
    command = [query, "--show", "--showformat=${db:Status-Status} ${Package}\n", *DEBIAN_PACKAGES]
    told = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout
    installed = {line.split()[-1] for line in told.splitlines() if line.startswith("installed ")}
    installed |= {package for package, program in PROGRAMS.items() if shutil.which(program)}
    return [package for package in DEBIAN_PACKAGES if package not in installed]


def install_debian_packages() -> None:
    """Install what the engine tests need, on Debian and as root; elsewhere, or in vain, say so: those tests skip."""
    missing = missing_debian_packages()
    apt = shutil.which("apt-get")
    if not missing or apt is None:
        return
    command = [apt, "install", "-y", "-q", "--no-install-recommends", *missing]
    if getattr(os, "geteuid", lambda: 1)() != 0:
        print(f"dev.py: some engine tests will skip; as root: apt-get {' '.join(command[1:])}", flush=True)
        return
    print(f"dev.py: installing {' '.join(missing)} (once) ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    why = ""
    # Package lists may be old, or missing in a fresh container: fetched only where the first try fails. A package that
    # this release doesn't have must not cost the others: at last each is tried alone.
    alone = [[*command[: -len(missing)], package] for package in missing] if len(missing) > 1 else []
    for step in (command, [apt, "update", "-q"], command, *alone):
        try:
            done = subprocess.run(
                step,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=APT_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
            break
        if done.returncode == 0 and step is command:
            return
        if done.returncode != 0:
            why = "\n".join(done.stdout.splitlines()[-5:])
    missing = missing_debian_packages()
    if not missing:
        return
    print(f"dev.py: apt could not install {' '.join(missing)}; their tests will skip:\n{why}", flush=True)


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


def command_bench(args: list[str]) -> int:
    """The extras are installed only here: what is measured without them is another program."""
    ensure_venv("bench")
    return run(PYTHON, "-m", "benchmarks", *args, check=False)


def command_check(args: list[str]) -> int:
    """Lint, types and tests; the last line counts the skipped tests by reason.

    A few tests that failed beside all the others are tried once more, alone: a busy machine must not cost a whole run.
    Those that pass only then are named in the last line.
    """
    command_lint([])
    command_types([])
    install_debian_packages()
    with tempfile.TemporaryDirectory() as cache:  # what failed here, and not in somebody's run beside it
        own = ("-o", f"cache_dir={cache}")
        # A file of tests is never split: what its tests share is made once.
        code, skipped, _ = run_tests("-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", *own, *args)
        failed = last_failed(Path(cache))
        is_whole = not any(arg.startswith(("-x", "--exitfirst", "--maxfail")) for arg in args)
        if code == 1 and is_whole and 0 < len(failed) <= MOST_TRIED_AGAIN:
            print(f"dev.py: {len(failed)} failed; once more, alone ...", flush=True)
            code, skipped_again, passed = run_tests("--last-failed", *own, *args)
            if code == 0 and (skipped_again or passed != len(failed)):
                code = 1
    if code != 0:
        print(f"check: FAILED (pytest exit code {code})")
        return code
    print(last_line(skipped, failed))
    return 0


def run_tests(*args: str) -> tuple[int, dict[str, int], int]:
    """Run pytest; give its exit code, how many tests were skipped by reason, and how many passed."""
    command = [str(PYTHON), "-m", "pytest", *args]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PY_COLORS": "0"}
    skipped: dict[str, int] = {}
    passed = 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := read_skip(line):
                skipped[found[1]] = skipped.get(found[1], 0) + found[0]
            elif match := re.match(r"(?:=+ )?(?:\d+ \w+, )*(\d+) passed\b.* in [\d.]+s", line):
                passed = int(match[1])
    return process.returncode, skipped, passed


def last_failed(cache: Path) -> list[str]:
    """Give the tests that failed or broke off in the run with this cache of pytest's."""
    try:
        return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []


def read_skip(line: str) -> tuple[int, str] | None:
    """Give count and reason of a line of pytest's summary, `SKIPPED [3] tests/e2e/test_x.py:12: reason`."""
    match = re.match(r"SKIPPED \[(\d+)\] \S+?(?::\d+)?: (.*)", line)
    return None if match is None else (int(match[1]), match[2].strip())


def last_line(skipped: dict[str, int], alone: list[str]) -> str:
    """Give the last line of `check`: how many tests were skipped, and why; those that passed only when run alone."""
    reasons = "; ".join(f"{count} x {reason}" for reason, count in sorted(skipped.items()))
    told = f"check: ok, {sum(skipped.values())} skipped" + (f": {reasons}" if reasons else "")
    return told + (f"; passed only alone: {', '.join(alone)}" if alone else "")


def command_fmt(args: list[str]) -> int:
    ensure_venv("dev")
    run(PYTHON, "-m", "ruff", "check", "--fix", ".", check=False)
    return run(PYTHON, "-m", "ruff", "format", ".")


def command_clean(args: list[str]) -> int:
    for name in (
        ".venv",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".cache",
        "dist",
        "build",
        "demo-out",
    ):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in ROOT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    return 0


COMMANDS = {
    name[len("command_") :]: function for name, function in list(globals().items()) if name.startswith("command_")
}


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # Windows consoles may not know every character
            stream.reconfigure(errors="replace")
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        return 0 if sys.argv[1:] in ([], ["--help"], ["-h"]) else 2
    try:
        return COMMANDS[sys.argv[1]](sys.argv[2:])
    except KeyboardInterrupt:
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
