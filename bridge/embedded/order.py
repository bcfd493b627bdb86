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

    A key covers the class, the literal inputs, what a file holds, and the keys of all nodes before it, but no node
    id, so that a renumbered graph finds its results again.
    """
    keys: dict[str, str | None] = {}
    for start in prompt:
        path = [start]
        opened: set[str] = set()
        while path:
            node_id = path[-1]
            if node_id in keys:
                path.pop()
                continue
            missing = [source for source in sources_of(prompt, node_id) if source in prompt and source not in keys]
            if missing and node_id not in opened:
                opened.add(node_id)
                path += missing
                continue
            keys[node_id] = None if missing else _key(prompt, node_id, keys, files)
            path.pop()
    return keys


def _key(prompt: Mapping[str, Any], node_id: str, keys: Mapping[str, str | None], files: FileStore) -> str | None:
    node_type = node_type_of(prompt, node_id)
    if node_type.fresh:
        return None
    inputs: list[Any] = []
    for name, value in sorted(prompt[node_id].get("inputs", {}).items()):
        if (link := link_of(value)) is None:
            inputs.append((name, value))
        elif (before := keys.get(link[0])) is None:
            return None
        else:
            inputs.append((name, [before, link[1]]))
    parts: list[Any] = [node_type.name, inputs, node_id if node_type.named else None]
    if node_type.fingerprint is not None and all(name in prompt[node_id]["inputs"] for name in node_type.checked):
        parts.append(node_type.fingerprint(files, prompt[node_id]["inputs"]))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
