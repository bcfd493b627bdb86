"""One side of a WebSocket that a test has scripted, byte by byte: no library that would mend what the client does."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable

LIMIT_S = 110.0
WELCOME = {
    "op": "welcome",
    "version": 1,
    "server": "scripted",
    "boot": "b",
    "session": "0" * 32,
    "resumed": False,
    "unfinished": [],
    "features": [],
    "limits": {},
    "formats": [],
    "workflows": [],
    "streams": [],
}


class WebSocketPeer:
    """Takes one WebSocket, greets, and then does what a test says; it knows RFC 6455 by its bytes."""

    def __init__(self, script: Callable[[WebSocketPeer], None], chosen: str = "texbridge.v1") -> None:
        self._script = script
        self._chosen = chosen
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.head = ""
        self._thread = threading.Thread(target=self._serve)
        self.error: BaseException | None = None

    def _serve(self) -> None:
        try:
            with self._listener.accept()[0] as self.socket:
                self.socket.settimeout(LIMIT_S)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while "\r\n\r\n" not in self.head:
                    self.head += self.socket.recv(1).decode("ascii")
                key = re.search(r"^Sec-WebSocket-Key: (\S+)\r$", self.head, re.M)[1]
                digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
                accept = base64.b64encode(digest).decode()
                self.socket.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + f"sec-websocket-accept: {accept}\r\nSec-WebSocket-Protocol: {self._chosen}\r\n\r\n".encode()
                )
                self._script(self)
        except (OSError, AssertionError, TypeError, ValueError) as error:
            self.error = error

    def send(self, opcode: int, payload: bytes, final: bool = True) -> None:
        """Send one frame, a byte a segment."""
        length = bytes([len(payload)]) if len(payload) < 126 else struct.pack(">BH", 126, len(payload))
        for byte in bytes([opcode | 0x80 * final]) + length + payload:
            self.socket.sendall(bytes([byte]))

    def receive(self) -> tuple[int, bytes]:
        """Give opcode and payload of the next frame, which must be masked and final."""
        first, second = self._exactly(2)
        assert first & 0x80
        assert second & 0x80, "a client masks"
        count = second & 0x7F
        if count == 126:
            (count,) = struct.unpack(">H", self._exactly(2))
        mask = self._exactly(4)
        return first & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._exactly(count)))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the client closed"
            data += more
        return data

    def __enter__(self) -> WebSocketPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join()
