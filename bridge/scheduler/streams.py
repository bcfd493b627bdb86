"""What happens to streams: settings, values, viewers, their end."""

from __future__ import annotations

from math import inf

from bridge.scheduler import policy
from bridge.scheduler.events import PlacesChanged, StreamConfigured, ViewersChanged
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import NEVER_BOUND, Stream
from bridge.types import Mode, Outcome


class StreamEvents:
    """Brings the ledger's streams up to date; unknown ones are ignored."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def configured(self, event: StreamConfigured, now: float) -> None:
        """A stream is there, or has other settings."""
        stream = self._ledger.streams.get(event.stream)
        if stream is None:
            self._ledger.streams[event.stream] = Stream(event.stream, event, revision=event.revision, dirty_since=now)
            return
        self.values_changed(event.stream, event.revision, now)
        if stream.config.cost_key != event.cost_key or (event.mode is Mode.LIVE and stream.config.mode != Mode.LIVE):
            # Another workflow or size, or live again: the picture there is none of the values there are.
            stream.bound_revision = NEVER_BOUND
            stream.dirty_since = stream.changed_at = now
        if event.max_fps != stream.config.max_fps:
            stream.next_generation = -inf
        stream.config = event

    def viewers_changed(self, event: ViewersChanged, now: float) -> None:
        """Somebody looks, or looks away."""
        stream = self._ledger.streams.get(event.stream)
        if stream is not None:
            if stream.viewers == 0 and event.viewers > 0:
                stream.dirty_since = stream.changed_at = now
            stream.viewers = event.viewers

    def values_changed(self, number: int, revision: int, now: float) -> None:
        """Values moved on; a revision that is not newer changes nothing."""
        stream = self._ledger.streams.get(number)
        if stream is None or revision <= stream.revision:
            return
        if stream.bound_revision == stream.revision:
            stream.dirty_since = now
        stream.revision = revision
        stream.changed_at = now
        if stream.failures:
            # New values may well mend what failed: don't make them wait out a long hold.
            stream.hold_until = min(stream.hold_until, now + policy.FIRST_HOLD_S)

    def places_changed(self, event: PlacesChanged) -> None:
        """Other backends than before have what the workflow needs."""
        stream = self._ledger.streams.get(event.stream)
        if stream is not None:
            stream.unfit = event.unfit

    def closed(self, number: int) -> None:
        """A stream is gone: its requests end `cancelled`."""
        stream = self._ledger.streams.pop(number, None)
        if stream is not None:
            for request in [request for request in stream.requests.values() if request.part_of is None]:
                self._ledger.end_request(request.number, Outcome.CANCELLED)
