"""What a node is: its inputs as `/object_info` shows them, its outputs, and the function behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from bridge.embedded.files import FileStore
    from bridge.embedded.job import Job

InputSpec: TypeAlias = list[Any]
"""As in `/object_info`: `[type]` or `[type, options]`, where a list as type is a choice."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node gives: a value for each output, and what it shows (`ui`, for the `executed` event)."""

    values: tuple[Any, ...] = ()
    ui: Mapping[str, Any] | None = None


NodeFunction: TypeAlias = "Callable[..., Answer | tuple[Any, ...]]"


@dataclass(frozen=True, slots=True)
class NodeType:
    """One class of nodes. `schema` marks ComfyUI's newer kind of definition, whose `/object_info` entry has three
    more fields and whose output list is a list, not a tuple (seen in the words of two validation errors).

    `fingerprint(files, inputs)` gives a text that goes into the cache key; it makes LoadImage run again when its
    file changed. `fresh` nodes run in every prompt. `named` nodes are cached for one node id only.
    `steps`: it takes the time that a prompt is told to take longer, a part of it at each of its steps.
    `check(files, inputs)` gives None, or what is wrong, for the inputs in `checked`.
    """

    name: str
    function: NodeFunction
    required: Mapping[str, InputSpec]
    optional: Mapping[str, InputSpec]
    hidden: Mapping[str, str]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    module: str
    category: str
    display_name: str | None
    is_output: bool = False
    schema: bool = False
    fresh: bool = False
    fingerprint: Callable[[FileStore, Mapping[str, Any]], str] | None = None
    checked: tuple[str, ...] = ()
    check: Callable[[FileStore, Mapping[str, Any]], str | None] | None = None
    file_lists: tuple[str, ...] = ()
    steps: bool = False

    @property
    def named(self) -> bool:
        """Whether a result belongs to one node id, because the node is told its own id."""
        return "UNIQUE_ID" in self.hidden.values()

    def input_spec(self, name: str) -> InputSpec | None:
        """The spec of a required or optional input, None for any other name."""
        return self.required.get(name) or self.optional.get(name)

    def object_info(self, files: FileStore) -> dict[str, Any]:
        """This node's entry of `/object_info`, without tooltips and descriptions."""
        groups: dict[str, Mapping[str, Any]] = {"required": self.required}
        if self.optional:
            groups["optional"] = self.optional
        if self.hidden:
            groups["hidden"] = self.hidden
        shown = {group: dict(inputs) for group, inputs in groups.items()}
        for name in self.file_lists:
            spec = shown["required"][name]
            shown["required"][name] = [files.names("input"), *spec[1:]]
        entry: dict[str, Any] = {
            "input": shown,
            "input_order": {group: list(inputs) for group, inputs in groups.items()},
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.output_names),
            "name": self.name,
            "display_name": self.display_name,
            "description": "",
            "python_module": self.module,
            "category": self.category,
            "output_node": self.is_output,
        }
        if self.schema:
            entry |= {"deprecated": False, "experimental": False, "api_node": False}
        return entry


CATALOG: dict[str, NodeType] = {}
"""Every node by its `class_type`. Filled by the node modules when they are imported."""


def node(
    name: str,
    *,
    module: str,
    category: str,
    inputs: Mapping[str, InputSpec],
    outputs: tuple[str, ...] = (),
    display_name: str | None = None,
    output_names: tuple[str, ...] | None = None,
    **more: Any,
) -> Callable[[NodeFunction], NodeFunction]:
    """Put a function into the catalog. It is called as `function(job, **inputs)`."""

    def add(function: NodeFunction) -> NodeFunction:
        CATALOG[name] = NodeType(
            name=name,
            function=function,
            required=inputs,
            optional=more.pop("optional", {}),
            hidden=more.pop("hidden", {}),
            outputs=outputs,
            output_names=output_names or outputs,
            module=module,
            category=category,
            display_name=display_name,
            **more,
        )
        return function

    return add


def run_node(node_type: NodeType, job: Job, inputs: Mapping[str, Any]) -> Answer:
    """Call a node. What it raises is the prompt's `execution_error`."""
    answer = node_type.function(job, **inputs)
    return answer if isinstance(answer, Answer) else Answer(answer)
