"""The configured streams: how each is opened, what became of its size, and whether it can be opened at all."""

from __future__ import annotations

from typing import Any

from bridge.app.config.config import Config, StreamConfig
from bridge.app.doctor.verdicts import Check, Verdict
from bridge.errors import TexbridgeError
from bridge.streams.registry import Streams
from bridge.streams.sizes import check_shape, size_grid
from bridge.streams.stream import Stream
from bridge.workflow.library import Library


def stream_options(config: StreamConfig) -> dict[str, Any]:
    """Give the options of `Streams.open` that a configured stream has."""
    return {
        "params": config.params,
        "seed": config.seed,
        "seed_policy": config.seed_policy,
        "seed_every": config.seed_every,
        "seed_every_s": config.seed_every_s,
        "max_fps": config.max_fps,
        "min_change": config.min_change,
        "size": config.size,
        "aspect": config.aspect,
        "megapixels": config.megapixels,
    }


def snapped_words(config: StreamConfig, stream: Stream) -> str:
    """Give what aspect and megapixels became, "" where the configuration says neither."""
    shape = check_shape(config.aspect, config.megapixels)
    size = stream.picture_size
    if shape is None or size is None:
        return ""
    return f"{shape} is {size.width} x {size.height} ({size_grid(stream.workflow)})"


def stream_checks(config: Config, library: Library) -> list[Check]:
    """Judge the streams of the configuration: does each open with its values, and how large are its pictures.

    Those whose workflow isn't there, or is broken, have a line of their own already.
    """
    checks: list[Check] = []
    streams = Streams(limit=config.limits.streams)
    good = []
    for name, stream in config.streams.items():
        try:
            spec = library.get(stream.workflow).spec
            opened = streams.open(name, spec, stream.mode, now=0.0, **stream_options(stream)).stream
        except TexbridgeError as error:
            if stream.workflow in library.names:
                checks.append(Check(f"stream {name}", Verdict.BAD, error.message, f"correct [streams.{name}]"))
            continue
        size = opened.picture_size
        told = snapped_words(stream, opened) or ("" if size is None else f"{size.width} x {size.height}")
        good.append(f"{name} = {spec.name} ({stream.mode}{told and f', {told}'})")
    return [Check("streams", Verdict.OK, "; ".join(good)), *checks] if good else checks
