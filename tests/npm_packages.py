"""Packages from npm, fetched once into `.cache/npm` of the checkout, for tests of clients in JavaScript and C#."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[1] / ".cache" / "npm"
LIMIT_S = 100.0
QUICK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000")
NEEDED = "node and npm not found: apt-get install --no-install-recommends nodejs npm"

_FAILURES = {}  # without a network each try takes seconds: one for each set of packages


def npm_packages(*names):
    """The node_modules folder with these packages ("three@0.180.0") in it; skips where they can't be had.

    No package's own scripts are run, and optional dependencies (native modules) are left out.
    """
    if shutil.which("node") is None:
        pytest.skip(NEEDED)
    folder = CACHE / hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(NEEDED)
        if names in _FAILURES:
            pytest.skip(_FAILURES[names])
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as made:
            Path(made, "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
            options = [*QUICK, "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
            fetched = _run([npm, "install", *options, *names], made)
            if fetched:
                _FAILURES[names] = f"npm could not fetch {' '.join(names)}: {fetched}"
                pytest.skip(_FAILURES[names])
            with contextlib.suppress(OSError):  # another process was quicker
                os.rename(made, folder)
            os.makedirs(made, exist_ok=True)
    return folder / "node_modules"


def npm_source(name):
    """The files of one package alone ("jp.keijiro.osc-jack@2.0.0"), without its dependencies; skips like the above."""
    return npm_packages(name) / name.rpartition("@")[0]


def _run(command, folder):
    """What went wrong in a line, or nothing."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:200]
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else f"exit code {done.returncode}"
