"""A ComfyUI workflow as its editor saves it: bytes in, nodes, links and subgraphs out.

Only what a converter needs is read: positions, colours and groups are dropped. Nodes have their saved widget values
in a list without names; `widgets` puts names to them. Source: files that ComfyUI's editor saves (`version` 0.4 and
1): links as `[id, from node, from slot, to node, to slot, type]` or as maps, subgraphs under `definitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.errors import WorkflowError
from bridge.workflow.template import MAX_NODES, parse_json

MAX_UI_DEPTH: Final = 64
"""Editor extensions keep settings of their own in the file, deeply nested ones among them."""

MUTED: Final = 2
BYPASSED: Final = 4

INPUT_NODE: Final = "-10"
OUTPUT_NODE: Final = "-20"
"""Ids by which links inside a subgraph name its own inputs and outputs."""


@dataclass(frozen=True, slots=True)
class UiInput:
    """One input socket. `widget` is the name of the widget that it stands for, None for a link-only input."""

    name: str
    type: str
    link: int | None
    widget: str | None


@dataclass(frozen=True, slots=True)
class UiNode:
    """One node. `title` is "" where the user gave none; `mode` is 0, `MUTED`, `BYPASSED` or another of the editor's."""

    id: str
    type: str
    mode: int
    title: str
    inputs: tuple[UiInput, ...]
    outputs: tuple[str, ...]
    values: list[Any] | dict[str, Any]
    properties: Mapping[str, Any]
    order: int = 0

    @property
    def words(self) -> str:
        """How messages name it."""
        title = f' "{self.title}"' if self.title and self.title != self.type else ""
        return f"node {self.id}{title} ({self.type})"


@dataclass(frozen=True, slots=True)
class UiLink:
    """Where a link comes from, and where it goes."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: str


@dataclass(frozen=True, slots=True)
class UiPort:
    """An input or output of a subgraph, and the links inside that it has."""

    name: str
    type: str
    links: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UiGraph:
    """One level of nodes. `name`, `inputs` and `outputs` are a subgraph's."""

    nodes: Mapping[str, UiNode]
    links: Mapping[int, UiLink]
    name: str = ""
    inputs: tuple[UiPort, ...] = ()
    outputs: tuple[UiPort, ...] = ()


@dataclass(frozen=True, slots=True)
class UiFile:
    """A whole file: the outer graph, and its subgraphs by the id that nodes have as their type."""

    graph: UiGraph
    subgraphs: Mapping[str, UiGraph] = field(default_factory=dict)


def is_ui_format(data: bytes) -> bool:
    """Whether a file is in UI format; False for what isn't JSON at all, too.

    Raises nothing: the parser of the format says what is wrong.
    """
    try:
        document = parse_json(data, MAX_UI_DEPTH)
    except WorkflowError:
        return False
    return isinstance(document.get("nodes"), list)


def parse_ui_file(data: bytes) -> UiFile:
    """Parse a workflow in UI format.

    Raises:
        WorkflowError: see `parse_json`; malformed nodes or links, over 4,096 nodes. `problems` has one line each.
    """
    document = parse_json(data, MAX_UI_DEPTH)
    problems: list[str] = []
    if not isinstance(document.get("nodes"), list):
        raise WorkflowError("this is no workflow in ComfyUI's UI format: it has no list of nodes")
    graph = _graph(document, problems)
    subgraphs: dict[str, UiGraph] = {}
    definitions = document.get("definitions")
    for entry in _list(definitions.get("subgraphs")) if isinstance(definitions, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            subgraphs[entry["id"]] = _graph(entry, problems)
        else:
            problems.append("definitions: a subgraph has no id")
    count = len(graph.nodes) + sum(len(inner.nodes) for inner in subgraphs.values())
    if count > MAX_NODES:
        raise WorkflowError(f"the workflow has {count} nodes, more than {MAX_NODES}")
    if problems:
        raise WorkflowError("the file is not a usable UI-format workflow:", tuple(problems[:32]))
    return UiFile(graph, subgraphs)


def _graph(document: dict[str, Any], problems: list[str]) -> UiGraph:
    nodes: dict[str, UiNode] = {}
    for place, entry in enumerate(_list(document.get("nodes"))):
        node = _node(entry, place, problems)
        if node is not None and node.id in nodes:
            kinds = f"{nodes[node.id].type[:40]} and {node.type[:40]}"
            problems.append(f"nodes: id {node.id[:40]} twice ({kinds}); save the file anew in ComfyUI, or delete one")
        elif node is not None:
            nodes[node.id] = node
    links: dict[int, UiLink] = {}
    for entry in _list(document.get("links")):
        made = _link(entry)
        if made is None:
            problems.append(f"links: {str(entry)[:60]} is no link")
        else:
            links[made[0]] = made[1]
    name = document.get("name")
    ordered = dict(sorted(nodes.items(), key=lambda item: item[1].order))
    return UiGraph(
        ordered,
        links,
        name if isinstance(name, str) else "",
        tuple(_port(entry) for entry in _list(document.get("inputs")) if isinstance(entry, dict)),
        tuple(_port(entry) for entry in _list(document.get("outputs")) if isinstance(entry, dict)),
    )


def _node(entry: Any, place: int, problems: list[str]) -> UiNode | None:
    node_id = _id(entry.get("id")) if isinstance(entry, dict) else None
    if node_id is None or not isinstance(entry.get("type"), str):
        problems.append(f"nodes: entry {place} has no id or no type")
        return None
    values = entry.get("widgets_values")
    title, mode, order = entry.get("title"), entry.get("mode"), entry.get("order")
    return UiNode(
        id=node_id,
        type=entry["type"],
        mode=mode if type(mode) is int else 0,
        title=title if isinstance(title, str) else "",
        inputs=tuple(_input(slot) for slot in _list(entry.get("inputs")) if isinstance(slot, dict)),
        outputs=tuple(_word(slot.get("type")) for slot in _list(entry.get("outputs")) if isinstance(slot, dict)),
        values=values if isinstance(values, list | dict) else [],
        properties=entry["properties"] if isinstance(entry.get("properties"), dict) else {},
        order=order if type(order) is int else place,
    )


def _input(slot: dict[str, Any]) -> UiInput:
    link, widget = slot.get("link"), slot.get("widget")
    name = widget.get("name") if isinstance(widget, dict) else None
    return UiInput(
        name=slot["name"] if isinstance(slot.get("name"), str) else "",
        type=_word(slot.get("type")),
        link=link if type(link) is int else None,
        widget=name if isinstance(name, str) else None,
    )


def _port(entry: dict[str, Any]) -> UiPort:
    links = tuple(link for link in _list(entry.get("linkIds")) if type(link) is int)
    return UiPort(entry["name"] if isinstance(entry.get("name"), str) else "", _word(entry.get("type")), links)


def _link(entry: Any) -> tuple[int, UiLink] | None:
    if isinstance(entry, dict):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        entry = [entry.get(key) for key in keys]
    if not isinstance(entry, list) or len(entry) < 5 or type(entry[0]) is not int:
        return None
    origin, target = _id(entry[1]), _id(entry[3])
    if origin is None or target is None or type(entry[2]) is not int or type(entry[4]) is not int:
        return None
    return entry[0], UiLink(origin, entry[2], target, entry[4], _word(entry[5] if len(entry) > 5 else None))


def _id(value: Any) -> str | None:
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "COMBO" if isinstance(value, list) else "*"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
