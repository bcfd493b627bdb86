"""`[pictures]` of the configuration: what viewers see before there is a picture, and what is kept of the last one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

DRAWN: Final = ("test_card", "checkerboard", "black")
"""Placeholders that are drawn here; any other word is a file's name."""


class PicturesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What viewers see before a stream has a picture, and whether its last one is kept for the next start."""

    placeholder: Annotated[
        Annotated[str, Meta(max_length=4096)],
        Meta(description="test_card, checkerboard, black, or a picture file; relative to this file"),
    ] = "test_card"
    keep_last_frame: Annotated[
        bool,
        Meta(description="keep each stream's last picture on disk, for newcomers after a restart; off by default"),
    ] = False
    folder: Annotated[
        Annotated[str, Meta(max_length=4096)],
        Meta(description="where they are kept; by default the user's cache folder; relative to this file"),
    ] = ""
    folder_mb: Annotated[int, Meta(ge=1, le=65536, description="megabytes of kept pictures, the newest of them")] = 256


def resolve_files(tree: dict[str, Any], folder: Path) -> None:
    """Let files that `[pictures]` and streams name in a configuration file begin at `folder`, where that file is."""
    pictures = tree.get("pictures")
    if isinstance(pictures, dict):
        _resolve(pictures, "placeholder", folder)
        _resolve(pictures, "folder", folder)
    streams = tree.get("streams")
    for stream in streams.values() if isinstance(streams, Mapping) else ():
        if isinstance(stream, dict):
            _resolve(stream, "placeholder", folder)


def _resolve(section: dict[str, Any], key: str, folder: Path) -> None:
    text = section.get(key)
    if isinstance(text, str) and text and not (key == "placeholder" and text in DRAWN):
        section[key] = str(folder / Path(text).expanduser())
