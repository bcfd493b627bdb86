"""`[[map]]` through the whole bridge: foreign addresses, smoothing that a live stream follows, silence."""

import json
import socket

import pytest
from app_rig import AppRig, run
from cli_rig import FREE, Home

from bridge.codec.osc import encode_osc_message
from bridge.errors import ConfigError

MAIN = {"main": {"workflow": "solid", "mode": "oneshot"}}
LIVE = {"main": {"workflow": "solid", "mode": "live"}}


async def _taken(osc):
    """All that was sent before is done."""
    osc.heard.clear()
    osc.send("/texbridge/reply", osc.port)
    await osc.until(lambda: bool(osc.at("/texbridge/main/status")))


def test_foreign_addresses_move_what_is_ours(tmp_path):
    maps = [
        {"address": "/1/fader*", "to": "main/fill/r", "in": [0, 127]},
        {"address": "/1/xy", "to": "main/fill/norm/g", "argument": 1, "invert": True},
        {"address": "/label", "to": "main/note"},
        {"address": "/1/push1", "to": "main/run"},
        {"address": "/texbridge/main/note", "to": "main/seed", "out": [0, 100]},
    ]

    async def test():
        async with AppRig(tmp_path, MAIN, map=maps) as rig:
            osc, stream = rig.osc(), rig.bridge.streams.find("main")
            before = stream.values.revision
            osc.bundle(("/1/fader7", 127), ("/1/xy", 0.9, 0.0), ("/label", "two", "words"))
            osc.send("/1/push1", 1.0)
            osc.send("/1/push1", 0.0)
            osc.send("/texbridge/main/note", 0.5)  # a map takes an address of ours too, whole
            osc.send("/1/fader7", "loud")
            await _taken(osc)
            assert stream.values["fill"] == (1.0, 1.0, 0.0, 1.0)
            assert stream.values["note"] == "two words"
            assert stream.values.revision == before + 1
            assert stream.seed == 50
            assert rig.bridge.counts["accepted"] == 1
            assert rig.server._osc_hub.counts["rejected_wrong_type"] == 1

    run(test)


def test_a_live_stream_follows_a_smoothed_fader_to_its_end_and_rests(tmp_path):
    maps = [{"address": "/fader", "to": "main/fill/r", "smoothing_s": 600.0}]

    async def test():
        async with AppRig(tmp_path, LIVE, map=maps) as rig:
            engine, osc = await rig.engine(), rig.osc()
            other = rig.osc()
            await engine.subscribe()
            await _taken(other)
            await _taken(osc)  # with two targets on one host, only a sender's own hears no echo
            osc.send("/fader", 0.0)
            osc.send("/fader", 1.0)
            await engine.frame()
            await rig.until(lambda: bool(rig.server._osc_hub.maps.mappings.find("/fader")[0].moving), "its way")
            (mapping,) = rig.server._osc_hub.maps.mappings.find("/fader")
            for _ in range(3):
                red = engine.frames[-1].number
                mapping._moved_at -= 300.0  # five minutes later
                await engine.until(lambda red=red: engine.frames[-1].number > red, "a picture further on")
            mapping._moved_at -= 36_000.0
            await engine.frame(lambda frame: frame.number == 0xFF0000)
            reds = [frame.number >> 16 for frame in engine.frames]
            assert reds == sorted(reds)
            assert len(set(reds)) > 2  # pictures on the way
            await other.until(lambda: (1.0, 0.0, 0.0, 1.0) in other.at("/texbridge/main/fill"))
            await rig.until(lambda: rig.server._osc_hub.maps.mappings.next_deadline() is None)
            await rig.until(lambda: rig.bridge.scheduler.open_requests() == 0)
            assert rig.bridge.scheduler.next_deadline() is None

    run(test)


def test_a_picture_takes_the_value_of_its_moment(tmp_path):
    """A run in the middle of a slow move: its value was never sent, nor set by a tick."""
    maps = [{"address": "/fader", "to": "main/fill/r", "smoothing_s": 600.0}]

    async def test():
        async with AppRig(tmp_path, MAIN, map=maps) as rig:
            osc, stream = rig.osc(), rig.bridge.streams.find("main")
            osc.send("/fader", 0.0)
            osc.send("/fader", 1.0)
            await _taken(osc)
            (mapping,) = rig.server._osc_hub.maps.mappings.find("/fader")
            mapping._moved_at -= 300.0  # five minutes ago
            rig.server.actions.run(stream)
            assert 0.39 < stream.values["fill"][0] < 0.4
            assert 0.39 < rig.bridge.requests[1].snapshot.values["fill"][0] < 0.4

    run(test)


def test_a_sensor_that_falls_silent(tmp_path):
    maps = [{"address": "/sensor", "to": "main/fill/b", "silent_after_s": 0.05, "silent_value": 0.25}]

    async def test():
        async with AppRig(tmp_path, MAIN, map=maps) as rig:
            osc, other = rig.osc(), rig.osc()
            await _taken(other)
            osc.send("/sensor", 1.0)
            await other.until(lambda: (0.0, 0.0, 0.25, 1.0) in other.at("/texbridge/main/fill"))

    run(test)


def test_a_workflow_without_the_target_is_told_once(tmp_path):
    maps = [{"address": "/sensor", "to": "main/note", "silent_after_s": 0.05, "silent_value": 0}]

    async def test():
        async with AppRig(tmp_path, MAIN, map=maps) as rig:
            osc = rig.osc()
            await _taken(osc)
            osc.bundle(("/sensor", 1.0), ("/texbridge/main/workflow", "pair"))
            await osc.until(lambda: bool(osc.at("/texbridge/main/error")))
            assert [code for code, _ in osc.at("/texbridge/main/error")] == [204]
            assert rig.server._osc_hub.maps.mappings.next_deadline() is None

    run(test)


def test_a_wrong_target_is_refused_at_the_start(tmp_path):
    async def test():
        rig = AppRig(tmp_path, MAIN, map=[{"address": "/fader", "to": "main/fil/r"}], comfy=False)
        try:
            with pytest.raises(ConfigError, match=r"\[\[map\]\] 1 \(/fader\).*nearest is /texbridge/main/fill"):
                await rig.__aenter__()
        finally:
            rig.server = None
            await rig.__aexit__()

    run(test)


def test_the_monitor_shows_what_a_map_makes_of_it(tmp_path):
    home = Home(tmp_path)
    (home.work / "texbridge.toml").write_text(
        '[streams.main]\nworkflow = "gradient"\n'
        '[[map]]\naddress = "/1/fader1"\nto = "main/blur"\nin = [0, 1]\nout = [0.1, 0.9]\n'
        '[[map]]\naddress = "/1/fader2"\nto = "main/noise"\nsmoothing_s = 0.5\n',
        encoding="utf-8",
    )
    with (
        home.start("osc", "monitor", "--json", "--listen", FREE) as watching,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        host, _, port = json.loads(watching.line())["osc"].rpartition(":")
        for address, value in (("/1/fader1", 0.5), ("/1/fader2", 0.0), ("/1/fader2", 1.0), ("/1/fader3", 1.0)):
            sender.sendto(encode_osc_message(address, value), (host, int(port)))
        told = [json.loads(watching.line()) for _ in range(4)]
    assert told[0]["meaning"] == ["main: blur = 0.5"]
    assert told[2]["meaning"] == ["/texbridge/main/noise moves to 1 (smoothing 0.5 s)"]
    assert told[3]["error"]["code"] == 207
