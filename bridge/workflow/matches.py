"""Which node of an edited graph is which node of the old one: ids may have changed, titles and links tell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from bridge.workflow.template import Graph, Link, Node

ROUNDS: Final = 4
"""How many links far the neighbourhood is compared."""


def match_nodes(old: Graph, new: Graph) -> dict[str, str]:
    """Old node id -> new node id, for every node that is found again.

    Only nodes of one class match. In this order: a title that is the only one of its kind in both graphs; the same
    neighbourhood, the widest first; the same id; the only one of its class; the same order.
    """
    matcher = _Matcher(old, new)
    matcher.by(lambda _, node: (node.class_type, node.title) if node.title else None)
    for radius in range(ROUNDS, 0, -1):
        before, after = _signatures(old, radius), _signatures(new, radius)
        matcher.by_look(before, after)
    matcher.by(lambda _, node: (node.class_type, node.id))
    matcher.by(lambda _, node: node.class_type)
    matcher.in_order()
    return matcher.found


class _Matcher:
    def __init__(self, old: Graph, new: Graph) -> None:
        self.old = old
        self.new = new
        self.found: dict[str, str] = {}
        self.used: set[str] = set()

    def by(self, key: Callable[[Graph, Node], Hashable | None]) -> None:
        """Match nodes whose key only they have, in both graphs."""
        before, after = self._groups(self.old, key), self._groups(self.new, key)
        for word, nodes in before.items():
            others = after.get(word, [])
            if len(nodes) == len(others) == 1 and nodes[0].class_type == others[0].class_type:
                self._match(nodes[0].id, others[0].id)

    def by_look(self, before: Mapping[str, Hashable], after: Mapping[str, Hashable]) -> None:
        """Match nodes that alone look as they do, then those that look like others but kept their id."""
        self.by(lambda graph, node: (before if graph is self.old else after)[node.id])
        for node_id, signature in before.items():
            if node_id not in self.found and node_id not in self.used and after.get(node_id) == signature:
                self._match(node_id, node_id)

    def in_order(self) -> None:
        """Match what is left of each class by its place in the file, where both graphs have as many."""
        before = self._groups(self.old, lambda _, node: node.class_type)
        after = self._groups(self.new, lambda _, node: node.class_type)
        for word, nodes in before.items():
            if len(nodes) == len(after.get(word, [])):
                for node, other in zip(nodes, after[word], strict=True):
                    self._match(node.id, other.id)

    def _groups(self, graph: Graph, key: Callable[[Graph, Node], Hashable | None]) -> dict[Hashable, list[Node]]:
        known = self.found if graph is self.old else self.used
        groups: dict[Hashable, list[Node]] = {}
        for node in graph.nodes.values():
            word = key(graph, node) if node.id not in known else None
            if word is not None:
                groups.setdefault(word, []).append(node)
        return groups

    def _match(self, old_id: str, new_id: str) -> None:
        self.found[old_id] = new_id
        self.used.add(new_id)


def _signatures(graph: Graph, radius: int) -> dict[str, Hashable]:
    """What a node looks like from outside: its class, and what it is linked to, so many links far."""
    users: dict[str, list[tuple[str, int, str]]] = {node_id: [] for node_id in graph.nodes}
    for node in graph.nodes.values():
        for name, link in node.links().items():
            users[link.node_id].append((name, link.slot, node.id))
    signs: dict[str, Hashable] = {node.id: node.class_type for node in graph.nodes.values()}
    for _ in range(radius):
        signs = {node.id: _sign(node, users[node.id], signs) for node in graph.nodes.values()}
    return signs


def _sign(node: Node, users: list[tuple[str, int, str]], signs: Mapping[str, Hashable]) -> Hashable:
    feeds = sorted((name, slot, hash(signs[user])) for name, slot, user in users)
    takes = sorted(
        (name, value.slot, hash(signs[value.node_id])) for name, value in node.inputs.items() if isinstance(value, Link)
    )
    return (node.class_type, tuple(feeds), tuple(takes))
