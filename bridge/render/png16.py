"""PNG files of 16 bits a channel, which Pillow writes for grey alone. Source: the PNG specification, third edition."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}
_CHANNELS: Final = {kind: channels for channels, kind in _COLOUR_TYPES.items()}
_HEADERS: Final = frozenset(bytes((16, kind, 0, 0, 0)) for kind in _CHANNELS)
_UP: Final = 2
_LEVEL: Final = 4


def encode_png16(pixels: NDArray[Any], *, srgb: bool) -> bytes:
    """Give a PNG file of uint16 `[height, width, n]`, n = 1 grey, 3 RGB, 4 RGBA; `srgb` says that it is colour.

    Each row is stored as what it differs from the one above by, which suits pictures, whatever they show.
    """
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels).astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if srgb:
        chunks.append((b"sRGB", b"\0"))
    chunks += [(b"IDAT", zlib.compress(filtered.data, _LEVEL)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def decode_png16(data: bytes) -> NDArray[np.uint16] | None:
    """Give the pixels of a file that `encode_png16` made; None for any other, which Pillow reads."""
    if data[:8] != _SIGNATURE or data[24:29] not in _HEADERS:
        return None
    width, height, _, colour_type = struct.unpack(">IIBB", data[16:26])
    channels = _CHANNELS[colour_type]
    at = data.find(b"IDAT", 29)
    if at < 0:
        return None
    (length,) = struct.unpack(">I", data[at - 4 : at])
    row_bytes = width * channels * 2
    try:
        rows = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + length]), np.uint8).reshape(height, row_bytes + 1)
    except (zlib.error, ValueError):
        return None
    if (rows[:, 0] != _UP).any():
        return None
    whole = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    return whole.view(">u2").astype(np.uint16).reshape(height, width, channels)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
