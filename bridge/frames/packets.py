"""One released picture, and every payload that somebody wants of it: each made once and shared.

The first payload decodes and converts in one go, in one of the pool's threads, straight into the buffer that the sink
lends. Further ones, a newcomer's included, are converted from the same pixels. A `jpeg` or `png` that is already what
was asked for is passed through without a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Protocol, cast

from bridge.codec.payloads import PAYLOAD_FORMATS
from bridge.codec.picture_header import Buffer
from bridge.codec.pixels import PictureHeader, PictureLimits, Pixels, read_picture_header
from bridge.errors import BridgeError, ErrorCode, PictureDecodeError, TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.frames.decoders import decoders
from bridge.frames.leases import CountedLease
from bridge.frames.payloads import (
    Payload,
    check_payload_spec,
    frame_geometry,
    make_payload,
    owned,
    payload_flags,
    payload_formats,
)
from bridge.types import ENCODED_FORMATS, Fit, Origin, OutputKind, PayloadSpec, PixelFormat, Sink, Size

__all__ = ["Payload", "PayloadSource", "Undecoded", "check_payload_spec", "payload_formats"]

SLOW: Final = frozenset({PixelFormat.BC7})
"""Forms that take a third of a second: they have the pixels from a decoding of its own, for which the others needn't
wait, and never all of the pool's threads."""

Wanted = Callable[[], bool]
SinkFor = Callable[[PayloadSpec, Size], Sink]
"""Where the payload by a spec, of a picture of a size, is to be written. The spec's size is None for the picture's."""

KEEP_PIXELS_BYTES: Final = 16 << 20
"""Decoded pixels up to this size (2048 x 2048) are kept for newcomers; larger pictures are decoded again."""


KEEP_PAYLOADS_BYTES: Final = 16 << 20
"""So much of what was made is kept for newcomers, the newest of it: on a stream that stands still, one who asks for one
size after another would else fill the sink for good."""


AT_ONCE_PIXELS: Final = 512 * 512
"""Raw pixels up to so many are written on the event loop: 0.13 ms, where the way to a thread and back takes longer, and
far longer while other threads decode."""


@dataclass(eq=False, slots=True)
class _Making:
    """A payload in the making, and who waits for it."""

    spec: PayloadSpec
    waiters: list[tuple[asyncio.Future[Payload | None], Wanted | None]] = field(default_factory=list)

    def wanted(self) -> bool:
        return any(not future.done() and (wanted is None or wanted()) for future, wanted in self.waiters)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """`pixels` is None where the file was decoded straight into the payload."""

    pixels: Pixels | None
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


class Written(Undecoded, Protocol):
    """Pixels that need no decoding, and some forms of which are made of them in one pass."""

    def writes(self, spec: PayloadSpec) -> bool:
        """Whether `write` makes this form."""
        ...

    def write(self, spec: PayloadSpec, out: memoryview) -> None:
        """Make it."""
        ...


class PromptSink(Sink, Protocol):
    """A sink that knows whether it can lend without making the event loop wait; others are asked in threads."""

    def lends_at_once(self, payload_bytes: int) -> bool:
        """True if `lend` would be as quick as memory is."""
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
        sink_for: SinkFor | None = None,
    ) -> None:
        """A source over an encoded file (kept, not copied), over pixels, or over what gives them in a thread.

        `sink_for(spec, size)` names another sink than `sink` for the payloads of one spec; it is asked in a thread.

        Raises:
            PictureDecodeError: the file's header is refused; whether the rest decodes shows with the first payload.
        """
        self.kind = kind
        self.header: PictureHeader | None = None
        self._data: Buffer | None = None
        self._undecoded: Undecoded | None = None
        self._raw: Written | None = None
        self._pixels: Pixels | None = None
        if isinstance(picture, Pixels):
            self._pixels = picture
            self.size = picture.size
        elif not isinstance(picture, bytes | bytearray | memoryview):
            self._undecoded = picture
            if hasattr(picture, "writes"):
                self._raw = cast(Written, picture)
            self.size = picture.size
        else:
            self.header = read_picture_header(picture, limits)
            self._data = picture
            self.size = self.header.size
        self._limits = limits
        self._pool = pool
        self._sink_for: SinkFor = (lambda spec, size: sink) if sink_for is None else sink_for
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
        return self._pixels is not None or self._raw is not None

    @property
    def byte_count(self) -> int:
        """What it keeps for as long as nobody wants a payload, about."""
        if self._data is not None:
            return memoryview(self._data).nbytes
        bytes_: int = getattr(self._undecoded, "nbytes", 0)
        return bytes_ or self.size.width * self.size.height * 4

    @property
    def picture(self) -> Buffer | Pixels | Undecoded:
        """What it was made of. It is shared: not to be written to.

        Raises:
            RuntimeError: the source is closed.
        """
        picture = self._data or self._undecoded or self._pixels
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
        return await owned(waiter)

    def close(self) -> None:
        """Nothing more for newcomers: what the source keeps goes back. Who already waits still gets its payload."""
        self._closed = True
        made, self._made = self._made, {}
        for payload in made.values():
            payload.release()
        self._forget_pixels()

    def _normal(self, spec: PayloadSpec) -> PayloadSpec:
        """The same payload said in one way, so that equal ones are shared."""
        if spec.format not in PAYLOAD_FORMATS:  # whether blocks are made may change
            check_payload_spec(spec, self.kind)
        return _normal(spec, self.kind, self.size)

    def _ready(self, spec: PayloadSpec) -> Payload | None:
        if self._closed:
            raise RuntimeError("the picture is superseded: its source is closed")
        payload = self._made.pop(spec, None)
        if payload is None and self._passes_through(spec):
            assert self._data is not None
            view = memoryview(self._data).cast("B").toreadonly()
            payload = Payload(
                spec.format, *self.size, 0, view.nbytes, payload_flags(spec, self.kind), CountedLease(view)
            )
        if payload is None and self._raw is not None and spec not in self._making:
            payload = self._write_at_once(self._raw, spec)
        if payload is not None:
            payload.retain()
            self._keep(spec, payload)
        return payload

    def _write_at_once(self, raw: Written, spec: PayloadSpec) -> Payload | None:
        """A form of a small raw picture, made here and now; None where that would make the loop wait."""
        if self.size.width * self.size.height > AT_ONCE_PIXELS or not raw.writes(spec):
            return None
        sink = self._sink_for(spec, self.size)
        lends_at_once = getattr(sink, "lends_at_once", None)
        if lends_at_once is None or not lends_at_once(self.size.width * self.size.height * 4):
            return None
        written = self._write(raw, spec, sink)
        return written if isinstance(written, Payload) else None

    def _write(self, raw: Written, spec: PayloadSpec, sink: Sink) -> Payload | TexbridgeError:
        """A form of a raw picture, straight into the sink's buffer."""
        width, height, row_pitch, payload_bytes, mips = frame_geometry(self.size, spec)
        try:
            lease = sink.lend(payload_bytes)
        except TexbridgeError as error:
            return error
        try:
            raw.write(spec, lease.view)
        except BaseException:
            lease.release()
            raise
        return Payload(
            spec.format, width, height, row_pitch, payload_bytes, payload_flags(spec, self.kind), lease, mips
        )

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

    def _begin(self, making: _Making) -> None:
        """Have the payload made; while another one decodes, wait for its pixels."""
        if self._broken is not None:
            self._settle(making, self._broken)
            return
        pixels, spec = self._pixels, making.spec
        slow = spec.format in SLOW
        if pixels is None and (slow or self._decoding):
            self._queue.append(making)
            if not self._decoding:
                self._decode_alone()
            return
        decoding = pixels is None

        def work() -> _Made:
            if pixels is not None:
                return _Made(pixels, self._make(pixels, spec))
            written = self._decode_into(spec)
            if written is not None:
                return _Made(None, written)
            decoded = self._decode()
            return _Made(decoded, self._make(decoded, spec))

        try:
            future = self._pool.submit(work, making.wanted, _Made.dispose, slow)
        except TexbridgeError as error:
            self._settle(making, error)
            return
        self._decoding |= decoding
        future.add_done_callback(lambda ended: self._finished(making, decoding, ended))

    def _decode_alone(self) -> None:
        """Have the pixels made for those in the queue, and no payload."""
        try:
            future = self._pool.submit(self._decode, lambda: any(making.wanted() for making in self._queue))
        except TexbridgeError as error:
            self._decoded(error)
            return
        self._decoding = True
        future.add_done_callback(lambda ended: self._decoded(ended.exception() or ended.result()))

    def _decoded(self, result: Pixels | BaseException | None) -> None:
        """On the loop: the pixels are there, or there won't be any, None if nobody wanted them."""
        self._decoding = False
        if isinstance(result, PictureDecodeError):
            self._broken = result  # it would fail again for everybody else
        elif isinstance(result, Pixels):
            self._pixels = result
        queue, self._queue = self._queue, []
        for waiting in queue:
            if isinstance(result, Pixels) or (result is None and waiting.wanted()):
                self._begin(waiting)
            else:
                self._settle(waiting, result)
        self._tidy()

    def _decode(self) -> Pixels:
        """Runs in a thread."""
        if self._undecoded is not None:
            return self._undecoded.pixels()
        assert self._data is not None
        return decoders.decode(self._data, self._limits)

    def _decode_into(self, spec: PayloadSpec) -> Payload | TexbridgeError | None:
        """Runs in a thread: the file decoded straight into a payload, where a decoder can. None: not this way.

        Whoever wants another form of it has it decoded again; that costs less than a copy kept for nobody.
        """
        if self._raw is not None and self._raw.writes(spec):
            return self._write(self._raw, spec, self._sink_for(spec, self.size))
        header, data = self.header, self._data
        if header is None or data is None or not decoders.writes(header, spec):
            return None
        width, height, row_pitch, payload_bytes, mips = frame_geometry(header.size, spec)
        try:
            lease = self._sink_for(spec, header.size).lend(payload_bytes)
        except TexbridgeError as error:
            return error
        try:
            if decoders.decode_into(data, header, spec, lease.view):
                flags = payload_flags(spec, self.kind)
                return Payload(spec.format, width, height, row_pitch, payload_bytes, flags, lease, mips)
        except BaseException:
            lease.release()
            raise
        lease.release()
        return None

    def _make(self, pixels: Pixels, spec: PayloadSpec) -> Payload | TexbridgeError:
        """Runs in a thread. A full sink is an answer, not an exception: the pixels are good for others."""
        try:
            return make_payload(pixels, spec, self._sink_for(spec, self.size), self.kind, self._quality)
        except BridgeError as error:
            return error

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
        self._tidy()

    def _tidy(self) -> None:
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


@lru_cache(maxsize=256)
def _normal(spec: PayloadSpec, kind: OutputKind, size: Size) -> PayloadSpec:
    """A spec, checked and said in one way for pictures of this size. Asked for each picture and viewer, hence kept."""
    check_payload_spec(spec, kind)
    wanted = None if spec.size == size else spec.size
    return replace(
        spec,
        origin=Origin.TOP_LEFT if spec.format in ENCODED_FORMATS else spec.origin,
        size=wanted,
        fit=Fit.STRETCH if wanted is None else spec.fit,
        linear=spec.linear and kind is OutputKind.COLOR,
    )
