"""Options that several commands share, and what they become."""

from __future__ import annotations

import argparse
import ssl
import sys
from pathlib import Path
from typing import Any, TypeAlias

from bridge.app.config.backend import single_backends
from bridge.app.config.config import BackendConfig, Config, find_config, load_config
from bridge.app.pool.headers import headers_for, parse_header, trust
from bridge.errors import ConfigError
from bridge.types import Mode


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration; by default $TEXBRIDGE_CONFIG, ./texbridge.toml, or the user's own",
    )


def add_comfy(parser: argparse.ArgumentParser) -> None:
    """`--comfy` and what opens its door, `--workflows`."""
    parser.add_argument(
        "--comfy",
        metavar="URL",
        action="append",
        help="a ComfyUI, e.g. http://127.0.0.1:8188, or several: http://127.0.0.1:8188-8191, commas between hosts; may"
        " be given again",
    )
    add_comfy_headers(parser)
    parser.add_argument(
        "--workflows", metavar="DIR", action="append", help="a folder of workflows besides the shipped ones"
    )


def add_comfy_headers(parser: argparse.ArgumentParser) -> None:
    """`--comfy-header`, `--comfy-header-file`, `--comfy-ca-file`."""
    parser.add_argument(
        "--comfy-header",
        metavar="'NAME: VALUE'",
        action="append",
        help="a header for the ComfyUI; may be given again. Other users of this machine could see its value here:"
        " 'Authorization: env:NAME' takes it from the environment",
    )
    parser.add_argument(
        "--comfy-header-file", metavar="FILE", help="headers, 'Name: value' a line, or a cookies file (Netscape)"
    )
    parser.add_argument("--comfy-ca-file", metavar="FILE", help="PEM certificates to trust besides the system's")


def read_comfy_headers(options: argparse.Namespace) -> dict[str, Any]:
    """Give the keys of a `[[backend]]` that these options set.

    Raises:
        ConfigError: a header isn't `Name: value`.
    """
    keys: dict[str, Any] = {}
    if options.comfy_header:
        keys["headers"] = dict(parse_header(line, "--comfy-header") for line in options.comfy_header)
    if options.comfy_header_file:
        keys["headers_file"] = options.comfy_header_file
    if options.comfy_ca_file:
        keys["ca_file"] = options.comfy_ca_file
    return keys


ComfyDoor: TypeAlias = tuple[str, dict[str, str], ssl.SSLContext | None]
"""Address, headers and trusted certificates of a ComfyUI."""


def comfy_door(options: argparse.Namespace) -> ComfyDoor | None:
    """Give the way to the one ComfyUI that --comfy names, None if it names none.

    Raises:
        ConfigError: bad address, header or file; or headers without --comfy.
    """
    keys = read_comfy_headers(options)
    if options.comfy is None:
        if keys:
            raise ConfigError(
                "--comfy-header, --comfy-header-file and --comfy-ca-file go with --comfy URL; for those of the"
                " configuration, write headers, headers_file and ca_file below each [[backend]]"
            )
        return None
    named = single_backends([BackendConfig(url=options.comfy, **keys)])
    if len(named) > 1:
        raise ConfigError(f"--comfy names {len(named)} ComfyUIs; this command asks one")
    return backend_door(named[0])


def backend_door(backend: BackendConfig) -> ComfyDoor:
    """Give the way to a ComfyUI of the configuration. Raises ConfigError: bad address, header or file."""
    return backend.url, headers_for(backend.url, backend.headers, backend.headers_file), trust(file=backend.ca_file)


def tell_config(path: Path | None) -> None:
    """Say on standard error which configuration file applies; nothing if there is none."""
    if path is not None:
        print(f"configuration: {path.absolute()}", file=sys.stderr)


def read_config(
    options: argparse.Namespace, overrides: dict[str, Any], *, check_doors: bool = True
) -> tuple[Config, Path | None]:
    """Give the configuration with the command line's overrides, and the file it came from, None if there is none.

    Raises:
        ConfigError: see `load_config`; or headers are given for no ComfyUI, or for several.
    """
    path = find_config(options.config)
    keys = read_comfy_headers(options) if hasattr(options, "comfy_header") else {}
    if keys and len(options.comfy or ()) != 1:
        raise ConfigError(
            "--comfy-header, --comfy-header-file and --comfy-ca-file go with one --comfy URL; for several, or for"
            " those of the configuration, write headers, headers_file and ca_file below each [[backend]]"
        )
    if options.comfy:
        overrides["backend"] = [{"url": url, **keys} for url in options.comfy]
        overrides.setdefault("embedded", {}).setdefault("enabled", False)
    config = load_config(path, overrides=overrides, check_doors=check_doors)
    if options.workflows:
        folders = (*config.workflows.folders, *options.workflows)
        config = load_config(
            path, overrides={**overrides, "workflows": {"folders": list(folders)}}, check_doors=check_doors
        )
    return config, path


def sendable(text: str) -> str:
    """Give a text of the command line back.

    Raises:
        ConfigError: it has bytes that are not UTF-8, so nobody could read it as it was meant.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{text!r} is not valid UTF-8, so it can't be sent as it is") from error
    return text


def parse_streams(texts: list[str]) -> dict[str, Any]:
    """Read every --stream.

    Raises:
        ConfigError: one is not NAME=WORKFLOW[:MODE], or a name is given twice.
    """
    streams: dict[str, Any] = {}
    for name, stream in map(parse_stream, texts):
        if name in streams:
            raise ConfigError(f"--stream names {name!r} twice")
        streams[name] = stream
    return streams


def parse_stream(text: str) -> tuple[str, dict[str, Any]]:
    """Read NAME=WORKFLOW[:MODE].

    Raises:
        ConfigError: it isn't that.
    """
    name, equals, rest = text.partition("=")
    workflow, _, mode = rest.partition(":")
    if not equals or not name or not workflow or (mode and mode not in tuple(Mode)):
        raise ConfigError(
            f"--stream {text!r} must be NAME=WORKFLOW or NAME=WORKFLOW:MODE with a mode of {', '.join(Mode)}"
        )
    return name, {"workflow": workflow, **({"mode": mode} if mode else {})}
