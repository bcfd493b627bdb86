"""The bridge's side of the link where the page says more than one would think: told changes, acks, ages."""

import asyncio

import pytest
from bridge_rig import BridgeRig, run

from bridge.client import Client
from bridge.codec.messages import Changed, Error
from bridge.errors import ErrorCode, MessageDecodeError
from bridge.types import Outcome

TIME_S = 20.0


def test_changed_has_the_number_and_one_field():
    async def test():
        events = []
        told = asyncio.Event()

        def on_event(event):
            if isinstance(event, Changed):
                events.append(event)
                told.set()

        # No warm-up of the new workflow: on a slow machine its state would be told too.
        async with (
            BridgeRig(scheduler={"warm_up": False}) as rig,
            Client(rig.address("tcp"), on_event=on_event) as client,
            Client(rig.address("tcp")) as other,
        ):
            number = (await client.open("sky", "gradient", "oneshot", size=(64, 64))).number
            assert (await (await client.run("sky")).finished(TIME_S)).outcome is Outcome.DONE  # so it is ready
            events.clear()
            await other.panic()
            await other.resume()
            await client.ping()
            assert events == [Changed(stream=number, state="paused"), Changed(stream=number, state="ready")]
            await other.open("sky", "shapes", "oneshot", replace=True)
            await client.ping()
            while len(events) < 4:
                told.clear()
                await asyncio.wait_for(told.wait(), TIME_S)
            # The workflow at once; the size within a thirtieth of a second, as values come.
            assert events[2:] == [Changed(stream=number, workflow="shapes"), Changed(stream=number, size=(512, 512))]
            told.clear()
            await other.set("sky", {"blur": 0.75})
            await asyncio.wait_for(told.wait(), TIME_S)
            assert events[4:] == [Changed(stream=number, params={"blur": 0.75})]

    run(test)


def test_an_ack_has_no_answer_even_without_a_subscription():
    async def test():
        events = []
        async with BridgeRig() as rig, Client(rig.address("tcp"), on_event=events.append) as client:
            frames = await client.subscribe("main")
            number = frames.number
            await frames.close()
            client._session.send_ack(number, 1)
            await client.ping()
            assert [event for event in events if isinstance(event, Error)] == []

    run(test)


def test_age_is_that_of_the_oldest_set_under_way():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            await client.open("sky", "gradient", "oneshot", size=(64, 64))
            frames = await client.subscribe("sky")
            assert (await client.stats("sky")).age_ms == 0
            await (await client.run("sky")).finished(TIME_S)
            while (await frames.next(TIME_S)).held:
                pass
            assert (await client.stats("sky")).age_ms > 0
            with pytest.raises(TimeoutError):
                await frames.next(0.001)  # acks
            assert (await client.stats("sky")).age_ms == 0

    run(test)


def test_describe_of_nothing():
    async def test():
        async with BridgeRig() as rig, Client(rig.address("tcp")) as client:
            with pytest.raises(MessageDecodeError) as caught:
                await client.describe()
            assert caught.value.code is ErrorCode.BAD_MESSAGE

    run(test)
