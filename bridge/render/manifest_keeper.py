"""When the manifest is written: right after a frame, unless the last time was a moment ago."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bridge.render.manifest import Manifest


class ManifestKeeper:
    """Writes the manifest after a frame, but at most once a second; what was left out is written a little later."""

    EVERY_S: Final = 1.0

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._written_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self.error: OSError | None = None

    def changed(self) -> None:
        """A frame was recorded."""
        if self._later is not None or self._writing is not None:
            if self._later is None:
                self._later = asyncio.get_running_loop().call_later(self.EVERY_S, self._now)
            return
        wait = self._written_at + self.EVERY_S - time.monotonic()
        if wait > 0:
            self._later = asyncio.get_running_loop().call_later(wait, self._now)
        else:
            self._now()

    def _now(self) -> None:
        self._later = None
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        else:
            self._later = asyncio.get_running_loop().call_later(self.EVERY_S, self._now)

    async def _write(self) -> None:
        try:
            began = time.monotonic()
            await asyncio.to_thread(self._manifest.write, self._manifest.document())
            # One that takes long, of a hundred thousand frames, is written less often.
            self._written_at = time.monotonic() + 10 * (time.monotonic() - began)
        except OSError as error:
            self.error = error
        finally:
            self._writing = None

    async def close(self, state: str) -> None:
        """Write it for the last time. Raises OSError."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._writing is not None:
            await self._writing
        self._manifest.state = state
        await asyncio.to_thread(self._manifest.write, self._manifest.document())
