"""Bound prompts that use the node pack in ComfyUI: raw pixels out, pictures from memory in.

Like the files of a mute ComfyUI, this is done to a prompt that is bound: ids, order and what comes before the outputs
stay, so that ComfyUI's cache holds, and whoever has no nodes gets the stock prompt. Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from bridge.types import ColorMatch, PictureMove, Size
from bridge.workflow.outputs import PACK_CLASS
from bridge.workflow.template import Prompt, Scalar
from bridge.workflow.workflow import BoundPrompt, Workflow

OUTPUT_NODE: Final = PACK_CLASS
INPUT_NODE: Final = "TexBridgeInput"
INPUT_MASK_NODE: Final = "TexBridgeInputMask"
FEEDBACK_NODE: Final = "TexBridgeFeedback"
NODE_CLASSES: Final = frozenset({OUTPUT_NODE, INPUT_NODE, INPUT_MASK_NODE, FEEDBACK_NODE})

_INPUTS_OF: Final = {"LoadImage": INPUT_NODE, "LoadImageMask": INPUT_MASK_NODE}
"""What stands in the place of the stock loaders; their outputs are the same, slot by slot."""
_PICTURE_INPUT: Final = "image"


class PictureTicket(str):
    """What the node pack calls a picture that waits in ComfyUI's memory. Only `node_prompt` can use it."""

    __slots__ = ()


class KeptTicket(PictureTicket):
    """What the node pack calls the last picture of a loop, which it keeps itself, with how it moves on its way back."""

    def __new__(cls, name: str, inputs: Mapping[str, Scalar]) -> KeptTicket:
        """`inputs` are the feedback node's, beside the name."""
        made = super().__new__(cls, name)
        made.inputs = dict(inputs)
        return made

    inputs: Mapping[str, Scalar]


def kept_ticket(name: str, move: PictureMove, size: Size | None, match: ColorMatch | None) -> KeptTicket:
    """The ticket of a kept picture that goes back moved, in `size` (None: its own), with its colours held."""
    inputs: dict[str, Scalar] = {
        "zoom": move.zoom,
        "rotate": move.rotate,
        "x": move.x,
        "y": move.y,
        "edge": move.edge.value,
    }
    if size is not None:
        inputs |= {"width": size.width, "height": size.height}
    if match is not None:
        mean, deviation = (" ".join(f"{number:.6f}" for number in numbers) for numbers in (match.mean, match.deviation))
        inputs |= {"match": match.amount, "mean": mean, "deviation": deviation}
    return KeptTicket(name, inputs)


class Keep(NamedTuple):
    """The picture of this output is to be kept in ComfyUI's memory under this name."""

    output: int
    name: str


def takes_kept(workflow: Workflow, parameter: str) -> bool:
    """Whether the last picture can come from ComfyUI's memory: every place that takes it is a LoadImage's."""
    places = workflow.picture_inputs.get(parameter, ())
    nodes = workflow.graph.nodes
    return bool(places) and all(
        name == _PICTURE_INPUT and nodes[node_id].class_type == "LoadImage" for node_id, name in places
    )


def takes_tickets(workflow: Workflow, parameter: str) -> bool:
    """Whether a picture of this parameter can come from memory: every place that takes it is a stock loader's."""
    places = workflow.picture_inputs.get(parameter, ())
    nodes = workflow.graph.nodes
    return bool(places) and all(
        name == _PICTURE_INPUT and nodes[node_id].class_type in _INPUTS_OF for node_id, name in places
    )


def node_prompt(bound: BoundPrompt, settings: Callable[[int], Mapping[str, Scalar]] | None) -> Prompt:
    """The prompt with loaders that have a `PictureTicket` taking it from memory, and outputs that send by our node.

    `settings(output)` gives the output node's inputs beside `images`; with None the stock outputs stay. `bound` is not
    changed.
    """
    prompt = dict(bound.prompt)
    for node_id, node in bound.prompt.items():
        ticket = node["inputs"].get(_PICTURE_INPUT)
        if isinstance(ticket, PictureTicket):
            prompt[node_id] = _loader(node, ticket)
    if settings is not None:
        for node_id, output in bound.output_nodes.items():
            node = prompt[node_id]
            inputs = {"images": node["inputs"]["images"], **settings(output)}
            prompt[node_id] = {**node, "class_type": OUTPUT_NODE, "inputs": inputs}
    return prompt


def _loader(node: Mapping[str, Any], ticket: PictureTicket) -> dict[str, Any]:
    if isinstance(ticket, KeptTicket):
        return {**node, "class_type": FEEDBACK_NODE, "inputs": {"kept": str(ticket), **ticket.inputs}}
    inputs: dict[str, Any] = {"picture": str(ticket)}
    if "channel" in node["inputs"]:
        inputs["channel"] = node["inputs"]["channel"]
    return {**node, "class_type": _INPUTS_OF[node["class_type"]], "inputs": inputs}
