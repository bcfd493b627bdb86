"""Shared memory over real links: doorbells to engines, files of engines, cuts, limits, and the end."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from app_rig import AppRig, color, run

import bridge.client.session
from bridge.client import Client
from bridge.client.shared_memory import MemoryReader
from bridge.codec.frame import FrameHeader, encode_frame_header
from bridge.codec.messages import (
    Ack,
    EngineMemory,
    Error,
    Image,
    Memory,
    Open,
    Ping,
    Set,
    Unsubscribe,
)
from bridge.codec.shared_memory import encode_page, page_for
from bridge.links.engine_memory import EngineFile
from bridge.types import FrameFlags, Mode

KINDS = pytest.mark.parametrize("kind", ["tcp", "websocket"])
SHARED = {"shared_memory": True}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the files are: a short name, since `memory` goes whole to an engine whose socket takes 1,024 bytes."""
    with tempfile.TemporaryDirectory(prefix="txb") as name:
        yield Path(name)


def rig_in(tmp_path: Path, folder: Path, streams: dict | None = None, **config: dict) -> AppRig:
    return AppRig(tmp_path, streams, link={"memory_folder": str(folder)}, **config)


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*.txbs"))


def is_bell(header: FrameHeader) -> bool:
    return header.slot is not None


@contextmanager
def reader(memory: Memory) -> Iterator[MemoryReader]:
    mapped = MemoryReader(memory)
    try:
        yield mapped
    finally:
        mapped.close()


def number_in(mapped: MemoryReader, header: FrameHeader) -> int | None:
    """The colour of a doorbell's picture as a number; None if it was taken from us."""
    copied = mapped.copy(header)
    if copied is None:
        return None
    pixels = np.frombuffer(copied[1], np.uint8).reshape(header.height, header.width, 4)
    assert (pixels == pixels[0, 0]).all()
    red, green, blue = (int(channel) for channel in pixels[0, 0, :3])
    return red << 16 | green << 8 | blue


# --- from the bridge -----------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("largest", [None, 1024])
def test_frames_come_by_doorbells(tmp_path: Path, folder: Path, kind: str, largest: int | None) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            engine = await rig.engine(kind, hello={**SHARED, "max_message_bytes": largest})
            assert "shared_memory" in engine.welcome.features
            assert (await engine.subscribe(**SHARED)).shared_memory
            for number in (1, 2, 3):
                await engine.run(params={"fill": color(number)})
                frame = await engine.frame(lambda frame, number=number: frame.header.number == number)
                assert is_bell(frame.header)
                assert frame.header.payload_bytes == 32 * 16 * 4
                assert not frame.data
                (memory,) = engine.of(Memory)
                assert engine.log.index(memory) == engine.log.index(engine.frames[0]) - 1, "right before it"
                with reader(memory) as mapped:
                    assert number_in(mapped, frame.header) == number
            assert [Path(memory.file)] == files(folder)
            if os.name == "posix":
                assert os.stat(memory.file).st_mode & 0o777 == 0o600
                assert os.stat(folder).st_mode & 0o777 == 0o700
        assert not os.listdir(folder)

    run(test)


@pytest.mark.skipif(os.name != "posix", reason="paths are shorter on Windows")
def test_a_long_path_comes_in_parts(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        deep = folder.joinpath(*("x" * 250 for _ in range(5)))
        async with rig_in(tmp_path, deep) as rig:
            engine = await rig.engine(hello={**SHARED, "max_message_bytes": 1024})
            await engine.subscribe(**SHARED)
            for number in (1, 2):
                await engine.run(params={"fill": color(number)})
                frame = await engine.frame(lambda frame, number=number: frame.header.number == number)
                (memory,) = engine.of(Memory)
                assert len(memory.file) > 1024
                with reader(memory) as mapped:
                    assert number_in(mapped, frame.header) == number

    run(test)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a mapped file from being made shorter")
def test_a_file_that_another_program_made_shorter_gives_way(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            engine, late = await rig.engine(hello=SHARED), await rig.engine()
            await engine.subscribe(**SHARED)
            await engine.run(params={"fill": color(1)})
            await engine.frame(lambda frame: frame.header.number == 1)
            (first,) = engine.of(Memory)
            os.truncate(first.file, 4096)
            await late.subscribe()  # is sent what lay in the slot
            await late.frame(lambda frame: frame.header.number == 1, held=True)
            for number in (2, 3):
                await engine.run(params={"fill": color(number)})
                await engine.frame(lambda frame, number=number: frame.header.number == number)
            memory = engine.of(Memory)[-1]
            assert memory.file != first.file
            with reader(memory) as mapped:
                assert number_in(mapped, engine.frames[-1].header) == 3

    run(test)


@KINDS
def test_who_did_not_ask_gets_frames_of_the_same_slots(tmp_path: Path, folder: Path, kind: str) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            shared, quiet = await rig.engine("tcp", hello=SHARED), await rig.engine(kind)
            assert (await shared.subscribe(**SHARED)).shared_memory
            assert (await quiet.subscribe(**SHARED)).shared_memory is None, "hello said nothing of it"
            await shared.run(params={"fill": color(77)})
            bell, frame = await shared.frame(), await quiet.frame()
            assert frame.number == 77
            assert is_bell(bell.header)
            with reader(shared.of(Memory)[0]) as mapped:
                assert number_in(mapped, bell.header) == 77
            assert rig.bridge.buffers.stats().lent <= 2, "placeholders alone are on the heap"

    run(test)


def test_encoded_forms_and_a_bridge_that_shares_nothing(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            engine = await rig.engine(hello=SHARED)
            assert (await engine.subscribe(format="jpeg", **SHARED)).shared_memory is None
        async with rig_in(tmp_path, folder, limits={"shared_memory_mb": 0}) as rig:
            engine = await rig.engine(hello=SHARED)
            assert "shared_memory" not in engine.welcome.features
            assert (await engine.subscribe(**SHARED)).shared_memory is None
            await engine.run(params={"fill": color(5)})
            assert (await engine.frame()).number == 5

    run(test)


def test_all_outputs_of_a_set_are_in_one_file(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            engine = await rig.engine(hello=SHARED)
            await engine.subscribe(**SHARED)
            await engine.run(params={"fill": color(1), "depth": color(2)})
            await engine.until(lambda: len(engine.frames) == 2)
            first, second = (frame.header for frame in engine.frames)
            assert (first.output, second.output) == (0, 1)
            assert first.slot != second.slot
            with reader(engine.of(Memory)[0]) as mapped:
                assert [number_in(mapped, header) for header in (first, second)] == [1, 2]

    run(test)


def test_a_stalled_viewer_holds_up_nobody_and_keeps_what_it_holds(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            stalled, fast = await rig.engine(hello=SHARED), await rig.engine("websocket", hello=SHARED)
            stalled.acks = False
            for engine in (stalled, fast):
                await engine.subscribe(**SHARED)
            for number in range(1, 20):
                await fast.run(params={"fill": color(number)})
                frame = await fast.frame(lambda frame, number=number: frame.header.number == number)
                assert is_bell(frame.header)
                with reader(fast.of(Memory)[0]) as mapped:
                    assert number_in(mapped, frame.header) == number
            assert len(stalled.frames) == 1
            assert fast.of(Memory) == stalled.of(Memory), "one file serves both"
            with reader(stalled.of(Memory)[0]) as mapped:
                assert number_in(mapped, stalled.frames[0].header) == 1, "its slot was not used again"
            stalled.send(Ack(stream="main", number=1))
            frame = await stalled.frame(lambda frame: frame.header.number > 1)
            assert frame.header.number == 19

    run(test)


@KINDS
def test_an_engine_that_is_killed_gives_its_slots_back(tmp_path: Path, folder: Path, kind: str) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            victim, other = await rig.engine(kind, hello=SHARED), await rig.engine(hello=SHARED)
            victim.acks = False
            for engine in (victim, other):
                await engine.subscribe(credit=4, **SHARED)
            for number in range(1, 4):
                await other.run(params={"fill": color(number)})
                await victim.frame(lambda frame, number=number: frame.header.number == number)
            (form,) = rig.bridge.memory._forms.values()
            file = form._file
            assert sum(bool(held) for held in file._held) >= 3
            await other.frame(lambda frame: frame.header.number == 3)
            await other.ask(Ping)  # what it acked is there
            await victim.cut()
            await rig.until(lambda: not any(file._held), "its slots")
            await other.ask(Unsubscribe, stream="main")
            assert not file.closed, "the session may be back within 30 s"

    run(test)


def test_a_resumed_session_is_told_of_the_file_again(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            engine = await rig.engine(hello=SHARED)
            await engine.subscribe(**SHARED)
            await engine.run(params={"fill": color(9)})
            await engine.frame()
            await engine.cut()
            back = await rig.engine(hello={**SHARED, "session": engine.welcome.session})
            held = await back.frame(held=True)
            assert is_bell(held.header)
            assert back.of(Memory) == engine.of(Memory)
            with reader(back.of(Memory)[0]) as mapped:
                assert number_in(mapped, held.header) == 9
            await back.cut()
            without = await rig.engine(hello={"session": engine.welcome.session})
            assert (await without.frame(held=True)).number == 9, "this connection said nothing of shared memory"
            await without.run(params={"fill": color(10)})
            assert (await without.frame()).number == 10
            assert not files(folder), "nobody reads it, and the picture that was in it is shown no more"

    run(test)


@KINDS
def test_a_larger_picture_is_in_another_file(tmp_path: Path, folder: Path, kind: str) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            engine = await rig.engine(kind, hello=SHARED)
            engine.acks = False
            await engine.subscribe(**SHARED)
            await engine.run(params={"fill": color(1)})
            await engine.frame()
            await engine.ask(Open, stream="main", workflow="solid", mode=Mode.ONESHOT, size=(256, 128))
            assert len(files(folder)) == 1
            request = await engine.run(params={"fill": color(2)})
            await engine.finish(request)
            assert len(files(folder)) == 2, "the first is still in hand"
            engine.send(Ack(stream="main", number=1))
            frame = await engine.frame(lambda frame: frame.header.number == 2)
            assert (frame.header.width, frame.header.height) == (256, 128)
            first, second = engine.of(Memory)
            assert first.file != second.file
            assert first.nonce != second.nonce
            with reader(second) as mapped:
                assert number_in(mapped, frame.header) == 2
            assert files(folder) == [Path(second.file)]

    run(test)


def test_over_the_limit_frames_come_over_the_link_and_words_are_said(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder, limits={"shared_memory_mb": 1}) as rig:
            engine = await rig.engine(hello=SHARED)
            await engine.subscribe(size=(512, 512), **SHARED)
            await engine.run(params={"fill": color(3)})
            frame = await engine.frame()
            assert frame.number == 3
            await engine.until(lambda: bool(engine.of(Error)))
            (error,) = engine.of(Error)
            assert (error.code, error.name, error.id, error.fatal) == (605, "shared_memory_full", None, False)
            assert error.stream == 1
            assert "shared_memory_mb" in error.message
            await engine.subscribe(**SHARED)
            await engine.run(params={"fill": color(4)})
            assert is_bell((await engine.frame(lambda frame: frame.header.number == 2)).header)

    run(test)


# --- the client ----------------------------------------------------------------------------------------------


@KINDS
def test_the_client_reads_from_shared_memory(tmp_path: Path, folder: Path, kind: str) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig:
            addresses = rig.server.addresses
            address = addresses.tcp if kind == "tcp" else f"ws://{addresses.link}/link"
            async with Client(address, shared_memory=True) as client:
                frames = await client.subscribe("main")
                for number in range(1, 12):
                    await client.run("main", {"fill": color(number)})
                    frame = await frames.next(10)
                    while frame.number != number:
                        frame = await frames.next(10)
                    assert frames.memory is not None
                    assert not frame.header.flags & FrameFlags.SHARED_MEMORY
                    assert frame.header.slot is None
                    assert (frame.pixels[..., 2] == number).all()
                assert frames.missed == 0

    run(test)


def test_the_client_goes_without_where_the_file_can_not_be_had(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(memory: Memory) -> MemoryReader:
        raise FileNotFoundError(f"{memory.file}: another host")

    monkeypatch.setattr(bridge.client.session, "MemoryReader", elsewhere)

    async def test() -> None:
        async with rig_in(tmp_path, folder) as rig, Client(rig.server.addresses.tcp, shared_memory=True) as client:
            frames = await client.subscribe("main")
            for number in range(1, 5):
                await client.run("main", {"fill": color(number)})
                frame = await frames.next(10)
                while frame.number != number:
                    frame = await frames.next(10)
                assert (frame.pixels[..., 2] == number).all()
            assert frames.memory is None
            assert frames.message.shared_memory is None
            assert not files(folder), "nobody reads it"

    run(test)


def test_a_client_that_loses_a_picture_goes_on(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(MemoryReader):
        turns = 0

        def copy(self, header: FrameHeader) -> object:  # type: ignore[override]
            Torn.turns += 1
            return None if Torn.turns % 2 else super().copy(header)

    monkeypatch.setattr(bridge.client.session, "MemoryReader", Torn)

    async def test() -> None:
        streams = {"main": {"workflow": "pair", "mode": "oneshot"}}
        async with rig_in(tmp_path, folder, streams) as rig:
            client = await Client.connect(rig.server.addresses.tcp, shared_memory=True)
            one = await client.subscribe("main", outputs=[0])
            await one.next(10)  # the placeholder
            for number in (1, 3, 5):
                waiting = asyncio.ensure_future(one.next(10))
                for fill in (number, number + 1):
                    await (await client.run("main", {"fill": color(fill)})).finished(10)
                frame = await waiting
                assert frame.number == number + 1
                assert (frame.pixels[..., 2] == number + 1).all()
            assert one.missed == 3
            assert Torn.turns == 6
            await client.close()

    run(test)


# --- to the bridge -------------------------------------------------------------------------------------------


class OwnFile:
    """What an engine does to send pictures by shared memory."""

    def __init__(self, path: Path, slots: int = 4, capacity: int = 32 * 16 * 4) -> None:
        self.page = page_for(capacity, slots, generation=1, nonce=0xFEDCBA9876543210, pid=os.getpid())
        self.path = path
        self._seqs = [0] * slots
        path.write_bytes(encode_page(self.page) + bytes(self.page.file_bytes - 40))

    def write(self, slot: int, red: int, *, flags: int = 0, torn: bool = False) -> dict[str, int]:
        pixels = np.zeros((16, 32, 4), np.uint8)
        pixels[..., 0], pixels[..., 3] = red, 255
        pixels[0, :, 1] = 200  # the first row is known by its green
        header = FrameHeader(flags, 0, 0, 0, 0, 0, 1, 1, 32, 16, 128, 2048)
        self._seqs[slot] += 2
        seq = self._seqs[slot]
        with open(self.path, "r+b") as file:
            file.seek(self.page.slot_at(slot))
            head = struct.pack("<Q", seq + torn) + bytes(56) + encode_frame_header(header)
            file.write(head + pixels.tobytes())
        return {"slot": slot, "seq": seq}

    @property
    def words(self) -> dict[str, object]:
        page = self.page
        return {"file": str(self.path), "nonce": page.nonce, "slots": page.slots, "stride": page.slot_stride}


@KINDS
def test_pictures_of_an_engine_by_slot(tmp_path: Path, folder: Path, kind: str) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            engine = await rig.engine(kind, hello=SHARED)
            await engine.subscribe()
            own = OwnFile(folder / "engine.bin")
            await engine.ask(EngineMemory, **own.words)
            request = await engine.run(params={"picture": own.write(2, 10)})
            own.write(2, 99)  # `accepted` has come: the slot is the engine's again
            await engine.finish(request)
            frame = await engine.frame(lambda frame: frame.header.request == request)
            assert (frame.pixels[..., 0] == 10).all()
            assert (frame.pixels[0, :, 1] == 200).all()
            await engine.set(params={"picture": own.write(3, 20, flags=8)})
            request = await engine.run()
            frame = await engine.frame(lambda frame: frame.header.request == request)
            assert (frame.pixels[..., 0] == 20).all()
            assert (frame.pixels[-1, :, 1] == 200).all(), "the first row of its bytes is the lowest"
            await engine.ask(Image, stream="main", param="picture", value=own.write(0, 30))
            request = await engine.run()
            frame = await engine.frame(lambda frame: frame.header.request == request)
            assert (frame.pixels[..., 0] == 30).all()

    run(test)


def test_slots_that_can_not_be_read_change_nothing(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            own = OwnFile(folder / "engine.bin")
            good = own.write(1, 1)
            refused = await engine.refused(Set, stream="main", params={"picture": good})
            assert (refused.code, refused.field) == (411, "picture"), "no file was told of"
            await engine.ask(EngineMemory, **own.words)
            bad = [
                ({"slot": 4, "seq": 2}, 103),
                ({"slot": 1, "seq": 4}, 103),
                ({"slot": 0, "seq": 2}, 103),
                ({"slot": 1, "seq": 1}, 103),
                (own.write(2, 1, torn=True), 103),
                ({"slot": 1}, 301),
                ({"slot": "1", "seq": 2}, 301),
                ({"slot": True, "seq": 2}, 301),
                ({"slot": -1, "seq": 2}, 301),
                ({"slot": 1, "seq": 0.5}, 301),
                ({"slot": 2**64 - 1, "seq": 2}, 103),
            ]
            for value, code in bad:
                refused = await engine.refused(Set, stream="main", params={"picture": value})
                assert (refused.code, refused.field) == (code, "picture"), value
            os.truncate(own.path, 5000)
            assert (await engine.refused(Set, stream="main", params={"picture": good})).code == 103
            await engine.ask(Ping)

    run(test)


def test_a_message_that_names_a_slot_many_times_copies_it_once(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def read_slot(self: EngineFile, slot: int, *more: int) -> tuple[FrameHeader, bytes]:
        read.append(slot)
        return copy(self, slot, *more)

    copy = EngineFile.read_slot
    monkeypatch.setattr(EngineFile, "read_slot", read_slot)

    async def test() -> None:
        async with rig_in(tmp_path, folder, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            own = OwnFile(folder / "engine.bin")
            await engine.ask(EngineMemory, **own.words)
            values = own.write(1, 1), own.write(2, 1)
            many = {f"p{number}": values[number % 2] for number in range(200)}
            assert (await engine.refused(Set, stream="main", params=many)).code == 204
            assert sorted(read) == [1, 2]

    run(test)


def test_files_that_are_not_to_be_opened(tmp_path: Path, folder: Path) -> None:
    async def test() -> None:
        async with rig_in(tmp_path, folder, limits={"shared_memory_mb": 1}) as rig:
            engine = await rig.engine()
            own = OwnFile(folder / "engine.bin")
            secret = folder / "secret"
            secret.write_bytes(b"-----BEGIN PRIVATE KEY-----\n" * 1000)
            large = OwnFile(folder / "large.bin", capacity=1 << 20)
            for wrong, code in (
                ({**own.words, "file": str(secret)}, 103),
                ({**own.words, "file": "engine.bin"}, 411),
                ({**own.words, "file": str(folder)}, 411),
                ({**own.words, "file": str(folder / "nothing")}, 411),
                ({**own.words, "nonce": 1}, 103),
                ({**own.words, "slots": 5}, 103),
                (large.words, 411),
            ):
                refused = await engine.refused(EngineMemory, **wrong)
                assert refused.code == code, wrong
                assert "PRIVATE" not in refused.message
            await engine.ask(EngineMemory, **own.words)
            await engine.ask(EngineMemory, **own.words)  # in the place of the first
            assert len(rig.server._link_hub.memory._files) == 1
            await engine.cut()
            await rig.until(lambda: not rig.server._link_hub.memory._files, "the file to be closed")

    run(test)


@KINDS
def test_the_client_sends_pictures_by_shared_memory(tmp_path: Path, folder: Path, kind: str) -> None:
    made = []

    async def test() -> None:
        async with rig_in(tmp_path, folder, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            addresses = rig.server.addresses
            address = addresses.tcp if kind == "tcp" else f"ws://{addresses.link}/link"
            async with Client(address, shared_memory=True) as client:
                pictures = await client.share_pictures(32 * 16 * 4)
                made.append(pictures.message.file)
                frames = await client.subscribe("main")
                for number in range(1, 8):
                    pixels = np.full((16, 32, 4), number, np.uint8)
                    pixels[..., 3] = 255
                    run = await client.run("main", {"picture": pictures.write(pixels)})
                    frame = await frames.next(10)
                    while frame.header.request != run.request:
                        frame = await frames.next(10)
                    assert (frame.pixels == pixels).all()
                link = client._session._link
                assert link is not None
                link.abort()  # on the next connection the bridge is told again
                await client.ping()
                await client.set("main", {"picture": pictures.write(np.full((16, 32, 4), 9, np.uint8))})

    run(test)
    assert [os.path.exists(file) for file in made] == [False]
