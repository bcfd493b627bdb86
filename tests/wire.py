"""A port that passes everything on to a bridge's, and can be cut: for programs in other languages."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """A port that passes everything on to the bridge's, and can be cut.

    `lose(words)`, before a link: its first message with these bytes is lost, and the link with it; then `lost` is set.
    The next link is let through when `flow()` was called.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.connections = 0
        self._to_lose = b""
        self.lost = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._flows.wait()
            far = socket.create_connection(self._target)
            for end in (near, far):  # what passes on small messages must not keep them back
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [near, far]
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pump, args=(one, other)))
                self._threads[-1].start()
            self.connections += 1  # now `cut` knows it

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        held = b""
        try:
            while data := one.recv(65536):
                held += data
                while self._to_lose and len(held) >= 4 and len(held) >= 4 + int.from_bytes(held[:4], "little"):
                    end = 4 + int.from_bytes(held[:4], "little")
                    message, held = held[:end], held[end:]
                    if self._to_lose in message:
                        self._to_lose = b""
                        self._flows.clear()
                        self.lost.set()
                        raise ConnectionAbortedError
                    other.sendall(message)
                if not self._to_lose:
                    other.sendall(held)
                    held = b""
        except OSError:
            pass
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def lose(self, words: bytes) -> None:
        self._to_lose = words

    def flow(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.flow()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()  # no further pair after this
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()
