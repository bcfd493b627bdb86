"""An engine as quick as Python can be: a blocking socket, TCP or WebSocket, and a buffer that is there."""

from __future__ import annotations

import base64
import os
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
        self._open(address)
        self.welcome = self.ask("hello", version=1, client="texbridge benchmarks", **self._wish)

    def _open(self, host: str) -> None:
        """What comes before the first message: nothing on TCP."""

    @property
    def _wish(self) -> dict[str, bool]:
        return {"shared_memory": True} if self._shared else {}

    def send(self, op: str, **fields: Any) -> None:
        """A message that isn't waited for."""
        self._put(msgpack.packb({"op": op, **fields}))

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
            size = self._next_size()
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

    def _put(self, data: bytes) -> None:
        self.socket.sendall(LENGTH.pack(len(data)) + data)

    def _next_size(self) -> int:
        """How long the next message is, which begins behind what is read here."""
        self._fill(memoryview(self._length))
        (size,) = LENGTH.unpack(self._length)
        return int(size)

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


class WebSocketEngine(Engine):
    """The same over WebSocket, with nothing between: the bridge sends whole binary messages, unmasked (RFC 6455)."""

    def __init__(self, address: str, limit_s: float | None = 30.0) -> None:
        self._head = memoryview(bytearray(8))
        super().__init__(address, limit_s)

    def _open(self, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /link HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: texbridge.v1\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            self._fill(self._head[:1])
            answer += bytes(self._head[:1])
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(answer.decode("latin-1"))

    def _put(self, data: bytes, opcode: int = 2) -> None:
        # Every message of a client is masked; a mask of zeros leaves the bytes as they are.
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        self.socket.sendall(head + bytes(4) + data)

    def _next_size(self) -> int:
        while True:
            self._fill(self._head[:2])
            opcode, size = self._head[0] & 15, self._head[1]
            if size >= 126:
                more = self._head[: 2 if size == 126 else 8]
                self._fill(more)
                size = int.from_bytes(more, "big")
            if opcode == 2:
                return size
            self._fill(self.view[:size])
            if opcode == 9:
                self._put(bytes(self.view[:size]), 10)
            elif opcode == 8:
                raise EOFError("the bridge closed the connection")
