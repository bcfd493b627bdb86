"""The watch over one open socket: pings, and what a missed one means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.comfy_socket import ComfySocket
from bridge.backends.faults import AccessRefused, BackendGone, BackendSilent
from bridge.backends.records import ComfyLimits
from bridge.backends.round_trips import RoundTrips
from bridge.errors import BackendError


class Watch:
    """Says when a socket is of no use any more. `on_doubt` and `on_trust` are told in between."""

    def __init__(
        self,
        http: ComfyHttp,
        limits: ComfyLimits,
        on_doubt: Callable[[], None],
        on_trust: Callable[[], None],
    ) -> None:
        self._http = http
        self._limits = limits
        self._on_doubt = on_doubt
        self._on_trust = on_trust
        self._suspicion = asyncio.Event()
        self.round_trips = RoundTrips()
        self.broken: BackendError | None = None
        """Set by `break_off`: the backend answers, and wrongly."""

    def suspect(self) -> None:
        """A call failed: look at once."""
        self._suspicion.set()

    def break_off(self, error: BackendError) -> None:
        """Too many wrong answers in a row: give the socket up."""
        self.broken = error
        self._suspicion.set()

    async def over(self, socket: ComfySocket) -> str:
        """Ping; in doubt ask HTTP. Returns, with the reason, when this socket is of no use any more."""
        while True:
            try:
                async with asyncio.timeout(self.round_trips.interval_s(self._limits.ping_interval_s)):
                    await self._suspicion.wait()
            except TimeoutError:
                pass
            suspected = self._suspicion.is_set()
            self._suspicion.clear()
            if self.broken is not None:
                return "wrong answers"
            if not suspected:
                if await self._ping(socket):
                    continue
                self._on_doubt()
            reason = await self._examine(socket)
            if reason is not None:
                return reason
            self._on_trust()

    async def _ping(self, socket: ComfySocket) -> bool:
        sent_at = time.perf_counter()
        answered = await socket.ping(self.round_trips.patience_s(self._limits.pong_timeout_s))
        if answered:
            self.round_trips.measured(time.perf_counter() - sent_at)
        return answered

    async def _examine(self, socket: ComfySocket) -> str | None:
        """None when HTTP and socket both answer; else why the socket must be given up."""
        began_at = time.perf_counter()
        failures = 0
        while True:
            try:
                await self._http.probe()
            except (BackendGone, AccessRefused) as error:
                return error.message
            except BackendError as error:
                self._on_doubt()
                failures += not isinstance(error, BackendSilent)
                if failures >= self._limits.max_failures:
                    return error.message
            else:
                return None if await self._ping(socket) else "no pong, though HTTP answers"
            if time.perf_counter() - began_at >= self._limits.doubt_timeout_s:
                return f"silent for {self._limits.doubt_timeout_s:g} s"
            await asyncio.sleep(0.2)
