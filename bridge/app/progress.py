"""How far each request is, told to whoever listens: the steps of the node that runs, and the share of the whole.

`workflow/progress` weighs; here its times are kept for each workflow, and what is told is kept rare: at most every
50 ms of a request, the end of a node and of the request at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.app.records import Request
from bridge.backends.records import BackendNodes, BackendProgress
from bridge.workflow.progress import NodeTimes, PromptProgress
from bridge.workflow.workflow import BoundPrompt, Workflow

PROGRESS_EVERY_S: Final = 0.05

Tell: TypeAlias = Callable[[Request, float, float, str, float], None]
"""Called with the request, value and maximum of a node, the node's title, and the share of the whole."""


@dataclass(slots=True)
class _Told:
    """What was told of a request last. `share` is of all its attempts: it never falls."""

    at: float
    end: bool = False
    share: float = 0.0


class RequestProgress:
    """The progress of all requests that run. Times are seconds of `clock`."""

    def __init__(self, tell: Tell, clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._times: dict[str, tuple[str, NodeTimes]] = {}
        """By workflow: its digest, and what its nodes take."""
        self._attempts: dict[int, tuple[Request, PromptProgress]] = {}
        self._told: dict[tuple[int, int | None], _Told] = {}
        """By request, and by index for the frames of a sequence."""

    def begin(self, attempt: int, request: Request, bound: BoundPrompt) -> None:
        """A prompt goes out."""
        request.cached = False
        times = self._times_of(request.workflow)
        self._attempts[attempt] = (request, PromptProgress.of(bound.prompt, bound.output_nodes, times))
        self._told.setdefault((request.number, request.index), _Told(self._clock()))

    def _times_of(self, workflow: Workflow) -> NodeTimes:
        name, digest = workflow.spec.name, workflow.spec.digest
        known = self._times.get(name)
        if known is None or known[0] != digest:
            known = self._times[name] = (digest, NodeTimes())
        return known[1]

    def nodes(self, record: BackendNodes) -> None:
        """Nodes began, are done, or won't run."""
        known = self._attempts.get(record.attempt)
        if known is None:
            return
        request, progress = known
        if record.cached:
            progress.cached(record.cached)
            request.cached = progress.makes_nothing_new
        if record.done:
            progress.finished(record.done, self._clock())
        if record.began is not None:
            progress.began(record.began, self._clock())
            self._say(request, progress, 0, 1, record.began)

    def step(self, record: BackendProgress) -> None:
        """A node went a step further."""
        known = self._attempts.get(record.attempt)
        if known is None or record.maximum <= 0:
            return
        request, progress = known
        progress.step(record.node, record.value, record.maximum)
        self._say(request, progress, min(max(record.value, 0), record.maximum), record.maximum, record.node)

    def ended(self, attempt: int) -> None:
        """A prompt is over and went well: with its result the request is done to the whole."""
        known = self._attempts.pop(attempt, None)
        if known is None:
            return
        request, progress = known
        progress.end(self._clock())
        told = self._told.get((request.number, request.index))
        if not request.warm_up and told is not None:
            told.share = 1.0
            if request.index is not None:
                del self._told[request.number, request.index]
            self._tell(request, 1, 1, _title(progress, progress.last), 1.0)

    def forget(self, attempt: int) -> None:
        """A prompt doesn't count."""
        self._attempts.pop(attempt, None)

    def over(self, request: int) -> None:
        """A request has its answer: nothing more is told of it."""
        for told in [told for told in self._told if told[0] == request]:
            del self._told[told]

    def _say(self, request: Request, progress: PromptProgress, value: float, maximum: float, node: str) -> None:
        told = self._told.get((request.number, request.index))
        if told is None or request.warm_up:
            return
        now, end = self._clock(), value >= maximum
        # The end of a node is told at once, but not one end after the other: some nodes count to 1 for each tile.
        if now - told.at < PROGRESS_EVERY_S and (told.end or not end):
            return
        told.at, told.end, told.share = now, end, max(told.share, progress.share)
        self._tell(request, value, maximum, _title(progress, node), told.share)


def _title(progress: PromptProgress, node_id: str) -> str:
    """A node's title without its `@` words, else its id."""
    entry: Mapping[str, object] = progress.prompt.get(node_id, {})
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    words = [word for word in str(title or "").split() if not word.startswith("@")]
    return " ".join(words) or node_id
