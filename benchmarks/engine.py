"""An engine as quick as Python can be: a blocking TCP socket, frames received into a buffer that is there."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, NamedTuple

import msgpack

LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<4sHHIIQIBBHIIIIQII")
HELD = 4


class Got(NamedTuple):
    """A frame: when its last byte was here, and what its header says."""

    at: float
    flags: int
    number: int
    request: int
    payload_bytes: int


class Engine:
    """One connection with one stream. `view` holds the last message."""

    def __init__(self, address: str, limit_s: float = 30.0) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._length = bytearray(4)
        self._buffer = bytearray(8 << 20)
        self.view = memoryview(self._buffer)
        self._id = 0
        self.stream = 0
        self.waiting: list[Got] = []
        self.welcome = self.ask("hello", version=1, client="texbridge benchmarks")

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
        fields = {"origin": "top_left", "delivery": "latest", "credit": 1, **fields}
        self.stream = self.ask("subscribe", stream=stream, format=format, **fields)["number"]

    def frame(self) -> Got:
        """The next new frame; it is acked. Held ones are passed over."""
        found = self.frame_unacked()
        self.ack(found.number)
        return found

    def frame_unacked(self) -> Got:
        """The next new frame, for who acks it later."""
        while True:
            found = self.waiting.pop(0) if self.waiting else self._receive()
            if isinstance(found, Got) and not found.flags & HELD:
                return found

    def ack(self, number: int) -> None:
        """Ready for the next."""
        self.send("ack", stream=self.stream, number=number)

    def _receive(self) -> Got | dict[str, Any]:
        self._fill(memoryview(self._length))
        (size,) = LENGTH.unpack(self._length)
        if size > len(self._buffer):
            self._buffer = bytearray(size)
            self.view = memoryview(self._buffer)
        self._fill(self.view[:size])
        at = time.perf_counter()
        if self._buffer[:2] == b"TX":
            fields = HEADER.unpack_from(self._buffer)
            return Got(at, fields[2], fields[4], fields[5], fields[13])
        return msgpack.unpackb(self.view[:size])

    def _fill(self, view: memoryview) -> None:
        while view:
            count = self.socket.recv_into(view)
            if not count:
                raise EOFError("the bridge closed the connection")
            view = view[count:]

    def close(self) -> None:
        """End the connection."""
        self.socket.close()
