"""The pack's conversions, where torch is installed: the bytes are those of ComfyUI's own nodes."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from node_pack import load_with_torch
from PIL import Image

torch = pytest.importorskip("torch")
pixels = load_with_torch("pixels")
event = load_with_torch("event")


def picture(channels: int, seed: int = 1, height: int = 5, width: int = 7) -> Any:
    """Values a little beyond 0..1."""
    random = np.random.default_rng(seed).uniform(-0.1, 1.1, (height, width, channels)).astype(np.float32)
    return torch.from_numpy(random)


def as_saved(tensor: Any) -> np.ndarray:
    """What ComfyUI's nodes write."""
    return (255.0 * tensor.numpy()).clip(0, 255).astype(np.uint8)


def written(tensor: Any, format: int) -> np.ndarray:
    height, width = tensor.shape[:2]
    out = np.full(height * width * event.BYTES_PER_PIXEL[format], 0xAA, np.uint8)
    pixels.Converter().write(tensor, format, out)
    return out


@pytest.mark.parametrize(("channels", "format"), [(1, 4), (3, 3), (4, 1)])
def test_eight_bits_are_those_of_comfyui(channels: int, format: int) -> None:
    tensor = picture(channels)
    assert pixels.Converter().format_of(tensor, "raw") == format
    assert (written(tensor, format) == as_saved(tensor).reshape(-1)).all()


def test_pictures_of_several_pieces_and_what_is_no_number() -> None:
    tensor = picture(3, height=211, width=419)  # 265,227 numbers: two whole pieces and a rest
    tensor[0, 0], tensor[-1, -1] = float("nan"), float("inf")
    converter = pixels.Converter()
    for turned in (tensor, tensor.permute(1, 0, 2), tensor[:100, 50:], tensor.clone().requires_grad_()):
        out = np.full(turned.numel(), 0xAA, np.uint8)
        converter.write(turned, event.RGB8, out)
        wanted = as_saved(torch.nan_to_num(turned.detach(), nan=0.0, posinf=1.0))
        assert (out == wanted.reshape(-1)).all()


def test_every_eight_bit_value_comes_back_as_stock_nodes_bring_it() -> None:
    tensor = torch.from_numpy((np.arange(256, dtype=np.float32) / np.float32(255)).reshape(16, 16, 1))
    assert (written(tensor, 4) == as_saved(tensor).reshape(-1)).all()


def test_grey_and_alpha_become_four_channels() -> None:
    tensor = picture(2)
    assert pixels.Converter().format_of(tensor, "raw") == 1
    made, saved = written(tensor, 1).reshape(5, 7, 4), as_saved(tensor)
    assert (made[..., :3] == saved[..., :1]).all()
    assert (made[..., 3] == saved[..., 1]).all()


def test_slices_and_other_dtypes() -> None:
    wide = picture(4)
    assert (written(wide[..., :3], 3) == as_saved(wide[..., :3]).reshape(-1)).all()
    brain = picture(3).to(torch.bfloat16)
    assert (written(brain, 3) == as_saved(brain.to(torch.float32)).reshape(-1)).all()


def test_sixteen_bits_round() -> None:
    tensor = torch.tensor([[[0.0], [0.5], [1.0], [2.0], [-1.0]]])
    assert written(tensor, 7).view("<u2").tolist() == [0, 32768, 65535, 65535, 0]
    with pytest.raises(ValueError, match="one channel"):
        pixels.Converter().format_of(picture(3), "raw16")


def test_half_floats_are_not_cut() -> None:
    tensor = torch.tensor([[[0.0], [0.5], [2.0], [-1.0]]])
    assert written(tensor, 8).view("<f2").tolist() == [0.0, 0.5, 2.0, -1.0]
    made = written(picture(3), 5).view("<f2").reshape(5, 7, 4)
    assert (made[..., 3] == 1.0).all()
    assert np.allclose(made[..., :3], picture(3).numpy(), atol=1e-3)


def entry(format: str, data: bytes, width: int = 0, height: int = 0, origin: str = "top_left") -> Any:
    description = SimpleNamespace(format=format, width=width, height=height, origin=origin)
    return SimpleNamespace(description=description, data=data)


FOUR = np.random.default_rng(2).integers(0, 256, (5, 7, 4), np.uint8)


@pytest.mark.parametrize("origin", ["top_left", "bottom_left"])
def test_pictures_come_in_as_loadimage_gives_them(origin: str) -> None:
    rows = FOUR if origin == "top_left" else FOUR[::-1]
    for format, array in (("rgba8", rows), ("bgra8", rows[..., [2, 1, 0, 3]])):
        image, mask = pixels.tensors(entry(format, array.tobytes(), 7, 5, origin), 1 << 20)
        assert (image[0].numpy() == FOUR[..., :3] / np.float32(255)).all()
        assert (mask[0].numpy() == 1 - FOUR[..., 3] / np.float32(255)).all()
    image, mask = pixels.tensors(entry("rgb8", np.ascontiguousarray(rows[..., :3]).tobytes(), 7, 5, origin), 1 << 20)
    assert (image[0].numpy() == FOUR[..., :3] / np.float32(255)).all()
    assert mask.shape == (1, 64, 64)


def test_files_come_in_too() -> None:
    file = io.BytesIO()
    Image.fromarray(FOUR).save(file, "PNG")
    image, mask = pixels.tensors(entry("png", file.getvalue()), 1 << 20)
    assert (image[0].numpy() == FOUR[..., :3] / np.float32(255)).all()
    assert (mask[0].numpy() == 1 - FOUR[..., 3] / np.float32(255)).all()
    assert (pixels.channel_mask(entry("png", file.getvalue()), "green", 1 << 20)[0] == image[0, ..., 1]).all()
    with pytest.raises(ValueError, match="limit"):
        pixels.tensors(entry("png", file.getvalue()), 10)
    with pytest.raises(ValueError, match="does not decode"):
        pixels.tensors(entry("png", b"GIF89a"), 1 << 20)
    with pytest.raises(ValueError, match="does not decode"):
        pixels.tensors(entry("jpeg", file.getvalue()), 1 << 20)


def test_floats_are_taken_as_they_are() -> None:
    values = np.array([[0.25, 2.0]], "<f4")
    image, _ = pixels.tensors(entry("r32f", values.tobytes(), 2, 1), 1 << 20)
    assert image[0, 0].tolist() == [[0.25] * 3, [2.0] * 3]
    with pytest.raises(ValueError, match="finite"):
        pixels.tensors(entry("r32f", np.array([[np.nan]], "<f4").tobytes(), 1, 1), 1 << 20)
    with pytest.raises(ValueError, match="finite"):  # alpha too: it becomes the mask
        pixels.tensors(entry("rgba32f", np.array([0, 0, 0, np.nan], "<f4").tobytes(), 1, 1), 1 << 20)


def test_encoded_pictures() -> None:
    saved = pixels.eight_bits(picture(4))
    assert (saved == as_saved(picture(4))).all()
    png = Image.open(io.BytesIO(pixels.encode(saved, event.PNG, 90)))
    assert (np.asarray(png) == saved).all()
    webp = Image.open(io.BytesIO(pixels.encode(saved[..., :3].copy(), event.WEBP, 100)))
    assert (np.asarray(webp) == saved[..., :3]).all()
    assert Image.open(io.BytesIO(pixels.encode(saved, event.JPEG, 90))).mode == "RGB"
