"""`texbridge resume`: the end of a panic."""

from __future__ import annotations

import argparse
from typing import Any

from bridge.cli.panic import add_bridge, tell_bridge
from bridge.client import Client

DESCRIPTION = """\
End a panic: runs are taken again. Live streams stay at rest until `live` switches them on.

  texbridge resume
"""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `resume` to the command line."""
    parser = commands.add_parser(
        "resume", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_bridge(parser)
    parser.set_defaults(action=lambda options: tell_bridge(options, Client.resume))
