"""The frame: a fixed little-endian header, then bytes that an engine uploads as they are; and the doorbell.

A doorbell is a frame whose payload lies in shared memory: flag 128, a header of 80 bytes with slot and seq, nothing
behind it. Source: protocols/frame.md; vectors: protocols/vectors/frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from bridge.errors import FrameDecodeError
from bridge.types import BYTES_PER_PIXEL, ENCODED_FORMATS, FrameFlags, PixelFormat

MAGIC: Final = b"TXB1"
HEADER_BYTES: Final = 64
DOORBELL_BYTES: Final = 80

_HEADER: Final = struct.Struct("<4sHHIIQIBBHIIIIQII")
_DOORBELL: Final = struct.Struct("<IIQ")
_U32_MAX: Final = 0xFFFF_FFFF
_BLOCK_BYTES: Final[dict[int, int]] = {PixelFormat.BC1: 8, PixelFormat.BC3: 16, PixelFormat.BC7: 16}
# Plain ints as keys: a header comes as numbers, and a lookup by number is the quick one.
_PIXEL_BYTES: Final[dict[int, int]] = {int(pixel_format): size for pixel_format, size in BYTES_PER_PIXEL.items()}
_ENCODED: Final[frozenset[int]] = frozenset(int(pixel_format) for pixel_format in ENCODED_FORMATS)
_SHARED_MEMORY: Final = int(FrameFlags.SHARED_MEMORY)
_BOTTOM_LEFT: Final = int(FrameFlags.BOTTOM_LEFT)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The header of one frame. Source: wire contract, Frame.

    Attributes:
        flags: `FrameFlags` as a number; bits that this version doesn't know are kept.
        stream: the stream's number, u32.
        number: +1 per set that the stream releases, from 1; 0 for a placeholder; u32.
        request: the request's number, 0 for none; u64.
        index: place within the request, from 0; u32.
        output: place in the workflow's list of outputs; u8.
        mips: mip levels, 1 is mip 0 alone; u8.
        format: a `PixelFormat` as a number; unknown ones are kept; u16.
        width, height: pixels of mip 0, u32, at least 1.
        row_pitch: bytes of a row (or row of blocks) of mip 0, tight; 0 for encoded formats; u32.
        payload_bytes: all mips together; u32.
        client_time: the client's own stamp, echoed; 0 for none; u64.
        comfy_us: posted to ComfyUI -> its bytes are here, microseconds; u32.
        bridge_us: the rest, microseconds; u32.
        slot, seq: where a doorbell's payload lies, u32 and u64; None in a frame.
    """

    flags: int
    stream: int
    number: int
    request: int
    index: int
    output: int
    mips: int
    format: int
    width: int
    height: int
    row_pitch: int
    payload_bytes: int
    client_time: int = 0
    comfy_us: int = 0
    bridge_us: int = 0
    slot: int | None = None
    seq: int | None = None


def encode_frame_header(header: FrameHeader) -> bytes:
    """Give the 64 bytes before a payload, or the 80 bytes of a doorbell if the header has a slot.

    `comfy_us` and `bridge_us` saturate at 2^32 - 1. Raises ValueError for a number that its field can't hold, and for
    a slot without flag 128 or the other way round. Vectors: those marked canonical.
    """
    is_doorbell = header.slot is not None
    if is_doorbell is not bool(header.flags & _SHARED_MEMORY):
        raise ValueError(f"flags {header.flags} and slot {header.slot} contradict each other (flag 128: shared memory)")
    if header.slot is None:
        return _encode(header, HEADER_BYTES, header.flags, header.client_time)
    if header.seq is None:
        raise ValueError(f"slot {header.slot} without the seq of its payload")
    return encode_doorbell(header, header.slot, header.seq)


def encode_doorbell(header: FrameHeader, slot: int, seq: int) -> bytes:
    """Give the 80 bytes that say in which slot the payload of this frame lies. Raises as `encode_frame_header` does."""
    head = _encode(header, DOORBELL_BYTES, header.flags | _SHARED_MEMORY, header.client_time)
    try:
        return head + _DOORBELL.pack(slot, 0, seq)
    except struct.error as error:
        raise ValueError(f"slot {slot} with seq {seq} does not fit the wire: {error}") from error


def encode_slot_header(header: FrameHeader) -> bytes:
    """Give the 64 bytes in a slot of shared memory, which all its readers share: nothing of one subscriber's own.

    Raises as `encode_frame_header` does.
    """
    return _encode(header, HEADER_BYTES, header.flags & ~_SHARED_MEMORY, 0)


def _encode(header: FrameHeader, header_bytes: int, flags: int, client_time: int) -> bytes:
    try:
        return _HEADER.pack(
            MAGIC,
            header_bytes,
            flags,
            header.stream,
            header.number,
            header.request,
            header.index,
            header.output,
            header.mips,
            header.format,
            header.width,
            header.height,
            header.row_pitch,
            header.payload_bytes,
            client_time,
            min(header.comfy_us, _U32_MAX),
            min(header.bridge_us, _U32_MAX),
        )
    except struct.error as error:
        raise ValueError(f"{header} does not fit the wire: {error}") from error


def decode_frame(message: bytes | bytearray | memoryview) -> tuple[FrameHeader, memoryview]:
    """Give the header and the payload (a view into `message`, no copy; empty for a doorbell).

    Checked: magic; header_bytes a multiple of 16, at least 64 (80 for a doorbell), and inside the message;
    payload_bytes equal to what follows; width, height and mips possible; for formats of version 1 row_pitch tight and
    payload_bytes right; for encoded ones row_pitch 0, one mip, flag 8 clear, not empty. Unknown flags, formats and
    header bytes are passed over: a later version may send them. Raises FrameDecodeError (103) and nothing else.
    """
    view = memoryview(message).cast("B")
    if len(view) < HEADER_BYTES:
        raise FrameDecodeError(f"frame of {len(view)} bytes < header of {HEADER_BYTES}", value=len(view))
    (
        magic,
        header_bytes,
        flags,
        stream,
        number,
        request,
        index,
        output,
        mips,
        pixel_format,
        width,
        height,
        row_pitch,
        size,
        client_time,
        comfy_us,
        bridge_us,
    ) = _HEADER.unpack_from(view)
    if magic != MAGIC:
        raise FrameDecodeError(f"frame begins with {magic!r}, not {MAGIC!r}")
    is_doorbell = bool(flags & _SHARED_MEMORY)
    least = DOORBELL_BYTES if is_doorbell else HEADER_BYTES
    if header_bytes < least or header_bytes & 15 or header_bytes > len(view):
        raise FrameDecodeError(
            f"header_bytes {header_bytes} must be a multiple of 16 in {least}..{len(view)}",
            field="header_bytes",
            value=header_bytes,
        )
    payload = view[header_bytes:]
    expected = 0 if is_doorbell else size
    if len(payload) != expected:
        raise FrameDecodeError(
            f"{len(payload)} bytes follow the header, must be {expected} (payload_bytes {size})",
            field="payload_bytes",
            value=size,
            limit=len(payload),
        )
    slot = seq = None
    if is_doorbell:
        slot, _, seq = _DOORBELL.unpack_from(view, HEADER_BYTES)
    header = FrameHeader(
        flags,
        stream,
        number,
        request,
        index,
        output,
        mips,
        pixel_format,
        width,
        height,
        row_pitch,
        size,
        client_time,
        comfy_us,
        bridge_us,
        slot,
        seq,
    )
    _check_geometry(header)
    return header, payload


def decode_frame_header(data: bytes | bytearray | memoryview) -> FrameHeader:
    """Give the header of a frame whose payload is elsewhere: at the head of a shared memory slot, 64 bytes.

    Checked as `decode_frame` does, but for what follows it. Raises FrameDecodeError (103), also for flag 128.
    """
    view = memoryview(data).cast("B")
    if len(view) < HEADER_BYTES:
        raise FrameDecodeError(f"frame header of {len(view)} bytes < {HEADER_BYTES}", value=len(view))
    magic, header_bytes, flags, *fields = _HEADER.unpack_from(view)
    if magic != MAGIC or header_bytes != HEADER_BYTES or flags & _SHARED_MEMORY:
        raise FrameDecodeError(
            f"header begins with {magic!r}, header_bytes {header_bytes}, flags {flags}: must be {MAGIC!r}, "
            f"{HEADER_BYTES}, and flag 128 clear",
            field="flags",
            value=flags,
        )
    header = FrameHeader(flags, *fields)
    _check_geometry(header)
    return header


def tight_row_pitch(format: int, width: int) -> int:
    """Give the bytes of one row of pixels, or of one row of 4x4 blocks, without gaps; 0 for encoded formats.

    `format` is a `PixelFormat` or its number. Raises ValueError for a format that version 1 doesn't have.
    """
    pixel_bytes = _PIXEL_BYTES.get(format)
    if pixel_bytes is not None:
        return width * pixel_bytes
    if format in _BLOCK_BYTES:
        return (width + 3) // 4 * _BLOCK_BYTES[format]
    if format in _ENCODED:
        return 0
    raise ValueError(f"pixel format {format} is not in version 1")


def payload_bytes(format: int, width: int, height: int, mips: int = 1) -> int:
    """Give the bytes of a tight payload: mip 0 first, each next level half as wide and high, rounded down, at least 1.

    Raises ValueError for encoded formats, whose size depends on the picture, and for unknown ones.
    """
    if format in _ENCODED:
        raise ValueError(f"pixel format {format} is encoded: its size depends on the picture")
    rows_per_unit = 4 if format in _BLOCK_BYTES else 1
    total = 0
    for _ in range(mips):
        total += tight_row_pitch(format, width) * ((height + rows_per_unit - 1) // rows_per_unit)
        width = max(1, width >> 1)
        height = max(1, height >> 1)
    return total


def mip_levels(width: int, height: int) -> int:
    """Give how many mip levels there are down to 1x1."""
    return max(width, height).bit_length()


def _check_geometry(header: FrameHeader) -> None:
    """Raise FrameDecodeError where size, mips, row_pitch and payload_bytes contradict each other."""
    width, height, pixel_format = header.width, header.height, header.format
    if not width or not height:
        raise FrameDecodeError(f"frame of {width}x{height} pixels, must be at least 1x1", field="width", value=width)
    most = mip_levels(width, height)
    if not 1 <= header.mips <= most:
        raise FrameDecodeError(
            f"mips {header.mips} of {width}x{height} pixels must be 1..{most}",
            field="mips",
            value=header.mips,
            limit=most,
        )
    if pixel_format in _ENCODED:
        if header.row_pitch or header.mips != 1 or header.flags & _BOTTOM_LEFT or not header.payload_bytes:
            raise FrameDecodeError(
                f"encoded frame (format {pixel_format}) with row_pitch {header.row_pitch}, mips {header.mips}, flags "
                f"{header.flags}, payload_bytes {header.payload_bytes}: must be 0, 1, flag 8 clear, and not empty",
                field="format",
                value=pixel_format,
            )
        return
    if pixel_format not in _PIXEL_BYTES and pixel_format not in _BLOCK_BYTES:
        return
    tight = tight_row_pitch(pixel_format, width)
    if header.row_pitch != tight:
        raise FrameDecodeError(
            f"row_pitch {header.row_pitch} of {width} pixels in format {pixel_format} must be {tight} bytes",
            field="row_pitch",
            value=header.row_pitch,
            limit=tight,
        )
    size = payload_bytes(pixel_format, width, height, header.mips)
    if header.payload_bytes != size:
        raise FrameDecodeError(
            f"payload_bytes {header.payload_bytes} of {width}x{height}, format {pixel_format}, {header.mips} mips "
            f"must be {size}",
            field="payload_bytes",
            value=header.payload_bytes,
            limit=size,
        )
