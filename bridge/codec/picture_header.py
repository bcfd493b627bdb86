"""Headers of PNG, JPEG and WebP files, read without decoding: what a picture is, and whether it may be decoded.

Nothing here inflates pixels or asks Pillow. It runs before any decoder does, so that a picture that is too large,
cut short, of another kind or built as a bomb is refused for a few microseconds of work.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bridge.errors import PictureDecodeError
from bridge.types import Size

Buffer: TypeAlias = bytes | bytearray | memoryview

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_PNG_CHUNKS: Final = 65_536
"""All chunks of a PNG; libpng writes 8 KiB of data in each, so 64 megapixels need about 24,000."""
MAX_JPEG_SEGMENTS: Final = 1_024
MAX_JPEG_SCANS: Final = 100
"""A progressive JPEG is decoded once per scan; cameras and encoders write about ten."""
MAX_WEBP_CHUNKS: Final = 65_536

_PNG_MODES: Final = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_PNG_BITS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_JPEG_MODES: Final = {1: "L", 3: "RGB", 4: "CMYK"}
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        max_pixels: width x height. Above 89,478,485 Pillow's own guard comes first.
        max_dimension: width and height, each.
        max_text_bytes: what all compressed texts and profiles of one PNG may inflate to.
    """

    max_pixels: int = 64_000_000
    max_dimension: int = 16_384
    max_text_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture file says of itself.

    Attributes:
        format: `png`, `jpeg` or `webp`.
        width, height: pixels.
        mode: Pillow's word for the channels: `L LA P RGB RGBA CMYK`.
        frames: 1, or more for an animation, of which the first is decoded.
        source_bits: bits per channel in the file. 16 survives for grey alone: Pillow reads 16-bit RGB, RGBA and
            grey + alpha as 8-bit without a word (it keeps the high byte), and `reduced` says that this happens.
        color_key: the one grey, or red, green and blue, that a PNG's tRNS chunk makes transparent, in source bits.
    """

    format: Literal["png", "jpeg", "webp"]
    width: int
    height: int
    mode: str
    frames: int = 1
    source_bits: int = 8
    color_key: tuple[int, ...] | None = None

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.width, self.height)

    @property
    def reduced(self) -> bool:
        """True if decoding loses the low byte of each channel: 16 bits, and not plain grey."""
        return self.source_bits == 16 and self.mode != "L"


def read_picture_header(data: Buffer, limits: PictureLimits | None = None) -> PictureHeader:
    """What the file `data` is, checked against `limits`; nothing is decoded.

    A PNG is walked to its IEND, a WebP to its RIFF length: one that is cut short is refused here. A JPEG says its
    length nowhere; a cut one is found by decoding it.

    Raises:
        PictureDecodeError: not PNG, JPEG or WebP; cut short; too large; text that inflates past the limit; a
            header that contradicts itself.
    """
    limits = limits or PictureLimits()
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    start = bytes(view[:12])
    if start.startswith(PNG_SIGNATURE):
        return _read_png(view, limits)
    if start.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(view, limits)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _read_webp(view, limits)
    raise PictureDecodeError(
        f"picture of {len(view)} bytes starts with {start.hex(' ') or 'nothing'}: only PNG, JPEG and WebP are taken",
        value=start.hex(),
        limit="png, jpeg, webp",
    )


def _check_size(kind: str, width: int, height: int, limits: PictureLimits) -> None:
    if not width or not height:
        raise PictureDecodeError(f"{kind} of {width} x {height} has no pixels", field="size", value=(width, height))
    if max(width, height) > limits.max_dimension:
        raise PictureDecodeError(
            f"{kind} of {width} x {height}: a side may have {limits.max_dimension} pixels",
            field="size",
            value=(width, height),
            limit=limits.max_dimension,
        )
    if width * height > limits.max_pixels:
        raise PictureDecodeError(
            f"{kind} of {width} x {height} has {width * height} pixels, {limits.max_pixels} are allowed",
            field="size",
            value=width * height,
            limit=limits.max_pixels,
        )


def _cut_short(kind: str, what: str, at: int, length: int) -> PictureDecodeError:
    return PictureDecodeError(f"{kind} is cut short: {what} at {at} goes past its {length} bytes", value=length)


# --- PNG ---------------------------------------------------------------------------------------------------


def _read_png(view: memoryview, limits: PictureLimits) -> PictureHeader:
    if len(view) < 33:
        raise _cut_short("PNG", "IHDR", 8, len(view))
    if bytes(view[8:16]) != b"\x00\x00\x00\x0dIHDR":
        raise PictureDecodeError("PNG does not begin with an IHDR chunk of 13 bytes", value=bytes(view[8:16]).hex())
    width, height = int.from_bytes(view[16:20], "big"), int.from_bytes(view[20:24], "big")
    bits, colour = view[24], view[25]
    if bits not in _PNG_BITS.get(colour, ()):
        raise PictureDecodeError(f"PNG with colour type {colour} and {bits} bits per channel does not exist")
    _check_size("PNG", width, height, limits)
    frames, transparency = _walk_png(view, limits)
    key: tuple[int, ...] | None = None
    if colour == 0 and len(transparency) >= 2:
        key = struct.unpack_from(">H", transparency)
    elif colour == 2 and len(transparency) >= 6:
        key = struct.unpack_from(">HHH", transparency)
    return PictureHeader("png", width, height, _PNG_MODES[colour], frames, bits, key)


def _walk_png(view: memoryview, limits: PictureLimits) -> tuple[int, bytes]:
    """How many frames the chunks up to IEND announce, and what tRNS holds.

    Compressed texts are inflated, but never past the limit.
    """
    at, frames, text_bytes, has_data, transparency = 33, 1, 0, False, b""
    for _ in range(MAX_PNG_CHUNKS):
        if at + 12 > len(view):
            raise _cut_short("PNG", "a chunk", at, len(view))
        length, name = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        body, at = at + 8, at + 12 + length
        if at > len(view):
            raise _cut_short("PNG", f"chunk {name!r} of {length} bytes", body - 8, len(view))
        if name == b"IDAT":
            has_data = True
        elif name == b"acTL" and length >= 8:
            frames = max(1, int.from_bytes(view[body : body + 4], "big"))
        elif name == b"tRNS":
            transparency = bytes(view[body : body + min(length, 256)])
        elif name in (b"zTXt", b"iTXt", b"iCCP"):
            text_bytes += _inflated_bytes(name, view[body : body + length], limits.max_text_bytes - text_bytes)
        elif name == b"IEND":
            if not has_data:
                raise PictureDecodeError("PNG has no IDAT chunk, so no pixels")
            return frames, transparency
    raise PictureDecodeError(f"PNG has more than {MAX_PNG_CHUNKS} chunks", limit=MAX_PNG_CHUNKS)


def _inflated_bytes(name: bytes, body: memoryview, left: int) -> int:
    """How many bytes the compressed part of a text or profile chunk inflates to; nothing past `left` is inflated."""
    raw = bytes(body)
    _, _, rest = raw.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\x01":
            return 0
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        packed = rest[1:]
    try:
        size = len(zlib.decompressobj().decompress(packed, max(0, left) + 1))
    except zlib.error as error:
        raise PictureDecodeError(f"PNG chunk {name.decode()} does not inflate: {error}") from error
    if size > left:
        raise PictureDecodeError(
            f"PNG chunk {name.decode()} of {len(raw)} bytes inflates past {left} bytes",
            field=name.decode(),
            value=len(raw),
            limit=left,
        )
    return size


# --- JPEG --------------------------------------------------------------------------------------------------


def _read_jpeg(view: memoryview, limits: PictureLimits) -> PictureHeader:
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        while at < len(view) and view[at] != 0xFF:
            # Bytes between segments are an error by the standard; decoders skip them, but not without end.
            raise PictureDecodeError(f"JPEG has {view[at]:#04x} at {at} where a marker should be")
        while at < len(view) and view[at] == 0xFF:
            at += 1
        if at + 3 > len(view):
            raise _cut_short("JPEG", "a segment", at, len(view))
        marker = view[at]
        if marker in _JPEG_BARE:
            at += 1
            continue
        if marker in (0xD9, 0xDA):
            raise PictureDecodeError("JPEG has no frame header before its data")
        length = int.from_bytes(view[at + 1 : at + 3], "big")
        if length < 2 or at + 1 + length > len(view):
            raise _cut_short("JPEG", f"segment {marker:#04x} of {length} bytes", at, len(view))
        if marker in _JPEG_FRAMES:
            return _read_jpeg_frame(marker, view[at + 3 : at + 1 + length], view, limits)
        at += 1 + length
    raise PictureDecodeError(f"JPEG has more than {MAX_JPEG_SEGMENTS} segments before its frame header")


def _read_jpeg_frame(marker: int, body: memoryview, view: memoryview, limits: PictureLimits) -> PictureHeader:
    if len(body) < 6:
        raise PictureDecodeError(f"JPEG frame header has {len(body)} bytes, at least 6 are needed")
    bits, channels = body[0], body[5]
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if bits != 8 or channels not in _JPEG_MODES:
        raise PictureDecodeError(f"JPEG with {channels} channels of {bits} bits: only 1, 3 or 4 of 8 bits are taken")
    _check_size("JPEG", width, height, limits)
    # In coded data 0xFF is followed by 0 or a restart marker, so this counts scans (and those of a thumbnail).
    if marker in (0xC2, 0xC6, 0xCA, 0xCE) and bytes(view).count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise PictureDecodeError(f"progressive JPEG has more than {MAX_JPEG_SCANS} scans", limit=MAX_JPEG_SCANS)
    return PictureHeader("jpeg", width, height, _JPEG_MODES[channels])


# --- WebP --------------------------------------------------------------------------------------------------


def _read_webp(view: memoryview, limits: PictureLimits) -> PictureHeader:
    total = int.from_bytes(view[4:8], "little") + 8
    if total > len(view):
        raise _cut_short("WebP", f"RIFF of {total} bytes", 0, len(view))
    if total < 30:
        raise _cut_short("WebP", "the first chunk", 12, total)
    name, body = bytes(view[12:16]), view[20:30]
    frames = 1
    if name == b"VP8X":
        width, height = int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
        alpha = bool(body[0] & 0x10)
        if body[0] & 0x02:
            frames = _count_webp_frames(view[:total])
    elif name == b"VP8L" and body[0] == 0x2F:
        word = int.from_bytes(body[1:5], "little")
        width, height, alpha = (word & 0x3FFF) + 1, (word >> 14 & 0x3FFF) + 1, bool(word >> 28 & 1)
    elif name == b"VP8 " and bytes(body[3:6]) == b"\x9d\x01\x2a":
        width = int.from_bytes(body[6:8], "little") & 0x3FFF
        height = int.from_bytes(body[8:10], "little") & 0x3FFF
        alpha = False
    else:
        raise PictureDecodeError(f"WebP begins with chunk {name!r}, which holds no picture", value=name.hex())
    _check_size("WebP", width, height, limits)
    return PictureHeader("webp", width, height, "RGBA" if alpha else "RGB", frames)


def _count_webp_frames(view: memoryview) -> int:
    at, frames = 12, 0
    for _ in range(MAX_WEBP_CHUNKS):
        if at + 8 > len(view):
            return max(1, frames)
        frames += bytes(view[at : at + 4]) == b"ANMF"
        length = int.from_bytes(view[at + 4 : at + 8], "little")
        at += 8 + length + (length & 1)
    raise PictureDecodeError(f"WebP has more than {MAX_WEBP_CHUNKS} chunks", limit=MAX_WEBP_CHUNKS)
