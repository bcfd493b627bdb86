"""Processes for measurements: a bridge, an embedded ComfyUI, and how much memory one holds."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 30.0
DOORS = ("osc", "link", "tcp", "http")


class Process:
    """A Python process that says in one line of its output that it is ready; ended at the end."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.ready = ""

    async def __aenter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TEXBRIDGE_")}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH", "")]))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            limit=1 << 26,
        )
        self.ready = await self.line()
        if not self.ready:
            raise RuntimeError(f"{' '.join(self._arguments)} ended before it was ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.communicate()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def line(self) -> str:
        """The next line of its output, empty at the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            return (await self._process.stdout.readline()).decode()

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")


class BridgeProcess(Process):
    """`texbridge serve` on free ports."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        # A configuration file of its own, so that nobody's counts.
        (folder / "texbridge.toml").touch()
        listen = [word for door in DOORS for word in (f"--{door}", "127.0.0.1:0")]
        super().__init__(
            "-m", "bridge", "serve", "--json", "--config", str(folder / "texbridge.toml"), *listen, *arguments
        )

    def address(self, door: str) -> str:
        """Where a door is, `host:port`."""
        told: dict[str, Any] = json.loads(self.ready)
        return str(told[door])


class EmbeddedProcess(Process):
    """`texbridge embedded` on a free port."""

    def __init__(self, step_delay_ms: float) -> None:
        super().__init__("-m", "bridge", "embedded", "--port", "0", "--step-delay-ms", str(step_delay_ms))

    @property
    def url(self) -> str:
        """Its base URL."""
        return next(word for word in self.ready.split() if word.startswith("http://"))


def resident_bytes(pid: int) -> int | None:
    """Memory that a process holds in RAM, or None where this system doesn't tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        pass
    try:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
        return int(told.stdout) * 1024
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
