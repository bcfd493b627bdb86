"""A client's own pictures in shared memory, read as the bridge reads them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.client.picture_memory import PictureMemory
from bridge.client.recovery import Opened
from bridge.codec.messages import Open
from bridge.errors import FrameDecodeError, InvalidValueError
from bridge.links.engine_memory import EngineFile
from bridge.types import Mode, PixelFormat


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[PictureMemory]:
    memory = PictureMemory(1000, folder=tmp_path)
    yield memory
    memory.close()
    memory.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def file(memory: PictureMemory) -> Iterator[EngineFile]:
    told = memory.message
    file = EngineFile.open(told.file, told.nonce, told.slots, told.stride, 1 << 20)
    yield file
    file.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows doesn't let anybody cut a mapped file")
def test_a_file_that_somebody_made_shorter_is_an_error_and_not_the_end(memory: PictureMemory) -> None:
    assert memory.write(np.zeros((2, 2, 4), np.uint8))
    os.truncate(memory.message.file, 4096)
    with pytest.raises(OSError, match="made this file shorter"):
        memory.write(np.zeros((2, 2, 4), np.uint8))


@pytest.mark.skipif(os.name != "posix", reason="Windows has other rights")
def test_the_file_is_the_users_alone_and_has_no_holes(memory: PictureMemory) -> None:
    found = os.stat(memory.message.file)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_blocks * 512 >= found.st_size


@pytest.mark.parametrize(
    ("format", "shape", "dtype"),
    [
        ("rgba8", (5, 7, 4), np.uint8),
        ("rgb8", (5, 7, 3), np.uint8),
        ("r8", (5, 7), np.uint8),
        ("r16", (5, 7, 1), np.uint16),
        ("r16f", (5, 7), np.float16),
        ("r32f", (5, 7), np.float32),
    ],
)
def test_pictures_of_every_kind(
    memory: PictureMemory, file: EngineFile, format: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    value = memory.write(pixels, format, "bottom_left")
    header, data = file.read_slot(value["slot"], value["seq"])
    assert (header.width, header.height, PixelFormat(header.format).word, header.flags) == (7, 5, format, 8)
    assert data == pixels.tobytes()
    turned = memory.write(pixels[::-1], format)
    header, data = file.read_slot(turned["slot"], turned["seq"])
    assert header.flags == 0
    assert data == pixels[::-1].tobytes()


def test_slots_are_written_in_turn(memory: PictureMemory, file: EngineFile) -> None:
    values = [memory.write(np.full((2, 2), number, np.uint8), "r8") for number in range(5)]
    assert [value["slot"] for value in values] == [0, 1, 2, 3, 0]
    for number, value in enumerate(values[1:], 1):
        assert file.read_slot(value["slot"], value["seq"])[1] == bytes([number]) * 4
    with pytest.raises(FrameDecodeError, match="written over"):
        file.read_slot(values[0]["slot"], values[0]["seq"])


@pytest.mark.parametrize(
    ("pixels", "format"),
    [
        (np.zeros((2, 2, 4), np.uint8), "jpeg"),
        (np.zeros((2, 2, 4), np.uint8), "nothing"),
        (np.zeros((2, 2, 3), np.uint8), "rgba8"),
        (np.zeros((2, 2), np.float32), "r8"),
        (np.zeros(4, np.uint8), "r8"),
        (np.zeros((0, 2), np.uint8), "r8"),
        (np.zeros((40, 40), np.uint8), "r8"),
    ],
)
def test_what_does_not_fit_is_refused(memory: PictureMemory, pixels: np.ndarray, format: str) -> None:
    with pytest.raises(InvalidValueError):
        memory.write(pixels, format)


def test_a_closed_memory_takes_nothing(tmp_path: Path) -> None:
    memory = PictureMemory(10, folder=tmp_path)
    memory.close()
    with pytest.raises(ValueError, match="closed"):
        memory.write(np.zeros((1, 1), np.uint8), "r8")
    with pytest.raises(ValueError, match="slots"):
        PictureMemory(10, slots=3, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_places_are_not_said_again_to_a_new_bridge() -> None:
    opened = Opened()
    opened.opened(Open(stream="a", workflow="w", mode=Mode.LIVE), 1)
    opened.values_set("a", {"picture": {"slot": 1, "seq": 2}, "strength": 0.5})
    (message,) = opened.messages()
    assert isinstance(message, Open)
    assert message.params == {"strength": 0.5}
