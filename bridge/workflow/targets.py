"""From words to places in the graph: `3.blur_radius`, `title:Soften.blur_radius`, `@blur` on a node."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.workflow.names import nearest
from bridge.workflow.object_info import InputInfo, ObjectInfo
from bridge.workflow.template import Graph, Link, Node, Scalar
from bridge.workflow.titles import Title


@dataclass(frozen=True, slots=True)
class Target:
    """One input that a value is written to, the value it has now, and what object_info says of it (if anything)."""

    node: Node
    input: str
    value: Scalar
    info: InputInfo | None

    @property
    def words(self) -> str:
        """How messages name it, e.g. `node 3 "Soften" (ImageBlur) input 'sigma'`."""
        return f"{self.node.words} input {self.input!r}"


def find_node(graph: Graph, titles: dict[str, Title], text: str, where: str, problems: list[str]) -> Node | None:
    """The node that `7` or `title:Depth` names; a title may be given whole or without its `@` words."""
    if text.startswith("title:"):
        wanted = text[6:].strip()
        found = [node for node in graph.nodes.values() if wanted in (node.title, titles[node.id].label) and wanted]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(node.id for node in found)
            problems.append(f"{where}: nodes {ids} all have the title {wanted!r}; rename one, or use its id")
            return None
        known = [title.label for title in titles.values() if title.label]
        near = nearest(wanted, known)
        hint = f"did you mean 'title:{near}'?" if near else f"titles are {_listed(known)}"
        problems.append(f"{where}: no node has the title {wanted!r}; {hint}")
        return None
    node = graph.nodes.get(text)
    if node is None:
        known = [f"{node.id} ({node.class_type})" for node in graph.nodes.values()]
        problems.append(f"{where}: there is no node {text!r}; nodes are {_listed(known)}")
    return node


def find_target(
    graph: Graph, titles: dict[str, Title], object_info: ObjectInfo, text: str, where: str, problems: list[str]
) -> Target | None:
    """The input that `NODE.INPUT` names."""
    node_text, dot, name = text.rpartition(".")
    if not dot or not node_text or not name:
        problems.append(f'{where}: {text!r} names no input; write "NODE.INPUT", e.g. "3.sigma" or "title:Soften.sigma"')
        return None
    node = find_node(graph, titles, node_text, where, problems)
    return None if node is None else target_of(node, name, object_info, where, problems)


def target_of(node: Node, name: str, object_info: ObjectInfo, where: str, problems: list[str]) -> Target | None:
    """The input `name` of a node, if a value can be written there."""
    node_info = object_info.get(node.class_type)
    info = node_info.inputs.get(name) if node_info else None
    if name not in node.inputs and info is None:
        known = list(dict.fromkeys([*node.inputs, *(node_info.inputs if node_info else ())]))
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"its inputs are {_listed(known)}"
        problems.append(f"{where}: {node.words} has no input {name!r}; {hint}")
        return None
    value = node.inputs.get(name, info.default if info else None)
    if isinstance(value, Link):
        source = f"node {value.node_id}"
        problems.append(
            f"{where}: {node.words} input {name!r} is linked to {source}; bind an input of {source}, or cut the link"
        )
        return None
    if info is not None and not (object_info.takes_value(info) and (info.is_widget or name in node.inputs)):
        problems.append(f"{where}: {node.words} input {name!r} takes {info.type} over a link, not a value")
        return None
    # A widget of a custom type: its parameter goes by the value that the graph holds.
    return Target(node, name, value, info if info is not None and info.is_widget else None)


def free_inputs(node: Node, object_info: ObjectInfo) -> list[str]:
    """The node's inputs that hold a value: scalars in the graph that the class, where known, takes as widgets."""
    node_info = object_info.get(node.class_type)
    names = list(node.scalars())
    if node_info is None:
        return names
    # Older exports carry extras that aren't inputs, such as LoadImage's "upload".
    known = node_info.inputs
    return [name for name in names if name in known and object_info.takes_value(known[name])]


def mark_target(
    node: Node, name: str, named_input: str | None, object_info: ObjectInfo, problems: list[str]
) -> Target | None:
    """The input that `@name` or `@name:input` in a node's title means.

    In this order: the input after the colon, the free input of that name, `noise_seed` for `@seed`, the only free
    input. Else it is ambiguous, and the problem lists the free inputs.
    """
    where = f"title word '@{name}{':' + named_input if named_input else ''}'"
    if named_input is not None:
        return target_of(node, named_input, object_info, where, problems)
    free = free_inputs(node, object_info)
    if name in free:
        return target_of(node, name, object_info, where, problems)
    if name == "seed" and "noise_seed" in free:
        return target_of(node, "noise_seed", object_info, where, problems)
    if len(free) == 1:
        return target_of(node, free[0], object_info, where, problems)
    if free:
        problems.append(f"{where} on {node.words} is ambiguous; write @{name}:INPUT with one of {_listed(free)}")
    else:
        problems.append(f"{where} on {node.words}: the node has no input that holds a value, only links")
    return None


def _listed(words: list[str]) -> str:
    shown = ", ".join(words[:16])
    return f"{shown} and {len(words) - 16} more" if len(words) > 16 else shown or "none"
