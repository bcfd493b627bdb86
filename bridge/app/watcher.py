"""What a hub hears of streams, to tell its clients."""

from __future__ import annotations

from typing import Protocol

from bridge.errors import BackendError
from bridge.streams.stream import Stream


class Watcher(Protocol):
    """A hub that hears of changes, to tell its clients."""

    def values_changed(self, stream: Stream, names: tuple[str, ...], source: object) -> None:
        """Parameters have other values now; `source` is who set them (a session's id, an OSC sender)."""
        ...

    def control_changed(self, stream: Stream, name: str, source: object) -> None:
        """`seed`, `size` or `workflow` of a stream is another one now; `source` as above."""
        ...

    def stream_changed(self, stream: Stream) -> None:
        """A stream has another workflow or state, or is new."""
        ...

    def stream_trouble(self, stream: Stream, error: BackendError) -> None:
        """A stream has a workflow that no ComfyUI that is up can run."""
        ...

    def stream_closed(self, stream: Stream) -> None:
        """A stream is gone."""
        ...
