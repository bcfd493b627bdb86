"""Configuration: TOML, then environment, then command line, checked once into one frozen record.

Every key is a field below with its default, its unit in the name or the description, and its limits; `texbridge init`
writes them all as a commented file. Environment variables are `TEXBRIDGE_<SECTION>_<KEY>`, for instance
`TEXBRIDGE_OSC_LISTEN=127.0.0.1:9000`; `TEXBRIDGE_COMFY` names ComfyUIs as `--comfy` does: `http://gpu:8188-8191,other:8188`.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from bridge.app.config.backend import BackendConfig as BackendConfig
from bridge.app.config.backend import single_backends
from bridge.app.config.map import MapConfig
from bridge.app.config.pictures import PicturesConfig, resolve_files
from bridge.app.runtime import RuntimeConfig
from bridge.errors import ConfigError
from bridge.types import Mode, SeedPolicy

ENVIRONMENT_PREFIX = "TEXBRIDGE_"
FILE_NAME = "texbridge.toml"

Text = Annotated[str, Meta(max_length=4096)]
Listen = Annotated[str, Meta(max_length=300)]
Megabytes = Annotated[int, Meta(ge=1, le=65536)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class OscConfig(_Section, frozen=True):
    """OSC over UDP."""

    listen: Annotated[Listen, Meta(description="HOST:PORT; port 0 takes a free one; empty switches the door off")] = (
        "127.0.0.1:9400"
    )
    allow: Annotated[
        tuple[str, ...], Meta(description="networks that may send besides loopback, e.g. 192.168.1.0/24")
    ] = ()
    reply: Annotated[
        tuple[str, ...], Meta(description="HOST:PORT targets that get status, progress, frame and error messages")
    ] = ()
    reply_norm: Annotated[
        tuple[str, ...], Meta(description="further HOST:PORT targets, which get values as 0..1 at /norm too")
    ] = ()
    time_tags: Annotated[bool, Meta(description="hold bundles whose time tag lies in the future")] = True
    max_hold_ms: Annotated[
        int,
        Meta(ge=0, le=60_000, description="milliseconds that a bundle is held at most; later ones are done at once"),
    ] = 1000
    doubled_run_ms: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="milliseconds in which a sender's same run, said again, is one press; 0 is off"
        ),
    ] = 20


class LinkConfig(_Section, frozen=True):
    """Engine link over WebSocket, path /link."""

    listen: Annotated[Listen, Meta(description="HOST:PORT; empty switches the door off")] = "127.0.0.1:9401"
    token: Annotated[
        Text, Meta(description="what `hello` must carry; needed as soon as a door listens beyond loopback")
    ] = ""
    lan: Annotated[
        bool,
        Meta(
            description="as `serve --lan`: doors on loopback listen on every network, with a token that is kept; "
            "osc.allow says who may send OSC"
        ),
    ] = False
    origins: Annotated[
        tuple[str, ...], Meta(description="web pages that may connect, exactly as the browser names them")
    ] = ()
    hosts: Annotated[
        tuple[str, ...], Meta(description="further Host headers to accept, HOST:PORT, besides the loopback names")
    ] = ()
    memory_folder: Annotated[
        Text, Meta(description="folder of shared memory files; by default in /dev/shm, or with the temporary files")
    ] = ""

    def __repr__(self) -> str:
        """All but the token."""
        return f"LinkConfig(listen={self.listen!r}, origins={self.origins!r}, hosts={self.hosts!r})"


class TcpConfig(_Section, frozen=True):
    """Engine link over TCP."""

    listen: Annotated[Listen, Meta(description="HOST:PORT; empty switches the door off")] = "127.0.0.1:9402"


class HttpConfig(_Section, frozen=True):
    """Health, readiness and the pictures of streams over HTTP."""

    listen: Annotated[Listen, Meta(description="HOST:PORT; empty switches the door off")] = "127.0.0.1:9480"
    jpeg_quality: Annotated[int, Meta(ge=1, le=100, description="of the pictures of streams")] = 85


class LimitsConfig(_Section, frozen=True):
    """What comes in and what is kept is bounded by these."""

    max_message_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="bytes of one message from an engine, all parts together")
    ] = 16 * 1024 * 1024
    sessions: Annotated[Count, Meta(description="engines at a time")] = 64
    streams: Annotated[Count, Meta(description="streams at a time")] = 64
    connections_per_address: Annotated[Count, Meta(description="connections of one address, each door")] = 32
    credit: Annotated[int, Meta(ge=1, le=64, description="sets in flight to one subscriber at most")] = 8
    frame_memory_mb: Annotated[
        Megabytes, Meta(description="megabytes of pixel buffers, and as many of pictures that wait for other outputs")
    ] = 1024
    lossless_memory_mb: Annotated[
        Megabytes,
        Meta(description="megabytes of sets that wait for a lossless subscriber; for all, half of frame_memory_mb"),
    ] = 256
    request_memory_mb: Annotated[
        Megabytes, Meta(description="megabytes of pictures and texts that streams hold and unfinished runs wait with")
    ] = 512
    shared_memory_mb: Annotated[
        int, Meta(ge=0, le=65536, description="megabytes of shared memory, all engines together; 0 switches it off")
    ] = 512
    session_shared_memory_mb: Annotated[
        int, Meta(ge=0, le=65536, description="megabytes of shared memory that one engine's subscriptions may take")
    ] = 256
    picture_pixels: Annotated[int, Meta(ge=4096, le=1 << 28, description="pixels of one picture")] = 64 * 1024 * 1024


class EmbeddedConfig(_Section, frozen=True):
    """The small ComfyUI-compatible server inside texbridge, for a machine without ComfyUI."""

    enabled: Annotated[bool, Meta(description="run it, and use it as the backend")] = False
    step_delay_ms: Annotated[
        float, Meta(ge=0, le=600_000, description="milliseconds that every prompt takes longer, to play a slower GPU")
    ] = 0.0


class SearchConfig(_Section, frozen=True):
    """Where ComfyUI is looked for when none is named: started from its folder, or as the desktop application."""

    places: Annotated[tuple[str, ...], Meta(description="base URLs, tried in order; an empty list looks nowhere")] = (
        "http://127.0.0.1:8188",
        "http://127.0.0.1:8000",
    )


class WorkflowsConfig(_Section, frozen=True):
    """Workflows besides the shipped ones."""

    folders: Annotated[
        tuple[str, ...], Meta(description="folders of NAME/workflow_api.json, relative to this file")
    ] = ()
    reload: Annotated[bool, Meta(description="take over edited files while running")] = True


class StreamConfig(_Section, frozen=True):
    """A stream that exists from the start and never ends."""

    workflow: Annotated[Text, Meta(description="a workflow's name")]
    mode: Annotated[Mode, Meta(description="oneshot, latest or live")] = Mode.LIVE
    params: Annotated[dict[str, Any], Meta(description="values to begin with, by parameter name")] = field(
        default_factory=dict
    )
    seed: Annotated[int | None, Meta(description="0 to 2^64-1; by default the workflow's own")] = None
    seed_policy: Annotated[SeedPolicy, Meta(description="fixed, increment or random")] = SeedPolicy.FIXED
    seed_every: Annotated[int, Meta(ge=1, le=1_000_000, description="pictures until the seed moves on")] = 1
    seed_every_s: Annotated[
        float, Meta(ge=0, le=86_400, description="seconds until the seed moves on, at least; 0: with each picture")
    ] = 0.0
    max_fps: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None, Meta(description="a live stream's own pictures a second at most")
    ] = None
    min_change: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="how much a picture in must differ from the last one used, instead of what the binding says"),
    ] = None
    idle_after_s: Annotated[
        Annotated[float, Meta(gt=0, le=86_400)] | None,
        Meta(description="seconds without a change after which a live stream with a seed that varies rests"),
    ] = None
    size: Annotated[
        tuple[int, int] | None, Meta(description="[width, height] in pixels; by default the workflow's own")
    ] = None
    aspect: Annotated[
        str | float | tuple[float, float] | None,
        Meta(description='instead of size: "16:9", "1.85" or [16, 9]; the nearest size that the workflow makes'),
    ] = None
    megapixels: Annotated[
        float | None,
        Meta(description="instead of size, with or without aspect: of 1,048,576 pixels; 1.0 is 1024 x 1024"),
    ] = None
    placeholder: Annotated[
        Text,
        Meta(description="shown until there is a picture of the stream's own, instead of any other: as in [pictures]"),
    ] = ""
    keep_last_frame: Annotated[bool | None, Meta(description="as in [pictures], for this stream")] = None


class PanicConfig(_Section, frozen=True):
    """What /texbridge/panic shows."""

    picture: Annotated[
        Literal["hold", "black", "placeholder"], Meta(description="hold the last picture, black, or the placeholder")
    ] = "hold"


class LogConfig(_Section, frozen=True):
    """Log messages, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="debug tells of each request")] = (
        "info"
    )


class SchedulerConfig(_Section, frozen=True):
    """Timing rules."""

    warm_up: Annotated[
        bool,
        Meta(description="a prompt per ComfyUI, workflow and size, its picture dropped, so that no first run is cold"),
    ] = True

    warm_up_limit_s: Annotated[
        float, Meta(ge=1, le=3600, description="seconds after which a warm-up prompt is given up")
    ] = 300.0

    backend_lost_after_s: Annotated[
        float, Meta(ge=0.1, le=600, description="seconds that a request waits for another ComfyUI when its own is gone")
    ] = 2.0
    doubt_timeout_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="seconds of silence, on every channel, after which a ComfyUI is given up"),
    ] = 120.0


MAIN_STREAM: Final[Mapping[str, Any]] = {"workflow": "gradient", "mode": "live", "max_fps": 30.0, "size": [512, 512]}
"""The stream `main` that exists when no configuration file names streams."""


def _main_stream() -> dict[str, StreamConfig]:
    return {"main": msgspec.convert(dict(MAIN_STREAM), StreamConfig)}


class Config(_Section, frozen=True):
    """The whole configuration. `streams` given in a file replace the default `main`."""

    osc: OscConfig = OscConfig()
    link: LinkConfig = LinkConfig()
    tcp: TcpConfig = TcpConfig()
    http: HttpConfig = HttpConfig()
    limits: LimitsConfig = LimitsConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    panic: PanicConfig = PanicConfig()
    pictures: PicturesConfig = PicturesConfig()
    log: LogConfig = LogConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    embedded: EmbeddedConfig = EmbeddedConfig()
    search: SearchConfig = SearchConfig()
    workflows: WorkflowsConfig = WorkflowsConfig()
    backend: tuple[BackendConfig, ...] = ()
    streams: dict[str, StreamConfig] = field(default_factory=_main_stream)
    map: tuple[MapConfig, ...] = ()


def user_config_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Give the folder of one's own configuration: %APPDATA%, ~/Library/Application Support, or XDG's."""
    home = Path(environment.get("USERPROFILE" if platform == "win32" else "HOME") or Path.home())
    if platform == "win32":
        return Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "texbridge"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "texbridge"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "texbridge"


def find_config(flag: str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Give the file that applies: `--config`, `$TEXBRIDGE_CONFIG`, `./texbridge.toml`, the user's; None if none.

    Raises:
        ConfigError: one that was named doesn't exist.
    """
    for source, named in (("--config", flag), ("TEXBRIDGE_CONFIG", environment.get("TEXBRIDGE_CONFIG"))):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                raise ConfigError(f"{source} names {path}, which is not a file; `texbridge init DIR` writes one")
            return path
    for path in (Path(FILE_NAME), user_config_folder(environment) / FILE_NAME):
        if path.is_file():
            return path
    return None


def load_config(
    path: Path | None,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
    *,
    check_doors: bool = True,
) -> Config:
    """Read file, environment and overrides (nested mappings of sections and keys), in that order, and check them.

    Relative workflow folders and files of backends in the file are taken from where the file is. `check_doors` may be
    off for a configuration whose doors are still to be changed.

    Raises:
        ConfigError: unreadable file, unknown key (with the nearest right one), wrong type or value, or a door that
            listens beyond loopback without the protection that it needs.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        tree = _read_toml(path)
        folders = tree.get("workflows", {}).get("folders") if isinstance(tree.get("workflows"), dict) else None
        if isinstance(folders, list):
            tree["workflows"]["folders"] = [
                str(path.parent / folder) if isinstance(folder, str) else folder for folder in folders
            ]
        for backend in tree.get("backend", ()) if isinstance(tree.get("backend"), list) else ():
            for key in ("headers_file", "ca_file"):
                if isinstance(backend, dict) and isinstance(backend.get(key), str) and backend[key]:
                    backend[key] = str(path.parent / Path(backend[key]).expanduser())
        resolve_files(tree, path.parent)
    _merge(tree, _from_environment(environment))
    overrides = overrides or {}
    if overrides.get("streams"):
        tree.setdefault("streams", {"main": dict(MAIN_STREAM)})  # streams of the command line come beside `main`
        if isinstance(tree["streams"], dict):
            for name in overrides["streams"]:
                tree["streams"].pop(name, None)  # named anew, one takes nothing of what another workflow was given
    _merge(tree, overrides)
    _refuse_unknown(tree, Config, str(path) if path is not None else "configuration")
    try:
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        where = str(error).replace("$.", "").replace("`", "")
        raise ConfigError(f"{path or 'configuration'}: {where}") from error
    if check_doors:
        _check_doors(config)
    return msgspec.structs.replace(config, backend=single_backends(config.backend))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == "TEXBRIDGE_CONFIG":
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name == "comfy":
            tree["backend"] = [{"url": text}] if text.strip(" ,") else []
            continue
        section, _, key = name.partition("_")
        kind = _sections(Config).get(section)
        if kind is None or key not in kind.__struct_fields__:
            if kind is not None:
                raise ConfigError(f"{variable}: no such key in [{section}]{_nearest(key, kind.__struct_fields__)}")
            continue  # some other program's variable with our prefix, e.g. TEXBRIDGE_RECORDINGS
        tree.setdefault(section, {})[key] = _environment_value(text)
    return tree


def _environment_value(text: str) -> Any:
    """Read a variable as a TOML value where it is one (`3`, `true`, `["a"]`), as plain text otherwise."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _sections(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    return {
        item.name: item.type
        for item in msgspec.structs.fields(kind)
        if isinstance(item.type, type) and issubclass(item.type, msgspec.Struct)
    }


def _refuse_unknown(tree: Mapping[str, Any], kind: type[msgspec.Struct], where: str) -> None:
    known = kind.__struct_encode_fields__
    sections = _sections(kind)
    for key, value in tree.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{_nearest(key, known)}")
        if key in sections and isinstance(value, Mapping):
            _refuse_unknown(value, sections[key], f"{where} [{key}]")
        elif key == "streams" and kind is Config and isinstance(value, Mapping):
            for name, stream in value.items():
                if isinstance(stream, Mapping):
                    _refuse_unknown(stream, StreamConfig, f"{where} [streams.{name}]")
        elif key in ("backend", "map") and kind is Config and isinstance(value, (list, tuple)):
            for entry in value:
                if isinstance(entry, Mapping):
                    _refuse_unknown(entry, BackendConfig if key == "backend" else MapConfig, f"{where} [[{key}]]")


def _nearest(key: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def parse_listen(text: str, what: str) -> tuple[str, int]:
    """Read HOST:PORT ([::1]:9400 for IPv6).

    Raises:
        ConfigError: no port, or one outside 0..65535.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{what} is {text!r}; it must be HOST:PORT with a port from 0 to 65535, e.g. 127.0.0.1:9400")
    return host, int(port)


def reached_at(host: str) -> str:
    """Give where a program on this machine reaches who listens at `host`, which may stand for every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def is_loopback(host: str) -> bool:
    """True for `localhost` and addresses of the loopback range."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_doors(config: Config) -> None:
    for name, listen in (
        ("osc", config.osc.listen),
        ("link", config.link.listen),
        ("tcp", config.tcp.listen),
        ("http", config.http.listen),
    ):
        if not listen:
            continue
        host, _ = parse_listen(listen, f"{name}.listen")
        if is_loopback(host):
            continue
        if name == "osc" and not config.osc.allow:
            raise ConfigError(
                f"osc.listen is {listen}, beyond loopback: name the networks that may send in osc.allow, "
                'e.g. allow = ["192.168.1.0/24"]'
            )
        if name != "osc" and len(config.link.token) < 16:
            raise ConfigError(
                f"{name}.listen is {listen}, beyond loopback: set link.token (16 characters or more), "
                "which every client must then send"
            )
    for network in config.osc.allow:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"osc.allow has {network!r}, which is not a network: {error}") from error
    for key, targets in (("reply", config.osc.reply), ("reply_norm", config.osc.reply_norm)):
        for target in targets:
            parse_listen(target, f"osc.{key}")
