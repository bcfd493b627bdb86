"""P2, the last hop alone: a payload that is ready in the bridge -> the engine has its bytes, by shared memory.

    python benchmarks/shared_memory.py [--side 512] [--rounds 400] [--json FILE]

The bridge's own doors, outbox and forms run in a process of their own, engines in this one; each round takes every way
once, in turn, after a short pause. Times go from just before the set is offered to its viewer (the payload lies in its
slot, or on the heap) until the engine has all bytes in memory of its own; both ends read one monotonic clock.

    R            one payload over a plain blocking TCP socket, `sendall` and `recv_into`: the limit from Python
    tcp          the bridge's TCP door, a blocking engine with `recv_into`
    shared       the bridge's TCP door rings, a blocking engine copies from shared memory and looks at seq again
    shared ws    the same over the WebSocket door, by the Python client
    client tcp   the Python client, frames over TCP
    client shm   the Python client, frames from shared memory

Goal: shared <= 0.8 R. What the writing of a payload costs is the same everywhere: it is decoded into the slot, or into
heap memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.goals import Row, median, ms
from bridge.app.records import ReleasedSet, ViewerSet
from bridge.app.viewers.memory import ViewerMemory
from bridge.app.viewers.shared_forms import SharedForms
from bridge.app.viewers.viewers import Viewer
from bridge.client import Client
from bridge.client.shared_memory import MemoryReader
from bridge.codec import messages as m
from bridge.codec.frame import decode_frame
from bridge.codec.framing import encode_length
from bridge.frames.leases import BufferPool
from bridge.frames.packets import Payload
from bridge.links.connection import Connection, LinkLimits, OutgoingFrame
from bridge.links.tcp import TcpDoor
from bridge.links.websocket import WebSocketDoor
from bridge.types import Delivery, FrameFlags, Mode, Origin, PayloadSpec, PixelFormat, Size

SPEC = PayloadSpec(PixelFormat.RGBA8)
GOAL = 0.8
PAUSE_S = 0.004


# --- the bridge's side ---------------------------------------------------------------------------------------


class LastHop:
    """A hub that offers a fresh set to a connection whenever that acks."""

    def __init__(self, side: int, folder: str) -> None:
        self.side = side
        self.payload_bytes = side * side * 4
        self.heap = BufferPool(1 << 29)
        self.forms = SharedForms(self.heap, 1 << 28, 1 << 28, time.perf_counter)
        self.forms.open(folder)
        self.viewers: dict[Connection, Viewer] = {}
        self.stamps: dict[Connection, int] = {}
        self.numbers = 0

    def hello(self, connection: Connection, message: m.Hello) -> m.Welcome:
        return m.Welcome(
            version=1,
            server="benchmark",
            boot="0" * 16,
            session=f"{id(connection):032x}",
            resumed=False,
            unfinished=[],
            features=["shared_memory"],
            limits={"max_message_bytes": 1 << 26},
            formats=["rgba8"],
            workflows=[],
            streams=[m.StreamSummary("main", 1, "w", Mode.ONESHOT, "ready")],
        )

    def message(self, connection: Connection, message: m.EngineMessage) -> None:
        if isinstance(message, m.Subscribe):
            memory = ViewerMemory(self.forms, 1) if message.shared_memory else None
            if memory is not None:
                self.forms.join(memory, id(connection), 1, SPEC)
            key = id(connection)
            self.viewers[connection] = Viewer(key, 1, None, SPEC, connection.wake, memory=memory)
            connection.send(
                m.Subscribed(
                    id=message.id,
                    number=1,
                    format="rgba8",
                    origin=Origin.TOP_LEFT,
                    delivery=Delivery.LATEST,
                    credit=1,
                    shared_memory=message.shared_memory,
                )
            )
        elif isinstance(message, m.Ack):
            self.viewers[connection].ack(message.number)
        elif isinstance(message, m.Ping):  # "now": an answer to it would stand before the frame
            self.offer(connection)
        elif isinstance(message, m.Unsubscribe) and message.id is not None:
            connection.send(m.Ok(id=message.id))

    def offer(self, connection: Connection) -> None:
        viewer = self.viewers[connection]
        shared = viewer.memory is not None
        sink = self.forms.sink_for(1, SPEC, Size(self.side, self.side)) if shared else self.heap
        lease = sink.lend(self.payload_bytes)
        self.numbers += 1
        np.frombuffer(lease.view, np.uint32)[:] = self.numbers  # as the decoder leaves it
        payload = Payload(SPEC.format, self.side, self.side, self.side * 4, self.payload_bytes, FrameFlags(0), lease)
        stamp = time.perf_counter_ns()
        shared_set = ReleasedSet(self.numbers, 1, 0, True, {id(connection): stamp})
        viewer.offer(ViewerSet(shared_set, ((0, payload),)), 0.0)

    def gone(self, connection: Connection) -> None:
        viewer = self.viewers.pop(connection, None)
        if viewer is not None:
            viewer.close()

    def next_frame(self, connection: Connection) -> OutgoingFrame | None:
        viewer = self.viewers.get(connection)
        return None if viewer is None else viewer.outgoing()


def send_plainly(pipe: Pipe, payload_bytes: int) -> None:
    """R, in a process of its own: a stamp and a payload for each byte that comes."""
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    peer, _ = listener.accept()
    listener.close()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LinkLimits().send_buffer_bytes)  # as the bridge's own
    payload = np.zeros(payload_bytes // 4, np.uint32)
    number = 0
    while peer.recv(1):
        number += 1
        payload[:] = number
        struct.pack_into("<Q", payload.data.cast("B"), 0, time.perf_counter_ns())
        peer.sendall(payload.data)
    peer.close()


def serve(pipe: Pipe, side: int, folder: str) -> None:
    async def main() -> None:
        hub = LastHop(side, folder)
        tcp, websocket = TcpDoor(hub), WebSocketDoor(hub)
        await tcp.start("127.0.0.1", 0)
        await websocket.start("127.0.0.1", 0)
        pipe.send((tcp.address, websocket.address))
        await asyncio.to_thread(pipe.recv)
        await tcp.close()
        await websocket.close()
        hub.forms.close()

    asyncio.run(main())


# --- engines -------------------------------------------------------------------------------------------------


class Plain:
    """R."""

    def __init__(self, port: int, payload_bytes: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = np.zeros(payload_bytes, np.uint8).data

    def take(self) -> int:
        self.socket.sendall(b"x")
        receive(self.socket, self.buffer)
        return time.perf_counter_ns() - int.from_bytes(self.buffer[:8], "little")


class Engine:
    """A blocking engine on TCP: frames into one buffer, over the socket or from shared memory."""

    def __init__(self, address: str, payload_bytes: int, shared: bool) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = np.zeros(payload_bytes, np.uint8).data
        self.head = memoryview(bytearray(4))
        self.small = memoryview(bytearray(4096))
        self.reader: MemoryReader | None = None
        self.number = 0
        self.tell(m.Hello(version=1, client="benchmark", shared_memory=shared or None))
        self.message()
        self.tell(
            m.Subscribe(
                id=1,
                stream=1,
                format="rgba8",
                origin=Origin.TOP_LEFT,
                delivery=Delivery.LATEST,
                credit=1,
                shared_memory=shared or None,
            )
        )
        self.message()

    def tell(self, message: m.Message) -> None:
        data = m.encode_message(message)
        self.socket.sendall(encode_length(len(data)) + data)

    def message(self) -> memoryview:
        receive(self.socket, self.head)
        length = int.from_bytes(self.head, "little")
        if length <= len(self.small):
            receive(self.socket, self.small[:length])
            return self.small[:length]
        receive(self.socket, self.small[:64])
        receive(self.socket, self.buffer)
        return self.small[:64]

    def take(self) -> int:
        self.tell(m.Ack(stream=1, number=self.number))
        self.tell(m.Ping())
        data = self.message()
        if data[:2] != b"TX":
            answer = m.decode_answer(data)
            assert isinstance(answer, m.Memory)
            self.reader = MemoryReader(answer)
            data = self.message()
        if data[6] & 128:
            header, _ = decode_frame(data)
            assert self.reader is not None
            self.copy(self.reader, header)
            end = time.perf_counter_ns()
            stamp, self.number = header.client_time, header.number
        else:
            end = time.perf_counter_ns()
            self.number = int.from_bytes(data[12:16], "little")
            stamp = int.from_bytes(data[48:56], "little")
        words = np.frombuffer(self.buffer, np.uint32)
        assert words[0] == words[-1] == self.number
        return end - stamp

    def copy(self, reader: MemoryReader, header: Any) -> None:
        """As the client does it, into the engine's one buffer (its texture's memory)."""
        at = 4096 + header.slot * reader._page.slot_stride
        assert reader._words[at // 8] == header.seq
        self.buffer[:] = reader._bytes[at + 128 : at + 128 + header.payload_bytes]
        assert reader._words[at // 8] == header.seq


class ByClient:
    """The Python client on an event loop of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, shared: bool) -> None:
        self.loop = loop
        self.client = loop.run_until_complete(Client.connect(address, shared_memory=shared))
        self.frames = loop.run_until_complete(self.client.subscribe("main"))

    def take(self) -> int:
        async def next_frame() -> int:
            waiting = asyncio.ensure_future(self.frames.next(10))
            await asyncio.sleep(0)  # its ack goes out first
            link = self.client._session._link
            assert link is not None
            link.send(m.Ping())
            frame = await waiting
            end = time.perf_counter_ns()
            assert frame.pixels.view(np.uint32)[-1, -1, 0] == frame.number
            return end - frame.header.client_time

        return self.loop.run_until_complete(next_frame())

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())


def receive(peer: socket.socket, buffer: memoryview) -> None:
    got = 0
    while got < len(buffer):
        more = peer.recv_into(buffer[got:])
        if not more:
            raise ConnectionError("the bridge's side has ended")
        got += more


# --- the run -------------------------------------------------------------------------------------------------


def measure(side: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way, round by round."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="txb", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        payload_bytes = side * side * 4
        plain = context.Process(target=send_plainly, args=(theirs, payload_bytes), daemon=True)
        plain.start()
        port = ours.recv()
        child = context.Process(target=serve, args=(theirs, side, folder))
        child.start()
        tcp, websocket = ours.recv()
        loop = asyncio.new_event_loop()
        clients = {
            "shared ws": ByClient(loop, f"ws://{websocket}/link", True),
            "client tcp": ByClient(loop, tcp, False),
            "client shm": ByClient(loop, tcp, True),
        }
        ways: dict[str, Callable[[], int]] = {
            "R": Plain(port, payload_bytes).take,
            "tcp": Engine(tcp, payload_bytes, False).take,
            "shared": Engine(tcp, payload_bytes, True).take,
            **{name: client.take for name, client in clients.items()},
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 20):
            for name, take in ways.items():
                time.sleep(PAUSE_S)
                took = take() / 1e6
                if turn >= 20:
                    times[name].append(took)
        for client in clients.values():
            client.close()
        loop.close()
        ours.send("end")
        child.join(10)
        child.kill()
        plain.kill()
    return times


def measure_last_hop(rounds: int, side: int = 512) -> list[Row]:
    """P2's last hop: a blocking engine's, and the Python client's."""
    times = {name: [value / 1000 for value in values] for name, values in measure(side, rounds).items()}
    floor = median(times["R"])
    rows = []
    for case, name in (("last hop, engine", "shared"), ("last hop, client", "client shm")):
        found = median(times[name])
        sides = f"{ms(found)} against R {ms(floor)}"
        samples = {"s": times[name], "R_s": times["R"]}
        rows.append(Row("P2", case, found / floor, GOAL, " R", sides, samples=samples))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="P2, the last hop alone, by shared memory")
    parser.add_argument("--side", type=int, default=512, help="pixels of a side; 512 is one MiB of rgba8")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    times = measure(options.side, options.rounds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    floor = medians["R"]
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"{options.side}x{options.side} rgba8, {options.rounds} rounds, medians")
    for name, middle in medians.items():
        values = sorted(times[name])
        print(f"{name:11} {middle:7.3f} ms   p95 {values[int(len(values) * 0.95)]:7.3f} ms   {middle / floor:5.2f} R")
    ratio = medians["shared"] / floor
    print(f"P2, last hop by shared memory: {ratio:.2f} R, goal {GOAL} R: {'holds' if ratio <= GOAL else 'MISSED'}")
    if options.json is not None:
        options.json.write_text(json.dumps({"side": options.side, "medians_ms": medians, "ratio": ratio}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
