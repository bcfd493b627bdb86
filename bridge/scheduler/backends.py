"""What happens to backends: up, doubted, down, removed, drained, mute."""

from __future__ import annotations

from math import inf

from bridge.scheduler.attempts import AttemptEvents
from bridge.scheduler.estimates import Estimates
from bridge.scheduler.events import BackendDown, BackendMuted, BackendRemoved
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Backend


class BackendEvents:
    """Opens and shuts the ledger's backends; what was at one that is gone is lost."""

    def __init__(self, ledger: Ledger, attempts: AttemptEvents) -> None:
        self._ledger = ledger
        self._attempts = attempts

    def up(self, name: str) -> None:
        """A backend takes prompts, unless it is drained; one that is not known yet is one more."""
        backend = self._known(name)
        backend.open, backend.doubted_at = True, inf

    def doubted(self, name: str, now: float) -> None:
        """A backend may be gone: nothing more is submitted there, and what it has may have to go elsewhere."""
        backend = self.shut(name)
        if backend is not None:
            backend.doubted_at = min(backend.doubted_at, now)

    def shut(self, name: str) -> Backend | None:
        """Submit nothing more at a backend until it is up again."""
        backend = self._ledger.backends.get(name)
        if backend is not None:
            backend.open = False
        return backend

    def drained(self, name: str, drained: bool) -> None:
        """An operator wants a backend empty, or wants it back; one that is not there yet is when it comes."""
        self._known(name).drained = drained

    def muted(self, event: BackendMuted) -> None:
        """A backend's socket tells nothing, or speaks again."""
        backend = self._ledger.backends.get(event.backend)
        if backend is not None:
            backend.mute = event.mute

    def down(self, event: BackendDown | BackendRemoved, now: float) -> None:
        """A backend is gone, for now or for good, and every prompt there with it."""
        ledger, backend = self._ledger, self.shut(event.backend)
        if backend is None:
            return
        if any(prompt.started_at is not None and not prompt.withdrawn for prompt in backend.prompts):
            backend.breaker.failed(None, now)  # once, however many it had
        backend.recent = ()
        backend.costs.clear()
        backend.mute = False
        backend.doubted_at = inf
        for attempt in list(backend.prompts):
            self._attempts.lost(attempt.number, now, with_backend=True)
        if isinstance(event, BackendRemoved):
            ledger.backends.pop(event.backend, None)
            ledger.failures.forget(event.backend)
            if not ledger.backends:
                ledger.known = Estimates()

    def _known(self, name: str) -> Backend:
        return self._ledger.backends.setdefault(name, Backend(name))
