"""A writer and readers of one shared memory file as processes of their own, each started as a script.

    python shared_memory_stress.py reader WANTED     prints the UDP port of its bell, and at its end what it saw
    python shared_memory_stress.py writer FOLDER PORT ...    prints what `memory` says
    python shared_memory_stress.py burner            keeps a processor busy, so that everybody is interrupted

Every picture is full of its own number, so a copy with two numbers in it is torn. The writer waits for nobody: no slot
is ever acked, each is taken from its readers. A reader takes one picture by the client's way and one by a slow copy of
its own, in turn: there the check and what was copied are looked at apart.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bridge.client.shared_memory import MemoryReader
from bridge.codec.frame import FrameHeader, decode_frame, encode_frame_header
from bridge.codec.messages import Memory, decode_answer, encode_message
from bridge.codec.shared_memory import decode_page, place_doorbell
from bridge.links.memory_folder import MemoryFolder
from bridge.links.shared_memory import MemoryFile

WIDTH = HEIGHT = 512
PICTURE_BYTES = WIDTH * HEIGHT * 4


def write(folder: str, ports: list[int]) -> None:
    file = MemoryFile(MemoryFolder([Path(folder)]), PICTURE_BYTES, 4, 1)
    page = file.page
    memory = encode_message(
        Memory(stream=1, file=str(file.path), nonce=page.nonce, slots=page.slots, stride=page.slot_stride)
    )
    told = {"file": str(file.path), "nonce": page.nonce, "slots": page.slots, "stride": page.slot_stride}
    print(json.dumps(told), flush=True)
    bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    readers = [("127.0.0.1", port) for port in ports]
    number = 0
    while True:
        if number % 256 == 0:
            for reader in readers:
                bell.sendto(memory, reader)
        number += 1
        lease = file.lend(PICTURE_BYTES)
        assert lease is not None
        np.frombuffer(lease.view, np.uint32)[:] = number & 0xFFFF_FFFF
        header = FrameHeader(64, 1, number, number, 0, 0, 1, 1, WIDTH, HEIGHT, WIDTH * 4, PICTURE_BYTES)
        seq = lease.announce(header, "somebody")
        lease.release()
        data = encode_frame_header(replace(header, flags=64 | 128, slot=lease.slot, seq=seq))
        for reader in readers:
            bell.sendto(data, reader)
        if random.random() < 0.2:
            time.sleep(random.random() * 0.001)


def numbers_in(data: memoryview) -> tuple[int, int]:
    """The smallest and the largest number in a picture."""
    words = np.frombuffer(data, np.uint32)
    return int(words.min()), int(words.max())


def read(wanted: int) -> None:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("127.0.0.1", 0))
    print(ear.getsockname()[1], flush=True)
    reader: MemoryReader | None = None
    seen = {"accepted": 0, "rejected": 0, "wrong": 0, "slow": 0, "slow_rejected": 0, "torn": 0, "torn_passed": 0}
    turn = 0
    while seen["accepted"] < wanted or not seen["torn"]:
        header: FrameHeader | None = None
        ear.setblocking(True)
        try:
            while True:  # the newest bell there is
                data = ear.recv(65_536)
                if data[:4] == b"TXB1":
                    header = decode_frame(data)[0]
                elif reader is None:
                    answer = decode_answer(data)
                    assert isinstance(answer, Memory)
                    reader = MemoryReader(answer)
                ear.setblocking(False)
        except BlockingIOError:
            pass
        if header is None or reader is None:
            continue
        turn += 1
        if turn % 2:
            copied = reader.copy(header)
            if copied is None:
                seen["rejected"] += 1
                continue
            seen["accepted"] += 1
            if numbers_in(copied[1]) != (header.number, header.number):
                seen["wrong"] += 1
        else:
            place = place_doorbell(decode_page(reader._bytes, len(reader._bytes)), header)
            before = reader._words[place.seq_at // 8]
            picture = bytes(reader._bytes[place.payload_at : place.payload_at + header.payload_bytes])
            passes = before == reader._words[place.seq_at // 8] == header.seq
            torn = numbers_in(memoryview(picture)) != (header.number, header.number)
            seen["slow"] += 1
            seen["slow_rejected"] += not passes
            seen["torn"] += torn
            seen["torn_passed"] += torn and passes
    print(json.dumps(seen), flush=True)
    reader.close() if reader else None
    ear.close()


def burn() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "writer":
        write(arguments[0], [int(port) for port in arguments[1:]])
    elif role == "reader":
        read(int(arguments[0]))
    else:
        burn()
