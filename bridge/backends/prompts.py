"""Posting prompts, and what /queue and /history say of those that stay silent.

Every attempt ends by one record, whatever ComfyUI and the network do: by its events, by the answer to its POST, by
`withdraw`, by what /queue and /history say of it, or, when nothing can be known any more, by `lose_all`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from bridge.backends.attempts import Attempt, Attempts
from bridge.backends.comfy_http import ComfyHttp, PromptAnswer
from bridge.backends.faults import BackendCut, BackendGone, WrongAnswer
from bridge.backends.polling import Polling
from bridge.backends.records import BackendRecord, ComfyLimits
from bridge.backends.refusals import history_failure, rejection
from bridge.backends.retirement import Retirement
from bridge.backends.tasks import TaskSet
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import AttemptLost
from bridge.workflow.nodes import OUTPUT_NODE

logger = logging.getLogger("bridge.backends")
_encode: Final = msgspec.json.Encoder().encode


class Verdict(Enum):
    """What a look at the queue says of the backend."""

    FINE = "fine"
    STUCK = "stuck"
    SILENT = "silent"
    """A prompt is over, and its socket didn't tell."""
    MUTE = "mute"
    """A prompt went well, and its socket told nothing of it at all."""


class Prompts:
    """The prompts of one backend."""

    def __init__(
        self,
        http: ComfyHttp,
        attempts: Attempts,
        limits: ComfyLimits,
        emit: Callable[[BackendRecord], None],
        suspect: Callable[[], None],
        break_off: Callable[[BackendError], None],
        doubt: Callable[[], None],
    ) -> None:
        self._http = http
        self._attempts = attempts
        self._limits = limits
        self._emit = emit
        self._suspect = suspect
        self._break_off = break_off
        self._doubt = doubt
        self.on_refused: Callable[[BackendError], bool] | None = None
        """Called with a refusal; True if the prompt may be tried again, bound anew."""
        self._client_id: str | None = None
        self._tasks = TaskSet()
        self._posts: dict[str, asyncio.Task[None]] = {}
        self._retirement = Retirement(http, attempts, limits, self._tasks, suspect)
        self._polling = Polling(http, attempts, self._tasks, suspect, self._retirement.lose)
        self._wrong_answers = 0
        self._idle_since: float | None = None
        attempts.on_out_of_memory = self._out_of_memory

    # --- commands: both return at once, and emit nothing before they have ---------------------------------

    def submit(
        self,
        number: int,
        prompt: Mapping[str, Any],
        output_nodes: Mapping[str, int],
        files: bool = False,
        preview_method: str = "",
    ) -> None:
        """Post a prompt; its attempt is known before the first byte leaves. Raises ValueError if `number` is live.

        `preview_method` is a word of ComfyUI's (since December 2025; older ones pass it over): what samplers show.
        """
        loop = asyncio.get_running_loop()
        if self._client_id is None:
            loop.call_soon(self._emit, AttemptLost(number))
            return
        now = time.perf_counter()
        prompt_id = str(uuid.uuid4())
        raw = any(prompt.get(node_id, {}).get("class_type") == OUTPUT_NODE for node_id in output_nodes)
        attempt = Attempt(number, prompt_id, dict(output_nodes), now, now, files=files, raw=raw)
        if files:
            attempt.shape = prompt_shape(prompt)
        self._attempts.add(attempt)
        try:
            more = {"extra_data": {"preview_method": preview_method}} if preview_method else {}
            body = _encode({"prompt": prompt, "client_id": self._client_id, "prompt_id": prompt_id, **more})
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            refused = BackendError(f"prompt can't be written as JSON: {error}", code=ErrorCode.PROMPT_REJECTED)
            attempt.posting = False
            loop.call_soon(self._attempts.refuse, attempt, refused, False)
            return
        self._posts[prompt_id] = self._tasks.spawn(self._post(attempt, body))

    def withdraw(self, number: int) -> None:
        """Get an attempt out of the way; its pictures are dropped from now on. Unknown or ended ones are ignored."""
        attempt = self._attempts.get(number)
        if attempt is None or attempt.withdrawn:
            return
        attempt.withdrawn = True
        if not attempt.posting:
            self._retirement.begin(attempt)

    # --- the socket comes and goes -------------------------------------------------------------------------

    def go_blind(self) -> None:
        """The socket is gone: no event will come for what was posted under its client id."""
        self._client_id = None
        self._retirement.online = False
        self._attempts.forget_names()
        for attempt in self._attempts.live():
            attempt.blind = not attempt.files

    async def recover(self, client_id: str) -> None:
        """A socket is there under a new `client_id`: find out what became of older prompts. Raises BackendError."""
        self._client_id = client_id
        self._retirement.online = True
        blind = [attempt for attempt in self._attempts.live() if attempt.blind]
        for attempt in blind:
            post = self._posts.get(attempt.prompt_id)
            if post is not None:
                post.cancel()
        await self._retirement.recover(blind)

    def lose_all(self) -> None:
        """Nothing can be known any more: every attempt is lost, and removed from ComfyUI should it come back."""
        for post in list(self._posts.values()):
            post.cancel()
        for attempt in self._attempts.live():
            self._retirement.lose(attempt)

    async def clear(self) -> None:
        """Take everything of ours off ComfyUI, as far as it answers. The attempts stay as they are."""
        await self._retirement.clear()

    async def close(self) -> None:
        """End all tasks; afterwards every attempt is settled."""
        self.go_blind()
        await self._tasks.close()
        self.lose_all()

    # --- posting -------------------------------------------------------------------------------------------

    async def _post(self, attempt: Attempt, body: bytes) -> None:
        try:
            if attempt.withdrawn:
                self._attempts.withdraw(attempt)
                return
            await self._post_and_read(attempt, body)
        except Exception:
            logger.exception("post of attempt %d failed", attempt.number)
            self._retirement.lose(attempt)
        finally:
            attempt.posting = False
            self._posts.pop(attempt.prompt_id, None)
        self._attempts.end_if_over(attempt)
        if attempt in self._attempts and (attempt.withdrawn or attempt.blind):
            self._retirement.begin(attempt)
        elif attempt in self._attempts and attempt.files:
            self._polling.wake()

    async def _post_and_read(self, attempt: Attempt, body: bytes) -> None:
        try:
            answer = await self._http.post_prompt(body)
        except BackendGone:
            self._suspect()
            self._retirement.lose(attempt)
        except BackendCut:
            self._suspect()
            await self._clarify(attempt, None)
        except WrongAnswer as error:
            await self._clarify(attempt, error)
        except BackendError as error:
            self._suspect()
            self._attempts.refuse(attempt, error, False)
        else:
            self._wrong_answers = 0
            self._answered(attempt, answer)

    def _answered(self, attempt: Attempt, answer: PromptAnswer) -> None:
        refused = rejection(answer.status, answer.content)
        if refused is None:
            named = answer.content.get("prompt_id")
            if isinstance(named, str) and named != attempt.prompt_id and attempt in self._attempts:
                self._posts.pop(attempt.prompt_id, None)
                self._attempts.rename(attempt, named)
            attempt.heard_at = time.perf_counter()
            self._attempts.posted(attempt)
            return
        if answer.status == 200:  # the good output runs: get rid of it
            self._retirement.remove_orphan(attempt.prompt_id)
        # 409: the id was taken already, another will do; 429: later may do.
        retry = answer.status in (409, 429) or (self.on_refused is not None and self.on_refused(refused))
        self._attempts.refuse(attempt, refused, retry)

    async def _clarify(self, attempt: Attempt, wrong: WrongAnswer | None) -> None:
        """After a POST without a clear answer: does ComfyUI have it? If that can't be told now, `check` asks again."""
        try:
            place = await self._retirement.place(attempt.prompt_id)
        except BackendError:
            self._suspect()
            if wrong is None:
                return
            place = None
        if place is not None:
            self._attempts.posted(attempt)
        elif wrong is None:
            self._retirement.lose(attempt)
        else:
            self._wrong_answers += 1
            self._retirement.orphan(attempt.prompt_id)
            self._attempts.refuse(attempt, wrong, self._wrong_answers < self._limits.max_failures)
            if self._wrong_answers >= self._limits.max_failures:
                self._wrong_answers = 0
                self._break_off(wrong)

    def _out_of_memory(self, attempt: Attempt) -> None:
        self._tasks.spawn(self._free(attempt))

    async def _free(self, attempt: Attempt) -> None:
        """Free memory before the attempt is told as over: whoever tries again then finds it free.

        ComfyUI's worker acts on it after the prompt that runs, or when it is woken; only if nothing waits could a
        prompt that is posted at once be taken first.
        """
        try:
            await self._http.free()
            await asyncio.sleep(self._limits.free_pause_s)
            self._attempts.freed(time.perf_counter())
        except BackendError:
            self._suspect()
        finally:
            attempt.freeing = False
            self._attempts.end_if_over(attempt)

    # --- silence -------------------------------------------------------------------------------------------

    async def check(self) -> Verdict:
        """Look for attempts that have been silent too long, and settle those that are gone."""
        now = time.perf_counter()
        silent = [
            attempt
            for attempt in self._attempts.live()
            if not (attempt.posting or attempt.blind or attempt.retiring)
            and (now - attempt.heard_at >= self._limits.silence_s or not (attempt.taken or attempt.started))
        ]
        if not silent:
            self._idle_since = None
            return Verdict.FINE
        verdict = Verdict.FINE
        waiting = False
        try:
            queue = await self._http.queue()
            for attempt in silent:
                if attempt.prompt_id in queue.running or attempt.prompt_id in queue.pending:
                    attempt.missing = 0
                    waiting = waiting or attempt.prompt_id in queue.pending
                    self._attempts.posted(attempt)
                    continue
                if attempt.files:
                    continue  # polling finds its end
                entry = await self._http.history(attempt.prompt_id)
                if attempt in self._attempts and attempt.heard_at <= now:
                    told = self._out_of_queue(attempt, entry)
                    verdict = told if verdict is not Verdict.MUTE and told is not Verdict.FINE else verdict
        except BackendError:
            self._suspect()
            return Verdict.FINE
        if not waiting or queue.running:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= self._limits.stuck_after_s:
            self._idle_since = None
            return Verdict.STUCK
        return verdict

    def _out_of_queue(self, attempt: Attempt, entry: dict[str, Any] | None) -> Verdict:
        """Settle an attempt that is no longer in the queue, and judge its socket."""
        attempt.missing += 1
        if attempt.missing < 2:
            return Verdict.FINE  # its last events may be on their way
        failure = history_failure(entry) if entry is not None else None
        if failure is not None:
            self._attempts.fail(attempt, failure)
            return Verdict.FINE
        verdict = Verdict.FINE
        if entry is not None and not attempt.succeeded:
            verdict = Verdict.SILENT if attempt.started else Verdict.MUTE
            self._attempts.last_done = attempt.prompt_id
            self._doubt()  # first, or the scheduler would try again over this socket
        self._retirement.lose(attempt)
        return verdict


def prompt_shape(prompt: Mapping[str, Any]) -> Hashable:
    """What prompts that take about as long have in common: their nodes, and the inputs that make them long."""
    long = ("width", "height", "batch_size", "steps")
    return tuple(
        (node_id, *(str(node["inputs"].get(name)) for name in long if name in node["inputs"]))
        for node_id, node in prompt.items()
    )
