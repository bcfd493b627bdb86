"""The client when its link is cut, taken, refused, or when the bridge starts anew."""

import asyncio
import contextlib

import pytest
from bridge_rig import BridgeRig, bridge_behind_proxy, run
from link_rig import TcpClient, say_hello
from ports import ReservedPort

from bridge.client import Client, LinkLostError
from bridge.codec.messages import Welcome
from bridge.errors import BridgeError, ErrorCode, NotAllowedError, UnknownNameError
from bridge.types import Mode, Outcome

KINDS = pytest.mark.parametrize("kind", ["tcp", "websocket"])
TIME_S = 20.0
SMALL = (64, 64)


class Links:
    """How the links of a client begin and end: `await links.welcome()`, `await links.cut()`."""

    def __init__(self):
        self._welcomes = asyncio.Queue()
        self._cuts = asyncio.Queue()

    def __call__(self, event):
        if isinstance(event, Welcome):
            self._welcomes.put_nowait(event)
        elif isinstance(event, Exception):
            self._cuts.put_nowait(event)

    async def welcome(self):
        return await asyncio.wait_for(self._welcomes.get(), TIME_S)

    async def cut(self):
        return await asyncio.wait_for(self._cuts.get(), TIME_S)


async def all_of(frames):
    """Take frames until there are none."""
    while True:
        await frames.next(TIME_S)


async def stats_for_ever(client):
    while True:
        await client.stats("main")


async def fresh(frames):
    """The next frame that is a new result."""
    while (frame := await frames.next(TIME_S)).held:
        pass
    return frame


@KINDS
def test_a_cut_is_healed(kind):
    async def test():
        links = Links()
        async with (
            bridge_behind_proxy(kind) as (_, proxy, address),
            Client(address, on_event=links) as client,
        ):
            first = await links.welcome()
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            frames = await client.subscribe("sky")
            await client.run("sky")
            number = (await fresh(frames)).number
            for _ in range(3):
                proxy.reset()
                again = await links.welcome()
                assert again.resumed
                assert again.session == first.session
                held = await frames.next(TIME_S)
                assert held.held
                assert held.number == number
                await client.run("sky", {"blur": 0.5})
                number = (await fresh(frames)).number
            assert proxy.connections == 4

    run(test)


@KINDS
def test_a_run_that_the_bridge_never_saw_is_sent_again(kind):
    async def test():
        async with (
            bridge_behind_proxy(kind) as (rig, proxy, address),
            Client(address) as client,
        ):
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            proxy.stall()
            asked = [asyncio.create_task(client.run("sky")), asyncio.create_task(client.set("sky", {"blur": 0.25}))]
            asked.append(asyncio.create_task(client.describe("sky")))
            await asyncio.sleep(0)  # each task has its first turn, and has written
            proxy.reset()
            proxy.flow()
            wanted, _, described = await asyncio.gather(*asked)
            assert (await wanted.finished(TIME_S)).outcome is Outcome.DONE
            assert rig.server.bridge.counts["accepted"] == 1
            assert {parameter.name: parameter.value for parameter in described.parameters}["blur"] == 0.25

    run(test)


@KINDS
def test_an_answer_that_came_during_the_cut_is_not_lost(kind):
    async def test():
        async with (
            bridge_behind_proxy(kind, embedded={"step_delay_ms": 100}) as (rig, proxy, address),
            Client(address) as client,
            Client(rig.address("tcp")) as watcher,
        ):
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            frames = await watcher.subscribe("sky")
            wanted = await client.run("sky")
            await proxy.refuse()
            assert (await fresh(frames)).header.request == wanted.request
            assert not wanted.is_finished
            later = asyncio.create_task(client.run("sky"))  # asked while there is no link
            await asyncio.sleep(0)
            await proxy.open()
            answer = await wanted.finished(TIME_S)
            assert answer.outcome is Outcome.DONE
            assert answer.request == wanted.request
            assert (await (await later).finished(TIME_S)).outcome is Outcome.DONE
            assert rig.server.bridge.counts["accepted"] == 2

    run(test)


def test_a_run_under_way_at_the_cut_gets_its_answer():
    async def test():
        async with (
            bridge_behind_proxy("tcp", embedded={"step_delay_ms": 60_000}) as (rig, proxy, address),
            Client(address) as client,
        ):
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            wanted = await client.run("sky")
            proxy.reset()
            assert await client.cancel(stream="sky") == [wanted.request]
            assert (await wanted.finished(TIME_S)).outcome is Outcome.CANCELLED
            assert rig.server.bridge.counts["accepted"] == 1

    run(test)


@KINDS
def test_a_restarted_bridge(kind):
    async def test():
        links = Links()
        async with contextlib.AsyncExitStack() as stack:
            rig, proxy, address = await stack.enter_async_context(
                bridge_behind_proxy(kind, embedded={"step_delay_ms": 60_000})
            )
            client = await stack.enter_async_context(Client(address, on_event=links))
            first = await links.welcome()
            await client.open("other", "shapes", "latest", size=SMALL)
            number = (await client.open("sky", "gradient", "latest", {"noise": 0.0}, size=SMALL)).number
            await client.set(number, {"blur": 0.25})
            await client.live("sky")
            frames = await client.subscribe(number)
            assert (await frames.next(TIME_S)).number == 0
            wanted = await client.run("sky", {"prompt": "x"})
            await proxy.refuse()
            await links.cut()
            waits = asyncio.create_task(client.stats("sky"))  # not sent yet: no reason to fail
            await rig.server.close()
            other = await stack.enter_async_context(BridgeRig(link={"hosts": [f"127.0.0.1:{proxy.port}"]}))
            proxy.aim(other.port(kind))
            await proxy.open()
            with pytest.raises(LinkLostError, match="the bridge was restarted before the answer came"):
                await wanted.finished(TIME_S)
            again = await links.welcome()
            assert not again.resumed
            assert again.boot != first.boot
            assert (await fresh(frames)).pixels.shape == (64, 64, 4)
            assert frames.is_open
            assert (await waits).sent >= 0
            described = await client.describe("sky")
            assert described.mode is Mode.LIVE
            assert described.size == SMALL
            values = {parameter.name: parameter.value for parameter in described.parameters}
            assert (values["blur"], values["noise"], values["prompt"]) == (0.25, 0.0, "x")
            assert (await (await client.run("sky")).finished(TIME_S)).outcome is Outcome.DONE

    run(test)


def test_a_subscription_that_the_new_bridge_refuses_ends_with_the_reason():
    async def test():
        with ReservedPort() as port:
            tcp = {"listen": f"127.0.0.1:{port}"}
            async with BridgeRig(tcp=tcp, streams={"old": {"workflow": "gradient"}}) as rig:
                client = await Client.connect(rig.address("tcp"))
                frames = await client.subscribe("old")
                await frames.next(TIME_S)
            async with BridgeRig(tcp=tcp):
                with pytest.raises(UnknownNameError) as caught:
                    await all_of(frames)
                assert caught.value.code is ErrorCode.UNKNOWN_STREAM
                assert not frames.is_open
                await client.close()

    run(test)


@KINDS
def test_without_reconnect_a_cut_is_the_end(kind):
    async def test():
        async with (
            bridge_behind_proxy(kind, embedded={"step_delay_ms": 60_000}) as (_, proxy, address),
            Client(address, reconnect=False) as client,
        ):
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            frames = await client.subscribe("sky")
            await frames.next(TIME_S)
            wanted = await client.run("sky")
            proxy.reset()
            for waits in (wanted.finished(TIME_S), frames.next(TIME_S), anext(frames), client.ping(), client.ping()):
                with pytest.raises(LinkLostError, match="the bridge closed the link"):
                    await waits
            await frames.close()

    run(test)


@KINDS
def test_a_session_that_went_elsewhere(kind):
    async def test():
        async with BridgeRig() as rig, Client(rig.address(kind)) as client:
            frames = await client.subscribe("main")
            thief = await TcpClient.connect(rig.address("tcp"))
            assert (await say_hello(thief, session=client.welcome.session))["resumed"]
            with pytest.raises(NotAllowedError) as caught:
                await all_of(frames)
            assert caught.value.code is ErrorCode.SESSION_TAKEN
            with pytest.raises(NotAllowedError):
                await client.ping()
            await thief.close()

    run(test)


@KINDS
def test_a_bridge_that_shuts_down(kind):
    async def test():
        async with BridgeRig(embedded={"step_delay_ms": 60_000}) as rig:
            client = await Client.connect(rig.address(kind), reconnect=False)
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            wanted = await client.run("sky")
        assert (await wanted.finished(TIME_S)).outcome is Outcome.CANCELLED
        with pytest.raises(BridgeError) as caught:
            await client.ping()
        assert caught.value.code is ErrorCode.DRAINING
        await client.close()

    run(test)


def test_a_subscription_given_up_during_a_cut_is_ended_after_it():
    async def test():
        links = Links()
        async with (
            bridge_behind_proxy("tcp") as (_, proxy, address),
            Client(address, on_event=links) as client,
        ):
            await links.welcome()
            frames = await client.subscribe("main")
            await frames.next(TIME_S)
            await proxy.refuse()
            await links.cut()
            await frames.close()
            await proxy.open()
            assert (await links.welcome()).resumed
            with pytest.raises(NotAllowedError) as caught:
                await stats_for_ever(client)
            assert caught.value.code is ErrorCode.NOT_SUBSCRIBED

    run(test)


def test_a_silent_bridge_is_cut(monkeypatch):
    async def test():
        links = Links()
        async with (
            bridge_behind_proxy("tcp") as (_, proxy, address),
            Client(address, on_event=links) as client,
        ):
            await links.welcome()
            # From the next link on: on a busy machine it may take a few, and the first one has one try.
            monkeypatch.setattr("bridge.client.session.PING_EVERY_S", 0.05)
            client._session.timeout_s = 0.2
            proxy.reset()
            await links.cut()
            await links.welcome()
            proxy.stall()
            with pytest.raises(TimeoutError, match=r"ping: no answer within 0.2 s"):
                await client.ping()
            assert isinstance(await links.cut(), LinkLostError)
            proxy.flow()
            await links.welcome()

    run(test)


@KINDS
def test_a_few_bytes_at_a_time(kind):
    async def test():
        async with bridge_behind_proxy(kind) as (_, proxy, address), Client(address) as client:
            proxy.slice_bytes = 7
            await client.open("sky", "gradient", "oneshot", size=SMALL)
            frames = await client.subscribe("sky")
            await client.run("sky")
            assert (await fresh(frames)).pixels.shape == (64, 64, 4)

    run(test)
