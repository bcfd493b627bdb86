"""Pictures for tests and benchmarks: photo-like ones, drawn from noise of several scales."""

import io

import numpy as np
from PIL import Image


def photo(width, height, seed=1):
    """[height, width, 3] uint8, smooth with detail and a little grain, as compressors and encoders see photographs."""
    random = np.random.default_rng(seed)
    made = np.zeros((height, width, 3))
    for cells, amplitude in ((4, 70), (8, 40), (16, 25), (64, 12), (256, 6)):
        small = random.random((max(2, height * cells // 512 + 2), max(2, width * cells // 512 + 2), 3)).astype("f4")
        for channel in range(3):
            layer = Image.fromarray(small[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            made[..., channel] += amplitude * (np.asarray(layer) - 0.5)
    grey = made.mean(axis=2, keepdims=True)
    made = grey + (made - grey) * 0.6 + 128 + random.normal(0, 2.5, made.shape)
    return made.clip(0, 255).astype("u1")


def png(array):
    """As ComfyUI writes it: compress_level 1."""
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, "PNG", compress_level=1)
        return file.getvalue()


def jpeg(array, quality=90, **options):
    """A JPEG file."""
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, "JPEG", quality=quality, **options)
        return file.getvalue()
