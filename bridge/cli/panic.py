"""`texbridge panic`: everything stops now, for everybody."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bridge.app.config.config import Config, find_config, load_config, parse_listen, reached_at
from bridge.cli.options import add_config
from bridge.cli.own_bridge import connect_bridge
from bridge.client import Client
from bridge.errors import BridgeError, ConfigError

DESCRIPTION = """\
Everything stops now: live streams rest, waiting and running requests are cancelled, and every viewer is shown the
panic picture at once (`panic.picture` in the configuration). `texbridge resume` ends it.

  texbridge panic
  texbridge panic --to 192.168.1.20:9402

It speaks to the bridge that runs at the configured address, over the engine link.
"""

USUAL_PORT: Final = 9402
WITHIN_S: Final = 15.0  # wrong tokens of others at this address may make us wait 5 s


def add_parser(commands: Any, purpose: str) -> None:
    """Add `panic` to the command line."""
    parser = commands.add_parser(
        "panic", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_bridge(parser)
    parser.set_defaults(action=lambda options: tell_bridge(options, Client.panic))


def add_bridge(parser: argparse.ArgumentParser) -> None:
    """`--to` and `--config`: which bridge is meant."""
    parser.add_argument(
        "--to",
        metavar="ADDRESS",
        help="the bridge's engine link, HOST:PORT for TCP or ws://HOST:PORT/link; by default what the configuration "
        f"says of TCP, else 127.0.0.1:{USUAL_PORT}",
    )
    add_config(parser)


def tell_bridge(options: argparse.Namespace, work: Callable[[Client], Awaitable[object]]) -> int:
    """Connect to the bridge that is meant, and do `work` there. Gives exit code 0.

    Raises:
        ConfigError: the address or the configuration is bad.
        BridgeError: no bridge answers there. TexbridgeError: it refuses.
    """
    config = load_config(find_config(options.config), check_doors=False)
    address = options.to
    if address is None:
        host, port = parse_listen(config.tcp.listen or f"127.0.0.1:{USUAL_PORT}", "tcp.listen")
        host = reached_at(host)
        address = f"[{host}]:{port or USUAL_PORT}" if ":" in host else f"{host}:{port or USUAL_PORT}"
    asyncio.run(_tell(address, config, work))
    return 0


async def _tell(address: str, config: Config, work: Callable[[Client], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            async with await connect_bridge(address, "texbridge command", config) as client:
                await work(client)
    except ValueError as error:
        raise ConfigError(f"--to {address}: {error}") from error
    except (OSError, TimeoutError) as error:
        raise BridgeError(
            f"no bridge answers at {address}; `texbridge serve` starts one, and prints its addresses for --to"
        ) from error
