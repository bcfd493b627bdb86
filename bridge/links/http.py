"""HTTP: health, readiness, and each stream's picture as JPEG for people, browsers and OBS. Read-only.

| path | gives |
|---|---|
| `/` | a page that shows every stream |
| `/healthz`, `/readyz` | JSON; the second with 503 until it is ready |
| `/metrics` | counters and gauges as Prometheus reads them |
| `/streams/<name>.jpg` | the newest picture; waits up to 5 s for the first one, or `?wait=S` (0 to 30) |
| `/streams/<name>.mjpg` | multipart/x-mixed-replace: each newest picture; a slow viewer skips |

Errors are JSON: `{"error": {"code", "name", "message", ...}}`.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import hashlib
import hmac
import html
import json
import logging
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import quote

from aiohttp import web

from bridge.errors import (
    BackendError,
    BridgeError,
    ErrorCode,
    InvalidValueError,
    NotAllowedError,
    TexbridgeError,
    UnknownNameError,
)
from bridge.links.gate import Gate
from bridge.links.http_admin import AdminHub, AdminPages, admin_refusal, is_admin
from bridge.links.http_guard import GuardedConnection, HttpLimits
from bridge.links.http_reading import RequestReader
from bridge.links.listener import bind_listener, host_names, is_loopback_peer, is_own_host, socket_address

logger = logging.getLogger("bridge.links.http")

BOUNDARY: Final = "texbridge-picture"
MAX_WAIT_S: Final = 30.0
DEFAULT_WAIT: Final = "5"
"""Seconds that a still waits for a stream's first picture unless `?wait=` says otherwise."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LIVE_ON_INDEX: Final = 4
"""Browsers open six connections to one host: the index shows so many streams live, and stills of the others."""

STYLE: Final = (
    "body{background:#111;color:#ddd;font:15px system-ui,sans-serif;margin:2em}a{color:#8cf}"
    "main{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}"
    "img{display:block;max-width:512px;min-width:128px;min-height:128px;background:#222}figcaption{padding:.4em 0}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SECURITY_HEADERS: Final = {
    "Server": "texbridge",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": (
        f"default-src 'none'; img-src 'self'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log of what it can't read: a peer's fault, and not one that may fill our log with tracebacks.

    Faults of our own pages are logged in `HttpDoor._respond`, before aiohttp hears of them.
    """

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        self.debug(msg, *args, **options)


class HttpHub(Protocol):
    """The bridge as the HTTP door sees it."""

    def health(self) -> dict[str, Any]:
        """Give what `/healthz` says, as JSON values."""
        ...

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Say whether pictures can be made now, and what `/readyz` says, as JSON values."""
        ...

    def metrics(self) -> str:
        """Give what `/metrics` says, in Prometheus' text format 0.0.4."""
        ...

    def stream_names(self) -> list[str]:
        """Give the names of all streams."""
        ...

    async def jpeg(self, name: str) -> bytes:
        """Give a stream's newest picture.

        Raises:
            UnknownNameError: there is no such stream.
            BridgeError: there is no picture yet.
        """
        ...

    def jpegs(self, name: str) -> AsyncIterator[bytes]:
        """Give a stream's newest picture at once if there is one, then each newer one; what comes while the reader
        is busy is skipped. Raises as `jpeg` does, but waits for the first picture.
        """
        ...


def error_status(error: TexbridgeError) -> int:
    """Give the HTTP status for an error."""
    if isinstance(error, UnknownNameError):
        return 404
    if isinstance(error, InvalidValueError):
        return 400
    if isinstance(error, NotAllowedError):
        return 403
    if isinstance(error, (BridgeError, BackendError)) and error.code is not ErrorCode.INTERNAL:
        return 503
    return 500


def error_response(error: TexbridgeError, status: int | None = None, **more: object) -> web.Response:
    """Give an error as JSON; `more` goes beside code, name and message."""
    body: dict[str, object] = {"code": int(error.code), "name": error.code.word, "message": error.message, **more}
    if error.field is not None:
        body["field"] = error.field
    return _json({"error": body}, error_status(error) if status is None else status)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body, default=str) + "\n", status=status, content_type="application/json")


class HttpDoor:
    """Serves the pages above. `start`, then `address`, then `close`.

    `hosts` are further `Host` names, with or without a port, beside loopback and the address it listens at;
    `origins` are further pages that may ask, exact (`http://show.local:8080`), beside its own. With a `token`, who
    asks from another machine must carry it: `Authorization: Bearer TOKEN`, or `?token=TOKEN` for a browser or OBS.
    With `admin` there are also the pages of `http_admin`, and with `osc_lines` that of OSC among them.
    """

    def __init__(
        self,
        hub: HttpHub,
        limits: HttpLimits | None = None,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        token: str = "",
        admin: AdminHub | None = None,
        osc_lines: Callable[[], AsyncIterator[bytes]] | None = None,
    ) -> None:
        self._hub = hub
        self._admin = admin
        self._osc_lines = osc_lines
        self._token = token
        self._limits = HttpLimits() if limits is None else limits
        self._more_hosts = tuple(hosts)
        self._more_origins = tuple(origins)
        self._hosts: frozenset[str] = frozenset()
        self._origins: frozenset[str] = frozenset()
        self._gate = Gate(self._limits.max_connections, self._limits.max_connections_per_address)
        self._counts: Counter[str] = Counter()
        self._connections: dict[asyncio.Protocol, GuardedConnection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Where the door really listens, `host:port`."""
        return self._address

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the start, by reason: http_<status>, evicted, dropped, stalled, pipelined."""
        return dict(self._counts)

    @property
    def origins(self) -> frozenset[str]:
        """The origins of this door's own pages and the configured ones, for the WebSocket door's list."""
        return self._origins

    async def start(self, host: str, port: int) -> None:
        """Listen at `host:port`; port 0 takes a free one.

        Raises:
            ConfigError: the port is taken, or the address can't be used.
        """
        listener = bind_listener("HTTP", "--http", host, port, socket.SOCK_STREAM)
        name = listener.getsockname()
        self._address = socket_address(name)
        self._hosts = host_names(host, int(name[1]), self._more_hosts)
        own = {f"http://{known}" for known in self._hosts}
        self._origins = frozenset(own | {origin.lower().rstrip("/") for origin in self._more_origins})
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/streams/{name}.jpg", self._jpg)
        app.router.add_get("/streams/{name}.mjpg", self._mjpg)
        if self._admin is not None:
            AdminPages(self._admin, self._osc_lines).add_to(app)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        requests = self._runner.server
        assert requests is not None
        make_inner = partial(
            RequestReader,
            requests,
            self._counts,
            access_log=None,
            keepalive_timeout=self._limits.idle_timeout_s,
            lingering_time=0.0,
            logger=_Quiet(logger, {}),
        )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: GuardedConnection(make_inner, self._limits, self._gate, self._counts, self._connections),
            sock=listener,
        )

    async def close(self) -> None:
        """Stop listening, end every response, and wait for the end."""
        if self._server is None or self._runner is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        await self._runner.cleanup()
        for connection in list(self._connections.values()):
            connection.abort()
        await self._server.wait_closed()
        self._server = self._runner = None

    # --- every request ---------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        if connection is None:
            raise ConnectionResetError("the client is gone")
        connection.request_begins()
        try:
            return await self._respond(request, handler)
        finally:
            connection.request_ends()

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        refusal = self._refusal(request)
        if refusal is not None:
            response = refusal
            response.force_close()
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = self._http_error(request, error)
            except TexbridgeError as error:
                response = error_response(error)
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception:
                logger.exception("%s %s failed", request.method, request.path)
                response = error_response(BridgeError("the bridge failed at this request; its log says why"))
            if is_admin(request):  # what follows a body is never taken for another request
                response.force_close()
        if response.status >= 400:
            self._counts[f"http_{response.status}"] += 1
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Give the answer to a request that may not even be looked at, or None."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            error = NotAllowedError(f"{len(hosts)} Host headers, must be 1", field="Host")
            return error_response(error, 400)
        transport = request.transport
        if not is_own_host(hosts[0], self._hosts, transport and transport.get_extra_info("sockname")):
            error = NotAllowedError(
                f"Host {hosts[0][:200]!r} is not a name of this bridge; add it to the allowed hosts if it should be",
                field="Host",
            )
            return error_response(error, 403)
        origins = request.headers.getall("Origin", [])
        own = f"http://{hosts[0].lower()}"  # the page's own address, which the check above knows to be ours
        if len(origins) > 1 or (origins and origins[0].lower() not in (own, *self._origins)):
            error = NotAllowedError(
                f"Origin {origins[0][:200]!r} may not ask here; add it to the allowed origins if it should",
                field="Origin",
            )
            return error_response(error, 403)
        if self._admin is not None and is_admin(request):
            refused = admin_refusal(request, self._token)
            return None if refused is None else error_response(*refused)
        if not self._has_token(request):
            error = NotAllowedError(
                "no token, or a wrong one; send Authorization: Bearer TOKEN, or ?token=TOKEN", code=ErrorCode.BAD_TOKEN
            )
            response = error_response(error, 401)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if request.method not in ("GET", "HEAD"):
            response = error_response(NotAllowedError(f"{request.method} is not served, only GET and HEAD"), 405)
            response.headers["Allow"] = "GET, HEAD"
            return response
        if request.can_read_body:
            return error_response(NotAllowedError("a request here has no body"), 400)
        return None

    def _has_token(self, request: web.Request) -> bool:
        if not self._token or is_loopback_peer(request.remote):
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.query.get("token", "")
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token.encode())

    def _http_error(self, request: web.Request, error: web.HTTPException) -> web.Response:
        if error.status == 404:
            pages = "/, /healthz, /readyz, /metrics, /streams/<name>.jpg and .mjpg"
            message = f"nothing at {request.path[:200]!r}; see {pages}"
            return error_response(UnknownNameError(message, code=ErrorCode.UNKNOWN_ADDRESS), 404)
        return error_response(NotAllowedError(error.reason), error.status)

    # --- pages -----------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.Response:
        figures = []
        # The page's pictures are asked for by the browser alone: they carry the token that the page was opened with.
        token = request.query.get("token")
        query = "" if token is None else f"?token={quote(token, safe='')}"
        for place, name in enumerate(self._hub.stream_names()):
            path = f"/streams/{quote(name, safe='')}"
            live, still = f"{path}.mjpg{query}", f"{path}.jpg{query}"
            source = live if place < LIVE_ON_INDEX else still
            words = html.escape(name)
            figures.append(
                f'<figure><a href="{live}"><img src="{source}" alt="{words}: no picture yet"></a>'
                f'<figcaption>{words} · <a href="{still}">still</a> · <a href="{live}">live</a></figcaption>'
                "</figure>"
            )
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>texbridge</title>'
            f"<style>{STYLE}</style></head><body><h1>texbridge</h1>"
            f"<main>{''.join(figures) or '<p>There is no stream yet.</p>'}</main>"
            f'<p><a href="/healthz{query}">health</a> · <a href="/readyz{query}">readiness</a></p></body></html>'
        )
        return web.Response(text=page, content_type="text/html")

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json(self._hub.health())

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, body = self._hub.readiness()
        return _json(body, 200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        response = web.Response(body=self._hub.metrics().encode())
        response.headers["Content-Type"] = METRICS_TYPE
        return response

    def _unknown_stream(self, name: str) -> UnknownNameError | None:
        names = self._hub.stream_names()
        if name in names:
            return None
        nearest = difflib.get_close_matches(name[:64], names, 1, 0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(names[:20]) or 'none'}"
        return UnknownNameError(
            f"no stream {name[:64]!r}; {hint}", code=ErrorCode.UNKNOWN_STREAM, field="stream", value=name[:64]
        )

    async def _jpg(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        wait_s = _wait_s(request)
        unknown = self._unknown_stream(name)
        if unknown is not None:
            raise unknown
        try:
            picture = await self._hub.jpeg(name)
        except BridgeError as error:
            if not wait_s:
                return error_response(error, 503)
            try:
                async with asyncio.timeout(wait_s):
                    picture = await self._first_picture(name)
            except TimeoutError:
                return error_response(error, 503)
        return web.Response(body=picture, content_type="image/jpeg")

    async def _first_picture(self, name: str) -> bytes:
        pictures = self._hub.jpegs(name)
        try:
            return await anext(pictures)
        finally:
            await _close_iterator(pictures)

    async def _mjpg(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        unknown = self._unknown_stream(name)
        if unknown is not None:
            raise unknown
        headers = {"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
        if request.method == "HEAD":
            return web.Response(headers=headers)
        response = web.StreamResponse(headers=headers)
        response.force_close()
        connection = self._connections[request.protocol]
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        pictures = self._hub.jpegs(name)
        try:
            await response.prepare(request)
            await response.write(f"--{BOUNDARY}\r\n".encode())
            async for picture in pictures:
                # The next boundary comes with the picture: browsers show a part only when they have seen its end.
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                await response.write(b"".join((head, picture, f"\r\n--{BOUNDARY}\r\n".encode())))
                await connection.drained()  # only then the newest: a slow viewer skips, and sees no old ones
            await response.write_eof()
        except ConnectionError:
            logger.debug("the viewer of %s is gone", name)
        except TexbridgeError as error:  # too late for a status: the response ends
            logger.debug("the pictures of %s ended: %s", name, error.message)
        finally:
            self._tasks.discard(task)
            await _close_iterator(pictures)
        return response


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


async def _close_iterator(pictures: AsyncIterator[bytes]) -> None:
    """End a generator now, not when the garbage collector comes."""
    end = getattr(pictures, "aclose", None)
    if end is not None:
        await end()


def _wait_s(request: web.Request) -> float:
    text = request.query.get("wait", DEFAULT_WAIT)
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise InvalidValueError(
            f"wait={text[:40]!r} is not a number of seconds from 0 to {MAX_WAIT_S:g}",
            code=ErrorCode.OUT_OF_RANGE,
            field="wait",
            value=text[:40],
            limit=MAX_WAIT_S,
        )
    return wait_s
