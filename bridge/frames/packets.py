"""One released picture, and every payload that somebody wants of it: each made once and shared.

The first payload decodes and converts in one go, in one of the pool's threads, straight into the buffer that the sink
lends. Further ones, a newcomer's included, are converted from the same pixels. A `jpeg` or `png` that is already what
was asked for is passed through without a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from bridge.codec.picture_header import Buffer
from bridge.codec.pixels import (
    PictureHeader,
    PictureLimits,
    Pixels,
    decode_picture,
    encode_picture,
    payload_geometry,
    read_picture_header,
    resize_pixels,
    write_pixels,
)
from bridge.errors import BridgeError, ErrorCode, NotAllowedError, PictureDecodeError, TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.frames.leases import CountedLease
from bridge.types import (
    ENCODED_FORMATS,
    Fit,
    FrameFlags,
    Lease,
    Origin,
    OutputKind,
    PayloadSpec,
    PixelFormat,
    Sink,
    Size,
)

Wanted = Callable[[], bool]

KEEP_PIXELS_BYTES: Final = 16 << 20
"""Decoded pixels up to this size (2048 x 2048) are kept for newcomers; larger pictures are decoded again."""


KEEP_PAYLOADS_BYTES: Final = 16 << 20
"""So much of what was made is kept for newcomers, the newest of it: on a stream that stands still, one who asks for one
size after another would else fill the sink for good."""


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


def check_payload_spec(spec: PayloadSpec, kind: OutputKind = OutputKind.COLOR) -> None:
    """Whether this build can make such payloads of outputs of this kind; for the moment of subscribing.

    Raises:
        InvalidValueError: format (306) or size (305).
        NotAllowedError: mips, or colours converted to linear, which this build can't make.
    """
    payload_geometry(Size(1, 1), spec)
    if spec.linear and kind is OutputKind.COLOR:
        raise NotAllowedError(
            "color linear is not made by this build; subscribe with native", field="color", value="linear"
        )


@dataclass(eq=False, slots=True)
class _Making:
    """A payload in the making, and who waits for it."""

    spec: PayloadSpec
    waiters: list[tuple[asyncio.Future[Payload | None], Wanted | None]] = field(default_factory=list)

    def wanted(self) -> bool:
        return any(not future.done() and (wanted is None or wanted()) for future, wanted in self.waiters)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    pixels: Pixels
    payload: Payload | TexbridgeError

    def dispose(self) -> None:
        if isinstance(self.payload, Payload):
            self.payload.release()


class Undecoded(Protocol):
    """A picture whose pixels are to be made in a thread."""

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        ...

    def pixels(self) -> Pixels:
        """Make the pixels. Raises PictureDecodeError."""
        ...


class PayloadSource:
    """One released picture: its encoded bytes, its pixels once somebody wants them, its payloads.

    It belongs to the event loop's thread. It keeps the payloads that it made last until `close`, which the owner
    calls when a newer picture has taken its place; the bytes then live on until their last user has released them.
    """

    def __init__(
        self,
        picture: Buffer | Pixels | Undecoded,
        pool: DecodePool,
        sink: Sink,
        *,
        kind: OutputKind = OutputKind.COLOR,
        limits: PictureLimits | None = None,
        jpeg_quality: int = 90,
        keep_pixels_bytes: int = KEEP_PIXELS_BYTES,
        keep_payloads_bytes: int = KEEP_PAYLOADS_BYTES,
    ) -> None:
        """A source over an encoded file (kept, not copied), over pixels, or over what gives them in a thread.

        Raises:
            PictureDecodeError: the file's header is refused; whether the rest decodes shows with the first payload.
        """
        self.kind = kind
        self.header: PictureHeader | None = None
        self._data: Buffer | None = None
        self._undecoded: Undecoded | None = None
        self._pixels: Pixels | None = None
        if isinstance(picture, Pixels):
            self._pixels = picture
            self.size = picture.size
        elif not isinstance(picture, bytes | bytearray | memoryview):
            self._undecoded = picture
            self.size = picture.size
        else:
            self.header = read_picture_header(picture, limits)
            self._data = picture
            self.size = self.header.size
        self._limits = limits
        self._pool = pool
        self._sink = sink
        self._quality = jpeg_quality
        self._keep_bytes = keep_pixels_bytes
        self._keep_payloads_bytes = keep_payloads_bytes
        self._made: dict[PayloadSpec, Payload] = {}
        self._making: dict[PayloadSpec, _Making] = {}
        self._queue: list[_Making] = []
        self._decoding = False
        self._broken: PictureDecodeError | None = None
        self._closed = False

    @property
    def _is_pixels(self) -> bool:
        """It was given pixels: nothing could bring them back."""
        return self._data is None and self._undecoded is None

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    @property
    def decoded(self) -> bool:
        """True while its pixels are at hand, so that a payload more costs no decoding."""
        return self._pixels is not None

    @property
    def picture(self) -> Buffer | Pixels:
        """What it was made of: the encoded file, or pixels. It is shared: not to be written to.

        Raises:
            RuntimeError: the source is closed.
        """
        picture = self._pixels if self._data is None else self._data
        if picture is None:
            raise RuntimeError("the picture is superseded: its source is closed")
        return picture

    def ready(self, spec: PayloadSpec) -> Payload | None:
        """The payload if it can be had at once, retained for the caller; else None.

        Raises:
            InvalidValueError, NotAllowedError: as `check_payload_spec`.
            RuntimeError: the source is closed.
        """
        return self._ready(self._normal(spec))

    async def pixels(self) -> Pixels:
        """The decoded pixels, for pictures that are made of this one. They are shared: not to be written to.

        Raises:
            PictureDecodeError: the picture doesn't decode.
            BridgeError: too many pictures wait for decoding (603); closing (601).
            RuntimeError: the source is closed.
        """
        if self._pixels is not None:
            return self._pixels
        if self._closed or (self._data is None and self._undecoded is None):
            raise RuntimeError("the picture is superseded: its source is closed")
        pixels = await self._pool.submit(self._decode)
        if pixels is None:
            raise BridgeError("pictures are no longer decoded: the bridge is closing", code=ErrorCode.DRAINING)
        return pixels

    async def payload(self, spec: PayloadSpec, wanted: Wanted | None = None) -> Payload | None:
        """The payload by `spec`, retained for the caller; None if nobody wanted it any more at its turn.

        `wanted()` is asked on the event loop just before work begins; work is dropped when all who wait say no.

        Raises:
            PictureDecodeError: the picture doesn't decode.
            InvalidValueError, NotAllowedError: as `check_payload_spec`.
            BridgeError: no buffer left, or too many pictures wait for decoding (603); closing (601).
            RuntimeError: the source is closed.
        """
        spec = self._normal(spec)
        payload = self._ready(spec)
        if payload is not None:
            return payload
        waiter: asyncio.Future[Payload | None] = asyncio.get_running_loop().create_future()
        making = self._making.get(spec)
        if making is not None:
            making.waiters.append((waiter, wanted))
        else:
            making = self._making[spec] = _Making(spec, [(waiter, wanted)])
            self._begin(making)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                late = waiter.result()
                if late is not None:
                    late.release()
            raise

    def close(self) -> None:
        """Nothing more for newcomers: what the source keeps goes back. Who already waits still gets its payload."""
        self._closed = True
        made, self._made = self._made, {}
        for payload in made.values():
            payload.release()
        self._forget_pixels()

    def _normal(self, spec: PayloadSpec) -> PayloadSpec:
        """The same payload said in one way, so that equal ones are shared."""
        check_payload_spec(spec, self.kind)
        size = None if spec.size == self.size else spec.size
        return replace(
            spec,
            origin=Origin.TOP_LEFT if spec.format in ENCODED_FORMATS else spec.origin,
            size=size,
            fit=Fit.STRETCH if size is None else spec.fit,
            linear=False,
        )

    def _ready(self, spec: PayloadSpec) -> Payload | None:
        if self._closed:
            raise RuntimeError("the picture is superseded: its source is closed")
        payload = self._made.pop(spec, None)
        if payload is None and self._passes_through(spec):
            assert self._data is not None
            view = memoryview(self._data).cast("B").toreadonly()
            payload = Payload(spec.format, *self.size, 0, view.nbytes, self._flags(spec), CountedLease(view))
        if payload is not None:
            payload.retain()
            self._keep(spec, payload)
        return payload

    def _passes_through(self, spec: PayloadSpec) -> bool:
        """Whether the file is already what is wanted. An animation isn't, nor CMYK, which few engines decode."""
        header = self.header
        return (
            header is not None
            and spec.format in ENCODED_FORMATS
            and header.format == spec.format.word
            and spec.size is None
            and header.frames == 1
            and header.mode != "CMYK"
        )

    def _flags(self, spec: PayloadSpec) -> FrameFlags:
        flags = FrameFlags(0) if self.kind is OutputKind.COLOR else FrameFlags.LINEAR
        return flags | FrameFlags.BOTTOM_LEFT if spec.origin is Origin.BOTTOM_LEFT else flags

    def _begin(self, making: _Making) -> None:
        """Have the payload made; while another one decodes, wait for its pixels."""
        if self._broken is not None:
            self._settle(making, self._broken)
            return
        if self._pixels is None and self._decoding:
            self._queue.append(making)
            return
        pixels, spec = self._pixels, making.spec
        decoding = pixels is None

        def work() -> _Made:
            if pixels is not None:
                return _Made(pixels, self._make(pixels, spec))
            decoded = self._decode()
            return _Made(decoded, self._make(decoded, spec))

        try:
            future = self._pool.submit(work, making.wanted, _Made.dispose)
        except TexbridgeError as error:
            self._settle(making, error)
            return
        self._decoding |= decoding
        future.add_done_callback(lambda ended: self._finished(making, decoding, ended))

    def _decode(self) -> Pixels:
        """Runs in a thread."""
        if self._undecoded is not None:
            return self._undecoded.pixels()
        assert self._data is not None
        return decode_picture(self._data, self._limits)

    def _make(self, pixels: Pixels, spec: PayloadSpec) -> Payload | TexbridgeError:
        """Runs in a thread. A full sink is an answer, not an exception: the pixels are good for others."""
        width, height, row_pitch, payload_bytes = payload_geometry(pixels.size, spec)
        encoded = b""
        if spec.format in ENCODED_FORMATS:
            sized = pixels if spec.size is None else resize_pixels(pixels, spec.size, spec.fit)
            encoded = encode_picture(sized, spec.format, self._quality)
            payload_bytes = len(encoded)
        try:
            lease = self._sink.lend(payload_bytes)
        except TexbridgeError as error:
            return error
        try:
            if encoded:
                lease.view[:] = encoded
            else:
                write_pixels(pixels, spec, lease.view)
        except BaseException:
            lease.release()
            raise
        return Payload(spec.format, width, height, row_pitch, payload_bytes, self._flags(spec), lease)

    def _finished(self, making: _Making, decoding: bool, ended: asyncio.Future[_Made | None]) -> None:
        """On the loop: work has ended, or was dropped."""
        if decoding:
            self._decoding = False
        error = ended.exception()
        made = None if error is not None else ended.result()
        if isinstance(error, PictureDecodeError):
            self._broken = error  # it would fail again for everybody else
        if made is not None and not self._is_pixels:
            self._pixels = made.pixels
        self._settle(making, error if made is None else made.payload)
        queue, self._queue = self._queue, []
        for waiting in queue:
            self._begin(waiting)
        if not self._making and (self._closed or self._too_large()):
            self._forget_pixels()

    def _settle(self, making: _Making, result: Payload | BaseException | None) -> None:
        """Give everybody who waits the result; keep the payload, unless the source is closed."""
        del self._making[making.spec]
        for waiter, _ in making.waiters:
            if waiter.done():
                continue
            if isinstance(result, Payload):
                result.retain()
                waiter.set_result(result)
            elif result is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(result)
        if isinstance(result, Payload):
            if self._closed:
                result.release()
            else:
                self._keep(making.spec, result)

    def _keep(self, spec: PayloadSpec, payload: Payload) -> None:
        """Keep a payload for newcomers, in place of those that were used longest ago."""
        self._made[spec] = payload
        while sum(kept.payload_bytes for kept in self._made.values()) > self._keep_payloads_bytes:
            self._made.pop(next(iter(self._made))).release()

    def _too_large(self) -> bool:
        return self._pixels is not None and self._pixels.byte_count > self._keep_bytes

    def _forget_pixels(self) -> None:
        if not self._is_pixels and not self._making:
            self._pixels = None
