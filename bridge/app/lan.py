"""What `serve --lan` needs: a token that stays over restarts, and this machine's addresses on its networks."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets
import socket
import stat
import sys
from pathlib import Path
from typing import Any, Final

from bridge.app.config.config import Config, is_loopback, parse_listen
from bridge.errors import ConfigError
from bridge.whole_files import write_whole

TOKEN_FILE: Final = "lan-token"
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,200}")
MOST_SHOWN: Final = 4
_ROUTES_TO: Final = ("10.255.255.255", "172.31.255.255", "192.168.255.255", "192.0.2.1")
"""Never spoken to: the system only tells which own address it would use on the way there."""


def read_token(folder: Path) -> str | None:
    """Give the kept token, None if there is none.

    Raises:
        ConfigError: the file can't be read, or is damaged.
    """
    path = folder / TOKEN_FILE
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the token in {path}: {error}; --new-token makes another") from None
    if TOKEN.fullmatch(text) is None:
        raise ConfigError(f"{path} holds no token (16 to 200 of A-Z a-z 0-9 _ -); --new-token makes another")
    return text


def keep_token(folder: Path, *, new: bool = False) -> str:
    """Give the token, made at the first call and with `new`. Its file is its owner's alone (0600).

    On Windows the user's own configuration folder is what keeps others out.

    Raises:
        ConfigError: the file can't be read or written, or is damaged.
    """
    path = folder / TOKEN_FILE
    if not new and (token := read_token(folder)) is not None:
        if sys.platform != "win32" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"{path} can be read by others on this machine: `chmod 600` it, or make another with --new-token"
            )
        return token
    token = secrets.token_urlsafe(24)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, f"{token}\n".encode("ascii"), private=True)
    except OSError as error:
        raise ConfigError(f"can't keep a token in {path}: {error.strerror or error}; set link.token instead") from None
    return token


def lan_addresses(allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Give this machine's IPv4 addresses beyond loopback, the likeliest first; empty without a network.

    `allowed` are the networks that may send OSC: of a network without a router the system knows no more than itself.
    """
    found: list[str] = []
    for target in (*filter(None, map(_first_host, allowed)), *_ROUTES_TO):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(str(probe.getsockname()[0]))
    with contextlib.suppress(OSError, UnicodeError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    useful = (address for address in found if not is_loopback(address) and address != "0.0.0.0")
    return tuple(dict.fromkeys(useful))


def _first_host(network: str) -> str | None:
    """An address in an IPv4 network, None of others."""
    try:
        return str(next(iter(ipaddress.IPv4Network(network, strict=False).hosts())))
    except (ValueError, StopIteration):
        return None


def lan_listens(config: Config, fixed: set[str]) -> dict[str, Any]:
    """Give the overrides by which each door that listens on loopback listens on every interface, `fixed` ones not.

    Raises:
        ConfigError: OSC would be open and no network is allowed to send.
    """
    overrides: dict[str, Any] = {}
    for door in ("osc", "link", "tcp", "http"):
        listen: str = getattr(config, door).listen
        if not listen:
            continue
        host, port = parse_listen(listen, f"{door}.listen")
        if door not in fixed and is_loopback(host):
            overrides[door] = {"listen": f"0.0.0.0:{port}"}
            host = "0.0.0.0"
        if door == "osc" and not is_loopback(host) and not config.osc.allow:
            raise ConfigError(
                f"--lan needs --osc-allow NETWORK, the only senders of OSC, e.g. --osc-allow {_likely_network()};"
                " or switch OSC off with --osc ''"
            )
    return overrides


def _likely_network() -> str:
    own = next(iter(lan_addresses()), "192.168.1.5")
    return str(ipaddress.ip_network(f"{own}/24", strict=False))
