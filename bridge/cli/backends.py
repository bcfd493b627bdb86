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

from bridge.app.config.backend import single_backends
from bridge.app.config.config import (
    BackendConfig,
    Config,
    find_config,
    is_loopback,
    load_config,
    parse_listen,
    user_config_folder,
)
from bridge.app.lan import read_token
from bridge.app.pool.headers import headers_for, trust
from bridge.cli.backend_lines import backend_line, backend_table
from bridge.cli.options import add_comfy_headers, add_config, read_comfy_headers, sendable
from bridge.cli.printing import say
from bridge.errors import BridgeError, ConfigError, ErrorCode, TexbridgeError

DESCRIPTION = """\
See and change which ComfyUIs the bridge on this machine uses, while it runs: the address of a tunnel is another one
every day. What is added here is gone when the bridge ends; texbridge.toml is for what stays.

  texbridge backends list
  texbridge backends add http://127.0.0.1:8188-8191 --name gpu
  texbridge backends add https://words-of-today.trycloudflare.com --name colab
  texbridge backends add https://words-of-today.trycloudflare.com --name colab --replace
  texbridge backends add https://gpu.example/comfy --comfy-header 'Authorization: env:GPU_KEY'
  texbridge backends drain gpu-8189
  texbridge backends undrain gpu-8189
  texbridge backends refresh gpu-8189
  texbridge backends remove colab

One that is drained ends what it has and gets nothing new, so that it can be restarted without a lost picture.
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
    listing = verbs.add_parser("list", help="show each with its state, and what it has done")
    adding = verbs.add_parser("add", help="add one or several, and see whether they answer")
    removing = verbs.add_parser("remove", help="remove one; what runs there is asked at another")
    draining = verbs.add_parser("drain", help="let one end what it has, and give it nothing new")
    undraining = verbs.add_parser("undrain", help="give a drained one prompts again")
    refreshing = verbs.add_parser("refresh", help="ask one anew which nodes and model files it has")
    adding.add_argument(
        "url", metavar="URL", help="in whatever form it was printed or copied; http://HOST:8188-8191 are four"
    )
    adding.add_argument("--name", default="", help="what to call it; by default host:port; of several NAME-PORT")
    adding.add_argument("--replace", action="store_true", help="take the place of the one of this name")
    adding.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="S", help="seconds to wait until it is up; 0: don't"
    )
    where = adding.add_mutually_exclusive_group()
    where.add_argument("--remote", action="store_true", help="rarer pings, more patience: as for hosts on the internet")
    where.add_argument("--near", action="store_true", help="as for hosts of the own network")
    adding.add_argument(
        "--transfer",
        choices=("auto", "raw", "jpeg", "webp", "png"),
        default="auto",
        help="how pictures come: auto measures the link; raw, jpeg and webp need the texbridge nodes there",
    )
    add_comfy_headers(adding)
    draining.add_argument("--no-wait", action="store_true", help="don't wait until its prompts are over")
    draining.add_argument(
        "--wait", type=float, metavar="S", help="seconds to wait at most; by default as long as it takes"
    )
    for verb in (removing, draining, undraining, refreshing):
        verb.add_argument("name", metavar="NAME", help="as `list` shows it")
    for verb, action in (
        (listing, show),
        (adding, add),
        (removing, remove),
        (draining, drain),
        (undraining, undrain),
        (refreshing, refresh),
    ):
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
    elif backends:
        say(backend_table(backends))
    else:
        say("none; `texbridge backends add URL` adds one")
    return 0


def add(options: argparse.Namespace) -> int:
    """`backends add`: 0 if all are up in time, 1 if not."""
    keys = read_comfy_headers(options)
    headers_file, ca_file = keys.pop("headers_file", ""), keys.pop("ca_file", "")
    named = BackendConfig(url=sendable(options.url), name=sendable(options.name), headers_file=headers_file, **keys)
    wanted = single_backends([named])
    request: dict[str, Any] = {"replace": options.replace, "transfer": options.transfer}
    if options.remote or options.near:
        request["remote"] = options.remote
    if ca_file:
        trust(file=ca_file)
        request["ca"] = Path(ca_file).expanduser().read_text(encoding="ascii")
    bodies = [
        {**request, "url": one.url, "name": one.name, "headers": headers_for(one.url, one.headers, headers_file)}
        for one in wanted
    ]
    client = _client(options)
    added: list[dict[str, Any]] = []
    for body in bodies:
        try:
            one = client.ask("POST", "/admin/backends", body).get("added", {})
        except TexbridgeError as error:
            if added:
                say(f"added before that: {', '.join(str(one.get('name')) for one in added)}", file=sys.stderr)
            raise error
        for note in one.get("notes", ()):
            say(f"  {note}", file=sys.stderr)
        added.append(one)
    told = _wait_until_up(client, added, options.wait)
    if options.json:
        print(json.dumps(told if len(told) > 1 else told[0], indent=2))
    else:
        say("\n".join(map(backend_line, told)))
    return 0 if options.wait <= 0 or all(one.get("state") == "up" for one in told) else 1


def _wait_until_up(client: AdminClient, added: list[dict[str, Any]], wait_s: float) -> list[dict[str, Any]]:
    """Give what is known of each when all are up, one says why it isn't, or the time is over."""
    until = time.monotonic() + wait_s
    told = added
    while any(_may_come(one) for one in told) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        there: dict[Any, dict[str, Any]] = {
            one.get("name"): one for one in client.ask("GET", "/admin/backends").get("backends", [])
        }
        told = [there.get(one.get("name"), {**one, "state": "removed"}) for one in told]
    return told


def _may_come(backend: Mapping[str, Any]) -> bool:
    return backend.get("state") not in ("up", "removed") and not backend.get("warning")


def _at(options: argparse.Namespace, verb: str = "") -> str:
    return f"/admin/backends/{quote(sendable(options.name), safe='')}" + (f"/{verb}" if verb else "")


def drain(options: argparse.Namespace) -> int:
    """`backends drain`: 0 when nothing of ours is there any more, 1 if that takes too long."""
    if options.wait is not None and (options.no_wait or not options.wait >= 0):
        raise ConfigError("--wait takes seconds, 0 or more, and not --no-wait beside it")
    client = _client(options)
    told: dict[str, Any] = client.ask("POST", _at(options, "drain"), {}).get("backend", {})
    until = None if options.wait is None else time.monotonic() + options.wait
    left: int | None = None
    while not options.no_wait and told.get("prompts") and (until is None or time.monotonic() < until):
        if told["prompts"] != left:
            left = told["prompts"]
            say(f"{options.name}: {left} prompt{'s' if left != 1 else ''} left", file=sys.stderr)
        time.sleep(LOOK_EVERY_S)
        there: list[dict[str, Any]] = client.ask("GET", "/admin/backends").get("backends", [])
        told = next((one for one in there if one.get("name") == options.name), {})
        if not told.get("drained"):
            raise BridgeError(f"{options.name} takes prompts again, or was removed, while it was waited for")
    over = not told.get("prompts")
    if options.json:
        print(json.dumps(told, indent=2))
    else:
        count = told.get("prompts", 0)
        state = "is drained" if over else f"still has {count} prompt{'s' if count != 1 else ''} and gets no more"
        say(f"{options.name} {state}; `texbridge backends undrain {options.name}` gives it prompts again")
    return 0 if over or options.no_wait else 1


def undrain(options: argparse.Namespace) -> int:
    """`backends undrain`."""
    told = _client(options).ask("POST", _at(options, "undrain"), {}).get("backend", {})
    say(json.dumps(told, indent=2) if options.json else backend_line(told))
    return 0


def refresh(options: argparse.Namespace) -> int:
    """`backends refresh`."""
    told = _client(options).ask("POST", _at(options, "refresh"), {}).get("backend", {})
    if options.json:
        print(json.dumps(told, indent=2))
        return 0
    say(f"{told.get('name')} has {'other nodes or files than before' if told.get('changed') else 'what it had'}")
    for stream, reason in told.get("lacks", {}).items():
        say(f"  lacks for stream {stream}: {reason}")
    return 0


def remove(options: argparse.Namespace) -> int:
    """`backends remove`."""
    removed = _client(options).ask("DELETE", _at(options))
    removed = removed.get("removed", {})
    say(json.dumps(removed, indent=2) if options.json else f"removed {removed.get('name')} at {removed.get('url')}")
    return 0
