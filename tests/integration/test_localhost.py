"""`localhost` is two addresses: whichever of them listens is found, in whatever order the system names them."""

import asyncio
import contextlib
import socket

import pytest
from app_rig import AppRig
from backend_listener import backend_at

from bridge.client import Client
from bridge.client.transport import Address, open_transport
from bridge.embedded import EmbeddedServer
from bridge.scheduler.events import AttemptEnded

LIMIT_S = 20.0
SIX_FIRST = ("::1", "127.0.0.1")
FOUR_FIRST = ("127.0.0.1", "::1")
REAL = socket.getaddrinfo


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")


@pytest.fixture(params=[SIX_FIRST, FOUR_FIRST], ids=["six first", "four first"])
def order(request, monkeypatch):
    """Both addresses of localhost, in one order or the other, whatever this machine's hosts file says."""

    def getaddrinfo(host, port, *arguments, **options):
        if host not in ("localhost", b"localhost"):
            return REAL(host, port, *arguments, **options)
        return [entry for address in request.param for entry in REAL(address, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return request.param


@contextlib.asynccontextmanager
async def relay(host: str, address: str):
    """Listens at `host` alone and passes everything on to `address`; gives its port."""

    connections = set()

    async def carry(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader, writer):
        connections.add(asyncio.current_task())
        there, _, port = address.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(there, int(port))
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    server = await asyncio.start_server(connected, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*connections)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_the_client_finds_the_one_that_listens(tmp_path, order, host, scheme):
    async def main():
        async with asyncio.timeout(LIMIT_S), AppRig(tmp_path) as rig:
            address = rig.server.addresses.tcp if scheme == "tcp" else rig.server.addresses.link
            async with relay(host, address) as port:
                url = f"localhost:{port}" if scheme == "tcp" else f"ws://localhost:{port}/link"
                if scheme == "ws":  # a Host of another port is nobody the door knows
                    rig.server._links[0]._hosts = frozenset({f"localhost:{port}"})
                async with await Client.connect(url) as client:
                    assert "main" in {stream.name for stream in client.welcome.streams}

    asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_backend_finds_the_one_that_listens(order, host):
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 255}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }

    async def main():
        async with (
            asyncio.timeout(LIMIT_S),
            EmbeddedServer(host=host) as comfy,
            backend_at(f"http://localhost:{comfy.port}") as (backend, listener),
        ):
            backend.submit(1, prompt, {"2": 0})
            assert await listener.end_of(1) == AttemptEnded(1)

    asyncio.run(main())


class Nobody:
    """Takes what comes, and does nothing with it."""

    def message(self, data):
        pass

    def ended(self, error):
        pass


def test_the_next_address_is_tried_while_one_is_still_silent(order, monkeypatch):
    """Windows takes two seconds to find that a loopback port refuses: nobody waits for that."""
    silent, listens = order
    if listens == "::1" and not has_ipv6():
        pytest.skip("no IPv6 loopback here")

    async def main():
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def sock_connect(sock, address):
            if address[0] == silent:
                await loop.create_future()  # no answer, ever
            await connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), listens, 0)
        try:
            async with asyncio.timeout(LIMIT_S):
                address = Address("localhost", server.sockets[0].getsockname()[1])
                transport = await open_transport(address, Nobody(), 1 << 20)
            await transport.close()
        finally:
            server.close()

    asyncio.run(main())
