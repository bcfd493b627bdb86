"""OpenEXR files in and out, by the official library (extra `[exr]`).

Out: half floats, scanlines, ZIP, without anything that changes from run to run, so that the same pixels are the same
file. In: the channels of a colour, or one channel of a measure, as they lie in the display window.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ConfigError

_MEASURES: Final = ("Z", "Y", "depth", "Depth", "V", "A")
"""Last parts of names that a single channel goes by, the first that is there is taken."""


def need_exr(what: str) -> Any:
    """Give the library. Raises ConfigError: it isn't installed; `what` wanted it."""
    try:
        return importlib.import_module("OpenEXR")
    except ImportError as error:
        raise ConfigError(f"{what} needs OpenEXR: pip install 'texbridge[exr]'") from error


def write_exr(path: Path, pixels: NDArray[Any]) -> None:
    """Write `[height, width, n]` floats as half floats: n = 1 is channel Y, 3 is R G B, 4 is R G B A.

    Raises OSError: it can't be written.
    """
    library = need_exr("an .exr file")
    half = np.clip(pixels, -65504, 65504).astype(np.float16)
    name = {1: "Y", 3: "RGB", 4: "RGBA"}[half.shape[2]]
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    data = np.ascontiguousarray(half[..., 0] if name == "Y" else half)
    try:
        library.File(header, {name: data}).write(str(path))
    except RuntimeError as error:
        raise OSError(f"can't write {path}: {error}") from error


def read_exr(path: Path, channel: str | None = None) -> NDArray[np.float32]:
    """Give `[height, width, 4]` for a colour, `[height, width]` for a measure: the `channel` of this name, Z, Y, or the
    only one.

    Raises:
        ConfigError: no such channel, or none that is meant. OSError: the file can't be read, or is none.
    """
    library = need_exr(str(path))
    if not path.is_file():  # the library's own words are long
        raise OSError(f"{path} is not there")
    try:
        with library.File(str(path), separate_channels=True) as file:
            for part in file.parts:
                found = _read_part(part.header, {name: c.pixels for name, c in part.channels.items()}, channel)
                if found is not None:
                    return found
            names = ", ".join(name for part in file.parts for name in part.channels)
    except (RuntimeError, ValueError, TypeError) as error:
        raise OSError(f"can't read {path}: {error}") from error
    wanted = f"channel {channel!r}" if channel else "colour, depth or single channel"
    raise ConfigError(f"{path} has no {wanted}; it has {names or 'none'}: name one, as in FILE.exr[Z]")


def _read_part(
    header: dict[str, Any], channels: dict[str, NDArray[Any]], wanted: str | None
) -> NDArray[np.float32] | None:
    if wanted is not None:
        return _placed(header, channels[wanted]) if wanted in channels else None
    if all(name in channels for name in "RGB"):
        height, width = channels["R"].shape
        colour = np.ones((height, width, 4), np.float32)
        for place, name in enumerate("RGBA"):
            if name in channels:
                colour[..., place] = channels[name]
        return _placed(header, colour, opaque="A" not in channels)
    if len(channels) == 1:
        return _placed(header, next(iter(channels.values())))
    for last in _MEASURES:
        for name, pixels in channels.items():
            if name.rpartition(".")[2] == last:
                return _placed(header, pixels)
    return None


def _placed(header: dict[str, Any], pixels: NDArray[Any], opaque: bool = False) -> NDArray[np.float32]:
    """The pixels of the display window; what was not written there is 0."""
    pixels = pixels.astype(np.float32, copy=False)
    (left, top), (right, bottom) = (np.asarray(corner).tolist() for corner in header["displayWindow"])
    (at_left, at_top), _ = (np.asarray(corner).tolist() for corner in header["dataWindow"])
    shape = (bottom - top + 1, right - left + 1)
    if pixels.shape[:2] == shape and (at_left, at_top) == (left, top):
        return pixels
    full = np.zeros((*shape, *pixels.shape[2:]), np.float32)
    if opaque:
        full[..., 3] = 1
    y, x = at_top - top, at_left - left
    rows, columns = slice(max(0, y), max(0, y + pixels.shape[0])), slice(max(0, x), max(0, x + pixels.shape[1]))
    into = full[rows, columns]
    into[...] = pixels[max(0, -y) :, max(0, -x) :][: into.shape[0], : into.shape[1]]
    return full
