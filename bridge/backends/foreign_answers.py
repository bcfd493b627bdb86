"""Answers that aren't ComfyUI's: pages and statuses of tunnels, proxies and logins, put into words and next steps."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from bridge.backends.address import ComfyAddress
from bridge.backends.faults import AccessRefused, WrongAnswer
from bridge.errors import BackendError

_LOOKED_AT: Final = 65_536
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{1,400})", re.IGNORECASE)
_HEADING: Final = re.compile(r"<h[12][^>]{0,200}>([^<]{1,400})", re.IGNORECASE)
_TAG: Final = re.compile(r"<\s*(?:!doctype html|html|head|body|title)\b", re.IGNORECASE)
_NGROK: Final = re.compile(r"ERR_NGROK_\d{1,6}")
_LOGIN: Final = re.compile(
    r"log-?in|sign-?in|sign_in|oauth|/auth\b|/sso\b|saml|cdn-cgi/access|cloudflareaccess\.com|accounts\.", re.IGNORECASE
)
_PASSWORD: Final = re.compile(r"<input[^>]{0,300}type=[\"']?password", re.IGNORECASE)

_KEY_ADVICE: Final = (
    "give it the token or password: user:password@ in the address, a header (--comfy-header 'Authorization:"
    " Bearer ...'), or the cookie of a browser that is logged in (--comfy-header-file cookies.txt)"
)
_GATEWAY: Final = (
    "the proxy or tunnel answers, but ComfyUI behind it doesn't: is it started, and at the port named there?"
)
NOT_FOUND_ADVICE: Final = "nothing of ComfyUI is there: is the path prefix right, and the tunnel's address today's?"
_TUNNEL_DOWN: Final = "the tunnel is down: start it again, and give the bridge its new address"
_OWN: Final = (400, 404, 413)
"""Statuses that ComfyUI gives too: strange only if a page comes with them."""

_STATUSES: Final[Mapping[int, str]] = {
    400: "the proxy or tunnel can't read the request: http where https is needed, or the other way?",
    404: NOT_FOUND_ADVICE,
    407: f"a proxy wants a login: {_KEY_ADVICE}",
    413: "the proxy refuses bodies of this size: raise its limit (nginx: client_max_body_size)",
    426: "the proxy wants another protocol: https instead of http, or WebSocket upgrades switched on",
    429: "the tunnel or cloud limits requests: wait, or take another plan of it",
    502: _GATEWAY,
    503: "the service behind this address isn't available: is the instance running and ComfyUI started in it?",
    504: _GATEWAY,
    520: _GATEWAY,
    521: _GATEWAY,
    522: _GATEWAY,
    523: _GATEWAY,
    524: "the tunnel gave up waiting for ComfyUI",
    525: "the tunnel can't speak TLS with ComfyUI's side",
    526: "the tunnel doesn't trust the certificate of ComfyUI's side",
    530: _TUNNEL_DOWN,
}


def foreign_answer(
    address: ComfyAddress, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> BackendError | None:
    """The error in an answer that ComfyUI wouldn't give; None for what may be its own.

    Redirects, 401, 403 and 407, HTML of any status, and errors of gateways and tunnels. ComfyUI's own 4xx with JSON and
    its plain 500 are None. `headers` have any case; nothing secret of them is shown.
    """
    known = {name.lower(): value for name, value in headers.items()}
    at = address.http
    if 300 <= status < 400:
        return _redirect(address, status, known.get("location", ""))
    text = body[:_LOOKED_AT].decode("utf-8", "replace")
    is_html = "html" in known.get("content-type", "").lower() or bool(_TAG.match(text.lstrip()[:200]))
    title = _title(text) if is_html else ""
    page = f"the page {title!r}" if title else "a web page" if is_html else "an answer"
    advice = _advice(status, known, text, is_html)
    if status in (401, 403, 407):
        by = f" by {page}" if is_html else ""
        words = advice or _refused_advice(status, known, address)
        return AccessRefused(address.hide(f"{at} refuses access ({status}){by}: {words}"), value=status)
    if is_html or (status in _STATUSES and status not in _OWN) or (advice and status >= 400):
        if not advice and status not in _STATUSES and _PASSWORD.search(text):
            advice = f"that looks like a login page: {_KEY_ADVICE}"
        words = advice or _STATUSES.get(status) or f"is this ComfyUI? If that page is a login: {_KEY_ADVICE}"
        kind = "" if status < 400 else f" with status {status}"
        return WrongAnswer(address.hide(f"{at} answered {path} by {page}{kind}, not by JSON: {words}"), value=status)
    return None


def _advice(status: int, headers: Mapping[str, str], text: str, is_html: bool) -> str:
    """What a well-known service means by its page; empty if it is none."""
    code = _NGROK.search(headers.get("ngrok-error-code", "")) or _NGROK.search(text)
    if code:
        word = code[0]
        if word == "ERR_NGROK_6024":
            return "ngrok's warning page for browsers: give --comfy-header 'ngrok-skip-browser-warning: 1'"
        if word == "ERR_NGROK_3200":
            return f"ngrok says {word}: {_TUNNEL_DOWN}"
        if word == "ERR_NGROK_8012":
            return f"ngrok says {word}: the tunnel is there, ComfyUI isn't at the port that it leads to"
        return f"ngrok says {word}; https://ngrok.com/docs/errors explains it"
    if "error code: 1033" in text or "Error 1033" in text:
        return f"Cloudflare says 1033: {_TUNNEL_DOWN}"
    if status in (503, 404) and "x-localtunnel-status" in headers:
        return _TUNNEL_DOWN
    if is_html and "localtunnel" in text.lower() and "password" in text.lower():
        return "localtunnel's password page: give --comfy-header 'bypass-tunnel-reminder: 1', or take another tunnel"
    return ""


def _refused_advice(status: int, headers: Mapping[str, str], address: ComfyAddress) -> str:
    if status == 407:
        return _STATUSES[407]
    given = bool(address.query) or any(name.lower() in ("authorization", "cookie") for name in address.headers)
    scheme = headers.get("www-authenticate", "").partition(" ")[0].partition(",")[0][:20]
    wanted = f"it wants {scheme!r}; " if scheme.isalnum() else ""
    if given:
        return f"{wanted}the cookie, token or password that it was given is wrong, or no longer valid"
    return f"{wanted}{_KEY_ADVICE}"


def _redirect(address: ComfyAddress, status: int, location: str) -> BackendError:
    shown = location.split("?")[0].split("#")[0]
    scheme, separator, rest = shown.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        shown = f"{scheme}://{host.rsplit('@', 1)[-1]}{slash}{path}"
    shown = shown[:200]
    if _LOGIN.search(location[:2000]):
        return AccessRefused(
            address.hide(f"{address.http} sends to a login page ({status} to {shown!r}): {_KEY_ADVICE}"), value=status
        )
    target, own = urlsplit(shown if separator else ""), urlsplit(address.http)
    try:
        secure = (target.scheme, own.scheme, target.hostname) == ("https", "http", own.hostname)
    except ValueError:
        secure = False
    words = "write https:// in the address" if secure else "use that address"
    return WrongAnswer(address.hide(f"{address.http} sends elsewhere ({status} to {shown!r}): {words}"), value=status)


def _title(text: str) -> str:
    found = _TITLE.search(text) or _HEADING.search(text)
    words = " ".join(html.unescape(found[1]).split()) if found else ""
    return "".join(character for character in words if character.isprintable())[:80]
