"""Pictures that go in, one a frame or one for all: `depth=plates/d.%04d.exr`.

- PNG, JPEG and WebP files of 8 bits go as they are.
- 16-bit grey PNG and TIFF become `r16`, float TIFF `r32f`, other TIFF `rgb8`, `rgba8` or `r8`.
- OpenEXR: a single channel, Z or Y becomes `r32f`, a measure: near, far and holes are the binding's. A colour is linear
  there and becomes sRGB-encoded `rgb8`, or `rgba8` with alpha no longer multiplied in.
- `.npy`: an array as numpy saved it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bridge.client.pictures import picture_value
from bridge.codec.light import encoded_of
from bridge.errors import ConfigError
from bridge.render.exr import need_exr, read_exr
from bridge.render.patterns import FilePattern

_AS_THEY_ARE: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_SUFFIXES: Final = _AS_THEY_ARE | {".tif", ".tiff", ".exr", ".npy"}
_CHANNEL: Final = re.compile(r"(.*\.exr)\[([^\[\]]+)\]", re.I)
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Plate:
    """One picture that was read: the value to send, and what tells its file from another."""

    value: dict[str, Any]
    sha256: str
    facts: dict[str, Any]


class Plates:
    """The pictures of one parameter.

    Attributes:
        name: the parameter.
        text: as they were named.
        is_sequence: each frame has its own.
    """

    def __init__(self, text: str) -> None:
        """Read `NAME=PATTERN`, or `NAME=PATTERN.exr[CHANNEL]`.

        Raises:
            ConfigError: another form, a kind of file that isn't read, or OpenEXR is missing.
        """
        self.name, equals, name = text.partition("=")
        if not equals or not self.name or not name:
            raise ConfigError(f"--image {text!r} must be NAME=FILE, as in depth=plates/d.%04d.exr")
        self.text = name
        match = _CHANNEL.fullmatch(name)
        self._channel = match[2] if match else None
        self._pattern = FilePattern(match[1] if match else name, f"--image {self.name}")
        if self._pattern.suffix not in _SUFFIXES:
            raise ConfigError(
                f"--image {text!r}: {self._pattern.suffix or 'a file without a suffix'} is not read; "
                f"{', '.join(sorted(_SUFFIXES))} are"
            )
        if self._pattern.suffix == ".exr":
            need_exr(f"--image {text}")

    @property
    def is_sequence(self) -> bool:
        return self._pattern.is_sequence

    def path(self, frame: int) -> Path:
        """Give a frame's file."""
        return self._pattern.path(frame)

    def missing(self, frames: Iterable[int]) -> list[int]:
        """Give the frames whose file isn't there."""
        if not self.is_sequence:
            return [] if self.path(0).is_file() else list(frames)[:1]
        return [frame for frame in frames if not self.path(frame).is_file()]

    def read(self, frame: int) -> Plate:
        """Give a frame's picture. Raises ConfigError: it can't be read; the message names the file."""
        path = self.path(frame)
        try:
            found = path.stat()
            data = path.read_bytes()
            value = picture_value(self._decoded(path, data))
        except (OSError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ConfigError(f"can't read the picture {path}: {error}") from error
        digest = hashlib.sha256(data).hexdigest()
        return Plate(value, digest, {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": digest})

    def _decoded(self, path: Path, data: bytes) -> bytes | NDArray[Any]:
        suffix = path.suffix.lower()
        if suffix == ".exr":
            pixels = read_exr(path, self._channel)
            return pixels if pixels.ndim == 2 else encoded_colour(pixels)
        if suffix == ".npy":
            array: NDArray[Any] = np.load(path, allow_pickle=False)
            return array
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.mode.startswith("I;16"):
                return np.asarray(image).astype("<u2")
            if suffix in _AS_THEY_ARE:
                return data
            if image.mode == "F":
                return np.asarray(image, np.float32)
            if image.mode not in ("L", "RGB", "RGBA"):
                if image.mode == "I":
                    raise OSError("whole numbers of 32 bits are no picture; save 16 bits or floats")
                image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
            return np.asarray(image)


def encoded_colour(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give linear, premultiplied `[height, width, 4]` as sRGB-encoded bytes: three channels where all is opaque."""
    alpha = np.nan_to_num(pixels[..., 3:]).clip(0, 1)
    colour = np.nan_to_num(pixels[..., :3], posinf=1.0)
    opaque = bool((alpha == 1).all())
    if not opaque:
        colour = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
    coded = np.rint(encoded_of(colour.clip(0, 1)) * 255).astype(np.uint8)
    return coded if opaque else np.concatenate((coded, np.rint(alpha * 255).astype(np.uint8)), axis=2)


def refuse_missing(plates: Iterable[Plates], frames: tuple[int, ...]) -> None:
    """Raise ConfigError if a picture isn't there: how many, and which first; nothing was rendered yet."""
    for plate in plates:
        missing = plate.missing(frames)
        if missing:
            names = ", ".join(str(plate.path(frame)) for frame in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise ConfigError(f"--image {plate.name}: {len(missing)} of its pictures are missing: {names}{more}")
