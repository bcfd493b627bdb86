"""An engine's own file: opened with care, read with checks."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.codec.frame import FrameHeader, encode_frame_header
from bridge.codec.shared_memory import encode_page, page_for
from bridge.errors import FrameDecodeError, InvalidValueError, NotAllowedError, TexbridgeError
from bridge.links import engine_memory
from bridge.links.engine_memory import EngineFile, _check_windows_path

PAGE = page_for(64, 4, generation=1, nonce=0x1122334455667788, pid=1)
HEADER = FrameHeader(0, 0, 0, 0, 0, 0, 1, 1, 4, 4, 16, 64)
PIXELS = bytes(range(64))


class Engine:
    """The engine's side: writes slots by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(encode_page(PAGE) + bytes(PAGE.file_bytes - 40))

    def put(self, at: int, data: bytes) -> None:
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def write(self, slot: int, seq: int, header: FrameHeader = HEADER, pixels: bytes = PIXELS) -> None:
        self.put(PAGE.slot_at(slot), struct.pack("<Q", seq) + bytes(56) + encode_frame_header(header) + pixels)

    def open(self, **wrong: Any) -> EngineFile:
        told = {"nonce": PAGE.nonce, "slots": PAGE.slots, "stride": PAGE.slot_stride, "max_bytes": 1 << 20, **wrong}
        return EngineFile.open(str(self.path), **told)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine.txbs")


@pytest.fixture(params=["pread", "mapped"])
def file(request: pytest.FixtureRequest, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineFile]:
    if request.param == "mapped":
        monkeypatch.delattr(os, "pread", raising=False)
    file = engine.open()
    yield file
    file.close()
    file.close()


def test_a_picture_is_copied(engine: Engine, file: EngineFile) -> None:
    engine.write(3, 14)
    header, data = file.read_slot(3, 14)
    engine.write(3, 16, pixels=bytes(64))
    assert (header, data) == (HEADER, PIXELS), "it is a copy"
    assert file.read_slot(3, 16)[1] == bytes(64)


@pytest.mark.parametrize(
    ("slot", "seq"), [(3, 12), (3, 16), (2, 14), (4, 14), (2**32, 14), (-1, 14), (3, 15), (3, 2**64)]
)
def test_another_slot_or_seq_is_refused(engine: Engine, file: EngineFile, slot: int, seq: int) -> None:
    engine.write(3, 14)
    with pytest.raises(FrameDecodeError, match=r"slot|seq|header"):
        file.read_slot(slot, seq)


def test_a_slot_that_is_being_written_is_refused(engine: Engine, file: EngineFile) -> None:
    engine.write(3, 13)
    with pytest.raises(FrameDecodeError, match="written over"):
        file.read_slot(3, 14)


def test_a_slot_written_over_while_it_is_read_is_refused(engine: Engine, file: EngineFile) -> None:
    engine.write(0, 2)
    read = file._read

    def read_slowly(length: int, offset: int) -> bytes:
        data = read(length, offset)
        if length == 64:  # the payload is copied: the engine begins the next picture
            engine.put(PAGE.slot_at(0), struct.pack("<Q", 3))
        return data

    file._read = read_slowly
    with pytest.raises(FrameDecodeError, match="written over"):
        file.read_slot(0, 2)


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, width=5),
        replace(HEADER, payload_bytes=68),
        replace(HEADER, width=5, row_pitch=20, payload_bytes=80),
    ],
)
def test_a_header_that_contradicts_itself_or_the_slot_is_refused(
    engine: Engine, file: EngineFile, header: FrameHeader
) -> None:
    engine.write(0, 2, header)
    with pytest.raises(FrameDecodeError):
        file.read_slot(0, 2)


def test_a_picture_over_the_limit_is_refused(engine: Engine, file: EngineFile) -> None:
    engine.write(0, 2)
    assert file.read_slot(0, 2, 64)[1] == PIXELS
    with pytest.raises(InvalidValueError, match="64 bytes > limit of 63"):
        file.read_slot(0, 2, 63)


@pytest.mark.skipif(not hasattr(os, "pread"), reason="Windows keeps a mapped file from being made shorter")
@pytest.mark.parametrize("length", [0, 39, 4096, 4096 + 100, 4096 + 128, 4096 + 130])
def test_a_file_made_shorter_harms_nobody(engine: Engine, length: int) -> None:
    engine.write(0, 2)
    file = engine.open()
    os.truncate(engine.path, length)
    with pytest.raises(FrameDecodeError):
        file.read_slot(0, 2)
    file.close()


@pytest.mark.parametrize("wrong", [{"nonce": 1}, {"slots": 5}, {"stride": 8192}])
def test_another_file_than_the_one_meant_is_refused(engine: Engine, wrong: dict[str, int]) -> None:
    with pytest.raises(FrameDecodeError, match="another"):
        engine.open(**wrong)


def test_a_page_that_is_none_is_refused_and_nothing_of_it_told(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "x")
    for data in (b"", b"TXBS", b"the secret of somebody\n" * 1000, encode_page(PAGE), encode_page(PAGE) + bytes(100)):
        engine.path.write_bytes(data)
        with pytest.raises(FrameDecodeError) as caught:
            engine.open()
        assert "secret of" not in caught.value.message


def test_a_file_over_the_limit_is_refused(engine: Engine) -> None:
    with pytest.raises(NotAllowedError, match="limit"):
        engine.open(max_bytes=PAGE.file_bytes - 1)
    engine.open(max_bytes=PAGE.file_bytes).close()


def no_file(folder: Path) -> str:
    return str(folder / "nothing")


def a_folder(folder: Path) -> str:
    return str(folder)


def a_link(folder: Path) -> str:
    (folder / "link").symlink_to(Engine(folder / "real").path)
    return str(folder / "link")


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
@pytest.mark.parametrize("make", [no_file, a_folder, a_link, a_pipe])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    with pytest.raises(NotAllowedError):
        EngineFile.open(make(tmp_path), 1, 4, 4096, 1 << 20)


@pytest.mark.parametrize("path", ["", "a.txbs", "../a", "/dev/shm/a\0b", "/" + "a" * 5000, "\ud800"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(TexbridgeError):
        EngineFile.open(path, 1, 4, 4096, 1 << 20)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no user numbers")
def test_a_file_of_somebody_else_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = engine.path.stat().st_uid
    monkeypatch.setattr(engine_memory.os, "getuid", lambda: owner + 1)
    with pytest.raises(NotAllowedError, match="own user"):
        engine.open()


def test_windows_takes_local_files_of_the_temporary_folder_alone(tmp_path: Path) -> None:
    temporary = tmp_path / "temp"
    temporary.mkdir()
    _check_windows_path(str(temporary / "a.txbs"), str(temporary))
    for path in ("\\\\server\\share\\a", "//server/share/a", "\\\\?\\C:\\a", "\\\\.\\pipe\\a", str(tmp_path / "a")):
        with pytest.raises(NotAllowedError):
            _check_windows_path(path, str(temporary))
