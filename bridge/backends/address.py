"""Where a ComfyUI is: one base URL in whatever form people paste it, and the secrets that open its door."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from bridge.errors import ConfigError

_SCHEMES: Final = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+")
_AROUND: Final = " \t\r\n\"'`<>“”‘’«»"
_PAGES: Final = ("/ws", "/api", "/index.html", "/prompt")
"""Ends of an address that are ComfyUI's own routes: copied from a browser, a log or a script."""

_MOST_HIDDEN: Final = 32

TUNNELS: Final = (
    "trycloudflare.com",
    "ngrok.io",
    "ngrok.app",
    "ngrok.dev",
    "ngrok-free.app",
    "ngrok-free.dev",
    "loca.lt",
    "localhost.run",
    "lhr.life",
    "serveo.net",
    "serveousercontent.com",
    "pinggy.link",
    "pinggy.io",
    "gradio.live",
    "share.zrok.io",
    "devtunnels.ms",
    "app.github.dev",
    "ts.net",
    "tunnelmole.net",
    "proxy.runpod.net",
    "modal.run",
    "hf.space",
    "litng.ai",
    "googleusercontent.com",
    "paperspacegradient.com",
)
"""Hosts of tunnels and clouds that serve TLS on port 443: without a scheme they mean https."""

_SKIP_PAGE: Final = {
    **dict.fromkeys(TUNNELS[1:6], ("ngrok-skip-browser-warning", "1")),
    "loca.lt": ("bypass-tunnel-reminder", "1"),
}
"""Tunnels that show people a page first, and the header with which they don't."""


@dataclass(frozen=True, slots=True)
class ComfyAddress:
    """`http` and `ws` base without trailing slash. `query` and `headers` go with both channels and are never printed.

    `notes` are words about what was changed in the address as it was given, for the person who gave it. `is_remote`
    is true unless the host is this machine's or of a private network.
    """

    http: str
    ws: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()
    is_remote: bool = False

    @property
    def host(self) -> str:
        """The host alone, in lower case."""
        return urlsplit(self.http).hostname or ""

    @property
    def place(self) -> str:
        """`host:port/prefix`: the address without its scheme, a name for it."""
        return self.http.partition("://")[2]

    def route(self, path: str) -> str:
        """The URL of an HTTP route; `path` begins with a slash."""
        return self._with_query(self.http + path)

    def socket(self, client_id: str) -> str:
        """The URL of the WebSocket for this client id."""
        return self._with_query(f"{self.ws}/ws?clientId={client_id}")

    def _with_query(self, url: str) -> str:
        if not self.query:
            return url
        return f"{url}{'&' if '?' in url else '?'}{self.query}"

    def hide(self, text: str) -> str:
        """`text` without the secrets of this address: for messages of libraries and servers that may repeat them."""
        secrets = [self.query, *self.headers.values()]
        secrets += [value.partition(" ")[2] for value in self.headers.values()]
        secrets += [pair.partition("=")[2] for pair in self.query.split("&")]
        for name, value in self.headers.items():
            if name.lower() == "cookie":
                secrets += [pair.partition("=")[2] for pair in value.split(";")]
        known = sorted({secret.strip() for secret in secrets if len(secret.strip()) >= 4}, key=len, reverse=True)
        for secret in known[:_MOST_HIDDEN]:
            for form in (secret, unquote(secret)):
                text = text.replace(form, "***")
        return text


def parse_address(url: str, headers: Mapping[str, str] | None = None) -> ComfyAddress:
    """The address in `url`: `127.0.0.1:8188`, `ws://https://tunnel.example/ws`, `"https://host/?token=abc"`.

    Spaces, quotes, slashes, a fragment and one `/ws`, `/api`, `/prompt` or `/index.html` at the end go; a query stays
    and goes with every request. No scheme means http, but https for port 443 and the hosts of `TUNNELS`. A user and
    password become a basic `Authorization` header, unless `headers` has its own.

    Raises:
        ConfigError: no host, a port outside 1..65535, another scheme, or a header that can't be sent. The message
            never shows what stood before an @ or after a ?.
    """
    notes: list[str] = []
    text = url.strip(_AROUND).replace("\\", "/")
    shown = _shown(text)
    scheme, rest = _scheme_of(text, shown, notes)
    head, _, fragment = rest.partition("#")
    head, _, query = head.partition("?")
    try:
        parts = urlsplit(f"{scheme or 'http'}://{head}")
        host, port = parts.hostname, parts.port
    except ValueError as error:  # whose other words may show a password
        if str(error).startswith("Port out of range"):
            raise ConfigError(f"ComfyUI address {shown!r}: {error}") from None
        raise ConfigError(
            f"ComfyUI address {shown!r}: host or port can't be read, e.g. http://127.0.0.1:8188 or"
            " https://user:password@host; in a password write / ? # @ as %2F %3F %23 %40"
        ) from None
    if host and not _is_name(host):
        raise ConfigError(f"ComfyUI address {shown[:80]!r}: its host is no name: parts of 1 to 63 letters between dots")
    if not host or port == 0 or any(character.isspace() for character in head) or "," in host:
        raise ConfigError(f"ComfyUI address {shown!r}: host or port is missing, e.g. http://127.0.0.1:8188")
    if scheme is None or (scheme == "http" and port is None and _is_tunnel(host)):
        secure = port == 443 or (port is None and _is_tunnel(host))
        if scheme is None:
            notes.append(f"taken as {'https' if secure else 'http'}, no scheme was given")
        else:
            notes.append(f"https instead of http: {_tunnel_of(host)} serves https")
        scheme = "https" if secure else "http"
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc = f"{netloc}:{port}"
    path = _path_of(parts.path, notes)
    if fragment:
        notes.append("left out what followed #")
    query = _query_of(query, notes)
    all_headers = _headers_of(headers or {}, shown)
    if parts.username is not None:
        if any(name.lower() == "authorization" for name in all_headers):
            notes.append("the Authorization header is used instead of user and password")
        else:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            all_headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
            notes.append("user and password go as basic authorization")
    tunnel = _tunnel_of(host)
    if tunnel in _SKIP_PAGE:
        name, value = _SKIP_PAGE[tunnel]
        if not any(known.lower() == name for known in all_headers):
            all_headers[name] = value
            notes.append(f"the header {name} skips the page that {tunnel} shows to browsers")
    base = urlunsplit((scheme, netloc, path, "", ""))
    ws = _SCHEMES[scheme][1] + base.removeprefix(scheme)
    return ComfyAddress(base, ws, all_headers, query, tuple(notes), not _is_near(host))


def _shown(text: str) -> str:
    """What may be shown of an address that can't be read: nothing before an @, nothing after ? or #."""
    head = re.split("[?#]", text, maxsplit=1)[0]
    if "@" not in head and "@" in text:
        return "..."
    return head.rsplit("@", 1)[-1][:200]


def _scheme_of(text: str, shown: str, notes: list[str]) -> tuple[str | None, str]:
    """The scheme of HTTP, None if none is given, and what follows. Of several, the last one counts."""
    found: list[str] = []
    while match := _SCHEME.match(text):
        if match[1].lower() not in _SCHEMES:
            raise ConfigError(f"ComfyUI address {shown!r}: write it as http://host:port or https://host/prefix")
        found.append(match[1].lower())
        text = text[match.end() :]
    if not found:
        return None, text.lstrip("/")
    if len(found) > 1:
        notes.append(f"taken as {_SCHEMES[found[-1]][0]}, the last of {' '.join(f'{one}://' for one in found)}")
    return _SCHEMES[found[-1]][0], text


def _path_of(path: str, notes: list[str]) -> str:
    """The prefix in front of ComfyUI's routes. Only one end is taken off: `/api/api` is a prefix `/api`."""
    path = path.rstrip("/")
    for end in _PAGES:
        if path.lower().endswith(end):
            path = path[: -len(end)].rstrip("/")
            notes.append(f"left out {end} at the end")
            if end == "/ws" and path.lower().endswith("/api"):
                path = path[: -len("/api")].rstrip("/")
            break
    return path


def _query_of(query: str, notes: list[str]) -> str:
    pairs = [pair for pair in query.split("&") if pair and pair.partition("=")[0].lower() != "clientid"]
    if not pairs:
        return ""
    names = ", ".join(pair.partition("=")[0][:40] if "=" in pair else "..." for pair in pairs[:4])
    notes.append(f"what followed ? ({names}) goes with every request and the WebSocket")
    return quote("&".join(pairs), safe="%&=+/:;,@!$'()*~-._?")


def _headers_of(headers: Mapping[str, str], shown: str) -> dict[str, str]:
    """The headers, checked. Values must be printable ASCII: anything else is sent differently by HTTP and WebSocket."""
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ConfigError(f"header {name[:80]!r} for ComfyUI {shown!r}: a name has letters, digits and - only")
        plain = value.strip(" \t")
        if not all(" " <= character <= "~" for character in plain):
            raise ConfigError(
                f"header {name!r} for ComfyUI {shown!r}: its value has a line break or a character that is not ASCII"
            )
        checked[name] = plain
    return checked


def _tunnel_of(host: str) -> str:
    """Which of `TUNNELS` a host belongs to; empty for others."""
    return next((end for end in TUNNELS if host == end or host.endswith("." + end)), "")


def _is_name(host: str) -> bool:
    """Whether a resolver can be asked for it: what it can't encode would fail at each try to connect."""
    try:
        return len(host.encode("idna")) <= 253 or ":" in host
    except UnicodeError:
        return False


def _is_tunnel(host: str) -> bool:
    return bool(_tunnel_of(host))


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or one of the same network by its looks."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".localhost", ".internal", ".home.arpa"))
    return address.is_private or address.is_link_local or address.is_loopback
