"""Administration over HTTP, for programs on this machine: which ComfyUIs the running bridge uses.

| request | does |
|---|---|
| `GET /admin/backends` | lists them |
| `POST /admin/backends` | adds one; the body is JSON |
| `DELETE /admin/backends/<name>` | removes one |
| `POST /admin/backends/<name>/drain` | gives it nothing new; what it has it ends |
| `POST /admin/backends/<name>/undrain` | gives it prompts again |
| `POST /admin/backends/<name>/refresh` | asks it anew which nodes and models it has |
| `GET /admin/osc` | each OSC message from now on and what became of it, as lines of JSON, without an end |

Only from loopback, under a loopback name, straight (no proxy between), by no browser, and with the token as
`Authorization: Bearer` if the bridge has one. Source: protocols/http-admin.md.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, TexbridgeError
from bridge.links.http_body import MAX_BODY_BYTES
from bridge.links.listener import is_loopback_peer

PREFIX: Final = "/admin/"

_PROXIES: Final = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "CF-Connecting-IP",
)
_BROWSERS: Final = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_METHODS: Final = ("GET", "POST", "DELETE")


class AdminHub(Protocol):
    """The bridge as its administrator sees it. All values are JSON's, without secrets."""

    def backends(self) -> list[dict[str, Any]]:
        """Give name, url, state and more of each ComfyUI."""
        ...

    async def add_backend(self, body: bytes) -> dict[str, Any]:
        """Add what the JSON in `body` says. Raises TexbridgeError."""
        ...

    async def remove_backend(self, name: str) -> dict[str, Any]:
        """Remove one. Raises TexbridgeError."""
        ...

    def drain_backend(self, name: str, on: bool) -> dict[str, Any]:
        """Give one nothing new, or prompts again. Raises TexbridgeError."""
        ...

    async def refresh_backend(self, name: str) -> dict[str, Any]:
        """Ask one anew which nodes and models it has. Raises TexbridgeError."""
        ...


def is_admin(request: web.Request) -> bool:
    """Whether a request is for these pages, and judged by `admin_refusal` beside the rules for all."""
    return request.path.startswith(PREFIX)


def admin_refusal(request: web.Request, token: str) -> tuple[TexbridgeError, int] | None:
    """Give why a request may not change the bridge, and the HTTP status; None if it may."""
    if not is_loopback_peer(request.remote):
        return NotAllowedError("administration is for programs on the bridge's own machine"), 403
    name = request.headers.get("Host", "").rpartition(":")[0].lower()
    if name not in _LOOPBACK_NAMES:
        return NotAllowedError("administration goes by http://127.0.0.1:PORT, no other name", field="Host"), 403
    for header in (*_BROWSERS, *_PROXIES):
        if header in request.headers:
            who = "a web page" if header in _BROWSERS else "a proxy"
            return NotAllowedError(f"administration is not for {who} (header {header})", field=header), 403
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
        if scheme.lower() != "bearer" or not right:
            words = "administration needs the bridge's token: Authorization: Bearer TOKEN"
            return NotAllowedError(words, code=ErrorCode.BAD_TOKEN), 401
    if request.method not in _METHODS:
        return NotAllowedError(f"{request.method} is not served here, only {', '.join(_METHODS)}"), 405
    if request.method == "POST" and request.content_type != "application/json":
        return NotAllowedError("the body must be application/json", field="Content-Type"), 415
    if request.method != "POST" and request.can_read_body:
        return NotAllowedError(f"a {request.method} here has no body"), 400
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return _too_large(), 413
    return None


class AdminPages:
    """The handlers."""

    def __init__(self, hub: AdminHub, osc_lines: Callable[[], AsyncIterator[bytes]] | None = None) -> None:
        self._hub = hub
        self._osc_lines = osc_lines

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(f"{PREFIX}backends", self._list, allow_head=False)
        app.router.add_post(f"{PREFIX}backends", self._add)
        app.router.add_delete(PREFIX + "backends/{name:.+}", self._remove)
        app.router.add_post(PREFIX + "backends/{name:.+}/{verb:drain|undrain|refresh}", self._change)
        if self._osc_lines is not None:
            app.router.add_get(f"{PREFIX}osc", self._osc, allow_head=False)

    async def _list(self, _: web.Request) -> web.Response:
        return _answer({"backends": self._hub.backends()})

    async def _add(self, request: web.Request) -> web.Response:
        return _answer({"added": await self._hub.add_backend(await _body(request))}, 201)

    async def _change(self, request: web.Request) -> web.Response:
        name, verb = request.match_info["name"], request.match_info["verb"]
        if (await _body(request)).strip() not in (b"", b"{}"):
            raise InvalidValueError(f"{verb} takes nothing: send {{}} or an empty body", code=ErrorCode.BAD_TEXT)
        if verb == "refresh":
            return _answer({"backend": await self._hub.refresh_backend(name)})
        return _answer({"backend": self._hub.drain_backend(name, verb == "drain")})

    async def _remove(self, request: web.Request) -> web.Response:
        return _answer({"removed": await self._hub.remove_backend(request.match_info["name"])})

    async def _osc(self, request: web.Request) -> web.StreamResponse:
        assert self._osc_lines is not None
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        response.force_close()
        lines = self._osc_lines()
        try:
            first = await anext(lines)  # before the status goes out: there may be no room
            await response.prepare(request)
            await response.write(first)
            async for line in lines:
                await response.write(line)
            await response.write_eof()
        except ConnectionError:
            pass  # the watcher is gone
        finally:
            end = getattr(lines, "aclose", None)
            if end is not None:
                await end()
        return response


async def _body(request: web.Request) -> bytes:
    body = await request.content.read(MAX_BODY_BYTES + 1)
    while body and len(body) <= MAX_BODY_BYTES and not request.content.at_eof():
        body += await request.content.read(MAX_BODY_BYTES + 1 - len(body))
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    return body


def _too_large() -> NotAllowedError:
    return NotAllowedError(f"the body is over {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)


def _answer(body: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")
