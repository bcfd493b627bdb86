"""Ways through a graph: what leads to a picture, where a linked input has its value, which text feeds which prompt.

A text belongs to the prompt or to the negative prompt by the sampler's input that it reaches, through whatever changes
conditionings on the way (ControlNetApply, FluxGuidance, ConditioningCombine ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.outputs import FILE_CLASSES, SENDING_CLASSES
from bridge.workflow.targets import free_inputs
from bridge.workflow.template import Graph, Link, Node, Scalar
from bridge.workflow.workflow import Place

Role: TypeAlias = Literal["positive", "negative"]

MAX_HOPS: Final = 64


@dataclass(frozen=True, slots=True)
class PromptText:
    """One text that feeds a sampler. `through` are the classes between encoder and sampler."""

    place: Place
    encoder: str
    role: Role
    sampler: str
    through: tuple[str, ...]


class Walks:
    """One graph with what its object_info says of the nodes.

    Attributes:
        order: ids of the nodes that lead to an output, what comes first in ComfyUI first.
    """

    def __init__(self, graph: Graph, object_info: ObjectInfo) -> None:
        self.graph = graph
        self.object_info = object_info
        self._free = {node.id: frozenset(free_inputs(node, object_info)) for node in graph.nodes.values()}
        self.order = tuple(self._ordered())
        self._live = frozenset(self.order)

    def node(self, node_id: str) -> Node:
        """The node of this id."""
        return self.graph.nodes[node_id]

    def nodes(self) -> Iterator[Node]:
        """Every node that leads to an output, in `order`."""
        return (self.graph.nodes[node_id] for node_id in self.order)

    def free(self, node_id: str) -> frozenset[str]:
        """The node's inputs that hold a value."""
        return self._free[node_id]

    def value(self, place: Place) -> Scalar:
        """What an input holds; None for a link."""
        value = self.graph.nodes[place[0]].inputs.get(place[1])
        return None if isinstance(value, Link) else value

    def input_type(self, place: Place) -> str:
        """ComfyUI's word for an input, by the value where the class isn't known; `COLOR` for a colour."""
        info = self.object_info.get(self.graph.nodes[place[0]].class_type)
        spec = info.inputs.get(place[1]) if info is not None else None
        if spec is not None:
            return "COLOR" if spec.is_color else spec.type
        value = self.value(place)
        words = ((bool, "BOOLEAN"), (int, "INT"), (float, "FLOAT"), (str, "STRING"))
        return next((word for kind, word in words if isinstance(value, kind)), "*")

    def gives(self, link: Link) -> str | None:
        """The type of the output that a link comes from; None if the class isn't known."""
        info = self.object_info.get(self.graph.nodes[link.node_id].class_type)
        if info is None or link.slot >= len(info.outputs):
            return None
        return info.outputs[link.slot]

    def output_types(self, node: Node) -> frozenset[str]:
        """The types that a node gives; empty if the class isn't known."""
        info = self.object_info.get(node.class_type)
        return frozenset(info.outputs) if info is not None else frozenset()

    def value_place(self, node_id: str, name: str) -> Place | None:
        """Where the value of an input is written: there, or in the one primitive that feeds it; None if unclear."""
        for _ in range(MAX_HOPS):
            value = self.graph.nodes[node_id].inputs.get(name)
            if not isinstance(value, Link):
                return (node_id, name) if name in self._free[node_id] else None
            node_id = value.node_id
            node = self.graph.nodes[node_id]
            free, links = self._free[node_id], node.links()
            if len(free) == 1 and not links:
                return (node_id, next(iter(free)))
            if free or len(links) != 1 or self.gives(value) in ("IMAGE", "LATENT", "MASK", "CONDITIONING"):
                return None
            name = next(iter(links))
        return None

    def upstream(self, node_id: str) -> frozenset[str]:
        """Every node that feeds this one, itself among them."""
        seen: set[str] = set()
        left = [node_id]
        while left:
            current = left.pop()
            if current not in seen:
                seen.add(current)
                left.extend(link.node_id for link in self.graph.nodes[current].links().values())
        return frozenset(seen)

    def consumers(self, node_id: str) -> Iterator[tuple[Node, str]]:
        """Every living node that a node feeds, with the input."""
        for node in self.nodes():
            for name, link in node.links().items():
                if link.node_id == node_id:
                    yield node, name

    # --- prompts -------------------------------------------------------------------------------------------

    def prompt_texts(self) -> tuple[PromptText, ...]:
        """Every text that feeds a sampler or a guider, once; one that is both is the prompt's."""
        found: dict[Place, PromptText] = {}
        for sampler in self.nodes():
            if "CONDITIONING" in self.output_types(sampler):
                continue
            for name, link in sampler.links().items():
                role = self._role(sampler, name, link)
                if role is None:
                    continue
                for text in self._texts_of(link, role, sampler.words):
                    known = found.get(text.place)
                    if known is None or (known.role == "negative" and text.role == "positive"):
                        found[text.place] = text
        return tuple(found.values())

    def _role(self, sampler: Node, name: str, link: Link) -> Role | None:
        if name == "negative" or name.startswith(("negative_cond", "empty_cond")):
            return "negative"
        if name == "positive" or name.startswith("positive_cond"):
            return "positive"
        is_conditioning = self.gives(link) == "CONDITIONING" or name.startswith("cond")
        return "positive" if is_conditioning else None

    def _texts_of(self, link: Link, role: Role, sampler: str) -> Iterator[PromptText]:
        seen: set[tuple[str, int, Role]] = set()
        left: list[tuple[Link, Role, tuple[str, ...]]] = [(link, role, ())]
        while left:
            link, role, through = left.pop(0)
            if (*link, role) in seen:
                continue
            seen.add((*link, role))
            node = self.graph.nodes[link.node_id]
            places = self._text_places(node)
            if places:
                for place in places:
                    yield PromptText(place, node.id, role, sampler, through)
                continue
            if role == "negative" and "ZeroOut" in node.class_type:
                continue  # made of nothing: the text before it is the prompt's
            links = node.links()
            further = (*through, node.class_type)
            if "positive" in links and "negative" in links:
                side: Role = "negative" if link.slot == 1 else "positive"
                left.append((links[side], side, further))
                continue
            left += [(each, role, further) for name, each in links.items() if self._carries(name, each)]

    def _carries(self, name: str, link: Link) -> bool:
        kind = self.gives(link)
        return kind == "CONDITIONING" if kind is not None else name.startswith(("cond", "positive", "negative"))

    def _text_places(self, node: Node) -> tuple[Place, ...]:
        """Where a text encoder's texts are written; empty for a node that isn't one."""
        if not self._is_encoder(node):
            return ()
        info = self.object_info.get(node.class_type)
        names = [name for name, spec in info.inputs.items() if spec.type == "STRING"] if info else []
        if info is None:
            names = [name for name in node.inputs if name.startswith(("text", "prompt")) or name in ("clip_l", "t5xxl")]
        places = [self.value_place(node.id, name) for name in names if name in node.inputs]
        texts = [place for place in places if place is not None and isinstance(self.value(place), str)]
        return tuple(dict.fromkeys(texts))

    def _is_encoder(self, node: Node) -> bool:
        types = self.output_types(node)
        if types and "CONDITIONING" not in types:
            return False
        return "clip" in node.inputs or "TextEncode" in node.class_type

    # --- order ---------------------------------------------------------------------------------------------

    def _ends(self) -> list[str]:
        ends = []
        for node in self.graph.nodes.values():
            info = self.object_info.get(node.class_type)
            if node.class_type in SENDING_CLASSES or node.class_type in FILE_CLASSES or (info and info.is_output):
                ends.append(node.id)
        return ends or list(self.graph.nodes)

    def _ordered(self) -> Iterator[str]:
        done: set[str] = set()
        for end in self._ends():
            path = [end]
            while path:
                current = path[-1]
                waiting = [
                    link.node_id
                    for link in self.graph.nodes[current].links().values()
                    if link.node_id not in done and link.node_id != current
                ]
                if waiting:
                    path.append(waiting[0])
                    continue
                path.pop()
                if current not in done:
                    done.add(current)
                    yield current
