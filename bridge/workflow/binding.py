"""Titles, `binding.toml` and graph put together: two files in, a `Workflow` out.

Names come from titles in the graph and from `binding.toml`, which extends and overrides them. With neither, the
graph still runs: its one seed input and its one pair of width and height are found if there is no doubt.
Source: wire contract, Workflows; `protocols/workflow-binding.md`.
"""

from __future__ import annotations

import math
from typing import Final

from bridge.errors import WorkflowError
from bridge.types import FeedbackRule, ParameterType, PictureRule, Size, WorkflowSpec
from bridge.workflow.binding_file import BindingFile, ParameterEntry, parse_binding_file
from bridge.workflow.digest import workflow_digest
from bridge.workflow.feedback import feedback_parameters, feedback_rule
from bridge.workflow.names import label_of, parameter_name_problem, workflow_name_problem
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.outputs import outputs_of_lists, place_outputs
from bridge.workflow.parameters import BoundInput, Parameter, make_parameter
from bridge.workflow.picture_rules import picture_rule
from bridge.workflow.targets import Target, find_target, free_inputs, mark_target
from bridge.workflow.template import Graph, parse_template
from bridge.workflow.titles import SIZE_WORDS, Title, parse_title
from bridge.workflow.workflow import Place, SizeBinding, Workflow
from bridge.workflow.writers import MAX_SEED, seed_writer

DEFAULT_SIZE_STEP: Final = 8
DEFAULT_SIZE_MAXIMUM: Final = 16384


def load_workflow(name: str, workflow_json: bytes, binding_toml: bytes | None, object_info: ObjectInfo) -> Workflow:
    """Make a workflow from its two files; types and ranges come from `object_info` where it knows the nodes.

    Raises:
        WorkflowError: a bad name, a graph or binding that can't be used; `problems` names node, input and what
            would be right, one line each. Whether a ComfyUI can run the graph is `check_against`'s question.
    """
    problem = workflow_name_problem(name)
    if problem:
        raise WorkflowError(problem)
    try:
        graph = parse_template(workflow_json)
        file = parse_binding_file(binding_toml) if binding_toml is not None else BindingFile()
        digest = workflow_digest(workflow_json, binding_toml)
        return _Loader(name, graph, file, object_info, digest).workflow()
    except WorkflowError as error:
        head, *_ = error.message.split("\n", 1)
        raise WorkflowError(f"workflow {name!r}: {head}", error.problems) from None


class _Loader:
    """Puts titles, binding file and graph together, and collects every problem on the way."""

    def __init__(self, name: str, graph: Graph, file: BindingFile, object_info: ObjectInfo, digest: str) -> None:
        self.name = name
        self.digest = digest
        self.file = file
        self.object_info = object_info
        self.problems: list[str] = []
        self.titles: dict[str, Title] = {
            node.id: parse_title(node.title, node.words, self.problems) for node in graph.nodes.values()
        }
        self.outputs = place_outputs(graph, self.titles, file.outputs, object_info, self.problems)
        self.graph = self.outputs.graph
        self.targets: dict[str, list[Target]] = {}
        self.labels: dict[str, str] = {}
        self.marked: set[str] = set()

    def workflow(self) -> Workflow:
        self._read_titles()
        self._read_file()
        if self._is_unbound():
            self._find_controls()
        seeds = tuple(self.targets.pop("seed", ()))
        widths, heights = (tuple(self.targets.pop(word, ())) for word in ("@width", "@height"))
        parameters = self._parameters()
        size = self._size(widths, heights)
        pictures = self._picture_rules(parameters)
        feedback, parameters = self._feedback(parameters, pictures)
        self._refuse_shared_inputs(seeds, widths, heights)
        for target in seeds:
            if target.info is not None and target.info.type != "INT":
                self.problems.append(f"seed: {target.words} takes {target.info.type}; a seed goes to an INT")
        if self.problems:
            raise WorkflowError("is not usable:", tuple(self.problems))
        default_seed = seeds[0].value if seeds else 0
        spec = WorkflowSpec(
            name=self.name,
            label=self.file.label or label_of(self.name),
            parameters=tuple(parameter.spec for parameter in parameters),
            outputs=self.outputs.specs,
            has_seed=bool(seeds),
            default_seed=default_seed if type(default_seed) is int and 0 <= default_seed <= MAX_SEED else 0,
            size=None if size is None else _own_size(widths, heights),
            size_step=DEFAULT_SIZE_STEP if size is None else size.step,
            size_minimum=1 if size is None else size.minimum,
            size_maximum=DEFAULT_SIZE_MAXIMUM if size is None else size.maximum,
            digest=self.digest,
            feedback=feedback,
        )
        bound_seeds = tuple(BoundInput(t.node.id, t.input, seed_writer("seed", t)) for t in seeds)
        return Workflow(
            spec,
            self.graph,
            parameters,
            bound_seeds,
            size,
            self.outputs.node_ids,
            self.outputs.notes,
            self.file.description,
            pictures,
            outputs_of_lists(self.graph, self.outputs.node_ids, self.object_info),
        )

    def _feedback(
        self, parameters: tuple[Parameter, ...], pictures: dict[str, PictureRule]
    ) -> tuple[FeedbackRule | None, tuple[Parameter, ...]]:
        """The loop that the file names, and the parameters with those that it brings."""
        entry = self.file.feedback
        if entry is None:
            return None, parameters
        rule = feedback_rule(
            entry,
            parameters,
            self.outputs.specs,
            pictures,
            lambda fault: self.problems.append(f"[feedback]: {fault}"),
        )
        return rule, (parameters if rule is None else (*parameters, *feedback_parameters(entry)))

    def _picture_rules(self, parameters: tuple[Parameter, ...]) -> dict[str, PictureRule]:
        return {
            name: picture_rule(
                self.file.parameters.get(name, ParameterEntry(name)).picture, tuple(self.targets[name]), self.graph
            )
            for name in (parameter.spec.name for parameter in parameters if parameter.spec.type is ParameterType.IMAGE)
        }

    # --- who writes where ----------------------------------------------------------------------------------

    def _read_titles(self) -> None:
        for node in self.graph.nodes.values():
            title = self.titles[node.id]
            for mark in title.marks:
                if mark.name in SIZE_WORDS:
                    key = f"@{mark.name}"
                elif mark.name == "seed":
                    key = "seed"
                else:
                    problem = parameter_name_problem(mark.name)
                    if problem:
                        self.problems.append(f"{node.words}: {problem}")
                        continue
                    key = mark.name
                self.marked.add(key)
                target = mark_target(node, mark.name, mark.input, self.object_info, self.problems)
                if target is not None:
                    self.targets.setdefault(key, []).append(target)
                    if len(title.marks) == 1 and title.label:
                        self.labels.setdefault(key, title.label)

    def _read_file(self) -> None:
        places = {
            "seed": (self.file.seed, "[seed]"),
            "@width": (self.file.width, "[size] width"),
            "@height": (self.file.height, "[size] height"),
        }
        places.update((name, (entry.inputs, f"[parameters.{name}]")) for name, entry in self.file.parameters.items())
        for key, (texts, where) in places.items():
            if not texts:
                if key in self.file.parameters and key not in self.marked:
                    self.problems.append(f'{where}: needs input, e.g. input = "3.sigma", or a title with @{key}')
                continue
            found = [
                find_target(self.graph, self.titles, self.object_info, text, where, self.problems) for text in texts
            ]
            self.targets[key] = [target for target in found if target is not None]

    def _is_unbound(self) -> bool:
        file = self.file
        said = file.parameters or file.seed or file.width or file.height
        return not said and not any(title.marks for title in self.titles.values())

    def _find_controls(self) -> None:
        """Without a single word of binding: the only seed input, and the only node with a width and a height."""
        seeds: list[tuple[str, str]] = []
        sized: list[str] = []
        for node in self.graph.nodes.values():
            free = free_inputs(node, self.object_info)
            seeds.extend((node.id, name) for name in ("seed", "noise_seed") if name in free)
            if all(word in free for word in SIZE_WORDS):
                sized.append(node.id)
        found = [("seed", *seeds[0])] if len(seeds) == 1 else []
        if len(sized) == 1:
            found += [("@width", sized[0], "width"), ("@height", sized[0], "height")]
        for key, node_id, name in found:
            text = f"{node_id}.{name}"
            target = find_target(self.graph, self.titles, self.object_info, text, key, self.problems)
            if target is not None:
                self.targets[key] = [target]

    # --- what comes of it ----------------------------------------------------------------------------------

    def _parameters(self) -> tuple[Parameter, ...]:
        """In the order of the binding file, then of the graph."""
        names = [name for name in self.file.parameters if self.targets.get(name)]
        names += [name for name in self.targets if name not in self.file.parameters and self.targets[name]]
        made = [
            make_parameter(
                name,
                tuple(self.targets[name]),
                self.labels.get(name, ""),
                self.file.parameters.get(name, ParameterEntry(name)),
                self.problems,
            )
            for name in names
        ]
        return tuple(parameter for parameter in made if parameter is not None)

    def _size(self, widths: tuple[Target, ...], heights: tuple[Target, ...]) -> SizeBinding | None:
        if not widths and not heights:
            if self.file.size_step is not None or self.file.size_maximum is not None:
                self.problems.append("[size]: step and maximum say nothing without width and height")
            return None
        if not widths or not heights:
            missing = "height" if widths else "width"
            self.problems.append(f"size: only one of width and height is bound; say @{missing} too")
            return None
        targets = (*widths, *heights)
        before = len(self.problems)
        for target in targets:
            kind = target.info.type if target.info is not None else "INT"
            if kind != "INT" or type(target.value) is not int:
                self.problems.append(f"size: {target.words} holds {target.value!r}; width and height go to an INT")
        if len(self.problems) > before:
            return None
        infos = [target.info for target in targets if target.info is not None]
        maximum = min([int(info.maximum) for info in infos if info.maximum is not None] or [DEFAULT_SIZE_MAXIMUM])
        minimum = max([1, *(int(info.minimum) for info in infos if info.minimum is not None)])
        if self.file.size_maximum is not None and self.file.size_maximum > maximum:
            self.problems.append(f"[size]: maximum {self.file.size_maximum} is over what the nodes take, {maximum}")
        own = _own_size(widths, heights)
        step = self.file.size_step
        if step is None:
            # The graph's own size must be one that can be asked for.
            steps = [int(info.step) for info in infos if info.step]
            step = math.gcd(math.lcm(DEFAULT_SIZE_STEP, *steps), *own)
        binding = SizeBinding(
            _places(widths), _places(heights), minimum, step, min(self.file.size_maximum or maximum, maximum)
        )
        for word, pixels in zip(SIZE_WORDS, own, strict=True):
            if not minimum <= pixels <= binding.maximum or pixels % step:
                self.problems.append(
                    f"size: the graph's own {word} {pixels} is not {minimum}..{binding.maximum} in steps of {step}"
                )
        return binding

    def _refuse_shared_inputs(
        self, seeds: tuple[Target, ...], widths: tuple[Target, ...], heights: tuple[Target, ...]
    ) -> None:
        writers = {"seed": seeds, "width": widths, "height": heights}
        writers.update((f"parameter {name!r}", tuple(targets)) for name, targets in self.targets.items())
        taken: dict[Place, str] = {}
        for writer, targets in writers.items():
            for target in targets:
                place = (target.node.id, target.input)
                if place in taken:
                    self.problems.append(f"{target.words} is bound twice: {taken[place]} and {writer}; keep one")
                taken[place] = writer


def _own_size(widths: tuple[Target, ...], heights: tuple[Target, ...]) -> Size:
    width, height = widths[0].value, heights[0].value
    return Size(width if type(width) is int else 0, height if type(height) is int else 0)


def _places(targets: tuple[Target, ...]) -> tuple[Place, ...]:
    return tuple((target.node.id, target.input) for target in targets)
