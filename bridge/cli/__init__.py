"""The `texbridge` command. Exit codes: 0 ok, 1 the job failed, 2 bad use or configuration."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from bridge import __version__
from bridge.cli import demo, embedded, init, run, send, serve, workflows
from bridge.errors import ConfigError, TexbridgeError

COMMANDS = (serve, demo, run, send, workflows, init, embedded)

DESCRIPTION = """\
A real-time relay between game engines and ComfyUI: OSC or msgpack in, raw texture bytes out.

Begin with:
  texbridge demo                     see the whole path work, without ComfyUI and without an engine
  texbridge serve --embedded         a bridge to build against, with a small ComfyUI inside
  texbridge serve                    the bridge for the ComfyUI on this machine
  texbridge send /texbridge/main/blur 0.5
"""

EPILOG = "Exit codes: 0 ok, 1 the job failed, 2 bad use or configuration. `texbridge COMMAND --help` tells more."


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors end with exit code 2 and one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n`{self.prog} --help` shows how it is used\n")


def make_parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line."""
    parser = Parser(
        prog="texbridge", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"texbridge {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # Windows consoles may not know every character
            stream.reconfigure(errors="replace")
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        code: int = options.action(options)
        return code
    except ConfigError as error:
        print(f"texbridge: {error}", file=sys.stderr)
        return 2
    except TexbridgeError as error:
        print(f"texbridge: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def set_up_logging(level: str) -> None:
    """Log to standard error, one line a message."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.WARNING)
