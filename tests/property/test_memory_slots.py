"""Slots under any order of lending, announcing, acking and releasing, against a model of the rules."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.codec.frame import FrameHeader
from bridge.links.memory_folder import MemoryFolder
from bridge.links.shared_memory import MemoryFile, SlotLease

HEADER = FrameHeader(0, 1, 9, 7, 0, 0, 1, 4, 2, 2, 2, 4)


class Slots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="txb")
        self.folder = MemoryFolder([Path(self.place.name)])
        self.file = MemoryFile(self.folder, 4, 4, 1)
        self.leases: list[list[SlotLease]] = []
        """Each lease once for each of its owners."""
        self.held: dict[tuple[int, str], tuple[int, int]] = {}
        """(slot, reader) -> (seq that the reader was told, since when)."""
        self.seqs = [0] * 4
        self.turn = 0

    def seq_of(self, slot: int) -> int:
        return int(self.file._words[self.file.page.slot_at(slot) // 8])

    @rule()
    def lend(self) -> None:
        lent = {owners[0].slot for owners in self.leases}
        held = {slot for slot, _ in self.held}
        free = set(range(4)) - lent - held
        lease = self.file.lend(4)
        if lease is None:
            assert len(lent) == 4, "a slot that nobody has lent can be had"
            return
        assert lease.slot not in lent
        if free:
            assert lease.slot in free, "a held slot was taken though another was free"
        else:
            since = {slot: min(at for (s, _), (_, at) in self.held.items() if s == slot) for slot in held - lent}
            assert lease.slot == min(since, key=since.__getitem__), "not the one that was held for longest"
            self.held = {key: value for key, value in self.held.items() if key[0] != lease.slot}
        lease.view[:] = b"abcd"
        assert self.seq_of(lease.slot) % 2 == 1
        assert lease.seq > self.seqs[lease.slot]
        self.leases.append([lease])

    @rule(which=st.integers(0, 7), reader=st.sampled_from("abc"))
    def announce(self, which: int, reader: str) -> None:
        if self.leases:
            lease = self.leases[which % len(self.leases)][0]
            self.turn += 1
            seq = lease.announce(HEADER, reader)
            assert seq == lease.seq
            self.seqs[lease.slot] = seq
            self.held.setdefault((lease.slot, reader), (seq, self.turn))

    @rule(which=st.integers(0, 7))
    def retain(self, which: int) -> None:
        if self.leases:
            owners = self.leases[which % len(self.leases)]
            owners[0].retain()
            owners.append(owners[0])

    @rule(which=st.integers(0, 7))
    def release(self, which: int) -> None:
        if self.leases:
            owners = self.leases[which % len(self.leases)]
            owners.pop().release()
            self.leases = [owners for owners in self.leases if owners]

    @rule(slot=st.integers(0, 3), reader=st.sampled_from("abc"))
    def ack(self, slot: int, reader: str) -> None:
        self.file.drop(slot, reader)
        self.held.pop((slot, reader), None)

    @invariant()
    def what_a_reader_holds_is_as_it_was_told(self) -> None:
        for (slot, _), (seq, _) in self.held.items():
            assert self.seq_of(slot) == seq
        for owners in self.leases:
            assert bytes(owners[0].view) == b"abcd"

    def teardown(self) -> None:
        for owners in self.leases:
            for lease in owners:
                lease.release()
        self.file.retire()
        for slot in range(4):
            for reader in "abc":
                self.file.drop(slot, reader)
        assert self.file.closed, "nobody has a slot, and the file is still there"
        self.folder.close()
        assert not list(Path(self.place.name).iterdir())
        self.place.cleanup()


Slots.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlots = Slots.TestCase
