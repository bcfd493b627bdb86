"""The embedded nodes make the recorded ComfyUI's pixels, within 1/255, and its errors, word for word.

With COMFYUI_URL a real ComfyUI is compared with the recording instead. ImageAddNoise has noise of its own; what is
held there is that a seed gives the same picture again, and noise of the right strength.
"""

import asyncio
import base64
import io
import json
import os

import numpy as np
import pytest
from comfy_comparison import picture_differences
from PIL import Image
from record_pixels import PATH, graphs, inputs, node, run_graphs

from bridge.embedded import EmbeddedServer

COMFYUI_URL = os.environ.get("COMFYUI_URL", "").rstrip("/")
EXCEPTIONS: dict[str, int] = {}
"""Graphs that may differ by more than 1 of 255, with their figure. None does."""


async def run_here(wanted: dict[str, dict]) -> dict[str, dict]:
    if COMFYUI_URL:
        return await run_graphs(COMFYUI_URL, wanted)
    async with EmbeddedServer() as server:
        return await run_graphs(server.url, wanted)


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    return asyncio.run(run_here(graphs()))


RECORDED = json.loads(PATH.read_text(encoding="utf-8"))


def test_every_graph_is_recorded() -> None:
    assert list(RECORDED) == list(graphs())


@pytest.mark.parametrize("name", RECORDED)
def test_pixels(name: str, results: dict[str, dict]) -> None:
    recorded, actual = RECORDED[name], results[name]
    assert actual.get("error") == recorded.get("error")
    frames = [base64.b64decode(frame) for frame in recorded.get("frames", ())]
    assert len(actual.get("frames", ())) == len(frames)
    for one, other in zip(frames, actual.get("frames", ()), strict=True):
        assert not picture_differences(one, other, EXCEPTIONS.get(name, 1))


def test_noise_is_reproducible_and_as_strong_as_said() -> None:
    def noisy(seed: int, strength: float) -> dict:
        grey = node("EmptyImage", width=64, height=64, batch_size=1, color=0x808080)
        return {"4": grey, "5": node("ImageAddNoise", image=("4", 0), seed=seed, strength=strength)}

    wanted = {"one": noisy(7, 0.1), "other": noisy(2**64 - 1, 0.1), "again": noisy(7, 0.1), "none": noisy(7, 0.0)}
    made = {name: result["frames"][0] for name, result in asyncio.run(run_here(wanted)).items()}
    arrays = {name: np.asarray(Image.open(io.BytesIO(frame))) for name, frame in made.items()}
    assert np.array_equal(arrays["one"], arrays["again"])
    assert not np.array_equal(arrays["one"], arrays["other"])
    assert 0.09 < arrays["one"].std() / 255 < 0.11
    assert arrays["none"].std() == 0


def test_a_picture_comes_back_unchanged(results: dict[str, dict]) -> None:
    """In and out through 8 bits loses nothing."""
    for name in ("px_a.png", "px_photo.webp"):
        with Image.open(io.BytesIO(inputs()[name])) as image:
            sent = np.asarray(image.convert("RGB"))
        got = np.asarray(Image.open(io.BytesIO(results[f"load {name}"]["frames"][0])))
        assert np.abs(sent.astype(int) - got).max() <= 1
