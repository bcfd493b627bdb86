"""A ComfyUI graph in API format: bytes in, a checked `Graph` out.

The API format is a JSON map of node id -> {class_type, inputs, _meta: {title}}. An input is a scalar, or a link
`[node id, output slot]`. What is refused here is wrong whatever nodes a ComfyUI has: broken JSON, a UI-format export,
links to nowhere, cycles. What depends on the nodes themselves is in `check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from bridge.errors import WorkflowError

MAX_TEMPLATE_BYTES: Final = 8 * 1024 * 1024
MAX_TEMPLATE_DEPTH: Final = 16
MAX_NODES: Final = 4096

Scalar: TypeAlias = str | int | float | bool | None
Prompt: TypeAlias = dict[str, dict[str, Any]]

EXPORT_HINT: Final = (
    "in ComfyUI choose Workflow > Export (API) and use that file (in older versions: Settings > enable dev mode "
    "options, then Save (API Format))"
)


class Link(NamedTuple):
    """Where a linked input comes from: a node's id and the number of its output."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph. `inputs` holds scalars and `Link`s; `title` is "" where the file has none."""

    id: str
    class_type: str
    title: str
    inputs: Mapping[str, Scalar | Link]

    @property
    def words(self) -> str:
        """How messages name the node, e.g. `node 3 "Soften" (ImageBlur)`."""
        title = f' "{self.title}"' if self.title and self.title != self.class_type else ""
        return f"node {self.id}{title} ({self.class_type})"

    def scalars(self) -> dict[str, Scalar]:
        """The inputs that are values, by name."""
        return {name: value for name, value in self.inputs.items() if not isinstance(value, Link)}

    def links(self) -> dict[str, Link]:
        """The inputs that come from another node, by name."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole graph, nodes in the order of the file. Never changed once made."""

    nodes: Mapping[str, Node]

    def prompt(self) -> Prompt:
        """A fresh map as POST /prompt takes it; `_meta.title` is kept, so that ComfyUI's errors can name nodes."""
        return {node_id: _node_to_json(node) for node_id, node in self.nodes.items()}

    def class_types(self) -> frozenset[str]:
        """Every `class_type` that a ComfyUI must have to run this."""
        return frozenset(node.class_type for node in self.nodes.values())


def parse_template(data: bytes) -> Graph:
    """Parse `workflow_api.json`.

    Raises:
        WorkflowError: not UTF-8 JSON, over `MAX_TEMPLATE_BYTES`, deeper than `MAX_TEMPLATE_DEPTH`, more than
            `MAX_NODES` nodes, NaN or Infinity, a key given twice, an export in UI format, a malformed node,
            a link to a node that isn't there, or a cycle. `problems` has one line for each.
    """
    document = parse_json(data, MAX_TEMPLATE_DEPTH)
    _refuse_other_formats(document)
    problems: list[str] = []
    nodes: dict[str, Node] = {}
    for node_id, entry in document.items():
        node = _parse_node(node_id, entry, problems)
        if node is not None:
            nodes[node_id] = node
    for node in nodes.values():
        problems.extend(_link_problems(node, document))
    if problems:
        raise WorkflowError("the graph is not a usable API-format workflow:", tuple(problems))
    cycle = _find_cycle(nodes)
    if cycle:
        steps = " -> ".join(cycle)
        raise WorkflowError("the graph has a cycle:", (f"cycle: {steps}; a node can't feed itself: cut one link",))
    return Graph(nodes)


def parse_json(data: bytes, max_depth: int) -> dict[str, Any]:
    """A workflow file of any format as a JSON map.

    Raises:
        WorkflowError: over `MAX_TEMPLATE_BYTES`, not UTF-8 JSON, deeper than `max_depth`, NaN or Infinity, a key
            given twice, text that can't be encoded again, or no map.
    """
    if len(data) > MAX_TEMPLATE_BYTES:
        raise WorkflowError(f"the workflow file has {len(data)} bytes, more than {MAX_TEMPLATE_BYTES}")
    try:
        # Windows editors put a byte order mark in front: utf-8-sig takes it away.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowError(f"the workflow file is not UTF-8 text (byte {error.start})") from None
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_whole_number,
        )
    except RecursionError:
        raise WorkflowError(f"the workflow file is nested deeper than {max_depth} levels") from None
    except json.JSONDecodeError as error:
        raise WorkflowError(
            f"the workflow file is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        # An integer of more digits than Python converts.
        raise WorkflowError(f"the workflow file has a number that can't be read: {error}") from None
    _check_values(document, max_depth)
    if not isinstance(document, dict):
        raise WorkflowError(f"the workflow file holds a JSON {_json_type(document)}, not a map of nodes: {EXPORT_HINT}")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise WorkflowError(f"the workflow file has the key {key[:80]!r} twice in one map: keep one of them")
        result[key] = value
    return result


def _refuse_constant(word: str) -> NoReturn:
    raise WorkflowError(f"the workflow file has the number {word}, which is not JSON: give a finite number")


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise WorkflowError(f"the workflow file has the number {text[:40]}, which is too large: give a finite number")
    return value


def _whole_number(text: str) -> int:
    # Nothing on the wire carries more than 64 bits, and int() of thousands of digits is slow.
    value = int(text) if len(text) <= 20 else 2**64
    if not -(2**63) <= value < 2**64:
        raise WorkflowError(f"the workflow file has the number {text[:40]}, which is over 64 bits")
    return value


def _check_values(document: Any, max_depth: int) -> None:
    """Cap the depth and refuse text that can't be encoded again. Walks without recursion."""
    level = [document]
    for _ in range(max_depth):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list):
                following.extend(value)
            elif isinstance(value, str) and not _encodable(value):
                raise WorkflowError(f"the workflow file has a lone surrogate in the text {value[:40]!a}")
        if not following:
            return
        level = following
    raise WorkflowError(f"the workflow file is nested deeper than {max_depth} levels")


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, word in ((dict, "map"), (list, "list"), (str, "text")):
        if isinstance(value, kind):
            return word
    return "number"


def _refuse_other_formats(document: dict[str, Any]) -> None:
    if isinstance(document.get("nodes"), list) or isinstance(document.get("links"), list):
        raise WorkflowError(
            "this is ComfyUI's UI format (it has 'nodes' and 'links'), which ComfyUI itself can't run from a file: "
            "`texbridge workflows bind FILE` converts it; or " + EXPORT_HINT
        )
    inner = document.get("prompt")
    if isinstance(inner, dict) and "class_type" not in document:
        first = next(iter(inner.values()), None)
        if isinstance(first, dict) and "class_type" in first:
            raise WorkflowError("this is the body of POST /prompt: keep only the map that stands under 'prompt'")
    if not document:
        raise WorkflowError(f"the workflow file has no nodes: {EXPORT_HINT}")
    if len(document) > MAX_NODES:
        raise WorkflowError(f"the workflow has {len(document)} nodes, more than {MAX_NODES}")


def _parse_node(node_id: str, entry: Any, problems: list[str]) -> Node | None:
    if not isinstance(entry, dict):
        problems.append(f"node {node_id}: is a JSON {_json_type(entry)}, not a map with class_type and inputs")
        return None
    class_type = entry.get("class_type")
    if not isinstance(class_type, str) or not class_type:
        near = get_close_matches("class_type", [key for key in entry if key != "class_type"], 1, 0.6)
        hint = f" (it has {near[0]!r}: rename it)" if near else ""
        problems.append(f'node {node_id}: has no class_type{hint}; it names the node\'s class, e.g. "EmptyImage"')
        return None
    inputs = entry.get("inputs", {})
    if not isinstance(inputs, dict):
        problems.append(f"node {node_id} ({class_type}): inputs is a JSON {_json_type(inputs)}, not a map")
        return None
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    node = Node(node_id, class_type, title if isinstance(title, str) else "", {})
    parsed: dict[str, Scalar | Link] = {}
    for name, value in inputs.items():
        if isinstance(value, list):
            link = _parse_link(value)
            if link is None:
                problems.append(
                    f"{node.words}: input {name!r} is the list {_short(value)}; a list is a link and must be "
                    f'[node id as text, output number], e.g. ["4", 0]'
                )
            else:
                parsed[name] = link
        elif isinstance(value, dict):
            problems.append(f"{node.words}: input {name!r} is a map; an input is a value or a link")
        else:
            parsed[name] = value
    return Node(node_id, class_type, node.title, parsed)


def _parse_link(value: list[Any]) -> Link | None:
    if len(value) != 2 or not isinstance(value[0], str) or type(value[1]) is not int or value[1] < 0:
        return None
    return Link(value[0], value[1])


def _link_problems(node: Node, document: Mapping[str, Any]) -> Iterator[str]:
    for name, link in node.links().items():
        if link.node_id not in document:
            known = list(document)
            near = get_close_matches(link.node_id, known, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the nodes are {', '.join(known[:12])}"
            yield f"{node.words}: input {name!r} is linked to node {link.node_id!r}, which isn't there; {hint}"


def _find_cycle(nodes: Mapping[str, Node]) -> list[str]:
    """The node ids of one cycle, first and last the same, or an empty list. Iterative: graphs may be long chains."""
    done: set[str] = set()
    for start in nodes:
        if start in done:
            continue
        path = {start: iter(nodes[start].links().values())}
        while path:
            node_id = next(reversed(path))
            link = next(path[node_id], None)
            if link is None:
                del path[node_id]
                done.add(node_id)
            elif link.node_id in path:
                ids = list(path)
                # Links point upstream; turned round, the words follow the pictures.
                return [*ids[ids.index(link.node_id) :], link.node_id][::-1]
            elif link.node_id not in done:
                path[link.node_id] = iter(nodes[link.node_id].links().values())
    return []


def _node_to_json(node: Node) -> dict[str, Any]:
    inputs = {name: list(value) if isinstance(value, Link) else value for name, value in node.inputs.items()}
    entry: dict[str, Any] = {"class_type": node.class_type, "inputs": inputs}
    if node.title:
        entry["_meta"] = {"title": node.title}
    return entry


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
