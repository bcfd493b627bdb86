"""A whole bridge for tests: the real `Server` with the embedded backend, all doors at ports of their own choice."""

import asyncio
import contextlib

from fault_proxy import FaultProxy
from threaded import Threaded

from bridge.app.config.config import load_config
from bridge.app.serve import Server

LIMIT_S = 60.0


def bridge_config(**sections):
    """The configuration with every port 0; `sections` are merged over it."""
    anywhere = {"listen": "127.0.0.1:0"}
    tree = {"embedded": {"enabled": True}, "workflows": {"reload": False}}
    tree |= {name: dict(anywhere) for name in ("osc", "link", "tcp", "http")}
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, dict) else section
    return load_config(None, {}, tree)


class BridgeRig:
    """`async with BridgeRig() as rig`: a running server, and its addresses as a client takes them."""

    def __init__(self, **sections):
        self.server = Server(bridge_config(**sections))

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        await self.server.close()

    def address(self, kind):
        if kind == "tcp":
            return self.server.addresses.tcp
        return f"ws://{self.server.addresses.link}/link"

    def port(self, kind):
        listens = self.server.addresses.tcp if kind == "tcp" else self.server.addresses.link
        return int(listens.rpartition(":")[2])


@contextlib.asynccontextmanager
async def bridge_behind_proxy(kind, **sections):
    """Give a running bridge, the proxy before its door of this kind, and the proxy's address for a client."""
    async with FaultProxy(0) as proxy:
        # WebSocket's Host header names the proxy.
        sections["link"] = {"hosts": [f"127.0.0.1:{proxy.port}"], **sections.get("link", {})}
        async with BridgeRig(**sections) as rig:
            proxy.aim(rig.port(kind))
            address = f"127.0.0.1:{proxy.port}" if kind == "tcp" else f"ws://127.0.0.1:{proxy.port}"
            yield rig, proxy, address


class ThreadedBridge(Threaded):
    """`with ThreadedBridge() as rig`: the same in a thread, for clients that block."""

    def __init__(self, **sections):
        super().__init__(lambda: BridgeRig(**sections))


def run(test):
    """Run an async test with a limit on the whole of it."""

    async def limited():
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(limited())
