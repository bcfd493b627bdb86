"""Picture keys of a binding: what they become, and what is refused."""

import json

import pytest

from bridge.errors import WorkflowError
from bridge.types import Fill, Fit, PictureRule
from bridge.workflow.binding import load_workflow
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.picture_rules import rule_words

UPLOAD = [["a.png"], {"image_upload": True}]
INFO = ObjectInfo.from_json(
    json.dumps(
        {
            "LoadImage": {
                "input": {"required": {"image": [["a.png"], {"image_upload": True}]}},
                "output": ["IMAGE", "MASK"],
            },
            "LoadImageMask": {
                "input": {
                    "required": {
                        "image": UPLOAD,
                        "channel": [["alpha", "red", "green", "blue"]],
                    }
                },
                "output": ["MASK"],
            },
            "MaskToImage": {"input": {"required": {"mask": ["MASK"]}}, "output": ["IMAGE"]},
            "ImageInvert": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"]},
            "SaveImageWebsocket": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
        }
    ).encode()
)


def graph(loader="LoadImage", slot=0, **more):
    middle = {"class_type": "MaskToImage", "inputs": {"mask": ["1", slot]}}
    if loader == "LoadImage" and not slot:
        middle = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}
    return {
        "1": {"class_type": loader, "inputs": {"image": "a.png", **more}, "_meta": {"title": "@photo:image"}},
        "2": middle,
        "3": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}},
    }


def rule(keys="", nodes=None):
    binding = f"[parameters.photo]\n{keys}\n"
    workflow = load_workflow("w", json.dumps(nodes or graph()).encode(), binding.encode(), INFO)
    return workflow.picture_rules["photo"]


def test_nothing_said():
    assert rule() == PictureRule()


def test_everything_said():
    keys = """
        near = 0.3
        far = 20
        invert = true
        fill = "nearest"
        rotate = 90
        mirror_x = true
        fit = "cover"
        lossless = true
    """
    assert rule(keys) == PictureRule(0.3, 20.0, True, Fill.NEAREST, 90, True, Fit.COVER, True, False)
    assert rule('fit = "none"\nfill = "none"\nrotate = 0') == PictureRule()


def test_in_words():
    assert rule_words(PictureRule()) == ""
    words = "near 0.3, far 20, invert, fill nearest, rotate 90, mirror_x, fit cover, lossless"
    assert rule_words(PictureRule(0.3, 20.0, True, Fill.NEAREST, 90, True, Fit.COVER, True, True)) == words


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (graph(), PictureRule()),
        (graph(slot=1), PictureRule(alpha=True)),
        (graph("LoadImageMask", channel="alpha"), PictureRule(lossless=True, alpha=True)),
        (graph("LoadImageMask", channel="red"), PictureRule(lossless=True)),
    ],
)
def test_alpha_and_masks_are_seen_in_the_graph(nodes, expected):
    assert rule(nodes=nodes) == expected


@pytest.mark.parametrize(
    ("keys", "in_words"),
    [
        ("near = true", "[parameters.photo]: near must be a finite number, not 'True'"),
        ("far = inf", "far must be a finite number"),
        ("far = 1e39", "far must be a finite number"),
        ('near = "1"', "near must be a finite number"),
        ("near = 2", "near needs far beside it"),
        ("near = 2\nfar = 2", "near and far are both 2: nothing lies between them"),
        ("far = 0", "near and far are both 0"),
        ("invert = 1", "invert must be true or false"),
        ('fill = "nearst"', "fill is 'nearst'; it is one of none, near, far, nearest (did you mean 'nearest'?)"),
        ("rotate = 45", "rotate is '45'; it is one of 0, 90, 180, 270"),
        ("rotate = true", "rotate is 'True'"),
        ('fit = "crop"', "fit is 'crop'; it is one of none, stretch, contain, cover"),
        ("mirror = true", "unknown key 'mirror'; did you mean 'mirror_x'?"),
        ("min = 1", "min says nothing for type image"),
    ],
)
def test_refused_with_words(keys, in_words):
    with pytest.raises(WorkflowError) as caught:
        rule(keys)
    assert in_words in caught.value.message


def test_picture_keys_are_for_pictures():
    nodes = graph("LoadImageMask", channel="red")
    nodes["1"]["_meta"]["title"] = "@photo:channel"
    with pytest.raises(WorkflowError, match="far says nothing for type choice: take it out"):
        load_workflow("w", json.dumps(nodes).encode(), b"[parameters.photo]\nfar = 1\n", INFO)
