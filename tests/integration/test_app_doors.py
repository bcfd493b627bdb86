"""Bad input at the link and at HTTP, and the pictures over HTTP, with the whole bridge behind. OSC: test_app_osc.py."""

import asyncio
import io
import struct

import aiohttp
import msgpack
import numpy as np
import pytest
from app_rig import AppRig, color, run
from PIL import Image

from bridge.codec.messages import Error, Ping, Welcome

LIVE = {"main": {"workflow": "gradient", "mode": "live", "size": [64, 64]}, "two": {"workflow": "solid"}}


def message(**fields):
    return msgpack.packb(fields)


def nested(depth):
    return b"\x81\xa2op\x81\xa1x" + b"\x91" * depth + b"\xc0"


ID = 0x7A  # none that the rig takes by itself here

HELLO = {"version": 1, "client": "test"}

# What an engine says after its hello, and the error that it gets: code, field; the connection goes on.
ANSWERED = {
    "unknown op": (message(op="sett", id=ID, stream="main", params={}), 201, None),
    "no op": (message(id=ID), 107, "op"),
    "unknown stream": (message(op="set", id=ID, stream="mian", params={}), 203, "stream"),
    "unknown parameter": (message(op="set", id=ID, stream="main", params={"blurr": 1}), 204, "blurr"),
    "unknown workflow": (message(op="open", id=ID, stream="s", workflow="nope", mode="live"), 202, None),
    "workflow path": (message(op="open", id=ID, stream="s", workflow="../x", mode="live"), 202, None),
    "workflow CON": (message(op="open", id=ID, stream="s", workflow="CON", mode="live"), 202, None),
    "workflow of 10 KB": (message(op="open", id=ID, stream="s", workflow="x" * 10_000, mode="live"), 202, None),
    "workflow with NUL": (message(op="open", id=ID, stream="s", workflow="a\0b", mode="live"), 202, None),
    "reserved stream": (message(op="open", id=ID, stream="panic", workflow="solid", mode="live"), 307, "stream"),
    "bad stream name": (message(op="open", id=ID, stream="a/b", workflow="solid", mode="live"), 307, "stream"),
    "stream exists": (message(op="open", id=ID, stream="main", workflow="solid", mode="live"), 404, "stream"),
    "bad mode": (message(op="open", id=ID, stream="s", workflow="solid", mode="eager"), 107, "mode"),
    "width 0": (message(op="open", id=ID, stream="s", workflow="solid", mode="live", size=[0, 8]), 305, "size"),
    "width 65536": (message(op="open", id=ID, stream="s", workflow="solid", mode="live", size=[65536, 8]), 305, "size"),
    "width 513": (message(op="open", id=ID, stream="s", workflow="solid", mode="live", size=[513, 8]), 305, "size"),
    "width a fraction": (
        message(op="open", id=ID, stream="s", workflow="solid", mode="live", size=[8.5, 8]),
        107,
        "size",
    ),
    "float as text": (message(op="set", id=ID, stream="main", params={"blur": "0.5"}), 301, "blur"),
    "float as true": (message(op="set", id=ID, stream="main", params={"blur": True}), 301, "blur"),
    "float out of range": (message(op="set", id=ID, stream="main", params={"blur": -1}), 302, "blur"),
    "float NaN": (message(op="set", id=ID, stream="main", params={"blur": float("nan")}), 308, "blur"),
    "int as true": (message(op="run", id=ID, stream="batch", params={"count": True}), 301, "count"),
    "int as text": (message(op="run", id=ID, stream="batch", params={"count": "7"}), 301, "count"),
    "int with a fraction": (message(op="run", id=ID, stream="batch", params={"count": 1.5}), 301, "count"),
    "int negative": (message(op="run", id=ID, stream="batch", params={"count": -1}), 302, "count"),
    "int of 2^63": (message(op="run", id=ID, stream="batch", params={"count": 2**63}), 302, "count"),
    "text that is a link": (message(op="set", id=ID, stream="main", params={"prompt": ["4", 0]}), 301, "prompt"),
    "text with NUL": (message(op="set", id=ID, stream="main", params={"prompt": "a\0b"}), 310, "prompt"),
    "text of 8 MB": (message(op="set", id=ID, stream="main", params={"prompt": "x" * 8_000_000}), 309, "prompt"),
    "colour of two": (message(op="set", id=ID, stream="main", params={"top_left": [0.1, 0.2]}), 304, "top_left"),
    "all or none": (message(op="run", id=ID, stream="main", params={"noise": 0.2, "blur": 99}), 302, "blur"),
    "seed of -1": (message(op="run", id=ID, stream="main", seed=-1), 107, "seed"),
    "priority 10": (message(op="run", id=ID, stream="main", priority=10), 107, "priority"),
    "deadline as text": (message(op="run", id=ID, stream="main", deadline_ms="soon"), 107, "deadline_ms"),
    "key of 65 bytes": (message(op="run", id=ID, stream="main", key="k" * 65), 107, None),
    "cancel nothing": (message(op="cancel", id=ID), 107, None),
    "cancel the unknown": (message(op="cancel", id=ID, request=2**40), 205, "request"),
    "blackout for two hours": (message(op="blackout", id=ID, stream="main", on=True, fade_s=7200), 302, "fade_s"),
    "live in two hours": (message(op="live", id=ID, stream="main", on=True, fade_s=7200), 302, "fade_s"),
    "a track of nothing": (
        message(op="sequence", id=ID, stream="main", frames=2, tracks={"nope": [[0, 1]]}),
        204,
        None,
    ),
    "a seed for two days": (message(op="seed", id=ID, stream="main", every_s=172_800), 302, "every_s"),
    "a seed for no picture": (message(op="seed", id=ID, stream="main", every=0), 107, "every"),
    "hello again": (message(op="hello", id=ID, **HELLO), 413, None),
    "stats without subscription": (message(op="stats", id=ID, stream="two"), 412, "stream"),
    "trailing bytes": (message(op="ping", id=ID) + b"\0", 107, None),
    "a key twice": (b"\x83\xa2op\xa4ping\xa2id\x7a\xa2id\x7a", 106, None),
    "a key that is no text": (b"\x83\xa2op\xa4ping\xa2id\x7a\x05\x07", 107, None),
    "a timestamp": (b"\x83\xa2op\xa4ping\xa2id\x7a\xa1t\xd6\xff\0\0\0\0", 107, None),
    "an extension type": (b"\x83\xa2op\xa4ping\xa2id\x7a\xa1t\xd4\x62\0", 107, None),
    "1,000 deep": (nested(1000), 106, None),
    "array of 4 G": (b"\x81\xa2op\xdd\xff\xff\xff\xff", 106, None),
    "half a surrogate pair": (
        b"\x84\xa2op\xa3set\xa2id\x7a\xa6stream\xa4main\xa6params\x81\xa6prompt\xa3\xed\xa0\x80",
        None,
        None,
    ),
}

# What ends the connection, after the hello: the error's code.
FATAL = {
    "an array": (b"\x93\1\2\3", 102),
    "JSON": (b'{"op": "ping"}', 102),
    "ends early": (message(op="ping", id=ID)[:-1], 102),
    "a byte that msgpack never uses": (b"\x81\xa2op\xc1", 102),
    "a part that is none": (b"TXBP" + bytes(20), 104),
}


async def _goes_on(rig, watcher, before):
    """Whoever watches the live stream still gets newer pictures, and a newcomer gets in."""
    await watcher.set("main", params={"noise": 0.0, "top_left": [0.0, 1.0, 0.0]})
    await watcher.until(lambda: len(watcher.frames) > before, "a newer picture")
    newcomer = await rig.engine()
    await newcomer.subscribe("main", format="jpeg")
    await newcomer.frame(held=True)


@pytest.mark.parametrize("door", ["tcp", "websocket"])
def test_a_bad_message_gets_its_number_and_nothing_stops(tmp_path, door):
    async def test():
        async with AppRig(tmp_path, LIVE | {"batch": {"workflow": "batch", "mode": "oneshot"}}) as rig:
            watcher, engine = await rig.engine(), await rig.engine(door)
            await watcher.subscribe()
            await watcher.frame()
            values = rig.bridge.streams.find("main").values
            revision = values.revision
            wrong = []
            for name, (data, code, field) in ANSWERED.items():
                start = len(engine.log)
                engine.send_bytes(data)
                await engine.ask(Ping)
                errors = [item for item in engine.log[start:] if isinstance(item, Error)]
                told = [(error.code, error.field, error.id, error.fatal) for error in errors]
                if code is None:
                    code = told[0][0] if told else None
                    ok = len(told) == 1 and code in (107, 310)
                else:
                    ok = len(told) == 1 and told[0][0] == code and field in (None, told[0][1]) and not told[0][3]
                    ok = ok and told[0][2] in (ID, None)
                    ok = ok and (told[0][2] == ID or code in (106, 107))
                if not ok:
                    wrong.append(f"{name}: {told}, not {code} {field}")
            assert wrong == []
            assert values.revision == revision
            assert rig.bridge.counts["accepted"] == 0
            assert not engine.ended
            await _goes_on(rig, watcher, len(watcher.frames))

    run(test)


@pytest.mark.parametrize("door", ["tcp", "websocket"])
def test_what_is_no_message_ends_its_connection_alone(tmp_path, door):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            watcher = await rig.engine()
            await watcher.subscribe()
            await watcher.frame()
            wrong = []
            for name, (data, code) in FATAL.items():
                engine = await rig.engine(door)
                engine.send_bytes(data)
                await engine.closed()
                last = engine.log[-1]
                told = (last.code, last.fatal, engine.close_code) if isinstance(last, Error) else last
                if told != (code, True, None if door == "tcp" else 4000 + code):
                    wrong.append(f"{name}: {told}, not {code}")
            assert wrong == []
            await _goes_on(rig, watcher, len(watcher.frames))

    run(test)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (message(op="ping", id=1), 101),
        (message(op="hello", id=1, version=0, client="old"), 402),
        (message(op="hello", id=1, **HELLO, token="wrong"), None),
        (message(op="hello", id=1, client="no version"), 107),
    ],
    ids=["no hello", "version 0", "needless token", "hello without version"],
)
def test_a_bad_beginning(tmp_path, data, code):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine("websocket", greet=False)
            engine.send_bytes(data)
            if code is None:
                await engine.until(lambda: bool(engine.log))
                assert isinstance(engine.log[0], Welcome)  # a token where none is needed is no fault
                return
            await engine.closed()
            assert (engine.log[-1].code, engine.log[-1].fatal, engine.close_code) == (code, True, 4000 + code)

    run(test)


def test_tokens(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE, link={"token": "correct horse battery"}) as rig:
            engine = await rig.engine("tcp", greet=False)
            engine.send_bytes(message(op="hello", id=1, **HELLO, token="wrong"))
            await engine.closed()
            assert (engine.log[-1].code, engine.log[-1].id, engine.log[-1].fatal) == (401, 1, True)
            await rig.engine("websocket", hello={"token": "correct horse battery"})

    run(test)


@pytest.mark.parametrize(("length", "code"), [(0, 111), (2**32 - 1, 105), (16 * 1024 * 1024 + 1, 105)])
def test_a_bad_length_on_tcp(tmp_path, length, code):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine = await rig.engine("tcp")
            engine._writer.write(struct.pack("<I", length))
            await engine.closed()
            assert (engine.log[-1].code, engine.log[-1].fatal) == (code, True)

    run(test)


def test_draining_tells_all_and_ends(tmp_path):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            engine, other = await rig.engine(), await rig.engine("websocket")
            rig.gate.shut()
            request = await engine.run("two", params={"fill": color(1)})
            waiting = await engine.run("two", params={"fill": color(2)})
            await rig.begun(1)
            rig.gate.open()
            await rig.server.close()
            await engine.closed()
            assert (str(engine.finished[waiting].outcome), engine.finished[waiting].code) == ("cancelled", 601)
            await other.closed()
            finished = engine.finished[request]
            # Who asked knows that nobody wished it, and asks the next bridge.
            assert (str(finished.outcome), finished.code) in (("cancelled", 601), ("done", None))
            assert (engine.log[-1].code, engine.log[-1].fatal) == (601, True)
            assert other.close_code == 4601

    run(test)


# --- HTTP ------------------------------------------------------------------------------------------------------


def picture_of(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pictures_and_readiness_over_http(tmp_path):
    async def test():
        modes = {"main": "live", "two": "oneshot"}
        async with AppRig(tmp_path, {name: {"workflow": "solid", "mode": mode} for name, mode in modes.items()}) as rig:
            base = f"http://{rig.server.addresses.http}"
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{base}/streams/two.jpg?wait=0") as answer:
                    told = await answer.json()
                    assert (answer.status, told["error"]["code"]) == (503, 507)
                # Whoever looks makes a live stream begin.
                async with session.get(f"{base}/streams/main.jpg?wait=15") as answer:
                    assert (answer.status, answer.content_type) == (200, "image/jpeg")
                    assert picture_of(await answer.read()).shape == (16, 32, 3)
                engine = await rig.engine()
                async with session.get(f"{base}/streams/main.mjpg") as stream:
                    assert stream.status == 200
                    pictures = aiohttp.MultipartReader.from_response(stream)
                    assert picture_of(await (await pictures.next()).read()).max() < 10
                    for level in (0x40, 0x80, 0xF0):
                        await engine.set(params={"fill": color(level << 16 | level << 8 | level)})
                        async with asyncio.timeout(10):
                            while abs(picture_of(await (await pictures.next()).read()).mean() - level) > 4:
                                pass
                    stream.close()
                async with session.get(f"{base}/readyz") as answer:
                    told = await answer.json()
                    assert (answer.status, told["backends_up"]) == (200, ["comfy"])
                    assert told["streams"] == {"main": "ready", "two": "ready"}
                async with session.get(f"{base}/healthz") as answer:
                    told = await answer.json()
                    assert (answer.status, told["status"], told["sessions"]) == (200, "ok", 1)
                    assert told["backends"][0]["state"] == "up"

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/streams/nope.jpg", {}, 404),
        ("GET", "/streams/nope.mjpg", {}, 404),
        ("GET", "/streams/..%2fmain.jpg", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("POST", "/healthz", {}, 405),
        ("HEAD", "/healthz", {}, 200),
        ("GET", "/healthz", {"Host": "evil.example"}, 403),
        ("GET", "/healthz", {"Origin": "http://evil.example"}, 403),
        ("GET", "/healthz", {"Origin": "null"}, 403),
        ("GET", "/streams/main.jpg?wait=abc", {}, 400),
    ],
)
def test_bad_requests_get_their_status(tmp_path, method, path, headers, status):
    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, f"http://{rig.server.addresses.http}{path}", headers=headers) as answer,
            ):
                assert answer.status == status
                if status >= 400:
                    assert (await answer.json())["error"]["code"] > 100
            engine = await rig.engine()
            await engine.subscribe()
            await engine.frame()

    run(test)
