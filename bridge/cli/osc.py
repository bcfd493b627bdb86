"""`texbridge osc`: look at what OSC senders send."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Final

from bridge.app.config.config import Config, find_config, load_config, parse_listen, user_config_folder
from bridge.app.lan import read_token
from bridge.app.osc.alone import listen_alone
from bridge.cli.options import add_config
from bridge.cli.printing import printable
from bridge.errors import BridgeError, ConfigError

DESCRIPTION = """\
Show each OSC message and what became of it: sender, address, arguments with their type tags, then its meaning, or what
is wrong with it and the nearest right address. Ctrl+C ends it.

  texbridge osc monitor                            asks the running bridge, and takes nothing from it;
                                                   without one it listens itself where the configuration says
  texbridge osc monitor --listen 0.0.0.0:9000      listens there, and does nothing with what comes
  texbridge osc monitor --json | jq .              a line of JSON for each message
"""

CONNECT_S: Final = 5.0
SILENCE_S: Final = 30.0
"""A bridge says something every 10 s; one that is silent for so long is stuck."""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `osc` to the command line."""
    parser = commands.add_parser(
        "osc", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    watching = verbs.add_parser(
        "monitor",
        help="show each message and what it became",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    watching.add_argument("--listen", metavar="HOST:PORT", help="listen there instead of asking the running bridge")
    watching.add_argument("--http", metavar="HOST:PORT", help="the bridge's HTTP door; by default the configured one")
    watching.add_argument("--json", action="store_true", help="print a line of JSON for each message")
    add_config(watching)
    watching.set_defaults(action=monitor)


def monitor(options: argparse.Namespace) -> int:
    """`osc monitor`: until Ctrl+C."""
    config = load_config(find_config(options.config), check_doors=False)
    if options.listen is None:
        lines = bridge_lines(options.http or config.http.listen, config)
        if lines is not None:
            return _follow(lines, options.json)
        if options.http:
            raise BridgeError(f"no bridge answers at {options.http}")
        print("no bridge runs here: listening without one, nothing is done", file=sys.stderr)
    listen = options.listen or config.osc.listen
    if not listen:
        raise ConfigError("osc.listen is empty: say where to listen with --listen HOST:PORT")
    host, port = parse_listen(listen, "--listen" if options.listen else "osc.listen")
    asyncio.run(listen_alone(config, host, port, lambda entry: _show(entry, options.json)))
    return 0


def _follow(lines: Iterator[bytes], as_json: bool) -> int:
    pressed: list[int] = []

    def on_key(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    # Set by ourselves: a shell that runs this in the background has it ignored.
    before = signal.signal(signal.SIGINT, on_key)
    try:
        for line in lines:
            if line.strip():
                _show(json.loads(line), as_json)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, before)
    # A key pressed while the library reads may end the lines instead of reaching us: then it was not the bridge.
    if not pressed:
        print("the bridge has ended", file=sys.stderr)
    return 0


def bridge_lines(listen: str, config: Config) -> Iterator[bytes] | None:
    """Give what the bridge on this machine tells of OSC, line by line; None if there is none.

    Raises: BridgeError: something else answers there, or it refuses.
    """
    if not listen:
        return None
    _, port = parse_listen(listen, "http.listen")
    if not port:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CONNECT_S)
    try:
        response = _ask(connection, {})
        if response.status == 401 and (token := config.link.token or read_token(user_config_folder())):
            connection.close()
            response = _ask(connection, {"Authorization": f"Bearer {token}"})
    except (ConnectionRefusedError, TimeoutError):
        connection.close()
        return None
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise BridgeError(
            f"what listens at 127.0.0.1:{port} is no texbridge ({error or type(error).__name__})"
        ) from None
    if response.status != 200 or response.headers.get_content_type() != "application/x-ndjson":
        words = _refusal(response)
        connection.close()
        hint = "an older bridge, or none of ours; --listen HOST:PORT listens without it"
        raise BridgeError(f"127.0.0.1:{port} tells nothing of OSC: {words or hint}")
    return _lines(connection, response)


def _ask(connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    connection.request("GET", "/admin/osc", headers=dict(headers))
    line = connection.sock  # the connection forgets it where the answer says `Connection: close`
    response = connection.getresponse()
    if not response.isclosed():
        line.settimeout(SILENCE_S)
    return response


def _refusal(response: http.client.HTTPResponse) -> str:
    """Give the bridge's own words; none where the page isn't known, or somebody else answers."""
    try:
        error = json.loads(response.read(65536))["error"]
        return "" if response.status == 404 else printable(str(error["message"])[:1000])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return ""


def _lines(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while line := response.readline():
            yield line
    except (OSError, http.client.HTTPException):
        return  # it ended in the middle
    finally:
        response.close()
        connection.close()


def _show(entry: Mapping[str, Any], as_json: bool) -> None:
    print(json.dumps(entry) if as_json else printable(entry_line(entry)).replace("\n", "\\n"), flush=True)


def entry_line(entry: Mapping[str, Any]) -> str:
    """Give one entry as a line for a person."""
    if "missed" in entry:
        return f"... {entry['missed']} messages more than could be shown"
    if "listening" in entry:
        where = f" at udp://{entry['osc']}" if "osc" in entry else ", as the running bridge hears them"
        return f"OSC messages{where}; streams: {', '.join(entry['streams']) or 'none'}. Ctrl+C ends it"
    at = time.strftime("%H:%M:%S", time.localtime(entry["time"])) + f".{round(entry['time'] % 1 * 1000) % 1000:03d}"
    left = f"{at}  {entry['sender']:<21}  "
    error: Mapping[str, Any] = entry.get("error", {})
    if "address" not in entry:
        where = f"{entry['stream']}: " if "stream" in entry else ""
        return f"{left}! {where}{error['code']} {error['name']}: {error['message']}"
    arguments = " ".join(_word(argument) for argument in entry["arguments"])
    if "more_arguments" in entry:
        arguments += f" ... ({entry['more_arguments']} more)"
    sent = f"{entry['address']} ,{entry['tags']} {arguments}".rstrip()
    became = "; ".join(entry.get("meaning", ()))
    if "more_meanings" in entry:
        became += f" ... ({entry['more_meanings']} more)"
    if error:
        wrong = f"! {error['code']} {error['name']}: {error['message']}"
        if error.get("nearest") and error["nearest"] not in error["message"]:
            wrong += f" (nearest is {error['nearest']})"
        became = f"{became}; {wrong}" if became else wrong
    return f"{left}{sent:<48} -> {became}"


def _word(argument: Any) -> str:
    if isinstance(argument, str):
        return repr(argument)
    if isinstance(argument, list):
        return "[" + " ".join(map(_word, argument)) + "]"
    if argument is None or isinstance(argument, bool):
        return "N" if argument is None else "T" if argument else "F"
    return f"{argument:.7g}" if isinstance(argument, float) else str(argument)
