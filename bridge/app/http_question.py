"""What the bridge that runs at the configured HTTP door says of itself."""

from __future__ import annotations

from typing import Any, Final

import aiohttp

from bridge.app.config.config import Config, parse_listen, reached_at

ASK_WITHIN_S: Final = 3.0
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
