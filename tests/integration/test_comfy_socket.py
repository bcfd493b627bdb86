"""The WebSocket by itself, against a server of the same library that can fragment."""

import asyncio
import logging
import select
import threading
import time

from websockets.asyncio.server import serve
from websockets.sync.server import serve as serve_in_thread

from bridge.backends import comfy_socket
from bridge.backends.comfy_socket import FEATURE_FLAGS, open_socket


async def opened(server):
    port = server.sockets[0].getsockname()[1]
    return await open_socket(
        f"ws://127.0.0.1:{port}/ws?clientId=a", {}, open_timeout_s=5.0, max_message_bytes=1000, tls=None
    )


def played(talk, take=None):
    """What the socket hands over when the server does `talk(connection)`, then closes; and why it ended."""

    async def run():
        messages = []

        async def handler(connection):
            assert await connection.recv() == FEATURE_FLAGS
            await talk(connection)

        async with serve(handler, "127.0.0.1", 0, compression=None) as server:
            socket = await opened(server)
            async with asyncio.timeout(20):
                reason = await socket.read(take or messages.append)
            assert not await socket.ping(0.1)
            await socket.close()
            await socket.close()
        return messages, reason

    return asyncio.run(run())


def test_whole_and_fragmented_messages_come_in_order():
    async def talk(connection):
        await connection.send("one")
        await connection.send(["t", "w", "o"])
        await connection.send(b"\0three")
        await connection.send([b"\0", b"", b"four"])
        await connection.send("five")

    messages, reason = played(talk)
    assert [bytes(m) if not isinstance(m, str) else m for m in messages] == [
        "one",
        "two",
        b"\0three",
        b"\0four",
        "five",
    ]
    assert "1000" in reason


def test_messages_before_read_are_kept():
    async def run():
        sent = asyncio.Event()

        async def handler(connection):
            await connection.send("early")
            await (await connection.ping())  # the client has read it once it has answered this
            sent.set()
            await connection.wait_closed()

        async with serve(handler, "127.0.0.1", 0) as server:
            socket = await opened(server)
            await sent.wait()
            messages = []
            reader = asyncio.ensure_future(socket.read(messages.append))
            await asyncio.sleep(0)
            assert messages == ["early"]
            assert await socket.ping(5.0)
            await socket.close()
            await reader

    asyncio.run(run())


def test_a_pong_that_waited_while_our_own_loop_was_held_up_counts():
    async def run(port):
        socket = await open_socket(
            f"ws://127.0.0.1:{port}/ws?clientId=a", {}, open_timeout_s=20.0, max_message_bytes=1000, tls=None
        )
        reader = asyncio.ensure_future(socket.read(lambda message: None))
        try:
            asking = asyncio.ensure_future(socket.ping(0.1))
            await asyncio.sleep(0)  # it goes out
            # Held up until the pong is here, unread, and for so long again as may be waited for it.
            assert select.select([socket._connection.transport.get_extra_info("socket").fileno()], [], [], 20)[0]
            time.sleep(0.1)  # noqa: ASYNC251 - what is tested
            assert await asking
        finally:
            await socket.close()
            await reader

    # In a thread: it answers while our loop stands still.
    with serve_in_thread(lambda peer: [None for _ in peer], "127.0.0.1", 0, compression=None) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            asyncio.run(run(server.socket.getsockname()[1]))
        finally:
            server.shutdown()
            serving.join()


def test_text_that_is_not_utf_8_does_not_end_the_socket():
    async def talk(connection):
        await connection.send(b"\xff{}", text=True)
        await connection.send("next")

    messages, _ = played(talk)
    assert messages == ["\ufffd{}", "next"]


def test_too_large_a_message_ends_it_whole_or_in_fragments():
    for message in (b"x" * 1001, [b"x" * 600, b"x" * 600]):

        async def talk(connection, message=message):
            await connection.send(message)
            await connection.wait_closed()

        messages, reason = played(talk)
        assert messages == []
        assert "1009" in reason


def test_fragments_without_end_are_cut(monkeypatch):
    monkeypatch.setattr(comfy_socket, "_MOST_PIECES", 20)

    async def talk(connection):
        await connection.send([b""] * 50)
        await connection.wait_closed()

    assert played(talk)[0] == []


def test_a_handler_that_raises_is_shown_and_the_next_message_comes(caplog):
    seen = []

    def take(message):
        seen.append(message)
        raise RuntimeError("handler broke")

    async def talk(connection):
        await connection.send("one")
        await connection.send("two")

    with caplog.at_level(logging.ERROR, "bridge.backends"):
        played(talk, take)
    assert seen == ["one", "two"]
    assert "handler broke" in caplog.text
