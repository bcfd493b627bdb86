"""From pictures to sets: what is released, what fails, and that every attempt is settled exactly once."""

import asyncio
import gc
import io
import threading
import weakref
from types import SimpleNamespace

import pytest
from PIL import Image

from bridge.app.pictures.results import Results
from bridge.app.pictures.shown import ShownSets
from bridge.app.records import Request
from bridge.app.viewers.viewers import Viewer, Viewers
from bridge.backends.records import BackendPicture, BackendProgress
from bridge.codec.picture_header import PictureLimits
from bridge.errors import ErrorCode
from bridge.frames import packets
from bridge.frames.decode import DecodePool
from bridge.frames.decoders import decoders
from bridge.frames.leases import BufferPool
from bridge.streams.stream import Stream
from bridge.types import Mode, Origin, OutputSpec, PayloadSpec, PixelFormat, WorkflowSpec

LIMIT_S = 10.0


def png(level=0):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(file, "PNG")
    return file.getvalue()


class Judge:
    """The scheduler's answers: newer attempts count, and older ones not any more once a newer one is released."""

    def __init__(self):
        self.released = 0
        self.unwanted = set()

    def wants(self, attempt):
        return attempt not in self.unwanted and attempt >= self.released

    def release(self, attempt, *, last):
        if not self.wants(attempt):
            return False
        self.released = max(self.released, attempt)
        return True

    def is_older(self, attempt, other):
        return attempt < other


class Setting:
    """Results with real pools, one stream, and the pictures of attempts by hand."""

    def __init__(self, outputs=1, mode=Mode.ONESHOT, workers=2):
        self.spec = WorkflowSpec("w", "W", (), tuple(OutputSpec(f"o{n}") for n in range(outputs)), False, 0, None)
        self.stream = Stream(1, "main", self.spec, mode, now=0.0)
        self.viewers = Viewers()
        self.judge = Judge()
        self.buffers = BufferPool(1 << 20)
        self.pool = DecodePool(workers)
        self.settled = []
        self.moved = asyncio.Event()
        self.requests = {}
        self.results = Results(
            self.judge,
            self.viewers,
            ShownSets(),
            self.pool,
            self.buffers,
            self._settle,
            lambda *_: None,
            lambda: 0.0,
            PictureLimits(),
            90,
        )

    def _settle(self, event):
        self.settled.append(event)
        self.moved.set()

    def viewer(self, format=PixelFormat.RGBA8, outputs=None, origin=Origin.TOP_LEFT):
        viewer = Viewer(
            object(),
            1,
            outputs,
            PayloadSpec(format, origin),
            self.moved.set,
            outputs_there=len(self.spec.outputs),
            credit=8,
        )
        self.viewers.add(viewer)
        return viewer

    def begin(self, attempt):
        workflow = SimpleNamespace(spec=self.spec, list_outputs=frozenset())
        request = Request(attempt, self.stream, workflow, None, None, 0.0)
        self.requests[attempt] = request
        nodes = {f"n{place}": place for place in range(len(self.spec.outputs))}
        self.results.begin(attempt, request, {}, nodes)

    def picture(self, attempt, output=0, index=0, data=None):
        data = png(attempt) if data is None else data
        self.results.picture(
            BackendPicture("comfy", attempt, f"n{output}", output, index, "png", memoryview(data), 0.0, 0.0)
        )

    def progress(self, attempt, maximum, output=0):
        self.results.progress(BackendProgress(attempt, f"n{output}", 0, maximum))

    async def until(self, condition):
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.moved.clear()
                await self.moved.wait()

    async def settle(self, attempt):
        await self.until(lambda: any(event.attempt == attempt for event in self.settled))
        (event,) = [event for event in self.settled if event.attempt == attempt]
        return event


def run(test, **options):
    async def limited():
        setting = Setting(**options)
        async with asyncio.timeout(LIMIT_S):
            await test(setting)
        await setting.results.close()
        for viewer in setting.viewers.all():
            viewer.close()
        await setting.pool.close()
        stats = setting.buffers.stats()
        assert (stats.lent, stats.lost) == (0, 0), "a buffer did not come back"

    asyncio.run(limited())


def test_a_set_is_released_when_all_its_outputs_are_there():
    async def test(setting):
        viewer = setting.viewer()
        setting.begin(1)
        setting.picture(1, output=1)
        setting.picture(1, output=0)
        setting.results.ended(1)
        event = await setting.settle(1)
        assert (event.error, event.overtaken) == (None, False)
        item = viewer.take()
        assert [output for output, _ in item.payloads] == [0, 1]
        assert item.shared.last
        item.release()

    run(test, outputs=2)


def test_pictures_are_let_go_without_the_garbage_collector():
    """It comes seldom, and a camera's pictures are megabytes each."""

    class Data(bytearray):
        """Bytes that can be looked after."""

    async def test(setting):
        viewer = setting.viewer()
        pictures = []
        gc.collect()
        gc.disable()
        try:
            for attempt in range(1, 7):
                data = Data(png(attempt))
                pictures.append(weakref.ref(data))
                setting.begin(attempt)
                setting.picture(attempt, data=data)
                if attempt == 3:
                    setting.results.forget(attempt)
                else:
                    setting.results.ended(attempt)
                    await setting.settle(attempt)
                while (item := viewer.take()) is not None:
                    viewer.ack(item.number)
                    item.release()
                del data, item
            await asyncio.sleep(0)
            assert [picture() is None for picture in pictures] == [True] * 5 + [False]  # the last is shown
        finally:
            gc.enable()

    run(test)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("bad", [b"no picture", png()[:40]])
def test_a_bad_picture_of_one_output_fails_the_request_once(order, bad):
    async def test(setting):
        setting.viewer()
        setting.begin(1)
        for output in order:
            setting.picture(1, output=output, data=bad if output == 0 else None)
        setting.results.ended(1)
        event = await setting.settle(1)
        assert event.error.code is ErrorCode.BAD_PICTURE
        setting.begin(2)
        setting.picture(2, output=0)
        setting.picture(2, output=1)
        setting.results.ended(2)
        assert (await setting.settle(2)).error is None
        assert len(setting.settled) == 2

    run(test, outputs=2)


def test_a_picture_that_does_not_decode_fails_the_request():
    async def test(setting):
        setting.viewer()
        setting.begin(1)
        whole = png()
        place = whole.index(b"IDAT") + 6
        setting.picture(1, data=whole[:place] + b"\0\0\0" + whole[place + 3 :])
        setting.results.ended(1)
        assert (await setting.settle(1)).error.code is ErrorCode.BAD_PICTURE

    run(test)


def test_an_output_that_does_not_come_is_named():
    async def test(setting):
        setting.begin(1)
        setting.picture(1, output=0)
        setting.results.ended(1)
        error = (await setting.settle(1)).error
        assert error.code is ErrorCode.NO_IMAGE
        assert "o1" in error.message

    run(test, outputs=2)


def test_an_output_that_ran_and_sent_nothing_is_a_failure():
    async def test(setting):
        setting.begin(1)
        setting.progress(1, 1)
        setting.results.ended(1)
        assert (await setting.settle(1)).error.code is ErrorCode.NO_IMAGE

    run(test)


def test_pictures_missing_at_the_end_of_a_batch_are_a_failure():
    async def test(setting):
        setting.begin(1)
        setting.progress(1, 3)
        for index in range(2):
            setting.picture(1, index=index)
        setting.results.ended(1)
        error = (await setting.settle(1)).error
        assert error.code is ErrorCode.NO_IMAGE
        assert "with 2 of 3" in error.message
        assert setting.requests[1].frames == 2  # they were shown all the same

    run(test)


def test_pictures_that_nobody_wants_are_no_failure():
    async def test(setting):
        setting.begin(1)
        setting.progress(1, 2)
        setting.judge.unwanted.add(1)
        for index in range(2):
            setting.picture(1, index=index)
        setting.results.ended(1)
        assert (await setting.settle(1)).error is None

    run(test)


def test_a_run_without_any_picture_is_a_failure():
    async def test(setting):
        setting.begin(1)
        setting.results.ended(1)
        assert (await setting.settle(1)).error.code is ErrorCode.NO_IMAGE
        assert setting.requests[1].pictures == 0

    run(test)


def test_the_last_of_a_batch_says_so():
    async def test(setting):
        viewer = setting.viewer()
        setting.begin(1)
        setting.progress(1, 2)
        seen = []
        for index in range(2):
            setting.picture(1, index=index)
            await setting.until(lambda: viewer.outbox.ready)
            item = viewer.take()
            seen.append((item.shared.index, item.shared.last))
            item.release()
        setting.results.ended(1)
        await setting.settle(1)
        assert seen == [(0, False), (1, True)]

    run(test)


def test_viewers_of_every_form_get_pictures_though_each_is_overtaken(monkeypatch):
    """Pictures come faster than they decode: the first form's viewer must not be the only one that sees any."""

    async def test(setting):
        turns, decoded = threading.Semaphore(0), []
        decode, loop = decoders.decode, asyncio.get_running_loop()

        def slow(data, limits=None):
            assert turns.acquire(timeout=LIMIT_S)
            decoded.append(data)
            loop.call_soon_threadsafe(setting.moved.set)
            return decode(data, limits)

        monkeypatch.setattr(decoders, "decode", slow)
        viewers = [setting.viewer(PixelFormat.RGBA8), setting.viewer(PixelFormat.BGRA8)]
        seen = {viewer: [] for viewer in viewers}

        def look(viewer):
            while (item := viewer.take()) is not None:
                seen[viewer].append(item.number)
                viewer.ack(item.number)
                item.release()

        for viewer in viewers:
            viewer.wake = lambda viewer=viewer: look(viewer)
        setting.begin(1)
        setting.picture(1)
        setting.results.ended(1)
        for attempt in range(2, 9):
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the one before is being decoded
            setting.begin(attempt)
            setting.picture(attempt)  # and is overtaken now
            setting.results.ended(attempt)
            turns.release()
            await setting.until(lambda attempt=attempt: len(decoded) >= attempt - 1)
        turns.release()
        await setting.settle(8)
        assert seen[viewers[0]][-1] == seen[viewers[1]][-1]
        assert len(seen[viewers[1]]) > 2, list(seen.values())

    run(test, mode=Mode.LATEST, workers=1)


def test_two_slow_forms_take_turns_and_a_quick_one_gets_everything(monkeypatch):
    """As BC7, which takes longer than the time between two pictures, and of which two at once are one too many."""
    slow_forms = [PayloadSpec(PixelFormat.BGRA8, origin) for origin in Origin]
    turns, make = threading.Semaphore(0), packets.make_payload

    def slowly(pixels, spec, *rest):
        if spec in slow_forms:
            assert turns.acquire(timeout=LIMIT_S)
        return make(pixels, spec, *rest)

    async def test(setting):
        monkeypatch.setattr(packets, "SLOW", frozenset({PixelFormat.BGRA8}))
        monkeypatch.setattr(packets, "make_payload", slowly)
        viewers = [*(setting.viewer(spec.format, origin=spec.origin) for spec in slow_forms), setting.viewer()]
        seen = {viewer: [] for viewer in viewers}

        def look(viewer):
            while (item := viewer.take()) is not None:
                seen[viewer].append(item.number)
                viewer.ack(item.number)
                item.release()
            setting.moved.set()

        for viewer in viewers:
            viewer.wake = lambda viewer=viewer: look(viewer)
        one, other, quick = seen.values()
        for attempt in range(1, 31):
            setting.begin(attempt)
            setting.picture(attempt)
            setting.results.ended(attempt)
            await setting.until(lambda attempt=attempt: quick and quick[-1] == attempt)
            if attempt % 3 == 0:
                slow = len(one) + len(other)
                turns.release()
                await setting.until(lambda slow=slow: len(one) + len(other) > slow)
        for _ in range(4):
            turns.release()
        await setting.settle(30)
        assert quick == list(range(1, 31))
        assert abs(len(one) - len(other)) <= 2, (one, other)
        assert setting.pool.stats().refused == 0

    run(test, mode=Mode.LATEST)


def test_a_batch_larger_than_the_decoders_line_is_shown_whole():
    """More pictures than may wait to be decoded come at once: they are made a few at a time."""

    async def test(setting):
        setting.pool.max_waiting = 8
        viewer = setting.viewer()
        taken = []

        def take():
            while (item := viewer.take()) is not None:
                taken.append(item.shared.number)
                viewer.ack(item.shared.number)
                item.release()

        viewer.wake = take
        setting.begin(1)
        setting.progress(1, 100)
        for index in range(100):
            setting.picture(1, index=index, data=png(index))
        setting.results.ended(1)
        event = await setting.settle(1)
        assert (event.error, event.overtaken) == (None, False)
        assert setting.requests[1].frames == 100
        assert taken == list(range(1, 101))

    run(test, workers=1)


@pytest.mark.parametrize(
    ("mode", "generation"), [(Mode.ONESHOT, False), (Mode.LATEST, False), (Mode.LIVE, False), (Mode.LIVE, True)]
)
def test_a_picture_that_nobody_gets_since_the_line_is_full_is_told(mode, generation):
    """A run has failed, with words; one of a live stream's own is dropped, since the next one comes."""

    async def test(setting):
        viewer = setting.viewer()
        gate, began = threading.Event(), threading.Event()

        def busy():
            began.set()
            assert gate.wait(LIMIT_S)

        running = setting.pool.submit(busy)
        assert await asyncio.to_thread(began.wait, LIMIT_S)
        setting.pool.max_waiting = 0
        setting.begin(1)
        setting.requests[1].generation = generation
        setting.picture(1)
        setting.results.ended(1)
        event = await setting.settle(1)
        if generation:
            assert (event.error, event.overtaken) == (None, True)
        else:
            assert event.error.code is ErrorCode.TOO_SLOW
            assert "faster than this machine decodes" in event.error.message
        assert viewer.take() is None
        gate.set()
        await running
        setting.pool.max_waiting = 8
        setting.begin(2)
        setting.picture(2)
        setting.results.ended(2)
        assert (await setting.settle(2)).error is None
        viewer.take().release()

    run(test, workers=1, mode=mode)
