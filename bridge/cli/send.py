"""`texbridge send`: one OSC message."""

from __future__ import annotations

import argparse
import math
import re
import socket
import struct
from typing import Any, Final

from bridge.app.config.config import find_config, load_config, parse_listen, reached_at
from bridge.cli.options import add_config, sendable
from bridge.codec.osc import encode_osc_message
from bridge.errors import ConfigError

DESCRIPTION = """\
Send one OSC message to the bridge. Whole numbers go as int, other numbers as float, true and false as T and F,
anything else as text; `i:`, `h:`, `f:`, `d:` or `s:` before an argument chooses int, 64-bit int, float, double or text.

  texbridge send /texbridge/main/blur 0.5
  texbridge send /texbridge/main/top_left 1.0 0.3 0.0
  texbridge send /texbridge/main/prompt "a red fox"
  texbridge send /texbridge/main/run
  texbridge send --to 192.168.1.20:9400 /texbridge/main/seed h:12345678901

UDP tells nobody whether a message has arrived: `texbridge send` ends with 0 when it is on its way.
"""

USUAL_PORT: Final = 9400
MAX_PACKET_BYTES: Final = 65_507
MAX_FLOAT: Final = 3.4028234e38
INT32: Final = range(-(2**31), 2**31)
INT64: Final = range(-(2**63), 2**63)


def add_parser(commands: Any, purpose: str) -> None:
    """Add `send` to the command line."""
    parser = commands.add_parser(
        "send",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", metavar="ADDRESS", help="e.g. /texbridge/main/blur")
    parser.add_argument("arguments", metavar="ARG", nargs="*", default=[], help="numbers or text")
    parser.add_argument(
        "--to",
        metavar="HOST:PORT",
        help=f"where the bridge listens for OSC; by default what the configuration says, or 127.0.0.1:{USUAL_PORT}",
    )
    add_config(parser)
    parser.set_defaults(action=send)


def send(options: argparse.Namespace) -> int:
    """Send the message."""
    check_address(options.address)
    pairs = [read_argument(text) for text in options.arguments]
    host, port = find_target(options.to, options.config)
    try:
        packet = encode_osc_message(
            options.address, *(value for value, _ in pairs), tags="".join(tag for _, tag in pairs)
        )
    except ValueError as error:
        raise ConfigError(f"this can't be sent as OSC: {error}") from error
    if len(packet) > MAX_PACKET_BYTES:
        raise ConfigError(f"the message has {len(packet):,} bytes; a UDP packet carries {MAX_PACKET_BYTES:,} at most")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(packet, where)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"can't send to {host}:{port}: {error}") from error
    return 0


def find_target(to: str | None, config: str | None) -> tuple[str, int]:
    """Give host and port of the OSC door: `--to`, else what the configuration says, on this machine.

    Raises:
        ConfigError: --to is not HOST:PORT, or the configuration is bad.
    """
    if to is not None:
        host, port = parse_listen(to, "--to")
        if not port:
            raise ConfigError(f"--to {to}: nobody listens on port 0; `texbridge serve` prints the one that it took")
        return host, port
    listen = load_config(find_config(config)).osc.listen
    host, port = parse_listen(listen or "127.0.0.1:0", "osc.listen")
    return reached_at(host), port or USUAL_PORT


def check_address(address: str) -> None:
    """Refuse what is no OSC address, and what is one by accident.

    Raises:
        ConfigError: no slash first, a space or `#` in it, or bytes that are not UTF-8.
    """
    if not address.startswith("/"):
        raise ConfigError(f"OSC address {address!r} must begin with /, e.g. /texbridge/main/run")
    if re.search(r"\s", address):
        raise ConfigError(f"OSC address {address!r} has a space in it; arguments stand outside of its quotes")
    if "#" in address:
        raise ConfigError(f"OSC address {address!r} has a # in it, which OSC doesn't allow")
    sendable(address)


def read_argument(text: str) -> tuple[Any, str]:
    """Give an argument's value and its OSC type tag.

    Whole numbers beyond 64 bits go as text, which a seed takes too; a float would lose their digits.

    Raises:
        ConfigError: the text after a type prefix doesn't fit it, or it is not valid UTF-8.
    """
    if re.match(r"[ifshd]:", text):
        return _typed_argument(text[0], text[2:])
    if re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        number = int(text)
        return (number, "i") if number in INT32 else (number, "h") if number in INT64 else (text, "s")
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        value = float(text)
        if math.isinf(value):
            raise ConfigError(f"argument {text!r} is too large for any number; s:{text} sends it as text")
        return value, "f" if abs(value) <= MAX_FLOAT else "d"
    if text in ("true", "false"):
        return text == "true", "T" if text == "true" else "F"
    return sendable(text), "s"


def _typed_argument(tag: str, rest: str) -> tuple[Any, str]:
    if tag == "s":
        return sendable(rest), tag
    try:
        value = int(rest) if tag in "ih" else float(rest)
    except ValueError as error:
        kind = "whole number" if tag in "ih" else "number"
        raise ConfigError(f"argument '{tag}:{rest}': {rest!r} is not a {kind}") from error
    try:
        struct.pack({"i": ">i", "h": ">q", "f": ">f", "d": ">d"}[tag], value)
    except (struct.error, OverflowError) as error:
        larger = {"i": "; h: takes 64 bits", "h": "; s: sends it as text", "f": "; d: takes a double"}.get(tag, "")
        raise ConfigError(f"argument '{tag}:{rest}' doesn't fit its type{larger}") from error
    return value, tag
