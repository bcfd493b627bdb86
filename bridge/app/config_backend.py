"""`[[backend]]` of the configuration: one ComfyUI, the way to it, and what restarts it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

Text = Annotated[str, Meta(max_length=4096)]
Argument = Annotated[str, Meta(max_length=4096)]


class BackendConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ComfyUI."""

    url: Annotated[Text, Meta(description="base URL, http or https, with a path prefix if there is one")]
    name: Annotated[Text, Meta(description="what messages call it; by default host:port")] = ""
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
            "(`texbridge nodes install`), png is ComfyUI's own"
        ),
    ] = "auto"
    transfer_quality: Annotated[int, Meta(ge=1, le=100, description="of jpeg and webp; webp at 100 is lossless")] = 90

    restart_command: Annotated[
        Annotated[tuple[Argument, ...], Meta(max_length=64)],
        Meta(description='program and arguments that restart it, e.g. ["systemctl", "restart", "comfyui"]; no shell'),
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
