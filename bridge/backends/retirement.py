"""Seeing prompts off: withdrawn ones, those whose socket is gone, and orphans nobody waits for.

A waiting prompt is deleted, and gone once /queue doesn't show it. A running one is interrupted if it isn't wanted,
and otherwise waited for: its upstream nodes are then cached, so that another attempt is cheap.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from bridge.backends.attempts import Attempt, Attempts
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.records import ComfyLimits
from bridge.backends.refusals import history_failure
from bridge.backends.tasks import TaskSet
from bridge.errors import BackendError

logger = logging.getLogger("bridge.backends")
_MOST_ORPHANS: Final = 256


class Retirement:
    """Gets prompts out of the way. Nothing is done while not `online`; `recover` takes it up again."""

    def __init__(
        self,
        http: ComfyHttp,
        attempts: Attempts,
        limits: ComfyLimits,
        tasks: TaskSet,
        suspect: Callable[[], None],
    ) -> None:
        self.online = False
        self._http = http
        self._attempts = attempts
        self._limits = limits
        self._tasks = tasks
        self._suspect = suspect
        self._orphans: OrderedDict[str, None] = OrderedDict()
        attempts.on_foreign_start = self._foreign_start

    async def place(self, prompt_id: str) -> str | dict[str, Any] | None:
        """ "running", "pending", the history entry, or None. /queue goes first: a prompt moves on to /history."""
        queue = await self._http.queue()
        if prompt_id in queue.running:
            return "running"
        if prompt_id in queue.pending:
            return "pending"
        return await self._http.history(prompt_id)

    def begin(self, attempt: Attempt) -> None:
        """See a withdrawn or blind attempt off."""
        if not attempt.retiring:
            attempt.retiring = True
            self._tasks.spawn(self._retire(attempt))

    def lose(self, attempt: Attempt) -> None:
        """Give an attempt up. Should ComfyUI have its prompt after all, it is removed there."""
        self.orphan(attempt.prompt_id)
        self._attempts.lose(attempt)

    def orphan(self, prompt_id: str) -> None:
        """Nobody waits for this prompt: remove it where it turns up."""
        self._orphans[prompt_id] = None
        if len(self._orphans) > _MOST_ORPHANS:
            self._orphans.popitem(last=False)

    def remove_orphan(self, prompt_id: str) -> None:
        """Make it an orphan, and look for it now."""
        self.orphan(prompt_id)
        self._tasks.spawn(self._remove_orphan(prompt_id))

    async def recover(self, blind: list[Attempt]) -> None:
        """After a new socket: see off what was posted under older ones. Raises BackendError."""
        if not blind and not self._orphans:
            return
        queue = await self._http.queue()
        for prompt_id in [orphan for orphan in self._orphans if orphan in queue.running | queue.pending]:
            self._tasks.spawn(self._remove_orphan(prompt_id))
        for attempt in blind:
            attempt.missing = 0
            self.begin(attempt)
        # What doesn't run is settled in a moment; the backend is better announced without it.
        for _ in range(50):
            if not any(attempt in self._attempts and attempt.prompt_id not in queue.running for attempt in blind):
                break
            await asyncio.sleep(0.02)

    async def clear(self) -> None:
        """Take everything of ours off ComfyUI, as far as it answers. The attempts stay as they are."""
        attempts = self._attempts.live()
        prompt_ids = {attempt.prompt_id for attempt in attempts} | set(self._orphans)
        try:
            if prompt_ids:
                await self._http.delete(*prompt_ids)
            for attempt in attempts:
                if attempt.started:
                    await self._http.interrupt(attempt.prompt_id)
        except BackendError as error:
            logger.debug("could not clear the queue: %s", error)

    async def _retire(self, attempt: Attempt) -> None:
        turn = 0
        try:
            while attempt in self._attempts and self.online:
                delay = min(self._limits.retire_poll_s * (1 + turn / 4), 1.0)
                try:
                    if turn == 0 and not attempt.blind:
                        await self._remove(attempt.prompt_id, attempt.started)
                    place = await self.place(attempt.prompt_id)
                    if attempt not in self._attempts:
                        return
                    if place == "pending":
                        await self._remove(attempt.prompt_id, started=False)
                        delay = delay if turn > 1 else 0.0
                    elif place == "running":
                        attempt.missing = 0
                        if attempt.withdrawn:  # again and again: between POST and start an interrupt is lost
                            await self._remove(attempt.prompt_id, started=True)
                    elif self._see_off(attempt, place if isinstance(place, dict) else None):
                        return
                except BackendError:
                    self._suspect()
                    delay = 1.0
                turn += 1
                await asyncio.sleep(delay)
        finally:
            attempt.retiring = False

    def _see_off(self, attempt: Attempt, entry: dict[str, Any] | None) -> bool:
        """Settle an attempt that is out of the queue; False to look once more."""
        attempt.missing += 1
        if entry is None and not attempt.started:
            # Posted but never answered: it may still be on its way into the queue.
            if not attempt.taken and attempt.missing < 3:
                return False
            if attempt.withdrawn:
                self.orphan(attempt.prompt_id)
                self._attempts.withdraw(attempt)
            else:
                self.lose(attempt)
            return True
        if not (attempt.blind or attempt.files) and attempt.missing < 5:
            return False  # its last events are on their way
        failure = history_failure(entry) if entry is not None else None
        if failure is not None or attempt.withdrawn:
            self._attempts.end(attempt, failure)
        else:
            self.lose(attempt)
        return True

    async def _remove(self, prompt_id: str, started: bool) -> None:
        if await self._http.cancel(prompt_id):
            return
        if started:
            await self._http.interrupt(prompt_id)
        else:
            await self._http.delete(prompt_id)

    def _foreign_start(self, prompt_id: str) -> None:
        if prompt_id in self._orphans:
            self._tasks.spawn(self._remove_orphan(prompt_id))

    async def _remove_orphan(self, prompt_id: str) -> None:
        until = time.perf_counter() + self._limits.http_timeout_s
        try:
            while (place := await self.place(prompt_id)) in ("running", "pending") and time.perf_counter() < until:
                await self._remove(prompt_id, place == "running")
                await asyncio.sleep(self._limits.retire_poll_s)
        except BackendError:
            self._suspect()
