"""What one viewer was told of shared memory: doorbells for its frames, and the slots that it holds until it acks.

A slot is held from its doorbell until its set is acked; that of a held picture until a frame sent later is acked, or
the next held picture is sent. Source: protocols/shared-memory.md, Writing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.app.records import ViewerSet
from bridge.app.viewers.shared_forms import SharedForms
from bridge.codec.frame import FrameHeader, encode_doorbell
from bridge.codec.messages import Memory, encode_message
from bridge.frames.packets import Payload
from bridge.links.shared_memory import MemoryFile, SlotLease


@dataclass(eq=False, slots=True)
class _Told:
    """One set that the viewer was sent. It is itself the reader that holds the slots."""

    number: int
    held: bool
    slots: list[tuple[MemoryFile, int]] = field(default_factory=list)

    def drop(self) -> None:
        for file, slot in self.slots:
            file.drop(slot, self)


class ViewerMemory:
    """The shared memory of one viewer of one stream. It belongs to the event loop's thread."""

    def __init__(self, forms: SharedForms, stream: int) -> None:
        self._forms = forms
        self._stream = stream
        self._told: deque[_Told] = deque()
        self._file: MemoryFile | None = None
        """The one that `memory` named last."""

    def begin(self, item: ViewerSet) -> None:
        """A set is about to be sent; the frames that follow are its own."""
        if item.held:
            self._keep(lambda told: not told.held)
        self._told.append(_Told(item.number, item.held))

    def doorbell(self, header: FrameHeader, payload: Payload) -> tuple[bytes | None, bytes] | None:
        """The `memory` message that has to go first, if any, and the doorbell; None if the payload is in no slot."""
        lease = payload.lease
        if not isinstance(lease, SlotLease) or lease.file.closed or not self._told:
            return None
        file, told = lease.file, self._told[-1]
        if not file.is_whole() or (file is not self._file and not file.is_there()):
            return None
        seq = lease.announce(header, told)
        told.slots.append((file, lease.slot))
        memory = None
        if file is not self._file:
            self._file = file
            page = file.page
            memory = encode_message(
                Memory(
                    stream=self._stream,
                    file=str(file.path),
                    nonce=page.nonce,
                    slots=page.slots,
                    stride=page.slot_stride,
                )
            )
        return memory, encode_doorbell(header, lease.slot, seq)

    def ack(self, number: int) -> None:
        """The viewer is done with all sets up to `number`; a number that it was never sent is ignored."""
        if not any(told.number == number for told in self._told):
            return
        last = max(
            (place for place, told in enumerate(self._told) if not told.held and told.number <= number), default=-1
        )
        places = iter(range(len(self._told)))

        def kept(told: _Told) -> bool:
            place = next(places)
            return place > last if told.held else told.number > number

        self._keep(kept)

    def restart(self) -> None:
        """Another connection, or none: what was told on the old one is over."""
        self._keep(lambda told: False)
        self._file = None

    def close(self) -> None:
        """The subscription is over, or goes on without."""
        self.restart()
        self._forms.leave(self)

    def _keep(self, kept: Callable[[_Told], bool]) -> None:
        stay: deque[_Told] = deque()
        for told in self._told:
            if kept(told):
                stay.append(told)
            else:
                told.drop()
        self._told = stay
