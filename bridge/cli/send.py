"""`texbridge send`: one OSC message."""

from __future__ import annotations

import argparse
import re
import socket
from typing import Any

from bridge.app.config import parse_listen
from bridge.codec.osc import encode_osc_message
from bridge.errors import ConfigError

DESCRIPTION = """\
Send one OSC message. Whole numbers go as int, other numbers as float, true and false as T and F, anything else as
text; `i:`, `f:`, `s:`, `h:` or `d:` before an argument chooses its type.

  texbridge send /texbridge/main/blur 0.5
  texbridge send /texbridge/main/prompt "a red fox"
  texbridge send /texbridge/main/run
  texbridge send --to 192.168.1.20:9400 /texbridge/main/seed h:12345678901
"""


def add_parser(commands: Any) -> None:
    """Add `send` to the command line."""
    parser = commands.add_parser(
        "send",
        help="send one OSC message",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", metavar="ADDRESS", help="e.g. /texbridge/main/blur")
    parser.add_argument("arguments", metavar="ARG", nargs="*", help="numbers or text")
    parser.add_argument("--to", default="127.0.0.1:9400", metavar="HOST:PORT", help="where the bridge listens for OSC")
    parser.set_defaults(action=send)


def send(options: argparse.Namespace) -> int:
    """Send the message."""
    if not options.address.startswith("/"):
        raise ConfigError(f"OSC address {options.address!r} must begin with /, e.g. /texbridge/main/run")
    host, port = parse_listen(options.to, "--to")
    pairs = [read_argument(text) for text in options.arguments]
    try:
        packet = encode_osc_message(
            options.address, *(value for value, _ in pairs), tags="".join(tag for _, tag in pairs)
        )
    except ValueError as error:
        raise ConfigError(f"this can't be sent as OSC: {error}") from error
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(packet, where)
    except OSError as error:
        raise ConfigError(f"can't send to {options.to}: {error}") from error
    return 0


def read_argument(text: str) -> tuple[Any, str]:
    """Give an argument's value and its OSC type tag.

    Raises:
        ConfigError: the text after a type prefix doesn't fit it.
    """
    if re.match(r"[ifshd]:", text):
        tag, rest = text[0], text[2:]
        try:
            return (rest if tag == "s" else int(rest) if tag in "ih" else float(rest)), tag
        except ValueError as error:
            raise ConfigError(f"argument {text!r}: {rest!r} is no number") from error
    if re.fullmatch(r"[+-]?\d{1,19}", text):
        number = int(text)
        return number, "i" if -(2**31) <= number < 2**31 else "h"
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return float(text), "f"
    if text in ("true", "false"):
        return text == "true", "T" if text == "true" else "F"
    return text, "s"
