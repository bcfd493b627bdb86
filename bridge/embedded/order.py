"""Which nodes of a prompt run, and in which order; and the key under which a result is cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bridge.embedded.catalog import CATALOG, NodeType
from bridge.embedded.files import FileStore
from bridge.embedded.validation import link_of


def node_type_of(prompt: Mapping[str, Any], node_id: str) -> NodeType:
    """The type of a node of a validated prompt."""
    return CATALOG[prompt[node_id]["class_type"]]


def sources_of(prompt: Mapping[str, Any], node_id: str) -> list[str]:
    """The nodes that a node takes its inputs from, in the order of the inputs."""
    inputs = prompt[node_id].get("inputs", {})
    links = (link_of(value) for value in inputs.values())
    return [link[0] for link in links if link is not None]


class Schedule:
    """Hands out the nodes of a prompt one by one, each after those that it needs.

    Seen in a real ComfyUI: of the nodes that are ready, an output goes first, then one that feeds an output, then
    one that feeds such a node, then the first; nodes are found from the outputs, the last input first.
    """

    def __init__(self, prompt: Mapping[str, Any], outputs: tuple[str, ...], is_cached: Callable[[str], bool]) -> None:
        self._is_output = {node_id: node_type_of(prompt, node_id).is_output for node_id in prompt}
        self._waits_for: dict[str, set[str]] = {}
        self._feeds: dict[str, list[str]] = {}
        for output in outputs:
            waiting = [output]
            while waiting:
                node_id = waiting.pop()
                if node_id in self._waits_for:
                    continue
                sources = [source for source in sources_of(prompt, node_id) if not is_cached(source)]
                self._waits_for[node_id] = set(sources)
                for source in sources:
                    self._feeds.setdefault(source, []).append(node_id)
                waiting += sources

    def __iter__(self) -> Iterator[str]:
        while self._waits_for:
            node_id = self._pick([node for node, sources in self._waits_for.items() if not sources])
            yield node_id
            del self._waits_for[node_id]
            for fed in self._feeds.pop(node_id, ()):
                self._waits_for[fed].discard(node_id)

    def _pick(self, ready: list[str]) -> str:
        """The next of the nodes that are ready. Raises IndexError when there is none: a cycle."""
        near: list[str] = []
        for node_id in ready:
            if self._is_output[node_id]:
                return node_id
        for node_id in ready:
            fed = self._feeds.get(node_id, ())
            if any(self._is_output[target] for target in fed):
                return node_id
            if any(self._is_output[far] for target in fed for far in self._feeds.get(target, ())):
                near.append(node_id)
        return (near or ready)[0]


def cache_keys(prompt: Mapping[str, Any], files: FileStore) -> dict[str, str | None]:
    """For each node of a prompt the key of its result: equal keys, equal results. None: never cached.

    A key covers the class, the literal inputs and what a file holds, of the node and of all before it, and how these
    hang together, but no node ids: a renumbered graph finds its results again. As in ComfyUI one node that is used
    twice and two equal nodes make different keys for what follows them.
    """
    return {node_id: _key(prompt, node_id, files) for node_id in prompt}


def _key(prompt: Mapping[str, Any], node_id: str, files: FileStore) -> str | None:
    numbers: dict[str, int] = {}
    parts: list[Any] = []
    waiting = [node_id]
    while waiting:
        current = waiting.pop()
        if current in numbers:
            continue
        if current not in prompt or node_type_of(prompt, current).fresh:
            return None
        numbers[current] = len(numbers)
        waiting += reversed([link[0] for _, link in _links(prompt, current)])
    for current in numbers:
        node_type, inputs = node_type_of(prompt, current), prompt[current].get("inputs", {})
        links = [(name, numbers[link[0]], link[1]) for name, link in _links(prompt, current)]
        literals = [(name, value) for name, value in sorted(inputs.items()) if link_of(value) is None]
        part: list[Any] = [node_type.name, links, literals, current if node_type.named else None]
        if node_type.fingerprint is not None and all(name in inputs for name in node_type.checked):
            part.append(node_type.fingerprint(files, inputs))
        parts.append(part)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _links(prompt: Mapping[str, Any], node_id: str) -> list[tuple[str, tuple[str, int]]]:
    """The inputs of a node that are links, by name."""
    inputs = prompt[node_id].get("inputs", {})
    return sorted((name, link) for name, value in inputs.items() if (link := link_of(value)) is not None)
