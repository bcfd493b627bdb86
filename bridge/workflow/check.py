"""Whether a ComfyUI can run a graph: every node and input against its `object_info`.

ComfyUI answers POST /prompt with the same findings, but for one prompt at a time and without saying what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from bridge.workflow.names import nearest
from bridge.workflow.object_info import InputInfo, NodeInfo, ObjectInfo
from bridge.workflow.outputs import PACK_CLASS
from bridge.workflow.packs import NO_PACKS, NodePacks
from bridge.workflow.template import Graph, Link, Node, Scalar
from bridge.workflow.workflow import Workflow


class ProblemKind(StrEnum):
    """What sort of problem it is: `error` stops the graph anywhere, the others can be put right from outside."""

    ERROR = "error"
    MISSING_NODE = "missing_node"
    MISSING_MODEL = "missing_model"
    MISSING_PICTURE = "missing_picture"
    UNUSED_INPUT = "unused_input"


class Problem(str):
    """One line naming node, input and what would be right; `kind` and the node's `class_type` are for a program.

    `stops` is False for what doesn't keep ComfyUI from running the graph: an input that it ignores, a picture that
    is uploaded when it is needed.
    """

    __slots__ = ("class_type", "kind")
    kind: ProblemKind
    class_type: str

    def __new__(cls, kind: ProblemKind, text: str, class_type: str = "") -> Problem:
        problem = super().__new__(cls, text)
        problem.kind = kind
        problem.class_type = class_type
        return problem

    @property
    def stops(self) -> bool:
        """Whether ComfyUI would refuse the graph for it."""
        return self.kind not in (ProblemKind.UNUSED_INPUT, ProblemKind.MISSING_PICTURE)


MODEL_SUFFIXES: Final = (".safetensors", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".sft", ".gguf", ".onnx", ".pkl")

MODEL_FOLDERS: Final = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "model_name": "upscale_models",
}
"""Input name of the stock loaders -> folder under ComfyUI's `models`."""


def check_against(
    subject: Workflow | Graph, object_info: ObjectInfo, packs: NodePacks = NO_PACKS
) -> tuple[Problem, ...]:
    """Every reason why a ComfyUI with these nodes can't run the graph, in the order of the graph; empty if it can.

    A model file that isn't listed is a `missing_model`, so that a graph can be checked offline against an
    `object_info` without models. `packs` names the node pack that brings a missing node.
    """
    graph = subject.graph if isinstance(subject, Workflow) else subject
    problems: list[Problem] = []
    for node in graph.nodes.values():
        info = object_info.get(node.class_type)
        if info is None:
            hint = _missing_hint(node.class_type, object_info, packs)
            words = f"{node.words}: this ComfyUI has no such node; {hint}"
            problems.append(Problem(ProblemKind.MISSING_NODE, words, node.class_type))
            continue
        for problem in _input_problems(node, info, graph, object_info):
            problem.class_type = node.class_type
            problems.append(problem)
    return tuple(problems)


def bits_notes(workflow: Workflow, object_info: ObjectInfo) -> tuple[str, ...]:
    """A line for each output that asks for more bits than a ComfyUI with these nodes can send."""
    if object_info.get(PACK_CLASS) is not None:
        return ()
    return tuple(
        f"output {output.name!r} asks for {output.bits} bits; only texbridge's nodes send more than 8, and this "
        "ComfyUI has none (`texbridge nodes install` brings them): 8 come"
        for output in workflow.spec.outputs
        if output.bits > 8
    )


def _missing_hint(class_type: str, object_info: ObjectInfo, packs: NodePacks) -> str:
    pack = packs.find(class_type)
    if pack is not None:
        return f"it is of the node pack {pack.words}: install it, e.g. with ComfyUI-Manager"
    near = nearest(class_type, object_info.nodes)
    return f"did you mean {near!r}?" if near else "install the custom node that brings it, or update ComfyUI"


def _input_problems(node: Node, info: NodeInfo, graph: Graph, object_info: ObjectInfo) -> Iterator[Problem]:
    unknown = [name for name in node.inputs if name not in info.inputs]
    missing = [name for name, spec in info.inputs.items() if spec.required and name not in node.inputs]
    for name in missing:
        near = nearest(name, unknown)
        if near:
            unknown.remove(near)
        hint = f"the graph has {near!r}: rename it" if near else f"it takes {_takes(info.inputs[name])}"
        yield Problem(ProblemKind.ERROR, f"{node.words}: input {name!r} is missing; {hint}")
    for name in unknown:
        near = nearest(name, [known for known in info.inputs if known not in node.inputs])
        hint = f"; did you mean {near!r}?" if near else ""
        yield Problem(ProblemKind.UNUSED_INPUT, f"{node.words}: has no input {name!r}, ComfyUI ignores it{hint}")
    for name, value in node.inputs.items():
        spec = info.inputs.get(name)
        if spec is None:
            continue
        if isinstance(value, Link):
            problem = _link_problem(node, spec, value, graph, object_info)
        else:
            problem = _value_problem(node, spec, value, object_info)
        if problem is not None:
            yield problem


def _link_problem(node: Node, spec: InputInfo, link: Link, graph: Graph, object_info: ObjectInfo) -> Problem | None:
    source = graph.nodes[link.node_id]
    info = object_info.get(source.class_type)
    if info is None:
        return None
    where = f"{node.words}: input {spec.name!r}"
    if link.slot >= len(info.outputs):
        have = ", ".join(f"{slot} {kind}" for slot, kind in enumerate(info.outputs)) or "none"
        return Problem(
            ProblemKind.ERROR, f"{where} is linked to output {link.slot} of {source.words}, which has {have}"
        )
    given = info.outputs[link.slot]
    if _fits(given, spec.type):
        return None
    right = [str(slot) for slot, kind in enumerate(info.outputs) if _fits(kind, spec.type)]
    hint = f"; its output {right[0]} is one" if right else ""
    return Problem(
        ProblemKind.ERROR, f"{where} takes {spec.type}, output {link.slot} of {source.words} is {given}{hint}"
    )


def _fits(given: str, wanted: str) -> bool:
    """Whether an output's type may go into an input; `*` is any type, a comma separates alternatives."""
    if "*" in (given, wanted):
        return True
    return not set(given.split(",")).isdisjoint(wanted.split(","))


def _value_problem(node: Node, spec: InputInfo, value: Scalar, object_info: ObjectInfo) -> Problem | None:
    where = f"{node.words}: input {spec.name!r}"
    if not spec.is_widget:
        if spec.required and not object_info.takes_value(spec):
            return Problem(ProblemKind.ERROR, f"{where} holds {_shown(value)}, but takes {spec.type} over a link")
        return None
    if spec.type == "COMBO":
        return _choice_problem(where, spec, value)
    wrong = _wrong_type(spec, value)
    if wrong:
        return Problem(ProblemKind.ERROR, f"{where} holds {_shown(value)}, which is no {spec.type}")
    if isinstance(value, int | float) and spec.type in ("INT", "FLOAT"):
        over = spec.maximum is not None and value > spec.maximum
        under = spec.minimum is not None and value < spec.minimum
        if over or under:
            return Problem(ProblemKind.ERROR, f"{where} holds {value}, outside {spec.minimum}..{spec.maximum}")
    return None


def _choice_problem(where: str, spec: InputInfo, value: Scalar) -> Problem | None:
    if value in spec.choices:
        return None
    if spec.is_picture:
        return Problem(
            ProblemKind.MISSING_PICTURE,
            f"{where}: {_shown(value)} isn't in ComfyUI's input folder; put it there, or send a picture",
        )
    if isinstance(value, str) and (not spec.choices or value.lower().endswith(MODEL_SUFFIXES)):
        folder = MODEL_FOLDERS.get(spec.name, "")
        near = nearest(value, [choice for choice in spec.choices if isinstance(choice, str)])
        hint = f" (there is {near!r})" if near else ""
        place = f"models/{folder}" if folder else "its folder under models"
        return Problem(ProblemKind.MISSING_MODEL, f"{where}: put {value} into {place} of ComfyUI{hint}")
    listed = ", ".join(str(choice) for choice in spec.choices[:16])
    near = nearest(str(value), [str(choice) for choice in spec.choices])
    hint = f"did you mean {near!r}?" if near else f"it offers {listed}"
    return Problem(ProblemKind.ERROR, f"{where} holds {_shown(value)}, which isn't offered; {hint}")


def _wrong_type(spec: InputInfo, value: Scalar) -> bool:
    """Only what ComfyUI itself can't convert is wrong: it reads "7" as an INT."""
    if spec.type == "STRING":
        return value is None
    if spec.type == "BOOLEAN":
        return not isinstance(value, bool | int)
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return True
    return number is None


def _takes(spec: InputInfo) -> str:
    if spec.type == "COMBO":
        return "one of " + (", ".join(str(choice) for choice in spec.choices[:8]) or "the files in its folder")
    return spec.type if spec.is_widget else f"a link to {spec.type}"


def _shown(value: Scalar) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
