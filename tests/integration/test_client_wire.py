"""What the client does with bytes that no good bridge sends: a scripted peer, msgpack and struct alone."""

import asyncio
import struct

import msgpack
import pytest
from bridge_rig import run

from bridge.client import Client, LinkLostError
from bridge.errors import (
    BackendError,
    BridgeError,
    DecodeError,
    ErrorCode,
    FramingDecodeError,
    MessageDecodeError,
    NotAllowedError,
    PartDecodeError,
)

TIME_S = 20.0
WELCOME = {
    "op": "welcome",
    "version": 1,
    "server": "scripted",
    "boot": "b",
    "session": "0" * 32,
    "resumed": False,
    "unfinished": [],
    "features": [],
    "limits": {},
    "formats": ["rgba8"],
    "workflows": [],
    "streams": [],
}


def prefixed(message):
    data = message if isinstance(message, bytes) else msgpack.packb(message)
    return struct.pack("<I", len(data)) + data


def frame(stream=1, number=1, flags=64, width=1, payload=b"\1\2\3\4"):
    head = struct.pack("<HHIIQIBBHIIII", 64, flags, stream, number, 0, 0, 0, 1, 1, width, 1, width * 4, len(payload))
    return b"TXB1" + head + bytes(16) + payload


class Peer:
    """Answers each message with what `script(message)` gives: maps, messages as bytes, or ("raw", bytes)."""

    def __init__(self, script, welcome=WELCOME):
        self._script = script
        self._welcome = welcome
        self.got = []
        self.hellos = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._tasks = set()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            while True:
                (length,) = struct.unpack("<I", await reader.readexactly(4))
                message = msgpack.unpackb(await reader.readexactly(length))
                self.got.append(message)
                if message["op"] == "hello":
                    self.hellos += 1
                    if self._welcome is not None:
                        writer.write(prefixed(self._welcome))
                    continue
                for answer in self._script(message) or ():
                    writer.write(answer[1] if isinstance(answer, tuple) else prefixed(answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._tasks.discard(asyncio.current_task())


def pong(message):
    return {"op": "pong", "id": message["id"]}


@pytest.mark.parametrize(
    "before",
    [
        frame(width=0, payload=b""),
        frame(payload=b"123"),
        b"TXB1",
        b"TXzz" + bytes(60),
        frame(flags=64, stream=99),
        {"op": "later_word", "text": "of a later version"},
        {"op": "finished"},
        {"op": "finished", "request": 7, "outcome": "done", "frames": 1, "number": 1},
        {"op": "progress", "request": 7, "value": 1, "max": 2},
        {"op": "accepted", "id": 12345, "request": 1},
        {"op": "error", "id": 12345, "code": 302, "name": "out_of_range", "message": "nobody asked"},
    ],
    ids=str,
)
def test_what_costs_no_link(before):
    async def test():
        async with Peer(lambda m: [before, pong(m)] if m["op"] == "ping" else None) as peer:
            async with Client(peer.address) as client:
                await client.ping()
                await client.ping()
            assert peer.hellos == 1

    run(test)


@pytest.mark.parametrize(
    ("after", "error", "code"),
    [
        (b"hello", MessageDecodeError, ErrorCode.NOT_MSGPACK),
        (("raw", bytes(4)), FramingDecodeError, ErrorCode.BAD_LENGTH),
        (("raw", b"\xff\xff\xff\xff"), FramingDecodeError, ErrorCode.MESSAGE_TOO_LARGE),
        (b"TXBP" + bytes(40), PartDecodeError, ErrorCode.BAD_PART),
    ],
    ids=str,
)
def test_what_ends_the_link_for_good(after, error, code):
    async def test():
        async with Peer(lambda m: [after]) as peer, Client(peer.address) as client:
            with pytest.raises(error) as caught:
                await client.ping()
            assert caught.value.code is code
            assert isinstance(caught.value, DecodeError)
            with pytest.raises(error):
                await client.ping()
            assert peer.hellos == 1

    run(test)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"op": "ok"}, MessageDecodeError, "ping was answered with ok"),
        ({"op": "accepted"}, MessageDecodeError, "accepted: field request is missing"),
        ({"op": "later_word"}, MessageDecodeError, "unknown op 'later_word'"),
        ({"op": "error", "code": 501, "name": "backend_lost", "message": "gone"}, BackendError, "gone"),
        ({"op": "error", "code": 499, "name": "later", "message": "new"}, NotAllowedError, r"later \(499\): new"),
        ({"op": "error", "code": 7, "name": "odd", "message": "new"}, BridgeError, r"odd \(7\): new"),
    ],
    ids=str,
)
def test_answers_that_are_errors(answer, error, words):
    async def test():
        async with Peer(lambda m: [answer | {"id": m["id"]}]) as peer, Client(peer.address) as client:
            with pytest.raises(error, match=words):
                await client.ping()
            assert client.is_connected

    run(test)


def test_a_fatal_error_then_the_end():
    async def test():
        fatal = {"op": "error", "code": 413, "name": "hello_repeated", "message": "no", "fatal": True}
        async with Peer(lambda m: [fatal, ("raw", bytes(4))]) as peer, Client(peer.address) as client:
            with pytest.raises(NotAllowedError, match="no"):
                await client.ping()
            assert not client.is_connected

    run(test)


def test_no_welcome():
    async def test():
        async with Peer(lambda m: None, welcome=None) as peer:
            with pytest.raises(TimeoutError, match=r"no welcome from 127.0.0.1:\d+ within 0.05 s"):
                await Client.connect(peer.address, timeout_s=0.05)

    run(test)


def test_another_language():
    async def serve(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async def test():
        async with asyncio.timeout(TIME_S):
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                with pytest.raises(FramingDecodeError):
                    await Client.connect(f"127.0.0.1:{port}")
                with pytest.raises(LinkLostError, match="no bridge answers"):
                    await Client.connect(f"ws://127.0.0.1:{port}")

    run(test)


def test_frames_that_nobody_wants_are_ended():
    async def test():
        async with Peer(lambda m: [frame(stream=5), pong(m)] if m["op"] == "ping" else None) as peer:
            async with Client(peer.address) as client:
                await client.ping()
                await client.ping()
            assert {"op": "unsubscribe", "stream": 5} in peer.got

    run(test)


def test_what_hello_and_run_say():
    async def test():
        answers = {"run": lambda m: {"op": "accepted", "id": m["id"], "request": 9, "key": m["key"]}}
        async with Peer(lambda m: [answers[m["op"]](m)]) as peer:
            options = {"token": "t", "client": "me", "events": ["live"], "max_message_bytes": 4096}
            async with Client(peer.address, **options) as client:
                one = await client.run("sky", {"a": 1})
                other = await client.run("sky", key=7, seed=3, priority=9, deadline_ms=250, client_time=5)
                assert (one.request, other.request, other.key) == (9, 9, 7)
                with pytest.raises(NotAllowedError, match="key 7 is unfinished"):
                    await client.run("sky", key=7)
        hello, first, second = peer.got
        assert hello == {"op": "hello", "version": 1} | options
        assert first == {"op": "run", "id": 1, "stream": "sky", "params": {"a": 1}, "key": one.key}
        assert second == {
            "op": "run",
            "id": 2,
            "stream": "sky",
            "key": 7,
            "seed": 3,
            "priority": 9,
            "deadline_ms": 250,
            "client_time": 5,
        }

    run(test)
