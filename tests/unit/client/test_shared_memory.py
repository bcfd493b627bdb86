"""The client's reader: what it refuses, and that it never gives a torn frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.client.shared_memory import MemoryReader
from bridge.codec.frame import FrameHeader
from bridge.codec.messages import Memory
from bridge.errors import FrameDecodeError
from bridge.links.memory_folder import MemoryFolder
from bridge.links.shared_memory import MemoryFile

HEADER = FrameHeader(64, 1, 9, 7, 0, 0, 1, 1, 16, 16, 64, 1024, 5)


class Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = MemoryFolder([folder])
        self.file = MemoryFile(self.folder, 1024, 4, 1)
        self.reader = object()
        page = self.file.page
        self.memory = Memory(
            stream=1, file=str(self.file.path), nonce=page.nonce, slots=page.slots, stride=page.slot_stride
        )

    def ring(self, byte: int) -> FrameHeader:
        lease = self.file.lend(1024)
        assert lease is not None
        lease.view[:] = bytes([byte]) * 1024
        seq = lease.announce(HEADER, self.reader)
        lease.release()
        return replace(HEADER, flags=HEADER.flags | 128, slot=lease.slot, seq=seq)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.file.close()
    writer.folder.close()


@pytest.fixture
def reader(writer: Writer) -> Iterator[MemoryReader]:
    reader = MemoryReader(writer.memory)
    yield reader
    reader.close()
    reader.close()


def test_a_frame_is_as_over_the_link(writer: Writer, reader: MemoryReader) -> None:
    copied = reader.copy(writer.ring(3))
    assert copied is not None
    header, data = copied
    assert header == HEADER
    assert bytes(data) == b"\3" * 1024
    assert data.readonly
    for byte in range(8):
        writer.ring(byte)
    assert bytes(data) == b"\3" * 1024, "it is a copy"


def test_a_slot_that_was_taken_is_not_given(writer: Writer, reader: MemoryReader) -> None:
    late = writer.ring(0)
    for byte in range(1, 5):
        writer.ring(byte)
    assert reader.copy(late) is None
    assert reader.torn == 1


def test_a_slot_that_is_taken_during_the_copy_is_not_given(writer: Writer, reader: MemoryReader) -> None:
    bell = writer.ring(0)

    class Fence:
        """Between the copy and the second look."""

        def __enter__(self) -> None:
            for byte in range(1, 5):
                writer.ring(byte)

        def __exit__(self, *_: object) -> None:
            pass

    reader._fence = Fence()  # type: ignore[assignment]
    assert reader.copy(bell) is None
    assert reader.torn == 1


@pytest.mark.parametrize(
    "wrong",
    [{"slot": 4}, {"slot": 2**32 - 1}, {"seq": 3}, {"payload_bytes": 1025}, {"slot": None, "seq": None}],
)
def test_a_doorbell_that_points_elsewhere_is_refused(
    writer: Writer, reader: MemoryReader, wrong: dict[str, int]
) -> None:
    with pytest.raises(FrameDecodeError):
        reader.copy(replace(writer.ring(1), **wrong))


@pytest.mark.parametrize("wrong", [{"nonce": 1}, {"slots": 5}, {"stride": 4096 * 2}])
def test_another_file_is_refused(writer: Writer, wrong: dict[str, int]) -> None:
    fields = {"file": writer.memory.file, "nonce": writer.memory.nonce, "slots": 4, "stride": writer.memory.stride}
    with pytest.raises(FrameDecodeError, match="another"):
        MemoryReader(Memory(stream=1, **{**fields, **wrong}))  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_an_os_error(writer: Writer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        MemoryReader(Memory(stream=1, file=str(tmp_path / "nothing"), nonce=1, slots=4, stride=4096))


def test_any_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"TXBS", b"x" * 10_000, b"TXBS\1\0\0\0" + b"\xff" * 5000):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(FrameDecodeError):
            MemoryReader(Memory(stream=1, file=str(tmp_path / "x"), nonce=1, slots=4, stride=4096))


def test_a_removed_file_stays_readable(writer: Writer, reader: MemoryReader) -> None:
    bell = writer.ring(7)
    writer.file.close()
    copied = reader.copy(bell)
    assert copied is not None
    assert bytes(copied[1]) == b"\7" * 1024


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a mapped file from being made shorter")
def test_a_file_that_somebody_made_shorter_is_a_dropped_frame(writer: Writer, reader: MemoryReader) -> None:
    bell = writer.ring(7)
    os.truncate(writer.file.path, 4096)  # a look beyond it ends the process
    assert reader.copy(bell) is None
    assert reader.torn == 1
