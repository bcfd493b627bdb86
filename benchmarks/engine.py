"""An engine as quick as Python can be: a blocking TCP socket, frames received into a buffer that is there."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, NamedTuple

import msgpack

from bridge.client.shared_memory import MemoryReader
from bridge.codec.messages import decode_answer

LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<4sHHIIQIBBHIIIIQII")
HELD, SHARED = 4, 128
WHOLE = getattr(socket, "MSG_WAITALL", 0)
"""One system call for a whole frame, where there is such a thing."""


class Got(NamedTuple):
    """A frame: when its last byte was here, and what its header says."""

    at: float
    flags: int
    number: int
    request: int
    payload_bytes: int
    stream: int = 0


class Engine:
    """One connection with one stream. `view` holds the last message, and with `shared` the last frame's payload, which
    is copied from shared memory as an engine copies it into its texture.
    """

    def __init__(self, address: str, limit_s: float | None = 30.0, *, shared: bool = False) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._shared = shared
        self._memory: MemoryReader | None = None
        self._length = bytearray(4)
        self._buffer = bytearray(8 << 20)
        self.view = memoryview(self._buffer)
        self._id = 0
        self.stream = 0
        self.waiting: list[Got] = []
        self.welcome = self.ask("hello", version=1, client="texbridge benchmarks", **self._wish)

    @property
    def _wish(self) -> dict[str, bool]:
        return {"shared_memory": True} if self._shared else {}

    def send(self, op: str, **fields: Any) -> None:
        """A message that isn't waited for."""
        data = msgpack.packb({"op": op, **fields})
        self.socket.sendall(LENGTH.pack(len(data)) + data)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """A message, and its answer; frames that come in between are kept in `waiting`."""
        self._id += 1
        self.send(op, id=self._id, **fields)
        while True:
            found = self._receive()
            if isinstance(found, Got):
                self.waiting.append(found)
            elif found.get("id") == self._id:
                if found["op"] == "error":
                    raise RuntimeError(found)
                return found

    def subscribe(self, stream: str, format: str, **fields: Any) -> None:
        """Ask for a stream's frames."""
        fields = {"origin": "top_left", "delivery": "latest", "credit": 1, **self._wish, **fields}
        self.stream = self.ask("subscribe", stream=stream, format=format, **fields)["number"]

    def frame(self) -> Got:
        """The next new frame; it is acked. Held ones are passed over."""
        found = self.frame_unacked()
        self.send("ack", stream=found.stream, number=found.number)
        return found

    def frame_unacked(self) -> Got:
        """The next new frame, for who acks it later."""
        while True:
            found = self.waiting.pop(0) if self.waiting else self._receive()
            if isinstance(found, Got) and not found.flags & HELD:
                return found

    def message(self) -> Got | dict[str, Any]:
        """Whatever comes next."""
        return self.waiting.pop(0) if self.waiting else self._receive()

    def ack(self, number: int) -> None:
        """Ready for the next."""
        self.send("ack", stream=self.stream, number=number)

    def _receive(self) -> Got | dict[str, Any]:
        while True:
            self._fill(memoryview(self._length))
            (size,) = LENGTH.unpack(self._length)
            if size > len(self._buffer):
                self._buffer = bytearray(size)
                self.view = memoryview(self._buffer)
            self._fill(self.view[:size])
            if self._buffer[:2] == b"TX":
                fields = HEADER.unpack_from(self._buffer)
                if fields[2] & SHARED:
                    self._copy(fields[13])
                return Got(time.perf_counter(), fields[2], fields[4], fields[5], fields[13], fields[3])
            told: dict[str, Any] = msgpack.unpackb(self.view[:size])
            if told["op"] != "memory":
                return told
            self._memory = MemoryReader(decode_answer(bytes(self.view[:size])))

    def _copy(self, payload_bytes: int) -> None:
        """The frame that a doorbell names; one that was taken from us meanwhile ends the run."""
        assert self._memory is not None
        slot, seq = struct.unpack_from("<I4xQ", self._buffer, 64)
        at = 4096 + slot * self._memory._page.slot_stride
        words = self._memory._words
        if len(self._buffer) < payload_bytes:
            self._buffer = bytearray(payload_bytes)
            self.view = memoryview(self._buffer)
        is_whole = words[at // 8] == seq
        self.view[:payload_bytes] = self._memory._bytes[at + 128 : at + 128 + payload_bytes]
        if not is_whole or words[at // 8] != seq:
            raise RuntimeError("a frame was taken from shared memory before it was copied")

    def _fill(self, view: memoryview) -> None:
        while view:
            count = self.socket.recv_into(view, 0, WHOLE)
            if not count:
                raise EOFError("the bridge closed the connection")
            view = view[count:]

    def close(self) -> None:
        """End the connection."""
        self.socket.close()
        if self._memory is not None:
            self._memory.close()
