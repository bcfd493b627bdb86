"""What one viewer takes next, frame by frame."""

import pytest

from bridge.app.records import ReleasedSet, ViewerSet
from bridge.app.viewers.viewers import Viewer
from bridge.codec.frame import decode_frame
from bridge.frames.leases import BufferPool
from bridge.frames.packets import Payload
from bridge.types import FrameFlags, PayloadSpec, PixelFormat


@pytest.fixture
def pool():
    pool = BufferPool(1 << 20)
    yield pool
    assert pool.stats().lent == 0, "a buffer did not come back"


def viewer(credit=1):
    return Viewer(1, 7, None, PayloadSpec(PixelFormat.RGBA8), lambda: None, outputs_there=2, credit=credit)


def two_outputs(pool, number, held=False):
    payloads = tuple(
        (output, Payload(PixelFormat.RGBA8, 1, 1, 4, 4, FrameFlags(0), pool.lend(4))) for output in range(2)
    )
    return ViewerSet(ReleasedSet(number=number, request=0, index=0, last=True), payloads, held=held)


def take(viewer):
    taken = viewer.next_frame()
    if taken is None:
        return None
    header, payload = taken
    frame, _ = decode_frame(header + bytes(payload.data))
    payload.release()
    return frame.number, frame.output


def test_the_panic_picture_comes_before_the_rest_of_a_set_that_was_begun(pool):
    one = viewer()
    one.offer(two_outputs(pool, 1), 0.0)
    assert take(one) == (1, 0)
    one.panic(two_outputs(pool, 0, held=True))
    assert [take(one) for _ in range(3)] == [(0, 0), (0, 1), None]
    one.offer(two_outputs(pool, 2), 0.0)  # the broken set can't be acked: its credit is back
    assert [take(one) for _ in range(2)] == [(2, 0), (2, 1)]
    one.close()


def test_a_broken_set_gives_back_its_own_credit_alone(pool):
    one = viewer(credit=2)
    one.offer(two_outputs(pool, 1), 0.0)
    assert [take(one) for _ in range(2)] == [(1, 0), (1, 1)]
    one.offer(two_outputs(pool, 2), 0.0)
    assert take(one) == (2, 0)
    one.panic(two_outputs(pool, 0, held=True))
    assert [take(one) for _ in range(3)] == [(0, 0), (0, 1), None]
    one.ack(2)  # from a client that acks by the first frame: it is done with all up to there
    one.offer(two_outputs(pool, 3), 0.0)
    assert [take(one) for _ in range(2)] == [(3, 0), (3, 1)]
    one.offer(two_outputs(pool, 4), 0.0)
    assert take(one) == (4, 0)
    assert one.outbox.stats(0.0).unacked == 2
    one.close()


def test_a_broken_held_set_gives_back_nothing(pool):
    one = viewer()
    one.offer(two_outputs(pool, 1), 0.0)
    assert [take(one) for _ in range(2)] == [(1, 0), (1, 1)]
    one.hold(two_outputs(pool, 1, held=True))
    assert take(one) == (1, 0)
    one.panic(two_outputs(pool, 0, held=True))
    assert [take(one) for _ in range(2)] == [(0, 0), (0, 1)]
    one.offer(two_outputs(pool, 2), 0.0)
    assert take(one) is None
    one.close()
