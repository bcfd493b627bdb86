"""Prompts of a ComfyUI whose socket is mute: their ends by /queue and /history, their pictures by /view.

Such a prompt writes temporary files, and its history entry names them. One loop looks at one prompt at a time, the one
that runs: often about when it should be over, by what the last ones took, then ever more rarely. Pictures are reported
as those off the socket are, in the order of a batch, each output under its own number.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, NamedTuple

from bridge.backends.attempts import Attempt, Attempts
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.faults import BackendCut, BackendGone
from bridge.backends.refusals import history_failure
from bridge.backends.tasks import TaskSet
from bridge.errors import BackendError, ErrorCode

FIRST_LOOK_S: Final = 0.02
LAST_LOOK_S: Final = 0.5
LONGEST_REST_S: Final = 1.0
"""However long prompts take, one that fails or is interrupted early is noticed by then."""

_TIMES_KEPT: Final = 8
_KEYS_KEPT: Final = 64
_AT_ONCE: Final = 4
_QUEUE_EVERY: Final = 8
_FETCHES: Final = 3


def next_look_s(ran_s: float, usual_s: float | None) -> float:
    """Seconds until the next look at a prompt that has run for `ran_s`, where such prompts take `usual_s` at least.

    None before nine tenths of the usual time, then steps of a fiftieth of it, at least 20 ms; from there on, and where
    nothing is known, steps of a tenth of what it ran (over), up to half a second.
    """
    if usual_s is None:
        return min(max(FIRST_LOOK_S, ran_s / 10), LAST_LOOK_S)
    if ran_s < 0.9 * usual_s:
        return min(max(0.9 * usual_s - ran_s, FIRST_LOOK_S), LONGEST_REST_S)
    return min(max(FIRST_LOOK_S, usual_s / 50, (ran_s - usual_s) / 10), LAST_LOOK_S)


class StoredFile(NamedTuple):
    """A picture in one of ComfyUI's folders, as its history names it; `type` is "temp" or "output"."""

    filename: str
    subfolder: str
    type: str


def stored_files(entry: Mapping[str, Any], output_nodes: Mapping[str, int]) -> list[tuple[str, list[StoredFile]]]:
    """The files that a history entry names for each output node that has some, those of a batch in its order."""
    outputs = entry.get("outputs")
    found: list[tuple[str, list[StoredFile]]] = []
    for node_id in output_nodes:
        output = outputs.get(node_id) if isinstance(outputs, dict) else None
        images = output.get("images") if isinstance(output, dict) else None
        files = [
            StoredFile(image["filename"], str(image.get("subfolder") or ""), str(image.get("type") or "output"))
            for image in (images if isinstance(images, list) else ())
            if isinstance(image, dict) and isinstance(image.get("filename"), str)
        ]
        if files:
            found.append((node_id, files))
    return found


class Polling:
    """Follows the attempts that were posted with `files`. `lose(attempt)` is called for one that ComfyUI lost."""

    def __init__(
        self,
        http: ComfyHttp,
        attempts: Attempts,
        tasks: TaskSet,
        suspect: Callable[[], None],
        lose: Callable[[Attempt], None],
    ) -> None:
        self._http = http
        self._attempts = attempts
        self._tasks = tasks
        self._suspect = suspect
        self._lose = lose
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._usual: dict[Hashable, deque[float]] = {}
        self._looks = 0
        attempts.on_file_end = self.wake

    def wake(self) -> None:
        """Look now: a prompt was posted, or the socket spoke after all."""
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = self._tasks.spawn(self._run())

    async def _run(self) -> None:
        while mine := self._mine():
            self._woken.clear()
            attempt = next((attempt for attempt in mine if attempt.runs_since is not None), mine[0])
            try:
                rest_s = await self._look(attempt)
            except BackendError:
                self._suspect()
                rest_s = LONGEST_REST_S
            if rest_s > 0:
                try:
                    async with asyncio.timeout(rest_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    def _mine(self) -> list[Attempt]:
        return [
            attempt
            for attempt in self._attempts.live()
            if attempt.files and not (attempt.posting or attempt.withdrawn or attempt.ended)
        ]

    async def _look(self, attempt: Attempt) -> float:
        """See how an attempt is; gives the seconds until the next look. Raises BackendError."""
        self._looks += 1
        entry: dict[str, Any] | None = None
        if attempt.runs_since is not None and self._looks % _QUEUE_EVERY:
            entry = await self._http.history(attempt.prompt_id)
        else:
            queue = await self._http.queue()
            if attempt.prompt_id in queue.pending:
                attempt.missing = 0
                return next_look_s(time.perf_counter() - attempt.posted_at, None)
            if attempt.prompt_id in queue.running:
                attempt.missing = 0
                self._starts(attempt)
            else:
                entry = await self._http.history(attempt.prompt_id)
                attempt.missing += entry is None
                if attempt.missing >= 3:
                    self._lose(attempt)
                    return 0.0
        if entry is not None and attempt in self._attempts:
            await self._over(attempt, entry)
            return 0.0
        ran_s = time.perf_counter() - (attempt.runs_since or attempt.posted_at)
        return next_look_s(ran_s, self._usual_s(attempt))

    def _starts(self, attempt: Attempt) -> None:
        if attempt.runs_since is None:
            attempt.runs_since = time.perf_counter()
            self._attempts.started(attempt)

    async def _over(self, attempt: Attempt, entry: dict[str, Any]) -> None:
        """Report the pictures and the end of an attempt whose history entry is there."""
        failure = history_failure(entry)
        if failure is not None:
            self._attempts.fail(attempt, failure)
            return
        self._attempts.last_done = attempt.prompt_id
        if attempt.runs_since is not None:
            self._learn(attempt, time.perf_counter() - attempt.runs_since)
        self._starts(attempt)
        try:
            await self._fetch(attempt, stored_files(entry, attempt.output_nodes))
        except BackendError as error:
            self._attempts.end(attempt, error)
        else:
            self._attempts.end(attempt)

    async def _fetch(self, attempt: Attempt, found: list[tuple[str, list[StoredFile]]]) -> None:
        """Report every picture. Raises BackendError if there is none, or one can't be had."""
        if not found:
            raise BackendError(
                "the prompt ended well at a mute ComfyUI, whose history names no picture of an output",
                code=ErrorCode.NO_IMAGE,
            )
        for node_id, files in found:
            self._attempts.expect(attempt, node_id, len(files))
        wanted = [(index, node_id, file) for node_id, files in found for index, file in enumerate(files)]
        wanted.sort(key=lambda one: one[0])  # set after set
        for first in range(0, len(wanted), _AT_ONCE):
            some = wanted[first : first + _AT_ONCE]
            got = await asyncio.gather(*(self._picture(file) for _, _, file in some), return_exceptions=True)
            for (_, node_id, _), picture in zip(some, got, strict=True):
                if isinstance(picture, BaseException):
                    raise picture
                self._attempts.picture(attempt, node_id, *picture, time.perf_counter())

    async def _picture(self, file: StoredFile) -> tuple[str, memoryview]:
        tries = 0
        while True:
            try:
                return await self._http.view(*file)
            except BackendGone:
                raise
            except BackendCut:
                tries += 1
                self._suspect()
                if tries >= _FETCHES:
                    raise
                await asyncio.sleep(0.2)

    # --- what prompts take ---------------------------------------------------------------------------------

    def _usual_s(self, attempt: Attempt) -> float | None:
        times = self._usual.get(attempt.shape)
        return min(times) if times else None

    def _learn(self, attempt: Attempt, took_s: float) -> None:
        times = self._usual.pop(attempt.shape, None)
        if times is None:
            times = deque(maxlen=_TIMES_KEPT)
            if len(self._usual) >= _KEYS_KEPT:
                del self._usual[next(iter(self._usual))]
        times.append(took_s)
        self._usual[attempt.shape] = times
