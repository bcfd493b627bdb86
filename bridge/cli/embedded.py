"""`texbridge embedded`: the embedded ComfyUI alone."""

from __future__ import annotations

import argparse
import asyncio
import errno
from typing import Any

from bridge.app.serve import catch_signals
from bridge.embedded import EmbeddedServer
from bridge.errors import ConfigError

DESCRIPTION = """\
Run the small ComfyUI-compatible server alone: the model-free nodes, on the CPU, no PyTorch. Anything that speaks
ComfyUI's HTTP and WebSocket can use it. Its own node EmbeddedSampler tells its steps and shows previews.

  texbridge embedded
  texbridge embedded --port 8288 --step-delay-ms 50
"""

MAX_DELAY_MS = 600_000


def add_parser(commands: Any, purpose: str) -> None:
    """Add `embedded` to the command line."""
    parser = commands.add_parser(
        "embedded",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8188, metavar="N", help="8188 by default; 0 takes a free one")
    parser.add_argument(
        "--step-delay-ms", type=float, default=0.0, metavar="N", help="milliseconds that each prompt takes longer"
    )
    parser.set_defaults(action=embedded)


def embedded(options: argparse.Namespace) -> int:
    """Run until a signal ends it."""
    from bridge.cli import set_up_logging

    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port} is not 0..65535")
    if not 0 <= options.step_delay_ms <= MAX_DELAY_MS:
        raise ConfigError(f"--step-delay-ms {options.step_delay_ms:g} is not 0 to {MAX_DELAY_MS:,} milliseconds")
    set_up_logging("info")
    asyncio.run(_run(options.port, options.step_delay_ms))
    return 0


async def _run(port: int, step_delay_ms: float) -> None:
    stopped = asyncio.Event()
    undo = catch_signals(asyncio.get_running_loop(), stopped.set)
    try:
        server = EmbeddedServer(port=port, step_delay_ms=step_delay_ms)
        try:
            await server.start()
        except OSError as error:
            why = "is in use by another program" if error.errno == errno.EADDRINUSE else f"can't be used: {error}"
            raise ConfigError(f"port {port} {why}; choose another with --port (0 takes a free one)") from error
        try:
            print(f"embedded ComfyUI at {server.url} (Ctrl+C ends it)", flush=True)
            await stopped.wait()
        finally:
            await server.close()
    finally:
        undo()
