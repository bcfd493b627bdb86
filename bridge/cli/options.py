"""Options that several commands share, and what they become."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bridge.app.config import Config, find_config, load_config
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
    """`--comfy`, `--workflows`."""
    parser.add_argument(
        "--comfy", metavar="URL", action="append", help="a ComfyUI, e.g. http://127.0.0.1:8188; may be given again"
    )
    parser.add_argument(
        "--workflows", metavar="DIR", action="append", help="a folder of workflows besides the shipped ones"
    )


def tell_config(path: Path | None) -> None:
    """Say on standard error which configuration file applies; nothing if there is none."""
    if path is not None:
        print(f"configuration: {path.absolute()}", file=sys.stderr)


def read_config(options: argparse.Namespace, overrides: dict[str, Any]) -> tuple[Config, Path | None]:
    """Give the configuration with the command line's overrides, and the file it came from, None if there is none.

    Raises:
        ConfigError: see `load_config`.
    """
    path = find_config(options.config)
    if options.comfy:
        overrides["backend"] = [{"url": url} for url in options.comfy]
        overrides.setdefault("embedded", {}).setdefault("enabled", False)
    config = load_config(path, overrides=overrides)
    if options.workflows:
        folders = (*config.workflows.folders, *options.workflows)
        config = load_config(path, overrides={**overrides, "workflows": {"folders": list(folders)}})
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
