"""The `texbridge` command. Exit codes: 0 ok, 1 the job failed, 2 bad use or configuration."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from bridge import __version__
from bridge.cli.printing import PrintableFormatter, printable
from bridge.errors import ConfigError, ErrorCode, InvalidValueError, TexbridgeError, UnknownNameError

COMMANDS: Final = {
    "serve": "run the bridge",
    "demo": "see the whole path work, checked pixel by pixel",
    "run": "make one picture and save it",
    "render": "render a shot to files, frame by frame",
    "send": "send one OSC message",
    "panic": "stop everything now, for everybody",
    "resume": "end a panic",
    "blackout": "show black in place of pictures",
    "osc": "see what OSC senders send, and what it means",
    "workflows": "list, show, check and bind workflows",
    "backends": "see and change which ComfyUIs a running bridge uses",
    "nodes": "bring texbridge's nodes into a ComfyUI, for raw pixels",
    "init": "make a configuration and a workflows folder",
    "doctor": "see what stands in the way, and what to do",
    "embedded": "run the embedded ComfyUI alone",
}
"""Each command and what it is for; `bridge.cli.<command>` adds its own options."""

FOLDER: Final = "workflows"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

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

    command = ""
    """The command that was chosen: argparse tells what it left over here, not at the command's own parser."""

    def error(self, message: str) -> NoReturn:
        name = f"{self.prog} {self.command}" if self.command else self.prog
        self.exit(2, f"{name}: {message}\n`{name} --help` shows how it is used\n")


def make_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """Give the parser of the command line, with the options of the `chosen` command, of all if there is none.

    A command is imported only when it is chosen: `send` must not wait until everything else is loaded.
    """
    parser = Parser(
        prog="texbridge",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.command = chosen if chosen in COMMANDS else ""
    parser.add_argument("--version", action="version", version=f"texbridge {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, purpose in COMMANDS.items():
        if chosen in (None, name):
            importlib.import_module(f"bridge.cli.{name}").add_parser(commands, purpose)
        else:
            commands.add_parser(name, help=purpose)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # Windows consoles may not know every character
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(next((word for word in words if not word.startswith("-")), ""))
    try:
        options = parser.parse_args(words)
    except SystemExit as end:  # --help, --version, or a mistake
        raise SystemExit(_finish(end.code if isinstance(end.code, int) else 0)) from None
    except OSError as error:  # a help text longer than a buffer is written at once
        if not _reader_has_gone(error):
            print(f"texbridge: can't write the output: {error}", file=sys.stderr)
        return _finish(1)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _finish(_carry_out(options))


def _carry_out(options: argparse.Namespace) -> int:
    """Carry out the command; what goes wrong becomes one line on standard error and an exit code."""
    try:
        code: int = options.action(options)
        return code
    except (ConfigError, UnknownNameError, InvalidValueError) as error:
        print(f"texbridge: {error}{_unlooked(error)}", file=sys.stderr)
        return 2
    except TexbridgeError as error:
        print(f"texbridge: {printable(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    except OSError as error:
        if _reader_has_gone(error):
            return 1
        print(f"texbridge: {printable(error) or type(error).__name__}", file=sys.stderr)
        return 1


def _unlooked(error: TexbridgeError) -> str:
    """What to add where the workflow lies in ./workflows, as `workflows bind` puts it, and nobody was told of it."""
    if isinstance(error, ConfigError) and isinstance(error.__cause__, TexbridgeError):
        error = error.__cause__  # of a stream that is configured
    if error.code is not ErrorCode.UNKNOWN_WORKFLOW or not isinstance(error.value, str):
        return ""
    if not NAME.fullmatch(error.value) or not Path(FOLDER, error.value, "workflow_api.json").is_file():
        return ""
    return f"; {FOLDER}/{error.value} is here: add --workflows {FOLDER}"


def _finish(code: int) -> int:
    """Bring out what is printed; where that fails, be quiet for the rest: Python would complain at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not _reader_has_gone(error):
            print(f"texbridge: can't write the output: {error}", file=sys.stderr)
        return code or 1
    return code


def _reader_has_gone(error: OSError) -> bool:
    """True if the reader of our pipe has ended, which needs no words. Windows calls it an invalid argument."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def set_up_logging(level: str) -> None:
    """Log to standard error, one line a message."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.WARNING)
