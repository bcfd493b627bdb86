"""Restarts a ComfyUI that is mute, or away for long, by the command that the configuration names for it.

Off unless `restart_command` is set, and that is read from the configuration file alone: nothing that comes over the
network can set or change it. The command is a program with arguments, run without a shell; how often is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.app.bridge import Bridge
from bridge.app.config.config import BackendConfig
from bridge.app.pool.restart_output import RestartOutput
from bridge.backends.comfy import ComfyBackend

logger = logging.getLogger("bridge.app")

LOOK_EVERY_S: Final = 1.0
DAY_S: Final = 86_400.0
PORT: Final = "{port}"
"""In an argument: the port of the ComfyUI, so that one command serves all of a range."""

_GRACE_S: Final = 2.0


class RestartLimit:
    """How soon the next restart may be: `every_s` after the last one, and at most `per_day` in 24 hours."""

    def __init__(self, every_s: float, per_day: int) -> None:
        self._every_s = every_s
        self._per_day = per_day
        self._past: deque[float] = deque(maxlen=per_day)

    def next_at(self) -> float:
        """When the next one may be, as the caller's clock tells time; `-inf` if at any time."""
        soonest = -math.inf
        if self._past:
            soonest = self._past[-1] + self._every_s
        if len(self._past) == self._per_day:
            soonest = max(soonest, self._past[0] + DAY_S)
        return soonest

    def note(self, now: float) -> None:
        """One begins."""
        self._past.append(now)


def restart_reason(*, mute: bool, away_since: float | None, after_s: float, now: float) -> str | None:
    """Why a ComfyUI needs a restart now: "mute", at once, or "away" for `after_s`; None if it doesn't."""
    if away_since is not None:
        return "away" if now - away_since >= after_s else None
    return "mute" if mute else None


def restart_environment(
    backend: ComfyBackend, reason: str, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The command's environment: the bridge's own without its `TEXBRIDGE_` variables, and three that say what for."""
    kept = {name: value for name, value in environment.items() if not name.upper().startswith("TEXBRIDGE_")}
    return {
        **kept,
        "TEXBRIDGE_BACKEND": backend.name,
        "TEXBRIDGE_BACKEND_URL": backend.address.http,
        "TEXBRIDGE_REASON": reason,
    }


class Restarter:
    """Watches one backend and runs its command; `ran` is called at each run. Ended by cancelling `watch`."""

    def __init__(
        self,
        backend: ComfyBackend,
        config: BackendConfig,
        ran: Callable[[], None],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._backend = backend
        self._config = config
        self._ran = ran
        self._clock = clock
        self._limit = RestartLimit(config.restart_every_s, config.restarts_per_day)
        self._told_limit = False
        self._output: RestartOutput | None = None
        """Of the last run: what that left running may print on."""

    async def watch(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Look each second while `wanted()`: it is not, for instance, once another backend has taken the name."""
        try:
            while wanted():
                await asyncio.sleep(LOOK_EVERY_S)
                if self._output is not None:
                    self._output.bound()
                await self._look()
        finally:
            if self._output is not None:
                self._output.close()

    async def _look(self) -> None:
        now = self._clock()
        reason = restart_reason(
            mute=self._backend.mute,
            away_since=self._backend.away_since,
            after_s=self._config.restart_after_s,
            now=now,
        )
        if reason is None:
            self._told_limit = False
        elif now >= self._limit.next_at():
            self._limit.note(now)
            self._told_limit = False
            await self._run(reason)
        elif not self._told_limit:
            self._told_limit = True
            logger.warning(
                "backend %s is %s; its restart command may run again in %.0f s (restart_every_s %g, "
                "restarts_per_day %d)",
                self._backend.name,
                reason,
                self._limit.next_at() - now,
                self._config.restart_every_s,
                self._config.restarts_per_day,
            )

    async def _run(self, reason: str) -> None:
        port = urlsplit(self._backend.address.http).port
        command = [
            argument.replace(PORT, "" if port is None else str(port)) for argument in self._config.restart_command
        ]
        # The arguments may hold what is nobody's business: the program alone is named.
        logger.warning("backend %s is %s: its restart command %s runs", self._backend.name, reason, _program(command))
        self._ran()
        if self._output is not None:
            self._output.close()
        self._output = output = RestartOutput()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.DEVNULL,
                stdout=output.file,
                stderr=subprocess.STDOUT,
                env=restart_environment(self._backend, reason),
                **_own_group(),
            )
        except (OSError, ValueError, NotImplementedError) as error:
            logger.error("backend %s: its restart command can't be run: %s", self._backend.name, error)
            return
        try:
            await self._follow(process, output)
        except asyncio.CancelledError:
            await _end(process)
            raise

    async def _follow(self, process: asyncio.subprocess.Process, output: RestartOutput) -> None:
        """Until the command ends, or has to be ended."""
        began_at = self._clock()
        ending = asyncio.ensure_future(process.wait())
        while not ending.done():
            left_s = began_at + self._config.restart_timeout_s - self._clock()
            if left_s <= 0:
                await _end(process)
                await ending
                logger.error(
                    "backend %s: its restart command was ended after %g s (restart_timeout_s); it said: %s",
                    self._backend.name,
                    self._config.restart_timeout_s,
                    output.tail(),
                )
                return
            await asyncio.wait([ending], timeout=min(LOOK_EVERY_S, left_s))
            output.bound()
        code, took_s = ending.result(), self._clock() - began_at
        log = logger.info if code == 0 else logger.error
        words = "backend %s: its restart command gave %d after %.1f s: %s"
        log(words, self._backend.name, code, took_s, output.tail())


def _program(command: list[str]) -> str:
    return PurePath(command[0]).name


def _own_group() -> dict[str, Any]:
    """So that a Ctrl+C meant for the bridge doesn't end what the command starts."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the command itself; what it started is its own affair."""
    for stop in (process.terminate, process.kill):
        try:
            stop()
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
            return
        except ProcessLookupError:
            return
        except TimeoutError:
            continue


async def watch_over(bridge: Bridge, backend: ComfyBackend, config: BackendConfig) -> None:
    """Watch a backend of the configuration as long as the bridge has it."""

    def ran() -> None:
        bridge.counts["restarts"] += 1

    await Restarter(backend, config, ran).watch(lambda: bridge.backends.get(backend.name) is backend)
