"""A sampler without a model: noise becomes a picture, step by step, each step told and shown as ComfyUI's samplers do.

ComfyUI has no such node: its samplers need a model. So the class is the embedded server's own, and a workflow with it
is for tests, demos and the development of an engine's side.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from bridge.embedded.catalog import node
from bridge.embedded.image_nodes import number
from bridge.embedded.job import Job
from bridge.embedded.resize import Pixels, to_bytes

PREVIEW_SIDE = 512
"""ComfyUI's own limit (`--preview-size`)."""


@node(
    "EmbeddedSampler",
    module="embedded",
    category="sampling",
    display_name="Sampler of the embedded server",
    outputs=("IMAGE",),
    inputs={
        "image": ["IMAGE"],
        "seed": number(0, 0, 2**64 - 1, None, control_after_generate=True),
        "steps": number(20, 1, 10_000, None),
        "denoise": number(1.0, 0.0, 1.0, 0.01, "FLOAT"),
    },
    optional={"previews": ["BOOLEAN", {"default": True}]},
    steps=True,
)
def embedded_sampler(
    job: Job, image: Pixels, seed: int, steps: int, denoise: float, previews: bool = True
) -> tuple[Pixels]:
    """Take `steps` steps from noise to `image`, and a share of the prompt's delay at each."""
    noise = np.random.Generator(np.random.SFC64(seed)).random(image.shape, np.float32)
    for step in range(1, steps + 1):
        job.reporter.step(1 / steps)
        picture = None
        if previews:
            left = np.float32(denoise * (1 - step / steps))
            picture = _jpeg(image[0] + (noise[0] - image[0]) * left)
        job.reporter.progress(job.node_id, step, steps, picture)
    return (image,)


def _jpeg(picture: Pixels) -> bytes:
    """A preview as ComfyUI sends it: a JPEG of 512 pixels on its longer side."""
    shown = Image.fromarray(to_bytes(picture)[..., :3])
    shown = ImageOps.contain(shown, (PREVIEW_SIDE, PREVIEW_SIDE))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=95)
    return file.getvalue()
