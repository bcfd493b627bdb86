"""A proxy before ComfyUI that keeps the binary WebSocket messages which ComfyUI sends, byte for byte.

    python tap_proxy.py http://127.0.0.1:8188 FOLDER

It runs as a process of its own, prints where it listens, and writes FOLDER/000001.bin and so on, each before its last
byte is passed on. Nothing of the bridge is used: frames are read by RFC 6455, 5.2.
"""

import asyncio
import contextlib
import os
import struct
import sys
from pathlib import Path
from urllib.parse import urlsplit


class Folder:
    """Numbered files; each is there whole or not at all."""

    def __init__(self, path):
        self.path = Path(path)
        self.count = 0

    def add(self, data):
        self.count += 1
        partial = self.path / "partial"
        partial.write_bytes(data)
        os.replace(partial, self.path / f"{self.count:06}.bin")


class Frames:
    """What a server sends on a WebSocket, after the HTTP head; each whole message goes to `binary` or `text`."""

    def __init__(self, binary, text=None):
        self._take_message = {1: text, 2: binary}
        self._data = bytearray()
        self._head = True
        self._message = bytearray()
        self._opcode = 0

    def feed(self, data):
        self._data += data
        if self._head:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self._data.startswith(b"HTTP/1.1 101"), bytes(self._data[:60])
            assert b"sec-websocket-extensions" not in bytes(self._data[:end]).lower(), "a compressed socket"
            del self._data[: end + 4]
            self._head = False
        while (frame := self._take()) is not None:
            final, opcode, payload = frame
            if opcode >= 8:
                continue
            if opcode:
                self._opcode, self._message = opcode, bytearray()
            self._message += payload
            if final and (take := self._take_message.get(self._opcode)) is not None:
                take(bytes(self._message))

    def _take(self):
        if len(self._data) < 2:
            return None
        first, second = self._data[:2]
        assert not second & 0x80, "a server's frames are not masked"
        start, length = 2, second & 0x7F
        for code, size, layout in ((126, 2, "!H"), (127, 8, "!Q")):
            if length == code:
                if len(self._data) < 2 + size:
                    return None
                start = 2 + size
                (length,) = struct.unpack_from(layout, self._data, 2)
                break
        if len(self._data) < start + length:
            return None
        payload = bytes(self._data[start : start + length])
        del self._data[: start + length]
        return bool(first & 0x80), first & 0x0F, payload


async def serve(target, folder):
    """Pass everything on, both ways, for ever."""

    async def pump(reader, writer, tap):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if tap is not None:
                    tap.feed(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def take(reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.close()
            return
        first = await reader.read(1 << 16)
        up_writer.write(first)
        tap = Frames(folder.add) if b"upgrade: websocket" in first.lower() else None
        await asyncio.gather(pump(reader, up_writer, None), pump(up_reader, writer, tap))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    print(f"tapping at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(urlsplit(sys.argv[1]), Folder(sys.argv[2])))
