"""`[[backend]]` of the configuration: one ComfyUI, or several in a row, the way there, and what restarts it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from bridge.backends.address import parse_address
from bridge.backends.address_ranges import MAX_ADDRESSES, expand_addresses
from bridge.errors import ConfigError

Text = Annotated[str, Meta(max_length=4096)]
Argument = Annotated[str, Meta(max_length=4096)]


class BackendConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ComfyUI, or several: http://127.0.0.1:8188-8191 are four."""

    url: Annotated[
        Text,
        Meta(description="base URL, http or https, with a path prefix if there is one; a range of ports is several"),
    ]
    name: Annotated[
        Text, Meta(description="what messages call it; by default host:port; of several it is followed by -PORT")
    ] = ""
    headers: Annotated[
        dict[str, str],
        Meta(
            description='sent on HTTP and WebSocket, e.g. {Authorization = "Bearer ..."}; "env:NAME" reads a variable'
        ),
    ] = field(default_factory=dict)
    headers_file: Annotated[
        Text,
        Meta(description="further headers, 'Name: value' a line, or a cookies file (Netscape); relative to this file"),
    ] = ""
    ca_file: Annotated[
        Text, Meta(description="PEM certificates to trust besides the system's; relative to this file")
    ] = ""
    remote: Annotated[
        bool | None, Meta(description="true: rarer pings, more patience; by default for hosts beyond the own network")
    ] = None
    ping_interval_s: Annotated[
        Annotated[float, Meta(ge=0.05, le=600)] | None,
        Meta(description="seconds between pings; by default 0.8, remote 4; longer where the round trip is long"),
    ] = None
    pong_timeout_s: Annotated[
        Annotated[float, Meta(ge=0.05, le=600)] | None,
        Meta(description="seconds after which a pong is missed; by default 1.7, remote 5, and the measured round trip"),
    ] = None

    transfer: Annotated[
        Literal["auto", "raw", "jpeg", "webp", "png"],
        Meta(
            description="how pictures come: auto measures the link; raw, jpeg and webp need the texbridge nodes there "
            "(`texbridge nodes install`), png is ComfyUI's own. Outputs of 16 bits have them with auto and raw"
        ),
    ] = "auto"
    transfer_quality: Annotated[int, Meta(ge=1, le=100, description="of jpeg and webp; webp at 100 is lossless")] = 90

    restart_command: Annotated[
        Annotated[tuple[Argument, ...], Meta(max_length=64)],
        Meta(
            description='program and arguments that restart it, e.g. ["systemctl", "restart", "comfyui@{port}"]; no'
            " shell; {port} is that of its address"
        ),
    ] = ()
    restart_after_s: Annotated[
        float,
        Meta(
            ge=1, le=86_400, description="seconds that it is away or hung before that is run; when it is mute, at once"
        ),
    ] = 180.0
    restart_every_s: Annotated[float, Meta(ge=1, le=86_400, description="seconds between two restarts at least")] = (
        600.0
    )
    restarts_per_day: Annotated[int, Meta(ge=1, le=100, description="restarts in 24 hours at most")] = 3
    restart_timeout_s: Annotated[
        float, Meta(ge=1, le=3600, description="seconds that the command may take before it is ended")
    ] = 60.0

    def __repr__(self) -> str:
        """The name alone: address, headers and the command may hold secrets."""
        return f"BackendConfig(name={self.name!r})"


def single_backends(backends: Iterable[BackendConfig]) -> tuple[BackendConfig, ...]:
    """Give each ComfyUI by itself: one whose `url` names several becomes that many, with names and ports of their own.

    Raises:
        ConfigError: a range or list is wrong, there are headers for several hosts, or too many ComfyUIs.
    """
    found: list[BackendConfig] = []
    for backend in backends:
        urls = expand_addresses(backend.url)
        if len(urls) <= 1:  # none at all is told by who reads the address
            found.append(msgspec.structs.replace(backend, url=urls[0]) if urls else backend)
        else:
            found += _each(backend, urls)
    if len(found) > MAX_ADDRESSES:
        raise ConfigError(f"there are {len(found)} [[backend]], over the limit of {MAX_ADDRESSES}")
    return tuple(found)


def _each(backend: BackendConfig, urls: list[str]) -> list[BackendConfig]:
    addresses = [parse_address(url) for url in urls]
    hosts = list(dict.fromkeys(address.host for address in addresses))
    if len(hosts) > 1 and (backend.headers or backend.headers_file):
        raise ConfigError(
            f"headers go to one host, and these ComfyUIs are at {', '.join(hosts)[:200]}: a [[backend]] for each"
        )
    ports = [urlsplit(address.http).port for address in addresses]
    told_apart = None not in ports and len(set(ports)) == len(ports)
    return [
        msgspec.structs.replace(
            backend,
            url=url,
            name=backend.name and f"{backend.name}-{port if told_apart else place}",
        )
        for place, (url, port) in enumerate(zip(urls, ports, strict=True), 1)
    ]
