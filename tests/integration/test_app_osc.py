"""OSC through the whole bridge: values, runs, what comes back to registered targets, and bad packets."""

import struct

import aiohttp
import pytest
from app_rig import AppRig, color, run

from bridge.codec.messages import Changed, Describe, Set
from bridge.codec.osc import encode_osc_message

MAIN = {"main": {"workflow": "solid", "mode": "oneshot"}}


async def _registered(rig):
    osc = rig.osc()
    osc.send("/texbridge/reply", osc.port)
    await osc.until(lambda: osc.at("/texbridge/main/status") == [("ready",)])
    return osc


def test_values_and_a_run_by_osc_give_a_frame(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            engine, osc = await rig.engine(), await _registered(rig)
            await engine.subscribe()
            osc.send("/texbridge/main/fill", 0x12, 0x34, 0x56)
            osc.send("/texbridge/main/note", "two", "words", 7)
            osc.send("/texbridge/main/run")
            frame = await engine.frame(lambda frame: frame.number == 0x123456)
            described = await engine.ask(Describe, stream="main")
            assert {parameter.name: parameter.value for parameter in described.parameters}["note"] == "two words 7"
            await osc.until(lambda: bool(osc.at("/texbridge/main/frame")))
            ((number, width, height, latency_ms),) = osc.at("/texbridge/main/frame")
            assert (number, width, height) == (frame.header.number, 32, 16)
            assert latency_ms > 0
            # The whole is told with the prompt's end, which comes after its picture.
            await osc.until(lambda: bool(osc.at("/texbridge/main/progress")))
            assert osc.at("/texbridge/main/progress")
            assert all(0 <= share <= 1 for (share,) in osc.at("/texbridge/main/progress"))
            osc.send("/texbridge/main/run", "fill", 1.0, 0.0, 0.0, "note", "x", "seed", 5)
            await engine.frame(lambda frame: frame.number == 0xFF0000)

    run(test)


def test_a_bundle_is_one_moment(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "pair", "mode": "live"}}) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.subscribe()
            for number in range(1, 50):
                osc.bundle(("/texbridge/main/fill", 0, 0, number), ("/texbridge/main/depth", 0, 0, number))
            await engine.until(lambda: engine.frames and engine.frames[-1].number == 49 and len(engine.frames) % 2 == 0)
            for colour, depth in zip(engine.frames[::2], engine.frames[1::2], strict=True):
                assert colour.number == depth.number

    run(test)


def test_patterns_reach_parameters_of_streams_and_nothing_else(tmp_path):
    async def test():
        streams = {name: {"workflow": "solid", "mode": "oneshot"} for name in ("left", "right")}
        async with AppRig(tmp_path, streams) as rig:
            engine, osc = await rig.engine(), rig.osc()
            osc.send("/texbridge/*/f?ll", 0, 0, 3)
            osc.send("/texbridge/*/*", 1)  # no run, no panic
            osc.send("/texbridge/{left,right}/note", "end")
            ended = [rig.bridge.streams.find(name).values for name in streams]
            await rig.until(lambda: all(values["note"] == "end" for values in ended))
            assert [values["fill"] for values in ended] == [(0.0, 0.0, 3 / 255, 1.0)] * 2
            assert rig.bridge.counts["accepted"] == 0
            assert not rig.server.actions.panicked
            for name in streams:
                await engine.subscribe(name)
                await engine.finish(await engine.run(name))
            await engine.until(lambda: [frame.number for frame in engine.frames] == [3, 3])

    run(test)


def test_buttons_seed_live_cancel(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "clouds", "mode": "oneshot"}}) as rig:
            engine, osc = await rig.engine(), rig.osc()
            rig.gate.shut()
            osc.send("/texbridge/main/seed", 11)
            for argument in (1.0, 0.0, True, False, 0):  # press, release, press, release, release
                osc.send("/texbridge/main/run", argument)
            osc.send("/texbridge/main/cancel", 1)
            await rig.until(lambda: [how for _, how in rig.ears.finished] == ["cancelled"] * 2)
            rig.gate.open()
            osc.send("/texbridge/main/run")
            await rig.until(lambda: len(rig.ears.finished) == 3)
            assert rig.ears.finished[-1][1] == "done"
            assert rig.gate.inputs("seed", "2")[-1] == 11
            osc.send("/texbridge/main/live", 1)
            osc.send("/texbridge/main/seed", "18446744073709551615")
            await engine.subscribe()
            await rig.until(lambda: rig.gate.inputs("seed", "2")[-1] == 2**64 - 1)
            osc.send("/texbridge/main/live", 0)
            await rig.until(lambda: rig.bridge.streams.find("main").mode == "oneshot")

    run(test)


def test_a_bool_comes_back_as_one(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "shapes", "mode": "oneshot"}}) as rig:
            engine, osc = await rig.engine(), await _registered(rig)
            await engine.set(params={"fill": True})
            await osc.until(lambda: bool(osc.at("/texbridge/main/fill")))
            (message,) = [message for message in osc.heard if message.address == "/texbridge/main/fill"]
            assert (message.tags, message.arguments) == ("T", (True,))

    run(test)


def test_feedback_goes_to_everybody_but_the_sender(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "batch", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            first, second, stranger = await _registered(rig), await _registered(rig), rig.osc()
            await engine.set(params={"count": 3})
            for osc in (first, second):
                await osc.until(lambda osc=osc: osc.at("/texbridge/main/count") == [(3,)])
            first.send("/texbridge/main/count", 99_999)  # clamped to what the node takes
            await second.until(lambda: second.at("/texbridge/main/count")[-1] == (4096,))
            await engine.set(params={"fill": color(0xFF)})
            await first.until(lambda: bool(first.at("/texbridge/main/fill")))
            assert first.at("/texbridge/main/fill") == [(0.0, 0.0, 1.0, 1.0)]
            assert first.at("/texbridge/main/count") == [(3,)]
            second.send("/texbridge/main/count", 5)
            await first.until(lambda: first.at("/texbridge/main/count")[-1] == (5,))
            first.heard.clear()
            stranger.send("/texbridge/refresh")
            await first.until(lambda: {"/texbridge/main/count", "/texbridge/main/fill"} <= _addresses(first))
            assert stranger.heard == []  # never to a packet's source by itself
            first.send("/texbridge/reply", 0)
            await engine.set(params={"count": 7})
            await second.until(lambda: second.at("/texbridge/main/count")[-1] == (7,))
            assert (7,) not in first.at("/texbridge/main/count")

    def _addresses(osc):
        return {message.address for message in osc.heard}

    run(test)


def test_a_configured_target_hears_all_from_the_start(tmp_path):
    async def test():
        # A socket needs a bridge's address to be made; here it only listens, and the port must be known before.
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.bind(("127.0.0.1", 0))
            ear.settimeout(30)
            target = f"127.0.0.1:{ear.getsockname()[1]}"
            async with AppRig(tmp_path, MAIN, osc={"reply": [target]}) as rig:
                engine = await rig.engine()
                await engine.finish(await engine.run(params={"fill": color(1)}))
            heard = b""
            while b"/texbridge/main/frame" not in heard:
                heard += ear.recv(2000)
            assert b"/texbridge/main/status" in heard

    run(test)


def test_who_may_register_and_how_many(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            sockets = [rig.osc() for _ in range(10)]
            for osc in sockets:
                osc.send("/texbridge/reply", osc.port)
                if osc in sockets[:8]:
                    await osc.until(lambda osc=osc: bool(osc.heard))
            engine = await rig.engine()
            await engine.set(params={"note": "x"})
            for osc in sockets[:8]:
                await osc.until(lambda osc=osc: bool(osc.at("/texbridge/main/note")))
            assert all(osc.heard == [] for osc in sockets[8:])

    run(test)


def test_status_says_how_a_stream_is(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            osc = await _registered(rig)
            osc.send("/texbridge/panic")
            await osc.until(lambda: osc.at("/texbridge/main/status")[-1] == ("paused",))
            osc.send("/texbridge/main/run")
            await osc.until(lambda: bool(osc.at("/texbridge/main/error")))
            assert osc.at("/texbridge/main/error")[0][0] == 403
            osc.send("/texbridge/resume")
            await osc.until(lambda: osc.at("/texbridge/main/status")[-1] == ("ready",))
            await rig.comfy.abort()
            await osc.until(lambda: osc.at("/texbridge/main/status")[-1] == ("waiting_for_comfy",))

    run(test)


def test_without_comfy_it_waits_and_says_so(tmp_path):
    async def test():
        backend = [{"url": "http://127.0.0.1:9", "name": "nobody"}]
        async with AppRig(tmp_path, MAIN, comfy=False, backend=backend) as rig:
            osc = rig.osc()
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: osc.at("/texbridge/main/status") == [("waiting_for_comfy",)])
            engine = await rig.engine()
            request = await engine.run(params={"fill": color(1)}, deadline_ms=1)
            answer = await engine.ask(Describe, stream="main")
            assert answer.state == "waiting_for_comfy"
            assert request not in engine.finished  # a deadline counts from the stream being ready

    run(test)


BAD = {
    "empty": (b"", "/texbridge/error", 108),
    "one byte": (b"/", "/texbridge/error", 108),
    "no slash": (b"abc\0,\0\0\0", "/texbridge/error", 108),
    "address without NUL": (b"/texbridge/main/run", "/texbridge/error", 108),
    "no comma in the tags": (b"/texbridge/main/note\0\0\0\0i\0\0\0\0\0\0\1", "/texbridge/error", 108),
    "unknown tag": (b"/texbridge/main/note\0\0\0\0,q\0\0\0\0\0\1", "/texbridge/error", 108),
    "too few arguments": (b"/texbridge/main/note\0\0\0\0,ii\0\0\0\0\1", "/texbridge/error", 108),
    "blob of -1": (b"/texbridge/main/note\0\0\0\0,b\0\0" + struct.pack(">i", -1), "/texbridge/error", 108),
    "blob of 2^31-1": (b"/texbridge/main/note\0\0\0\0,b\0\0" + struct.pack(">i", 2**31 - 1), "/texbridge/error", 108),
    "bundle with size 0": (b"#bundle\0" + bytes(7) + b"\1" + bytes(4), "/texbridge/error", 108),
    "bundles 3,000 deep": (
        b"#bundle\0" + bytes(7) + b"\1" + (b"\0\0\0\x10#bundle\0" + bytes(7) + b"\1") * 3000,
        "/texbridge/error",
        108,
    ),
    "nothing of ours": (encode_osc_message("/other/main/run"), "/texbridge/error", 207),
    "only stars": (encode_osc_message("/*/*", 1), "/texbridge/error", 207),
    "unknown stream": (encode_osc_message("/texbridge/mian/fill", 1, 2, 3), "/texbridge/error", 203),
    "unknown parameter": (encode_osc_message("/texbridge/main/fil", 1, 2, 3), "/texbridge/main/error", 204),
    "wrong type": (encode_osc_message("/texbridge/main/fill", "red"), "/texbridge/main/error", 301),
    "too many": (encode_osc_message("/texbridge/main/fill", 1, 2, 3, 4, 5), "/texbridge/main/error", 304),
    "NaN": (encode_osc_message("/texbridge/main/fill", float("nan"), 0.0, 0.0), "/texbridge/main/error", 308),
    "a lone string to run": (encode_osc_message("/texbridge/main/run", "fill"), "/texbridge/main/error", 304),
    "run with an unknown name": (encode_osc_message("/texbridge/main/run", "fil", 1), "/texbridge/main/error", 204),
    "unknown workflow": (encode_osc_message("/texbridge/main/workflow", "../x"), "/texbridge/main/error", 202),
    "bad size": (encode_osc_message("/texbridge/main/size", "wide"), "/texbridge/main/error", 305),
    "negative seed": (encode_osc_message("/texbridge/main/seed", -1), "/texbridge/main/error", 302),
    "freeze what": (encode_osc_message("/texbridge/main/freeze", "now"), "/texbridge/main/error", 301),
    "norm of text": (encode_osc_message("/texbridge/main/note/norm", 0.5), "/texbridge/main/error", 411),
    "one number for a colour": (encode_osc_message("/texbridge/main/fill/norm", 0.5), "/texbridge/main/error", 304),
    "no such component": (encode_osc_message("/texbridge/main/fill/x", 0.5), "/texbridge/main/error", 207),
    "reply without a port": (encode_osc_message("/texbridge/reply", "home"), "/texbridge/error", 302),
    "panics": (encode_osc_message("/texbridge/panik"), "/texbridge/error", 207),
}


def _told_values(engine):
    """What an engine was told of values; of states it is told as well, of one that takes long to make a picture."""
    return [change.params for change in engine.of(Changed) if change.params]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_packet_gets_its_number_and_nothing_else_stops(tmp_path, name):
    packet, address, code = BAD[name]

    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            engine, osc = await rig.engine(), await _registered(rig)
            await engine.subscribe()
            osc.send_bytes(packet)
            osc.send("/texbridge/main/note", "after")
            osc.send("/texbridge/main/run")
            await engine.until(lambda: bool(_told_values(engine)))
            assert _told_values(engine) == [{"note": "after"}]
            await engine.frame()
            await osc.until(lambda: bool(osc.at(address)))
            ((told, words),) = osc.at(address)
            assert told == code, words
            assert rig.server._osc.counts.get("malformed", 0) == (code == 108)
            assert rig.bridge.counts["accepted"] == 1

    run(test)


def test_a_datagram_of_the_largest_size_is_taken(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            engine, osc = await rig.engine(), rig.osc()
            await engine.subscribe()
            text = "x" * 65_000
            osc.send("/texbridge/main/note", text)
            await engine.until(lambda: bool(_told_values(engine)))
            assert _told_values(engine) == [{"note": text}]
            engine.send(Set(stream="main", params={"note": ""}))

    run(test)


def test_size_seed_and_workflow_are_told_like_values(tmp_path):
    """What holds after snapping is what a controller wants to show."""

    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            osc, other = await _registered(rig), await _registered(rig)
            osc.send("/texbridge/main/size", 100, 99999)
            await osc.until(lambda: bool(osc.at("/texbridge/main/size")))
            width, height = osc.at("/texbridge/main/size")[-1]
            assert width % 8 == 0
            assert height < 99999
            osc.send("/texbridge/main/seed", 77)
            await other.until(lambda: other.at("/texbridge/main/seed") == [("77",)])
            osc.send("/texbridge/refresh")
            await osc.until(lambda: bool(osc.at("/texbridge/main/workflow")))
            assert osc.at("/texbridge/main/seed")[-1] == ("77",)

    run(test)


def test_a_sender_with_a_port_per_message_hears_no_echo(tmp_path):
    """Where a host has one target, values set from that host are that target's own, whatever port they came from."""

    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            engine, osc, stranger = await rig.engine(), await _registered(rig), rig.osc()
            stranger.send("/texbridge/main/note", "from another port")
            stranger.send("/texbridge/main/fill", 1, 2, 3)
            while (await _note(engine)) != "from another port":
                pass
            await engine.set(params={"note": "from the link"})
            await osc.until(lambda: bool(osc.at("/texbridge/main/note")))
            assert osc.at("/texbridge/main/note") == [("from the link",)]

    run(test)


async def _note(engine):
    described = await engine.ask(Describe, stream="main")
    return {parameter.name: parameter.value for parameter in described.parameters}["note"]


def test_a_run_whose_datagram_came_twice_is_one_press(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN, osc={"doubled_run_ms": 1000}) as rig:
            osc, other = rig.osc(), rig.osc()
            press = encode_osc_message("/texbridge/main/run", 1)
            for data in (press, press, encode_osc_message("/texbridge/main/note", 2), press, press):
                osc.send_bytes(data)
            other.send_bytes(press)
            await rig.until(lambda: len(rig.ears.finished) == 3, "two presses of one, one of the other")
            counts = rig.server._osc_hub.counts
            assert counts["doubled_run"] == 2
            osc.bundle(("/texbridge/main/note", 3), ("/texbridge/main/run",), ("/texbridge/main/run",))
            osc.bundle(("/texbridge/main/note", 3), ("/texbridge/main/run",), ("/texbridge/main/run",))
            osc.send("/texbridge/main/note", 4)
            osc.send("/texbridge/main/run")
            await rig.until(lambda: len(rig.ears.finished) == 6, "both runs of the bundle, and one more")
            assert counts["doubled_run"] == 4
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{rig.server.addresses.http}/healthz") as answer,
            ):
                assert (await answer.json())["doors"]["osc"]["doubled_run"] == 4

    run(test)


def test_switched_off_every_run_is_one(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN, osc={"doubled_run_ms": 0}) as rig:
            osc = rig.osc()
            for _ in range(3):
                osc.send("/texbridge/main/run")
            await rig.until(lambda: len(rig.ears.finished) == 3)
            assert rig.server._osc_hub.counts["doubled_run"] == 0

    run(test)


def test_a_bundle_of_a_thousand_wrong_messages_gets_a_few_answers(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            osc = await _registered(rig)
            osc.bundle(*((f"/texbridge/main/wrong{number}", 1.0) for number in range(1000)))
            await osc.until(lambda: bool(osc.at("/texbridge/error")))
            assert osc.at("/texbridge/error") == [(204, "992 more messages of this packet were refused")]
            assert len(osc.at("/texbridge/main/error")) == 8
            assert rig.server._osc_hub.counts["rejected_unknown_parameter"] == 1000

    run(test)


def test_a_bundle_of_a_thousand_patterns_sets_what_it_may_and_counts_the_rest(tmp_path):
    async def test():
        async with AppRig(tmp_path, MAIN) as rig:
            osc = await _registered(rig)
            osc.bundle(*(("/texbridge/m*/no*", f"n{number}") for number in range(1, 1001)))
            await rig.until(
                lambda: rig.bridge.streams.find("main").values["note"] == "n1000", "all, one parameter each"
            )
            osc.bundle(*(("/texbridge/*/*", 0.5) for _ in range(1000)))
            await osc.until(lambda: bool(osc.at("/texbridge/error")))
            assert rig.server._osc_hub.counts["rejected_message_too_complex"] > 400

    run(test)
