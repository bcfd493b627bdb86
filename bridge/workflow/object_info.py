"""What a ComfyUI knows of its nodes: `GET /object_info`, parsed once into compact records.

Works on a live answer and on a recorded one. Tooltips, descriptions and categories are dropped.
Source: ComfyUI's `/object_info`; both ways of writing a COMBO are read: `[[...options], {...}]` and
`["COMBO", {"options": [...]}]`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from bridge.errors import WorkflowError

MAX_OBJECT_INFO_BYTES: Final = 64 * 1024 * 1024
"""A ComfyUI with many custom nodes and models answers with several megabytes."""

WIDGET_TYPES: Final = frozenset({"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"})
"""Input types that hold a value in the graph; every other type comes over a link."""

Choice: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class InputInfo:
    """One input of a node class. `type` is ComfyUI's own word (`INT`, `IMAGE` ...), `COMBO` for a choice.

    `has_control`: the editor adds a "control after generate" widget. `is_socket`: it has no widget, though its type
    could have one.
    """

    name: str
    type: str
    required: bool
    default: Choice | None = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    step: float | int | None = None
    choices: tuple[Choice, ...] = ()
    multiline: bool = False
    is_color: bool = False
    is_picture: bool = False
    is_seed: bool = False
    has_control: bool = False
    is_socket: bool = False

    @property
    def is_widget(self) -> bool:
        """Whether a value, rather than a link, is expected here."""
        return self.type in WIDGET_TYPES


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node class: its inputs by name (required ones first) and the types of its outputs.

    `display_name` is the title that ComfyUI gives a new node, "" where it isn't told.
    """

    class_type: str
    inputs: Mapping[str, InputInfo]
    outputs: tuple[str, ...]
    is_output: bool
    display_name: str = ""
    gives_lists: bool = False
    """Some output of it is a list, over which every node behind it runs again and again."""


class ObjectInfo:
    """The node classes of one ComfyUI, by `class_type`. Never changed once made."""

    __slots__ = ("_link_types", "_nodes")

    def __init__(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._nodes = MappingProxyType(dict(nodes))
        given = {word for node in self._nodes.values() for kind in node.outputs for word in kind.split(",")}
        self._link_types = frozenset(given - WIDGET_TYPES)

    @classmethod
    def from_json(cls, data: bytes) -> ObjectInfo:
        """Parse the answer of `GET /object_info`; a class that can't be read is left out.

        Raises:
            WorkflowError: not a JSON map, or over `MAX_OBJECT_INFO_BYTES`.
        """
        if len(data) > MAX_OBJECT_INFO_BYTES:
            raise WorkflowError(f"object_info has {len(data)} bytes, more than {MAX_OBJECT_INFO_BYTES}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise WorkflowError(f"object_info is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise WorkflowError("object_info is not a map of node classes: is this really ComfyUI?")
        nodes: dict[str, NodeInfo] = {}
        for class_type, entry in document.items():
            node = _parse_node(class_type, entry)
            if node is not None:
                nodes[class_type] = node
        return cls(nodes)

    @property
    def nodes(self) -> Mapping[str, NodeInfo]:
        """All classes by `class_type`."""
        return self._nodes

    def get(self, class_type: str) -> NodeInfo | None:
        """One class, or None if this ComfyUI has it not."""
        return self._nodes.get(class_type)

    def takes_value(self, spec: InputInfo) -> bool:
        """Whether an input may hold a value in a graph.

        Besides the five usual types, custom nodes have widgets of types of their own: one that no class here gives
        as an output can't come over a link, so it must be a widget.
        """
        return spec.is_widget or self._link_types.isdisjoint(spec.type.split(","))

    def merged(self, other: ObjectInfo) -> ObjectInfo:
        """All classes of both; where both know one, `other` holds."""
        return ObjectInfo({**self._nodes, **other._nodes})

    def united(self, other: ObjectInfo) -> ObjectInfo:
        """All classes of both; where both know one, this one holds, with the choices that `other` has besides."""
        nodes = {**other._nodes, **self._nodes}
        for class_type in self._nodes.keys() & other._nodes.keys():
            one, more = self._nodes[class_type], other._nodes[class_type]
            if one != more:
                nodes[class_type] = replace(one, inputs=MappingProxyType(_united_inputs(one, more)))
        return ObjectInfo(nodes)


def _united_inputs(one: NodeInfo, more: NodeInfo) -> dict[str, InputInfo]:
    inputs = dict(one.inputs)
    for name, known in one.inputs.items():
        there = more.inputs.get(name)
        if there is not None and known.type == there.type == "COMBO":
            # `1 == True` in Python, not in a choice.
            choices = {(type(choice), choice): choice for choice in (*known.choices, *there.choices)}
            inputs[name] = replace(known, choices=tuple(choices.values()))
    return inputs


def _parse_node(class_type: str, entry: Any) -> NodeInfo | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("input"), dict):
        return None
    inputs: dict[str, InputInfo] = {}
    # "hidden" inputs are filled in by ComfyUI itself.
    for group in ("required", "optional"):
        specs = entry["input"].get(group)
        for name, spec in _in_order(specs, entry.get("input_order"), group):
            parsed = _parse_input(name, spec, group == "required")
            if parsed is not None:
                inputs.setdefault(name, parsed)
    if class_type == "EmptyImage" and "color" in inputs:
        # Older versions don't say that this INT is a colour.
        inputs["color"] = replace(inputs["color"], is_color=True)
    outputs = entry.get("output")
    types = tuple(_type_word(word) for word in outputs) if isinstance(outputs, list) else ()
    title = entry.get("display_name")
    return NodeInfo(
        class_type,
        MappingProxyType(inputs),
        types,
        entry.get("output_node") is True,
        title if isinstance(title, str) else "",
        isinstance(entry.get("output_is_list"), list) and any(entry["output_is_list"]),
    )


def _in_order(specs: Any, order: Any, group: str) -> Iterator[tuple[str, Any]]:
    """The inputs of a group as `input_order` has them: a JSON map alone need not keep an order."""
    if not isinstance(specs, dict):
        return
    said = order.get(group) if isinstance(order, dict) else None
    names = [name for name in said if isinstance(name, str) and name in specs] if isinstance(said, list) else []
    for name in dict.fromkeys([*names, *specs]):
        yield name, specs[name]


def _type_word(word: Any) -> str:
    return word if isinstance(word, str) else "COMBO"


def _parse_input(name: str, spec: Any, required: bool) -> InputInfo | None:
    if not isinstance(spec, list) or not spec:
        return None
    options: dict[str, Any] = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    choices: list[Any] = []
    if isinstance(spec[0], list):
        word, choices = "COMBO", spec[0]
    elif isinstance(spec[0], str):
        word = spec[0]
        if word == "COMBO" and isinstance(options.get("options"), list):
            choices = options["options"]
    else:
        return None
    default = options.get("default")
    return InputInfo(
        name=name,
        type=word,
        required=required,
        default=default if isinstance(default, str | int | float | bool) else None,
        minimum=_number(options.get("min")),
        maximum=_number(options.get("max")),
        step=_number(options.get("step")),
        choices=tuple(choice for choice in choices if isinstance(choice, str | int | float | bool)),
        multiline=options.get("multiline") is True,
        is_color=word == "INT" and options.get("display") == "color",
        is_picture=word == "COMBO" and options.get("image_upload") is True,
        is_seed=word == "INT" and (name == "seed" or name.endswith("_seed")),
        has_control=bool(options.get("control_after_generate")),
        is_socket=options.get("forceInput") is True,
    )


def _number(value: Any) -> float | int | None:
    """A bound or step that says something; infinity, NaN and what 64 bits can't hold are none (nodes write them)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64 else None
