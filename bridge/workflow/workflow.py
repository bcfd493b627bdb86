"""A workflow ready for use: what an engine may know of it, and its values bound into a prompt.

`load_workflow` in `binding` makes one. Source: wire contract, Workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from bridge.errors import ErrorCode, InvalidValueError, UnknownNameError
from bridge.types import ParameterType, Picture, PictureRule, RawPicture, Size, Value, WorkflowSpec
from bridge.workflow.names import nearest
from bridge.workflow.outputs import file_outputs
from bridge.workflow.parameters import BoundInput, Parameter
from bridge.workflow.template import Graph, Prompt, Scalar
from bridge.workflow.titles import SIZE_WORDS

Place: TypeAlias = tuple[str, str]
"""Node id and input name."""


@dataclass(frozen=True, slots=True)
class BoundPrompt:
    """What to post. `output_nodes` maps the ids of nodes that send pictures to their place in `spec.outputs`.

    Nodes that no parameter touches are shared between prompts: post it, don't change it.
    """

    prompt: Prompt
    output_nodes: Mapping[str, int]

    def with_files(self) -> Prompt:
        """The same prompt with outputs that write temporary files, for a ComfyUI whose socket is mute."""
        return file_outputs(self.prompt, self.output_nodes)


@dataclass(frozen=True, slots=True)
class SizeBinding:
    """Where width and height are written, and what is allowed there."""

    width: tuple[Place, ...]
    height: tuple[Place, ...]
    minimum: int
    step: int
    maximum: int


class Workflow:
    """A checked workflow. Never changed once made; `bind` may be called as often as wanted.

    Attributes:
        spec: name, label, parameters, outputs, seed and size.
        description: the binding's own words, "" if it has none.
        notes: what was done to the graph in memory, one line each.
        graph: the graph with its outputs in place, as `check_against` takes it.
        required_class_types: every node class that a ComfyUI must have.
        picture_inputs: places that take an uploaded picture, by parameter.
        picture_rules: what is done to a picture on its way there, by parameter.
        list_outputs: outputs of which nobody knows before the end how many pictures they send.
    """

    __slots__ = (
        "_base",
        "_output_nodes",
        "_parameters",
        "_seeds",
        "_size",
        "description",
        "graph",
        "list_outputs",
        "notes",
        "picture_inputs",
        "picture_rules",
        "required_class_types",
        "spec",
    )

    def __init__(
        self,
        spec: WorkflowSpec,
        graph: Graph,
        parameters: tuple[Parameter, ...],
        seeds: tuple[BoundInput, ...],
        size: SizeBinding | None,
        output_node_ids: tuple[str, ...],
        notes: tuple[str, ...],
        description: str,
        picture_rules: Mapping[str, PictureRule],
        list_outputs: frozenset[int] = frozenset(),
    ) -> None:
        self.list_outputs = list_outputs
        self.spec = spec
        self.picture_rules = picture_rules
        self.graph = graph
        self.notes = notes
        self.description = description
        self.required_class_types = graph.class_types()
        self.picture_inputs = {
            parameter.spec.name: tuple((bound.node_id, bound.input) for bound in parameter.inputs)
            for parameter in parameters
            if parameter.spec.type is ParameterType.IMAGE
        }
        self._parameters = {parameter.spec.name: parameter for parameter in parameters}
        self._seeds = seeds
        self._size = size
        self._output_nodes = {node_id: index for index, node_id in enumerate(output_node_ids)}
        self._base = graph.prompt()
        # A default of the binding holds wherever no value is given, so it is part of what every prompt starts from.
        for parameter in parameters:
            for bound in parameter.inputs:
                self._base[bound.node_id]["inputs"][bound.input] = bound.write(parameter.spec.default)

    def bind(
        self,
        values: Mapping[str, Value],
        seed: int,
        size: Size | None = None,
        picture_names: Mapping[str, str] | None = None,
    ) -> BoundPrompt:
        """Write values, seed and size into a prompt. The same arguments give the same prompt.

        Args:
            values: by parameter name, as `check_value` gave them; a name left out keeps its default.
            seed: 0..2^64-1, ignored by a workflow without a seed.
            size: pixels, or None for the graph's own; refused by a graph without size inputs.
            picture_names: for each image parameter whose value is a `Picture`, by parameter name, the file's name
                in ComfyUI's input folder as the upload's answer gave it (`subfolder/name`). What is named here holds
                whatever the value is.

        Raises:
            UnknownNameError: no such parameter (204).
            InvalidValueError: a value of another type (301), not a choice (303), a size that the graph can't
                take (305), or a picture that wasn't uploaded (301).
        """
        prompt = dict(self._base)
        touched: dict[str, dict[str, Scalar | list[str | int]]] = {}
        for name, value in values.items():
            parameter = self._parameters.get(name)
            if parameter is None:
                raise self._unknown(name)
            if parameter.spec.type is ParameterType.IMAGE:
                value = self._picture_name(parameter, value, picture_names or {})
            for bound in parameter.inputs:
                _inputs_of(prompt, touched, bound.node_id)[bound.input] = bound.write(value)
        for bound in self._seeds:
            _inputs_of(prompt, touched, bound.node_id)[bound.input] = bound.write(seed)
        if size is not None:
            binding = self._checked_size(size)
            for places, pixels in ((binding.width, size.width), (binding.height, size.height)):
                for node_id, name in places:
                    _inputs_of(prompt, touched, node_id)[name] = pixels
        return BoundPrompt(prompt, self._output_nodes)

    def graph_with(self, choices: Mapping[str, Value]) -> Graph:
        """The graph with these values written in, as `check_against` takes it: which model files it would read.

        Unknown names are left out, and a value that its parameter doesn't take.
        """
        nodes = dict(self.graph.nodes)
        for name, value in choices.items():
            parameter = self._parameters.get(name)
            for bound in () if parameter is None else parameter.inputs:
                node = nodes[bound.node_id]
                try:
                    nodes[bound.node_id] = replace(node, inputs={**node.inputs, bound.input: bound.write(value)})
                except InvalidValueError:
                    continue
        return Graph(nodes)

    def _unknown(self, name: str) -> UnknownNameError:
        near = nearest(name, self._parameters)
        hint = f"did you mean {near!r}?" if near else f"it has {', '.join(self._parameters) or 'none'}"
        return UnknownNameError(
            f"workflow {self.spec.name!r} has no parameter {name[:80]!r}; {hint}",
            code=ErrorCode.UNKNOWN_PARAMETER,
            field=name[:80],
            limit=tuple(self._parameters),
        )

    def _picture_name(self, parameter: Parameter, value: Value, picture_names: Mapping[str, str]) -> str:
        """The file name to write. A text is taken only if it is the default: no one names files from outside."""
        name = parameter.spec.name
        if name in picture_names:
            return picture_names[name]
        if isinstance(value, Picture | RawPicture):
            raise InvalidValueError(f"{name}: the picture has not been uploaded to this ComfyUI", field=name)
        if isinstance(value, str) and value == parameter.spec.default:
            return value
        raise InvalidValueError(f"{name} must be a picture, not {type(value).__name__}", field=name)

    def _checked_size(self, size: Size) -> SizeBinding:
        binding = self._size
        if binding is None:
            raise InvalidValueError(
                f"workflow {self.spec.name!r} has no size inputs; bind them with @width and @height or [size]",
                code=ErrorCode.BAD_SIZE,
                field="size",
                value=tuple(size),
            )
        for word, pixels in zip(SIZE_WORDS, size, strict=True):
            if type(pixels) is not int or not binding.minimum <= pixels <= binding.maximum or pixels % binding.step:
                raise InvalidValueError(
                    f"{word} {pixels} must be {binding.minimum}..{binding.maximum} in steps of {binding.step}",
                    code=ErrorCode.BAD_SIZE,
                    field="size",
                    value=pixels,
                    limit=binding.maximum,
                )
        return binding


def _inputs_of(
    prompt: Prompt, touched: dict[str, dict[str, Scalar | list[str | int]]], node_id: str
) -> dict[str, Scalar | list[str | int]]:
    """The inputs of a node as this prompt's own copy, made at first touch."""
    inputs = touched.get(node_id)
    if inputs is None:
        node = prompt[node_id]
        inputs = touched[node_id] = dict(node["inputs"])
        prompt[node_id] = {**node, "inputs": inputs}
    return inputs
