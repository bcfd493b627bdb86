"""Pixels of one output to one frame's file: PNG of 8 or 16 bits, JPEG, or OpenEXR.

Pixels come as `[height, width, 4]`, uint8 or float32 0..1, sRGB-encoded as ComfyUI makes them; an output of kind `data`
or `mask` is never colour-converted. What is decided here:
- a mask is one channel, everything else R G B; alpha is written only where it was asked for;
- OpenEXR holds linear half floats: colours go through the exact sRGB curve, data and masks stay what they are. Alpha is
  multiplied in, as the format has it;
- floats that are all a 255th part of whole numbers were 8 bits, and are treated as those, to the bit.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bridge.codec.light import encoded_of, float_table, signed_linear
from bridge.errors import ConfigError
from bridge.render.exr import need_exr, read_exr, write_exr
from bridge.render.patterns import FilePattern
from bridge.render.png16 import decode_png16, encode_png16
from bridge.render.written_files import file_facts
from bridge.types import OutputKind
from bridge.whole_files import whole_file

SUFFIXES: Final = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".exr": "exr"}
_PNG_LEVEL: Final = 6

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FileForm:
    """How an output's files are written."""

    format: str
    kind: OutputKind
    bits: int = 8
    alpha: bool = False
    quality: int = 95

    @property
    def wants_more(self) -> bool:
        """True if it has room for more than 8 bits a channel."""
        return self.format == "exr" or self.bits > 8

    @property
    def facts(self) -> dict[str, Any]:
        """What makes the bytes of a file what they are, for the manifest."""
        facts: dict[str, Any] = {"format": self.format, "kind": self.kind.value, "bits": self.bits}
        if self.format == "jpeg":
            facts["quality"] = self.quality
        else:
            facts["alpha"] = self.alpha
        if self.format == "exr":
            facts |= {"bits": 16, "color": "linear" if self.kind is OutputKind.COLOR else "as it is"}
        elif self.kind is OutputKind.COLOR:
            facts["color"] = "srgb"
        return facts

    def write(self, path: Path, pixels: Pixels) -> dict[str, Any]:
        """Write a frame's file, whole or not at all; give its length and SHA-256. Raises OSError."""
        pixels = self._channels(pixels)
        with whole_file(path) as part:
            if self.format == "exr":
                write_exr(part, self._linear(pixels))
            else:
                part.write_bytes(self._encoded(pixels))
            return file_facts(part)

    def _channels(self, pixels: Pixels) -> Pixels:
        if self.kind is OutputKind.MASK:
            return pixels[..., :1]
        return pixels if self.alpha and self.format != "jpeg" else pixels[..., :3]

    def _linear(self, pixels: Pixels) -> Pixels:
        linear = self.kind is OutputKind.COLOR
        colour = pixels[..., :3]
        if pixels.dtype == np.uint8:
            floats = np.take(float_table("u1", "<f4", linear), colour)
        else:
            floats = signed_linear(colour) if linear else colour
        if pixels.shape[2] < 4:
            return floats
        alpha = in_floats(pixels[..., 3:])
        return np.concatenate((floats * alpha if linear else floats, alpha), axis=2)

    def _encoded(self, pixels: Pixels) -> bytes:
        if self.bits == 16:
            return encode_png16(in_16_bits(pixels), srgb=self.kind is OutputKind.COLOR)
        image = Image.fromarray(np.ascontiguousarray(np.squeeze(in_8_bits(pixels), 2 if pixels.shape[2] == 1 else ())))
        with io.BytesIO() as file:
            if self.format == "jpeg":
                image.save(file, "JPEG", quality=self.quality, subsampling=0)
            else:
                image.save(file, "PNG", compress_level=_PNG_LEVEL)
            return file.getvalue()


def file_form(pattern: FilePattern, kind: OutputKind, *, bits: int, alpha: bool, quality: int) -> FileForm:
    """Give the form that a file's suffix asks for. Raises ConfigError: another suffix, or OpenEXR is missing."""
    format = SUFFIXES.get(pattern.suffix)
    if format is None:
        raise ConfigError(f"-o {pattern}: {pattern.suffix or 'no suffix'} is not written; {', '.join(SUFFIXES)} are")
    if format == "exr":
        need_exr(f"-o {pattern}")
    return FileForm(format, kind, bits if format == "png" else 8, alpha, quality)


def exact_bytes(pixels: Pixels) -> NDArray[np.uint8] | None:
    """Give floats as bytes if they are nothing but bytes divided by 255, else None."""
    if pixels.dtype == np.uint8:
        return pixels
    whole = np.rint(pixels * np.float32(255))
    if not (whole >= 0).all() or not (whole <= 255).all():
        return None
    found = whole.astype(np.uint8)
    return found if np.array_equal(np.take(float_table("u1", "<f4", False), found), pixels) else None


def in_8_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Floats 0..1 as bytes, rounded; bytes as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.nan_to_num(pixels).clip(0, 1) * np.float32(255)).astype(np.uint8)


def in_16_bits(pixels: Pixels) -> NDArray[np.uint16]:
    """Floats 0..1 as 0..65,535, rounded; bytes times 257."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(257)
    return np.rint(np.nan_to_num(pixels).clip(0, 1) * np.float32(65535)).astype(np.uint16)


def in_floats(pixels: Pixels) -> NDArray[np.float32]:
    """Bytes as floats 0..1; floats as they are."""
    return np.take(float_table("u1", "<f4", False), pixels) if pixels.dtype == np.uint8 else pixels


def read_back(path: Path) -> NDArray[np.uint8]:
    """Give a frame that was written as `[height, width, 3]` bytes, for a video or a contact sheet.

    Raises OSError: it can't be read.
    """
    if path.suffix.lower() == ".exr":
        pixels = read_exr(path)
        colour = pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        return in_8_bits(encoded_of(colour.clip(0, 1)).astype(np.float32))
    if path.suffix.lower() == ".png" and (wide := decode_png16(path.read_bytes())) is not None:
        # The float that it was rounded from, as near as floats are: so 8 bits come out as they would have at first.
        floats = wide[..., :3].astype(np.float32) / np.float32(65535)
        return in_8_bits(floats if floats.shape[2] == 3 else np.repeat(floats, 3, axis=2))
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise OSError(f"can't read {path}: {error}") from error
