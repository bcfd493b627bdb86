"""Forms in shared memory: who reads them, within which limits, and what happens where there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.app.viewers.shared_forms import SMALL_IN_A_ROW, TRY_AGAIN_S, SharedForms
from bridge.errors import BridgeError, ErrorCode
from bridge.frames.leases import BufferPool, CountedLease
from bridge.links.memory_folder import MemoryFolder
from bridge.links.shared_memory import SlotLease
from bridge.types import Fit, Lease, Origin, PayloadSpec, PixelFormat, Size

SPEC = PayloadSpec(PixelFormat.RGBA8)
SIZE = Size(64, 64)
FILE_BYTES = 4096 + 4 * 20480
"""Of 64 x 64 rgba8, in four slots."""


class Rig:
    def __init__(self, folder: Path, total: int = 1 << 20, session: int = 1 << 20) -> None:
        self.now = 0.0
        self.told: list[tuple[frozenset[int], BridgeError]] = []
        self.heap = BufferPool(1 << 24)
        self.folder = folder
        self.forms = SharedForms(
            self.heap, total, session, lambda: self.now, lambda sessions, error: self.told.append((sessions, error))
        )
        self.forms.open(str(folder))
        self.leases: list[Lease] = []

    def lend(self, payload_bytes: int = 64 * 64 * 4, stream: int = 1, spec: PayloadSpec = SPEC) -> Lease:
        lease = self.forms.sink_for(stream, spec, SIZE).lend(payload_bytes)
        self.leases.append(lease)
        return lease

    def release(self) -> None:
        for lease in self.leases:
            lease.release()
        self.leases.clear()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.txbs"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.release()
    rig.forms.close()
    assert list(tmp_path.iterdir()) == []
    assert rig.heap.stats().lent == 0


def test_a_form_that_somebody_reads_is_made_in_slots(rig: Rig) -> None:
    assert isinstance(rig.lend(), CountedLease)
    assert rig.forms.join("viewer", 1, 1, SPEC)
    assert rig.files() == [], "nothing is reserved before there is a picture"
    assert isinstance(rig.lend(), SlotLease)
    assert len(rig.files()) == 1
    assert rig.forms.stats() == (1, FILE_BYTES, 0, 0)
    assert isinstance(rig.lend(stream=2), CountedLease)
    assert isinstance(rig.lend(spec=PayloadSpec(PixelFormat.BGRA8)), CountedLease)


def test_who_comes_to_what_others_read_over_the_link_is_served_too(rig: Rig) -> None:
    """Also where other forms are shared: what was found for the stream's pictures before holds no longer."""
    assert rig.forms.join("another stream's", 1, 2, SPEC)
    assert isinstance(rig.lend(), CountedLease)
    assert rig.forms.join("newcomer", 2, 1, SPEC)
    assert isinstance(rig.lend(), SlotLease)


def test_one_file_serves_all_who_want_the_same(rig: Rig) -> None:
    assert rig.forms.join("one", 1, 1, SPEC)
    assert rig.forms.join("other", 2, 1, SPEC)
    first, second = rig.lend(), rig.lend()
    assert isinstance(first, SlotLease)
    assert isinstance(second, SlotLease)
    assert first.file is second.file
    rig.forms.leave("one")
    assert isinstance(rig.lend(), SlotLease)
    rig.forms.leave("other")
    rig.forms.leave("other")
    assert isinstance(rig.lend(), CountedLease)
    assert len(rig.files()) == 1, "slots are still lent"
    rig.release()
    assert rig.files() == []


def test_a_form_is_known_however_its_size_is_said(rig: Rig) -> None:
    named = PayloadSpec(PixelFormat.RGBA8, size=SIZE, fit=Fit.COVER)
    assert rig.forms.join("viewer", 1, 1, named)
    assert isinstance(rig.lend(), SlotLease)
    assert isinstance(rig.lend(spec=PayloadSpec(PixelFormat.RGBA8, size=Size(32, 32))), CountedLease)
    assert isinstance(rig.lend(spec=PayloadSpec(PixelFormat.RGBA8, Origin.BOTTOM_LEFT)), CountedLease)


def test_encoded_forms_go_over_the_link(rig: Rig) -> None:
    assert not rig.forms.join("viewer", 1, 1, PayloadSpec(PixelFormat.JPEG))


def test_slots_are_for_all_outputs_and_the_credit(rig: Rig) -> None:
    assert rig.forms.join("viewer", 1, 1, SPEC, outputs=2, credit=3)
    lease = rig.lend(100)
    assert isinstance(lease, SlotLease)
    assert lease.file.page.slots == 12


def test_when_every_slot_is_lent_the_heap_helps_out(rig: Rig) -> None:
    rig.forms.join("viewer", 1, 1, SPEC)
    kinds = [type(rig.lend()) for _ in range(5)]
    assert kinds == [SlotLease] * 4 + [CountedLease]


def test_a_larger_picture_is_a_new_file_and_the_old_one_goes_with_its_last_slot(rig: Rig) -> None:
    rig.forms.join("viewer", 1, 1, SPEC)
    small = rig.lend(100)
    large = rig.lend(10_000)
    assert isinstance(small, SlotLease)
    assert isinstance(large, SlotLease)
    assert small.file is not large.file
    assert large.file.page.generation == small.file.page.generation + 1
    assert large.file.page.nonce != small.file.page.nonce
    assert len(rig.files()) == 2
    small.release()
    rig.leases.remove(small)
    assert len(rig.files()) == 1
    again = rig.lend(100)
    assert isinstance(again, SlotLease)
    assert again.file is large.file, "a smaller one has room in it"


def test_many_small_pictures_end_a_large_file(rig: Rig) -> None:
    rig.forms.total_bytes = rig.forms.session_bytes = 1 << 26
    rig.forms.join("viewer", 1, 1, SPEC)
    rig.lend(2 << 20)
    rig.release()
    for _ in range(SMALL_IN_A_ROW - 1):
        rig.lend(1000)
        rig.release()
    assert rig.forms.stats()[1] > 4 << 20
    lease = rig.lend(900)
    assert isinstance(lease, SlotLease)
    assert lease.file.page.capacity == 1000
    rig.release()
    assert rig.forms.stats() == (1, 4096 + 4 * 4096, 0, 0)


def test_over_the_limit_the_heap_is_used_and_words_are_said_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total=FILE_BYTES)
    rig.forms.join("a", 1, 1, SPEC)
    rig.forms.join("b", 2, 2, SPEC)
    assert isinstance(rig.lend(), SlotLease)
    assert [type(rig.lend(stream=2)) for _ in range(3)] == [CountedLease] * 3
    ((sessions, error),) = rig.told
    assert sessions == {2}
    assert error.code is ErrorCode.SHARED_MEMORY_FULL
    assert "shared_memory_mb" in error.message
    rig.release()
    rig.forms.leave("a")
    assert isinstance(rig.lend(stream=2), CountedLease), "it is not tried for every frame"
    rig.now += TRY_AGAIN_S
    assert isinstance(rig.lend(stream=2), SlotLease)
    rig.release()
    rig.forms.close()


def test_a_smaller_picture_is_tried_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total=FILE_BYTES)
    rig.forms.join("viewer", 1, 1, SPEC)
    assert isinstance(rig.lend(100_000), CountedLease)
    assert isinstance(rig.lend(), SlotLease)
    assert rig.forms.stats().refused == 1
    rig.release()
    rig.forms.close()


def test_one_session_has_a_limit_of_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, session=FILE_BYTES)
    rig.forms.join("a", 1, 1, SPEC)
    rig.forms.join("b", 1, 2, SPEC)
    rig.forms.join("c", 2, 3, SPEC)
    assert isinstance(rig.lend(), SlotLease)
    assert isinstance(rig.lend(stream=2), CountedLease)
    assert "session_shared_memory_mb" in rig.told[0][1].message
    assert isinstance(rig.lend(stream=3), SlotLease), "another session has its own"
    rig.forms.join("d", 2, 2, SPEC)
    rig.now += TRY_AGAIN_S
    assert isinstance(rig.lend(stream=2), CountedLease)
    rig.forms.leave("c")
    rig.release()
    rig.now += TRY_AGAIN_S
    assert isinstance(rig.lend(stream=2), SlotLease), "session 2 has room for it again"
    rig.release()
    rig.forms.close()


def test_a_full_disk_is_no_fault(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    rig.forms.join("viewer", 1, 1, SPEC)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFolder, "create", full)
        assert isinstance(rig.lend(), CountedLease)
    assert "No space left" in rig.told[0][1].message
    rig.now += TRY_AGAIN_S
    assert isinstance(rig.lend(), SlotLease)


def test_switched_off_nothing_is_shared(tmp_path: Path) -> None:
    for rig in (Rig(tmp_path / "a", total=0), Rig(tmp_path / "b", session=0)):
        assert not rig.forms.available
        assert not rig.forms.join("viewer", 1, 1, SPEC)
        assert not rig.folder.exists()
        rig.forms.close()


def test_without_a_folder_nothing_is_shared(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    rig = Rig(tmp_path / "file")
    assert not rig.forms.available
    rig.forms.close()


def test_the_end_removes_all_and_leaves_bytes_that_are_in_use(rig: Rig) -> None:
    rig.forms.join("viewer", 1, 1, SPEC)
    lease = rig.lend(10)
    rig.forms.close()
    assert rig.files() == []
    lease.view[:] = b"0123456789"
    assert isinstance(rig.lend(), CountedLease)
