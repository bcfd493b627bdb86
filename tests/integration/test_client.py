"""The client against the real bridge with its embedded backend, over both transports."""

import asyncio

import numpy as np
import pytest
from bridge_rig import BridgeRig, run
from ports import ReservedPort

from bridge.client import BlockingClient, Client, LinkLostError
from bridge.codec.messages import Changed, Welcome
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.types import Mode, Origin, Outcome

KINDS = pytest.mark.parametrize("kind", ["tcp", "websocket"])
CORNERS = {
    "top_left": [1.0, 0.0, 0.0],
    "top_right": [0.0, 1.0, 0.0],
    "bottom_left": [0.0, 0.0, 1.0],
    "bottom_right": [1.0, 1.0, 1.0],
    "noise": 0.0,
}
TIME_S = 20.0


async def picture(client, frames, stream="sky", **options):
    """Run once, and give the frame that came of it."""
    wanted = await client.run(stream, **options)
    while True:
        frame = await frames.next(TIME_S)
        if frame.header.request == wanted.request:
            return frame


@KINDS
def test_a_picture_has_the_right_pixels_in_both_origins_and_in_parts(kind):
    async def test():
        async with (
            BridgeRig() as rig,
            Client(rig.address(kind)) as client,
            Client(rig.address(kind), max_message_bytes=4096) as small,
        ):
            opened = await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            assert opened.created
            top = await client.subscribe("sky", "rgba8", "top_left")
            bottom = await small.subscribe("sky", "bgra8", "bottom_left")
            assert (await top.next(TIME_S)).held  # the placeholder
            assert (await bottom.next(TIME_S)).held
            one = await picture(client, top)
            other = await bottom.next(TIME_S)
            assert other.header.request == one.header.request
            assert one.pixels.shape == other.pixels.shape == (32, 64, 4)
            assert one.pixels.dtype == np.uint8
            assert (one.origin, other.origin) == (Origin.TOP_LEFT, Origin.BOTTOM_LEFT)
            assert one.last
            assert not one.held
            assert not one.preview
            red, green, blue, alpha = np.moveaxis(one.pixels, 2, 0).astype(int)
            assert (alpha == 255).all()
            assert red[0, 0] > green[0, 0]
            assert red[0, 0] > blue[0, 0]
            assert green[0, -1] > red[0, -1]
            assert blue[-1, 0] > green[-1, 0]
            assert min(red[-1, -1], green[-1, -1], blue[-1, -1]) > 150
            assert (other.pixels[::-1, :, [2, 1, 0, 3]] == one.pixels).all()

    run(test)


def test_pixels_are_a_view_of_the_received_bytes():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(256, 128))
            frames = await client.subscribe("sky")
            frame = await picture(client, frames)
            pixels = frame.pixels
            assert np.shares_memory(pixels, np.frombuffer(frame.data, np.uint8))
            assert not pixels.flags.writeable
            assert pixels.ctypes.data % 16 == 0
            assert len(frame.data) == frame.header.payload_bytes

    run(test)


@pytest.mark.parametrize(
    ("format", "channels", "dtype"), [("rgb8", 3, np.uint8), ("r8", 1, np.uint8), ("r16", 1, np.uint16)]
)
def test_every_format_has_three_axes(format, channels, dtype):
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            frames = await client.subscribe("sky", format, size=(31, 17), fit="cover")
            assert frames.subscribed.size == (31, 17)
            frame = await picture(client, frames)
            assert frame.pixels.shape == (17, 31, channels)
            assert frame.pixels.dtype == dtype
            assert frame.format_name == format

    run(test)


def test_an_encoded_format_gives_its_file():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            frame = await picture(client, await client.subscribe("sky", "png"))
            assert bytes(frame.data[:4]) == b"\x89PNG"
            with pytest.raises(ValueError, match="png is not an array"):
                _ = frame.pixels

    run(test)


@KINDS
def test_the_verbs(kind):
    async def test():
        async with BridgeRig() as rig, Client(rig.address(kind), client="verbs") as client:
            assert client.welcome.version == 1
            assert client.is_connected
            assert "gradient" in [workflow.name for workflow in client.welcome.workflows]
            described = await client.describe(workflow="gradient")
            assert "blur" in [parameter.name for parameter in described.parameters]
            opened = await client.open("sky", "gradient", Mode.ONESHOT, {"blur": np.float32(0.5)}, size=(64, 64))
            assert not (await client.open("sky", "gradient", "oneshot")).created
            await client.set(opened.number, {"top_left": np.array([1.0, 0.5, 0.25]), "noise": np.float64(0.0)}, 77)
            values = {parameter.name: parameter.value for parameter in (await client.describe("sky")).parameters}
            assert values["blur"] == pytest.approx(0.5)
            assert values["top_left"][:3] == [1.0, 0.5, 0.25]
            frames = await client.subscribe("sky")
            done = await client.run("sky", key="mine", seed=2**64 - 1, priority=9)
            answer = await done.finished(TIME_S)
            assert (answer.outcome, answer.key, answer.seed, done.is_finished) == (
                Outcome.DONE,
                "mine",
                2**64 - 1,
                True,
            )
            frame = await frames.next(TIME_S)
            while frame.held:
                frame = await frames.next(TIME_S)
            assert frame.header.client_time == 77
            assert (await client.stats("sky")).sent == 1
            assert await client.ping() >= 0
            await client.live("sky")
            assert (await client.describe("sky")).mode is Mode.LIVE
            await client.live("sky", False)
            await client.panic()
            with pytest.raises(NotAllowedError) as caught:
                await client.run("sky")
            assert caught.value.code is ErrorCode.PANIC
            await client.resume()
            assert (await (await client.run("sky")).finished(TIME_S)).outcome is Outcome.DONE
            await frames.close()
            with pytest.raises(NotAllowedError) as caught:
                await client.stats("sky")
            assert caught.value.code is ErrorCode.NOT_SUBSCRIBED
            await client.close_stream("sky")

    run(test)


def test_cancel():
    async def test():
        async with BridgeRig(embedded={"step_delay_ms": 60_000}) as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", size=(64, 64))
            runs = [await client.run("sky") for _ in range(3)]
            assert await client.cancel(runs[1]) == [runs[1].request]
            assert (await runs[1].finished(TIME_S)).outcome is Outcome.CANCELLED
            assert await client.cancel(stream="sky") == [runs[0].request, runs[2].request]
            assert [(await one.finished(TIME_S)).outcome for one in runs] == [Outcome.CANCELLED] * 3

    run(test)


@KINDS
def test_errors_are_typed(kind):
    async def test():
        async with BridgeRig() as rig, Client(rig.address(kind)) as client:
            with pytest.raises(InvalidValueError) as caught:
                await client.set("main", {"blur": 99})
            assert caught.value.code is ErrorCode.OUT_OF_RANGE
            assert caught.value.field == "blur"
            assert caught.value.value == 99
            with pytest.raises(UnknownNameError) as caught:
                await client.run("nowhere")
            assert caught.value.code is ErrorCode.UNKNOWN_STREAM
            with pytest.raises(UnknownNameError) as caught:
                await client.open("sky", "gradiant")
            assert caught.value.code is ErrorCode.UNKNOWN_WORKFLOW
            with pytest.raises(InvalidValueError) as caught:
                await client.subscribe("main", "RGBA32")
            assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
            with pytest.raises(InvalidValueError, match="one of oneshot, latest, live"):
                await client.open("sky", "gradient", "lively")
            with pytest.raises(InvalidValueError, match="set"):
                await client.set("main", {"blur": object()})
            with pytest.raises(InvalidValueError) as caught:
                await client.set("main", {"prompt": "x" * (17 << 20)})
            assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
            assert await client.ping() >= 0  # all that cost no link

    run(test)


@KINDS
def test_the_token(kind):
    async def test():
        async with BridgeRig(link={"token": "s3cret"}) as rig:
            with pytest.raises(NotAllowedError) as caught:
                await Client.connect(rig.address(kind), token="wrong")
            assert caught.value.code is ErrorCode.BAD_TOKEN
            async with Client(rig.address(kind), token="s3cret") as client:
                assert client.is_connected

    run(test)


@KINDS
def test_nobody_there(kind):
    async def test():
        with ReservedPort() as port, pytest.raises(LinkLostError, match="no bridge answers at"):
            await Client.connect(f"127.0.0.1:{port}" if kind == "tcp" else f"ws://127.0.0.1:{port}/link")

    run(test)


def test_an_http_refusal_says_why():
    async def test():
        async with BridgeRig() as rig:
            with pytest.raises(LinkLostError, match="HTTP 404: the engine link is at /link"):
                await Client.connect(f"ws://{rig.server.addresses.link}/other")

    run(test)


@KINDS
def test_a_slow_reader_gets_the_newest(kind):
    async def test():
        async with BridgeRig() as rig, Client(rig.address(kind)) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            frames = await client.subscribe("sky")
            first = await picture(client, frames)
            for _ in range(5):  # not acked: none of these is sent
                assert (await (await client.run("sky")).finished(TIME_S)).outcome is Outcome.DONE
            newest = await frames.next(TIME_S)
            assert newest.number == first.number + 5
            assert (await client.stats("sky")).sent == 2
            assert frames.missed == 0

    run(test)


def test_credit_lets_more_come_and_the_newest_waits():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            frames = await client.subscribe("sky", credit=8)
            assert frames.subscribed.credit == 8
            await frames.next(TIME_S)
            last = 0
            for _ in range(4):
                last = (await (await client.run("sky")).finished(TIME_S)).number
            assert (await client.stats("sky")).sent == 4
            frame = await frames.next(TIME_S)
            assert frame.number == last
            assert frames.missed == 3

    run(test)


def test_a_second_subscription_ends_the_first():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            first = await client.subscribe("main")
            seen = []

            async def watch():
                async for frame in first:
                    seen.append(frame.format_name)

            watching = asyncio.create_task(watch())
            second = await client.subscribe("main", "rgb8")
            await asyncio.wait_for(watching, TIME_S)
            assert set(seen) <= {"rgba8"}
            assert not first.is_open
            assert (await second.next(TIME_S)).format_name == "rgb8"
            with pytest.raises(LinkLostError, match="closed"):
                await first.next(TIME_S)
            await first.close()

    run(test)


def test_nothing_comes_and_the_time_is_over():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", CORNERS, size=(64, 32))
            async with await client.subscribe("sky") as frames:
                await frames.next(TIME_S)
                with pytest.raises(TimeoutError):
                    await frames.next(0.01)
                assert (await picture(client, frames)).number == 1
            assert not frames.is_open

    run(test)


def test_events_of_others():
    async def test():
        events = asyncio.Queue()
        async with (
            BridgeRig() as rig,
            Client(rig.address("tcp")) as one,
            Client(rig.address("tcp"), on_event=events.put_nowait, events=("live",)) as other,
        ):
            assert isinstance(await events.get(), Welcome)
            await other.open("sky", "gradient", "oneshot", size=(64, 64))
            await one.set("sky", {"blur": 0.75})
            while not (isinstance(event := await events.get(), Changed) and event.params):
                pass
            assert event.params == {"blur": 0.75}

    run(test)


def test_on_event_that_fails_costs_nothing(caplog):
    async def test():
        def fail(event):
            raise ZeroDivisionError("a bug of the user")

        async with BridgeRig() as rig, Client(rig.address("tcp"), on_event=fail) as client:
            assert await client.ping() >= 0
        assert "on_event failed at Welcome" in caplog.text

    run(test)


@KINDS
def test_close_ends_what_waits(kind):
    async def test():
        async with BridgeRig(embedded={"step_delay_ms": 60_000}) as rig:
            client = await Client.connect(rig.address(kind))
            await client.open("sky", "gradient", "oneshot", size=(64, 64))
            frames = await client.subscribe("sky")
            await frames.next(TIME_S)
            wanted = await client.run("sky")
            rest = asyncio.create_task(anext(frames, None))
            await client.ping()
            await client.close()
            await client.close()
            assert await rest is None
            with pytest.raises(LinkLostError, match="closed"):
                await wanted.finished(TIME_S)
            with pytest.raises(LinkLostError, match="closed"):
                await client.ping()
            assert not client.is_connected

    run(test)


def test_a_client_that_was_not_started():
    async def test():
        client = Client("127.0.0.1:1")
        with pytest.raises(LinkLostError, match="not connected"):
            await client.ping()
        with pytest.raises(LinkLostError, match="not connected"):
            _ = client.welcome
        await client.close()

    run(test)


@KINDS
def test_pictures_go_in_as_arrays_and_files(kind):
    async def test():
        async with BridgeRig() as rig, Client(rig.address(kind)) as client:
            await client.open("cam", "camera_blend", "oneshot", {"amount": 0.0, "blur": 0.1}, size=(64, 64))
            frames = await client.subscribe("cam")
            array = np.full((64, 64, 4), (200, 100, 50, 255), np.uint8)
            await client.image("cam", "camera", array)
            frame = await picture(client, frames, "cam")
            assert np.abs(frame.pixels.astype(int) - array).max() <= 3
            await client.image("cam", "camera", array, format="bgra8", origin="bottom_left")
            frame = await picture(client, frames, "cam")
            assert np.abs(frame.pixels[..., [2, 1, 0, 3]].astype(int) - array).max() <= 3
            frame = await picture(client, frames, "cam", params={"camera": array[..., :3]})
            assert np.abs(frame.pixels.astype(int) - array).max() <= 3
            with pytest.raises(InvalidValueError, match="is no picture"):
                await client.image("cam", "camera", array.astype(np.float64))

    run(test)


def test_pictures_go_in_by_the_blocking_client():
    async def test():
        async with BridgeRig() as rig:
            address = rig.address("tcp")

            def engine():
                with BlockingClient(address) as client:
                    client.open("cam", "camera_blend", "oneshot", {"amount": 0.0}, size=(64, 64))
                    client.image("cam", "camera", np.full((8, 8), 7, np.uint8))
                    return client.run("cam").finished(TIME_S)

            assert (await asyncio.to_thread(engine)).outcome is Outcome.DONE

    run(test)
