"""A bridge to work by: the one that is named, the one that runs, or a private one for as long as it is needed."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from bridge.app.config import Config
from bridge.app.serve import UP_WITHIN_S, Server
from bridge.cli.own_bridge import connect_bridge
from bridge.cli.run import choose_backend, running_bridge
from bridge.client import Client
from bridge.errors import BackendError, BridgeError, ConfigError, ErrorCode

NAME: Final = "texbridge render"
HEALTH_S: Final = 2.0
PICTURE_BYTES: Final = 256 * 1024 * 1024


@dataclass(slots=True)
class FoundBridge:
    """A connected bridge: who makes the pictures, for people, and what with, for a record."""

    client: Client
    where: str
    versions: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def bridge_for(workflow: str, options: argparse.Namespace, config: Config) -> AsyncIterator[FoundBridge]:
    """Give a bridge that can run `workflow`; a private one ends with the context.

    `options` has `to`, `comfy`, `workflows`, `embedded` and `timeout`. Raises:
        ConfigError: a bad address. BridgeError, BackendError: nobody answers there, or no ComfyUI can run it.
        NotAllowedError: the token is refused.
    """
    if options.to:
        async with await _named(options.to, config) as client:
            yield FoundBridge(client, f"the bridge at {options.to}", {"bridge": client.welcome.server})
        return
    private = bool(options.comfy or options.workflows or options.embedded)
    if not private and config.tcp.listen and (running := await running_bridge(config, NAME)) is not None:
        async with running as client:
            versions = {"bridge": client.welcome.server, "comfyui": await _told_backends(config)}
            yield FoundBridge(client, f"the bridge at {config.tcp.listen}", versions)
        return
    chosen = await choose_backend(workflow, config)
    # A private bridge takes pictures that no engine would send: 4K of floats has 33 MB.
    most = max(chosen.limits.max_message_bytes, PICTURE_BYTES)
    limits = msgspec.structs.replace(chosen.limits, max_message_bytes=most)
    server = Server(msgspec.structs.replace(chosen, limits=limits), log_errors=False)
    await server.start()
    try:
        where = " or ".join(str(backend.info()["url"]) for backend in server.bridge.backends)
        if not await server.wait_for_comfy(min(UP_WITHIN_S, options.timeout)):
            raise BackendError(f"no ComfyUI answers at {where}; is it running?", code=ErrorCode.BACKEND_UNAVAILABLE)
        assert server.addresses.tcp is not None
        async with await Client.connect(server.addresses.tcp, client=NAME, token=config.link.token or None) as client:
            comfyui = backend_versions([backend.info() for backend in server.bridge.backends])
            name = "the embedded ComfyUI" if server.embedded else where
            yield FoundBridge(client, name, {"bridge": client.welcome.server, "comfyui": comfyui})
    finally:
        await server.close()


async def _named(address: str, config: Config) -> Client:
    try:
        return await connect_bridge(address, NAME, config)
    except ValueError as error:
        raise ConfigError(f"--to {address}: {error}") from error
    except OSError as error:  # TimeoutError and LinkLostError too
        raise BridgeError(f"no bridge answers at {address}; `texbridge serve` starts one") from error


def backend_versions(backends: list[dict[str, Any]]) -> list[str]:
    """Give what makes the pictures, each kind once: `ComfyUI 0.3.64, texbridge's nodes 0.1.0`."""
    found = set()
    for backend in backends:
        words = f"ComfyUI {backend.get('version') or 'of unknown version'}"
        nodes = backend.get("nodes")
        pack = nodes.get("version") if isinstance(nodes, dict) else None
        found.add(f"{words}, texbridge's nodes {pack}" if pack else words)
    return sorted(found)


async def _told_backends(config: Config) -> list[str] | None:
    """What the running bridge's ComfyUIs are, as its HTTP door tells it; None where that can't be had."""
    host, _, port = config.http.listen.rpartition(":")
    if not port.isdecimal() or port == "0":
        return None
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    headers = {"Authorization": f"Bearer {config.link.token}"} if config.link.token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEALTH_S)) as session,
            session.get(f"http://{host}:{port}/healthz", headers=headers) as answer,
        ):
            told = msgspec.json.decode(await answer.read())
        return backend_versions([backend for backend in told["backends"] if isinstance(backend, dict)])
    except (aiohttp.ClientError, OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
