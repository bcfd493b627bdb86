"""Bound prompts that use the node pack in ComfyUI: raw pixels out, pictures from memory in.

Like the files of a mute ComfyUI, this is done to a prompt that is bound: ids, order and what comes before the outputs
stay, so that ComfyUI's cache holds, and whoever has no nodes gets the stock prompt. Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.workflow.template import Prompt, Scalar
from bridge.workflow.workflow import BoundPrompt, Workflow

OUTPUT_NODE: Final = "TexBridgeOutput"
INPUT_NODE: Final = "TexBridgeInput"
INPUT_MASK_NODE: Final = "TexBridgeInputMask"
NODE_CLASSES: Final = frozenset({OUTPUT_NODE, INPUT_NODE, INPUT_MASK_NODE})

_INPUTS_OF: Final = {"LoadImage": INPUT_NODE, "LoadImageMask": INPUT_MASK_NODE}
"""What stands in the place of the stock loaders; their outputs are the same, slot by slot."""
_PICTURE_INPUT: Final = "image"


class PictureTicket(str):
    """What the node pack calls a picture that waits in ComfyUI's memory. Only `node_prompt` can use it."""

    __slots__ = ()


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
            prompt[node_id] = _loader(node, str(ticket))
    if settings is not None:
        for node_id, output in bound.output_nodes.items():
            node = prompt[node_id]
            inputs = {"images": node["inputs"]["images"], **settings(output)}
            prompt[node_id] = {**node, "class_type": OUTPUT_NODE, "inputs": inputs}
    return prompt


def _loader(node: Mapping[str, Any], ticket: str) -> dict[str, Any]:
    inputs: dict[str, Any] = {"picture": ticket}
    if "channel" in node["inputs"]:
        inputs["channel"] = node["inputs"]["channel"]
    return {**node, "class_type": _INPUTS_OF[node["class_type"]], "inputs": inputs}
