"""The TCP door: lengths, segments, refusals, and that what is in flight arrives before a close. Raw sockets."""

import asyncio
import errno
import struct

import link_rig
import msgpack
import pytest
from link_rig import Rig, receive, run, say_hello, send

from bridge.links.connection import LinkLimits

HELLO = msgpack.packb({"op": "hello", "version": 1, "client": "raw"})


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(message)) + message for message in messages)


@pytest.mark.parametrize(
    ("bytes_in", "code"),
    [
        (struct.pack("<I", 0), 111),
        (struct.pack("<I", 0xFFFFFFFF), 105),
        (struct.pack("<I", 16 * 1024 * 1024 + 1), 105),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 105),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 105),  # a TLS hello
    ],
)
@pytest.mark.parametrize("greeted", [False, True])
def test_a_bad_length_ends_the_link(bytes_in, code, greeted):
    async def test():
        async with Rig("tcp") as rig:
            client = await rig.connect(greet=greeted)
            client.writer.write(bytes_in)
            answer = await receive(client)
            assert (answer["code"], answer["fatal"]) == (code, True)
            await client.closed()

    run(test)


def test_what_came_before_a_bad_length_is_still_taken():
    async def test():
        async with Rig("tcp") as rig:
            client = await rig.connect(greet=False)
            ping = msgpack.packb({"op": "ping", "id": 1})
            client.writer.write(framed(HELLO, ping, ping) + bytes(4))
            ops = [(await receive(client))["op"] for _ in range(4)]
            assert ops == ["welcome", "pong", "pong", "error"]
            await client.closed()

    run(test)


def test_one_byte_per_segment_is_the_same_as_all_at_once():
    async def test():
        async with Rig("tcp") as rig:
            large = msgpack.packb({"op": "set", "id": 3, "stream": "main", "params": {"text": "t" * 70_000}})
            stream = framed(
                HELLO, msgpack.packb({"op": "ping", "id": 2}), large, msgpack.packb({"op": "nope", "id": 4})
            )
            answers = []
            for sizes in ([len(stream)], [1] * len(stream), [3, 5, 7] * len(stream)):
                client = await rig.connect(greet=False)
                start = 0
                for size in sizes:
                    if start >= len(stream):
                        break
                    client.writer.write(stream[start : start + size])
                    await asyncio.sleep(0)
                    start += size
                answers.append([await receive(client) for _ in range(4)])
            assert answers[0] == answers[1] == answers[2]
            assert [answer["op"] for answer in answers[0]] == ["welcome", "pong", "ok", "error"]

    run(test)


def test_over_the_cap_is_refused_with_words():
    async def test():
        async with Rig("tcp", LinkLimits(max_connections_per_address=2)) as rig:
            engines = [await rig.connect() for _ in range(2)]
            refused = await rig.connect(greet=False)
            answer = await receive(refused)
            assert (answer["code"], answer["fatal"]) == (407, True)
            assert "the limit is 2 from one address" in answer["message"]
            await refused.closed()
            await engines[0].close()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)
            await rig.connect()

    run(test)


def test_the_last_words_arrive_although_the_engine_still_sends():
    async def test():
        async with Rig("tcp") as rig:
            client = await rig.connect()
            # More than the bridge reads at a time, behind a message that ends the link: closing a socket over unread
            # bytes would reset it, and the error with it.
            client.writer.write(framed(b"\xc1") + framed(b"\x80") * 60_000)
            assert (await receive(client))["code"] == 102
            await client.closed()

    run(test)


def test_a_half_close_is_an_end():
    async def test():
        async with Rig("tcp") as rig:
            client = await rig.connect()
            client.writer.write_eof()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)
            await client.closed()

    run(test)


def test_a_socket_that_is_reset_before_our_end_is_no_fault_of_ours(caplog):
    """The system knows of the reset before the loop does: shutting the socket down fails then."""

    async def test():
        async with Rig("tcp") as rig:
            await rig.connect()
            connection = rig.hub.connections[0]
            connection._transport = Reset(connection._transport)
            connection.close()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)

    run(test)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_connection_that_has_ended_leaves_its_transport_alone():
    """asyncio's can't be aborted once it is closed: its writer, woken by the end, would fail unseen."""

    async def test():
        async with Rig("tcp") as rig:
            client = await rig.connect()
            connection = rig.hub.connections[0]
            await client.close()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)
            connection._transport = object()  # nothing that could be aborted
            connection._abort()

    run(test)


class Reset:
    """A transport whose peer has reset it."""

    def __init__(self, transport):
        self._transport = transport

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write_eof(self):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_an_unfinished_message_waits_and_costs_nobody():
    async def test():
        async with Rig("tcp") as rig:
            slow = await rig.connect()
            slow.writer.write(struct.pack("<I", 10_000_000) + b"\x81")
            other = await rig.connect(greet=False)
            assert (await say_hello(other))["op"] == "welcome"
            await send(other, op="ping", id=1)
            async with asyncio.timeout(link_rig.LIMIT_S):
                assert (await receive(other))["op"] == "pong"

    run(test)
