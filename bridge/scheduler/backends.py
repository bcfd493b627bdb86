"""What happens to backends: up, doubted, down, removed."""

from __future__ import annotations

from bridge.scheduler.attempts import AttemptEvents
from bridge.scheduler.events import BackendDown, BackendRemoved
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Backend


class BackendEvents:
    """Opens and shuts the ledger's backends; what was at one that is gone is lost."""

    def __init__(self, ledger: Ledger, attempts: AttemptEvents) -> None:
        self._ledger = ledger
        self._attempts = attempts

    def up(self, name: str) -> None:
        """A backend takes prompts; one that is not known yet is one more."""
        self._ledger.backends.setdefault(name, Backend(name)).open = True

    def shut(self, name: str) -> Backend | None:
        """Submit nothing more at a backend until it is up again."""
        backend = self._ledger.backends.get(name)
        if backend is not None:
            backend.open = False
        return backend

    def down(self, event: BackendDown | BackendRemoved, now: float) -> None:
        """A backend is gone, for now or for good, and every prompt there with it."""
        backend = self.shut(event.backend)
        for attempt in [] if backend is None else list(backend.prompts):
            self._attempts.lost(attempt.number, now)
        if isinstance(event, BackendRemoved):
            self._ledger.backends.pop(event.backend, None)
