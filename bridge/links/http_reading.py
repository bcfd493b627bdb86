"""aiohttp's handler of one HTTP connection, with our own words for requests that it can't read.

Its own answers to those are plain text; ours are JSON as everywhere, and counted.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, Final

from aiohttp import web

from bridge.errors import NotAllowedError

MAX_WORDS: Final = 200
HEADERS: Final = {"Server": "texbridge", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class RequestReader(web.RequestHandler):
    """Reads the requests of one connection for `server`; `options` are aiohttp's own."""

    __slots__ = ("_counts",)

    def __init__(self, server: web.Server, counts: Counter[str], **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._counts = counts

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """aiohttp: the request can't be read, or its handler failed. Answers and ends the connection."""
        plain = super().handle_error(request, status, exc, message)
        self._counts[f"http_{plain.status}"] += 1
        # The first line is aiohttp's reason; further ones show the bytes, which are the sender's.
        words = (message or plain.reason or "").partition("\n")[0].strip(" :").encode("ascii", "replace").decode()
        error = NotAllowedError(f"the request can't be read: {words[:MAX_WORDS]}")
        body = {"error": {"code": int(error.code), "name": error.code.word, "message": error.message}}
        answer = web.Response(
            text=json.dumps(body) + "\n", status=plain.status, content_type="application/json", headers=HEADERS
        )
        answer.force_close()
        return answer
