"""Small graphs, bindings and an object_info for the tests of workflows, written by hand."""

import json
from typing import Any

from bridge.workflow.binding import load_workflow
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.workflow import Workflow

CLASSES: dict[str, Any] = {
    "EmptyImage": {
        "input": {
            "required": {
                "width": ["INT", {"default": 512, "min": 1, "max": 4096, "step": 1}],
                "height": ["INT", {"default": 512, "min": 1, "max": 4096, "step": 1}],
                "batch_size": ["INT", {"default": 1, "min": 1, "max": 64}],
                "color": ["INT", {"default": 0, "min": 0, "max": 16777215, "display": "color"}],
            }
        },
        "output": ["IMAGE"],
    },
    "ImageBlur": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "blur_radius": ["INT", {"default": 1, "min": 1, "max": 31, "step": 1}],
                "sigma": ["FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.1}],
            }
        },
        "output": ["IMAGE"],
    },
    "ImageBlend": {
        "input": {
            "required": {
                "image1": ["IMAGE"],
                "image2": ["IMAGE"],
                "blend_factor": ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0}],
                "blend_mode": ["COMBO", {"options": ["normal", "screen"]}],
            }
        },
        "output": ["IMAGE"],
    },
    "ImageFlip": {
        "input": {"required": {"image": ["IMAGE"], "flip_method": [["x-axis", "y-axis"]]}},
        "output": ["IMAGE"],
    },
    "Noise": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "seed": ["INT", {"default": 0, "min": 0, "max": 4294967295}],
                "strength": ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0}],
            }
        },
        "output": ["IMAGE"],
    },
    "Place": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "x": ["FLOAT", {"default": 0.0, "min": -8.0, "max": 8.0}],
                "y": ["FLOAT", {"default": 0.0, "min": -4.0, "max": 4.0}],
                "clip": ["BOOLEAN", {"default": False}],
                "size": [[1, 2, 4]],
                "tint": ["STRING", {"default": "#ffffff"}],
            },
            "optional": {"amount": ["FLOAT", {"default": 0.25, "min": 0.0, "max": 1.0}], "mask": ["MASK"]},
        },
        "output": ["IMAGE", "MASK"],
    },
    "Curve": {
        "input": {"required": {"image": ["IMAGE"], "curve": ["MY_CURVE"], "either": ["MASK,MY_CURVE"]}},
        "output": ["IMAGE"],
    },
    "Text": {"input": {"required": {"value": ["STRING", {"multiline": True}]}}, "output": ["STRING"]},
    "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]},
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [[], {}]}}, "output": ["MODEL", "CLIP", "VAE"]},
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "x"}]}},
        "output": [],
        "output_node": True,
    },
    "PreviewImage": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
    "PreviewAny": {"input": {"required": {"source": ["*"]}}, "output": [], "output_node": True},
    "SaveImageWebsocket": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
}

INFO = ObjectInfo.from_json(json.dumps(CLASSES).encode())


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """One node as ComfyUI exports it."""
    entry: dict[str, Any] = {"inputs": inputs, "class_type": class_type}
    if title:
        entry["_meta"] = {"title": title}
    return entry


def graph(**nodes: dict[str, Any]) -> bytes:
    """A graph file; the node `n3` has the id "3"."""
    return json.dumps({name.removeprefix("n"): entry for name, entry in nodes.items()}).encode()


def empty_image(title: str = "", **inputs: Any) -> dict[str, Any]:
    return node("EmptyImage", title, **{"width": 64, "height": 64, "batch_size": 1, "color": 0x336699, **inputs})


def blurred(blur_title: str = "", **more: dict[str, Any]) -> bytes:
    """EmptyImage (1) -> ImageBlur (2) -> SaveImageWebsocket (3), and what else is given."""
    return graph(
        n1=empty_image(),
        n2=node("ImageBlur", blur_title, image=["1", 0], blur_radius=3, sigma=1.5),
        n3=node("SaveImageWebsocket", images=["2", 0]),
        **more,
    )


def load(workflow_json: bytes, binding: str | None = None, name: str = "try") -> Workflow:
    """Load against `INFO`."""
    return load_workflow(name, workflow_json, None if binding is None else binding.encode(), INFO)
