"""What opens a hosted ComfyUI's door: headers and certificates, from the configuration, the environment, and files.

A file holds header lines (`Name: value`) or is a cookies file in Netscape's format, as browser extensions and curl
write it. Of such a file only the cookies for this very host, path and scheme are sent.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bridge.backends.address import ComfyAddress, parse_address
from bridge.errors import ConfigError

logger = logging.getLogger("bridge.app")

MAX_FILE_BYTES: Final = 1 << 20
_HTTP_ONLY: Final = "#HttpOnly_"


@dataclass(frozen=True, slots=True)
class Cookie:
    """One line of a cookies file. `expires` is in seconds since 1970, 0 for a session's."""

    host: str
    subdomains: bool
    path: str
    secure: bool
    expires: float
    name: str
    value: str

    def __repr__(self) -> str:
        return f"Cookie({self.host!r}, {self.name!r})"

    def is_for(self, url: str) -> bool:
        """Whether a browser would send it to `url`."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", (parts.path or "/")
        near = host == self.host or (self.subdomains and host.endswith("." + self.host))
        below = path == self.path or path.startswith(self.path.rstrip("/") + "/")
        return near and below and (parts.scheme == "https" or not self.secure)


def from_environment(name: str, value: str, environment: Mapping[str, str] = os.environ) -> str:
    """Give a header's value; `env:NAME` is read from the environment, so that no secret stands in a file.

    Raises:
        ConfigError: there is no such variable.
    """
    if not value.startswith("env:"):
        return value
    variable = value.removeprefix("env:")
    if variable not in environment:
        raise ConfigError(
            f"header {name} is to come from the environment variable {variable}, which is not set here: set it for this"
            " command too, in this shell or in the service's file"
        )
    return environment[variable]


def parse_header(line: str, where: str) -> tuple[str, str]:
    """Read `Name: value`.

    Raises:
        ConfigError: it isn't that. The message doesn't show the line, which may be a secret.
    """
    name, colon, value = line.partition(":")
    if not colon or not name.strip() or not value.strip() or " " in name.strip():
        raise ConfigError(f"{where}: write a header as 'Name: value', e.g. 'Authorization: Bearer ...'")
    return name.strip(), value.strip()


def gather_headers(
    address: ComfyAddress,
    headers: Mapping[str, str],
    file: str,
    *,
    now: float,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Give all headers for `address`: those of `file` (empty for none), and `headers`, which come first.

    `now` is the wall clock, in seconds since 1970: cookies expire.

    Raises:
        ConfigError: the file can't be read or is neither of both forms, no cookie in it is for this address, or a
            variable of the environment is not set.
    """
    found = {} if not file else _headers_of_file(Path(file).expanduser(), address, now)
    own = {name.lower() for name in headers}
    found = {name: value for name, value in found.items() if name.lower() not in own}
    return {name: from_environment(name, value, environment) for name, value in {**found, **headers}.items()}


def headers_for(url: str, headers: Mapping[str, str], file: str) -> dict[str, str]:
    """Give all headers for a ComfyUI at `url`, variables and `file` read: see `gather_headers`.

    Raises:
        ConfigError: bad address, variable or file.
    """
    return gather_headers(parse_address(url), headers, file, now=time.time())


def shown_address(url: str) -> str:
    """Give the address in `url` without its secrets. Raises ConfigError for a bad one."""
    return parse_address(url).http


def trust(*, file: str = "", text: str = "") -> ssl.SSLContext | None:
    """Give what to trust besides the system's certificates: PEM in a file or a text. None if there is neither.

    Raises:
        ConfigError: it can't be read, or is no certificate.
    """
    if not file and not text:
        return None
    where = f"ca_file {Path(file).expanduser()}" if file else "the certificate"
    context = ssl.create_default_context()
    try:
        if file:
            text = Path(file).expanduser().read_text(encoding="ascii")
        context.load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:  # ssl.SSLError and UnicodeDecodeError are among these
        raise ConfigError(f"{where} can't be used: {error}; it must hold certificates as PEM text") from None
    return context


def _headers_of_file(path: Path, address: ComfyAddress, now: float) -> dict[str, str]:
    text = _read(path)
    lines = text.lstrip("\ufeff").splitlines()
    if any(line.count("\t") >= 6 for line in lines):
        return {"Cookie": _cookie_header(_cookies(lines, path), address, path, now)}
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = parse_header(line, f"{path} line {number}")
            headers[name] = value
    if not headers:
        raise ConfigError(f"{path} has no header lines ('Name: value') and no cookies in it")
    return headers


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
            mode = os.fstat(file.fileno()).st_mode
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"can't read the headers file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the headers file {path} is not UTF-8 text") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"the headers file {path} is over {MAX_FILE_BYTES} bytes")
    if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("%s can be read by others on this machine; `chmod 600` it", path)
    return text


def _cookies(lines: list[str], path: Path) -> list[Cookie]:
    cookies = []
    for number, line in enumerate(lines, 1):
        plain = line.removeprefix(_HTTP_ONLY)
        if not plain.strip() or plain.startswith("#"):
            continue
        fields = plain.split("\t")
        try:
            host, subdomains, below, secure, expires, name, value = fields
            cookies.append(
                Cookie(
                    host.lower().lstrip("."),
                    subdomains.upper() == "TRUE" or host.startswith("."),
                    below or "/",
                    secure.upper() == "TRUE",
                    float(expires or 0),
                    name,
                    value.strip(),
                )
            )
        except ValueError:
            raise ConfigError(f"{path} line {number}: a cookie has seven fields with tabs between them") from None
    return cookies


def _cookie_header(cookies: list[Cookie], address: ComfyAddress, path: Path, now: float) -> str:
    fitting = [cookie for cookie in cookies if cookie.is_for(address.http + "/prompt")]
    fresh = [cookie for cookie in fitting if not cookie.expires or cookie.expires > now]
    if fresh:
        fresh.sort(key=lambda cookie: len(cookie.path), reverse=True)
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fresh)
    if fitting:
        raise ConfigError(f"every cookie for {address.host} in {path} has expired: log in again, and save them anew")
    hosts = sorted({cookie.host for cookie in cookies})
    there = ", ".join(hosts[:3]) + (" and others" if len(hosts) > 3 else "")
    raise ConfigError(f"{path} has no cookie for {address.http}; it has some for {there or 'nobody'}")
