"""What the bridge that runs at the configured HTTP door says of itself."""

from __future__ import annotations

from typing import Any, Final

import aiohttp

from bridge.app.config.config import Config, parse_listen, reached_at

ASK_WITHIN_S: Final = 3.0
"""A bridge that turns pictures on a busy machine has its turn by then; only who is silent is waited for so long."""

_MOST_BYTES: Final = 1 << 20


async def ask_http(config: Config, path: str) -> dict[str, Any]:
    """Give the JSON object that the bridge there has at `path`; empty if none answers, or something else."""
    if not config.http.listen:
        return {}
    host, port = parse_listen(config.http.listen, "http.listen")
    host = reached_at(host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    headers = {"Authorization": f"Bearer {config.link.token}"} if config.link.token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_WITHIN_S)) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if (answer.content_length or 0) > _MOST_BYTES:
                return {}
            told = await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


async def ask_backends(config: Config) -> list[dict[str, Any]] | None:
    """Give what the bridge there tells of each of its ComfyUIs; None if none answers, or something else."""
    told = (await ask_http(config, "/healthz")).get("backends")
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else None
