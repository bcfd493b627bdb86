"""A bridge to work by: the one that is named, the one that runs, or a private one for as long as it is needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.app.config.config import BackendConfig, Config, parse_listen, reached_at
from bridge.app.http_question import ASK_WITHIN_S, ask_backends
from bridge.app.pool.backends import find_comfy
from bridge.app.serve import UP_WITHIN_S, Server, make_library
from bridge.cli.own_bridge import connect_bridge
from bridge.client import Client, Event
from bridge.embedded import NODE_TYPES
from bridge.errors import BackendError, BridgeError, ConfigError, DecodeError, ErrorCode


@dataclass(frozen=True, slots=True)
class FoundBridge:
    """A connected bridge. `where` says for people who makes the pictures; `own` is a private one."""

    client: Client
    where: str
    own: Server | None = None
    is_configured: bool = False
    """True for the one that runs at the configured addresses."""


@asynccontextmanager
async def any_bridge(
    workflow: str,
    config: Config,
    name: str,
    *,
    private: bool,
    to: str = "",
    timeout_s: float = UP_WITHIN_S,
    least_message_bytes: int = 0,
    log_errors: bool = True,
    on_event: Callable[[Event], None] | None = None,
) -> AsyncIterator[FoundBridge]:
    """Give a bridge that can run `workflow`; `name` is ours. A `private` one ends with the context. `on_event` is told
    of the link to one that runs, see `Client`.

    A private one takes messages of `least_message_bytes`, whatever is configured, and logs what is wrong with
    workflows if it is to.

    Raises:
        ConfigError: a bad address. BridgeError, BackendError: nobody answers there, or no ComfyUI can run it.
        NotAllowedError: the token is refused.
    """
    if to:
        async with await _named(to, name, config, on_event) as client:
            yield FoundBridge(client, f"the bridge at {to}")
        return
    if not private and config.tcp.listen and (running := await running_bridge(config, name, on_event)) is not None:
        async with running as client:
            yield FoundBridge(client, f"the bridge at {config.tcp.listen}", is_configured=True)
        return
    chosen = await choose_backend(workflow, config)
    most = max(chosen.limits.max_message_bytes, least_message_bytes)
    limits = msgspec.structs.replace(chosen.limits, max_message_bytes=most)
    server = Server(msgspec.structs.replace(chosen, limits=limits), log_errors=log_errors)
    await server.start()
    try:
        where = " or ".join(str(backend.info()["url"]) for backend in server.bridge.backends)
        if not await server.wait_for_comfy(min(UP_WITHIN_S, timeout_s)):
            raise BackendError(f"no ComfyUI answers at {where}; is it running?", code=ErrorCode.BACKEND_UNAVAILABLE)
        assert server.addresses.tcp is not None
        async with await Client.connect(server.addresses.tcp, client=name, token=config.link.token or None) as client:
            yield FoundBridge(client, "the embedded ComfyUI" if server.embedded else where, server)
    finally:
        await server.close()


async def _named(address: str, name: str, config: Config, on_event: Callable[[Event], None] | None) -> Client:
    try:
        return await connect_bridge(address, name, config, on_event=on_event)
    except ValueError as error:
        raise ConfigError(f"--to {address}: {error}") from error
    except OSError as error:  # TimeoutError and LinkLostError too
        raise BridgeError(f"no bridge answers at {address}; `texbridge serve` starts one") from error


async def running_bridge(config: Config, name: str, on_event: Callable[[Event], None] | None = None) -> Client | None:
    """Give a connection to the bridge at the configured address, None if nothing listens there; `name` is ours.
    `on_event` is the client's.

    Raises:
        BridgeError: something listens there that is no bridge. NotAllowedError: it refuses the token.
    """
    host, port = parse_listen(config.tcp.listen, "tcp.listen")
    host = reached_at(host)
    if not port:
        return None
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), ASK_WITHIN_S)
    except (OSError, TimeoutError):
        return None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return await connect_bridge(address, name, config, on_event=on_event)
    except (OSError, DecodeError) as error:  # TimeoutError and LinkLostError are OSErrors
        raise BridgeError(
            f"something listens at {address}, but not as a bridge does ({error}); "
            "name another address in tcp.listen, or a ComfyUI with --comfy URL"
        ) from error


async def choose_backend(workflow: str, config: Config) -> Config:
    """Give the configuration of a private bridge, on whatever ComfyUI can run this workflow.

    Raises:
        BackendError: none can. UnknownNameError, WorkflowError: there is no such workflow, or it is broken.
    """
    needed = make_library(config.workflows.folders, log_errors=False)[0].get(workflow).required_class_types
    private = msgspec.structs.replace(
        config,
        osc=msgspec.structs.replace(config.osc, listen=""),
        link=msgspec.structs.replace(config.link, listen=""),
        http=msgspec.structs.replace(config.http, listen=""),
        tcp=msgspec.structs.replace(config.tcp, listen="127.0.0.1:0"),
        workflows=msgspec.structs.replace(config.workflows, reload=False),
        streams={},
    )
    if config.backend:
        return private
    if not config.embedded.enabled and (url := await find_comfy(config.search.places)) is not None:
        return msgspec.structs.replace(private, backend=(BackendConfig(url=url),))
    missing = sorted(set(needed) - set(NODE_TYPES))
    if missing:
        raise BackendError(
            f"no ComfyUI is running here, and the embedded one has no {', '.join(missing)}; "
            "start ComfyUI, or name one with --comfy URL",
            code=ErrorCode.BACKEND_UNAVAILABLE,
        )
    return msgspec.structs.replace(private, embedded=msgspec.structs.replace(config.embedded, enabled=True))


async def versions(found: FoundBridge, config: Config) -> dict[str, Any]:
    """Give what a bridge and its ComfyUIs are, as far as they tell it, for a record."""
    facts: dict[str, Any] = {"bridge": found.client.welcome.server}
    if found.own is not None:
        facts["comfyui"] = backend_versions([backend.info() for backend in found.own.bridge.backends])
    elif found.is_configured:
        backends = await ask_backends(config)
        facts["comfyui"] = None if backends is None else backend_versions(backends)
    return facts


def backend_versions(backends: list[dict[str, Any]]) -> list[str]:
    """Give what makes the pictures, each kind once: `ComfyUI 0.3.64, texbridge's nodes 0.1.0`."""
    found = set()
    for backend in backends:
        words = f"ComfyUI {backend.get('version') or 'of unknown version'}"
        nodes = backend.get("nodes")
        pack = nodes.get("version") if isinstance(nodes, dict) else None
        found.add(f"{words}, texbridge's nodes {pack}" if pack else words)
    return sorted(found)
