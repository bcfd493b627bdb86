"""`texbridge serve`: the bridge."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.app.serve import Server, serve_until_stopped
from bridge.cli.options import add_comfy, add_config, parse_streams, read_config, tell_config
from bridge.types import ParameterType

DOORS = {"osc": "osc", "link": "link", "tcp": "tcp", "http": "http"}

DESCRIPTION = """\
Run the bridge until Ctrl+C. Without a configuration there is one stream, `main`: the workflow `gradient`, live,
512x512. Without --comfy and --embedded it looks for ComfyUI on this machine, and goes on looking.

  texbridge serve --embedded
  texbridge serve --comfy http://127.0.0.1:8188 --stream sky=txt2img_turbo:latest
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
    parser.add_argument("--require-comfy", action="store_true", help="end with an error if no ComfyUI answers")
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
    config, path = read_config(options, overrides)
    set_up_logging(config.log.level)
    if options.json:
        tell_config(path)
    server = Server(config, require_comfy=options.require_comfy)

    def ready(server: Server) -> None:
        print(ready_json(server) if options.json else ready_block(server, path), flush=True)

    asyncio.run(serve_until_stopped(server, ready))
    return 0


def ready_json(server: Server) -> str:
    """Give the one line that says where the doors are."""
    return json.dumps({"ready": True, **asdict(server.addresses)})


def ready_block(server: Server, path: Path | None) -> str:
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
    if at.osc:
        lines.append(f"  OSC            udp://{at.osc}       try: {send_hint(at.osc, server)}")
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
