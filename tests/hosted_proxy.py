"""A hosted ComfyUI as it looks from outside: TLS, a path prefix, a key to the door, latency, cuts, pages of its own.

Not a proxy to copy: one request a connection, the rest is bytes.
"""

import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from urllib.parse import parse_qs

from fault_proxy import _Pair

COMMITTED = Path(__file__).with_name("certificates")
LOGIN_PAGE = b"<!doctype html><html><head><title>Sign in - Acme GPU</title></head><body></body></html>"


def certificate(folder):
    """(certificate, key) for 127.0.0.1 and localhost: made by the openssl command, or else the committed pair."""
    found = folder / "certificate.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        return COMMITTED / "certificate.pem", COMMITTED / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", str(found[0]), "-keyout", str(found[1])]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OPENSSL_CONF": os.devnull})
    return found


class HostedProxy:
    """`async with HostedProxy(port, pem) as proxy`, then `proxy.url`, `proxy.ca_file`.

    Who comes needs `header` (name, value) or `query` (name, value), if it is given, and gets `LOGIN_PAGE` with 401
    otherwise. `page` = (status, headers, body) answers everything instead. `requests` are (method, path with query,
    headers in lower case) of all that were let in; `refused` counts the others.
    """

    def __init__(self, target_port, pem=None, *, prefix="", header=None, query=None, latency_s=0.0):
        self.prefix = prefix
        self.header = header
        self.query = query
        self.latency_s = latency_s
        self.page = None
        self.requests = []
        self.refused = 0
        self.port = 0
        self.ca_file = "" if pem is None else str(pem[0])
        self._target_port = target_port
        self._pem = pem
        self._pairs = set()
        self._tasks = set()
        self._server = None

    @property
    def url(self):
        return f"{'https' if self._pem else 'http'}://127.0.0.1:{self.port}{self.prefix}"

    @property
    def sockets(self):
        """The requests that opened a WebSocket."""
        return [request for request in self.requests if "upgrade" in request[2]]

    async def __aenter__(self):
        tls = None
        if self._pem:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*self._pem)
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, ssl=tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self):
        """Every connection ends at once."""
        for pair in list(self._pairs):
            pair.reset()

    def _may_enter(self, headers, query):
        known = [self.header and headers.get(self.header[0].lower()) == self.header[1]]
        known.append(self.query and parse_qs(query).get(self.query[0]) == [self.query[1]])
        return any(known) or not (self.header or self.query)

    async def _take(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(self.latency_s)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines if line]
        headers = {name.lower(): value for name, value in pairs}
        path, _, query = target.partition("?")
        page = self.page
        if page is None and not self._may_enter(headers, query):
            self.refused += 1
            page = 401, {"WWW-Authenticate": "Bearer", "Content-Type": "text/html"}, LOGIN_PAGE
        if page is None and not path.startswith(self.prefix + "/"):
            page = 404, {"Content-Type": "text/html"}, b"<html><title>No such app</title></html>"
        if page is not None:
            status, told, body = page
            told = {**told, "Content-Length": len(body), "Connection": "close"}
            answer = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            writer.write(f"HTTP/1.1 {status} .\r\n{answer}\r\n".encode() + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        self.requests.append((method, target, headers))
        dropped = {"host", "authorization", "cookie"} | ({"connection"} if "upgrade" not in headers else set())
        kept = [f"{name}: {value}" for name, value in pairs if name.lower() not in dropped]
        kept += [f"Host: 127.0.0.1:{self._target_port}"] + ["Connection: close"] * ("upgrade" not in headers)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        pair = _Pair(writer, up_writer)
        self._pairs.add(pair)
        try:
            first = f"{method} {target.removeprefix(self.prefix)} HTTP/1.1\r\n"
            up_writer.write((first + "\r\n".join(kept) + "\r\n\r\n").encode("latin-1"))
            ways = [asyncio.ensure_future(self._pump(reader, up_writer))]
            ways.append(asyncio.ensure_future(self._pump(up_reader, writer)))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                writer.close()
                await writer.wait_closed()
        finally:
            self._pairs.discard(pair)
            up_writer.transport.abort()

    async def _pump(self, reader, writer):
        """Everything comes `latency_s` later, however much there is of it."""
        loop = asyncio.get_running_loop()
        waiting = asyncio.Queue(64)

        async def take():
            while data := await reader.read(1 << 16):
                await waiting.put((loop.time() + self.latency_s, data))
            await waiting.put((loop.time() + self.latency_s, b""))

        taking = asyncio.ensure_future(take())
        try:
            while True:
                at, data = await waiting.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
