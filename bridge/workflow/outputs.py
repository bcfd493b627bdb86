"""Which nodes give pictures, and a WebSocket output put in the place of those that write files.

`SaveImageWebsocket` sends its pictures over ComfyUI's socket; `SaveImage` and `PreviewImage` write files and, on a
second run, don't even do that (ComfyUI caches them). So those two are replaced in memory; the file is untouched. So is
the node pack's own `TexBridgeOutput`, which then stands in the prompt again for every ComfyUI that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.types import OutputSpec
from bridge.workflow.binding_file import OutputEntry
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.targets import find_node
from bridge.workflow.template import Graph, Link, Node, Prompt
from bridge.workflow.titles import Title, kind_of_name

SOCKET_CLASS: Final = "SaveImageWebsocket"
PACK_CLASS: Final = "TexBridgeOutput"
SENDING_CLASSES: Final = (SOCKET_CLASS, PACK_CLASS)
"""They send pictures, and are outputs without being named."""
TEMPORARY_FILE_CLASS: Final = "PreviewImage"
FILE_CLASSES: Final = ("SaveImage", TEMPORARY_FILE_CLASS)
WIDE_FORMATS: Final = ("raw16", "raw16f")
"""What the pack's node is set to where its pictures are to have more than 8 bits."""
MAX_OUTPUTS: Final = 256
"""The frame header's `output` is a byte."""


@dataclass(frozen=True, slots=True)
class PlacedOutputs:
    """A graph whose outputs all go over the socket; `specs[i]` is what node `node_ids[i]` sends."""

    graph: Graph
    node_ids: tuple[str, ...]
    specs: tuple[OutputSpec, ...]
    notes: tuple[str, ...]


def place_outputs(
    graph: Graph,
    titles: dict[str, Title],
    entries: tuple[OutputEntry, ...],
    object_info: ObjectInfo,
    problems: list[str],
) -> PlacedOutputs:
    """Find the outputs, name them, and replace `SaveImage` and `PreviewImage` where they are outputs.

    Order: those of the binding file as it lists them, then the others as they stand in the graph. Where the graph
    has a node that sends pictures, those that write files are outputs only if the binding or `@out` names them.
    What is wrong is added to `problems`.
    """
    named: dict[str, OutputEntry] = {}
    for entry in entries:
        where = f"[outputs.{entry.name}]"
        node = find_node(graph, titles, entry.node, where, problems)
        if node is None:
            continue
        if not _is_image_output(node):
            problems.append(
                f"{where}: {node.words} is no image output; name a {SOCKET_CLASS}, SaveImage or PreviewImage"
            )
        elif node.id in named:
            problems.append(f"{where}: {node.words} is output {named[node.id].name!r} already")
        else:
            named[node.id] = entry
    has_socket = any(node.class_type in SENDING_CLASSES for node in graph.nodes.values())
    notes: list[str] = []
    chosen = list(named)
    for node in graph.nodes.values():
        marked = titles[node.id].output is not None
        if not _is_image_output(node):
            if marked:
                problems.append(
                    f"{node.words}: @out stands on a node that is no image output; put it on a {SOCKET_CLASS} node "
                    "(or SaveImage, PreviewImage) that takes this node's IMAGE"
                )
            info = object_info.get(node.class_type)
            if info is not None and info.is_output:
                notes.append(f"{node.words} is run too, but its result isn't sent")
        elif node.id not in named:
            if node.class_type in SENDING_CLASSES or marked or not has_socket:
                chosen.append(node.id)
            else:
                notes.append(f"{node.words} stays as it is; the picture comes from {SOCKET_CLASS}")
    nodes = dict(graph.nodes)
    for node_id in chosen:
        node = nodes[node_id]
        images = node.inputs.get("images")
        if not isinstance(images, Link):
            mask = "; MaskToImage makes one of a mask" if "mask" in node.inputs else ""
            problems.append(f"{node.words}: input 'images' must be linked to a node that gives an IMAGE{mask}")
            continue
        if "mask" in node.inputs:
            problems.append(f"{node.words}: its mask can't be sent beside images; JoinImageWithAlpha puts it into them")
        if node.class_type == PACK_CLASS:
            nodes[node_id] = Node(node_id, SOCKET_CLASS, node.title, {"images": images})
            notes.append(f"{node.words} is used where ComfyUI has it, else {SOCKET_CLASS}; quality and keep are ours")
        elif node.class_type != SOCKET_CLASS:
            nodes[node_id] = Node(node_id, SOCKET_CLASS, node.title, {"images": images})
            notes.append(f"{node.words} was replaced by a {SOCKET_CLASS} in memory; the file is unchanged")
    if not chosen and not problems:
        problems.append(
            f"the graph has no image output; add a {SOCKET_CLASS} node (or SaveImage, PreviewImage) and link an "
            "IMAGE to its input 'images'"
        )
    if len(chosen) > MAX_OUTPUTS:
        problems.append(f"the graph has {len(chosen)} image outputs, more than {MAX_OUTPUTS}")
    specs = _name_outputs(chosen, graph.nodes, titles, named, problems)
    return PlacedOutputs(Graph(nodes), tuple(chosen), specs, tuple(notes))


def outputs_of_lists(graph: Graph, node_ids: Iterable[str], object_info: ObjectInfo) -> frozenset[int]:
    """The outputs that a list leads to: such a node runs once for each item, and how often shows at its end only."""
    known: dict[str, bool] = {}

    def is_fed_by_list(node_id: str) -> bool:
        waiting, seen = [node_id], set[str]()
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            node = graph.nodes[each]
            if each not in known:
                info = object_info.get(node.class_type)
                known[each] = info is not None and info.gives_lists
            if known[each]:
                return True
            waiting.extend(value.node_id for value in node.inputs.values() if isinstance(value, Link))
        return False

    return frozenset(place for place, node_id in enumerate(node_ids) if is_fed_by_list(node_id))


def file_outputs(prompt: Prompt, node_ids: Iterable[str]) -> Prompt:
    """A bound prompt whose outputs `node_ids` write temporary files instead; `prompt` itself is not changed.

    For a ComfyUI whose socket tells nothing: its history names the files. Ids, order and what comes before the outputs
    stay, so that ComfyUI's cache holds; one that is cached whole names the file of before, which has the same picture.
    """
    changed = dict(prompt)
    for node_id in node_ids:
        node = changed[node_id]
        changed[node_id] = {**node, "class_type": TEMPORARY_FILE_CLASS, "inputs": {"images": node["inputs"]["images"]}}
    return changed


def _is_image_output(node: Node) -> bool:
    return node.class_type in SENDING_CLASSES or node.class_type in FILE_CLASSES


def _name_outputs(
    chosen: list[str],
    nodes: Mapping[str, Node],
    titles: dict[str, Title],
    named: dict[str, OutputEntry],
    problems: list[str],
) -> tuple[OutputSpec, ...]:
    taken: dict[str, str] = {}
    wanted: list[str | None] = []
    for node_id in chosen:
        output = titles[node_id].output
        name = named[node_id].name if node_id in named else output.name if output else None
        if name is not None and name in taken:
            problems.append(f"{nodes[node_id].words}: output {name!r} is {nodes[taken[name]].words} already")
        elif name is not None:
            taken[name] = node_id
        wanted.append(name)
    specs: list[OutputSpec] = []
    for node_id, name in zip(chosen, wanted, strict=True):
        if name is None:
            name, number = "image", 1
            while name in taken:
                number += 1
                name = f"image_{number}"
            taken[name] = node_id
        entry, output = named.get(node_id), titles[node_id].output
        kind = (entry.kind if entry else None) or (output.kind if output else None) or kind_of_name(name)
        bits = (entry.bits if entry else None) or _own_bits(nodes[node_id])
        specs.append(OutputSpec(name, kind, bits))
    return tuple(specs)


def _own_bits(node: Node) -> int:
    """What an output is set to by itself: the pack's node has a format."""
    return 16 if node.class_type == PACK_CLASS and node.inputs.get("format") in WIDE_FORMATS else 8
