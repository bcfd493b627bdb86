"""Each payload of a picture is made once, shared, and given back when its last user is done."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from PIL import Image
from png_files import png, png8

from bridge.codec.pixels import Channels, PictureLimits, Pixels, solid_pixels
from bridge.errors import BridgeError, InvalidValueError, NotAllowedError, PictureDecodeError
from bridge.frames import packets
from bridge.frames.decode import DecodePool
from bridge.frames.leases import BufferPool
from bridge.frames.packets import Payload, PayloadSource, check_payload_spec
from bridge.types import Fit, FrameFlags, Origin, OutputKind, PayloadSpec, PixelFormat, Size

LIMIT_S = 20.0
RGBA = PayloadSpec(PixelFormat.RGBA8, Origin.BOTTOM_LEFT)
BGRA = PayloadSpec(PixelFormat.BGRA8)
FLIPPED = PayloadSpec(PixelFormat.BGRA8, Origin.BOTTOM_LEFT)
PICTURE = png8([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]])
RGBA_BYTES = bytes((7, 8, 9, 255, 10, 11, 12, 255, 1, 2, 3, 255, 4, 5, 6, 255))
BGRA_BYTES = bytes((3, 2, 1, 255, 6, 5, 4, 255, 9, 8, 7, 255, 12, 11, 10, 255))


class Setting:
    """A pool of threads, a pool of buffers, and a count of what was decoded."""

    def __init__(self) -> None:
        self.pool = DecodePool(2)
        self.buffers = BufferPool(1 << 20)

    def source(self, picture: Any = PICTURE, **options: Any) -> PayloadSource:
        return PayloadSource(picture, self.pool, self.buffers, **options)

    @property
    def works(self) -> int:
        return self.pool.stats().done

    async def hold_workers(self) -> Callable[[], None]:
        """Keep both threads busy until the answer is called."""
        let = threading.Event()
        began = [threading.Event(), threading.Event()]

        def busy(mine: threading.Event) -> None:
            mine.set()
            assert let.wait(LIMIT_S)

        for event in began:
            self.pool.submit(lambda event=event: busy(event))
        for event in began:
            assert await asyncio.to_thread(event.wait, LIMIT_S)
        return let.set


def run(test: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    """One test on a fresh loop, ended if it hangs; every buffer must have come back."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            setting = Setting()
            try:
                await test(setting)
            finally:
                await setting.pool.close()
            await asyncio.sleep(0)  # what the last work's end has called is in the loop's queue by now: its turn
            stats = setting.buffers.stats()
            assert (stats.lent, stats.lost) == (0, 0), "a buffer did not come back"

    asyncio.run(bounded())


async def made(source: PayloadSource, spec: PayloadSpec) -> Payload:
    payload = await source.payload(spec)
    assert payload is not None
    return payload


def test_a_payload_has_its_bytes_and_header_fields() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        payload = await made(source, RGBA)
        assert bytes(payload.data) == RGBA_BYTES
        assert payload.data.readonly
        assert (payload.format, payload.width, payload.height) == (PixelFormat.RGBA8, 2, 2)
        assert (payload.row_pitch, payload.payload_bytes, payload.mips) == (8, 16, 1)
        assert payload.flags is FrameFlags.BOTTOM_LEFT
        payload.release()
        source.close()

    run(test)


def test_one_payload_is_made_once_for_all_who_want_it() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        payloads = await asyncio.gather(*(made(source, RGBA) for _ in range(16)))
        later = await made(source, RGBA)
        assert {id(payload) for payload in (*payloads, later)} == {id(later)}
        assert setting.works == 1
        assert setting.buffers.stats().lent == 1
        ready = source.ready(RGBA)
        assert ready is later
        source.close()
        for payload in (*payloads, later, ready):
            assert bytes(payload.data) == RGBA_BYTES  # to the last user
            payload.release()

    run(test)


def test_different_payloads_share_one_decode() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        specs = [RGBA, BGRA, PayloadSpec(PixelFormat.R8), PayloadSpec(PixelFormat.RGB8, size=Size(4, 4))]
        payloads = await asyncio.gather(*(made(source, spec) for spec in specs))
        assert [payload.payload_bytes for payload in payloads] == [16, 16, 4, 48]
        assert bytes(payloads[1].data) == BGRA_BYTES
        assert setting.buffers.stats().lent == 4
        for payload in payloads:
            payload.release()
        source.close()

    run(test)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RGBA, PayloadSpec(PixelFormat.RGBA8, Origin.BOTTOM_LEFT, Size(2, 2), Fit.COVER)),
        (BGRA, PayloadSpec(PixelFormat.BGRA8, fit=Fit.CONTAIN)),
        (
            PayloadSpec(PixelFormat.JPEG, Origin.BOTTOM_LEFT),
            PayloadSpec(PixelFormat.JPEG, Origin.TOP_LEFT, Size(2, 2)),
        ),
    ],
)
def test_the_same_payload_said_in_two_ways_is_one(one: PayloadSpec, other: PayloadSpec) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        first, second = await made(source, one), await made(source, other)
        assert first is second
        first.release()
        second.release()
        source.close()

    run(test)


def test_payloads_are_kept_up_to_a_limit_those_used_last() -> None:
    """Whoever asks for one size after another must not fill the sink; what viewers hold is theirs all the same."""

    async def test(setting: Setting) -> None:
        source = setting.source(keep_payloads_bytes=2 * 16)
        first, second = await made(source, RGBA), await made(source, BGRA)
        assert setting.buffers.stats().lent == 2
        again = await made(source, RGBA)  # used: BGRA goes first now
        assert again is first
        others = [await made(source, PayloadSpec(PixelFormat.RGBA8, size=Size(side, 1))) for side in range(1, 5)]
        assert bytes(second.data) == BGRA_BYTES
        for payload in (first, again, second, *others):
            payload.release()
        kept = setting.buffers.stats().lent
        assert 1 <= kept <= 2
        large = await made(source, PayloadSpec(PixelFormat.RGBA8, size=Size(3, 3)))
        assert large.payload_bytes == 36
        assert setting.buffers.stats().lent == 1, "what is over the limit by itself is not kept"
        large.release()
        assert setting.buffers.stats().lent == 0
        source.close()

    run(test)


def test_large_pixels_are_not_kept_but_decoded_again() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source(keep_pixels_bytes=4)
        first, second = await made(source, RGBA), await made(source, BGRA)
        assert bytes(second.data) == BGRA_BYTES
        for payload in (first, second):
            payload.release()
        source.close()

    run(test)


def test_pixels_can_be_the_source() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source(solid_pixels(Size(2, 1), (9, 8, 7, 6)))
        for spec, expected in ((BGRA, bytes((7, 8, 9, 6)) * 2), (RGBA, bytes((9, 8, 7, 6)) * 2)):
            payload = await made(source, spec)
            assert bytes(payload.data) == expected
            payload.release()
        source.close()

    run(test)


@pytest.mark.parametrize("kind", list(OutputKind))
def test_data_and_masks_are_flagged_linear(kind: OutputKind) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source(kind=kind)
        payload = await made(source, BGRA)
        assert payload.flags == (FrameFlags(0) if kind is OutputKind.COLOR else FrameFlags.LINEAR)
        assert bytes(payload.data) == BGRA_BYTES
        payload.release()
        source.close()

    run(test)


# --- files


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()


GREY_JPEG = saved(Image.new("RGB", (8, 8), (100, 100, 100)), "JPEG")


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (PICTURE, PixelFormat.PNG),
        (GREY_JPEG, PixelFormat.JPEG),
        (memoryview(b"xx" + GREY_JPEG)[2:], PixelFormat.JPEG),
        (png(1, 1, 16, 0, [b"\1\2"]), PixelFormat.PNG),
    ],
)
def test_a_file_that_is_what_is_wanted_passes_through(data: Any, format: PixelFormat) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source(data)
        payload = source.ready(PayloadSpec(format, Origin.BOTTOM_LEFT))
        assert payload is not None
        assert bytes(payload.data) == bytes(data)
        assert (payload.row_pitch, payload.payload_bytes, payload.flags) == (0, len(data), FrameFlags(0))
        assert (setting.works, setting.buffers.stats().lent) == (0, 0)
        payload.release()
        source.close()

    run(test)


@pytest.mark.parametrize(
    ("data", "spec"),
    [
        (PICTURE, PayloadSpec(PixelFormat.JPEG)),
        (GREY_JPEG, PayloadSpec(PixelFormat.PNG)),
        (GREY_JPEG, PayloadSpec(PixelFormat.JPEG, size=Size(4, 2))),
        (saved(Image.new("CMYK", (8, 8)), "JPEG"), PayloadSpec(PixelFormat.JPEG)),
        (
            saved(Image.new("RGB", (8, 8)), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]),
            PayloadSpec(PixelFormat.PNG),
        ),
        (saved(Image.new("RGB", (8, 8)), "WEBP"), PayloadSpec(PixelFormat.PNG)),
    ],
)
def test_any_other_file_is_made_anew(data: bytes, spec: PayloadSpec) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source(data)
        assert source.ready(spec) is None
        payload = await made(source, spec)
        assert bytes(payload.data) != data
        with Image.open(io.BytesIO(payload.data)) as image:
            assert image.format == spec.format.name
            assert image.size == (payload.width, payload.height) == (spec.size or source.size)
            assert image.mode == "RGB"
            assert getattr(image, "n_frames", 1) == 1
        payload.release()
        source.close()

    run(test)


# --- what goes wrong


def test_a_bad_header_is_refused_at_once() -> None:
    async def test(setting: Setting) -> None:
        with pytest.raises(PictureDecodeError):
            setting.source(b"nonsense")
        with pytest.raises(PictureDecodeError):
            setting.source(PICTURE, limits=PictureLimits(max_pixels=3))

    run(test)


def test_a_picture_that_does_not_decode_fails_for_all_and_is_tried_once() -> None:
    async def test(setting: Setting) -> None:
        broken = GREY_JPEG[: len(GREY_JPEG) - 12]
        source = setting.source(broken)
        results = await asyncio.gather(
            source.payload(RGBA), source.payload(BGRA), source.payload(RGBA), return_exceptions=True
        )
        assert [type(result) for result in results] == [PictureDecodeError] * 3
        with pytest.raises(PictureDecodeError):
            await source.payload(BGRA)
        assert setting.works == 1
        source.close()

    run(test)


def test_a_full_sink_fails_one_payload_and_not_the_next() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        everything = setting.buffers.lend(1 << 20)
        with pytest.raises(BridgeError, match="full"):
            await source.payload(RGBA)
        everything.release()
        payload = await made(source, RGBA)
        assert bytes(payload.data) == RGBA_BYTES
        payload.release()
        source.close()

    run(test)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (PayloadSpec(PixelFormat.RGBA8, size=Size(0, 1)), InvalidValueError),
        (PayloadSpec(PixelFormat.PNG, mips=True), NotAllowedError),
        (PayloadSpec(PixelFormat.JPEG, linear=True), NotAllowedError),
    ],
)
def test_what_this_build_cannot_make_is_refused(spec: PayloadSpec, error: type[Exception]) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        with pytest.raises(error):
            await source.payload(spec)
        with pytest.raises(error):
            check_payload_spec(spec)
        source.close()

    run(test)


def test_linear_data_may_be_asked_for_as_linear() -> None:
    check_payload_spec(PayloadSpec(PixelFormat.R8, linear=True), OutputKind.MASK)


def test_a_closed_source_gives_nothing_to_newcomers() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        payload = await made(source, RGBA)
        payload.release()
        source.close()
        assert source.closed
        with pytest.raises(RuntimeError, match="superseded"):
            source.ready(RGBA)
        with pytest.raises(RuntimeError):
            await source.payload(BGRA)
        source.close()

    run(test)


# --- who still wants it


def test_a_payload_that_nobody_wants_any_more_is_not_made() -> None:
    async def test(setting: Setting) -> None:
        let = await setting.hold_workers()
        source = setting.source()
        newest = True
        first = asyncio.create_task(source.payload(RGBA, lambda: newest))
        second = asyncio.create_task(source.payload(BGRA, lambda: newest))
        await asyncio.sleep(0)
        newest = False
        let()
        assert await asyncio.gather(first, second) == [None, None]
        assert setting.works <= 2  # the two that kept the threads busy, of which one may not be counted yet
        payload = await made(source, RGBA)  # a later one is made all the same
        payload.release()
        source.close()

    run(test)


def test_one_who_wants_it_is_enough() -> None:
    async def test(setting: Setting) -> None:
        let = await setting.hold_workers()
        source = setting.source()
        tasks = [
            asyncio.create_task(source.payload(RGBA, lambda: False)),
            asyncio.create_task(source.payload(RGBA)),
            asyncio.create_task(source.payload(BGRA, lambda: False)),
        ]
        await asyncio.sleep(0)
        let()
        first, second, third = await asyncio.gather(*tasks)
        assert first is second is not None
        assert third is None
        first.release()
        second.release()
        source.close()

    run(test)


def test_closing_while_it_is_made_serves_who_waits_and_keeps_nothing() -> None:
    async def test(setting: Setting) -> None:
        let = await setting.hold_workers()
        source = setting.source()
        tasks = [asyncio.create_task(made(source, spec)) for spec in (RGBA, BGRA, RGBA)]
        await asyncio.sleep(0)
        source.close()
        let()
        payloads = await asyncio.gather(*tasks)
        assert [bytes(payload.data) for payload in payloads] == [RGBA_BYTES, BGRA_BYTES, RGBA_BYTES]
        assert setting.buffers.stats().lent == 2
        for payload in payloads:
            payload.release()

    run(test)


@pytest.mark.parametrize("turns", range(6))
def test_a_cancelled_waiter_leaves_no_buffer_behind(turns: int) -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()
        task = asyncio.create_task(source.payload(RGBA))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        if isinstance(results[0], Payload):
            results[0].release()
        await setting.pool.submit(lambda: None)
        source.close()

    run(test)


def test_a_waiter_cancelled_with_its_payload_in_hand_gives_it_back() -> None:
    async def test(setting: Setting) -> None:
        source = setting.source()

        async def first_come() -> None:
            payload = await made(source, RGBA)
            second.cancel()  # its payload is there, it has not run yet
            payload.release()

        first = asyncio.create_task(first_come())
        second = asyncio.create_task(source.payload(RGBA))
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)
        source.close()
        assert setting.buffers.stats().lent == 0

    run(test)


def test_a_closed_pool_drops_what_waits() -> None:
    async def test(setting: Setting) -> None:
        let = await setting.hold_workers()
        source = setting.source()
        task = asyncio.create_task(source.payload(RGBA))
        await asyncio.sleep(0)
        closing = asyncio.create_task(setting.pool.close())
        assert await task is None
        with pytest.raises(BridgeError):
            await source.payload(BGRA)
        let()
        await closing
        source.close()

    run(test)


def test_a_quick_form_does_not_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one is asked for first. One decoding is enough for both."""
    let = threading.Event()
    make = packets.make_payload

    def slowly(pixels: Pixels, spec: PayloadSpec, *rest: Any) -> Payload:
        if spec in (BGRA, FLIPPED):
            assert let.wait(LIMIT_S)
        return make(pixels, spec, *rest)

    async def test(setting: Setting) -> None:
        # Not BC7 itself, which needs an extra: what counts is which forms are held to be slow.
        monkeypatch.setattr(packets, "SLOW", frozenset({PixelFormat.BGRA8}))
        monkeypatch.setattr(packets, "make_payload", slowly)
        source = setting.source()
        slow = [asyncio.ensure_future(made(source, spec)) for spec in (BGRA, FLIPPED)]
        await asyncio.sleep(0)
        quick = await made(source, RGBA)
        assert bytes(quick.data) == RGBA_BYTES
        assert not any(task.done() for task in slow)
        let.set()
        payloads = [quick, *await asyncio.gather(*slow)]
        assert bytes(payloads[1].data) == BGRA_BYTES
        assert setting.works == 4  # the pixels, and each form of them
        for payload in payloads:
            payload.release()
        source.close()

    run(test)


def test_a_slow_form_that_nobody_wants_any_more_costs_no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(setting: Setting) -> None:
        monkeypatch.setattr(packets, "SLOW", frozenset({PixelFormat.BGRA8}))
        let_go = await setting.hold_workers()
        source = setting.source()
        unwanted = asyncio.ensure_future(source.payload(BGRA, lambda: False))
        await asyncio.sleep(0)
        let_go()
        assert await unwanted is None
        assert setting.pool.stats().dropped == 1
        bad = setting.source(GREY_JPEG[: len(GREY_JPEG) - 12])
        with pytest.raises(PictureDecodeError):
            await bad.payload(BGRA)
        works = setting.works
        with pytest.raises(PictureDecodeError):
            await bad.payload(BGRA)
        assert setting.works == works
        source.close()

    run(test)


def test_a_photo_is_what_pillow_and_numpy_make_of_it() -> None:
    async def test(setting: Setting) -> None:
        array = np.random.default_rng(3).integers(0, 256, (67, 43, 3), dtype=np.uint8)
        source = setting.source(saved(Image.fromarray(array), "PNG"))
        payload = await made(source, RGBA)
        expected = np.dstack((array, np.full(array.shape[:2], 255, np.uint8)))[::-1]
        assert bytes(payload.data) == expected.tobytes()
        payload.release()
        source.close()

    run(test)


class Raw:
    """Raw pixels, as a backend's picture gives them."""

    size = Size(4, 2)

    def pixels(self) -> Pixels:
        return Pixels(np.full((2, 4, 4), 7, np.uint8), Channels.RGBA)

    def writes(self, spec: PayloadSpec) -> bool:
        return spec.format is PixelFormat.RGBA8

    def write(self, spec: PayloadSpec, out: memoryview) -> None:
        out[:] = bytes([7]) * len(out)


def test_a_small_raw_picture_is_written_at_once_and_shared() -> None:
    async def scenario() -> None:
        pool, buffers = DecodePool(1), BufferPool(1 << 20)
        source = PayloadSource(Raw(), pool, buffers)
        first, second = source.ready(PayloadSpec(PixelFormat.RGBA8)), source.ready(PayloadSpec(PixelFormat.RGBA8))
        assert first is not None
        assert second is not None
        assert bytes(first.data) == bytes([7]) * 32
        assert second is first
        assert source.ready(PayloadSpec(PixelFormat.BGRA8)) is None  # that one takes its pixels, in a thread
        third = await source.payload(PayloadSpec(PixelFormat.BGRA8))
        assert third is not None
        assert bytes(third.data) == bytes([7]) * 32
        assert pool.stats().done == 1
        source.close()
        for payload in (first, second, third):
            payload.release()
        assert buffers.stats().lent == 0
        await pool.close()

    asyncio.run(scenario())


def test_where_lending_may_take_long_raw_pictures_go_to_a_thread_too() -> None:
    class Slow(BufferPool):
        def lends_at_once(self, payload_bytes: int) -> bool:
            return False

    async def scenario() -> None:
        pool, buffers = DecodePool(1), Slow(1 << 20)
        source = PayloadSource(Raw(), pool, buffers)
        assert source.ready(PayloadSpec(PixelFormat.RGBA8)) is None
        payload = await source.payload(PayloadSpec(PixelFormat.RGBA8))
        assert payload is not None
        assert pool.stats().done == 1
        payload.release()
        source.close()
        await pool.close()

    asyncio.run(scenario())


def test_a_full_sink_is_told_as_ever() -> None:
    async def scenario() -> None:
        pool, buffers = DecodePool(1), BufferPool(16)
        source = PayloadSource(Raw(), pool, buffers)
        assert source.ready(PayloadSpec(PixelFormat.RGBA8)) is None
        with pytest.raises(BridgeError):
            await source.payload(PayloadSpec(PixelFormat.RGBA8))
        source.close()
        await pool.close()

    asyncio.run(scenario())
