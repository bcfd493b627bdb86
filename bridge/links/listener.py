"""Listening sockets and the names by which a door may be called: what every door does before the first byte."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final

from bridge.errors import ConfigError

LISTEN_BACKLOG: Final = 128
WSAEACCES: Final = 10013
"""Windows: a reserved port, or one that somebody holds exclusively."""
WSAEADDRINUSE: Final = 10048


def format_address(host: str, port: int) -> str:
    """Give `host:port`, with brackets around an IPv6 host; a scope id stays."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def socket_address(name: Any) -> str:
    """Give `host:port` of what `getsockname` or `getpeername` said; `?` where there is no name any more."""
    if isinstance(name, tuple) and len(name) >= 2:
        return format_address(str(name[0]), int(name[1]))
    return "?"


def bind_listener(door: str, option: str, host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Give a bound, non-blocking socket for `host:port`, listening if `kind` is a stream.

    `host` is a name or an address, IPv6 with or without brackets; empty means every IPv4 interface, `::` every
    interface of both families where the system can do that. Port 0 takes a free one. `door` and `option` are for
    the words of an error.

    Raises:
        ConfigError: the port is taken, the address is not of this machine, or the name can't be resolved.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"{door}: port {port} is not 0..65535; give {option} HOST:PORT")
    plain = host.strip("[]") or "0.0.0.0"
    where = format_address(plain, port)
    try:
        found = socket.getaddrinfo(plain, port, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{door}: can't resolve {host!r} ({error}); give {option} an address of this machine"
        ) from None
    # A name such as localhost often has both families: IPv4 is what the documentation and most engines use.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, socket_kind, protocol, _, address = found[0]
    listener = socket.socket(family, socket_kind, protocol)
    try:
        listener.setblocking(False)
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            both = plain == "::" and kind == socket.SOCK_STREAM and socket.has_dualstack_ipv6()
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_bind_words(door, option, where, error)) from None
    return listener


def _bind_words(door: str, option: str, where: str, error: OSError) -> str:
    if getattr(error, "winerror", None) == WSAEACCES:
        return (
            f"{door}: Windows doesn't give {where}: it is in a range that Windows reserves (for Hyper-V, WSL, Docker), "
            f"or another program holds it for itself; `texbridge doctor` says which; choose another with {option} "
            "HOST:PORT (port 0 takes a free one)"
        )
    if error.errno == errno.EADDRINUSE or getattr(error, "winerror", None) == WSAEADDRINUSE:
        return (
            f"{door}: {where} is in use by another program; stop it, or choose another with {option} HOST:PORT"
            " (port 0 takes a free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{door}: {where} is not an address of this machine; give {option} one that is, or 0.0.0.0 for all"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{door}: not allowed to listen at {where} (ports under 1024 need privileges); choose another with {option}"
        )
    return f"{door}: can't listen at {where}: {error.strerror or error}; choose another with {option} HOST:PORT"


def host_names(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Give every `Host` header, in lower case, by which a door at `host:port` may be called.

    The loopback names, the host it listens at, and `more` from the config (with a port, or without: then with
    this door's port). Without a port in the header only port 80 is meant. An exact list is what stops DNS
    rebinding; comparing Host with Origin doesn't.
    """
    names = {format_address(name, port) for name in ("127.0.0.1", "localhost", "::1")}
    plain = host.strip("[]")
    if plain and plain not in ("0.0.0.0", "::"):
        names.add(format_address(plain, port))
    for name in more:
        has_port = name.rpartition(":")[2].isdigit() and (name.count(":") == 1 or "]:" in name)
        names.add(name if has_port else format_address(name.strip("[]"), port))
    if port == 80:
        names |= {name.removesuffix(":80") for name in names}
    return frozenset(name.lower() for name in names)


def is_own_host(header: str, names: frozenset[str], local_name: Any) -> bool:
    """Say whether a `Host` header calls this door: a known name, or the very address the connection came in at.

    An address can't be rebound by DNS, so the literal local address of the connection is as good as a listed
    name: an engine on the same network needs no configuration. `local_name` is what `getsockname` said.
    """
    header = header.lower()
    if header in names:
        return True
    if not isinstance(local_name, tuple) or len(local_name) < 2:
        return False
    host = unmapped(str(local_name[0]))
    return header == format_address(host, int(local_name[1])).lower()


def unmapped(host: str) -> str:
    """Give an address without its scope id, and as IPv4 where IPv6 only wraps it (`::ffff:1.2.3.4`)."""
    plain = host.partition("%")[0]
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return plain
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def is_loopback_peer(host: str | None) -> bool:
    """Tell whether a peer's address is this machine's own loopback."""
    try:
        return ipaddress.ip_address(unmapped(host or "")).is_loopback
    except ValueError:
        return False


def source_key(host: str) -> str:
    """Give the key by which limits count a peer: its IPv4 address, or its IPv6 /64 (one host owns a whole one)."""
    plain = unmapped(host)
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return plain
    if address.version == 6 and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return plain


def limit_kernel_buffer(sock: Any, send_buffer_bytes: int) -> None:
    """Keep the kernel from holding seconds of old frames: cap the send buffer, send small packets at once.

    With a slot and `send` alone a slow viewer saw frames 3.7 s old, all of them in kernel buffers. Systems that
    refuse the option keep their own size.
    """
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ):
        try:
            sock.setsockopt(level, option, value)
        except OSError:
            continue
    # A half-open peer (cable pulled, machine asleep) is found within about a minute instead of two hours.
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            try:
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            except OSError:
                continue
