"""Where a ComfyUI is: one base URL in whatever form people paste it, and the headers that open its door."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from bridge.errors import ConfigError

_SCHEMES = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}


@dataclass(frozen=True, slots=True)
class ComfyAddress:
    """`http` and `ws` base without trailing slash, and the headers for both channels, which are never printed."""

    http: str
    ws: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def route(self, path: str) -> str:
        """The URL of an HTTP route; `path` begins with a slash."""
        return self.http + path

    def socket(self, client_id: str) -> str:
        """The URL of the WebSocket for this client id."""
        return f"{self.ws}/ws?clientId={client_id}"


def parse_address(url: str, headers: Mapping[str, str] | None = None) -> ComfyAddress:
    """The address in `url`: `127.0.0.1:8188`, `https://host/prefix/`, `ws://https://tunnel.example`, `user:pw@host`.

    A user and password in it become a basic `Authorization` header, unless `headers` has its own.

    Raises:
        ConfigError: no host, a port outside 1..65535, another scheme, a query or fragment, or a header with a line
            break. The message never shows what stood before an @.
    """
    text = url.strip()
    shown = text.rsplit("@", 1)[-1]
    if "://" not in text:
        text = f"http://{text}"
    scheme, _, rest = text.partition("://")
    inner, separator, further = rest.partition("://")
    if separator and inner.lower() in _SCHEMES:
        scheme, rest = inner, further
    schemes = _SCHEMES.get(scheme.lower())
    if schemes is None:
        raise ConfigError(f"ComfyUI address {shown!r}: write it as http://host:port or https://host/prefix")
    try:
        parts = urlsplit(f"{schemes[0]}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"ComfyUI address {shown!r}: {str(error)[:80]}") from None
    if not host or port == 0 or any(character.isspace() for character in rest):
        raise ConfigError(f"ComfyUI address {shown!r}: host or port is missing, e.g. http://127.0.0.1:8188")
    if parts.query or parts.fragment:
        raise ConfigError(f"ComfyUI address {shown!r}: leave out what follows ? or #; tokens go into headers")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc = f"{netloc}:{port}"
    path = parts.path.rstrip("/")
    if path.endswith("/ws") and scheme.lower() in ("ws", "wss"):
        path = path.removesuffix("/ws")
    all_headers = dict(headers or {})
    if parts.username is not None and not any(name.lower() == "authorization" for name in all_headers):
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        all_headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    for name, value in all_headers.items():
        if not name or any(character in name + value for character in "\r\n\0"):
            raise ConfigError(f"header {name!r} for ComfyUI {shown!r} is empty or has a line break")
    base = urlunsplit((schemes[0], netloc, path, "", ""))
    return ComfyAddress(base, schemes[1] + base.removeprefix(schemes[0]), all_headers)
