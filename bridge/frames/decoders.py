"""Which decoder reads which file: Pillow always, and a faster one where it is installed and proves the same.

- JPEG: simplejpeg (libjpeg-turbo, as in Pillow, with the same transform and upsampling, so the pixels are the same),
  into a given buffer, as RGBA or BGRA at once. 0.74 ms against 1.2 for 512 x 512, and one pass over memory less.
- PNG: imagecodecs (libspng), 8-bit RGB and RGBA. 12 to 15 % faster than Pillow with zlib-ng, for 80 MB installed: used
  where it is, no part of an extra. OpenCV's PNG is 5 % faster, pyspng holds the interpreter's lock: neither is used.

Whatever the decoder, the header is read first and holds size, kind and mode; what a fast decoder refuses, Pillow gets,
and its word counts. Nothing is imported before `load`, which takes a millisecond, or 80 with imagecodecs: until then
Pillow reads everything.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import threading
from collections import Counter
from types import ModuleType
from typing import Any, Final

import numpy as np
import PIL

from bridge.codec.picture_header import Buffer, PictureHeader, PictureLimits, read_picture_header
from bridge.codec.pixels import Channels, Pixels, decode_picture, pixels_from_array
from bridge.types import Origin, PayloadSpec, PixelFormat

logger = logging.getLogger("bridge.frames")

_JPEG_LAYOUTS: Final = {PixelFormat.RGBA8: "RGBA", PixelFormat.BGRA8: "BGRA", PixelFormat.RGB8: "RGB"}


class Decoders:
    """The decoders in use. One for the process (`decoders`); any thread may decode."""

    def __init__(self) -> None:
        self._jpeg: Any = None
        self._png: Any = None
        self._versions: dict[str, str] = {}
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.counts: Counter[str] = Counter()
        """Pictures by decoder, and `NAME_refused`: those that Pillow had to read after all."""

    def load(self) -> None:
        """Import what is installed. Blocks for as long as that takes: belongs in a thread."""
        with self._lock:
            if self._jpeg is None and (module := _imported("simplejpeg")) is not None:
                self._jpeg = module.decode_jpeg
                self._versions["jpeg"] = _named("simplejpeg")
            if self._png is None and (module := _imported("imagecodecs")) is not None:
                decode = getattr(module, "spng_decode", None)
                if decode is not None and getattr(getattr(module, "SPNG", None), "available", True):
                    self._png = decode
                    self._versions["png"] = _named("imagecodecs")

    def unload(self) -> None:
        """Back to Pillow alone."""
        with self._lock:
            self._jpeg = self._png = None
            self._versions.clear()

    def in_use(self) -> dict[str, str]:
        """The decoder of each kind of file with its version."""
        pillow = f"Pillow {PIL.__version__}"
        return {"jpeg": pillow, "png": pillow, "webp": pillow, **self._versions}

    def decode(self, data: Buffer, limits: PictureLimits | None = None) -> Pixels:
        """The pixels of a PNG, JPEG or WebP file, the same from every decoder.

        Raises:
            PictureDecodeError: whatever is wrong with the bytes; nothing else.
        """
        header = read_picture_header(data, limits)
        pixels = None
        if header.format == "jpeg" and self._jpeg is not None and header.mode in ("RGB", "L"):
            pixels = self._decode_jpeg(data, header)
        elif (
            header.format == "png"
            and self._png is not None
            and header.mode in ("RGB", "RGBA")
            and header.source_bits == 8
            and header.color_key is None
            and header.frames == 1
        ):
            pixels = self._decode_png(data, header)
        if pixels is not None:
            return pixels
        self.counts["pillow"] += 1
        return decode_picture(data, limits)

    def writes(self, header: PictureHeader, spec: PayloadSpec) -> bool:
        """Whether `decode_into` may be tried: a JPEG of three channels in its own size, rows from the top, as it is."""
        return (
            self._jpeg is not None
            and header.format == "jpeg"
            and header.mode == "RGB"
            and spec.format in _JPEG_LAYOUTS
            and spec.origin is Origin.TOP_LEFT
            and spec.size in (None, header.size)
            and not spec.mips
            and not spec.linear
        )

    def decode_into(self, data: Buffer, header: PictureHeader, spec: PayloadSpec, out: memoryview) -> bool:
        """Decode a JPEG as the payload that `spec` asks for, straight into `out`; False: it has to go another way."""
        layout = _JPEG_LAYOUTS[spec.format]
        shape = (header.height, header.width, len(layout))
        target = np.frombuffer(out.cast("B"), np.uint8).reshape(shape)
        return self._tried("simplejpeg", self._jpeg, data, colorspace=layout, buffer=target) is not None

    def _decode_jpeg(self, data: Buffer, header: PictureHeader) -> Pixels | None:
        grey = header.mode == "L"
        array = np.empty((header.height, header.width, 1 if grey else 4), np.uint8)
        made = self._tried("simplejpeg", self._jpeg, data, colorspace="GRAY" if grey else "RGBA", buffer=array)
        return None if made is None else Pixels(array, Channels.L if grey else Channels.RGB)

    def _decode_png(self, data: Buffer, header: PictureHeader) -> Pixels | None:
        depth = 3 if header.mode == "RGB" else 4
        array = np.empty((header.height, header.width, depth), np.uint8)
        made = self._tried("imagecodecs", self._png, bytes(data) if isinstance(data, memoryview) else data, out=array)
        return None if made is None else pixels_from_array(array)

    def _tried(self, name: str, decode: Any, data: Buffer, **options: Any) -> Any:
        """What the decoder gives, or None if it refuses: then Pillow says whether the file is bad."""
        if decode is None:  # unloaded in between
            return None
        try:
            made = decode(data, **options)
        except Exception as error:  # noqa: BLE001 - foreign code over foreign bytes
            self.counts[f"{name}_refused"] += 1
            if name not in self._told:
                self._told.add(name)
                logger.warning("%s refuses a picture, which Pillow gets instead (told once): %s", name, error)
            return None
        self.counts[name] += 1
        return made


def _imported(name: str) -> ModuleType | None:
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a broken installation is no reason to show no pictures
        logger.warning("%s is installed and can't be imported, Pillow decodes: %s", name, error)
        return None


def _named(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return name


decoders: Final = Decoders()
"""The process's own."""
