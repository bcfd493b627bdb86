"""Sequences by the Python client: in order, healed over cuts, cancelled by leaving; both faces."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from app_rig import AppRig, color, run
from bridge_rig import ThreadedBridge
from fault_proxy import FaultProxy

from bridge.client import BlockingClient, Client, LinkLostError, SequenceEndedError
from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Delivery, Outcome

TIME_S = 30.0
KINDS = pytest.mark.parametrize("kind", ["tcp", "websocket"])
PHOTO = {"main": {"workflow": "photo", "mode": "oneshot"}}


def keys(frames):
    """A colour for each frame, which tells its number."""
    return {"fill": [[index, color(index)] for index in range(frames)]}


def number_of(frame_set):
    pixels = frame_set.pixels
    assert (pixels == pixels[0, 0]).all()
    red, green, blue = (int(channel) for channel in pixels[0, 0, :3])
    return red << 16 | green << 8 | blue


def address_of(rig, kind):
    addresses = rig.server.addresses
    return addresses.tcp if kind == "tcp" else f"ws://{addresses.link}/link"


@asynccontextmanager
async def proxied(tmp_path, kind, streams=None):
    """A rig, the proxy before its door, and the proxy's address for a client."""
    async with FaultProxy(0) as proxy:
        link = {"hosts": [f"127.0.0.1:{proxy.port}"]}
        async with AppRig(tmp_path, streams, link=link) as rig:
            addresses = rig.server.addresses
            door = addresses.tcp if kind == "tcp" else addresses.link
            proxy.aim(int(door.rpartition(":")[2]))
            yield rig, proxy, f"127.0.0.1:{proxy.port}" if kind == "tcp" else f"ws://127.0.0.1:{proxy.port}"


@KINDS
def test_sets_in_order(tmp_path, kind):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, kind)) as client:
            async with await client.sequence("main", 40, keys(40), key="shot", fps=24) as sequence:
                assert sequence.subscribed.delivery is Delivery.LOSSLESS
                sets = [frame_set async for frame_set in sequence]
            assert [frame_set.index for frame_set in sets] == list(range(40))
            assert [number_of(frame_set) for frame_set in sets] == list(range(40))
            finished = await sequence.finished(TIME_S)
            assert (finished.outcome, finished.frames, finished.key) == (Outcome.DONE, 40, "shot")
            assert sequence.progress.max == 40
            with pytest.raises(StopAsyncIteration):
                await sequence.next()
            # The subscription has ended with it, and the client goes on.
            assert not rig.bridge.viewers.all()
            assert (await (await client.run("main")).finished(TIME_S)).outcome is Outcome.DONE

    run(test)


def test_it_is_acked_as_it_is_read(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, "tcp")) as client:
            async with await client.sequence("main", 60, keys(60)) as sequence:
                first = await sequence.next(TIME_S)
                assert first.index == 0
                await rig.until(lambda: len(rig.ears.released) == 16, "a window full")
                assert rig.gate.begun == rig.bridge.sequences.get(sequence.request).until == 16
                rest = [frame_set.index async for frame_set in sequence]
            assert rest == list(range(1, 60))

    run(test)


@KINDS
def test_cuts_are_healed(tmp_path, kind):
    async def test():
        async with proxied(tmp_path, kind) as (rig, proxy, address), Client(address) as client:
            async with await client.sequence("main", 120, keys(120)) as sequence:
                got = []
                async for frame_set in sequence:
                    got.append((frame_set.index, number_of(frame_set)))
                    if frame_set.index in (10, 11, 50, 90):
                        proxy.reset()
            assert got == [(index, index) for index in range(120)]
            assert (await sequence.finished(TIME_S)).outcome is Outcome.DONE
            assert proxy.connections > 1
            assert rig.bridge.counts["accepted"] == 1

    run(test)


def test_acks_that_are_lost_in_a_cut_are_said_again(tmp_path):
    async def test():
        async with (
            proxied(tmp_path, "tcp") as (_, proxy, address),
            Client(address) as client,
            await client.sequence("main", 60, keys(60), credit=4) as sequence,
        ):
            assert [(await sequence.next(TIME_S)).index for _ in range(3)] == [0, 1, 2]
            async with asyncio.timeout(TIME_S):
                while sequence._arrived < 6:  # 3, 4 and 5 are on their way: that many have credit
                    await sequence._wait_for_more()
            proxy.stall()
            assert [(await sequence.next(TIME_S)).index for _ in range(3)] == [3, 4, 5]  # their acks go nowhere
            proxy.reset()
            proxy.flow()
            assert await all_of(sequence) == list(range(6, 60))

    run(test)


async def all_of(sequence, got=None):
    """Take all that comes, into `got` if given."""
    got = [] if got is None else got
    async for frame_set in sequence:
        got.append(frame_set.index)
    return got


def test_leaving_cancels_the_rest(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, "tcp")) as client:
            async with await client.sequence("main", 500, keys(500)) as sequence:
                async for frame_set in sequence:
                    if frame_set.index == 5:
                        break
            assert (await sequence.finished(TIME_S)).outcome is Outcome.CANCELLED
            assert rig.gate.begun < 60
            assert not rig.bridge.viewers.all()

    run(test)


def test_one_that_fails_gives_what_it_made_and_raises(tmp_path):
    async def test():
        streams = {"main": {"workflow": "brittle", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams) as rig, Client(address_of(rig, "tcp")) as client:
            tracks = {"count": [[0, 2], [5, 3, "step"]]}
            got = []
            async with await client.sequence("main", 20, tracks) as sequence:
                with pytest.raises(SequenceEndedError, match=r"frame 5 of 0\.\.19 failed at comfy") as caught:
                    await all_of(sequence, got)
            assert got == list(range(5))
            assert caught.value.finished.name == "execution_failed"

    run(test)


def test_one_that_somebody_else_cancels_raises(tmp_path):
    async def test():
        async with (
            AppRig(tmp_path) as rig,
            Client(address_of(rig, "tcp")) as client,
            Client(address_of(rig, "tcp")) as other,
            await client.sequence("main", 500, keys(500)) as sequence,
        ):
            await sequence.next(TIME_S)
            assert await other.cancel(stream="main", all=True) == [sequence.request]
            with pytest.raises(SequenceEndedError, match="cancelled"):
                await all_of(sequence)

    run(test)


def test_one_that_is_refused_leaves_no_subscription(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, "tcp")) as client:
            with pytest.raises(InvalidValueError) as caught:
                await client.sequence("main", 4, {"fill": [[0, [0, 0, 0], "ease"]]})
            assert caught.value.code is ErrorCode.NOT_A_CHOICE
            with pytest.raises(InvalidValueError, match=r"tracks: fill: 0.5 is no list of keys, \[\[frame"):
                await client.sequence("main", 4, {"fill": 0.5})
            assert not rig.bridge.viewers.all()
            async with await client.sequence("main", 2, keys(2)) as sequence:
                assert await all_of(sequence) == [0, 1]

    run(test)


def test_runs_in_between_are_not_sets_of_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, "tcp")) as client:
            async with await client.sequence("main", 40, keys(40)) as sequence:
                got = [(await sequence.next(TIME_S)).index]
                runs = [await client.run("main", {"note": str(place)}) for place in range(3)]
                got += await all_of(sequence)
                for one in runs:
                    assert (await one.finished(TIME_S)).outcome is Outcome.DONE
            assert got == list(range(40))

    run(test)


def test_a_blackout_in_between_is_said(tmp_path):
    async def test():
        async with (
            AppRig(tmp_path) as rig,
            Client(address_of(rig, "tcp")) as client,
            Client(address_of(rig, "tcp")) as other,
            await client.sequence("main", 30, keys(30)) as sequence,
        ):
            await sequence.next(TIME_S)
            await other.blackout("main")
            reading = asyncio.create_task(all_of(sequence))
            await sequence.finished(TIME_S)
            await other.blackout("main", on=False)
            await (await other.run("main")).finished(TIME_S)
            with pytest.raises(SequenceEndedError, match="not all sets came"):
                await reading

    run(test)


def test_paced(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, Client(address_of(rig, "tcp")) as client:
            began = rig.bridge.clock()
            async with await client.sequence("main", 12, keys(12), fps=60, paced=True, credit=8) as sequence:
                assert (sequence.subscribed.delivery, sequence.subscribed.fps) == (Delivery.PACED, 60)
                assert await all_of(sequence) == list(range(12))
            assert rig.bridge.clock() - began >= 11 / 60

    run(test)


def picture(index):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:] = (0, index >> 8, index & 255)
    return pixels


async def picture_later(index):
    await asyncio.sleep(0)
    return picture(index)


@pytest.mark.parametrize(
    "source", [[picture(index) for index in range(50)], picture, picture_later], ids=["list", "function", "async"]
)
def test_a_picture_for_each_frame(tmp_path, source):
    async def test():
        async with proxied(tmp_path, "tcp", PHOTO) as (_, proxy, address), Client(address) as client:
            async with await client.sequence("main", 50, images={"picture": source}) as sequence:
                got = []
                async for frame_set in sequence:
                    # A JPEG to ComfyUI: not every bit is kept.
                    assert abs(number_of_jpeg(frame_set) - frame_set.index) <= 2
                    got.append(frame_set.index)
                    if frame_set.index == 20:
                        proxy.reset()
            assert got == list(range(50))

    run(test)


def number_of_jpeg(frame_set):
    return int(frame_set.pixels[..., 2].astype(int).mean().round())


def test_what_a_function_of_pictures_raises_is_raised(tmp_path):
    def broken(index):
        if index == 3:
            raise OSError("plate 3 is missing")
        return picture(index)

    async def test():
        async with AppRig(tmp_path, PHOTO) as rig, Client(address_of(rig, "tcp")) as client:
            with pytest.raises(OSError, match="plate 3"):
                async with await client.sequence("main", 50, images={"picture": broken}) as sequence:
                    await all_of(sequence)
            assert (await sequence.finished(TIME_S)).outcome is Outcome.CANCELLED

    run(test)


def test_a_bridge_that_is_started_anew_ends_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            client = await Client.connect(address_of(rig, "tcp"))
            sequence = await client.sequence("main", 500, keys(500))
            await sequence.next(TIME_S)
            await client.close()
            with pytest.raises(LinkLostError):
                await all_of(sequence)
            await sequence.close()

    run(test)


def test_the_blocking_face():
    with ThreadedBridge() as rig, BlockingClient(rig.address("tcp")) as client:
        client.open("sky", "gradient", "oneshot", size=(64, 64))
        tracks = {"noise": [[0, 0.0]], "top_left": [[0, [0, 0, 0]], [9, [1, 1, 1]]]}
        with client.sequence("sky", 10, tracks) as sequence:
            sets = list(sequence)
        assert [frame_set.index for frame_set in sets] == list(range(10))
        corner = [int(frame_set.pixels[0, 0, 0]) for frame_set in sets]
        assert corner == sorted(corner)
        assert sequence.finished(TIME_S).outcome is Outcome.DONE
        assert (sequence.frames, sequence.is_finished, sequence.progress.max) == (10, True, 10)
        with client.sequence("sky", 100, tracks) as sequence:
            assert sequence.next(TIME_S).index == 0
        assert sequence.finished(TIME_S).outcome is Outcome.CANCELLED
