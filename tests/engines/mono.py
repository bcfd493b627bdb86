"""C# programs for Debian's Mono: found, compiled, run. Where Mono is missing, the test skips and says why."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

NEEDED = "apt-get install -y --no-install-recommends mono-mcs mono-runtime"
LIMIT_S = 120.0


def tool(name: str) -> str:
    """Give the path of `mcs` or `mono`; skip without."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} not found: {NEEDED}")
    return path


def compile_csharp(
    out: Path, sources: Iterable[Path], references: Iterable[Path | str] = (), defines: str = ""
) -> Path:
    """Compile sources to `out`, a .dll or an .exe; every warning is an error."""
    kind = "exe" if out.suffix == ".exe" else "library"
    command = [tool("mcs"), "-langversion:7.2", "-warnaserror", "-warn:4", "-nologo", f"-target:{kind}", f"-out:{out}"]
    command.append("-nowarn:0649")  # fields that only the inspector fills; Unity is silent about them too
    command += [f"-r:{reference}" for reference in ("System.Core.dll", *references)]
    command += [f"-d:{defines}"] if defines else []
    command += [str(source) for source in sorted(sources)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def run_csharp(program: Path, *arguments: object, text: str = "") -> str:
    """Run a program with this text as its standard input, to its end; give its standard output."""
    command = [tool("mono"), "--debug", str(program), *map(str, arguments)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
