"""No socket holds a small message back for the one before it to be acknowledged (Nagle's algorithm), on any loop.

A request behind an ack would wait for the peer's delayed acknowledgement, 40 ms on Linux: several pictures.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp import web
from link_rig import LIMIT_S, Rig
from websockets.asyncio.server import serve

from bridge.backends.address import ComfyAddress
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.comfy_socket import WebsocketsSocket, open_socket
from bridge.backends.records import ComfyLimits


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    """`asyncio.run` on each loop that a bridge may run on."""
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test, LIMIT_S))

    return run


def sends_at_once(transport: Any) -> bool:
    return bool(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_the_doors_of_the_engine_link(run: Any, kind: str) -> None:
    async def test() -> None:
        async with Rig(kind) as rig:
            await rig.connect()
            assert sends_at_once(rig.hub.connections[0]._transport)

    run(test())


def test_the_websocket_to_comfyui(run: Any) -> None:
    async def test() -> None:
        async with serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            comfy = await open_socket(
                f"ws://127.0.0.1:{port}/ws?clientId=a", {}, open_timeout_s=5.0, max_message_bytes=1000, tls=None
            )
            assert isinstance(comfy, WebsocketsSocket)
            assert sends_at_once(comfy._connection.transport)
            await comfy.close()

    run(test())


def test_prompts_to_comfyui(run: Any) -> None:
    async def test() -> None:
        async def post(request: web.Request) -> web.Response:
            return web.json_response({"prompt_id": "p", "number": 1, "node_errors": {}})

        app = web.Application()
        app.router.add_post("/prompt", post)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            address = ComfyAddress(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", {})
            async with ComfyHttp(address, ComfyLimits()) as http:
                await http.post_prompt(b"{}")
                assert http._session is not None
                assert http._session.connector is not None
                kept = [handler for line in http._session.connector._conns.values() for handler, _ in line]
                assert [sends_at_once(handler.transport) for handler in kept] == [True]
        finally:
            await runner.cleanup()

    run(test())
