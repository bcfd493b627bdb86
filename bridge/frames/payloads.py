"""The bytes of one frame: what can be made here, and the making, which runs in a thread.

Block formats are made of `rgba8` in the asked origin, level by level: resized and flipped first, then compressed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from bridge.codec.frame import payload_bytes
from bridge.codec.light import linear_pixels
from bridge.codec.payloads import (
    BLOCK_FORMATS,
    PAYLOAD_FORMATS,
    PayloadGeometry,
    payload_geometry,
    payload_levels,
    write_pixels,
)
from bridge.codec.pixels import Channels, Pixels, eight_bits, encode_picture, resize_pixels
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.frames.blocks import MAX_BC7_PIXELS, block_formats, compress_blocks
from bridge.types import ENCODED_FORMATS, FrameFlags, Lease, Origin, OutputKind, PayloadSpec, PixelFormat, Sink, Size


@dataclass(frozen=True, slots=True, eq=False)
class Payload:
    """The bytes of one frame and the header fields that every subscriber shares.

    `flags` holds BOTTOM_LEFT and LINEAR alone; the rest is the subscriber's own. Whoever got the payload from
    `PayloadSource.payload` owns the lease once, and releases it when the bytes are sent or dropped.
    """

    format: PixelFormat
    width: int
    height: int
    row_pitch: int
    payload_bytes: int
    flags: FrameFlags
    lease: Lease
    mips: int = 1

    @property
    def data(self) -> memoryview:
        """The bytes, read-only."""
        return self.lease.view.toreadonly()

    def retain(self) -> None:
        """One owner more."""
        self.lease.retain()

    def release(self) -> None:
        """One owner less."""
        self.lease.release()


async def owned(waiter: asyncio.Future[Payload | None]) -> Payload | None:
    """Wait for a payload that is made for several: the caller owns it. Who is cancelled as it comes gives it back.

    Raises what the making ended with.
    """
    try:
        return await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            late = waiter.result()
            if late is not None:
                late.release()
        raise


def payload_formats() -> tuple[PixelFormat, ...]:
    """What can be made here and now, in the order that `welcome.formats` lists: block formats where etcpak is."""
    return (*PAYLOAD_FORMATS[:-2], *block_formats(), *PAYLOAD_FORMATS[-2:])


def check_payload_spec(spec: PayloadSpec, kind: OutputKind = OutputKind.COLOR) -> None:
    """Whether this build can make such payloads of outputs of this kind; for the moment of subscribing.

    Raises:
        InvalidValueError: format (306) or size (305).
        NotAllowedError: mips or linear colours in a file format.
    """
    formats = payload_formats()
    if spec.format not in formats:
        hint = "; install texbridge[bc] for it" if spec.format in BLOCK_FORMATS else ""
        raise InvalidValueError(
            f"format {spec.format.word} is not made here{hint}; choose one of "
            + " ".join(known.word for known in formats),
            code=ErrorCode.UNSUPPORTED_FORMAT,
            field="format",
            value=spec.format.word,
        )
    frame_geometry(Size(1, 1), spec)
    if spec.linear and kind is OutputKind.COLOR and spec.format in ENCODED_FORMATS:
        raise NotAllowedError(
            f"color linear in a {spec.format.word} is not made: every program takes such files as sRGB; subscribe with "
            "native, or to rgba16f",
            code=ErrorCode.NOT_SUPPORTED,
            field="color",
            value="linear",
        )


def frame_geometry(size: Size, spec: PayloadSpec) -> PayloadGeometry:
    """As `payload_geometry`, and `bc7` within what can be made in a second or two. Raises as it does."""
    geometry = payload_geometry(size, spec)
    if spec.format is PixelFormat.BC7 and geometry.width * geometry.height > MAX_BC7_PIXELS:
        raise InvalidValueError(
            f"bc7 of {geometry.width} x {geometry.height}: {MAX_BC7_PIXELS} pixels are allowed, it takes long; ask "
            "for a smaller size, or for bc3",
            code=ErrorCode.BAD_SIZE,
            field="size",
            value=(geometry.width, geometry.height),
            limit=MAX_BC7_PIXELS,
        )
    return geometry


def payload_flags(spec: PayloadSpec, kind: OutputKind) -> FrameFlags:
    """The flags that every subscriber to this form shares."""
    flags = FrameFlags.LINEAR if spec.linear or kind is not OutputKind.COLOR else FrameFlags(0)
    if spec.origin is Origin.BOTTOM_LEFT and spec.format not in ENCODED_FORMATS:
        flags |= FrameFlags.BOTTOM_LEFT
    return flags


def make_payload(pixels: Pixels, spec: PayloadSpec, sink: Sink, kind: OutputKind, jpeg_quality: int = 90) -> Payload:
    """The payload of a picture in the form of `spec`, in a buffer of the sink's, owned by the caller.

    Raises:
        InvalidValueError, NotAllowedError: as `check_payload_spec`.
        BridgeError: no buffer left (603).
    """
    if kind is not OutputKind.COLOR:
        spec = replace(spec, linear=False)
    geometry = frame_geometry(pixels.size, spec)
    encoded = b""
    if spec.format in ENCODED_FORMATS:
        sized = pixels if spec.size is None else resize_pixels(pixels, spec.size, spec.fit)
        encoded = encode_picture(sized, spec.format, jpeg_quality)
    total = len(encoded) or geometry.payload_bytes
    lease = sink.lend(total)
    try:
        if encoded:
            lease.view[:] = encoded
        elif spec.format in BLOCK_FORMATS:
            _write_blocks(pixels, spec, lease.view, kind)
        else:
            write_pixels(pixels, spec, lease.view, kind)
    except BaseException:
        lease.release()
        raise
    width, height, row_pitch, _, mips = geometry
    return Payload(spec.format, width, height, row_pitch, total, payload_flags(spec, kind), lease, mips)


def _write_blocks(pixels: Pixels, spec: PayloadSpec, out: memoryview, kind: OutputKind) -> None:
    """Every level as `rgba8` in the asked origin, then as blocks. BC1 has no alpha, and gets none."""
    level_spec = replace(spec, format=PixelFormat.RGBA8, size=None, mips=False)
    at = 0
    for level in payload_levels(pixels, spec, kind):
        if level.is_float:
            level = eight_bits(linear_pixels(level) if spec.linear else level)
            level_spec = replace(level_spec, linear=False)
        if spec.format is PixelFormat.BC1 and level.channels is Channels.RGBA:
            level = Pixels(level.array, Channels.RGB)
        elif spec.format is PixelFormat.BC1 and level.channels is Channels.LA:
            level = Pixels(np.ascontiguousarray(level.array[..., :1]), Channels.L)
        width, height = level.size
        rgba = np.empty((height, width, 4), np.uint8)
        write_pixels(level, level_spec, rgba.reshape(-1).data, kind)
        size = payload_bytes(spec.format, width, height)
        compress_blocks(rgba, spec.format, out[at : at + size])
        at += size
