"""`texbridge doctor --orientation`: the test card in every format and both origins, and how wrong ones look."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from bridge.app.config.config import Config
from bridge.app.doctor.orientation import ENGINES, GREYS, draw_sheet, judge_frame
from bridge.app.doctor.verdicts import Check, Verdict
from bridge.app.pictures.card import WORKFLOW
from bridge.cli.any_bridge import any_bridge
from bridge.cli.round_trip import WITHIN_S, make_one, new_stream_name
from bridge.client import Client, Frame
from bridge.errors import ConfigError, TexbridgeError, UnknownNameError
from bridge.types import BYTES_PER_PIXEL, ENCODED_FORMATS, FORMATS_BY_WORD, Origin, PixelFormat

LOSSY_TRANSFERS: Final = ("jpeg", "webp")


async def orientation_checks(config: Config, *, private: bool) -> list[Check]:
    """Ask the running bridge, or a private one, for the card in every way, and judge each.

    Raises:
        TexbridgeError: no bridge or no ComfyUI can be asked.
    """
    async with any_bridge(WORKFLOW, config, "texbridge doctor", private=private) as found:
        where = found.where if found.own is None else f"a bridge of its own, on {found.where}"
        return await _ask(found.client, where)


async def _ask(client: Client, where: str) -> list[Check]:
    stream = new_stream_name()
    try:
        await client.open(stream, WORKFLOW, mode="oneshot")
    except UnknownNameError:
        advice = "it is an older texbridge, or its workflows are others: end it, and try again"
        return [Check("orientation", Verdict.BAD, f"{where} has no workflow {WORKFLOW!r}", advice)]
    checks = [Check("orientation", Verdict.OK, f"asked {where}")]
    try:
        frames = await client.subscribe(stream)
        _, transfer = await make_one(client, stream, frames)
        if transfer in LOSSY_TRANSFERS:
            found = f"pictures come from ComfyUI as {transfer}: levels are looked at as a whole, not one by one"
            checks.append(Check("transfer", Verdict.OK, found))
        for word in client.welcome.formats:
            for origin in Origin:
                checks.append(await _check_form(client, stream, word, origin, lossy=transfer in LOSSY_TRANSFERS))
    finally:
        with contextlib.suppress(TexbridgeError, OSError):
            await client.close_stream(stream)
    return checks


async def _check_form(client: Client, stream: str, word: str, origin: Origin, *, lossy: bool) -> Check:
    """Judge one format in one origin. The stream's last set comes as a held frame right after `subscribed`."""
    topic = f"{word} {origin.value}"
    kind = FORMATS_BY_WORD.get(word)
    if kind is None or (kind not in BYTES_PER_PIXEL and kind not in ENCODED_FORMATS):
        return Check(topic, Verdict.OK, "not looked at: this command can't read the format")
    frames = await client.subscribe(stream, format=word, origin=origin)
    frame = await frames.next(timeout_s=WITHIN_S)
    while not frame.number:  # a placeholder
        frame = await frames.next(timeout_s=WITHIN_S)
    return _check_frame(topic, origin, frame, encoded=kind in ENCODED_FORMATS, lossy=lossy)


def _check_frame(topic: str, origin: Origin, frame: Frame, *, encoded: bool, lossy: bool) -> Check:
    header = frame.header
    pixels = None if encoded else frame.pixels
    data = bytes(frame.data) if encoded else b""
    judgement = judge_frame(header.format, header.flags, origin, pixels, data, lossy=lossy)
    if judgement.fault:
        advice = "this is a fault of texbridge: please report it with this line"
        return Check(topic, Verdict.BAD, f"{judgement.fault} (difference {judgement.difference:.1f} of 255)", advice)
    rows = "the top row first" if encoded or origin is Origin.TOP_LEFT else "the bottom row first"
    if encoded and origin is Origin.BOTTOM_LEFT:
        rows += ", as in every file"
    colours = "" if PixelFormat(header.format) in GREYS else ", red is red"
    within = "on average within" if lossy else "within"
    close = f"levels {within} {judgement.difference:.1f} of 255" if judgement.difference else "every level exact"
    return Check(topic, Verdict.OK, f"{rows}, not mirrored{colours}, sRGB-encoded, {close}")


def engine_lines() -> list[str]:
    """Give what each engine subscribes to, a line each."""
    return [f"{engine.name:14} format={engine.format}, origin={engine.origin:12} {engine.call}" for engine in ENGINES]


def save_sheet(path: Path) -> None:
    """Save the sheet of how the card looks when it is wrong.

    Raises:
        ConfigError: it can't be written there.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--out {path} must end in .png")
    try:
        draw_sheet().save(path)
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error}") from error
