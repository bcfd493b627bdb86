"""`texbridge serve`: the bridge."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bridge.app.config.config import Config, user_config_folder
from bridge.app.lan import MOST_SHOWN, TOKEN_FILE, keep_token, lan_addresses, lan_listens
from bridge.app.runtime import run_bridge
from bridge.app.serve import Server, serve_until_stopped
from bridge.cli.options import add_comfy, add_config, parse_streams, read_config, tell_config
from bridge.errors import ConfigError
from bridge.types import ParameterType

logger = logging.getLogger("bridge.cli")

MAX_WAIT_S: Final = 86_400.0
DOORS = {"osc": "osc", "link": "link", "tcp": "tcp", "http": "http"}

DESCRIPTION = """\
Run the bridge until Ctrl+C. Without a configuration there is one stream, `main`: the workflow `gradient`, live,
512x512. Without --comfy and --embedded it looks for ComfyUI on this machine, and goes on looking.

  texbridge serve --embedded
  texbridge serve --comfy http://127.0.0.1:8188 --stream sky=txt2img_turbo:latest
  texbridge serve --lan --osc-allow 192.168.1.0/24
  texbridge serve --json --osc 127.0.0.1:0 --link 127.0.0.1:0 --tcp 127.0.0.1:0 --http 127.0.0.1:0
"""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `serve` to the command line."""
    parser = commands.add_parser(
        "serve",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_comfy(parser)
    parser.add_argument("--embedded", action="store_true", help="run the small ComfyUI inside, and use it")
    parser.add_argument(
        "--step-delay-ms",
        type=float,
        metavar="N",
        help="milliseconds that each prompt of the embedded ComfyUI takes longer, to play a slower GPU",
    )
    parser.add_argument(
        "--stream",
        metavar="NAME=WORKFLOW[:MODE]",
        action="append",
        help="a stream besides `main`; mode is oneshot, latest or live (default); may be given again",
    )
    for door, what in (
        ("osc", "OSC over UDP"),
        ("link", "engine link over WebSocket"),
        ("tcp", "engine link over TCP"),
        ("http", "health and pictures"),
    ):
        parser.add_argument(f"--{door}", metavar="HOST:PORT", help=f"{what}; port 0 takes a free one")
    parser.add_argument(
        "--lan",
        action="store_true",
        help="listen on every network of this machine, with a token that clients must send; needs --osc-allow",
    )
    parser.add_argument(
        "--osc-allow",
        metavar="NETWORK",
        action="append",
        help="a network, e.g. 192.168.1.0/24, or an address that may send OSC besides this machine; may be given again",
    )
    parser.add_argument("--new-token", action="store_true", help="with --lan: make another token than the kept one")
    parser.add_argument(
        "--require-comfy",
        action="store_true",
        help="end with an error if no ComfyUI answers within 10 seconds, or 2 where nobody listens at its address",
    )
    parser.add_argument(
        "--wait-comfy",
        metavar="S",
        type=float,
        help="as --require-comfy, but for a ComfyUI that starts at the same time: give it so many seconds",
    )
    parser.add_argument(
        "--until-input-ends",
        action="store_true",
        help="end with the program that started this one, when its end of standard input closes",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready, for a script")
    parser.set_defaults(action=serve)


def serve(options: argparse.Namespace) -> int:
    """Run the bridge until a signal ends it."""
    from bridge.cli import set_up_logging

    overrides: dict[str, Any] = {}
    for door in DOORS:
        listen = getattr(options, door)
        if listen is not None:
            overrides.setdefault(door, {})["listen"] = listen
    if options.embedded:
        overrides.setdefault("embedded", {})["enabled"] = True
    if options.step_delay_ms is not None:
        overrides.setdefault("embedded", {})["step_delay_ms"] = options.step_delay_ms
    if options.stream:
        overrides["streams"] = parse_streams(options.stream)
    if options.osc_allow:
        overrides.setdefault("osc", {})["allow"] = options.osc_allow
    if options.wait_comfy is not None and not 0 < options.wait_comfy <= MAX_WAIT_S:
        raise ConfigError(f"--wait-comfy {options.wait_comfy:g} is not over 0 and at most {MAX_WAIT_S:,.0f} seconds")
    is_lan = options.lan or read_config(options, overrides, check_doors=False)[0].link.lan
    if options.new_token and not is_lan:
        raise ConfigError("--new-token goes with --lan, or link.lan in the configuration")
    kept_in: Path | None = None
    if is_lan:
        kept_in = open_to_lan(options, overrides)
    config, path = read_config(options, overrides)
    set_up_logging(config.log.level)
    warn_of_wide_networks(config)
    if options.json:
        tell_config(path)
    server = Server(config, require_comfy=options.require_comfy, wait_comfy_s=options.wait_comfy)

    def ready(server: Server) -> None:
        lan = Lan(lan_addresses(config.osc.allow), kept_in) if is_lan else None
        print(ready_json(server, lan) if options.json else ready_block(server, path, lan), flush=True)

    run_bridge(serve_until_stopped(server, ready, until_input_ends=options.until_input_ends), config.runtime)
    return 0


@dataclass(frozen=True, slots=True)
class Lan:
    """For the ready block: this machine's addresses, and the file with the token, None if the configuration has it."""

    addresses: tuple[str, ...]
    kept_in: Path | None


def open_to_lan(options: argparse.Namespace, overrides: dict[str, Any]) -> Path | None:
    """Add to the overrides what --lan means; give the file that keeps the token, None if the configuration has one.

    Raises:
        ConfigError: OSC would be open to everybody, or the token can't be kept.
    """
    config, path = read_config(options, overrides, check_doors=False)
    fixed = {door for door in DOORS if getattr(options, door) is not None}
    for door, keys in lan_listens(config, fixed).items():
        overrides.setdefault(door, {}).update(keys)
    if config.link.token:
        if options.new_token:
            raise ConfigError(f"link.token is set in {path or 'the environment'}, so --new-token has nothing to change")
        return None
    folder = user_config_folder()
    overrides.setdefault("link", {})["token"] = keep_token(folder, new=options.new_token)
    return folder / TOKEN_FILE


def warn_of_wide_networks(config: Config) -> None:
    """Say so if everybody may send OSC."""
    for network in config.osc.allow:
        if ipaddress.ip_network(network, strict=False).prefixlen == 0:
            logger.warning("osc.allow has %s: everybody who reaches this machine may send OSC", network)


def ready_json(server: Server, lan: Lan | None = None) -> str:
    """Give the one line that says where the doors are."""
    told: dict[str, Any] = {"ready": True, **asdict(server.addresses)}
    if lan is not None:
        told |= {"lan": list(lan.addresses), "token": server.config.link.token}
        told["token_file"] = None if lan.kept_in is None else str(lan.kept_in)
    return json.dumps(told)


def ready_block(server: Server, path: Path | None, lan: Lan | None = None) -> str:
    """Give the block with the connect strings, for a person."""
    at = server.addresses
    backends = [str(backend.info()["url"]) for backend in server.bridge.backends]
    lines = [
        "",
        "texbridge is ready",
        f"  configuration  {path.absolute() if path is not None else 'the defaults (no file)'}",
        f"  ComfyUI        {', '.join(backends) or 'none yet: looking for one'}"
        + (" (embedded)" if server.embedded is not None else ""),
    ]
    osc = at.osc and at.osc.replace("0.0.0.0:", "127.0.0.1:")
    if osc:
        lines.append(f"  OSC            udp://{osc}       try: {send_hint(osc, server)}")
    if lan is not None:
        lines += lan_lines(server, lan)
    else:
        if at.link:
            lines.append(f"  engine link    ws://{at.link}/link")
        if at.tcp:
            lines.append(f"  engine link    tcp://{at.tcp}")
        if at.http:
            lines.append(f"  pictures       http://{at.http}/")
    for stream in server.actions.streams.by_name.values():
        lines.append(f"  stream         {stream.name} = {stream.workflow.name} ({stream.mode})")
    lines.append("  Ctrl+C ends it")
    return "\n".join(lines) + "\n"


def send_hint(osc: str, server: Server) -> str:
    """Give a command line that moves the first picture: the first stream's first number, or a run."""
    port = osc.rpartition(":")[2]
    to = "" if port == "9400" else f" --to {osc}"
    for stream in server.actions.streams.by_name.values():
        for spec in stream.parameters.values():
            if spec.type is ParameterType.FLOAT:
                value = spec.maximum if isinstance(spec.maximum, int | float) else 1
                return f"texbridge send{to} /texbridge/{stream.name}/{spec.name} {value:g}"
        return f"texbridge send{to} /texbridge/{stream.name}/run"
    return f"texbridge send{to} /texbridge/refresh"


def lan_lines(server: Server, lan: Lan) -> list[str]:
    """Give the lines for other machines: the token, and what to write into a client for each door."""
    at, token = server.addresses, server.config.link.token
    kept = "link.token of the configuration" if lan.kept_in is None else f"{lan.kept_in}; --new-token makes another"
    lines = [f"  token          {token}", f"                 ({kept})"]
    hosts = lan.addresses[:MOST_SHOWN]
    if not hosts:
        lines.append("  LAN            this machine has no network address now; the doors listen on all that come")
    for host in hosts or ("THIS-MACHINE",):
        lines.append(f"  from another machine, at {host}:")
        if at.osc:
            allowed = ", ".join(server.config.osc.allow)
            lines.append(f"    OSC          udp://{_seen_from(at.osc, host)}       only from {allowed}")
        if at.link:
            lines.append(f'    engine link  ws://{_seen_from(at.link, host)}/link       hello: token = "{token}"')
        if at.tcp:
            where = _seen_from(at.tcp, host)
            lines.append(f'    engine link  tcp://{where}       hello: token = "{token}"')
            lines.append(f'    Python       BlockingClient("{where}", token="{token}")')
        if at.http:
            lines.append(f"    pictures     http://{_seen_from(at.http, host)}/?token={token}")
    return lines


def _seen_from(address: str, host: str) -> str:
    """An address where `0.0.0.0`, every interface, is `host`."""
    return address.replace("0.0.0.0:", f"{host}:") if address.startswith("0.0.0.0:") else address
