"""`texbridge blackout`: black in place of pictures."""

from __future__ import annotations

import argparse
from typing import Any

from bridge.cli.panic import add_bridge, tell_bridge
from bridge.client import Client
from bridge.errors import ConfigError

DESCRIPTION = """\
Show black in place of these streams, or of all: the next frame of every viewer. The streams themselves go on, so that
`--off` shows their newest pictures.

  texbridge blackout
  texbridge blackout main --fade 2
  texbridge blackout --off --fade 2
"""
MAX_FADE_S = 3600.0


def add_parser(commands: Any, purpose: str) -> None:
    """Add `blackout` to the command line."""
    parser = commands.add_parser(
        "blackout", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("streams", metavar="STREAM", nargs="*", help="all by default")
    parser.add_argument("--off", action="store_true", help="show the pictures again")
    parser.add_argument("--fade", type=float, default=0.0, metavar="S", help="seconds, 0 by default")
    add_bridge(parser)
    parser.set_defaults(action=blackout)


def blackout(options: argparse.Namespace) -> int:
    """Switch the blackout; exit 1 if the bridge refuses."""
    if not 0 <= options.fade <= MAX_FADE_S:
        raise ConfigError(f"--fade {options.fade:g} must be 0 to {MAX_FADE_S:g} seconds")

    async def work(client: Client) -> None:
        names = options.streams or [stream.name for stream in client.welcome.streams]
        for name in names:
            await client.blackout(name, not options.off, options.fade)

    return tell_bridge(options, work)
