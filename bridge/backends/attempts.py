"""The attempts that a backend holds, and what ComfyUI's events make of them: synchronous, no I/O.

Each attempt is settled once, by the record that ends it, and is unknown afterwards: whatever comes later for its
prompt is foreign. Pictures and ends are emitted from the same call that decoded the event, so their order is
ComfyUI's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge.backends.records import (
    BackendNodes,
    BackendPicture,
    BackendPreview,
    BackendProgress,
    BackendRecord,
    Counts,
)
from bridge.backends.refusals import execution_failure, interruption
from bridge.codec.comfy_events import (
    ComfyEvent,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    ImageEvent,
    ProgressEvent,
    ProgressState,
    StatusEvent,
    TextEvent,
    UnknownEvent,
)
from bridge.codec.node_events import NodeEvent, NodePicture
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptRefused,
    AttemptStarted,
    AttemptWithdrawn,
)
from bridge.workflow.nodes import OUTPUT_NODE

MOST_STRAYS: Final = 8


@dataclass(slots=True, eq=False)
class Attempt:
    """One prompt of ours. `heard_at` is when anything last came for it."""

    number: int
    prompt_id: str
    output_nodes: Mapping[str, int]
    posted_at: float
    heard_at: float
    posting: bool = True
    """The POST has no answer yet."""
    taken: bool = False
    """ComfyUI said 200, or showed it in its queue."""
    started: bool = False
    withdrawn: bool = False
    """Its result is not wanted."""
    blind: bool = False
    """Its socket is gone: no event will come."""
    succeeded: bool = False
    ended: bool = False
    """`executing null` came; only the POST's answer, or freed memory, is waited for."""
    freeing: bool = False
    retiring: bool = False
    """A task sees to it that it goes away."""
    missing: int = 0
    """How often in a row /queue didn't show it."""
    raw: bool = False
    """Its outputs are the node pack's."""
    files: bool = False
    """Its outputs write files: `Polling` follows it, whatever the socket says."""
    shape: Hashable = None
    """What prompts that take about as long have in common."""
    runs_since: float | None = None
    """When polling first saw it run."""
    error: BackendError | None = None
    pictures: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Nodes that ComfyUI said are finished."""
    strays: Counter[str] = field(default_factory=Counter)
    """What came while it ran and was no picture of it, in words."""


class Attempts:
    """All live attempts of one backend, by number and by prompt id."""

    def __init__(self, backend: str, emit: Callable[[BackendRecord], None], counts: Counts) -> None:
        self._backend = backend
        self._emit = emit
        self._counts = counts
        self._by_number: dict[int, Attempt] = {}
        self._by_prompt: dict[str, Attempt] = {}
        self._named: tuple[str | None, str | None] = (None, None)
        self._freed_at: float | None = None
        """When memory was freed and no prompt has gone well since."""
        self.silent_sockets = 0
        """Sockets in a row that said nothing of a prompt which the history knows as done."""
        self.last_done: str | None = None
        """The prompt that the history was last seen to know: a ComfyUI that doesn't was started anew."""
        self.on_voice: Callable[[], None] | None = None
        """Called when the socket speaks of a prompt of ours again."""
        self.on_file_end: Callable[[], None] | None = None
        self.on_node_failed: Callable[[str | None, str], bool] | None = None
        """Called with the class and the words of a node that failed; True if the prompt may be tried without it."""
        self.on_foreign_start: Callable[[str], None] | None = None
        self.on_out_of_memory: Callable[[Attempt], None] | None = None

    def __len__(self) -> int:
        return len(self._by_number)

    def __contains__(self, attempt: Attempt) -> bool:
        return self._by_number.get(attempt.number) is attempt

    def live(self) -> list[Attempt]:
        """All of them, oldest first."""
        return list(self._by_number.values())

    def get(self, number: int) -> Attempt | None:
        """The live attempt of this number."""
        return self._by_number.get(number)

    def add(self, attempt: Attempt) -> None:
        """Take a new one. Raises ValueError if the number is live already."""
        if attempt.number in self._by_number:
            raise ValueError(f"attempt {attempt.number} is already at backend {self._backend}")
        self._by_number[attempt.number] = attempt
        self._by_prompt[attempt.prompt_id] = attempt

    def rename(self, attempt: Attempt, prompt_id: str) -> None:
        """ComfyUI chose its own prompt id (an old version); one that another attempt has names nothing."""
        if prompt_id in self._by_prompt:
            return
        del self._by_prompt[attempt.prompt_id]
        attempt.prompt_id = prompt_id
        self._by_prompt[prompt_id] = attempt

    # --- what ends an attempt, or moves it on; each is ignored for one that is settled -----------------------

    def posted(self, attempt: Attempt) -> None:
        """ComfyUI has it."""
        if attempt in self and not attempt.taken:
            attempt.taken = True
            self._emit(AttemptPosted(attempt.number))

    def refuse(self, attempt: Attempt, error: BackendError, retry: bool) -> None:
        """ComfyUI doesn't have it."""
        if self._settle(attempt):
            self._emit(AttemptRefused(attempt.number, error, retry))

    def lose(self, attempt: Attempt) -> None:
        """No result will come, though one might have; all of it was seen if success was, then it has ended."""
        if attempt.succeeded or attempt.ended:
            self.end(attempt)
        elif self._settle(attempt):
            self._emit(AttemptLost(attempt.number))

    def end(self, attempt: Attempt, error: BackendError | None = None) -> None:
        """It ran, and is over; a withdrawn one ends without an error, that being what was asked for."""
        if attempt in self and error is None and not (attempt.pictures or attempt.files or attempt.blind):
            self._nothing_came(attempt)
        if self._settle(attempt):
            if attempt.error is None:
                attempt.error = error
            failed = None if attempt.withdrawn else attempt.error
            if failed is None:
                self._freed_at = None
            self._emit(AttemptEnded(attempt.number, failed))

    def _nothing_came(self, attempt: Attempt) -> None:
        """It is over without a picture, though each output sends one in every prompt: to end `done` would be a lie.

        One of the node pack's outputs has failed then, and the prompt may be tried without it.
        """
        if attempt.error is not None or attempt.withdrawn:
            return
        nodes = ", ".join(attempt.output_nodes)
        came = "; what came while it ran: " + ", ".join(
            f"{what} ({count} times)" if count > 1 else what for what, count in attempt.strays.items()
        )
        told = (
            f"ComfyUI says that the prompt went well, but its output nodes ({nodes}) sent no picture"
            f"{came if attempt.strays else ', and nothing else came in its place'}. Look at ComfyUI's log, and at what "
            "stands between it and this bridge"
        )
        attempt.error = BackendError(told, code=ErrorCode.NO_IMAGE)
        if attempt.raw and self.on_node_failed is not None:
            attempt.error.retry = self.on_node_failed(OUTPUT_NODE, told)

    def _stray(self, what: str) -> None:
        """Something came that is no picture of a prompt of ours: whichever runs now may have wanted it."""
        for attempt in self._by_number.values():
            if attempt.started and (what in attempt.strays or len(attempt.strays) < MOST_STRAYS):
                attempt.strays[what] += 1

    def withdraw(self, attempt: Attempt) -> None:
        """It is gone from the queue, and never ran."""
        if self._settle(attempt):
            self._emit(AttemptWithdrawn(attempt.number))

    def started(self, attempt: Attempt) -> None:
        """It runs."""
        if attempt in self and not attempt.started:
            attempt.started = True
            self._emit(AttemptStarted(attempt.number))

    def fail(self, attempt: Attempt, error: BackendError) -> None:
        """It ran, failed and is over; for want of memory, it ends when that has been freed.

        What the socket told already stands: memory is freed once, however often somebody looks meanwhile. But want of
        memory is a better reason than one that was a guess, such as a broken picture.
        """
        if attempt in self:
            attempt.ended = True
            known = attempt.error
            if known is None or (known.code is not error.code and error.code is ErrorCode.OUT_OF_MEMORY):
                self._failed(attempt, error)
            self.end_if_over(attempt)

    def freed(self, now: float) -> None:
        """Memory was freed: what began before may be tried again, what begins from now on had its chance."""
        self._freed_at = now

    def expect(self, attempt: Attempt, node_id: str, pictures: int) -> None:
        """So many pictures of an output node will come."""
        if attempt in self and not attempt.withdrawn:
            self._emit(BackendProgress(attempt.number, node_id, 0, pictures))

    def end_if_over(self, attempt: Attempt) -> None:
        """End it if `executing null` has come and nothing else is waited for."""
        if attempt.ended and not attempt.posting and not attempt.freeing:
            self.end(attempt)

    def _settle(self, attempt: Attempt) -> bool:
        if attempt not in self:
            return False
        del self._by_number[attempt.number]
        del self._by_prompt[attempt.prompt_id]
        return True

    # --- events --------------------------------------------------------------------------------------------

    def forget_names(self) -> None:
        """A new socket begins: what the last one named is void."""
        self._named = (None, None)

    def handle(self, event: ComfyEvent, now: float) -> None:
        """Do what one event of the socket means; `now` is when it came (`time.perf_counter`)."""
        if isinstance(event, ImageEvent):
            self._picture(event, now)
            return
        if isinstance(event, NodeEvent):
            self._node_picture(event, now)
            return
        if isinstance(event, StatusEvent):
            return
        if isinstance(event, UnknownEvent | TextEvent):
            if isinstance(event, UnknownEvent):
                self._counts.unknown += 1
                if isinstance(event.kind, int):
                    self._stray(f"a binary message of unknown type {event.kind:#010x}")
            return
        prompt_id = getattr(event, "prompt_id", None)
        if isinstance(event, ProgressEvent | Executing) and event.node is not None:
            self._named = (prompt_id, event.node)
        if prompt_id is None:
            return
        attempt = self._by_prompt.get(prompt_id)
        if attempt is None:
            if isinstance(event, ExecutionStart) and self.on_foreign_start is not None:
                self.on_foreign_start(prompt_id)
            return
        attempt.heard_at = now
        self.started(attempt)
        if self.silent_sockets:
            self.silent_sockets = 0
            if self.on_voice is not None:
                self.on_voice()
        if attempt.files:
            self._file_event(attempt, event)
            return
        attempt.missing = 0
        if isinstance(event, ProgressEvent):
            if not attempt.withdrawn and event.node is not None:
                self._emit(BackendProgress(attempt.number, event.node, event.value, event.max))
        elif isinstance(event, ProgressState):
            self._nodes_done(attempt, event)
        elif isinstance(event, ExecutionCached):
            if event.nodes and not attempt.withdrawn:
                self._emit(BackendNodes(attempt.number, cached=event.nodes))
        elif isinstance(event, Executing):
            if event.node is not None and not attempt.withdrawn:
                self._emit(BackendNodes(attempt.number, began=event.display_node or event.node))
            elif event.node is None:
                self._named = (None, None)
                attempt.ended = True
                self.end_if_over(attempt)
        elif isinstance(event, ExecutionSuccess):
            attempt.succeeded = True
        elif isinstance(event, ExecutionInterrupted):
            attempt.error = interruption()
        elif isinstance(event, ExecutionError):
            self._failed(attempt, execution_failure(event))

    def _nodes_done(self, attempt: Attempt, event: ProgressState) -> None:
        """Each state names all nodes that have begun: told is what is new in it."""
        done = attempt.done
        new = tuple(node for node, told in event.nodes.items() if told.state == "finished" and node not in done)
        if new and not attempt.withdrawn:
            done.update(new)
            self._emit(BackendNodes(attempt.number, done=new))

    def _file_event(self, attempt: Attempt, event: ComfyEvent) -> None:
        """The history has the last word on a prompt that writes files; the socket's end only says when to look."""
        if isinstance(event, Executing) and event.node is None and self.on_file_end is not None:
            self._named = (None, None)
            self.on_file_end()

    def _failed(self, attempt: Attempt, error: BackendError) -> None:
        attempt.error = error
        detail = error.detail if isinstance(error.detail, dict) else {}
        if error.code is ErrorCode.EXECUTION_FAILED and self.on_node_failed is not None:
            error.retry = self.on_node_failed(detail.get("class_type"), str(detail.get("message")))
        if error.code is ErrorCode.OUT_OF_MEMORY:
            error.retry = self._freed_at is None or attempt.posted_at < self._freed_at
            if self.on_out_of_memory is not None:
                attempt.freeing = True
                self.on_out_of_memory(attempt)

    def _picture(self, event: ImageEvent, now: float) -> None:
        prompt_id, node_id = event.prompt_id, event.node_id
        if prompt_id is None:  # type 1: what was named last is what it belongs to
            prompt_id, node_id = self._named
        attempt = self._by_prompt.get(prompt_id) if prompt_id is not None else None
        if attempt is None:
            self._counts.foreign += 1
            self._stray("a picture of another prompt" if prompt_id else "a picture that names no prompt")
            return
        attempt.heard_at = now
        if node_id is None or node_id not in attempt.output_nodes or attempt.files:
            self._counts.previews += 1
            self._stray(f"a picture of node {str(node_id)[:40]}, which is no output of it")
            if node_id is not None and not attempt.withdrawn:
                self._emit(BackendPreview(attempt.number, node_id, event.data, attempt.posted_at, now))
            return
        self.picture(attempt, node_id, event.image_format, event.data, now)

    def _node_picture(self, event: NodeEvent, now: float) -> None:
        attempt = self._by_prompt.get(event.prompt_id)
        if attempt is None or event.node_id not in attempt.output_nodes:
            self._counts.foreign += 1
            whose = "another prompt" if attempt is None else f"node {event.node_id[:40]}, which is no output of it"
            self._stray(f"a raw picture of {whose}")
            return
        attempt.heard_at = now
        if not event.index:
            self.expect(attempt, event.node_id, event.total)
        picture = NodePicture(event)
        file = picture.file
        self.picture(attempt, event.node_id, event.word, picture if file is None else file, now)

    def broken_picture(self, told: str) -> None:
        """A picture of the node pack can't be read: without it what runs would end `done` with nothing to show."""
        for attempt in self._by_number.values():
            if attempt.started and not attempt.files and attempt.error is None:
                detail = {"class_type": OUTPUT_NODE, "message": told}
                error = BackendError(f"a picture came broken: {told}", code=ErrorCode.EXECUTION_FAILED, detail=detail)
                self._failed(attempt, error)

    def picture(
        self, attempt: Attempt, node_id: str, image_format: str, data: memoryview | NodePicture, now: float
    ) -> None:
        """A picture of an output node is here: the next of its batch."""
        if attempt not in self:
            return
        if attempt.withdrawn:
            self._counts.unwanted += 1
            return
        index = attempt.pictures.get(node_id, 0)
        attempt.pictures[node_id] = index + 1
        self._counts.pictures += 1
        self._emit(
            BackendPicture(
                self._backend,
                attempt.number,
                node_id,
                attempt.output_nodes[node_id],
                index,
                image_format,
                data,
                attempt.posted_at,
                now,
            )
        )
