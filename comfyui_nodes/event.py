"""The header of the pack's WebSocket event. Pure: bytes out, no torch, no ComfyUI.

The byte table is in texbridge's protocols/comfyui-nodes.md.
"""

import struct

EVENT = 0x54584E31
"""ComfyUI writes this number before the message, big-endian: the message begins with `TXN1`."""

RGBA8, RGB8, R8, RGBA16F, R16, R16F, JPEG, PNG, WEBP = 1, 3, 4, 5, 7, 8, 64, 65, 66

BYTES_PER_PIXEL = {RGBA8: 4, RGB8: 3, R8: 1, RGBA16F: 8, R16: 2, R16F: 2}

LINEAR = 1
LAST = 2

_HEADER = struct.Struct("<HHHBBIIIIIIIHHI")
_EVENT_BYTES = 4
_MOST_NAME_BYTES = 1024


def header(
    *,
    format,
    channels,
    output,
    index,
    total,
    width,
    height,
    payload_bytes,
    convert_us,
    linear,
    prompt_id,
    node_id,
):
    """What stands between the event number and the payload; the payload then begins 16-byte aligned.

    Raises ValueError for names that are too long, or a number that doesn't fit its field.
    """
    names = prompt_id.encode() + node_id.encode()
    if len(names) > _MOST_NAME_BYTES:
        raise ValueError(f"prompt id and node id have {len(names)} bytes > {_MOST_NAME_BYTES}")
    header_bytes = -(-(_EVENT_BYTES + _HEADER.size + len(names)) // 16) * 16
    flags = (LINEAR if linear else 0) | (LAST if index + 1 == total else 0)
    try:
        fixed = _HEADER.pack(
            header_bytes,
            flags,
            format,
            channels,
            output,
            index,
            total,
            width,
            height,
            width * BYTES_PER_PIXEL.get(format, 0),
            payload_bytes,
            min(convert_us, 0xFFFFFFFF),
            len(prompt_id.encode()),
            len(node_id.encode()),
            0,
        )
    except struct.error as error:
        raise ValueError(f"a field of the header does not fit: {error}") from None
    return (fixed + names).ljust(header_bytes - _EVENT_BYTES, b"\0")
