"""Block compression against a decoder of our own, and the choice of etcpak's module."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from block_decoder import decode_bc1, decode_bc3, psnr
from pictures import photo

from bridge.frames import blocks
from bridge.frames.blocks import block_formats, compress_blocks, compressor, module_names, padded
from bridge.types import PixelFormat

HERE = importlib.util.find_spec("etcpak") is not None
needs_etcpak = pytest.mark.skipif(not HERE, reason="etcpak is not installed")
BC1, BC3, BC7 = PixelFormat.BC1, PixelFormat.BC3, PixelFormat.BC7


def rgba(width: int, height: int, alpha: int | None = 255) -> np.ndarray:
    made = np.full((height, width, 4), 255, "u1")
    made[..., :3] = photo(width, height)
    made[..., 3] = np.linspace(0, 255, width).astype("u1") if alpha is None else alpha
    return made


def compressed(picture: np.ndarray, pixel_format: PixelFormat) -> bytes:
    height, width = picture.shape[:2]
    count = -(-width // 4) * -(-height // 4)
    out = bytearray(count * blocks.BLOCK_BYTES[pixel_format])
    compress_blocks(picture, pixel_format, memoryview(out))
    return bytes(out)


@needs_etcpak
@pytest.mark.parametrize("size", [(512, 512), (256, 168)])
def test_bc1_shows_the_picture(size: tuple[int, int]) -> None:
    picture = rgba(*size)
    assert psnr(decode_bc1(compressed(picture, BC1), *size)[..., :3], picture[..., :3]) >= 31


@needs_etcpak
def test_bc3_shows_the_picture_and_its_alpha() -> None:
    picture = rgba(256, 128, alpha=None)
    shown = decode_bc3(compressed(picture, BC3), 256, 128)
    assert psnr(shown[..., :3], picture[..., :3]) >= 31
    assert psnr(shown[..., 3], picture[..., 3]) >= 40


@needs_etcpak
@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (6, 9), (3, 8), (8, 7)])
def test_sides_that_are_no_multiple_of_four(width: int, height: int) -> None:
    picture = np.zeros((height, width, 4), "u1")
    picture[:] = (200, 160, 120, 255)
    picture[-1, :, :3] = picture[:, -1, :3] = (40, 32, 24)
    assert np.abs(decode_bc1(compressed(picture, BC1), width, height).astype(int) - picture).max() <= 12


def test_padding_repeats_the_last_column_and_row() -> None:
    picture = np.arange(2 * 3 * 4, dtype="u1").reshape(2, 3, 4)
    made = padded(picture)
    assert made.shape == (4, 4, 4)
    assert (made[:2, :3] == picture).all()
    assert (made[:2, 3] == picture[:, 2]).all()
    assert (made[2:, :3] == picture[1]).all()
    whole = np.zeros((4, 8, 4), "u1")
    assert padded(whole) is whole


@needs_etcpak
@pytest.mark.parametrize("pixel_format", [BC1, BC3, BC7])
def test_bands_make_what_one_call_makes(pixel_format: PixelFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = rgba(72, 48)
    whole = getattr(compressor().module, f"compress_{pixel_format.word}")(picture.tobytes(), 72, 48)
    monkeypatch.setitem(blocks._BAND_PIXELS, pixel_format, 72 * 8)
    assert compressed(picture, pixel_format) == whole


@needs_etcpak
def test_a_buffer_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="buffer of 7 bytes"):
        compress_blocks(rgba(4, 4), BC1, memoryview(bytearray(7)))


@pytest.mark.parametrize(
    ("features", "first"),
    [
        ({"sse4_1", "avx2", "avx512bw", "avx512vl"}, "_etcpak_avx512"),
        ({"sse4_1", "avx2", "avx512bw"}, "_etcpak_avx2"),
        ({"sse4_1"}, "_etcpak_sse41"),
        ({"neon"}, "_etcpak_neon"),
        (set(), "_etcpak_none"),
    ],
)
def test_the_quickest_module_that_the_processor_runs(features: set[str], first: str) -> None:
    names = module_names(frozenset(features))
    assert names[0] == first
    assert names[-1] == "_etcpak_none"


@needs_etcpak
def test_the_vector_module_is_loaded_where_the_processor_has_it() -> None:
    found = compressor()
    wanted = module_names(blocks.processor_features())
    folder = Path(importlib.util.find_spec("etcpak").origin).parent
    there = [name for name in wanted if list(folder.glob(f"{name}.*"))]
    name = "scalar" if there[0] == "_etcpak_none" else there[0].removeprefix("_etcpak_")
    assert found.words.endswith(f", {name}")
    assert found.simd is (there[0] != "_etcpak_none")
    assert block_formats() == (BC1, BC3, BC7)


def test_without_etcpak_there_are_no_block_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_package_folder", lambda: None)
    assert block_formats() == ()
    blocks._compressor.cache_clear()
    with pytest.raises(ImportError, match=r"texbridge\[bc\]"):
        compressor()
    blocks._compressor.cache_clear()


@needs_etcpak
def test_a_module_that_does_not_load_or_work_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = blocks._load
    monkeypatch.setattr(blocks, "processor_features", lambda: frozenset({"avx2", "sse4_1"}))
    monkeypatch.setattr(blocks, "_load", lambda folder, name: real(folder, name) if name == "_etcpak_none" else None)
    blocks._compressor.cache_clear()
    try:
        assert compressor().words.endswith("scalar")
        assert not compressor().simd
    finally:
        blocks._compressor.cache_clear()
