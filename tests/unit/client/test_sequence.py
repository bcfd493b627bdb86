"""A sequence's sets as they come: in order, once, acked when read; and its end, which is no cancel."""

import asyncio

import pytest

from bridge.client.frames import Frame
from bridge.client.requests import Run
from bridge.client.sequence import OrderedFrames, Sequence, SequenceEndedError
from bridge.codec import messages as m
from bridge.codec.frame import FrameHeader
from bridge.types import Delivery, FrameFlags, Origin, Outcome, PixelFormat

REQUEST = 7


class Asker:
    """What a client's session is for a sequence: it keeps acks and messages."""

    def __init__(self):
        self.acks = []
        self.asked = []

    def send_ack(self, stream, number):
        self.acks.append(number)

    async def unsubscribe(self, frames):
        frames.end()

    async def ask(self, message, kind):
        self.asked.append(message)
        return m.Ok()


def frame(number, index=None, request=REQUEST, flags=0, output=0):
    header = FrameHeader(
        flags=FrameFlags.LAST_OF_SET | flags,
        stream=1,
        number=number,
        request=request,
        index=number - 1 if index is None else index,
        output=output,
        mips=1,
        format=PixelFormat.RGBA8,
        width=1,
        height=1,
        row_pitch=4,
        payload_bytes=4,
        client_time=0,
        comfy_us=0,
        bridge_us=0,
    )
    return Frame(header, memoryview(bytes(4)))


def subscribed():
    return m.Subscribed(number=1, format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LOSSLESS, credit=4)


def made(frames=3):
    """A sequence that was accepted; gives it, its run, where its frames come, and the asker."""
    asker = Asker()
    ordered = OrderedFrames(
        asker,
        m.Subscribe(stream="s", format="rgba8", origin=Origin.TOP_LEFT, delivery=Delivery.LOSSLESS, credit=4),
    )
    ordered.restart(subscribed())
    run = Run(m.Sequence(stream="s", frames=frames, tracks={}, key=1))
    run.request = REQUEST
    return Sequence(asker, run, ordered, frames), run, ordered, asker


def finished(outcome, frames, **more):
    return m.Finished(request=REQUEST, outcome=outcome, frames=frames, number=frames, **more)


def test_sets_are_acked_when_the_next_one_is_asked_for():
    async def test():
        sequence, run, ordered, asker = made()
        for number in (1, 2, 3):
            ordered.take(frame(number))
        assert [(await sequence.next()).index for _ in range(2)] == [0, 1]
        assert asker.acks == [1]
        await sequence.next()
        run.finish(finished(Outcome.DONE, 3))
        with pytest.raises(StopAsyncIteration):
            await sequence.next()
        assert asker.acks == [1, 2, 3]

    asyncio.run(test())


def test_held_pictures_and_sets_of_others_are_passed_over():
    async def test():
        sequence, _, ordered, _ = made()
        ordered.take(frame(1, index=0, request=3, flags=FrameFlags.HELD))
        ordered.take(frame(2, index=0, request=5))
        ordered.take(frame(3, index=0))
        assert (await sequence.next()).number == 3

    asyncio.run(test())


def test_what_comes_again_after_a_cut_is_given_once_and_its_lost_ack_said_again():
    async def test():
        sequence, _, ordered, asker = made(5)
        for number in (1, 2, 3):
            ordered.take(frame(number))
        for _ in range(3):
            await sequence.next()
        ordered.restart()
        asker.acks.clear()
        for number in (2, 3, 4):
            ordered.take(frame(number))
        assert asker.acks == [2]
        assert (await sequence.next()).index == 3

    asyncio.run(test())


def test_leaving_with_all_sets_in_hand_waits_for_the_answer_and_cancels_nothing():
    """The last picture comes before ComfyUI says that its prompt is over."""

    async def test():
        sequence, run, ordered, asker = made(1)
        ordered.take(frame(1))
        await sequence.next()
        leaving = asyncio.create_task(sequence.close())
        await asyncio.sleep(0)
        assert not leaving.done()
        run.finish(finished(Outcome.DONE, 1))
        await leaving
        assert asker.asked == []

    asyncio.run(test())


def test_leaving_before_the_end_cancels():
    async def test():
        sequence, _, ordered, asker = made(2)
        ordered.take(frame(1))
        await sequence.next()
        await sequence.close()
        assert asker.asked == [m.Cancel(request=REQUEST)]
        assert not ordered.is_open

    asyncio.run(test())


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.EXPIRED])
def test_what_was_made_before_a_failure_is_given_first(outcome):
    async def test():
        sequence, run, ordered, _ = made(5)
        run.finish(finished(outcome, 2, message="frame 2 of 0..4 failed"))
        ordered.take(frame(1))
        assert (await sequence.next()).index == 0
        later = asyncio.create_task(sequence.next())
        await asyncio.sleep(0)
        ordered.take(frame(2))
        assert (await later).index == 1
        with pytest.raises(SequenceEndedError, match=str(outcome)):
            await sequence.next()

    asyncio.run(test())


def test_a_link_that_is_lost_is_said_after_what_came():
    async def test():
        sequence, run, ordered, _ = made(5)
        ordered.take(frame(1))
        run.fail(ConnectionError("gone"))
        assert (await sequence.next()).index == 0
        with pytest.raises(ConnectionError, match="gone"):
            await sequence.next()

    asyncio.run(test())
