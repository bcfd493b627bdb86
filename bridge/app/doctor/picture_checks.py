"""What `texbridge doctor` says of placeholders, and of the folder of last pictures."""

from __future__ import annotations

import os
from pathlib import Path

from bridge.app.config.config import Config
from bridge.app.doctor.verdicts import Check, Verdict
from bridge.app.pictures.last_frames import last_frames_folder
from bridge.app.pictures.placeholder import find_still
from bridge.errors import ConfigError

TOPIC = "placeholders"


def picture_checks(config: Config) -> list[Check]:
    """Judge the placeholders of the configuration, and whether last pictures can be kept where they are to be.

    Nothing is written: a folder that isn't there yet is judged by the nearest one above it.
    """
    checks: list[Check] = []
    named = [("[pictures]", config.pictures.placeholder)]
    named += [(f"[streams.{name}]", stream.placeholder) for name, stream in config.streams.items()]
    for of, text in named:
        try:
            if text:
                find_still(text, of)
        except ConfigError as error:
            words, _, advice = error.message.partition(". ")
            checks.append(Check(TOPIC, Verdict.BAD, words, advice))
    if not checks:
        own = sum(1 for _, text in named[1:] if text)
        found = config.pictures.placeholder + (f", and {own} of streams" if own else "")
        checks.append(Check(TOPIC, Verdict.OK, found))
    keeps = config.pictures.keep_last_frame or any(stream.keep_last_frame for stream in config.streams.values())
    if keeps:
        checks.append(_folder_check(last_frames_folder(config.pictures)))
    return checks


def _folder_check(folder: Path) -> Check:
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent
    if above.is_dir() and os.access(above, os.W_OK):
        return Check("last pictures", Verdict.OK, f"kept in {folder}")
    why = "is no folder" if not above.is_dir() else "can't be written"
    return Check(
        "last pictures", Verdict.WARN, f"{above} {why}: none is kept", "name another folder as folder in [pictures]"
    )
