"""Runs one prompt after the other, with ComfyUI's events in ComfyUI's order. Belongs to one worker thread."""

from __future__ import annotations

import json
import logging
import random
import string
import struct
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, Protocol

from bridge.embedded.catalog import Answer, run_node
from bridge.embedded.files import FileStore
from bridge.embedded.job import InterruptedPromptError, Job
from bridge.embedded.order import Schedule, cache_keys, node_type_of
from bridge.embedded.prompts import QueuedPrompt
from bridge.embedded.validation import link_of

logger = logging.getLogger("bridge.embedded")

PREVIEW_IMAGE: Final = 1
TEXT: Final = 3
PREVIEW_IMAGE_WITH_METADATA: Final = 4
JPEG: Final = 1
PNG: Final = 2


class Outbound(Protocol):
    """The WebSocket side. `client_id` None means everybody. Thread-safe."""

    def send(self, event: str, data: Mapping[str, Any], client_id: str | None) -> None:
        """Queue a JSON event."""
        ...

    def send_bytes(self, data: bytes, client_id: str | None) -> None:
        """Queue a binary message, event number included."""
        ...

    def takes_metadata(self, client_id: str | None) -> bool:
        """Whether this client said `supports_preview_metadata` in its first message."""
        ...


@dataclass(slots=True)
class Result:
    """What goes into the history."""

    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    completed: bool = False


class Executor:
    """The worker's half of ComfyUI: a cache of the last prompt's results, and the run of the next.

    `client_id` and `last_node_id` tell who posted the running prompt and where it is: a client that connects anew
    is told the node. `interrupt` ends the running prompt at the next node or step.
    """

    def __init__(
        self,
        outbound: Outbound,
        files: FileStore,
        max_pixels: int,
        before_node: Callable[[str, str], None] | None = None,
    ) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.interrupt = Event()
        self.delay_s = 0.0
        self.files = files
        self.max_pixels = max_pixels
        self.before_node = before_node
        self.outbound = outbound
        self._preview_tags: dict[str, str] = {}
        self.cache: dict[str, Answer] = {}

    def forget(self) -> None:
        """Empty the cache."""
        self.cache.clear()

    def preview_tag(self, node_id: str) -> str:
        """Five letters in the file names of a node, the same as long as each prompt has that node."""
        return self._preview_tags.setdefault(node_id, "".join(random.choices(string.ascii_lowercase, k=5)))

    def run(self, prompt: QueuedPrompt) -> Result:
        """Run a prompt to its end; faults of nodes are in the result, not raised."""
        self.interrupt.clear()
        self._preview_tags = {node_id: tag for node_id, tag in self._preview_tags.items() if node_id in prompt.prompt}
        client_id = prompt.extra_data.get("client_id")
        self.client_id = client_id if isinstance(client_id, str) else None
        try:
            return _Run(self, prompt).run()
        finally:
            self.last_node_id = None


class _Run:
    """One prompt on its way through its nodes. It is also the Reporter of its nodes."""

    def __init__(self, executor: Executor, prompt: QueuedPrompt) -> None:
        self._executor = executor
        self._prompt = prompt
        self._client_id = executor.client_id
        self._keys = cache_keys(prompt.prompt, executor.files)
        self._values: dict[str, Answer] = {}
        self._executed: list[str] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._delayed = False
        self._stepping = 0
        """Nodes that spread the prompt's delay over their steps."""
        self._result = Result()

    def run(self) -> Result:
        executor, graph = self._executor, self._prompt.prompt
        self._message("execution_start", {})
        keep = set(self._keys.values())
        executor.cache = {key: answer for key, answer in executor.cache.items() if key in keep}
        cached = [node_id for node_id in graph if self._cached(node_id) is not None]
        self._message("execution_cached", {"nodes": cached})
        nodes = [node_id for node_id in graph if node_id not in cached]
        self._stepping = sum(node_type_of(graph, node_id).steps for node_id in nodes)
        self._delayed = self._stepping > 0
        schedule = Schedule(graph, self._prompt.outputs, lambda node_id: self._cached(node_id) is not None)
        for node_id in schedule:
            try:
                self._run_node(node_id)
            except InterruptedPromptError:
                self._end_interrupted(node_id)
                return self._result
            except Exception as error:  # noqa: BLE001 - a node may raise anything; it becomes execution_error
                self._end_failed(node_id, error)
                return self._result
        self._message("execution_success", {})
        self._result.completed = True
        return self._result

    # --- Reporter ---------------------------------------------------------------------------------------

    def progress(self, node_id: str, value: int, maximum: int, picture: bytes | None) -> None:
        self._check_interrupt()
        self._set_state(node_id, value, maximum, "running")
        outbound, metadata = self._executor.outbound, self._executor.outbound.takes_metadata(self._client_id)
        if picture is not None and metadata:
            outbound.send_bytes(self._described(node_id, picture), self._client_id)
        data = {"value": value, "max": maximum, "prompt_id": self._prompt.prompt_id, "node": node_id}
        outbound.send("progress", data, self._client_id)
        if picture is not None and not metadata:
            outbound.send_bytes(struct.pack(">II", PREVIEW_IMAGE, _format(picture)) + picture, self._client_id)

    def step(self, share: float) -> None:
        self._wait(share / max(1, self._stepping))

    def binary(self, message: bytes) -> None:
        self._check_interrupt()
        if self._client_id is not None:
            self._executor.outbound.send_bytes(message, self._client_id)

    def text(self, node_id: str, text: str) -> None:
        name = node_id.encode()
        message = struct.pack(">II", TEXT, len(name)) + name + text.encode()
        self._executor.outbound.send_bytes(message, self._client_id)

    # --- one node ---------------------------------------------------------------------------------------

    def _run_node(self, node_id: str) -> None:
        answer = self._cached(node_id)
        if answer is not None:
            self._delay()
            self._show(node_id, answer)
            if answer.ui is None:
                self._tell_executed(node_id, None)
            self._finish(node_id)
            return
        self._set_state(node_id, 0.0, 1.0, "running")
        if self._client_id is not None:
            self._executor.last_node_id = node_id
            data = {"node": node_id, "display_node": node_id, "prompt_id": self._prompt.prompt_id}
            self._executor.outbound.send("executing", data, self._client_id)
        self._check_interrupt()
        self._delay()
        executor = self._executor
        if executor.before_node is not None:
            executor.before_node(self._prompt.prompt_id, node_id)
        job = Job(
            node_id,
            self._prompt.prompt,
            self._prompt.extra_data,
            executor.files,
            self,
            executor.preview_tag(node_id),
            executor.max_pixels,
            self._prompt.prompt_id,
        )
        answer = run_node(node_type_of(self._prompt.prompt, node_id), job, self._inputs(node_id))
        self._values[node_id] = answer
        self._executed.append(node_id)
        if (key := self._keys[node_id]) is not None:
            executor.cache[key] = answer
        self._show(node_id, answer)
        self._finish(node_id)

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node_type = node_type_of(self._prompt.prompt, node_id)
        inputs: dict[str, Any] = {}
        for name, value in self._prompt.prompt[node_id]["inputs"].items():
            if (link := link_of(value)) is not None:
                source = self._values.get(link[0]) or self._cached(link[0])
                assert source is not None
                inputs[name] = source.values[link[1]]
            elif node_type.input_spec(name) is not None:
                inputs[name] = value
        return inputs

    def _cached(self, node_id: str) -> Answer | None:
        key = self._keys.get(node_id)
        return None if key is None else self._executor.cache.get(key)

    def _check_interrupt(self) -> None:
        if self._executor.interrupt.is_set():
            self._executor.interrupt.clear()
            raise InterruptedPromptError

    def _delay(self) -> None:
        """Once in each prompt, a fully cached one included: time as a model would take it."""
        if not self._delayed:
            self._delayed = True
            self._wait(1.0)

    def _wait(self, share: float) -> None:
        delay_s = self._executor.delay_s * share
        if delay_s > 0 and self._executor.interrupt.wait(delay_s):
            self._check_interrupt()

    # --- what is told -----------------------------------------------------------------------------------

    def _message(self, event: str, data: dict[str, Any], broadcast: bool = False) -> None:
        """An event of the prompt: sent to its client if it has one, and kept for the history."""
        data = {**data, "prompt_id": self._prompt.prompt_id, "timestamp": int(time.time() * 1000)}
        self._result.messages.append((event, data))
        if self._client_id is not None or broadcast:
            self._executor.outbound.send(event, data, self._client_id)

    def _set_state(self, node_id: str, value: float, maximum: float, state: str) -> None:
        prompt_id = self._prompt.prompt_id
        self._states[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self._executor.outbound.send("progress_state", {"prompt_id": prompt_id, "nodes": self._states}, self._client_id)

    def _finish(self, node_id: str) -> None:
        maximum = self._states[node_id]["max"] if node_id in self._states else 1
        self._set_state(node_id, maximum, maximum, "finished")

    def _show(self, node_id: str, answer: Answer) -> None:
        if answer.ui is None:
            return
        self._result.outputs[node_id] = dict(answer.ui)
        self._result.meta[node_id] = {
            "node_id": node_id,
            "display_node": node_id,
            "parent_node": None,
            "real_node_id": node_id,
        }
        self._tell_executed(node_id, dict(answer.ui))

    def _tell_executed(self, node_id: str, output: dict[str, Any] | None) -> None:
        if self._client_id is not None:
            data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": self._prompt.prompt_id}
            self._executor.outbound.send("executed", data, self._client_id)

    def _described(self, node_id: str, picture: bytes) -> bytes:
        description = {
            "node_id": node_id,
            "prompt_id": self._prompt.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
            "image_type": "image/png" if _format(picture) == PNG else "image/jpeg",
        }
        header = json.dumps(description).encode()
        return struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(header)) + header + picture

    def _end_interrupted(self, node_id: str) -> None:
        data = {"node_id": node_id, "node_type": self._prompt.prompt[node_id]["class_type"]}
        self._message("execution_interrupted", {**data, "executed": list(self._executed)}, broadcast=True)

    def _end_failed(self, node_id: str, error: Exception) -> None:
        logger.debug("node %s of prompt %s failed: %s", node_id, self._prompt.prompt_id, error)
        kind = type(error)
        data = {
            "node_id": node_id,
            "node_type": self._prompt.prompt[node_id]["class_type"],
            "executed": list(self._executed),
            "exception_message": f"{error}\n",
            "exception_type": kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}",
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {name: [_plain(value)] for name, value in self._safe_inputs(node_id).items()},
            "current_outputs": list(self._prompt.prompt),
        }
        self._message("execution_error", data)

    def _safe_inputs(self, node_id: str) -> dict[str, Any]:
        try:
            return self._inputs(node_id)
        except IndexError:
            return {}


def _format(picture: bytes) -> int:
    return PNG if picture.startswith(b"\x89PNG") else JPEG


def _plain(value: Any) -> Any:
    """A value for an error report: what JSON knows as it is, an array as text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
