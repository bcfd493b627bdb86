"""Value feedback without loops: motor faders that send back what they are told, fast senders, and who hears what."""

import asyncio

from app_rig import AppRig, color, run

from bridge.codec.messages import Ping
from bridge.codec.osc import encode_osc_message

STREAMS = {"main": {"workflow": "clouds", "mode": "oneshot"}}
VALUES = ("/texbridge/main/strength", "/texbridge/main/fill")


async def _registered(rig):
    osc = rig.osc()
    osc.send("/texbridge/reply", osc.port)
    await osc.until(lambda: bool(osc.at("/texbridge/main/status")))
    return osc


async def _taken(osc):
    """All that this socket sent before is done, and all feedback of it is on its way to everybody."""
    for _ in range(2):
        before = len(osc.at("/texbridge/main/seed"))
        osc.send("/texbridge/refresh")
        await osc.until(lambda before=before: len(osc.at("/texbridge/main/seed")) > before)


def test_controllers_that_send_back_what_they_hear_are_no_loop(tmp_path):
    """Three of them, with values that no float32 holds: what comes back is the value that is there."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            desks = [await _registered(rig) for _ in range(3)]
            stream = rig.bridge.streams.find("main")
            await engine.set(params={"strength": 0.1, "fill": color(0x123457)})
            revision = stream.values.revision
            heard = [0] * len(desks)
            for _ in range(4):
                for place, desk in enumerate(desks):
                    await desk.until(lambda desk=desk: all(desk.at(address) for address in VALUES))
                    news, heard[place] = desk.heard[heard[place] :], len(desk.heard)
                    for message in news:
                        if message.address in VALUES:
                            desk.send(message.address, *message.arguments)
                    await _taken(desk)
            assert stream.values.revision == revision
            assert stream.values["strength"] == 0.1
            assert rig.bridge.counts["accepted"] == 0

    run(test)


def test_a_fast_sender_is_fed_back_thirty_times_a_second_at_most_and_the_last_value_always(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, sender, desk = await rig.engine(), await _registered(rig), await _registered(rig)
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number in range(1, 601):
                sender.send("/texbridge/main/strength", number / 1024)
                if not number % 20:
                    await engine.ask(Ping)  # the bridge has its turn
            await desk.until(lambda: (600 / 1024,) in desk.at("/texbridge/main/strength"))
            told = desk.at("/texbridge/main/strength")
            assert len(told) <= (loop.time() - began) * 30 + 2
            assert told == sorted(told)
            assert told[-1] == (600 / 1024,)
            assert sender.at("/texbridge/main/strength") == []

    run(test)


def test_what_another_set_before_is_not_told_to_who_has_overtaken_it(tmp_path):
    """In one breath the link sets a value, and a controller another: the controller hears nothing of the first."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            desk, other = await _registered(rig), await _registered(rig)
            actions, stream = rig.server.actions, rig.bridge.streams.find("main")
            actions.set_values(stream, {"strength": 0.25})
            rig.server._osc_hub.osc(
                (_message("/texbridge/main/strength", 0.75),), next(iter(rig.server._osc_hub._targets)).registrant
            )
            await other.until(lambda: (0.75,) in other.at("/texbridge/main/strength"))
            assert desk.at("/texbridge/main/strength") == []
            assert other.at("/texbridge/main/strength") == [(0.75,)]

    run(test)


def test_a_value_said_twice_is_told_once_and_makes_one_picture(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "live"}}) as rig:
            engine, sender, desk = await rig.engine(), await _registered(rig), await _registered(rig)
            await engine.subscribe()
            await engine.frame(lambda frame: frame.number == 0)
            for _ in range(5):
                sender.send("/texbridge/main/fill", 0, 0, 9)
            await engine.frame(lambda frame: frame.number == 9)
            for _ in range(5):
                sender.send("/texbridge/main/fill/b", 9)
            sender.send("/texbridge/main/note", "end")
            await desk.until(lambda: bool(desk.at("/texbridge/main/note")))
            assert len(desk.at("/texbridge/main/fill")) == 1
            await rig.until(lambda: rig.bridge.scheduler.open_requests() == 0)
            assert [frame.number for frame in engine.frames].count(9) <= 2  # the note is one of the values

    run(test)


def _message(address, *arguments):
    from bridge.codec.osc import decode_packet

    return decode_packet(encode_osc_message(address, *arguments))
