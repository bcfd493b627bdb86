"""The ComfyUIs that the bridge uses: those of the configuration, one that is found, those that come at run time."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import aiohttp
import msgspec

from bridge.app.bridge import Bridge
from bridge.app.config.config import BackendConfig, Config
from bridge.app.http_question import ASK_WITHIN_S
from bridge.app.pool.headers import headers_for, trust
from bridge.app.pool.node_types import NodeTypes
from bridge.app.pool.places import Places
from bridge.backends.address import ComfyAddress, parse_address
from bridge.backends.address_ranges import MAX_ADDRESSES, expand_addresses
from bridge.backends.comfy import ComfyBackend
from bridge.backends.records import ComfyLimits, remote_limits
from bridge.backends.transfer import Transfer, TransferMode
from bridge.errors import BackendError, ConfigError, ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.scheduler.state import Place

logger = logging.getLogger("bridge.app")

LOOK_EVERY_S: Final = 1.0
REMIND_EVERY_S: Final = 60.0
BACKEND_FACTS: Final = (
    "name",
    "url",
    "state",
    "version",
    "devices",
    "round_trip_ms",
    "transfer",
    "nodes",
    "warning",
)


class BackendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /admin/backends` carries. Nothing in it is a path or a variable of the bridge's machine."""

    url: str
    name: str = ""
    headers: dict[str, str] = {}
    ca: str = ""
    remote: bool | None = None
    transfer: Literal["auto", "raw", "jpeg", "webp", "png"] = "auto"
    replace: bool = False

    def __repr__(self) -> str:
        return f"BackendRequest(name={self.name!r})"


class Backends:
    """Adds, finds, shows, drains and removes ComfyUIs. One change at a time."""

    def __init__(self, bridge: Bridge, config: Config, places: Places, node_types: NodeTypes) -> None:
        self._bridge = bridge
        self._config = config
        self._places = places
        self._node_types = node_types
        self._change = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()

    def add(self, backend: BackendConfig) -> ComfyBackend:
        """Take in a ComfyUI of the configuration, and say what was understood of its address.

        Raises:
            ConfigError: bad address, header, file or certificate, or the name is taken.
        """
        headers = headers_for(backend.url, backend.headers, backend.headers_file)
        return self._take(backend, headers, trust(file=backend.ca_file))

    def _take(self, backend: BackendConfig, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> ComfyBackend:
        address = parse_address(backend.url, headers)
        far = address.is_remote if backend.remote is None else backend.remote
        added = self._bridge.backends.add(
            backend.name or address.place,
            backend.url,
            headers=headers,
            limits=self._limits(address, backend),
            tls=tls,
            transfer=Transfer(TransferMode(backend.transfer), far=far, quality=backend.transfer_quality),
        )
        if address.notes:
            logger.info("backend %s is at %s: %s", added.name, address.http, "; ".join(address.notes))
        return added

    def _limits(self, address: ComfyAddress, backend: BackendConfig) -> ComfyLimits:
        """The times for a ComfyUI there: near or far, with what the configuration says of it."""
        limits = ComfyLimits(doubt_timeout_s=self._config.scheduler.doubt_timeout_s)
        if address.is_remote if backend.remote is None else backend.remote:
            limits = remote_limits(limits)
        if backend.ping_interval_s is not None:
            limits = replace(limits, ping_interval_s=backend.ping_interval_s)
        if backend.pong_timeout_s is not None:
            limits = replace(limits, pong_timeout_s=backend.pong_timeout_s)
        return limits

    async def search(self) -> None:
        """Look at the usual places until a ComfyUI answers, or one is added; say from time to time what to do."""
        loop = asyncio.get_running_loop()
        remind_at = loop.time()
        places = self._config.search.places
        while (url := await find_comfy(places)) is None and not len(self._bridge.backends):
            if loop.time() >= remind_at:
                logger.warning("%s", no_comfy(places))
                remind_at = loop.time() + REMIND_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
        if url is not None and not len(self._bridge.backends):
            logger.info("found ComfyUI at %s", url)
            self.add(BackendConfig(url=url))

    # --- at run time ---------------------------------------------------------------------------------------

    def backends(self) -> list[dict[str, Any]]:
        """Give what is known of each ComfyUI, as JSON values without secrets."""
        return [self._told(backend) for backend in self._bridge.backends]

    async def add_backend(self, body: bytes) -> dict[str, Any]:
        """Add a ComfyUI as `body`, the JSON of a `BackendRequest`, says; give what is known of it, with `notes`.

        Raises:
            InvalidValueError: the JSON, address, header or certificate is bad, or the name or address is there
                already and `replace` is not set.
            NotAllowedError: there are too many.
        """
        try:
            request = msgspec.json.decode(body, type=BackendRequest)
        except (msgspec.MsgspecError, RecursionError) as error:
            words = str(error).replace("`", "").replace("$.", "")[:200]
            raise InvalidValueError(f"the request can't be read: {words}", code=ErrorCode.BAD_TEXT) from None
        return await self._changed(self._add(request))

    async def remove_backend(self, name: str) -> dict[str, Any]:
        """Remove a ComfyUI; what runs there is asked elsewhere, or fails. Give what was known of it.

        Raises:
            UnknownNameError: there is none of this name.
        """
        return await self._changed(self._remove(name))

    def drain_backend(self, name: str, on: bool) -> dict[str, Any]:
        """Give a ComfyUI nothing new, or prompts again; what it has it ends. Give what is known of it.

        Raises:
            UnknownNameError: there is none of this name.
        """
        backend = self._named(name)
        if self._bridge.drains.switch(name, on):
            logger.info("backend %s %s", name, "is drained" if on else "takes prompts again")
        return self._told(backend)

    async def refresh_backend(self, name: str) -> dict[str, Any]:
        """Ask a ComfyUI anew which nodes and model files it has; give what is known of it, with `changed`.

        Raises:
            UnknownNameError: there is none of this name. BackendError: it is not up, or doesn't answer.
        """
        backend = self._named(name)
        if name not in self._bridge.backends_up:
            words = f"backend {name!r} is not up: it is asked when it comes"
            raise BackendError(words, code=ErrorCode.BACKEND_UNAVAILABLE)
        changed = await self._node_types.refresh(backend)
        return {**self._told(backend), "changed": changed}

    async def _changed(self, change: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        """A change goes through to its end, even if who asked for it has gone."""
        task: asyncio.Task[dict[str, Any]] = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _add(self, request: BackendRequest) -> dict[str, Any]:
        async with self._change:
            try:
                if len(expand_addresses(request.url)) > 1:
                    raise ConfigError("one address a request; `texbridge backends add` sends several of them")
                address = parse_address(request.url, request.headers)
                name = request.name or address.place
                if not 0 < len(name) <= 200 or not name.isprintable():
                    raise ConfigError("a backend's name has 1 to 200 printable characters")
                tls = trust(text=request.ca)
                twin = next((one for one in self._bridge.backends if one.address.http == address.http), None)
                old = self._bridge.backends.get(name)
                if old is not None and not request.replace:
                    raise ConfigError(f"there is a backend {name!r} already: --replace takes its place, --name another")
                if twin is not None and twin is not old:
                    raise ConfigError(
                        f"{address.http} is there already, as {twin.name!r}: --name {twin.name} --replace gives it"
                        " other keys"
                    )
                if old is None and len(self._bridge.backends) >= MAX_ADDRESSES:
                    raise NotAllowedError(f"there are {MAX_ADDRESSES} backends, the limit; remove one")
                if old is not None:
                    await self._close(name)
                config = BackendConfig(url=request.url, name=name, remote=request.remote, transfer=request.transfer)
                added = self._take(config, request.headers, tls)
            except ConfigError as error:
                raise InvalidValueError(error.message, code=ErrorCode.BAD_TEXT) from None
        return {**self._told(added), "notes": list(added.address.notes)}

    async def _remove(self, name: str) -> dict[str, Any]:
        async with self._change:
            told = self._told(self._named(name))
            await self._close(name)
            logger.info("backend %s is removed", name)
        return told

    async def _close(self, name: str) -> None:
        await self._bridge.backends.remove(name)
        self._bridge.drains.forget(name)

    def _named(self, name: str) -> ComfyBackend:
        backend = self._bridge.backends.get(name)
        if backend is None:
            names = ", ".join(repr(one.name) for one in self._bridge.backends)
            raise UnknownNameError(
                f"no backend {name[:200]!r}; there are: {names or 'none'}", code=ErrorCode.UNKNOWN_ADDRESS
            )
        return backend

    def _told(self, backend: ComfyBackend) -> dict[str, Any]:
        info, now = backend.info(), self._bridge.clock()
        place = self._bridge.scheduler.place(backend.name, now)
        told = {key: info[key] for key in BACKEND_FACTS}
        return {
            **told,
            "drained": backend.name in self._bridge.drains,
            "lacks": self._places.lacking(backend.name),
            **work(place, info["attempts"], now),
        }

    async def close(self) -> None:
        """Let changes that are under way end."""
        if self._changes:
            await asyncio.wait(list(self._changes))


def work(place: Place | None, posted: int, now: float) -> dict[str, Any]:
    """Give what the scheduler knows of a ComfyUI, as JSON; `posted` prompts are there by the backend's own count."""
    if place is None:
        return {"prompts": posted, "broken_s": None, "done": 0, "failed": 0, "lost": 0, "durations_ms": {}}
    return {
        "prompts": max(posted, place.running + place.waiting),
        "broken_s": None if place.broken_until is None else round(max(0.0, place.broken_until - now), 1),
        "done": place.done,
        "failed": place.failed,
        "lost": place.lost,
        "durations_ms": {key_words(key): round(seconds * 1000, 1) for key, seconds in place.durations.items()},
    }


def key_words(key: object) -> str:
    """Give workflow and size of a stream's cost key, `gradient 512x512`."""
    match key:
        case (str() as workflow, (int() as width, int() as height)):
            return f"{workflow} {width}x{height}"
        case (str() as workflow, _):
            return workflow
    return str(key)


async def find_comfy(places: tuple[str, ...]) -> str | None:
    """Give the first of these base URLs at which a ComfyUI answers, or None. Takes ASK_WITHIN_S for each at most."""
    timeout = aiohttp.ClientTimeout(total=ASK_WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for url in places:
            try:
                async with session.get(f"{url.rstrip('/')}/prompt") as answer:
                    told = await answer.json(content_type=None)
                    if answer.status == 200 and isinstance(told, dict) and "exec_info" in told:
                        return url
            except (aiohttp.ClientError, TimeoutError, ValueError, UnicodeDecodeError):
                continue
    return None


def no_comfy(places: tuple[str, ...]) -> str:
    """Give the message that says where ComfyUI was looked for, and what to do."""
    where = f"no ComfyUI at {' or '.join(places)}" if places else "no ComfyUI is named"
    return f"{where}: start it, name it with --comfy URL, or try without one with --embedded"
