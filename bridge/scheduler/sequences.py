"""How sequences begin, how far they may go, and which of their frames waits next.

A sequence is one request outside and many in here: itself, which neither waits nor has an attempt but holds deadline
and outcome, and one of a negative number for each frame that is begun. So a frame waits, is posted, lost, tried again
and settled by the same rules as a run; `Ledger.end_request` puts the ends of frames together.
"""

from __future__ import annotations

from typing import Final

from bridge.scheduler.events import Finish, SequenceAdded, SequenceMoved
from bridge.scheduler.ledger import Ledger
from bridge.scheduler.state import Request, Sequence
from bridge.scheduler.streams import StreamEvents
from bridge.types import Outcome

LEAST_WAITING: Final = 2
"""Frames of one sequence that wait to be posted: as many as there are backends, and so many at least, so that whoever
chooses sees that more is to come. More would make the runs of their stream wait behind all of them."""


FIRST_FRAME: Final = -(2**62)
"""Frames have numbers of their own, which grow: of two that wait as long, the earlier goes first."""


class SequenceEvents:
    """Takes sequences in, and has their frames wait one after the other."""

    def __init__(self, ledger: Ledger, streams: StreamEvents) -> None:
        self._ledger = ledger
        self._streams = streams
        self._next_frame = FIRST_FRAME

    def added(self, event: SequenceAdded, now: float) -> None:
        """A sequence was accepted; one that is known already is ignored."""
        ledger = self._ledger
        if event.request in ledger.requests:
            return
        ledger.next_request = max(ledger.next_request, event.request + 1)
        self._streams.values_changed(event.stream, event.revision, now)
        stream = ledger.streams.get(event.stream)
        if stream is None or ledger.panicked:
            ledger.commands.append(Finish(event.request, event.stream, Outcome.CANCELLED))
            return
        whole = Request(
            event.request,
            stream,
            event.revision,
            accepted_at=now,
            priority=event.priority,
            deadline_s=event.deadline_s,
            sequence=Sequence(event.frames, event.until),
        )
        ledger.requests[whole.number] = stream.requests[whole.number] = ledger.sequences[whole.number] = whole
        stream.sequences += 1
        if ledger.known.duration(stream.config.cost_key) is not None:
            ledger.agenda.arm(whole, now)

    def moved(self, event: SequenceMoved) -> None:
        """Frames below another index may be begun; unknown sequences are ignored."""
        whole = self._ledger.sequences.get(event.request)
        if whole is not None and whole.sequence is not None:
            whole.sequence.until = event.until

    def fill(self, now: float) -> None:
        """Have the next frames of each sequence wait, as many as may be begun and as could be posted soon."""
        ledger = self._ledger
        if not ledger.sequences:
            return
        at_a_time = max(LEAST_WAITING, sum(backend.takes for backend in ledger.backends.values()))
        for whole in ledger.sequences.values():
            sequence = whole.sequence
            assert sequence is not None
            sequence.waiting = [frame for frame in sequence.waiting if frame.lane is not None and not frame.tries]
            end = min(sequence.frames, sequence.until, sequence.begun + at_a_time - len(sequence.waiting))
            while sequence.begun < end:
                self._begin(whole, sequence, now)

    def _begin(self, whole: Request, sequence: Sequence, now: float) -> None:
        frame = Request(
            self._next_frame,
            whole.stream,
            whole.revision,
            accepted_at=now,
            priority=whole.priority,
            part_of=whole,
            index=sequence.begun,
        )
        self._next_frame += 1
        sequence.waiting.append(frame)
        sequence.in_work[sequence.begun] = frame
        sequence.begun += 1
        self._ledger.add_request(frame)
