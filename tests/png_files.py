"""A small PNG writer of the tests' own, so that a picture's expected pixels never come from the code under test."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, body: bytes = b"") -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def ihdr(width: int, height: int, bits: int, colour: int) -> bytes:
    """The IHDR chunk, not interlaced."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png(
    width: int,
    height: int,
    bits: int,
    colour: int,
    rows: Sequence[bytes],
    before: Iterable[bytes] = (),
    after: Iterable[bytes] = (),
) -> bytes:
    """A whole file: `rows` are packed as the PNG standard says, without the filter byte; extra chunks around IDAT."""
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    parts = [SIGNATURE, ihdr(width, height, bits, colour), *before, chunk(b"IDAT", data), *after, chunk(b"IEND")]
    return b"".join(parts)


def png8(pixels: Sequence[Sequence[Sequence[int]]], before: Iterable[bytes] = ()) -> bytes:
    """An 8-bit file of nested lists `[row][column][channel]`; 1 to 4 channels choose grey, grey + alpha, RGB, RGBA."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[len(pixels[0][0])]
    rows = [bytes(value for pixel in row for value in pixel) for row in pixels]
    return png(len(pixels[0]), len(pixels), 8, colour, rows, before)


def png16(pixels: Sequence[Sequence[Sequence[int]]]) -> bytes:
    """A 16-bit file of nested lists, as `png8`."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[len(pixels[0][0])]
    rows = [b"".join(struct.pack(">H", value) for pixel in row for value in pixel) for row in pixels]
    return png(len(pixels[0]), len(pixels), 16, colour, rows)
