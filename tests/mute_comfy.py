"""Makes an embedded ComfyUI mute, as users saw real ones after days: it runs prompts, and its sockets tell nothing.

The sockets stay open, answer pings and greet newcomers; HTTP works as ever.
"""

from typing import Any

from bridge.embedded import EmbeddedServer


class Mute:
    """Drops what the server would send over its sockets while `on`."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.on = False
        self.dropped = 0
        self._put = server._sockets._put
        server._sockets._put = self._put_or_drop  # type: ignore[method-assign]

    def _put_or_drop(self, message: str | bytes, client_id: str | None, waits: bool) -> None:
        if self.on:
            self.dropped += 1
        else:
            self._put(message, client_id, waits)


def quicken(monkeypatch: Any, limits: Any) -> None:
    """Let the bridge's own backends keep to `limits`, so that a test needs seconds where a show has minutes."""
    monkeypatch.setattr("bridge.app.pool.backends.ComfyLimits", lambda **_: limits)
