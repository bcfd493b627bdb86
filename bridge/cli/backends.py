"""`texbridge backends`: which ComfyUIs a running bridge uses, changed while it runs."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bridge.app.backend_headers import headers_for, trust
from bridge.app.config import Config, find_config, is_loopback, load_config, parse_listen, user_config_folder
from bridge.app.lan import read_token
from bridge.cli.options import add_comfy_headers, add_config, read_comfy_headers, sendable
from bridge.cli.printing import say
from bridge.errors import BridgeError, ConfigError, ErrorCode

DESCRIPTION = """\
See and change which ComfyUIs the bridge on this machine uses, while it runs: the address of a tunnel is another one
every day. What is added here is gone when the bridge ends; texbridge.toml is for what stays.

  texbridge backends list
  texbridge backends add https://words-of-today.trycloudflare.com --name colab
  texbridge backends add https://words-of-today.trycloudflare.com --name colab --replace
  texbridge backends add https://gpu.example/comfy --comfy-header 'Authorization: env:GPU_KEY'
  texbridge backends remove colab
"""

TIMEOUT_S: Final = 30.0
WAIT_S: Final = 20.0
LOOK_EVERY_S: Final = 0.2


def add_parser(commands: Any, purpose: str) -> None:
    """Add `backends` to the command line."""
    parser = commands.add_parser(
        "backends", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="show each with its state")
    adding = verbs.add_parser("add", help="add one, and see whether it answers")
    removing = verbs.add_parser("remove", help="remove one")
    adding.add_argument("url", metavar="URL", help="in whatever form it was printed or copied")
    adding.add_argument("--name", default="", help="what to call it; by default host:port")
    adding.add_argument("--replace", action="store_true", help="take the place of the one of this name")
    adding.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="S", help="seconds to wait until it is up; 0: don't"
    )
    add_comfy_headers(adding)
    removing.add_argument("name", metavar="NAME", help="as `list` shows it")
    for verb, action in ((listing, show), (adding, add), (removing, remove)):
        verb.add_argument("--http", metavar="HOST:PORT", help="the bridge's HTTP door; by default the configured one")
        verb.add_argument("--json", action="store_true", help="print JSON")
        add_config(verb)
        verb.set_defaults(action=action)


class AdminClient:
    """Asks the bridge on this machine. Every call raises TexbridgeError when it fails."""

    def __init__(self, http_door: str | None, config: Config) -> None:
        listen = http_door or config.http.listen
        if not listen:
            raise ConfigError("http.listen is empty: the bridge has no HTTP door; name it with --http HOST:PORT")
        host, self._port = parse_listen(listen, "--http" if http_door else "http.listen")
        if http_door and not is_loopback(host) and host not in ("0.0.0.0", "::"):
            raise ConfigError(f"--http {http_door}: only the bridge's own machine may, at 127.0.0.1:{self._port}")
        self._token = config.link.token

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give the JSON of the answer. The token goes only to who asks for it."""
        status, answer = self._ask(method, path, body, {})
        if status == 401 and (token := self._token or read_token(user_config_folder())):
            status, answer = self._ask(method, path, body, {"Authorization": f"Bearer {token}"})
        error = answer.get("error")
        if status >= 400 or isinstance(error, dict):
            told = error if isinstance(error, dict) else {}
            words = str(told.get("message") or f"the bridge answered with status {status}")
            if status == 404 and told.get("name") == "unknown_address" and path in words:
                words = f"what listens at 127.0.0.1:{self._port} has no `backends`: is it an older bridge?"
            raise (ConfigError(words) if status in (400, 404) else BridgeError(words))
        return answer

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            answer = json.loads(response.read(1 << 20))
        except (OSError, http.client.HTTPException) as error:
            raise BridgeError(
                f"no bridge answers at 127.0.0.1:{self._port} ({str(error) or type(error).__name__}); start one with"
                " `texbridge serve`, or name its HTTP door with --http HOST:PORT",
                code=ErrorCode.INTERNAL,
            ) from None
        except ValueError:
            raise BridgeError(f"what listens at 127.0.0.1:{self._port} is no texbridge") from None
        finally:
            connection.close()
        return response.status, answer if isinstance(answer, dict) else {}


def _client(options: argparse.Namespace) -> AdminClient:
    return AdminClient(options.http, load_config(find_config(options.config), check_doors=False))


def show(options: argparse.Namespace) -> int:
    """`backends list`."""
    backends = _client(options).ask("GET", "/admin/backends").get("backends", [])
    if options.json:
        print(json.dumps(backends, indent=2))
    else:
        for backend in backends:
            say(backend_line(backend))
        if not backends:
            say("none; `texbridge backends add URL` adds one")
    return 0


def add(options: argparse.Namespace) -> int:
    """`backends add`: 0 if it is up in time, 1 if not."""
    keys = read_comfy_headers(options)
    url = sendable(options.url)
    headers = headers_for(url, keys.get("headers", {}), keys.get("headers_file", ""))
    request = {"url": url, "name": sendable(options.name), "headers": headers, "replace": options.replace}
    if "ca_file" in keys:
        trust(file=keys["ca_file"])
        request["ca"] = Path(keys["ca_file"]).expanduser().read_text(encoding="ascii")
    client = _client(options)
    added = client.ask("POST", "/admin/backends", request).get("added", {})
    for note in added.get("notes", ()):
        say(f"  {note}", file=sys.stderr)
    until = time.monotonic() + options.wait
    told: dict[str, Any] = added
    while told.get("state") != "up" and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        there = client.ask("GET", "/admin/backends").get("backends", [])
        told = next((one for one in there if one.get("name") == added.get("name")), {})
        if told.get("warning") or not told:
            break
    if options.json:
        print(json.dumps(told or added, indent=2))
    else:
        say(backend_line(told or added))
    return 0 if told.get("state") == "up" or options.wait <= 0 else 1


def remove(options: argparse.Namespace) -> int:
    """`backends remove`."""
    removed = _client(options).ask("DELETE", f"/admin/backends/{quote(sendable(options.name), safe='')}")
    removed = removed.get("removed", {})
    say(json.dumps(removed, indent=2) if options.json else f"removed {removed.get('name')} at {removed.get('url')}")
    return 0


def backend_line(backend: Mapping[str, Any]) -> str:
    """Give a line for a person: name, state, address, version, round trip, or what is wrong."""
    parts = [f"{backend.get('state', '?'):<10} {backend.get('name')}  {backend.get('url')}"]
    if backend.get("version"):
        parts.append(f"ComfyUI {backend['version']}")
    if backend.get("round_trip_ms") is not None:
        parts.append(f"{backend['round_trip_ms']:g} ms away")
    if backend.get("warning"):
        parts.append(str(backend["warning"]))
    return "  ".join(parts)
