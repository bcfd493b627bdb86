"""Bound prompts with the node pack's nodes in the place of stock ones."""

from __future__ import annotations

import copy
import json
from typing import Any

from bridge.app.data import data_folder
from bridge.types import Picture
from bridge.workflow.binding import load_workflow
from bridge.workflow.nodes import PictureTicket, node_prompt, takes_tickets
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.workflow import Workflow

INFO = ObjectInfo.from_json((data_folder("workflows") / "object_info.json").read_bytes())
PICTURE = Picture(b"x", "00")


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def make(**nodes: dict[str, Any]) -> Workflow:
    graph = {key.removeprefix("n"): value for key, value in nodes.items()}
    return load_workflow("test", json.dumps(graph).encode(), None, INFO)


PHOTO = make(
    n1=node("LoadImage", "@photo:image", image="a.png"),
    n2=node("LoadImageMask", "@stencil:image", image="b.png", channel="red"),
    n3=node("JoinImageWithAlpha", image=["1", 0], alpha=["2", 0]),
    n4=node("SaveImage", "@out image", images=["3", 0], filename_prefix="x"),
)


def settings(output: int) -> dict[str, Any]:
    return {"format": "raw", "output": output}


def test_outputs_and_loaders_are_replaced_and_the_rest_stays() -> None:
    tickets = {"photo": PictureTicket("s/one"), "stencil": PictureTicket("s/two")}
    bound = PHOTO.bind({"photo": PICTURE, "stencil": PICTURE}, 0, None, tickets)
    before = copy.deepcopy(dict(bound.prompt))
    prompt = node_prompt(bound, settings)
    assert prompt["1"]["class_type"] == "TexBridgeInput"
    assert prompt["1"]["inputs"] == {"picture": "s/one"}
    assert type(prompt["1"]["inputs"]["picture"]) is str  # what JSON writers take
    assert prompt["2"]["class_type"] == "TexBridgeInputMask"
    assert prompt["2"]["inputs"] == {"picture": "s/two", "channel": "red"}
    assert prompt["3"] is bound.prompt["3"]
    assert prompt["4"]["class_type"] == "TexBridgeOutput"
    assert prompt["4"]["inputs"] == {"images": ["3", 0], "format": "raw", "output": 0}
    assert prompt["4"]["_meta"] == bound.prompt["4"]["_meta"]
    assert list(prompt) == list(bound.prompt)
    assert bound.prompt == before


def test_uploaded_files_stay_with_their_loader() -> None:
    bound = PHOTO.bind({"photo": PICTURE}, 0, None, {"photo": "texbridge/x.png"})
    prompt = node_prompt(bound, settings)
    assert prompt["1"] is bound.prompt["1"]
    assert prompt["2"] is bound.prompt["2"]


def test_stock_outputs_with_pictures_from_memory() -> None:
    bound = PHOTO.bind({"photo": PICTURE}, 0, None, {"photo": PictureTicket("s/one")})
    prompt = node_prompt(bound, None)
    assert prompt["1"]["class_type"] == "TexBridgeInput"
    assert prompt["4"] is bound.prompt["4"]


def test_which_parameters_take_tickets() -> None:
    assert takes_tickets(PHOTO, "photo")
    assert takes_tickets(PHOTO, "stencil")
    assert not takes_tickets(PHOTO, "nobody")
