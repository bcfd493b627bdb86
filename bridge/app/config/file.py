"""The commented configuration file that `texbridge init` writes: every key, its description, its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bridge.app.config.config import BackendConfig, Config, StreamConfig
from bridge.app.config.map import MapConfig

BACKEND_EXAMPLE: Final = {
    "url": '"http://127.0.0.1:8188"',
    "remote": "false",
    "ping_interval_s": "0.8",
    "pong_timeout_s": "1.7",
    "restart_command": '["systemctl", "--user", "restart", "comfyui"]',
}

MAP_EXAMPLE: Final = {
    "address": '"/1/fader3"',
    "to": '"main/blur"',
    "argument": "0",
    "in": "[0.0, 1.0]",
    "out": "[1.0, 10.0]",
    "smoothing_s": "0.2",
    "silent_after_s": "5.0",
    "silent_value": "1.0",
}


def commented_config() -> str:
    """Give a texbridge.toml with every key, its description and its default, commented out.

    Source: the records of `bridge.app.config.config`; a test loads it with every comment sign taken away.
    """
    lines = [
        "# texbridge configuration. Every key is shown with its default; take away the # to change one.",
        "# Looked up as --config, $TEXBRIDGE_CONFIG, ./texbridge.toml, then the user's configuration folder.",
        "# Each key can also be set by the environment: TEXBRIDGE_<SECTION>_<KEY>.",
        "",
    ]
    for item in msgspec.structs.fields(Config):
        if isinstance(item.type, type) and issubclass(item.type, msgspec.Struct):
            lines += _commented_section(f"[{item.name}]", item.type, {})
    lines += _commented_section("[[backend]]", BackendConfig, BACKEND_EXAMPLE, comment_header=True)
    lines += _commented_section(
        "[streams.main]",
        StreamConfig,
        {
            "workflow": '"gradient"',
            "seed": "1",
            "max_fps": "30.0",
            "min_change": "0.02",
            "idle_after_s": "60.0",
            "size": "[512, 512]",
            "aspect": '"16:9"',
            "megapixels": "1.0",
            "keep_last_frame": "false",
        },
        comment_header=True,
    )
    lines += _commented_section("[[map]]", MapConfig, MAP_EXAMPLE, comment_header=True)
    return "\n".join(lines)


def _commented_section(
    header: str, kind: type[msgspec.Struct], examples: Mapping[str, str], comment_header: bool = False
) -> list[str]:
    lines = [f"# {(kind.__doc__ or '').strip()}", f"# {header}" if comment_header else header]
    for item in msgspec.structs.fields(kind):
        meta = item.type.__metadata__ if hasattr(item.type, "__metadata__") else ()
        description = next((part.description for part in meta if getattr(part, "description", None)), "")
        default = (
            item.default_factory()
            if item.default is msgspec.NODEFAULT and callable(item.default_factory)
            else item.default
        )
        lines.append(f"# {item.encode_name} = {examples.get(item.encode_name) or _toml(default)}    # {description}")
    return [*lines, ""]


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case tuple() | list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{}"
        case _:
            return '"' + str(value) + '"'
