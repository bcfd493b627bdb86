"""Which ComfyUIs an operator wants empty: they end what they have and get nothing new."""

from __future__ import annotations

from collections.abc import Callable, Set

from bridge.scheduler.events import BackendDrained, BackendKept


class Drains:
    """`tell` gives the scheduler an event, `changed` is called when a ComfyUI was drained or is not any more."""

    def __init__(self, tell: Callable[[BackendDrained | BackendKept], None], changed: Callable[[], None]) -> None:
        self._tell = tell
        self._changed = changed
        self._names: set[str] = set()

    def __contains__(self, backend: str) -> bool:
        return backend in self._names

    def without(self, backends: Set[str]) -> set[str]:
        """Those of the given ones that are not drained."""
        return set(backends - self._names)

    def switch(self, backend: str, on: bool) -> bool:
        """Drain one, or let it take prompts again; False if it is that way already."""
        if on == (backend in self._names):
            return False
        (self._names.add if on else self._names.discard)(backend)
        self._tell(BackendDrained(backend) if on else BackendKept(backend))
        self._changed()
        return True

    def forget(self, backend: str) -> None:
        """It is no more; another one of its name is another."""
        self._names.discard(backend)
