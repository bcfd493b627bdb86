"""The prompt queue and the history, shared by the event loop and the worker thread."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from threading import Condition
from typing import Any, NamedTuple

Change = Callable[[int], None]


class QueuedPrompt(NamedTuple):
    """A prompt as `/queue` shows it. The lowest `number` runs first.

    Two with equal number and id can't be put in order: the comparison goes on to the prompts and raises TypeError,
    as in ComfyUI, whose worker thread ends that way.
    """

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: tuple[str, ...]


class PromptQueue:
    """Waiting and running prompts.

    `on_change(remaining)` is called after every change, in the caller's thread and with the lock held: it must not
    wait, nor call back.
    """

    def __init__(self, on_change: Change, limit: int = 10_000) -> None:
        self._on_change = on_change
        self._limit = limit
        self._waiting: list[QueuedPrompt] = []
        self._running: list[QueuedPrompt] = []
        self._forget = False
        self._closed = False
        self._taking = False
        self._changed = Condition()

    @property
    def remaining(self) -> int:
        """How many prompts wait or run."""
        with self._changed:
            return len(self._waiting) + len(self._running)

    def put(self, prompt: QueuedPrompt) -> None:
        """Add a prompt. Raises OverflowError when the queue is full, TypeError as `QueuedPrompt` says."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                raise OverflowError(f"{len(self._waiting)} prompts wait = limit {self._limit}")
            heapq.heappush(self._waiting, prompt)
            self._notify()

    def take(self) -> QueuedPrompt | None:
        """Wait for the next prompt and make it the running one. None when there is something else to do or it ends.

        Raises TypeError as `QueuedPrompt` says.
        """
        with self._changed:
            self._taking = True
            self._changed.wait_for(lambda: self._waiting or self._forget or self._closed)
            self._taking = False
            if self._closed or not self._waiting:
                return None
            prompt = heapq.heappop(self._waiting)
            self._running.append(prompt)
            self._notify()
            return prompt

    def finish(self, prompt: QueuedPrompt) -> None:
        """The running prompt is over."""
        with self._changed:
            self._running.remove(prompt)
            self._notify()

    def delete(self, prompt_id: str) -> bool:
        """Take a waiting prompt out; False if none has this id."""
        with self._changed:
            for index, prompt in enumerate(self._waiting):
                if prompt.prompt_id == prompt_id:
                    del self._waiting[index]
                    heapq.heapify(self._waiting)
                    self._notify()
                    return True
        return False

    def clear(self) -> None:
        """Take all waiting prompts out."""
        with self._changed:
            self._waiting.clear()
            self._notify()

    def is_running(self, prompt_id: str) -> bool:
        """Whether this prompt runs now."""
        with self._changed:
            return any(prompt.prompt_id == prompt_id for prompt in self._running)

    def snapshot(self) -> tuple[list[QueuedPrompt], list[QueuedPrompt]]:
        """Copies of the running and the waiting prompts, the latter in the heap's own order."""
        with self._changed:
            return list(self._running), list(self._waiting)

    def ask_to_forget(self) -> None:
        """Have the worker empty its cache when it is free next."""
        with self._changed:
            self._forget = True
            self._changed.notify_all()

    def must_forget(self) -> bool:
        """Whether the cache is to be emptied; asking takes the wish away."""
        with self._changed:
            wish, self._forget = self._forget, False
            return wish

    @property
    def resting(self) -> bool:
        """Whether the worker has nothing to do and waits."""
        with self._changed:
            return self._taking and not self._waiting and not self._forget

    @property
    def closed(self) -> bool:
        """Whether the worker has to end."""
        return self._closed

    def close(self) -> None:
        """Let the worker end after the prompt that it runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _notify(self) -> None:
        self._on_change(len(self._waiting) + len(self._running))
        self._changed.notify_all()


class History:
    """What became of finished prompts, the newest `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, dict[str, Any]] = {}
        self._lock = Condition()

    def add(self, prompt_id: str, entry: dict[str, Any]) -> None:
        """Keep an entry; a second prompt of the same id takes the place of the first."""
        with self._lock:
            while len(self._entries) >= self._limit:
                del self._entries[next(iter(self._entries))]
            self._entries[prompt_id] = entry

    def one(self, prompt_id: str) -> dict[str, Any]:
        """`{id: entry}`, or `{}`."""
        with self._lock:
            return {prompt_id: self._entries[prompt_id]} if prompt_id in self._entries else {}

    def some(self, max_items: int | None, offset: int) -> dict[str, Any]:
        """Up to `max_items` entries, oldest first, from `offset` on; a negative offset means the newest ones."""
        with self._lock:
            keys: Iterable[str] = list(self._entries)
            if max_items is not None and offset < 0:
                offset = len(self._entries) - max_items
            chosen = list(keys)[max(offset, 0) :]
            return {key: self._entries[key] for key in (chosen if max_items is None else chosen[:max_items])}

    def delete(self, prompt_id: str) -> None:
        """Forget one, if it is there."""
        with self._lock:
            self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
