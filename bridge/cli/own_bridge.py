"""A link to a bridge from the command line, with the token that it wants."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from bridge.app.config import Config, is_loopback, user_config_folder
from bridge.app.lan import read_token
from bridge.client import Client
from bridge.errors import ErrorCode, NotAllowedError

ADVICE: Final = "give it as TEXBRIDGE_LINK_TOKEN in the environment, or as link.token in the configuration"


async def connect_bridge(address: str, client: str, config: Config) -> Client:
    """Give a link to the bridge at `address`, HOST:PORT or a WebSocket's URL; `client` is who we are.

    A bridge on this machine that wants a token and runs with `--lan` gets the kept one, once it has asked for it.

    Raises:
        NotAllowedError: it refuses the token. ConfigError: the kept one can't be read.
        OSError, DecodeError, ValueError: as `Client.connect`.
    """
    token = config.link.token or None
    try:
        return await Client.connect(address, client=client, token=token)
    except NotAllowedError as error:
        if error.code is not ErrorCode.BAD_TOKEN:
            raise
        host = urlsplit(address if "://" in address else f"tcp://{address}").hostname or ""
        kept = read_token(user_config_folder()) if token is None and is_loopback(host) else None
        if kept is None:
            raise _refused(address) from None
    try:
        return await Client.connect(address, client=client, token=kept)
    except NotAllowedError as error:
        if error.code is not ErrorCode.BAD_TOKEN:
            raise
        raise _refused(address) from None


def _refused(address: str) -> NotAllowedError:
    words = f"the bridge at {address} wants a token, and got none or a wrong one: {ADVICE}"
    return NotAllowedError(words, code=ErrorCode.BAD_TOKEN, field="token")
