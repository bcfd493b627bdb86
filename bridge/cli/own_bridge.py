"""A link to a bridge from the command line, with the token that it wants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from bridge.app.config.config import Config, is_loopback, user_config_folder
from bridge.app.lan import read_token
from bridge.client import Client, Event
from bridge.errors import ConfigError, ErrorCode, NotAllowedError

ADVICE: Final = "give it as TEXBRIDGE_LINK_TOKEN in the environment, or as link.token in the configuration"


async def connect_bridge(
    address: str, client: str, config: Config, *, on_event: Callable[[Event], None] | None = None
) -> Client:
    """Give a link to the bridge at `address`, HOST:PORT or a WebSocket's URL; `client` is who we are. `on_event` is the
    client's.

    One on this machine gets the token that `serve --lan` keeps, if the configuration has none. It gets it at once: who
    says a wrong one, or none, is made to wait before the next try, and a panic can't wait.

    Raises:
        NotAllowedError: it refuses the token. OSError, DecodeError, ValueError: as `Client.connect`.
    """
    host = urlsplit(address if "://" in address else f"tcp://{address}").hostname or ""
    token = config.link.token or None
    if token is None and is_loopback(host):
        with contextlib.suppress(ConfigError):  # a damaged file concerns nobody but `serve --lan`, which tells of it
            token = read_token(user_config_folder())
    try:
        return await Client.connect(address, client=client, token=token, on_event=on_event)
    except NotAllowedError as error:
        if error.code is not ErrorCode.BAD_TOKEN:
            raise
        words = f"the bridge at {address} wants a token, and got none or a wrong one: {ADVICE}"
        raise NotAllowedError(words, code=ErrorCode.BAD_TOKEN, field="token") from None
