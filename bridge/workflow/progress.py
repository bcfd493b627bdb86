"""How far a prompt is, 0..1: its nodes and their steps, each weighted by the time that it took in earlier prompts.

A prompt's work is what has to run: nodes that ComfyUI has in its cache are done before it begins and add nothing. A
node counts for as long as it took lately; one whose time is not known yet for a guess: its `steps`, if it has such an
input, count for a fifth of a second each, any other node for a twentieth of a second. So a sampler gets most of the
way even in the first run, and its real part from the second on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.workflow.template import Prompt

STEP_S: Final = 0.2
NODE_S: Final = 0.05
REMEMBERED: Final = 5
"""The median of so many times counts: a first one, in which a model was read, is soon forgotten."""

STEPS_INPUT: Final = "steps"


class NodeTimes:
    """What the nodes of one workflow took lately, by node id, in seconds of the caller's clock.

    A node that has an input `steps` is remembered by the step, so that another number of them is told right.
    """

    def __init__(self) -> None:
        self._times: dict[str, deque[tuple[float, float]]] = {}
        """Seconds of a run and of a step, by node."""
        self._medians: dict[str, tuple[float, float]] = {}
        self._needed: set[str] | None = None

    def needed(self, prompt: Prompt, output_nodes: Iterable[str]) -> set[str]:
        """The nodes that these outputs need; all prompts of a workflow have the same."""
        if self._needed is None:
            self._needed = _needed(prompt, output_nodes)
        return self._needed

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._times

    def learn(self, node_id: str, seconds: float, steps: float = 1.0) -> None:
        """A node ran for so long, over so many steps."""
        seconds = max(0.0, seconds)
        took = self._times.setdefault(node_id, deque(maxlen=REMEMBERED))
        took.append((seconds, seconds / max(1.0, steps)))
        middle = len(took) // 2
        self._medians[node_id] = (sorted(each[0] for each in took)[middle], sorted(each[1] for each in took)[middle])

    def weight(self, node_id: str, steps: float | None) -> float:
        """How long a node is expected to take; `steps` is its input of that name, None if it has none."""
        took = self._medians.get(node_id)
        if took is None:
            return NODE_S if steps is None else STEP_S * max(1.0, steps)
        return took[0] if steps is None else took[1] * max(1.0, steps)


@dataclass(slots=True)
class _Node:
    weight: float
    steps: float | None
    done: float = 0.0
    began_at: float | None = None
    over: bool = False


@dataclass(slots=True)
class PromptProgress:
    """One prompt on its way. `share` never falls, whatever ComfyUI says and in whichever order."""

    prompt: Prompt
    output_nodes: frozenset[str]
    times: NodeTimes
    last: str = ""
    """The node that began last."""
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)
    _share: float = 0.0
    _done_are_told: bool = False
    """ComfyUI says itself which nodes are done, so several may run beside each other."""

    @classmethod
    def of(cls, prompt: Prompt, output_nodes: Iterable[str], times: NodeTimes) -> PromptProgress:
        """The progress of a bound prompt: the nodes that its outputs need, and those that ran in earlier prompts."""
        progress = cls(prompt, frozenset(output_nodes), times)
        needed = times.needed(prompt, output_nodes)
        for node_id, entry in prompt.items():
            if node_id in needed or node_id in times:
                progress._nodes[node_id] = _node(entry, node_id, times)
        return progress

    def cached(self, node_ids: Iterable[str]) -> None:
        """These won't run: there is nothing to do for them."""
        for node_id in node_ids:
            node = self._known(node_id)
            if node is not None:
                node.over, node.weight = True, 0.0

    @property
    def makes_nothing_new(self) -> bool:
        """Everything but the outputs is in ComfyUI's cache: the pictures are those of an earlier prompt."""
        return all(node.over or node_id in self.output_nodes for node_id, node in self._nodes.items())

    def began(self, node_id: str, now: float) -> None:
        """A node runs. Those that ran before are over, unless ComfyUI tells that itself (`finished`)."""
        node = self._known(node_id)
        if node is None or node.over:
            return
        if not self._done_are_told:
            self._finish([other for other in self._running if other != node_id], now)
            self._running.clear()
        if node.began_at is None:
            node.began_at = now
        self._running.append(node_id)
        self.last = node_id

    def step(self, node_id: str, value: float, maximum: float) -> None:
        """A node has done `value` of `maximum` steps; one that goes over several pictures may begin anew."""
        node = self._known(node_id)
        if node is not None and not node.over and maximum > 0:
            node.done = max(node.done, min(max(value / maximum, 0.0), 1.0))
            if node.steps is not None:
                node.steps = maximum

    def finished(self, node_ids: Iterable[str], now: float) -> None:
        """ComfyUI says that these are done."""
        self._done_are_told = True
        self._finish(list(node_ids), now)

    def end(self, now: float) -> None:
        """The prompt went well and is over: what still runs is done, and the share is 1."""
        self._finish(list(self._nodes), now)
        self._share = 1.0

    def _finish(self, node_ids: list[str], now: float) -> None:
        for node_id in node_ids:
            node = self._nodes.get(node_id)
            if node is None or node.over:
                continue
            node.over, node.done = True, 1.0
            if node.began_at is not None:
                self.times.learn(node_id, now - node.began_at, node.steps or 1.0)

    def _known(self, node_id: str) -> _Node | None:
        """A node of the prompt, also one that no output of ours needs; None for what turned up while it ran."""
        node = self._nodes.get(node_id)
        if node is None and (entry := self.prompt.get(node_id)) is not None:
            node = self._nodes[node_id] = _node(entry, node_id, self.times)
        return node

    @property
    def share(self) -> float:
        """How far it is, 0..1: never less than when it was asked before."""
        whole = sum(node.weight for node in self._nodes.values())
        if whole > 0:
            done = sum(node.weight * node.done for node in self._nodes.values())
            self._share = max(self._share, min(done / whole, 1.0))
        return self._share


def _needed(prompt: Prompt, output_nodes: Iterable[str]) -> set[str]:
    """The outputs and everything before them."""
    needed: set[str] = set()
    waiting = [node_id for node_id in output_nodes if node_id in prompt]
    while waiting:
        node_id = waiting.pop()
        if node_id in needed:
            continue
        needed.add(node_id)
        for value in _inputs(prompt[node_id]).values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in prompt:
                waiting.append(value[0])
    return needed


def _node(entry: Mapping[str, Any], node_id: str, times: NodeTimes) -> _Node:
    steps = _inputs(entry).get(STEPS_INPUT)
    if isinstance(steps, bool) or not isinstance(steps, int | float) or steps < 1:
        return _Node(times.weight(node_id, None), None)
    return _Node(times.weight(node_id, float(steps)), float(steps))


def _inputs(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = entry.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}
