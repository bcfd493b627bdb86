"""Value feedback without loops: motor faders that send back what they are told, fast senders, and who hears what."""

import asyncio
import itertools

from app_rig import WORKFLOWS, AppRig, color, run, write_workflow

from bridge.codec.messages import Ping
from bridge.codec.osc import encode_osc_message

STREAMS = {"main": {"workflow": "clouds", "mode": "oneshot"}}
MARKS = itertools.count(1_000_000)
VALUES = ("/texbridge/main/strength", "/texbridge/main/fill")


async def _registered(rig):
    osc = rig.osc()
    osc.send("/texbridge/reply", osc.port)
    await osc.until(lambda: bool(osc.at("/texbridge/main/status")))
    return osc


async def _taken(osc, other):
    """All that this socket sent before is done, and all feedback of it is on its way to everybody."""
    mark = next(MARKS)
    osc.send("/texbridge/main/seed", mark)
    await other.until(lambda: (str(mark),) in other.at("/texbridge/main/seed"))


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
                    await _taken(desk, desks[place - 1])
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
                (_message("/texbridge/main/strength", 0.75),), rig.server._osc_hub.targets.targets[0].registrant
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


def test_a_desk_with_faders_of_0_to_1_hears_them_so_and_its_echo_changes_nothing(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, plain, desk = await rig.engine(), await _registered(rig), rig.osc()
            desk.send("/texbridge/reply", desk.port, "norm")
            await desk.until(lambda: bool(desk.at("/texbridge/main/status")))
            spec = rig.bridge.streams.find("main").parameters["strength"]
            value = spec.minimum + (spec.maximum - spec.minimum) / 3
            await engine.set(params={"strength": value, "fill": color(0x336699)})
            await desk.until(lambda: bool(desk.at("/texbridge/main/strength/norm") and desk.at(f"{VALUES[1]}/norm")))
            ((share,),) = desk.at("/texbridge/main/strength/norm")
            assert abs(share - 1 / 3) < 1e-6
            assert desk.at("/texbridge/main/strength")  # in real units too, for its display
            assert desk.at(f"{VALUES[1]}/norm")[0] == desk.at(VALUES[1])[0]
            revision = rig.bridge.streams.find("main").values.revision
            desk.send("/texbridge/main/strength/norm", share)  # a motor fader says what it was told
            await _taken(desk, plain)
            assert rig.bridge.streams.find("main").values.revision == revision
            desk.send("/texbridge/main/strength/norm", 1.0)
            await plain.until(lambda: plain.at("/texbridge/main/strength")[-1] == (spec.maximum,))
            assert len(desk.at("/texbridge/main/strength/norm")) == 1  # never to who moved it
            plain.send("/texbridge/main/strength/norm", 0.0)
            await desk.until(lambda: desk.at("/texbridge/main/strength/norm")[-1] == (0.0,))
            assert not [message for message in plain.heard if message.address.endswith("/norm")]
            desk.send("/texbridge/main/strength/norm", share)  # no echo now: it holds another value
            await plain.until(lambda: abs(plain.at("/texbridge/main/strength")[-1][0] - value) < 1e-6)

    run(test)


def test_a_map_tells_a_controller_at_its_own_address(tmp_path):
    maps = [
        {"address": "/1/fader3", "to": "main/strength", "in": [0, 127], "out": [0.0, 1.0], "feedback": True},
        {"address": "/1/red", "to": "main/fill/r", "invert": True, "feedback": True},
        {"address": "/1/note", "to": "main/note", "feedback": True},
        {"address": "/2/fader3", "to": "main/strength/norm"},
    ]
    graph = {**WORKFLOWS["clouds"], "9": WORKFLOWS["solid"]["3"]}

    async def test():
        made = AppRig(tmp_path, {"main": {"workflow": "noted", "mode": "oneshot"}}, map=maps)
        write_workflow(made.folder, "noted", graph)
        async with made as rig:
            desk, other = await _registered(rig), await _registered(rig)
            other.send("/texbridge/main/strength", 0.25)
            other.send("/texbridge/main/fill", 51, 0, 0)
            other.send("/texbridge/main/note", "hello")
            await desk.until(lambda: bool(desk.at("/1/fader3") and desk.at("/1/red") and desk.at("/1/note")))
            assert desk.at("/1/fader3") == [(31.75,)]
            assert abs(desk.at("/1/red")[0][0] - 0.8) < 1e-6
            assert desk.at("/1/note") == [("hello",)]
            assert desk.at("/2/fader3") == []  # nobody asked for it there
            assert other.at("/1/fader3") == []
            stream = rig.bridge.streams.find("main")
            revision = stream.values.revision
            for address in ("/1/fader3", "/1/red"):
                desk.send(address, *desk.at(address)[0])
            await _taken(desk, other)
            assert stream.values.revision == revision
            desk.send("/1/fader3", 127.0)
            await other.until(lambda: other.at("/1/fader3") == [(127.0,)])
            assert stream.values["strength"] == 1.0
            assert desk.at("/1/fader3") == [(31.75,)]

    run(test)


def test_refreshes_in_a_row_are_told_once_now_and_once_a_second_later(tmp_path):
    async def test():
        streams = {f"s{number}": {"workflow": "clouds", "mode": "oneshot"} for number in range(40)}
        async with AppRig(tmp_path, streams) as rig:
            desk = rig.osc()
            desk.send("/texbridge/reply", desk.port)
            await desk.until(lambda: len({message.address for message in desk.heard}) >= len(streams))
            desk.heard.clear()
            for _ in range(200):
                desk.send("/texbridge/refresh")
            await desk.until(lambda: bool(desk.at("/texbridge/s39/strength")), "the last value")
            assert [len(desk.at(f"/texbridge/s{number}/seed")) for number in range(40)] == [1] * 40
            await desk.until(lambda: len(desk.at("/texbridge/s39/strength")) == 2, "the second time")
            assert [len(desk.at(f"/texbridge/s{number}/seed")) for number in range(40)] == [2] * 40
            assert rig.server._osc_hub.counts["refresh_later"] >= 150  # by now all of them are read

    run(test)


def _message(address, *arguments):
    from bridge.codec.osc import decode_packet

    return decode_packet(encode_osc_message(address, *arguments))
