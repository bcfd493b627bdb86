"""The nodes that make and change pictures.

An IMAGE is `[batch, height, width, channel]` float32 0..1, three channels or four. Deterministic ones give what
ComfyUI gives within 1/255; ImageAddNoise is reproducible by its seed but has its own noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.embedded.catalog import InputSpec, node
from bridge.embedded.job import Job
from bridge.embedded.resize import METHODS, Pixels, resize

POST: dict[str, Any] = {
    "module": "comfy_extras.nodes_post_processing",
    "category": "image/postprocessing",
    "schema": True,
}
IMAGES: dict[str, Any] = {"module": "comfy_extras.nodes_images"}
IMAGE: InputSpec = ["IMAGE"]
OPEN_IMAGE: InputSpec = ["IMAGE", {}]
UPSCALE: InputSpec = [list(METHODS)]


def number(
    default: float, low: float, high: float, step: float | None = 1, kind: str = "INT", **more: Any
) -> InputSpec:
    """The spec of a number input."""
    return [kind, {"default": default, "min": low, "max": high, **({} if step is None else {"step": step}), **more}]


def side(default: int = 512, low: int = 1) -> InputSpec:
    """The spec of a width or height, or of an offset."""
    return number(default, low, 16384)


@node(
    "EmptyImage",
    module="nodes",
    category="image",
    display_name="EmptyImage",
    outputs=("IMAGE",),
    inputs={
        "width": side(),
        "height": side(),
        "batch_size": number(1, 1, 4096, None),
        "color": number(0, 0, 0xFFFFFF, display="color"),
    },
)
def empty_image(job: Job, width: int, height: int, batch_size: int, color: int) -> tuple[Pixels]:
    job.check_pixels(batch_size, height, width)
    pixels = np.empty((batch_size, height, width, 3), np.float32)
    pixels[...] = np.array([color >> 16 & 255, color >> 8 & 255, color & 255], np.float32) / np.float32(255)
    return (pixels,)


@node(
    "ImageScale",
    module="nodes",
    category="image/upscaling",
    display_name="Upscale Image",
    outputs=("IMAGE",),
    inputs={
        "image": IMAGE,
        "upscale_method": UPSCALE,
        "width": side(low=0),
        "height": side(low=0),
        "crop": [["disabled", "center"]],
    },
)
def image_scale(job: Job, image: Pixels, upscale_method: str, width: int, height: int, crop: str) -> tuple[Pixels]:
    old_height, old_width = image.shape[1:3]
    if not width and not height:
        return (image,)
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    job.check_pixels(image.shape[0], height, width)
    return (resize(image, width, height, upscale_method, crop),)


@node(
    "ImageScaleBy",
    module="nodes",
    category="image/upscaling",
    display_name="Upscale Image By",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "upscale_method": UPSCALE, "scale_by": number(1.0, 0.01, 8.0, 0.01, "FLOAT")},
)
def image_scale_by(job: Job, image: Pixels, upscale_method: str, scale_by: float) -> tuple[Pixels]:
    height, width = (round(length * scale_by) for length in image.shape[1:3])
    job.check_pixels(image.shape[0], height, width)
    return (resize(image, width, height, upscale_method),)


@node(
    "ImageInvert",
    module="nodes",
    category="image",
    display_name="Invert Image",
    outputs=("IMAGE",),
    inputs={"image": IMAGE},
)
def image_invert(job: Job, image: Pixels) -> tuple[Pixels]:
    return (1.0 - image,)


@node(
    "ImageBatch",
    module="nodes",
    category="image",
    display_name="Batch Images",
    outputs=("IMAGE",),
    inputs={"image1": IMAGE, "image2": IMAGE},
)
def image_batch(job: Job, image1: Pixels, image2: Pixels) -> tuple[Pixels]:
    height, width = image1.shape[1:3]
    job.check_pixels(image1.shape[0] + image2.shape[0], height, width)
    image2 = resize(image2, width, height, "bilinear", "center")
    if image1.shape[3] != image2.shape[3]:
        raise RuntimeError(
            f"Sizes of tensors must match except in dimension 0. Expected size {image1.shape[3]} but got size "
            f"{image2.shape[3]} for tensor number 1 in the list."
        )
    return (np.concatenate((image1, image2)),)


@node(
    "ImageFlip",
    **IMAGES,
    category="image/transform",
    display_name="ImageFlip",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "flip_method": [["x-axis: vertically", "y-axis: horizontally"]]},
)
def image_flip(job: Job, image: Pixels, flip_method: str) -> tuple[Pixels]:
    return (image[:, ::-1] if flip_method.startswith("x") else image[:, :, ::-1],)


@node(
    "ImageRotate",
    **IMAGES,
    category="image/transform",
    display_name="ImageRotate",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "rotation": [["none", "90 degrees", "180 degrees", "270 degrees"]]},
)
def image_rotate(job: Job, image: Pixels, rotation: str) -> tuple[Pixels]:
    quarter_turns = {"90 degrees": 1, "180 degrees": 2, "270 degrees": 3}.get(rotation, 0)
    return (np.rot90(image, k=quarter_turns, axes=(2, 1)),)


@node(
    "ImageCrop",
    **IMAGES,
    category="image/transform",
    display_name="Image Crop",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "width": side(), "height": side(), "x": side(0, 0), "y": side(0, 0)},
)
def image_crop(job: Job, image: Pixels, width: int, height: int, x: int, y: int) -> tuple[Pixels]:
    x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return (image[:, y : y + height, x : x + width],)


@node(
    "ImageAddNoise",
    **IMAGES,
    category="image",
    display_name="ImageAddNoise",
    outputs=("IMAGE",),
    inputs={
        "image": IMAGE,
        "seed": number(0, 0, 2**64 - 1, None, control_after_generate=True),
        "strength": number(0.5, 0.0, 1.0, 0.01, "FLOAT"),
    },
)
def image_add_noise(job: Job, image: Pixels, seed: int, strength: float) -> tuple[Pixels]:
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(image.shape, np.float32)
    noise *= np.float32(strength)
    noise += image
    return (np.clip(noise, 0, 1, out=noise),)


@node(
    "ImageFromBatch",
    **IMAGES,
    category="image/batch",
    display_name="ImageFromBatch",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "batch_index": number(0, 0, 4095, None), "length": number(1, 1, 4096, None)},
)
def image_from_batch(job: Job, image: Pixels, batch_index: int, length: int) -> tuple[Pixels]:
    first = min(image.shape[0] - 1, batch_index)
    return (image[first : first + length],)


@node(
    "RepeatImageBatch",
    **IMAGES,
    category="image/batch",
    display_name="RepeatImageBatch",
    outputs=("IMAGE",),
    inputs={"image": IMAGE, "amount": number(1, 1, 4096, None)},
)
def repeat_image_batch(job: Job, image: Pixels, amount: int) -> tuple[Pixels]:
    job.check_pixels(image.shape[0] * amount, *image.shape[1:3])
    return (np.tile(image, (amount, 1, 1, 1)),)


@node(
    "GetImageSize",
    **IMAGES,
    category="image",
    display_name="Get Image Size",
    outputs=("INT", "INT", "INT"),
    output_names=("width", "height", "batch_size"),
    inputs={"image": IMAGE},
    hidden={"unique_id": "UNIQUE_ID"},
)
def get_image_size(job: Job, image: Pixels) -> tuple[int, int, int]:
    images, height, width = image.shape[:3]
    job.reporter.text(job.node_id, f"width: {width}, height: {height}\n batch size: {images}")
    return width, height, images


@node(
    "ImageBlend",
    **POST,
    outputs=("IMAGE",),
    inputs={
        "image1": OPEN_IMAGE,
        "image2": OPEN_IMAGE,
        "blend_factor": number(0.5, 0.0, 1.0, 0.01, "FLOAT"),
        "blend_mode": [
            "COMBO",
            {
                "multiselect": False,
                "options": ["normal", "multiply", "screen", "overlay", "soft_light", "difference"],
            },
        ],
    },
)
def image_blend(job: Job, image1: Pixels, image2: Pixels, blend_factor: float, blend_mode: str) -> tuple[Pixels]:
    if image1.shape[3] < image2.shape[3]:
        image2 = image2[..., : image1.shape[3]]
    elif image1.shape[3] > image2.shape[3]:
        # ComfyUI gives the one that has alpha a fifth channel, and fails.
        image1 = np.pad(image1, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)
    if image1.shape[1:3] != image2.shape[1:3]:
        image2 = resize(image2, image1.shape[2], image1.shape[1], "bicubic", "center")
    _check_broadcast(image1, image2)
    factor = np.float32(blend_factor)
    # Not in place: one picture blends with each of a batch, on either side.
    result: Pixels = _blend(image1, image2, blend_mode) * factor + image1 * (1 - factor)
    return (np.clip(result, 0, 1, out=result),)


def _check_broadcast(first: Pixels, second: Pixels) -> None:
    """Raises RuntimeError, in the words that a ComfyUI user knows, unless the shapes go together."""
    for dimension, (a, b) in enumerate(zip(first.shape, second.shape, strict=True)):
        if a != b and 1 not in (a, b):
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) "
                f"at non-singleton dimension {dimension}"
            )


def _blend(a: Pixels, b: Pixels, mode: str) -> Any:
    if mode == "multiply":
        return a * b
    if mode == "screen":
        return 1 - (1 - a) * (1 - b)
    if mode == "overlay":
        return np.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))
    if mode == "soft_light":
        light = np.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, np.sqrt(np.maximum(a, 0)))
        return np.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (light - a))
    if mode == "difference":
        return a - b
    if mode != "normal":
        raise ValueError(f"Unsupported blend mode: {mode}")
    return b


@node(
    "ImageBlur",
    **POST,
    outputs=("IMAGE",),
    inputs={
        "image": OPEN_IMAGE,
        "blur_radius": number(1, 1, 31),
        "sigma": number(1.0, 0.1, 10.0, 0.1, "FLOAT"),
    },
)
def image_blur(job: Job, image: Pixels, blur_radius: int, sigma: float) -> tuple[Pixels]:
    return (blur(image, blur_radius, sigma),)


@node(
    "ImageSharpen",
    **POST,
    outputs=("IMAGE",),
    inputs={
        "image": OPEN_IMAGE,
        "sharpen_radius": number(1, 1, 31),
        "sigma": number(1.0, 0.1, 10.0, 0.01, "FLOAT"),
        "alpha": number(1.0, 0.0, 5.0, 0.01, "FLOAT"),
    },
)
def image_sharpen(job: Job, image: Pixels, sharpen_radius: int, sigma: float, alpha: float) -> tuple[Pixels]:
    amount = np.float32(alpha * 10)
    result = blur(image, sharpen_radius, sigma)
    result *= -amount
    result += image * (1 + amount)
    return (np.clip(result, 0, 1, out=result),)


def gaussian(radius: int, sigma: float) -> NDArray[np.float32]:
    """2 * radius + 1 weights that sum to 1; `sigma` is in units of the radius."""
    position = np.linspace(-1, 1, 2 * radius + 1)
    weights = np.exp(-(position**2) / (2 * sigma**2))
    normal: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normal


def blur(pixels: Pixels, radius: int, sigma: float) -> Pixels:
    """A separable Gaussian blur with mirrored edges. Raises RuntimeError when the radius reaches over a picture."""
    images, height, width, channels = pixels.shape
    for argument, dimension, length in ((4, 3, width), (6, 2, height)):
        if radius >= length:
            raise RuntimeError(
                f"Argument #{argument}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({radius}, {radius}) at dimension {dimension} of input "
                f"[{images}, {channels}, {height}, {width}]"
            )
    weights = gaussian(radius, sigma)
    return _blur_axis(_blur_axis(pixels, weights, 1), weights, 2)


def _blur_axis(pixels: Pixels, weights: NDArray[np.float32], axis: int) -> Pixels:
    """Weigh each pixel's neighbours along one axis: two at equal distance at a time, as their weights are equal."""
    size, radius = pixels.shape[axis], len(weights) // 2
    pad = [(0, 0)] * 4
    pad[axis] = (radius, radius)
    padded = np.moveaxis(np.pad(pixels, pad, mode="reflect"), axis, 0)
    result = np.empty(pixels.shape, np.float32)
    target = np.moveaxis(result, axis, 0)
    pair = np.moveaxis(np.empty_like(result), axis, 0)
    np.multiply(padded[radius : radius + size], weights[radius], out=target)
    for offset in range(radius):
        far = 2 * radius - offset
        np.add(padded[offset : offset + size], padded[far : far + size], out=pair)
        pair *= weights[offset]
        target += pair
    return result
