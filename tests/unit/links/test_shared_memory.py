"""Slots: lent, announced, held, freed and taken."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.codec.frame import FrameHeader, decode_frame_header
from bridge.codec.shared_memory import decode_page
from bridge.links.memory_folder import MemoryFolder
from bridge.links.shared_memory import MemoryFile

HEADER = FrameHeader(0, 1, 9, 7, 0, 0, 1, 1, 16, 16, 64, 1024)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[MemoryFolder]:
    folder = MemoryFolder([tmp_path])
    yield folder
    folder.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def file(folder: MemoryFolder) -> Iterator[MemoryFile]:
    file = MemoryFile(folder, 1024, 4, 3)
    yield file
    file.close()


def seq_of(file: MemoryFile, slot: int) -> int:
    data = file.path.read_bytes()
    return int(struct.unpack_from("<Q", data, file.page.slot_at(slot))[0])


def test_the_page(file: MemoryFile) -> None:
    data = file.path.read_bytes()
    assert decode_page(data, len(data)) == file.page
    assert (file.page.slots, file.page.capacity, file.page.generation) == (4, 1024, 3)
    assert not any(data[40:])


def test_a_slot_is_odd_while_it_is_written_and_even_once_announced(file: MemoryFile) -> None:
    lease = file.lend(1024)
    assert lease is not None
    assert seq_of(file, lease.slot) == 1
    assert len(lease.view) == 1024
    lease.view[:] = b"x" * 1024
    reader = object()
    assert lease.announce(HEADER, reader) == 2
    assert seq_of(file, lease.slot) == 2
    at = file.page.slot_at(lease.slot)
    data = file.path.read_bytes()
    assert decode_frame_header(data[at + 64 : at + 128]) == HEADER
    assert data[at + 128 : at + 128 + 1024] == b"x" * 1024
    assert not any(data[at + 8 : at + 64])
    lease.release()
    file.drop(lease.slot, reader)


def test_a_slot_that_failed_goes_on_counting(file: MemoryFile) -> None:
    for _ in range(4):
        lease = file.lend(8)
        assert lease is not None
        lease.release()  # never announced
    assert [seq_of(file, slot) for slot in range(4)] == [1, 1, 1, 1]
    lease = file.lend(8)
    assert lease is not None
    assert seq_of(file, lease.slot) == 1
    assert lease.announce(HEADER, object()) == 2
    lease.release()


def test_a_slot_is_not_lent_again_before_its_readers_have_it(file: MemoryFile) -> None:
    reader = object()
    first = file.lend(8)
    assert first is not None
    first.announce(HEADER, reader)
    first.release()
    others = [file.lend(8) for _ in range(3)]
    assert first.slot not in [lease.slot for lease in others if lease is not None]
    file.drop(first.slot, reader)
    again = file.lend(8)
    assert again is not None
    assert again.slot == first.slot
    assert file.taken == 0
    assert file.lend(8) is None, "every slot is lent"
    for lease in (*others, again):
        assert lease is not None
        lease.release()


def test_the_slot_that_was_held_for_longest_is_taken(file: MemoryFile) -> None:
    slow, fast = object(), object()
    held = []
    for _ in range(4):
        lease = file.lend(8)
        assert lease is not None
        lease.announce(HEADER, slow)
        lease.release()
        held.append(lease)
    held[0].file.drop(held[0].slot, slow)  # acked: this one is free
    taken = [file.lend(8) for _ in range(2)]
    assert [lease.slot for lease in taken if lease is not None] == [held[0].slot, held[1].slot]
    assert file.taken == 1
    assert seq_of(file, held[1].slot) == 3, "its reader sees another seq"
    file.drop(held[1].slot, slow)  # a late ack frees nothing
    lease = taken[1]
    assert lease is not None
    lease.announce(HEADER, fast)
    file.drop(lease.slot, slow)
    assert file._held[lease.slot] == {fast: file._held[lease.slot][fast]}
    for item in taken:
        assert item is not None
        item.release()


def test_what_is_lent_is_never_taken(file: MemoryFile) -> None:
    lent = [file.lend(8) for _ in range(4)]
    assert file.lend(8) is None
    for lease in lent:
        assert lease is not None
        lease.release()


def test_slots_that_have_been_free_for_longest_come_first(file: MemoryFile) -> None:
    order = []
    for _ in range(8):
        lease = file.lend(8)
        assert lease is not None
        order.append(lease.slot)
        lease.release()
    assert order == [0, 1, 2, 3, 0, 1, 2, 3]


def test_owners_are_counted(file: MemoryFile) -> None:
    lease = file.lend(8)
    assert lease is not None
    lease.retain()
    lease.release()
    assert len(lease.view) == 8
    lease.release()
    for wrong in (lease.retain, lease.release, lambda: lease.view):
        with pytest.raises(RuntimeError, match="over"):
            wrong()


def test_a_forgotten_lease_warns_and_gives_its_slot_back(file: MemoryFile) -> None:
    forgotten = [file.lend(8)]
    assert file._lent[0]
    with pytest.warns(ResourceWarning, match="never released"):
        forgotten.clear()
    assert not any(file._lent)


def test_more_than_a_slot_holds_is_an_error_of_the_caller(file: MemoryFile) -> None:
    for size in (0, -1, 1025):
        with pytest.raises(ValueError, match="bytes in slots"):
            file.lend(size)


def test_a_retired_file_goes_with_its_last_reader(folder: MemoryFolder) -> None:
    file = MemoryFile(folder, 100, 4, 1)
    reader = object()
    lease = file.lend(100)
    assert lease is not None
    lease.announce(HEADER, reader)
    file.retire()
    lease.release()
    assert file.path.exists()
    file.drop(lease.slot, reader)
    assert file.closed
    assert not file.path.exists()
    file.retire()


def test_an_idle_file_goes_at_once(folder: MemoryFolder) -> None:
    file = MemoryFile(folder, 100, 4, 1)
    file.retire()
    assert not file.path.exists()
    assert file.lend(100) is None


def test_closing_leaves_the_bytes_to_who_still_has_them(folder: MemoryFolder) -> None:
    file = MemoryFile(folder, 100, 4, 1)
    lease = file.lend(100)
    assert lease is not None
    lease.view[:3] = b"abc"
    file.close()
    file.close()
    assert bytes(lease.view[:3]) == b"abc"
    with pytest.raises(RuntimeError, match="removed"):
        lease.announce(HEADER, object())
    lease.release()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a mapped file from being made shorter")
def test_a_file_that_somebody_made_shorter_is_not_touched_again(file: MemoryFile) -> None:
    told, kept = file.lend(1024), file.lend(1024)
    assert told is not None
    assert kept is not None
    kept.view[:] = b"x" * 1024
    os.truncate(file.path, 0)  # a touch ends the process from here on
    assert bytes(kept.view) == bytes(1024)
    assert file.lend(1024) is None
    assert file.lost
    with pytest.raises(RuntimeError, match="shorter"):
        told.announce(HEADER, object())
    told.release()
    kept.release()
