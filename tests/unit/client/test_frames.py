"""Which set waits, and which number is acked when."""

import asyncio

import numpy as np
import pytest

from bridge.client.frames import MAX_FRAMES_OF_SET, Frame, Frames
from bridge.codec.frame import FrameHeader
from bridge.codec.messages import Subscribe, Subscribed
from bridge.types import Delivery, FrameFlags, Origin, PixelFormat

SET = FrameFlags.LAST_OF_SET
HELD = SET | FrameFlags.HELD
PREVIEW = SET | FrameFlags.PREVIEW


class Owner:
    def __init__(self):
        self.acks = []
        self.unsubscribed = []

    def send_ack(self, stream, number):
        self.acks.append(number)

    async def unsubscribe(self, frames):
        self.unsubscribed.append(frames)
        frames.end()


def make():
    message = Subscribe(stream="sky", format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LATEST, credit=1)
    owner = Owner()
    frames = Frames(owner, message)
    frames.restart(subscribed(3))
    return owner, frames


def subscribed(number):
    return Subscribed(number=number, format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LATEST, credit=1)


def frame(number, flags=SET, output=0, pixel_format=PixelFormat.RGBA8, size=(1, 1), data=bytes(4), pitch=4):
    width, height = size
    header = FrameHeader(
        int(flags), 3, number, number, 0, output, 1, int(pixel_format), width, height, pitch, len(data)
    )
    return Frame(header, memoryview(data))


def run_steps(steps):
    """Steps: a frame comes, or "next" takes one; gives the numbers that were handed out and the acks."""

    async def go():
        owner, frames = make()
        taken = []
        for step in steps:
            if step == "next":
                try:
                    taken.append((await frames.next(0.001)).number)
                except TimeoutError:
                    taken.append(None)
            elif step == "restart":
                frames.restart()
            elif step == "anew":
                frames.restart(subscribed(1))
            else:
                frames.take(step)
        return taken, owner.acks, frames.missed

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("steps", "taken", "acks", "missed"),
    [
        (["next"], [None], [], 0),
        ([frame(1), "next"], [1], [], 0),
        ([frame(1), "next", "next"], [1, None], [1], 0),
        ([frame(1), "next", "next", "next"], [1, None, None], [1], 0),
        ([frame(1), "next", "next", frame(2), "next", "next"], [1, None, 2, None], [1, 2], 0),
        ([frame(1), frame(2), frame(3), "next"], [3], [2], 2),
        ([frame(1), frame(2), "next", frame(3), "next", "next"], [2, 3, None], [1, 2, 3], 1),
        ([frame(0, HELD), "next", "next"], [0, None], [], 0),
        # A held picture that shows a set is acked: among them are the blends of a fade, which cost credit.
        ([frame(9, HELD), "next", frame(10), "next", "next"], [9, 10, None], [9, 10], 0),
        ([frame(4), frame(4, HELD), "next", "next"], [4, None], [4], 0),
        ([frame(4), frame(0, HELD), "next", "next"], [0, None], [4], 1),
        ([frame(5, PREVIEW), "next", "next", frame(5), "next", "next"], [5, None, 5, None], [5], 0),
        ([frame(5, PREVIEW), frame(5, PREVIEW), frame(5), "next", "next"], [5, None], [5], 0),
        ([frame(5), frame(6, PREVIEW), "next", "next"], [5, None], [5], 0),
        ([frame(5), frame(6, PREVIEW), frame(6), "next", "next"], [6, None], [5, 6], 1),
        ([frame(7), "next", "restart", "next", frame(8), "next", "next"], [7, None, 8, None], [8], 0),
        ([frame(7), "restart", frame(7, HELD), "next", "next"], [7, None], [7], 0),
        ([frame(7), "anew", "next", frame(1), "next", "next"], [None, 1, None], [1], 0),
        ([frame(7), "next", "next", "anew", frame(1), "next", "next"], [7, None, 1, None], [7, 1], 0),
    ],
)
def test_acks_go_out_just_before_the_next_set(steps, taken, acks, missed):
    assert run_steps(steps) == (taken, acks, missed)


def test_a_set_of_several_outputs_is_handed_out_whole_and_acked_once():
    async def go():
        owner, frames = make()
        frames.take(frame(1, 0, 0))
        frames.take(frame(1, 0, 1))
        with pytest.raises(TimeoutError, match=r"no frame of stream 'sky' within 0.001 s"):
            await frames.next(0.001)
        frames.take(frame(1, SET, 2))
        assert (await frames.next(1)).header.output == 0
        for output in range(3):
            frames.take(frame(2, SET if output == 2 else 0, output))
        got = [await frames.next(1) for _ in range(5)]
        assert [(one.number, one.header.output) for one in got] == [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
        assert owner.acks == [1]

    asyncio.run(go())


def test_a_set_cut_in_the_middle_is_dropped():
    async def go():
        _, frames = make()
        frames.take(frame(1, 0, 0))
        frames.take(frame(2, 0, 0))
        frames.take(frame(2, SET, 1))
        assert [(await frames.next(1)).number for _ in range(2)] == [2, 2]
        frames.take(frame(3, 0, 0))
        frames.restart()
        frames.take(frame(3, HELD, 1))
        assert (await frames.next(1)).header.output == 1

    asyncio.run(go())


def test_a_set_without_an_end_is_bounded():
    _, frames = asyncio.run(_async(make))
    for _ in range(3 * MAX_FRAMES_OF_SET):
        frames.take(frame(1, 0))
        assert len(frames._building) <= MAX_FRAMES_OF_SET


async def _async(function):
    return function()


def test_the_end():
    async def go():
        owner, frames = make()
        frames.take(frame(1))
        frames.end(error := ValueError("over"))
        frames.end()
        assert (await frames.next(1)).number == 1
        for _ in range(2):
            with pytest.raises(ValueError, match="over") as caught:
                await frames.next(1)
            assert caught.value is error
        with pytest.raises(ValueError, match="over"):
            await anext(frames)
        assert owner.acks == []
        _, other = make()
        async with other:
            other.take(frame(1))
        assert [one async for one in other] == []
        await other.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("pixel_format", "channels", "dtype"),
    [
        (PixelFormat.RGBA8, 4, np.uint8),
        (PixelFormat.BGRA8, 4, np.uint8),
        (PixelFormat.RGB8, 3, np.uint8),
        (PixelFormat.R8, 1, np.uint8),
        (PixelFormat.R16, 1, np.uint16),
        (PixelFormat.R16F, 1, np.float16),
        (PixelFormat.R32F, 1, np.float32),
        (PixelFormat.RGBA16F, 4, np.float16),
        (PixelFormat.RGBA32F, 4, np.float32),
    ],
)
def test_pixels_by_format(pixel_format, channels, dtype):
    expected = np.arange(2 * 3 * channels).astype(dtype).reshape(2, 3, channels)
    mips = np.zeros(channels, dtype).tobytes()  # the level of 1x1 behind it
    one = frame(1, pixel_format=pixel_format, size=(3, 2), data=expected.tobytes() + mips)
    assert one.pixels.dtype == dtype
    assert (one.pixels == expected).all()
    assert one.format_name == pixel_format.word


def test_formats_without_pixels():
    for number, word in ((PixelFormat.PNG, "png"), (PixelFormat.BC7, "bc7"), (999, "999")):
        one = frame(1, pixel_format=number)
        with pytest.raises(ValueError, match=f"format {word} is not an array of pixels"):
            _ = one.pixels


def test_flags():
    one = frame(1, FrameFlags.HELD | FrameFlags.BOTTOM_LEFT)
    assert (one.held, one.preview, one.last, one.origin) == (True, False, False, Origin.BOTTOM_LEFT)
    one = frame(1, FrameFlags.PREVIEW | FrameFlags.LAST_SET)
    assert (one.held, one.preview, one.last, one.origin) == (False, True, True, Origin.TOP_LEFT)


def test_a_whole_set_at_once():
    async def go():
        owner, frames = make()
        for number in (1, 2):
            for output in range(3):
                frames.take(frame(number, SET if output == 2 else 0, output))
            whole = await frames.next_set(1)
            assert [(one.number, one.output) for one in whole] == [(number, output) for output in range(3)]
        with pytest.raises(TimeoutError):
            await frames.next_set(0.001)
        assert owner.acks == [1, 2]

    asyncio.run(go())
