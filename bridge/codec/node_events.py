"""The event that the node pack sends: a picture as raw pixels, or a file encoded in ComfyUI's execution thread.

Source: `protocols/comfyui-nodes.md`. A message begins with the event number `TXN1`, which ComfyUI writes; header fields
are little-endian, the payload is 16-byte aligned from the start of the message.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec
import numpy as np

from bridge.codec.payloads import write_pixels, write_rgb_words
from bridge.codec.pixels import Channels, Pixels, pixels_from_array
from bridge.errors import ComfyEventDecodeError
from bridge.types import PayloadSpec, PixelFormat, Size

NODE_EVENT: Final = 0x54584E31
"""`TXN1` as ComfyUI writes the number, big-endian."""

NODE_HEADER_BYTES: Final = 48
MAX_NODE_HEADER_BYTES: Final = 4096
MAX_SIDE: Final = 65_535

LINEAR: Final = 1
LAST: Final = 2

RGBA8, RGB8, R8, RGBA16F, R16, R16F = 1, 3, 4, 5, 7, 8
FILES: Final = {64: "jpeg", 65: "png", 66: "webp"}
_BYTES_PER_PIXEL: Final = {RGBA8: 4, RGB8: 3, R8: 1, RGBA16F: 8, R16: 2, R16F: 2}
_LARGEST_HALF: Final = 65_504.0
_FIXED: Final = struct.Struct("<HHHBBIIIIIIIHHI")


class NodeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a batch of `total`. `channels` is what ComfyUI's IMAGE had: 3 in `rgba8` means alpha is nothing.

    `format` is a number of the registry, or 66 for WebP. `data` views the message, without a copy. `convert_us` is what
    the node took to make it.
    """

    prompt_id: str
    node_id: str
    output: int
    index: int
    total: int
    format: int
    channels: int
    width: int
    height: int
    row_pitch: int
    linear: bool
    convert_us: int
    data: memoryview

    @property
    def word(self) -> str:
        """`jpeg`, `png`, `webp`; `raw` for pixels of 8 bits, `raw16` and `raw16f` for those of 16."""
        return FILES.get(self.format) or {R16: "raw16", R16F: "raw16f", RGBA16F: "raw16f"}.get(self.format, "raw")

    @property
    def file_format(self) -> str | None:
        """`jpeg`, `png` or `webp`; None for raw pixels."""
        return FILES.get(self.format)


def decode_node_event(view: memoryview) -> NodeEvent:
    """The record of a message that begins with `TXN1`; `view` is all of it.

    Raises:
        ComfyEventDecodeError: shorter than its lengths say, an unknown format, or sizes that contradict each other.
    """
    if len(view) < NODE_HEADER_BYTES:
        raise ComfyEventDecodeError(f"node event of {len(view)} bytes < header of {NODE_HEADER_BYTES}", value=len(view))
    (
        header_bytes,
        flags,
        number,
        channels,
        output,
        index,
        total,
        width,
        height,
        row_pitch,
        payload_bytes,
        convert_us,
        prompt_id_bytes,
        node_id_bytes,
        _,
    ) = _FIXED.unpack_from(view, 4)
    names_end = NODE_HEADER_BYTES + prompt_id_bytes + node_id_bytes
    if header_bytes % 16 or not names_end <= header_bytes <= MAX_NODE_HEADER_BYTES or header_bytes > len(view):
        raise ComfyEventDecodeError(
            f"node event's header_bytes {header_bytes} must be a multiple of 16, {names_end} or more, and at most "
            f"{MAX_NODE_HEADER_BYTES} and the message's {len(view)} bytes",
            value=header_bytes,
        )
    if header_bytes + payload_bytes != len(view) or not payload_bytes:
        raise ComfyEventDecodeError(
            f"node event's payload_bytes {payload_bytes} isn't what follows its header: {len(view) - header_bytes}",
            value=payload_bytes,
        )
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and 1 <= channels <= 4 and index < total):
        raise ComfyEventDecodeError(
            f"node event of {width} x {height} pixels, {channels} channels, picture {index} of {total} can't be"
        )
    pixel_bytes = _BYTES_PER_PIXEL.get(number)
    if pixel_bytes is None and number not in FILES:
        raise ComfyEventDecodeError(f"node event's format {number} is not known here", value=number)
    wanted = width * (pixel_bytes or 0)
    if row_pitch != wanted or (pixel_bytes is not None and payload_bytes != wanted * height):
        raise ComfyEventDecodeError(
            f"node event's row_pitch {row_pitch} and payload_bytes {payload_bytes} aren't those of {width} x {height} "
            f"pixels of {pixel_bytes or 0} bytes",
            value=row_pitch,
        )
    try:
        prompt_id = str(view[NODE_HEADER_BYTES : NODE_HEADER_BYTES + prompt_id_bytes], "utf-8")
        node_id = str(view[NODE_HEADER_BYTES + prompt_id_bytes : names_end], "utf-8")
    except UnicodeDecodeError as error:
        raise ComfyEventDecodeError(f"names in a node event are not UTF-8: {error.reason}") from None
    return NodeEvent(
        prompt_id=prompt_id,
        node_id=node_id,
        output=output,
        index=index,
        total=total,
        format=number,
        channels=channels,
        width=width,
        height=height,
        row_pitch=row_pitch,
        linear=bool(flags & LINEAR),
        convert_us=convert_us,
        data=view[header_bytes:],
    )


class NodePicture:
    """The pixels of a node event, or its file. `pixels` is there when they need no conversion."""

    __slots__ = ("event", "size")

    def __init__(self, event: NodeEvent) -> None:
        self.event = event
        self.size = Size(event.width, event.height)

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels, or of its file."""
        return self.event.data.nbytes

    @property
    def file(self) -> memoryview | None:
        """The encoded file; None for raw pixels."""
        return self.event.data if self.event.format in FILES else None

    def writes(self, spec: PayloadSpec) -> bool:
        """Whether `write` makes this form: raw 8-bit colours as `rgba8` or `bgra8`, in their own size, as they are."""
        return (
            self.event.format in (RGB8, RGBA8)
            and spec.format in (PixelFormat.RGBA8, PixelFormat.BGRA8)
            and spec.size in (None, self.size)
            and not spec.mips
            and not spec.linear
        )

    def write(self, spec: PayloadSpec, out: memoryview) -> None:
        """Write the payload of a form that `writes` agreed to, straight from the message."""
        if self.event.format == RGB8:
            array = np.frombuffer(self.event.data, "u1").reshape(self.size.height, self.size.width, 3)
            write_rgb_words(array, spec, out)
        else:
            write_pixels(self.pixels(), spec, out)

    def pixels(self) -> Pixels:
        """Raw pixels, a view of the message wherever the format is one of `Pixels`.

        Half floats stay what they are; what is no number becomes 0, and infinity the largest half.
        """
        event = self.event
        width, height = self.size
        if event.format == RGB8:
            return pixels_from_array(np.frombuffer(event.data, "u1").reshape(height, width, 3))
        if event.format == RGBA8:
            array = np.frombuffer(event.data, "u1").reshape(height, width, 4)
            return Pixels(array, Channels.RGB if event.channels == 3 else Channels.RGBA)
        if event.format == R8:
            return Pixels(np.frombuffer(event.data, "u1").reshape(height, width, 1), Channels.L)
        if event.format == R16:
            return Pixels(np.frombuffer(event.data, "<u2").reshape(height, width, 1), Channels.L16)
        halves = np.frombuffer(event.data, "<f2")
        if ((halves.view("<u2") & np.uint16(0x7FFF)) >= np.uint16(0x7C00)).any():
            halves = np.nan_to_num(halves, nan=0.0, posinf=_LARGEST_HALF, neginf=-_LARGEST_HALF)
        if event.format == R16F:
            return Pixels(halves.reshape(height, width, 1), Channels.LF)
        return Pixels(halves.reshape(height, width, 4), Channels.RGBF if event.channels in (1, 3) else Channels.RGBAF)
