"""The embedded server's own promises: its life, its limits, its delay. What ComfyUI does is in tests/conformance."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from bridge.embedded import EmbeddedServer

PATIENCE_S = 30


def flat(color: int = 1, size: int = 8, batch: int = 1) -> dict[str, Any]:
    inputs = {"width": size, "height": size, "batch_size": batch, "color": color}
    return {
        "1": {"class_type": "EmptyImage", "inputs": inputs},
        "9": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }


async def post(session: aiohttp.ClientSession, url: str, graph: dict[str, Any], client: str | None) -> str:
    body = {"prompt": graph} | ({} if client is None else {"client_id": client})
    async with session.post(f"{url}/prompt", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["prompt_id"]


async def events(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
    """JSON events up to the end of a prompt."""
    async with asyncio.timeout(PATIENCE_S):
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                event = json.loads(message.data)
                yield event
                if event["type"] == "executing" and event["data"]["node"] is None:
                    return


async def kinds(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    return [event["type"] async for event in events(socket)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait, with a limit, for what happens in the server's worker and wakes nobody here."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def test_start_close_start_again() -> None:
    async def main() -> None:
        server = EmbeddedServer()
        threads = threading.active_count()
        for _ in range(2):
            await server.start()
            assert server.port > 0
            assert server.url == f"http://127.0.0.1:{server.port}"
            await server.close()
            await server.close()
        assert threading.active_count() <= threads + 1  # asyncio's own pool may keep one

    run(main())


def test_port_taken() -> None:
    async def main() -> None:
        async with EmbeddedServer() as server:
            with pytest.raises(OSError, match=r"address|Address|bind"):
                await EmbeddedServer(port=server.port).start()

    run(main())


def test_delay_is_for_each_prompt_and_ends_with_an_interrupt() -> None:
    async def main() -> None:
        async with (
            EmbeddedServer(step_delay_ms=PATIENCE_S * 1000) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/ws?clientId=me") as socket,
        ):
            await post(session, server.url, flat(), "me")
            seen = []
            async for event in events(socket):
                seen.append(event["type"])
                if event["type"] == "executing" and event["data"]["node"] == "1":
                    async with session.post(f"{server.url}/interrupt") as answer:
                        assert answer.status == 200
            assert "execution_interrupted" in seen
            server.step_delay_ms = 0
            await post(session, server.url, flat(), "me")
            assert "execution_success" in await kinds(socket)
            # All but the output is cached now; the delay is there all the same.
            server.step_delay_ms = PATIENCE_S * 1000
            await post(session, server.url, flat(), "me")
            seen = []
            async for event in events(socket):
                seen.append(event["type"])
                if event["type"] == "executing" and event["data"]["node"] == "9":
                    await session.post(f"{server.url}/interrupt")
            assert "execution_interrupted" in seen

    run(main())


def test_close_ends_a_running_prompt_and_every_socket() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            server = EmbeddedServer(step_delay_ms=PATIENCE_S * 1000)
            await server.start()
            socket = await session.ws_connect(f"{server.url}/ws?clientId=me")
            await post(session, server.url, flat(), "me")
            async for event in events(socket):
                if event["type"] == "executing":
                    break
            closing = asyncio.create_task(server.close())
            async for _ in socket:
                pass
            await closing
            assert socket.close_code == 1001

    run(main())


def test_abort_is_like_a_kill() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            server = EmbeddedServer()
            await server.start()
            port = server.port
            socket = await session.ws_connect(f"{server.url}/ws?clientId=me")
            await server.abort()
            async for _ in socket:
                pass
            assert socket.close_code == 1006
            async with EmbeddedServer(port=port) as again, session.get(f"{again.url}/history") as answer:
                assert await answer.json() == {}

    run(main())


def test_a_client_that_does_not_read_is_cut_and_the_others_go_on() -> None:
    async def main() -> None:
        async with (
            EmbeddedServer(send_timeout_s=0.2) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/ws?clientId=me", max_msg_size=0) as socket,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(
                b"GET /ws?clientId=deaf HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            noise = flat(size=512, batch=8)
            noise["2"] = {"class_type": "ImageAddNoise", "inputs": {"image": ["1", 0], "seed": 1, "strength": 1.0}}
            noise["9"]["inputs"]["images"] = ["2", 0]
            await post(session, server.url, noise, "deaf")
            await post(session, server.url, flat(2), "me")
            assert "execution_success" in await kinds(socket)
            writer.transport.abort()

    run(main())


def test_limits() -> None:
    async def main() -> None:
        async with (
            EmbeddedServer(max_pixels=100, store_bytes=1000, history_limit=2) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/ws?clientId=me") as socket,
        ):
            await post(session, server.url, flat(size=11), "me")
            failed = [event async for event in events(socket) if event["type"] == "execution_error"]
            assert failed[0]["data"]["exception_type"] == "MemoryError"
            assert (
                "121" not in failed[0]["data"]["exception_message"] or "100" in failed[0]["data"]["exception_message"]
            )
            form = aiohttp.FormData()
            form.add_field("image", b"x" * 1001, filename="x.png")
            async with session.post(f"{server.url}/upload/image", data=form) as answer:
                assert answer.status == 413
            for color in range(4):
                await post(session, server.url, flat(color), "me")
                await kinds(socket)
            async with session.get(f"{server.url}/history") as answer:
                assert len(await answer.json()) == 2

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:5", "Origin": "http://localhost:5"}, 200),
        ({"Host": "localhost:5", "Origin": "http://127.0.0.1:5"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/prompt", "/ws"])
def test_other_sites_are_refused(headers: dict[str, str], status: int, path: str) -> None:
    async def main() -> None:
        async with EmbeddedServer() as server, aiohttp.ClientSession() as session:
            if path == "/prompt":
                async with session.get(server.url + path, headers=headers) as answer:
                    assert answer.status == status
            elif status == 200:
                async with session.ws_connect(server.url + path, headers=headers):
                    pass
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(server.url + path, headers=headers)
                assert refused.value.status == status

    run(main())


def test_a_large_picture_passes_and_deflate_is_the_clients_choice() -> None:
    async def main() -> None:
        async with EmbeddedServer() as server, aiohttp.ClientSession() as session:
            for offered in (0, 15):
                async with session.ws_connect(
                    f"{server.url}/ws?clientId=me", max_msg_size=0, compress=offered
                ) as socket:
                    assert socket.compress == offered
                    graph = flat(offered, 512)
                    graph["2"] = {
                        "class_type": "ImageAddNoise",
                        "inputs": {"image": ["1", 0], "seed": 1, "strength": 1.0},
                    }
                    graph["9"]["inputs"]["images"] = ["2", 0]
                    await post(session, server.url, graph, "me")
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.BINARY:
                            assert len(message.data) > 500_000
                            break

    run(main())


def test_rests_when_there_is_nothing_to_do() -> None:
    async def main() -> None:
        hold = threading.Event()
        reached = threading.Event()

        def before_node(prompt_id: str, node_id: str) -> None:
            reached.set()
            hold.wait(PATIENCE_S)

        async with EmbeddedServer(before_node=before_node) as server, aiohttp.ClientSession() as session:
            await until(lambda: server.resting)
            await post(session, server.url, flat(), None)
            await until(reached.is_set)
            assert not server.resting
            hold.set()
            await until(lambda: server.resting)

    run(main())
