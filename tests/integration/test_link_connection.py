"""What both engine links promise, over real sockets: hello, errors, order, frames byte for byte, parts, slow peers."""

import asyncio
import struct
from contextlib import suppress

import link_rig
import msgpack
import pytest
from link_rig import Rig, frame_bytes, receive, run, say_hello, send

from bridge.codec.messages import Accepted, Changed, Finished, Ok
from bridge.errors import ConfigError, ErrorCode, NotAllowedError
from bridge.links.connection import LinkLimits
from bridge.links.gate import TokenDelays
from bridge.links.writing import PIECE_BYTES
from bridge.types import Outcome

pytestmark = pytest.mark.parametrize("kind", ["tcp", "websocket"])


SUBSCRIBE = {
    "op": "subscribe",
    "id": 9,
    "stream": "nope",
    "format": "rgba8",
    "origin": "top_left",
    "delivery": "latest",
}
SUBSCRIBE["credit"] = 1
DEEP: dict = {}
for _ in range(40):
    DEEP = {"x": DEEP}


async def fatal(client, code: int) -> dict:
    """The last message is a fatal error with this code, then the link is closed with it."""
    answer = await receive(client)
    assert answer["op"] == "error"
    assert answer["fatal"] is True
    assert answer["code"] == code, answer
    assert answer["name"] == ErrorCode(code).word
    close_code = await client.closed()
    if client.kind == "websocket":
        assert close_code == 4000 + code
    return answer


def test_hello_and_welcome(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect(greet=False)
            answer = await say_hello(client, id=77, token="t", max_message_bytes=4096, later_field=[1, 2])
            assert answer["op"] == "welcome"
            assert answer["id"] == 77
            assert answer["session"] == "0" * 32
            connection = rig.hub.connections[0]
            assert connection.kind == kind
            assert connection.address.startswith("127.0.0.1:")
            assert connection.max_message_bytes == 4096
            assert connection.is_open
            await client.close()
            await rig.hub.until(lambda: rig.hub.ended == [connection])
            assert not connection.is_open
            connection.send(Ok())  # to nobody: harmless

    run(test)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (msgpack.packb({"op": "ping", "id": 5}), 101),
        (msgpack.packb({"op": "nonsense", "id": 5}), 101),
        (msgpack.packb({"op": "run", "id": 5}), 101),
        (msgpack.packb({"op": "subscribe", "stream": ["x"]}), 101),
        (msgpack.packb({"version": 1, "client": "x"}), 101),
        (msgpack.packb({}), 101),
        (msgpack.packb({"op": 7}), 101),
        (msgpack.packb({"op": "hello", "version": 1, "client": "x"}) + b"\xc0", 107),
        (b"\xc1", 102),
        (b"{}", 102),
        (msgpack.packb([1, 2, 3]), 102),
        (msgpack.packb({"op": "hello", "version": "one", "client": "x"}), 107),
        (msgpack.packb({"op": "hello", "client": "x"}), 107),
        (msgpack.packb({"op": "hello", "version": 1, "client": "x", "max_message_bytes": 1023}), 107),
        (msgpack.packb({"op": "hello", "version": 0, "client": "x"}), 402),
        (b"TXB1" + bytes(60), 103),
        (b"TXBP" + bytes(60), 104),
        (b"\xdd\xff\xff\xff\xff", 102),
    ],
)
def test_a_bad_first_message_ends_the_link(kind, message, code):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect(greet=False)
            await client.send_bytes(message)
            await fatal(client, code)
            assert rig.hub.ended == []

    run(test)


def test_no_hello_in_time(kind):
    async def test():
        limits = LinkLimits(hello_timeout_s=link_rig.LIMIT_S)
        async with Rig(kind, limits) as rig:
            # For the hello alone: a WebSocket's handshake, which has this limit too, keeps its time.
            object.__setattr__(limits, "hello_timeout_s", 0.1)
            client = await rig.connect(greet=False)
            await fatal(client, 101)

    run(test)


@pytest.mark.parametrize(
    ("message", "code", "has_id"),
    [
        ({"op": "nonsense", "id": 9}, 201, True),
        ({"op": "set", "id": 9, "stream": "main"}, 107, True),
        (SUBSCRIBE, 203, True),
        ({"op": "stats", "id": 9, "stream": "main"}, 602, True),
        ({"op": "hello", "id": 9, "version": 1, "client": "again"}, 413, True),
        ({"op": "set", "id": 9, "stream": "main", "params": DEEP}, 106, None),
    ],
)
def test_a_refused_message_is_answered_and_the_session_goes_on(kind, message, code, has_id):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            await send(client, **message)
            answer = await receive(client)
            assert (answer["op"], answer["code"]) == ("error", code), answer
            assert not answer.get("fatal")
            if has_id:
                assert answer["id"] == 9
            await send(client, op="ping", id=10)
            assert await receive(client) == {"op": "pong", "id": 10}

    run(test)


def test_a_frame_from_an_engine_is_refused(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            await client.send_bytes(b"TXB1" + bytes(60))
            assert (await receive(client))["code"] == 103
            await send(client, op="ping", id=1)
            assert (await receive(client))["op"] == "pong"

    run(test)


@pytest.mark.parametrize(("message", "code"), [(b"\xc1\xc1", 102), (b"TXBP" + bytes(40), 104)])
def test_lost_framing_after_hello_ends_the_link(kind, message, code):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            await client.send_bytes(message)
            await fatal(client, code)
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)

    run(test)


@pytest.mark.parametrize("size", [0, 1, 61, 62, 125, 126, 65_471, 65_472, 65_536, 1_048_576, 5_000_003])
def test_frames_arrive_byte_for_byte(kind, size):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            expected = [frame_bytes(number, size) for number in range(3)]
            rig.hub.frames.extend(expected)
            rig.hub.connections[0].wake()
            for header, payload in expected:
                assert await client.receive() == header + payload
            await rig.hub.until(lambda: rig.hub.done == 3)

    run(test)


@pytest.mark.parametrize("size", [0, 100, 300_000, 9_000_000])
def test_a_frame_written_at_once_comes_after_the_messages_before_it_and_before_those_after(kind, size):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            await send(client, op="ping", id=1)
            assert (await receive(client))["id"] == 1
            connection = rig.hub.connections[0]
            expected = [frame_bytes(number, size) for number in range(3)]
            rig.hub.frames.extend(expected)
            connection.send(Accepted(request=7))
            connection.write_now()
            connection.send(Accepted(request=8))
            assert (await receive(client))["request"] == 7
            assert await client.receive() == b"".join(expected[0])
            assert (await receive(client))["request"] == 8
            for header, payload in expected[1:]:
                assert await client.receive() == header + payload
            await rig.hub.until(lambda: rig.hub.done == 3)
            connection.write_now()  # there is nothing: nothing happens
            await send(client, op="ping", id=2)
            assert (await receive(client))["id"] == 2

    run(test)


def test_a_message_that_the_kernel_has_taken_leaves_the_writer_free_for_the_next_picture(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            await send(client, op="ping", id=1)
            assert (await receive(client))["id"] == 1
            connection = rig.hub.connections[0]
            connection.send(Accepted(request=7))
            await asyncio.sleep(0)  # one turn, in which it goes out
            rig.hub.frames.append(frame_bytes(1, 100))
            connection.write_now()
            assert rig.hub.done == 1, "the picture waited for the writer's turn"
            assert (await receive(client))["request"] == 7
            assert await client.receive() == b"".join(frame_bytes(1, 100))

    run(test)


def test_a_frame_written_at_once_to_a_peer_that_reads_nothing_is_given_back_with_it(kind):
    async def test():
        async with Rig(kind) as rig:
            await rig.connect()
            connection = rig.hub.connections[0]
            rig.hub.frames.append(frame_bytes(1, 20_000_000))
            connection.write_now()
            connection.write_now()
            connection.evict()
            await rig.hub.until(lambda: rig.hub.done == 1 and len(rig.hub.ended) == 1)

    run(test)


def test_accepted_then_frames_then_finished(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            connection = rig.hub.connections[0]
            expected = [frame_bytes(number, 300_000) for number in range(4)]
            rig.hub.frames.extend(expected)
            connection.send(Finished(request=7, outcome=Outcome.DONE, frames=4, number=4), after_frames=True)
            connection.send(Accepted(request=7))
            assert (await receive(client))["op"] == "accepted"
            for header, payload in expected:
                assert await client.receive() == header + payload
            assert (await receive(client))["op"] == "finished"
            # With no frame to wait for it goes at once.
            connection.send(Finished(request=8, outcome=Outcome.CANCELLED, frames=0, number=0), after_frames=True)
            assert (await receive(client))["request"] == 8

    run(test)


def test_finished_is_not_starved_by_endless_frames(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            frame = frame_bytes(1, 100)
            rig.hub.supply = lambda: frame
            rig.hub.connections[0].send(
                Finished(request=7, outcome=Outcome.DONE, frames=4, number=4), after_frames=True
            )
            for _ in range(1000):
                if (await client.receive())[:1] != b"T":
                    break
            else:
                pytest.fail("finished never came")
            rig.hub.supply = None

    run(test)


def test_what_the_hub_sends_during_hello_follows_the_welcome(kind):
    async def test():
        async with Rig(kind) as rig:
            greet = rig.hub.hello

            def hello(connection, message):
                connection.send(Finished(request=3, outcome=Outcome.DONE, frames=1, number=1))
                return greet(connection, message)

            rig.hub.hello = hello
            client = await rig.connect()
            assert (await receive(client))["request"] == 3

    run(test)


def test_parts_out(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect(hello={"max_message_bytes": 1024})
            header, payload = frame_bytes(5, 100_000)
            rig.hub.frames.append((header, payload))
            rig.hub.connections[0].wake()
            assert await put_together(client, 1024) == header + payload
            long = {"words": "x" * 5000}
            rig.hub.connections[0].send(Changed(stream="main", params=long))
            assert msgpack.unpackb(await put_together(client, 1024))["params"] == long
            rig.hub.connections[0].send(Changed(stream="main", state="ready"))
            assert (await receive(client))["state"] == "ready"

    run(test)


def test_parts_of_two_messages_never_mix(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect(hello={"max_message_bytes": 1024})
            header, payload = frame_bytes(5, 50_000)
            long = {"words": "x" * 5000}

            def next_frame(connection):
                # Both come while the frame is being written: the small one may overtake its parts, the long may not.
                asyncio.get_running_loop().call_soon(connection.send, Changed(stream="main", state="ready"))
                asyncio.get_running_loop().call_soon(connection.send, Changed(stream="main", params=long))
                return link_rig.RigHub.next_frame(rig.hub, connection)

            rig.hub.frames.append((header, payload))
            rig.hub.next_frame = next_frame
            rig.hub.connections[0].wake()
            whole: dict[int, bytes] = {}
            order = []
            while 1 not in whole or len(whole[1]) < 5000:
                message = await client.receive()
                if message[:4] != b"TXBP":
                    order.append("small")
                    continue
                number, part = struct.unpack_from("<II", message, 8)
                order.append(number)
                assert (part == 0) == (number not in whole)
                whole[number] = whole.get(number, b"") + message[32:]
                if number == 1:
                    rig.hub.next_frame = lambda connection: None
            assert whole[0] == header + payload
            assert order.index(1) > len(order) - 1 - order[::-1].index(0)
            assert 0 < order.index("small") < order.index(1)

    run(test)


async def put_together(client, limit: int) -> bytes:
    """Read parts by the table on the page: magic, header_bytes, 0, message, part, parts, offset, total, 0."""
    whole = b""
    while True:
        message = await client.receive()
        assert len(message) <= limit
        magic, header_bytes, _, _, part, parts, offset, total, _ = struct.unpack_from("<4sHHIIIIII", message)
        assert (magic, header_bytes, offset) == (b"TXBP", 32, len(whole))
        whole += message[32:]
        if part == parts - 1:
            assert len(whole) == total
            return whole


def test_parts_in(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            message = msgpack.packb({"op": "set", "id": 4, "stream": "main", "params": {"text": "y" * 3000}})
            pieces = [message[start : start + 1000] for start in range(0, len(message), 1000)]
            for part, piece in enumerate(pieces):
                await client.send_bytes(
                    struct.pack("<4sHHIIIIII", b"TXBP", 32, 0, 0, part, len(pieces), part * 1000, len(message), 0)
                    + piece
                )
                await send(client, op="ping", id=100 + part)  # another message may stand between
            answers = [await receive(client) for _ in range(len(pieces) + 1)]
            assert {"op": "ok", "id": 4} in answers
            assert rig.hub.messages[-2].params == {"text": "y" * 3000}

    run(test)


def test_message_over_the_limit(kind):
    async def test():
        async with Rig(kind, LinkLimits(max_message_bytes=10_000)) as rig:
            client = await rig.connect()
            with suppress(Exception):  # the link may be cut while we still send
                await client.send_bytes(bytes(10_001))
            if kind == "tcp":
                await fatal(client, 105)
            else:
                assert await client.closed() == 1009
            client = await rig.connect()
            await client.send_bytes(struct.pack("<4sHHIIIIII", b"TXBP", 32, 0, 0, 0, 21, 0, 10_001, 0) + bytes(500))
            await fatal(client, 105)

    run(test)


def test_a_flood_of_questions_is_answered_in_full(kind):
    async def test():
        async with Rig(kind, LinkLimits(queue_messages=64)) as rig:
            client = await rig.connect()

            async def ask():
                for number in range(5000):
                    await send(client, op="ping", id=number)

            asking = asyncio.create_task(ask())
            for number in range(5000):
                assert (await receive(client))["id"] == number
            await asking

    run(test)


def test_a_peer_that_lets_messages_pile_up_is_cut(kind):
    async def test():
        async with Rig(kind, LinkLimits(queue_messages=50, send_buffer_bytes=8192)) as rig:
            (await rig.connect()).pause()
            connection = rig.hub.connections[0]
            sent = 0
            while connection.is_open:
                connection.send(Changed(stream="main", params={"text": "z" * 2000}))
                sent += 1
                assert sent < 1000
            assert rig.door.counts["too_slow"] == 1
            assert rig.door.counts["closed_too_slow"] == 1
            await rig.hub.until(lambda: rig.hub.ended == [connection])

    run(test)


def test_too_slow_is_told_where_it_can_be(kind):
    async def test():
        async with Rig(kind, LinkLimits(queue_messages=50)) as rig:
            client = await rig.connect()
            for _ in range(100):
                rig.hub.connections[0].send(Changed(stream="main", state="ready"))
            await fatal(client, 603)

    run(test)


def test_a_slow_reader_gets_the_newest_and_nothing_piles_up(kind):
    async def test():
        async with Rig(kind, LinkLimits(send_buffer_bytes=128 * 1024)) as rig:
            client = await rig.connect()
            client.pause()
            made = 0

            def newest():
                nonlocal made
                made += 1
                return frame_bytes(made, 8_000_000)

            rig.hub.supply = newest
            rig.hub.connections[0].wake()
            await rig.hub.until(lambda: rig.hub.taken >= 1)
            # The reader does nothing: what is taken stops at what kernel buffers and one write hold.
            for _ in range(200):  # turns in which a bridge that took more would have done so
                await asyncio.sleep(0)
            stopped_at = rig.hub.taken
            assert stopped_at <= 3
            assert rig.hub.taken - rig.hub.done <= 1
            client.resume()
            for number in range(1, stopped_at + 3):
                header, payload = frame_bytes(number, 8_000_000)
                assert await client.receive() == header + payload
            rig.hub.supply = None

    run(test)


def test_a_peer_that_never_reads_is_cut_and_the_frame_given_back(kind):
    async def test():
        async with Rig(kind, LinkLimits(stall_timeout_s=0.2, send_buffer_bytes=128 * 1024)) as rig:
            (await rig.connect()).pause()
            rig.hub.supply = lambda: frame_bytes(1, 8_000_000)
            rig.hub.connections[0].wake()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1 and rig.hub.done == rig.hub.taken)
            assert rig.door.counts["stalled"] == 1
            rig.hub.supply = None

    run(test)


def test_a_frame_that_waits_for_its_reader_is_not_copied(kind):
    """Many slow viewers of one large picture share its memory: above the kernel waits one piece of it each."""

    async def test():
        async with Rig(kind, LinkLimits(send_buffer_bytes=128 * 1024)) as rig:
            client = await rig.connect()
            client.pause()
            rig.hub.frames.append(frame_bytes(1, 20_000_000))
            rig.hub.connections[0].wake()
            await rig.hub.until(lambda: rig.hub.taken == 1)
            for _ in range(200):  # turns in which a bridge that wrote more would have done so
                await asyncio.sleep(0)
            assert 0 < rig.hub.connections[0]._transport.get_write_buffer_size() <= PIECE_BYTES
            client.resume()
            assert await client.receive() == b"".join(frame_bytes(1, 20_000_000))
            await send(client, op="ping", id=1)
            assert (await receive(client))["op"] == "pong"

    run(test)


def test_a_peer_that_leaves_in_the_middle_of_a_frame_gives_it_back(kind):
    async def test():
        async with Rig(kind, LinkLimits(send_buffer_bytes=128 * 1024)) as rig:
            client = await rig.connect()
            client.pause()
            rig.hub.frames.append(frame_bytes(1, 20_000_000))
            rig.hub.connections[0].wake()
            await rig.hub.until(lambda: rig.hub.taken == 1)
            if kind == "tcp":
                client.writer.transport.abort()
            else:
                client.socket.transport.abort()
            await rig.hub.until(lambda: rig.hub.done == 1 and len(rig.hub.ended) == 1)

    run(test)


def test_one_slow_reader_costs_another_nothing(kind):
    async def test():
        async with Rig(kind, LinkLimits(send_buffer_bytes=128 * 1024)) as rig:
            (await rig.connect()).pause()
            fast = await rig.connect()
            slow_connection, fast_connection = rig.hub.connections
            frames = {slow_connection: [frame_bytes(1, 20_000_000)], fast_connection: []}

            def next_frame(connection):
                if not frames[connection]:
                    return None
                rig.hub.frames.append(frames[connection].pop(0))
                return link_rig.RigHub.next_frame(rig.hub, connection)

            rig.hub.next_frame = next_frame
            slow_connection.wake()
            await rig.hub.until(lambda: rig.hub.taken == 1)
            for number in range(20):
                header, payload = frame_bytes(number, 500_000)
                frames[fast_connection].append((header, payload))
                fast_connection.wake()
                assert await fast.receive() == header + payload
            assert rig.hub.done == 20

    run(test)


def test_wrong_tokens_are_refused_and_delayed_and_the_right_one_still_gets_in(kind):
    async def test():
        delays = TokenDelays()
        async with Rig(kind, token="right", delays=delays) as rig:
            for _ in range(4):
                client = await rig.connect(greet=False)
                await send(client, op="hello", version=1, client="x", token="wrong", id=3)
                answer = await fatal(client, 401)
                assert answer["id"] == 3
                assert "right" not in answer["message"]
            assert rig.door.counts["hello_delayed"] == 1
            await rig.connect(hello={"token": "right"})
            assert rig.door.counts["hello_delayed"] == 2

    run(test)


def test_the_hub_closes_a_link_with_its_error(kind):
    async def test():
        async with Rig(kind) as rig:
            client = await rig.connect()
            connection = rig.hub.connections[0]
            connection.send(Changed(stream="main", state="ready"))
            connection.close(NotAllowedError("another socket took this session", code=ErrorCode.SESSION_TAKEN))
            connection.close()  # the first one counts
            connection.send(Ok())
            assert (await receive(client))["state"] == "ready"
            await fatal(client, 409)
            await rig.hub.until(lambda: rig.hub.ended == [connection])

    run(test)


def test_closing_the_door_tells_everybody(kind):
    async def test():
        async with Rig(kind) as rig:
            greeted = [await rig.connect() for _ in range(3)]
            await rig.connect(greet=False)
            closing = asyncio.create_task(rig.door.close())
            for client in greeted:
                await fatal(client, 601)
            await closing
            await rig.door.close()
            assert len(rig.hub.ended) == 3
            with pytest.raises(OSError):
                await rig.client_class.connect(rig.door.address)

    run(test)


def test_closing_the_door_does_not_wait_for_a_peer_that_never_reads(kind):
    async def test():
        async with Rig(kind, LinkLimits(close_timeout_s=0.2, send_buffer_bytes=128 * 1024)) as rig:
            (await rig.connect()).pause()
            rig.hub.frames.append(frame_bytes(1, 20_000_000))
            rig.hub.connections[0].wake()
            await rig.hub.until(lambda: rig.hub.taken == 1)
            await rig.door.close()
            assert rig.hub.done == 1
            assert len(rig.hub.ended) == 1

    run(test)


def test_half_open_sockets_give_way_and_engines_keep_their_place(kind):
    async def test():
        async with Rig(kind, LinkLimits(max_connections_per_address=3)) as rig:
            engine = await rig.connect()
            host, _, port = rig.door.address.rpartition(":")
            half_open = [await asyncio.open_connection(host, int(port)) for _ in range(6)]
            second = await rig.connect()
            assert rig.door.counts["evicted"] >= 4
            for client in (engine, second):
                await send(client, op="ping", id=1)
                assert (await receive(client))["op"] == "pong"
            for _, writer in half_open:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    run(test)


def test_a_taken_port_is_one_clear_line(kind):
    async def test():
        async with Rig(kind) as rig:
            port = int(rig.door.address.rpartition(":")[2])
            with pytest.raises(ConfigError) as caught:
                await rig.door_class(rig.hub).start("127.0.0.1", port)
            assert "\n" not in caught.value.message
            assert f"127.0.0.1:{port} is in use" in caught.value.message

    run(test)


def test_ipv6(kind):
    async def test():
        rig = Rig(kind)
        try:
            await rig.door.start("::1", 0)
        except ConfigError:
            pytest.skip("no IPv6 here")
        assert rig.door.address.startswith("[::1]:")
        client = await rig.connect()
        assert rig.hub.connections[0].address.startswith("[::1]:")
        await client.close()
        await rig.door.close()

    run(test)
