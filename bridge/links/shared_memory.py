"""The writer's side of shared memory: a file of slots, lent like any other buffer, announced by doorbells.

A slot is *lent* while somebody in this process owns it (it is being written, waits in an outbox, or is being sent
over a socket), and *held* by each reader that was told of it and has not acked. It is free when it is neither; if none
is free, the one that has been held for longest is taken from its readers, whose look at `seq` then fails. A lent slot
is never taken. Source: protocols/shared-memory.md, Writing.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import warnings
from pathlib import Path

from bridge.codec.frame import FrameHeader, encode_slot_header
from bridge.codec.shared_memory import SLOT_HEADER_AT, SLOT_PAYLOAD_AT, page_for
from bridge.links.memory_folder import MemoryFolder

logger = logging.getLogger("bridge.links.memory")


class SlotLease:
    """A slot's payload on loan; it begins with one owner. Any thread may retain and release. See `types.Lease`."""

    __slots__ = ("_owners", "_view", "file", "seq", "slot")

    def __init__(self, file: MemoryFile, slot: int, seq: int, view: memoryview) -> None:
        self.file = file
        self.slot = slot
        self.seq = seq
        """Even: what it is once it is announced."""
        self._view: memoryview | None = view
        self._owners = 1

    @property
    def view(self) -> memoryview:
        """The bytes, exactly as many as were asked for; zeros where somebody made the file shorter meanwhile.

        Raises RuntimeError after the last release.
        """
        view = self._view
        if view is None:
            raise RuntimeError("the lease is over: its last owner released it")
        return view if self.file.is_whole() else memoryview(bytearray(len(view)))

    def retain(self) -> None:
        """One owner more. Raises RuntimeError after the last release."""
        with self.file._lock:
            if not self._owners:
                raise RuntimeError("the lease is over: it can't be retained again")
            self._owners += 1

    def release(self) -> None:
        """One owner less; after the last one the slot is free, unless readers hold it. Raises RuntimeError."""
        with self.file._lock:
            if not self._owners:
                raise RuntimeError("the lease is over: it was released once too often")
            self._owners -= 1
            if self._owners:
                return
            self._view = None
        self.file._give_back(self.slot)

    def announce(self, header: FrameHeader, reader: object) -> int:
        """Have `reader` hold the slot, and give its seq for the doorbell. The payload must be written by now.

        The first call writes the slot's own header, which all readers share, and ends the writing.

        Raises RuntimeError: the file is closed, or is not whole any more.
        """
        return self.file._announce(self, header, reader)

    def __del__(self) -> None:
        if self._owners:
            self._owners = 0
            self.file._give_back(self.slot)
            warnings.warn("a slot was forgotten by an owner and never released", ResourceWarning, stacklevel=2)


class MemoryFile:
    """One shared memory file with its slots. Any thread may lend and release.

    Attributes:
        page: what its first page says.
        path: where it is.
        taken: how often a slot was taken from readers that had not acked.
        lost: somebody else removed the file; see `is_there`.
    """

    def __init__(self, folder: MemoryFolder, payload_bytes: int, slots: int, generation: int) -> None:
        """Make a file whose slots hold payloads of `payload_bytes`.

        Raises:
            OSError: no space, no rights, too many files.
            ValueError: no page can say this.
        """
        self.page = page_for(payload_bytes, slots, generation=generation, nonce=secrets.randbits(64), pid=os.getpid())
        self.taken = 0
        self.lost = False
        self.path: Path
        self.path, self._mapping = folder.create(self.page)
        self._folder = folder
        self._bytes = memoryview(self._mapping)
        self._words = self._bytes.cast("Q")
        # Re-entrant: a forgotten lease may be collected in the middle of any call here.
        self._lock = threading.RLock()
        self._lent = [False] * slots
        self._held: list[dict[object, int]] = [{} for _ in range(slots)]
        """By slot: since when (in announcements) each reader holds it."""
        self._free_since = list(range(slots))
        self._turn = slots
        self._written = [True] * slots
        self._retired = False
        self._closed = False

    @property
    def file_bytes(self) -> int:
        """Its length."""
        return self.page.file_bytes

    def lend(self, payload_bytes: int) -> SlotLease | None:
        """A slot to write a payload into, owned once, by the caller; None if every slot is lent, or the file `lost`.

        Raises ValueError: more than the capacity.
        """
        if not 0 < payload_bytes <= self.page.capacity:
            raise ValueError(f"{payload_bytes} bytes in slots of {self.page.capacity}")
        with self._lock:
            slot = self._choose()
            if slot is None or self._closed or not self.is_whole():
                return None
            self.taken += len(self._held[slot])
            self._held[slot].clear()
            self._lent[slot] = True
            self._written[slot] = False
            begin = self.page.slot_at(slot)
            seq = (self._words[begin // 8] | 1) + 1
            # One 8-byte store: a reader sees the old seq or the new one, never half of each.
            self._words[begin // 8] = seq - 1
            payload_at = begin + SLOT_PAYLOAD_AT
            lease = SlotLease(self, slot, seq, self._bytes[payload_at : payload_at + payload_bytes])
        with self._lock:
            pass  # a lock given up and taken again is the fence that Python has: no byte goes out before the odd seq
        return lease

    def _choose(self) -> int | None:
        """The slot that has been free for longest, else the one that has been held for longest."""
        there = [slot for slot, lent in enumerate(self._lent) if not lent]
        free = [slot for slot in there if not self._held[slot]]
        if free:
            return min(free, key=self._free_since.__getitem__)
        return min(there, key=lambda slot: min(self._held[slot].values()), default=None)

    def _announce(self, lease: SlotLease, header: FrameHeader, reader: object) -> int:
        with self._lock:
            if self._closed:
                raise RuntimeError("the file is removed: nobody can be told of it any more")
            if not self.is_whole():
                raise RuntimeError("the file was made shorter: there is nothing to read in it")
            slot = lease.slot
            if not self._written[slot]:
                begin = self.page.slot_at(slot)
                at = begin + SLOT_HEADER_AT
                head = encode_slot_header(header)
                self._bytes[at : at + len(head)] = head
                self._written[slot] = True
                self._words[begin // 8] = lease.seq
            self._turn += 1
            self._held[slot].setdefault(reader, self._turn)
            return lease.seq

    def drop(self, slot: int, reader: object) -> None:
        """A reader has acked a slot, or is gone. One that was taken from it meanwhile is not touched."""
        with self._lock:
            if self._held[slot].pop(reader, None) is not None:
                self._now_free(slot)

    def _give_back(self, slot: int) -> None:
        with self._lock:
            self._lent[slot] = False
            self._now_free(slot)

    def _now_free(self, slot: int) -> None:
        if not self._lent[slot] and not self._held[slot]:
            self._turn += 1
            self._free_since[slot] = self._turn
            if self._retired and not self._closed and not any(self._lent) and not any(self._held):
                self.close()

    def retire(self) -> None:
        """Another file takes its place: it is removed as soon as nobody owns or holds a slot of it."""
        with self._lock:
            self._retired = True
            if not self._closed and not any(self._lent) and not any(self._held):
                self.close()

    def is_whole(self) -> bool:
        """Whether the file is as long as it was made. A look at a mapping beyond its file ends the process (SIGBUS).

        Another program of this user may have made it shorter, against the rules. It is `lost` then.
        """
        if self._mapping.size() >= self.file_bytes:
            return True
        if not self.lost:
            self.lost = True
            logger.warning("somebody made the shared memory file %s shorter: another takes its place", self.path)
        return False

    def is_there(self) -> bool:
        """Whether a newcomer can still open it: cleaners of temporary folders, or a user's logout, may have removed it.

        One that is not is `lost` from then on: what is mapped stays good, and its form makes another.
        """
        if not os.path.exists(self.path):
            self.lost = True
        return not self.lost

    @property
    def closed(self) -> bool:
        """True once its file is removed, or about to be."""
        return self._closed

    def close(self) -> None:
        """Remove the file now, whoever holds slots; leases that are still out keep their memory until they end."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._words.release()
            try:
                self._bytes.release()
                self._mapping.close()
            except BufferError:
                pass  # a view of it is out: the memory goes with the last of them
        self._folder.remove(self.path)
