"""What `texbridge doctor` finds on this machine: packages, ports, loopbacks, buffers. It judges nothing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from PIL import features

from bridge.app.config.config import Config, parse_listen, reached_at
from bridge.app.doctor.port_ranges import COMMANDS, parse_excluded_ranges, range_with
from bridge.app.doctor.verdicts import Port
from bridge.app.http_question import ASK_WITHIN_S
from bridge.codec.framing import LengthDecoder, encode_length
from bridge.codec.messages import Error, Ping, decode_answer, encode_message
from bridge.errors import ConfigError, TexbridgeError
from bridge.frames.blocks import block_formats, compressor
from bridge.frames.decoders import decoders
from bridge.links.listener import bind_listener
from bridge.links.osc_udp import RECEIVE_BUFFER_BYTES, raise_receive_buffer

NETSH_WITHIN_S: Final = 10.0
MAX_WELCOME_BYTES: Final = 1 << 20
NEEDED: Final = {
    "aiohttp": "3.10",
    "msgpack": "1.1",
    "msgspec": "0.19",
    "numpy": "1.26",
    "Pillow": "11.0",
    "python-osc": "1.9",
    "websockets": "15.0",
}
"""What pyproject.toml asks for; a test holds both together."""


def system_name() -> str:
    """Give the system and its version, e.g. `Linux 6.1 x86_64`."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]} {platform.machine()}"
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def word_bits() -> int:
    """Give the size of a pointer of this Python in bits."""
    return struct.calcsize("P") * 8


def installed_version(package: str) -> str | None:
    """Give a package's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def pillow_features() -> list[str]:
    """Give what Pillow was built with and what matters for speed."""
    named = {"libjpeg_turbo": "libjpeg-turbo", "zlib_ng": "zlib-ng", "webp": "WebP"}
    known = {*features.features, *features.modules}
    return [words for name, words in named.items() if name in known and features.check(name)]


def block_compressor() -> tuple[str, bool, bool]:
    """Give the compressor's words (empty: none), whether it uses vector instructions, and whether this is an x86."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if not block_formats():
        return "", False, x86
    try:
        found = compressor()
    except ImportError:
        return "", False, x86
    return found.words, found.simd, x86


def decoders_in_use() -> dict[str, str]:
    """Load the decoders, and give the one of each kind of file."""
    decoders.load()
    return decoders.in_use()


def loopbacks() -> tuple[list[str], dict[str, bool]]:
    """Give the addresses of `localhost` in the system's order, and which of the two loopbacks can be listened at."""
    try:
        entries = socket.getaddrinfo("localhost", 9400, type=socket.SOCK_DGRAM)
    except OSError:
        entries = []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    bindable = {}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.bind((host, 0))
            bindable[host] = True
        except OSError:
            bindable[host] = False
    return addresses, bindable


def receive_buffer() -> tuple[int, int]:
    """Give the bytes that the system grants the OSC door for bursts, and those that it asks for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        raise_receive_buffer(sock)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), RECEIVE_BUFFER_BYTES


def excluded_ranges(kind: str) -> tuple[range, ...]:
    """Give the port ranges that Windows keeps for itself; `kind` is tcp or udp. Nothing elsewhere."""
    if sys.platform != "win32":
        return ()
    try:
        done = subprocess.run(
            COMMANDS[kind],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=NETSH_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_excluded_ranges(done.stdout.decode("ascii", "replace"))


async def look_at_ports(config: Config) -> list[Port]:
    """Give what is at each door's address: free, held by a texbridge, held by another program, or reserved."""
    doors = (
        ("osc", config.osc.listen, socket.SOCK_DGRAM),
        ("link", config.link.listen, socket.SOCK_STREAM),
        ("tcp", config.tcp.listen, socket.SOCK_STREAM),
        ("http", config.http.listen, socket.SOCK_STREAM),
    )
    ranges = {kind: await asyncio.to_thread(excluded_ranges, kind) for kind in ("tcp", "udp")}
    ports = []
    for door, listen, kind in doors:
        if not listen:
            ports.append(Port(door, ""))
            continue
        host, number = parse_listen(listen, f"{door}.listen")
        problem = why_not(door, host, number, kind)
        bridge = ""
        if problem and number:
            bridge = await who_is_there(door, host, number)
        kept = range_with(number, ranges["udp" if kind == socket.SOCK_DGRAM else "tcp"]) if problem else None
        ports.append(Port(door, listen, problem, bridge, kept))
    return ports


def why_not(door: str, host: str, port: int, kind: socket.SocketKind) -> str:
    """Give why a door can't be opened there, in one line; empty if it can. The port is free again afterwards."""
    try:
        bind_listener(door, f"--{door}", host, port, kind).close()
    except ConfigError as error:
        return error.message
    return ""


async def who_is_there(door: str, host: str, port: int) -> str:
    """Give `texbridge VERSION` if one answers at this door, else an empty text."""
    host = reached_at(host)
    ask = {"tcp": _ask_tcp, "link": _ask_http, "http": _ask_http}.get(door)
    if ask is None:
        return ""
    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            return await ask(host, port)
    except (OSError, TimeoutError, EOFError, TexbridgeError):
        return ""


async def _ask_tcp(host: str, port: int) -> str:
    """Say something before hello: a bridge answers with an error that only a bridge gives.

    No hello, since one without the token that it may want makes it wait longer with the next of this address.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        early = encode_message(Ping())
        writer.write(encode_length(len(early)) + early)
        await writer.drain()
        lengths = LengthDecoder(MAX_WELCOME_BYTES)
        while data := await reader.read(1 << 16):
            for message in lengths.feed(data):
                return "texbridge" if isinstance(decode_answer(message), Error) else ""
        return ""
    finally:
        writer.close()


async def _ask_http(host: str, port: int) -> str:
    """Ask for a page; the head and the body of both doors' answers name texbridge."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = bytearray()
        while len(answer) < MAX_WELCOME_BYTES and (data := await reader.read(1 << 16)):
            answer += data
        text = answer.decode("utf-8", "replace")
        version = re.search(r'"version":\s*"([^"]{1,40})"', text)
        if '"boot"' in text and version is not None:
            return f"texbridge {version[1]}"
        return "texbridge" if "texbridge" in text.lower() else ""
    finally:
        writer.close()


def packages() -> tuple[Mapping[str, str], Mapping[str, str | None]]:
    """Give the packages that texbridge needs with their oldest versions, and the versions that are here."""
    return NEEDED, {name: installed_version(name) for name in NEEDED}
