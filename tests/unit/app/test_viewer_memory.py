"""Which slots a viewer holds, and until which ack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.app.records import ReleasedSet, ViewerSet
from bridge.app.viewers.memory import ViewerMemory
from bridge.app.viewers.shared_forms import SharedForms
from bridge.app.viewers.viewers import Viewer
from bridge.codec.frame import FrameHeader, decode_frame
from bridge.codec.messages import Memory, decode_answer
from bridge.frames.leases import BufferPool
from bridge.frames.packets import Payload
from bridge.links.shared_memory import MemoryFile, SlotLease
from bridge.links.writing import OutgoingFrame
from bridge.types import FrameFlags, PayloadSpec, PixelFormat, Size

SPEC = PayloadSpec(PixelFormat.R8)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.heap = BufferPool(1 << 20)
        self.forms = SharedForms(self.heap, 1 << 22, 1 << 22, lambda: 0.0)
        self.forms.open(str(folder))
        self.viewers: list[Viewer] = []

    def viewer(self, key: int = 1, *, outputs: int = 1, credit: int = 1, shared: bool = True) -> Viewer:
        memory = ViewerMemory(self.forms, 7)
        if shared:
            assert self.forms.join(memory, key, 7, SPEC, outputs, credit)
        viewer = Viewer(
            key, 7, None, SPEC, lambda: None, outputs_there=outputs, credit=credit, memory=memory if shared else None
        )
        self.viewers.append(viewer)
        return viewer

    def payload(self, byte: int) -> Payload:
        lease = self.forms.sink_for(7, SPEC, Size(4, 4)).lend(16)
        lease.view[:] = bytes([byte]) * 16
        return Payload(PixelFormat.R8, 4, 4, 4, 16, FrameFlags(0), lease)

    def set(self, number: int, *viewers: Viewer, held: bool = False, outputs: int = 1) -> list[Payload]:
        """Offer a set to viewers, as the app does."""
        payloads = [self.payload(number) for _ in range(outputs)]
        shared = ReleasedSet(number, number, 0, True, {1: 99})
        for viewer in viewers:
            for payload in payloads:
                payload.retain()
            item = ViewerSet(shared, tuple(enumerate(payloads)), held)
            if held:
                viewer.hold(item)
            else:
                viewer.offer(item, 0.0)
        for payload in payloads:
            payload.release()
        return payloads

    @property
    def file(self) -> MemoryFile:
        (form,) = self.forms._forms.values()
        assert form._file is not None
        return form._file

    def held(self) -> int:
        """How many slots readers hold."""
        assert not any(self.file._lent)
        return sum(bool(held) for held in self.file._held)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    for viewer in rig.viewers:
        viewer.close()
    assert rig.forms.stats()[0] == 0, "a file is left though nobody reads"
    assert rig.heap.stats().lent == 0
    rig.forms.close()


def take(viewer: Viewer) -> tuple[FrameHeader, OutgoingFrame]:
    frame = viewer.outgoing()
    assert frame is not None
    frame.done()
    return decode_frame(frame.header + bytes(frame.payload))[0], frame


def test_a_frame_is_a_doorbell_with_the_viewers_own_header(rig: Rig) -> None:
    mine, other = rig.viewer(1), rig.viewer(2)
    rig.set(1, mine, other)
    header, frame = take(mine)
    assert header.flags & FrameFlags.SHARED_MEMORY
    assert (header.number, header.client_time, header.payload_bytes) == (1, 99, 16)
    assert not frame.payload
    second, _ = take(other)
    assert (second.slot, second.seq, second.client_time) == (header.slot, header.seq, 0)
    data = rig.file.path.read_bytes()
    at = rig.file.page.slot_at(header.slot or 0)
    assert data[at + 128 : at + 144] == b"\1" * 16
    inside, _ = decode_frame(data[at + 64 : at + 144])
    assert (inside.flags & FrameFlags.SHARED_MEMORY, inside.client_time, inside.number) == (0, 0, 1)


def test_memory_stands_before_the_first_doorbell_of_each_file(rig: Rig) -> None:
    viewer = rig.viewer()
    rig.set(1, viewer)
    _, frame = take(viewer)
    assert frame.before is not None
    page = rig.file.page
    assert decode_answer(frame.before) == Memory(
        stream=7, file=str(rig.file.path), nonce=page.nonce, slots=page.slots, stride=page.slot_stride
    )
    viewer.ack(1)
    rig.set(2, viewer)
    assert take(viewer)[1].before is None
    viewer.restart()
    rig.set(3, viewer)
    assert take(viewer)[1].before == frame.before, "another connection is told again"


def test_who_reads_over_the_link_gets_the_bytes_of_the_slot(rig: Rig) -> None:
    shared, plain = rig.viewer(1), rig.viewer(2, shared=False)
    (payload,) = rig.set(1, shared, plain)
    assert isinstance(payload.lease, SlotLease)
    frame = plain.outgoing()
    assert frame is not None
    assert bytes(frame.payload) == b"\1" * 16
    take(shared)
    shared.ack(1)
    assert rig.file._lent[payload.lease.slot], "it is being sent"
    frame.done()
    assert rig.held() == 0


def test_a_payload_on_the_heap_goes_over_the_link(rig: Rig) -> None:
    viewer = rig.viewer()
    lease = rig.heap.lend(16)
    viewer.hold(
        ViewerSet(ReleasedSet(0, 0, 0, False), ((0, Payload(SPEC.format, 4, 4, 4, 16, FrameFlags(0), lease)),), True)
    )
    header, frame = take(viewer)
    assert header.slot is None
    assert len(frame.payload) == 16
    assert frame.before is None


def test_a_slot_is_held_until_its_ack(rig: Rig) -> None:
    viewer = rig.viewer(credit=3)
    for number in (1, 2, 3):
        rig.set(number, viewer)
        take(viewer)
    assert rig.held() == 3
    viewer.ack(4)  # never sent
    viewer.ack(0)
    assert rig.held() == 3
    viewer.ack(2)  # cumulative
    assert rig.held() == 1
    viewer.ack(3)
    viewer.ack(3)
    assert rig.held() == 0


def test_a_held_picture_is_held_until_a_later_ack_or_the_next_held_one(rig: Rig) -> None:
    viewer = rig.viewer(credit=2)
    rig.set(1, viewer, held=True)
    take(viewer)
    viewer.ack(1)
    assert rig.held() == 1, "held frames need no ack, and this one says nothing of it"
    rig.set(1, viewer, held=True)
    take(viewer)
    assert rig.held() == 1
    rig.set(2, viewer)
    take(viewer)
    rig.set(2, viewer, held=True)
    take(viewer)
    assert rig.held() == 2
    viewer.ack(2)
    assert rig.held() == 1, "the one that was sent after it"
    rig.set(3, viewer)
    take(viewer)
    viewer.ack(3)
    assert rig.held() == 0


def test_a_placeholder_is_held_until_a_later_ack(rig: Rig) -> None:
    viewer = rig.viewer()
    rig.set(0, viewer, held=True)
    take(viewer)
    rig.set(1, viewer)
    take(viewer)
    assert rig.held() == 2
    viewer.ack(1)
    assert rig.held() == 0


def test_all_outputs_of_a_set_go_with_its_ack(rig: Rig) -> None:
    viewer = rig.viewer(outputs=2)
    rig.set(1, viewer, outputs=2)
    (first, _), (second, frame) = take(viewer), take(viewer)
    assert first.slot != second.slot
    assert frame.before is None
    assert rig.held() == 2
    viewer.ack(1)
    assert rig.held() == 0


def test_a_viewer_that_is_gone_holds_nothing(rig: Rig) -> None:
    for leave in (Viewer.leave, Viewer.restart, Viewer.close):
        viewer = rig.viewer()
        rig.set(1, viewer)
        take(viewer)
        file = rig.file
        leave(viewer)
        assert not any(file._held)
        viewer.close()


def test_a_stalled_viewer_holds_up_nobody(rig: Rig) -> None:
    stalled, fast = rig.viewer(1), rig.viewer(2)
    rig.set(1, stalled, fast)
    first, _ = take(stalled)
    for number in range(1, 30):
        if number > 1:
            rig.set(number, stalled, fast)
        header, _ = take(fast)
        assert header.slot is not None, "no slot was found"
        fast.ack(number)
    assert stalled.outgoing() is None
    data = rig.file.path.read_bytes()
    assert int.from_bytes(data[rig.file.page.slot_at(first.slot or 0) :][:8], "little") == first.seq, "it has its slot"


def test_many_stalled_viewers_lose_the_oldest(rig: Rig) -> None:
    stalled = [rig.viewer(key) for key in range(1, 8)]
    for number, viewer in enumerate(stalled, 1):
        rig.set(number, viewer)
        header, _ = take(viewer)
        assert header.slot is not None
    assert rig.file.taken == 3
    assert rig.held() == 4
    for number, viewer in enumerate(stalled, 1):
        viewer.ack(number)
    assert rig.held() == 0


def test_a_resize_leaves_slots_of_the_old_file_to_their_readers(rig: Rig) -> None:
    viewer = rig.viewer(credit=2)
    rig.set(1, viewer)
    take(viewer)
    old = rig.file
    lease = rig.forms.sink_for(7, SPEC, Size(4, 4)).lend(100_000)
    payload = Payload(SPEC.format, 100_000, 1, 100_000, 100_000, FrameFlags(0), lease)
    viewer.offer(ViewerSet(ReleasedSet(2, 2, 0, True), ((0, payload),)), 0.0)
    _, frame = take(viewer)
    assert frame.before is not None
    assert rig.file is not old
    assert old.path.exists()
    viewer.ack(1)
    assert not old.path.exists()


def test_a_file_that_somebody_removed_is_made_again_for_newcomers(rig: Rig) -> None:
    old, newcomer = rig.viewer(1), rig.viewer(2)
    rig.set(1, old)
    take(old)
    old.ack(1)
    lost = rig.file
    lost.path.unlink()
    rig.set(2, old, newcomer)
    assert take(old)[0].slot is not None, "what is mapped stays good"
    header, frame = take(newcomer)
    assert header.slot is None, "the newcomer could not open it"
    assert bytes(frame.payload) == b"\2" * 16
    for viewer in (old, newcomer):
        viewer.ack(2)
    rig.set(3, old, newcomer)
    for viewer in (old, newcomer):
        header, frame = take(viewer)
        assert header.slot is not None
        assert frame.before is not None
    assert rig.file is not lost
    assert lost.closed
