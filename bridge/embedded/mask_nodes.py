"""The nodes around masks (`[batch, height, width]` float32 0..1) and alpha, and the primitive values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.embedded.catalog import InputSpec, node
from bridge.embedded.image_nodes import number, side
from bridge.embedded.job import Job
from bridge.embedded.resize import Pixels, resize

Mask = NDArray[np.float32]
MASKS: dict[str, Any] = {"module": "comfy_extras.nodes_mask"}
COMPOSITING: dict[str, Any] = {
    "module": "comfy_extras.nodes_compositing",
    "category": "mask/compositing",
    "schema": True,
}
PRIMITIVE: dict[str, Any] = {"module": "comfy_extras.nodes_primitive", "category": "utils/primitive", "schema": True}
LARGEST = 2**63 - 1


@node(
    "SolidMask",
    **MASKS,
    category="mask",
    display_name="SolidMask",
    outputs=("MASK",),
    inputs={"value": number(1.0, 0.0, 1.0, 0.01, "FLOAT"), "width": side(), "height": side()},
)
def solid_mask(job: Job, value: float, width: int, height: int) -> tuple[Mask]:
    job.check_pixels(1, height, width)
    return (np.full((1, height, width), value, np.float32),)


@node("InvertMask", **MASKS, category="mask", display_name="InvertMask", outputs=("MASK",), inputs={"mask": ["MASK"]})
def invert_mask(job: Job, mask: Mask) -> tuple[Mask]:
    return (1 - mask,)


@node(
    "ThresholdMask",
    **MASKS,
    category="mask",
    display_name="ThresholdMask",
    outputs=("MASK",),
    inputs={"mask": ["MASK"], "value": number(0.5, 0.0, 1.0, 0.01, "FLOAT")},
)
def threshold_mask(job: Job, mask: Mask, value: float) -> tuple[Mask]:
    return ((mask > np.float32(value)).astype(np.float32),)


@node(
    "ImageCompositeMasked",
    **MASKS,
    category="image",
    display_name="ImageCompositeMasked",
    outputs=("IMAGE",),
    inputs={
        "destination": ["IMAGE"],
        "source": ["IMAGE"],
        "x": number(0, 0, 16384, 1),
        "y": number(0, 0, 16384, 1),
        "resize_source": ["BOOLEAN", {"default": False}],
    },
    optional={"mask": ["MASK"]},
)
def image_composite_masked(
    job: Job, destination: Pixels, source: Pixels, x: int, y: int, resize_source: bool, mask: Mask | None = None
) -> tuple[Pixels]:
    """The source laid over the destination at (x, y), clipped at its edges, where the mask (1 without one) says so."""
    made = destination.copy()
    batch, height, width, channels = made.shape
    if resize_source:
        source = resize(source, width, height, "bilinear")
    if source.shape[3] < channels:
        # As in ImageBlend, ComfyUI gives the one that has alpha a fifth channel, and fails.
        raise RuntimeError(
            f"The size of tensor a ({source.shape[3]}) must match the size of tensor b ({channels + 1}) "
            "at non-singleton dimension 1"
        )
    source = _repeated(source[..., :channels], batch)
    wide, high = min(source.shape[2], width - x), min(source.shape[1], height - y)
    if wide <= 0 or high <= 0:
        return (made,)
    part = source[:, :high, :wide]
    place = made[:, y : y + high, x : x + wide]
    if mask is None:
        place[:] = part
    else:
        scaled = resize(mask[..., None], source.shape[2], source.shape[1], "bilinear")
        share = _repeated(scaled, batch)[:, :high, :wide]
        place[:] = part * share + place * (1 - share)
    return (made,)


def _repeated(pixels: Pixels, batch: int) -> Pixels:
    """Pictures begun again from the first until there are as many as the batch."""
    if pixels.shape[0] == batch:
        return pixels
    repeated: Pixels = pixels[np.arange(batch) % pixels.shape[0]]
    return repeated


@node(
    "MaskToImage",
    **MASKS,
    category="mask",
    display_name="Convert Mask to Image",
    outputs=("IMAGE",),
    inputs={"mask": ["MASK"]},
)
def mask_to_image(job: Job, mask: Mask) -> tuple[Pixels]:
    return (np.repeat(mask[..., None], 3, axis=3),)


@node(
    "ImageToMask",
    **MASKS,
    category="mask",
    display_name="Convert Image to Mask",
    outputs=("MASK",),
    inputs={"image": ["IMAGE"], "channel": [["red", "green", "blue", "alpha"]]},
)
def image_to_mask(job: Job, image: Pixels, channel: str) -> tuple[Mask]:
    index = ("red", "green", "blue", "alpha").index(channel)
    if index >= image.shape[3]:
        raise IndexError(f"index {index} is out of bounds for dimension 3 with size {image.shape[3]}")
    return (np.ascontiguousarray(image[..., index]),)


@node(
    "JoinImageWithAlpha",
    **COMPOSITING,
    display_name="Join Image with Alpha",
    outputs=("IMAGE",),
    inputs={"image": ["IMAGE", {}], "alpha": ["MASK", {}]},
)
def join_image_with_alpha(job: Job, image: Pixels, alpha: Mask) -> tuple[Pixels]:
    height, width = image.shape[1:3]
    opacity = 1 - resize(alpha[..., None], width, height, "bilinear")
    count = min(image.shape[0], opacity.shape[0])
    return (np.concatenate((image[:count, :, :, :3], opacity[:count]), axis=3),)


@node(
    "SplitImageWithAlpha",
    **COMPOSITING,
    display_name="Split Image with Alpha",
    outputs=("IMAGE", "MASK"),
    inputs={"image": ["IMAGE", {}]},
)
def split_image_with_alpha(job: Job, image: Pixels) -> tuple[Pixels, Mask]:
    alpha = image[..., 3] if image.shape[3] > 3 else np.ones(image.shape[:3], np.float32)
    return np.ascontiguousarray(image[..., :3]), 1 - alpha


def _value(job: Job, value: Any) -> tuple[Any]:
    return (value,)


def _primitive(name: str, kind: str, display_name: str, **options: Any) -> None:
    spec: InputSpec = [kind, options]
    node(name, **PRIMITIVE, display_name=display_name, outputs=(kind,), inputs={"value": spec})(_value)


_primitive("PrimitiveString", "STRING", "String", multiline=False)
_primitive("PrimitiveStringMultiline", "STRING", "String (Multiline)", multiline=True)
_primitive("PrimitiveInt", "INT", "Int", min=-LARGEST, max=LARGEST, control_after_generate=True)
_primitive("PrimitiveFloat", "FLOAT", "Float", min=-LARGEST, max=LARGEST)
_primitive("PrimitiveBoolean", "BOOLEAN", "Boolean")
