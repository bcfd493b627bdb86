"""The way to one ComfyUI: what HTTP tells of the server, and a socket that is read all the time."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable
from typing import Any

from bridge.backends.address import ComfyAddress
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.comfy_socket import ComfySocket, SocketOpener
from bridge.backends.records import ComfyLimits, Counts
from bridge.codec.comfy_events import ComfyEvent, FeatureFlags, decode_binary, decode_text
from bridge.codec.node_events import NODE_EVENT, NodeEvent
from bridge.errors import ComfyEventDecodeError

_NODE_EVENT = NODE_EVENT.to_bytes(4, "big")


class Connection:
    """At most one open socket, a new client id for each. `on_event(event, at)` gets what comes, decoded, at once."""

    def __init__(
        self,
        http: ComfyHttp,
        address: ComfyAddress,
        limits: ComfyLimits,
        counts: Counts,
        on_event: Callable[[ComfyEvent, float], None],
        opener: SocketOpener,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.object_info: bytes | None = None
        self.features: dict[str, Any] = {}
        self.stats: dict[str, Any] = {}
        self._http = http
        self._address = address
        self._limits = limits
        self._counts = counts
        self._on_event = on_event
        self._opener = opener
        self._tls = tls
        self.on_broken_picture: Callable[[str], None] | None = None
        """Told why a picture of the node pack can't be read."""
        self.on_arrival: Callable[[int, float, int, float], None] | None = None
        """Called with a node's picture: bytes of its message, seconds that it took to read, its bytes if raw, and
        seconds since the message before it."""
        self._flags_came = asyncio.Event()
        self._open: tuple[ComfySocket, asyncio.Task[str]] | None = None

    @property
    def socket(self) -> ComfySocket:
        """The open socket."""
        assert self._open is not None
        return self._open[0]

    @property
    def reader(self) -> asyncio.Task[str]:
        """Reads the open socket; its result says why the socket ended."""
        assert self._open is not None
        return self._open[1]

    async def learn(self) -> None:
        """Read what the server has: it may be another one than before. Raises BackendError."""
        self._http.forget_features()
        self.stats = await self._http.facts("/system_stats")
        self.features = await self._http.facts("/features")
        self.object_info = await self._http.object_info()

    async def open(self) -> str:
        """Open a socket under a fresh client id, which is the result. Raises BackendError."""
        client_id = uuid.uuid4().hex
        self._flags_came.clear()
        socket = await self._opener(
            self._address.socket(client_id),
            self._address.headers,
            open_timeout_s=self._limits.open_timeout_s,
            max_message_bytes=self._limits.max_message_bytes,
            tls=self._tls,
        )
        self._open = socket, asyncio.get_running_loop().create_task(socket.read(self._on_message))
        if self.features:
            # Until the server has read our flags it sends pictures without names.
            try:
                async with asyncio.timeout(self._limits.flags_timeout_s):
                    await self._flags_came.wait()
            except TimeoutError:
                pass
        self._counts.connects += 1
        return client_id

    async def close(self) -> None:
        """End the socket, if one is open."""
        if self._open is not None:
            (socket, reader), self._open = self._open, None
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await socket.close()

    def describe(self) -> dict[str, Any]:
        """Version, devices and features, for people."""
        system, devices = self.stats.get("system"), self.stats.get("devices")
        found = devices if isinstance(devices, list) else []
        return {
            "version": system.get("comfyui_version") if isinstance(system, dict) else None,
            "devices": [device.get("name") for device in found if isinstance(device, dict)],
            "features": self.features,
        }

    @property
    def has_preview_method(self) -> bool:
        """Whether ComfyUI was started with a word about previews, which then holds."""
        system = self.stats.get("system")
        arguments = system.get("argv") if isinstance(system, dict) else None
        return isinstance(arguments, list) and any(str(word).startswith("--preview-method") for word in arguments)

    def _on_message(self, message: str | bytes | bytearray | memoryview) -> None:
        try:
            event = decode_text(message) if isinstance(message, str) else decode_binary(message)
        except ComfyEventDecodeError as error:
            self._counts.undecodable += 1
            if (
                not isinstance(message, str)
                and bytes(message[:4]) == _NODE_EVENT
                and self.on_broken_picture is not None
            ):
                self.on_broken_picture(error.message)
            return
        if isinstance(event, FeatureFlags):
            self._flags_came.set()
        else:
            if isinstance(event, NodeEvent) and self.on_arrival is not None and self._open is not None:
                raw_bytes = event.width * event.height * event.channels
                socket = self._open[0]
                self.on_arrival(len(message), socket.arrival_s, raw_bytes, socket.since_last_s)
            self._on_event(event, time.perf_counter())
