"""The backends that the app holds, by name."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Iterator, Mapping

from bridge.backends.comfy import ComfyBackend
from bridge.backends.records import BackendRecord, ComfyLimits
from bridge.backends.transfer import Transfer
from bridge.errors import ConfigError
from bridge.scheduler.events import BackendRemoved


class BackendPool:
    """A set of ComfyUIs under names. All report to the one `on_event`.

    `upload_tag` begins our files' names there, which are other ones at each: several ComfyUIs that are started from one
    folder read their pictures from one place.
    """

    def __init__(self, on_event: Callable[[BackendRecord], None], upload_tag: str = "") -> None:
        self._on_event = on_event
        self._upload_tag = upload_tag
        self._backends: dict[str, ComfyBackend] = {}
        self._started = False

    def __len__(self) -> int:
        return len(self._backends)

    def __iter__(self) -> Iterator[ComfyBackend]:
        return iter(list(self._backends.values()))

    def add(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: ComfyLimits | None = None,
        tls: ssl.SSLContext | None = None,
        transfer: Transfer | None = None,
    ) -> ComfyBackend:
        """Take a ComfyUI in, and start it if the pool has started.

        Raises:
            ConfigError: the name is taken, or the address is bad.
        """
        if name in self._backends:
            raise ConfigError(f"backend name {name!r} is used twice")
        backend = ComfyBackend(
            name,
            url,
            headers=headers,
            on_event=self._on_event,
            limits=limits,
            tls=tls,
            transfer=transfer,
            upload_tag=self._tag_of(name),
        )
        self._backends[name] = backend
        if self._started:
            backend.start()
        return backend

    def _tag_of(self, name: str) -> str:
        return self._upload_tag and f"{self._upload_tag}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"

    def get(self, name: str) -> ComfyBackend | None:
        """The backend of this name."""
        return self._backends.get(name)

    def start(self) -> None:
        """Begin to connect to all."""
        self._started = True
        for backend in self:
            backend.start()

    async def remove(self, name: str) -> None:
        """Close one and forget it; BackendRemoved is the last that is heard of it. Unknown names are ignored."""
        backend = self._backends.pop(name, None)
        if backend is not None:
            await backend.close()
            self._on_event(BackendRemoved(name))

    async def close(self) -> None:
        """Close all, at the same time."""
        self._started = False
        await asyncio.gather(*(backend.close() for backend in self))
