"""The WebSocket door: handshake, hosts, origins, text messages, broken frames, refusals. Bad bytes by raw sockets."""

import asyncio
import re
import struct

import link_rig
import msgpack
import pytest
from link_rig import Rig, frame_bytes, run, send
from websockets.exceptions import InvalidStatus

from bridge.links.connection import LinkLimits

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HELLO = msgpack.packb({"op": "hello", "version": 1, "client": "raw"})


async def handshake(address: str, *lines: str, path: str = "/link", host: str | None = "", version: str = "13"):
    """Send a handshake by hand; give the status, the head of the answer, and the socket."""
    name, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(name.strip("[]"), int(port))
    head = [f"GET {path} HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade"]
    head += [f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Version: {version}", *lines]
    if host is not None:
        head.append(f"Host: {host or address}")
    writer.write("".join(line + "\r\n" for line in (*head, "")).encode())
    async with asyncio.timeout(link_rig.LIMIT_S):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    return int(answer.split()[1]), answer, reader, writer


async def finish(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), 101),
        (("Sec-WebSocket-Protocol: texbridge.v1",), 101),
        (("Sec-WebSocket-Protocol: chat, texbridge.v1",), 101),
        (("Sec-WebSocket-Protocol: chat",), 400),
        (("Sec-WebSocket-Protocol: texbridge.v2, chat",), 400),
        (("Sec-WebSocket-Extensions: permessage-deflate",), 101),
        (("Origin: http://evil.example",), 403),
        (("Origin: null",), 403),
        (("Origin: http://127.0.0.1:9480",), 101),
        (("Origin: http://127.0.0.1:9481",), 403),
        (("Origin: http://127.0.0.1:9480", "Origin: http://evil.example"), 403),
    ],
)
def test_handshake(lines, status):
    async def test():
        async with Rig("websocket", origins=["http://127.0.0.1:9480"]) as rig:
            got, answer, _, writer = await handshake(rig.door.address, *lines)
            assert got == status, answer
            assert "Sec-WebSocket-Extensions" not in answer  # compression is never agreed on
            chosen = re.search(r"Sec-WebSocket-Protocol: (.*)\r", answer)
            offered_ours = any("texbridge.v1" in line for line in lines)
            assert (chosen is not None and chosen[1] == "texbridge.v1") == (status == 101 and offered_ours)
            await finish(writer)

    run(test)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 101),
        ("localhost:{port}", 101),
        ("LOCALHOST:{port}", 101),
        ("[::1]:{port}", 101),
        ("show.local:{port}", 101),
        ("evil.example:{port}", 403),
        ("127.0.0.1", 403),
        ("127.0.0.1:80", 403),
        ("127.0.0.2:{port}", 403),
        ("127.0.0.1:{port}.evil.example", 403),
        (None, 400),
    ],
)
def test_host(host, status):
    async def test():
        async with Rig("websocket", hosts=["show.local"]) as rig:
            port = rig.door.address.rpartition(":")[2]
            name = None if host is None else host.format(port=port)
            got, answer, _, writer = await handshake(rig.door.address, host=name)
            assert got == status, answer
            await finish(writer)

    run(test)


def test_two_hosts():
    async def test():
        async with Rig("websocket") as rig:
            got, _, _, writer = await handshake(rig.door.address, "Host: evil.example")
            assert got == 400
            await finish(writer)

    run(test)


@pytest.mark.parametrize(("path", "status"), [("/link?x=1", 101), ("/", 404), ("/links", 404), ("/link/", 404)])
def test_path(path, status):
    async def test():
        async with Rig("websocket") as rig:
            got, _, _, writer = await handshake(rig.door.address, path=path)
            assert got == status
            await finish(writer)

    run(test)


@pytest.mark.parametrize(
    "bytes_in",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",  # a TLS hello
        b"POST /link HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /link HTTP/1.1\r\n" + b"X-H: 1\r\n" * 300 + b"\r\n",
        b"GET /link HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ],
)
def test_bad_requests_are_refused_and_nothing_stops(bytes_in):
    async def test():
        async with Rig("websocket") as rig:
            name, _, port = rig.door.address.rpartition(":")
            reader, writer = await asyncio.open_connection(name, int(port))
            writer.write(bytes_in)
            async with asyncio.timeout(link_rig.LIMIT_S):
                try:
                    answer = await reader.read()
                except ConnectionError:
                    answer = b""
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer
            await finish(writer)
            await rig.connect()

    run(test)


def test_half_sent_handshake_is_cut():
    async def test():
        async with Rig("websocket", LinkLimits(hello_timeout_s=0.2)) as rig:
            name, _, port = rig.door.address.rpartition(":")
            reader, writer = await asyncio.open_connection(name, int(port))
            writer.write(b"GET /link HTTP/1.1\r\nHost: ")
            async with asyncio.timeout(link_rig.LIMIT_S):
                try:
                    assert await reader.read() == b""
                except ConnectionError:
                    pass
            await finish(writer)
            assert rig.door.connections == 0

    run(test)


def test_text_closes_with_4102():
    async def test():
        async with Rig("websocket") as rig:
            client = await rig.connect()
            await client.socket.send("hello")
            answer = msgpack.unpackb(await client.receive())
            assert (answer["code"], answer["fatal"]) == (102, True)
            assert await client.closed() == 4102
            assert client.socket.close_reason.startswith("a text message came")

    run(test)


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    return head + (bytes(4) if mask else b"") + payload


@pytest.mark.parametrize(
    ("bytes_in", "code"),
    [
        (masked(2, HELLO, mask=False), 1002),
        (masked(2, HELLO, rsv=0x40), 1002),
        (masked(3, b""), 1002),
        (masked(9, b"x", fin=False), 1002),
        (masked(9, b"x" * 200), 1002),
        (masked(0, b"x"), 1002),
        (masked(1, b"\xff\xfe"), 1007),
        (bytes([0x82, 0xFF]) + struct.pack("!Q", 1 << 40) + bytes(4), 1009),
    ],
)
def test_broken_frames_close_the_link(bytes_in, code):
    async def test():
        async with Rig("websocket") as rig:
            status, _, reader, writer = await handshake(rig.door.address)
            assert status == 101
            writer.write(bytes_in)
            async with asyncio.timeout(link_rig.LIMIT_S):
                head = await reader.readexactly(4)
            assert head[0] == 0x88
            assert struct.unpack("!H", head[2:4])[0] == code
            await finish(writer)
            await rig.connect()

    run(test)


def test_one_byte_per_segment():
    async def test():
        async with Rig("websocket") as rig:
            _, _, reader, writer = await handshake(rig.door.address)
            for byte in (
                masked(2, HELLO[:9], fin=False) + masked(0, HELLO[9:]) + masked(2, msgpack.packb({"op": "ping"}))
            ):
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            answers = []
            for _ in range(2):
                head = await reader.readexactly(2)
                length = head[1] if head[1] < 126 else struct.unpack("!H", await reader.readexactly(2))[0]
                assert head[0] == 0x82
                answers.append(msgpack.unpackb(await reader.readexactly(length))["op"])
            assert answers == ["welcome", "pong"]
            await finish(writer)

    run(test)


def test_a_frame_is_one_unfragmented_message():
    async def test():
        async with Rig("websocket") as rig:
            _, _, reader, writer = await handshake(rig.door.address)
            writer.write(masked(2, HELLO))
            head = await reader.readexactly(4)
            await reader.readexactly(struct.unpack("!H", head[2:])[0])
            header, payload = frame_bytes(1, 1 << 20)
            rig.hub.frames.append((header, payload))
            rig.hub.connections[0].wake()
            assert await reader.readexactly(10) == b"\x82\x7f" + struct.pack("!Q", len(header) + len(payload))
            assert await reader.readexactly(len(header) + len(payload)) == header + payload
            await finish(writer)

    run(test)


def test_over_the_cap_is_refused_with_503():
    async def test():
        async with Rig("websocket", LinkLimits(max_connections_per_address=2)) as rig:
            engines = [await rig.connect() for _ in range(2)]
            with pytest.raises(InvalidStatus) as caught:
                await rig.connect()
            assert caught.value.response.status_code == 503
            assert b"the limit is 2 from one address" in caught.value.response.body
            await engines[0].close()
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)
            await rig.connect()

    run(test)


def test_a_close_from_the_engine_ends_the_link_even_if_its_socket_stays_open():
    async def test():
        async with Rig("websocket", LinkLimits(close_timeout_s=0.1)) as rig:
            _, _, _, writer = await handshake(rig.door.address)
            writer.write(masked(2, HELLO))
            await rig.hub.until(lambda: len(rig.hub.connections) == 1)
            writer.write(masked(8, struct.pack("!H", 1000)))
            await rig.hub.until(lambda: len(rig.hub.ended) == 1)
            await finish(writer)

    run(test)


def test_ping_is_answered_between_frames():
    async def test():
        async with Rig("websocket") as rig:
            client = await rig.connect()
            for number in range(5):
                rig.hub.frames.append(frame_bytes(number, 200_000))
            rig.hub.connections[0].wake()
            pong = await client.socket.ping()
            for number in range(5):
                assert await client.receive() == b"".join(frame_bytes(number, 200_000))
            async with asyncio.timeout(link_rig.LIMIT_S):
                await pong
            await send(client, op="ping", id=1)
            assert msgpack.unpackb(await client.receive())["op"] == "pong"

    run(test)


async def _inside_a_frame(rig, writer) -> tuple[bytes, bytes]:
    """Say hello by a raw socket that doesn't read, and have a large frame on its way."""
    writer.transport.pause_reading()
    writer.write(masked(2, HELLO))
    await rig.hub.until(lambda: len(rig.hub.connections) == 1)
    rig.hub.frames.append(frame_bytes(1, 20_000_000))
    rig.hub.connections[0].wake()
    await rig.hub.until(lambda: rig.hub.taken == 1)
    for _ in range(100):  # turns in which the frame fills the kernel's buffers and stops
        await asyncio.sleep(0)
    assert rig.hub.done == 0
    return frame_bytes(1, 20_000_000)


async def _messages(reader) -> list[tuple[int, bytes]]:
    """Everything up to the end of the stream: opcode and body of each unfragmented frame."""
    found = []
    async with asyncio.timeout(link_rig.LIMIT_S):
        while head := await reader.read(2):
            head += await reader.readexactly(2 - len(head))
            length = head[1] & 127
            if length > 125:
                length = int.from_bytes(await reader.readexactly({126: 2, 127: 8}[length]), "big")
            assert head[0] & 0x80, "fragmented"
            found.append((head[0] & 15, await reader.readexactly(length)))
    return found


def test_what_the_library_sends_by_itself_waits_for_the_end_of_a_frame():
    """Pings are answered, and a close is, while a large frame is on its way: behind it, not inside it."""

    async def test():
        async with Rig("websocket", LinkLimits(send_buffer_bytes=128 * 1024)) as rig:
            _, _, reader, writer = await handshake(rig.door.address)
            frame = await _inside_a_frame(rig, writer)
            writer.write(masked(9, b"are you there") + masked(8, struct.pack("!H", 1000)))
            await rig.hub.until(lambda: len(rig.hub.connections) == 1)
            for _ in range(100):  # turns in which an answer inside the frame would be written
                await asyncio.sleep(0)
            writer.transport.resume_reading()
            welcome, picture, *rest = await _messages(reader)
            assert msgpack.unpackb(welcome[1])["op"] == "welcome"
            assert picture == (2, b"".join(frame))
            assert rest == [(10, b"are you there"), (8, struct.pack("!H", 1000))]
            await finish(writer)

    run(test)
