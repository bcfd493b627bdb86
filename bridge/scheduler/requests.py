"""How requests begin, and how time ends them."""

from __future__ import annotations

from bridge.scheduler import policy
from bridge.scheduler.dispatch import has_place
from bridge.scheduler.events import Finish, RequestAdded
from bridge.scheduler.faults import nowhere_to_go
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Request, Stream, new_request
from bridge.scheduler.streams import StreamEvents
from bridge.types import Outcome


class RequestEvents:
    """Takes runs in, makes the requests of live streams, and ends those whose time is over."""

    def __init__(self, ledger: Ledger, streams: StreamEvents) -> None:
        self._ledger = ledger
        self._streams = streams

    def added(self, event: RequestAdded, now: float) -> None:
        """A run was accepted; one that is known already is ignored."""
        ledger = self._ledger
        if event.request in ledger.requests:
            return
        ledger.next_request = max(ledger.next_request, event.request + 1)
        self._streams.values_changed(event.stream, event.revision, now)  # a run may bring its values with it
        stream = ledger.streams.get(event.stream)
        if stream is None or ledger.panicked:
            ledger.commands.append(Finish(event.request, event.stream, Outcome.CANCELLED))
            return
        request = new_request(event, stream, now)
        if policy.replaces_waiting(stream.config.mode) and request.only is None:
            for other in list(stream.requests.values()):
                if other.lane is not None and other.only is None and policy.replaces_waiting(other.mode):
                    # Who takes a place in the line waits since then, or one who is replaced all the time never comes.
                    request.accepted_at = min(request.accepted_at, other.accepted_at)
                    ledger.end_request(other.number, Outcome.SUPERSEDED)
        ledger.add_request(request)
        if ledger.known.duration(stream.config.cost_key) is not None:
            ledger.agenda.arm(request, now)

    def new_generation(self, stream: Stream, dirty_since: float) -> Request:
        """Make the request of a live stream's own picture."""
        number = self._ledger.take_number()
        request = Request(number, stream, stream.revision, accepted_at=dirty_since, generation=True)
        self._ledger.add_request(request)
        return request

    def cancel_all(self) -> None:
        """End every request `cancelled`."""
        for number in [number for number, request in self._ledger.requests.items() if request.part_of is None]:
            self._ledger.end_request(number, Outcome.CANCELLED)

    def expire(self, now: float) -> None:
        """End the requests whose deadline has passed, and lost ones that waited long enough for a backend."""
        ledger = self._ledger
        while (request := ledger.agenda.take_due(now)) is not None:
            if request.deadline_at <= now:
                ledger.end_request(request.number, Outcome.EXPIRED)
            elif has_place(ledger, request):
                # A backend is there: it waits for its turn, not for a backend.
                ledger.agenda.fail_at(request, now + ledger.backend_lost_after_s)
            else:
                error = nowhere_to_go(request.submitted_as, ledger.backend_lost_after_s)
                ledger.end_request(request.number, Outcome.FAILED, error)
