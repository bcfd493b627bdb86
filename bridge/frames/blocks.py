"""Block compression by etcpak (extra `[bc]`): `bc1`, `bc3` and `bc7`, with the processor's vector instructions.

etcpak's wheels hold one module per instruction set, but all except the scalar one carry the tag of an old Python in
their file name, so that `import etcpak` never finds them and is six to nine times slower without a word. Their names
say `abi3` nowhere and they are built for it all the same; here the right one is loaded by its path. What the processor
has is asked of archspec, which etcpak itself needs and asks.

etcpak holds the interpreter's lock while it works. So a picture is compressed in bands of some rows of blocks, and
between two bands every other thread may run: the event loop waits for a band, never for a picture. Its ETC functions
swap bytes of their input and its decompressors crash on some inputs: none of them is called. Its vector code for BC1
takes alpha for a fourth colour, which costs 4 dB where alpha varies (the scalar code doesn't): it gets opaque pixels.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import logging
import threading
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.types import PixelFormat, Size

logger = logging.getLogger("bridge.frames")

BLOCK: Final = 4
BLOCK_BYTES: Final = {PixelFormat.BC1: 8, PixelFormat.BC3: 16, PixelFormat.BC7: 16}
MAX_BC7_PIXELS: Final = 2048 * 2048
"""A picture of this size takes a second and more; `bc7` is for stills."""

_FUNCTIONS: Final = {
    PixelFormat.BC1: "compress_bc1",
    PixelFormat.BC3: "compress_bc3",
    PixelFormat.BC7: "compress_bc7",
}
_BAND_PIXELS: Final = {PixelFormat.BC1: 1 << 17, PixelFormat.BC3: 1 << 17, PixelFormat.BC7: 1 << 11}
"""So many pixels at a time: 0.1 ms of BC1 and 0.6 ms of BC7 with AVX2, eight and three times as much without."""

_BY_FEATURES: Final = (
    ("_etcpak_avx512", frozenset({"avx512bw", "avx512vl"})),
    ("_etcpak_avx2", frozenset({"avx2"})),
    ("_etcpak_sse41", frozenset({"sse4_1"})),
)
_SCALAR: Final = "_etcpak_none"
_lock = threading.Lock()


class Compressor(NamedTuple):
    """The module that compresses, and its words for people: `etcpak 0.9.15, avx2`."""

    module: ModuleType
    words: str
    simd: bool


def block_formats() -> tuple[PixelFormat, ...]:
    """The block formats that can be made here: all three, or none. Nothing is loaded for the answer."""
    return tuple(_FUNCTIONS) if _package_folder() is not None else ()


@lru_cache(maxsize=1)
def _package_folder() -> Path | None:
    spec = importlib.util.find_spec("etcpak")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if _module_file(folder, _SCALAR) is not None else None


def compressor() -> Compressor:
    """The quickest module that this processor runs, loaded at the first call.

    Raises:
        ImportError: etcpak isn't installed, or none of its modules loads.
    """
    with _lock:
        return _compressor()


@lru_cache(maxsize=1)
def _compressor() -> Compressor:
    folder = _package_folder()
    if folder is None:
        raise ImportError("etcpak is not installed: pip install texbridge[bc]")
    try:
        version = importlib.metadata.version("etcpak")
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    for name in module_names(processor_features()):
        module = _load(folder, name)
        if module is not None and _works(module):
            simd = name != _SCALAR
            return Compressor(module, f"etcpak {version}, {name.removeprefix('_etcpak_') if simd else 'scalar'}", simd)
    raise ImportError(f"no module of etcpak {version} in {folder} loads here")


def module_names(features: frozenset[str]) -> list[str]:
    """etcpak's modules that a processor with these features runs, the quickest first, the scalar one last."""
    names = [name for name, needed in _BY_FEATURES if needed <= features]
    if "neon" in features:
        names.append("_etcpak_neon")
    return [*names, _SCALAR]


def processor_features() -> frozenset[str]:
    """What archspec finds of `avx512bw avx512vl avx2 sse4_1`, or `neon`; nothing if it can't be asked."""
    try:
        from archspec.cpu import host

        found = host()
        if str(found.family) == "aarch64":
            return frozenset({"neon"})  # every 64-bit ARM has it
        return frozenset(feature for _, needed in _BY_FEATURES for feature in needed if feature in found)
    except Exception:  # archspec reads what the system shows, which may be anything
        logger.warning("the processor's features are not known: etcpak runs without them", exc_info=True)
        return frozenset()


def _module_file(folder: Path, name: str) -> Path | None:
    suffixes = {suffix.rpartition(".")[2] for suffix in importlib.machinery.EXTENSION_SUFFIXES}
    found = [path for path in sorted(folder.glob(f"{name}.*")) if path.suffix.removeprefix(".") in suffixes]
    return found[0] if found else None


def _load(folder: Path, name: str) -> ModuleType | None:
    path = _module_file(folder, name)
    if path is None:
        return None
    try:
        loader = importlib.machinery.ExtensionFileLoader(f"etcpak.{name}", str(path))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except (ImportError, OSError) as error:
        logger.warning("%s does not load: %s", path, error)
        return None
    return module


def _works(module: ModuleType) -> bool:
    """Whether it compresses a red block to one that has red in it."""
    try:
        block = bytes((255, 0, 0, 255)) * 16
        made = bytes(module.compress_bc1(block, 4, 4))
        alpha = bytes(module.compress_bc3(block, 4, 4))
    except Exception as error:  # noqa: BLE001 - foreign code
        logger.warning("%s does not compress: %s", module.__name__, error)
        return False
    red = b"\x00\xf8"  # 31, 0, 0 in 5, 6 and 5 bits; as the first or the second colour
    return len(made) == 8 and red in made[:4] and len(alpha) == 16 and red in alpha[8:12]


def compress_blocks(rgba: NDArray[np.uint8], pixel_format: PixelFormat, out: memoryview) -> None:
    """Fill `out` with the blocks of `rgba`, `[height, width, 4]` uint8, rows in the order of the blocks' rows.

    Sides that are no multiple of 4 are padded by repeating the last column and row. For `bc1` alpha must be 255
    everywhere.

    Raises:
        ImportError: there is no compressor.
        ValueError: `out` has another length; the caller's mistake.
    """
    compress: Any = getattr(compressor().module, _FUNCTIONS[pixel_format])
    rgba = padded(rgba)
    height, width = rgba.shape[:2]
    row_bytes = width // BLOCK * BLOCK_BYTES[pixel_format]
    if out.nbytes != height // BLOCK * row_bytes:
        raise ValueError(f"buffer of {out.nbytes} bytes for {height // BLOCK} rows of {row_bytes}")
    rows = max(BLOCK, _BAND_PIXELS[pixel_format] // width // BLOCK * BLOCK)
    target = out.cast("B")
    for row in range(0, height, rows):
        band = rgba[row : row + rows]
        at = row // BLOCK * row_bytes
        blocks = compress(band.tobytes() if pixel_format is PixelFormat.BC7 else band, width, len(band))
        target[at : at + len(blocks)] = blocks


def padded(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same pixels with both sides rounded up to a multiple of 4; the last column and row repeated."""
    height, width = rgba.shape[:2]
    down, right = -height % BLOCK, -width % BLOCK
    if not down and not right:
        return np.ascontiguousarray(rgba)
    return np.pad(rgba, ((0, down), (0, right), (0, 0)), mode="edge")


def block_count(size: Size) -> int:
    """How many 4x4 blocks a picture has."""
    return -(-size.width // BLOCK) * -(-size.height // BLOCK)
