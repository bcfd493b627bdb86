"""From ComfyUI's UI format to its API format: what the editor does when it queues a prompt.

Links are followed through what only the editor knows (Reroute, PrimitiveNode, Set and Get nodes, bypassed nodes, the
borders of subgraphs) to the node that gives the value; muted nodes give nothing. Nodes inside a subgraph get ids as
ComfyUI gives them, `OUTER:INNER`. Source: what ComfyUI's editor posts for the same file; checked against a ComfyUI's
own validation in the conformance tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bridge.errors import WorkflowError
from bridge.workflow.object_info import NodeInfo, ObjectInfo
from bridge.workflow.packs import NO_PACKS, NodePacks
from bridge.workflow.template import MAX_NODES, Prompt
from bridge.workflow.ui_format import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    OUTPUT_NODE,
    UiFile,
    UiGraph,
    UiInput,
    UiLink,
    UiNode,
    parse_ui_file,
)
from bridge.workflow.widgets import MisfitError, name_values, widget_inputs

MAX_SUBGRAPH_DEPTH: Final = 16

NOTES: Final = frozenset({"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)", "Note Plus (mtb)"})
SWITCHES: Final = ("Fast Muter", "Fast Bypasser", "Fast Groups", "Mute / Bypass", "Random Unmuter", "Node Collector")
EVERYWHERE: Final = ("Anything Everywhere", "Prompts Everywhere", "Seed Everywhere")
GROUP_NODES: Final = ("workflow>", "workflow/")

EXPORT: Final = "or open it in ComfyUI, choose Workflow > Export (API), and bind that file"


@dataclass(frozen=True, slots=True)
class Source:
    """The output of a node that ComfyUI runs."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Held:
    """A value that the editor writes in the place of a link: a PrimitiveNode's, or a subgraph's own widget's.

    `title` is what its node is called, "" if nothing was said.
    """

    value: Any
    title: str = ""


Found: TypeAlias = Source | Held | None


@dataclass(frozen=True, slots=True)
class Conversion:
    """The prompt, and what became of the rest.

    `titles` has the title of a PrimitiveNode, which the API format loses, for each (node id, input) that it wrote.
    `left_out` names what isn't in the prompt and why, `notes` what else should be known; one line each.
    """

    prompt: Prompt
    titles: Mapping[tuple[str, str], str]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> bytes:
        """The file as ComfyUI would export it."""
        return (json.dumps(self.prompt, indent=2, ensure_ascii=False) + "\n").encode()


def convert_workflow(data: bytes, object_info: ObjectInfo, packs: NodePacks = NO_PACKS) -> Conversion:
    """Convert a UI-format file.

    Raises:
        WorkflowError: the file is malformed, or has what only the editor can convert: classes that `object_info`
            doesn't know, group nodes, links that an extension makes. `problems` says for each what to do.
    """
    return _Converter(parse_ui_file(data), object_info, packs).conversion()


@dataclass(frozen=True, slots=True)
class _Scope:
    """One level of the graph as it stands in its place: the same subgraph twice is two scopes."""

    graph: UiGraph
    prefix: str = ""
    outer: _Scope | None = None
    host: UiNode | None = None
    depth: int = 0
    given: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """Values of inner nodes' widgets that the host shows as its own, by (inner node, widget)."""
    ports: Mapping[str, Any] = field(default_factory=dict)
    """Values of the host's widgets that stand for its inputs, by the input's name."""


class _Converter:
    def __init__(self, file: UiFile, object_info: ObjectInfo, packs: NodePacks) -> None:
        self.file = file
        self.object_info = object_info
        self.packs = packs
        self.prompt: Prompt = {}
        self.titles: dict[tuple[str, str], str] = {}
        self.problems: list[str] = []
        self.left_out: list[str] = []
        self.notes: list[str] = []
        self.scopes = 0

    def conversion(self) -> Conversion:
        self._walk(_Scope(self.file.graph))
        if self.problems:
            raise WorkflowError("the UI-format workflow can't be converted:", tuple(dict.fromkeys(self.problems)))
        if not self.prompt:
            raise WorkflowError("the workflow has no node that runs: all are muted, bypassed or notes")
        self._leave_out_what_leads_nowhere()
        titles = {place: title for place, title in self.titles.items() if place[0] in self.prompt}
        return Conversion(self.prompt, titles, tuple(self.left_out), tuple(self.notes))

    # --- nodes ---------------------------------------------------------------------------------------------

    def _walk(self, scope: _Scope) -> None:
        for node in scope.graph.nodes.values():
            words = self._words(scope, node)
            if node.type in NOTES:
                self.left_out.append(f"{words}: a note")
            elif node.mode == MUTED:
                self.left_out.append(f"{words}: muted")
            elif node.mode == BYPASSED:
                self.left_out.append(f"{words}: bypassed")
            elif node.type in self.file.subgraphs:
                self._walk_into(scope, node, words)
            elif node.type.startswith(EVERYWHERE):
                self.problems.append(
                    f"{words}: its links are made by an extension and are not in the file; draw them, {EXPORT}"
                )
            elif node.type.startswith(GROUP_NODES):
                self.problems.append(
                    f"{words}: a group node; right-click it in ComfyUI, choose Convert to Nodes, save again, {EXPORT}"
                )
            elif not self._is_virtual(node):
                self._add(scope, node, words)

    def _walk_into(self, scope: _Scope, node: UiNode, words: str) -> None:
        graph = self.file.subgraphs[node.type]
        if scope.depth >= MAX_SUBGRAPH_DEPTH:
            self.problems.append(f"{words}: subgraphs are nested deeper than {MAX_SUBGRAPH_DEPTH}")
        elif self.scopes >= MAX_NODES:
            self.problems.append(f"the workflow has more than {MAX_NODES} subgraphs")
        else:
            self.scopes += 1
            self._walk(self._inner(scope, node, graph))

    def _inner(self, scope: _Scope, node: UiNode, graph: UiGraph) -> _Scope:
        given, ports = _promoted(node, graph)
        # What an outer host shows of a node further in is handed down.
        for (inner_id, name), value in scope.given.items():
            if inner_id == node.id:
                ports = {**ports, name: value}
        return _Scope(graph, f"{scope.prefix}{node.id}:", scope, node, scope.depth + 1, given, ports)

    def _is_virtual(self, node: UiNode) -> bool:
        """Whether only the editor knows this node: it is never posted."""
        if self.object_info.get(node.type) is not None:
            return False
        return node.type in ("Reroute", "PrimitiveNode", "SetNode", "GetNode") or node.type.startswith(SWITCHES)

    def _add(self, scope: _Scope, node: UiNode, words: str) -> None:
        if len(self.prompt) > MAX_NODES:
            self.problems.append(f"the workflow has more than {MAX_NODES} nodes")
            return
        info = self.object_info.get(node.type)
        if info is None and not any(slot.link is not None for slot in node.inputs) and not _is_used(scope.graph, node):
            self.left_out.append(f"{words}: not known to this ComfyUI, and linked to nothing")
            return
        dynamic = [spec for spec in info.inputs.values() if spec.type.startswith("COMFY_")] if info else []
        if dynamic:
            self.problems.append(f"{words}: input {dynamic[0].name!r} changes the node's form, {EXPORT[3:]}")
            return
        try:
            inputs = name_values(node, info, self.object_info)
        except MisfitError as error:
            self.problems.append(self._misfit(words, node, info, str(error)))
            return
        for (inner_id, name), value in scope.given.items():
            if inner_id == node.id and value is not None and (name in inputs or (info and name in info.inputs)):
                inputs[name] = value
        node_id = scope.prefix + node.id
        inputs = {name: _as_value(value) for name, value in inputs.items()}
        for slot in node.inputs:
            if slot.link is not None:
                self._link(scope, node, node_id, slot, inputs, words)
        self.prompt[node_id] = {
            "inputs": self._in_order(inputs, node, info),
            "class_type": node.type,
            "_meta": {"title": node.title or (info.display_name if info else "") or node.type},
        }

    def _misfit(self, words: str, node: UiNode, info: NodeInfo | None, reason: str) -> str:
        if info is not None:
            return f"{words}: its saved values don't fit its inputs: {reason}; open the file in ComfyUI and save it"
        pack = self.packs.find(node.type)
        hint = f"it is of the node pack {pack.words}: install it" if pack else "install the node pack that brings it"
        return (
            f"{words}: this object_info doesn't know the node, and the file alone doesn't say enough; {hint}, {EXPORT}"
        )

    def _in_order(self, inputs: dict[str, Any], node: UiNode, info: NodeInfo | None) -> dict[str, Any]:
        """Values first and links behind them, each in the order of the class, as ComfyUI exports them."""
        names = [spec.name for spec in widget_inputs(node, info, self.object_info)] if info else []
        names += list(info.inputs) if info else []
        return {name: inputs[name] for name in dict.fromkeys([*names, *inputs]) if name in inputs}

    # --- links ---------------------------------------------------------------------------------------------

    def _link(
        self, scope: _Scope, node: UiNode, node_id: str, slot: UiInput, inputs: dict[str, Any], words: str
    ) -> None:
        name = slot.widget or slot.name
        lost: list[str] = []
        found = self._follow(scope, slot.link, slot.type, set(), lost)
        if isinstance(found, Source):
            inputs[name] = [found.node_id, found.slot]
        elif isinstance(found, Held):
            if found.value is not None:
                inputs[name] = _as_value(found.value)
            if found.title:
                self.titles[node_id, name] = found.title
        elif lost:
            rest = f"; {json.dumps(inputs[name])[:40]} is used" if name in inputs else ""
            self.notes.append(f"{words}: input {name!r} has no link now, {lost[0]}{rest}")

    def _follow(self, scope: _Scope, link_id: int | None, kind: str, seen: set[Any], lost: list[str]) -> Found:
        link = scope.graph.links.get(link_id) if link_id is not None else None
        if link is None:
            return None
        return self._origin(scope, link, kind if link.type in ("*", "") else link.type, seen, lost)

    def _origin(self, scope: _Scope, link: UiLink, kind: str, seen: set[Any], lost: list[str]) -> Found:
        """What a link brings, through all that only the editor knows."""
        at = (scope.prefix, link.origin, link.origin_slot)
        if at in seen:
            self.problems.append(f"node {scope.prefix}{link.origin}: its links run in a circle; cut one")
            return None
        seen.add(at)
        if link.origin == INPUT_NODE:
            return self._from_outside(scope, link.origin_slot, kind, seen, lost)
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            lost.append(f"for node {scope.prefix}{link.origin} isn't in the file")
            return None
        words = self._words(scope, node)
        if node.mode == MUTED:
            lost.append(f"for {words} is muted")
            return None
        if node.mode == BYPASSED:
            slot = _bypass(node, link.origin_slot, kind)
            found = self._follow(scope, slot.link, kind, seen, lost) if slot else None
            if found is None:
                lost.append(f"for {words} is bypassed and takes no {kind} that it could pass on")
            return found
        if node.type in self.file.subgraphs:
            return self._from_inside(scope, node, link.origin_slot, kind, seen, lost)
        if not self._is_virtual(node):
            return Source(scope.prefix + node.id, link.origin_slot)
        if node.type == "PrimitiveNode":
            value = node.values[0] if isinstance(node.values, list) and node.values else None
            value = scope.given.get((node.id, "value"), value)
            return Held(value, "" if node.title in ("", "Primitive", "PrimitiveNode") else node.title)
        if node.type == "GetNode":
            return self._from_set_node(scope, node, kind, seen, lost)
        for slot in node.inputs:
            if slot.link is not None:
                return self._follow(scope, slot.link, kind, seen, lost)
        lost.append(f"for {words} is linked to nothing")
        return None

    def _from_outside(self, scope: _Scope, port: int, kind: str, seen: set[Any], lost: list[str]) -> Found:
        if scope.outer is None or scope.host is None or not 0 <= port < len(scope.graph.inputs):
            return None
        name = scope.graph.inputs[port].name
        slot = next((slot for slot in scope.host.inputs if slot.name == name), None)
        if slot is not None and slot.link is not None:
            return self._follow(scope.outer, slot.link, kind, seen, lost)
        if name in scope.ports:
            return Held(scope.ports[name])
        return None

    def _from_inside(self, scope: _Scope, node: UiNode, port: int, kind: str, seen: set[Any], lost: list[str]) -> Found:
        graph = self.file.subgraphs[node.type]
        if scope.depth >= MAX_SUBGRAPH_DEPTH:
            return None
        inner = self._inner(scope, node, graph)
        links = list(graph.outputs[port].links) if 0 <= port < len(graph.outputs) else []
        links += [key for key, link in graph.links.items() if (link.target, link.target_slot) == (OUTPUT_NODE, port)]
        for link_id in links:
            if link_id in graph.links:
                return self._follow(inner, link_id, kind, seen, lost)
        lost.append(f"for nothing in {self._words(scope, node)} gives its output {port}")
        return None

    def _from_set_node(self, scope: _Scope, node: UiNode, kind: str, seen: set[Any], lost: list[str]) -> Found:
        wanted = node.values[0] if isinstance(node.values, list) and node.values else None
        place: _Scope | None = scope
        while place is not None:
            for other in place.graph.nodes.values():
                if other.type == "SetNode" and isinstance(other.values, list) and other.values[:1] == [wanted]:
                    if other.mode in (MUTED, BYPASSED) or not other.inputs:
                        break
                    return self._follow(place, other.inputs[0].link, kind, seen, lost)
            place = place.outer
        lost.append(f"for no SetNode sets {wanted!r}")
        return None

    # --- the end -------------------------------------------------------------------------------------------

    def _leave_out_what_leads_nowhere(self) -> None:
        """ComfyUI runs what leads to an output; the rest would only be complained of."""
        used = {value[0] for entry in self.prompt.values() for value in entry["inputs"].values() if _is_link(value)}
        ends = []
        for node_id, entry in self.prompt.items():
            info = self.object_info.get(entry["class_type"])
            if info.is_output if info is not None else node_id not in used:
                ends.append(node_id)
        needed: set[str] = set()
        while ends:
            node_id = ends.pop()
            if node_id not in needed:
                needed.add(node_id)
                ends.extend(value[0] for value in self.prompt[node_id]["inputs"].values() if _is_link(value))
        for node_id in [node_id for node_id in self.prompt if needed and node_id not in needed]:
            entry = self.prompt.pop(node_id)
            self.left_out.append(f"node {node_id} ({entry['class_type']}): leads to no output")

    def _words(self, scope: _Scope, node: UiNode) -> str:
        graph = self.file.subgraphs.get(node.type)
        title = node.title if node.title and node.title != node.type else ""
        kind = f"subgraph {graph.name!r}" if graph is not None else node.type
        shown = f' "{title}"' if title and (graph is None or title != graph.name) else ""
        return f"node {scope.prefix}{node.id}{shown} ({kind})"


def _as_value(value: Any) -> Any:
    """A value as a prompt has it: a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _is_link(value: Any) -> bool:
    return isinstance(value, list)


def _is_used(graph: UiGraph, node: UiNode) -> bool:
    return any(link.origin == node.id for link in graph.links.values())


def _bypass(node: UiNode, slot: int, kind: str) -> UiInput | None:
    """The input that a bypassed node passes on: of the output's type, the one in the same place first."""
    if slot < len(node.outputs) and node.outputs[slot] != "*":
        kind = node.outputs[slot]
    fitting = [entry for entry in node.inputs if entry.type == kind and entry.link is not None]
    same = node.inputs[slot] if slot < len(node.inputs) else None
    return same if same in fitting else next(iter(fitting), None)


def _promoted(node: UiNode, graph: UiGraph) -> tuple[dict[tuple[str, str], Any], dict[str, Any]]:
    """The values that a subgraph's node shows as its own: of inner widgets, and of its inputs without a link.

    `properties.proxyWidgets` names them as pairs of inner node and widget, with -1 for an input of the subgraph;
    older files have only the values, in the order of the inputs that lead to a widget.
    """
    values = node.values if isinstance(node.values, list) else []
    pairs = node.properties.get("proxyWidgets")
    names: list[tuple[str, str]] = []
    if isinstance(pairs, list) and len(pairs) == len(values):
        for pair in pairs:
            if isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[1], str):
                names.append((str(pair[0]), pair[1]))
            else:
                names.append(("", ""))
    else:
        names = [("-1", name) for name in _widget_ports(graph)]
        if len(names) != len(values):
            return {}, {}
    given: dict[tuple[str, str], Any] = {}
    ports: dict[str, Any] = {}
    for (inner_id, name), value in zip(names, values, strict=True):
        if value is None or not name:
            continue
        if inner_id == "-1":
            ports[name] = value
        else:
            given[inner_id, name] = value
    return given, ports


def _widget_ports(graph: UiGraph) -> Iterator[str]:
    """The inputs of a subgraph that lead to a widget of an inner node."""
    for index, port in enumerate(graph.inputs):
        ids = {key for key, link in graph.links.items() if (link.origin, link.origin_slot) == (INPUT_NODE, index)}
        sockets = [slot for node in graph.nodes.values() for slot in node.inputs if slot.link in ids]
        if any(slot.widget is not None for slot in sockets):
            yield port.name
