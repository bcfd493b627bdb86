"""File names with a place for the frame's number: `out/%04d.png`, `out/####.png`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bridge.errors import ConfigError

_PLACE: Final = re.compile(r"%(0?)(\d{0,2})d|(#+)|%%")


class FilePattern:
    """A file's name, with or without a place for the frame's number.

    `%04d` and `####` are four digits with zeros in front, `%d` and a single `#` as many as there are; `%%` is a percent
    sign. More digits than places are never cut.

    Attributes:
        text: as it was written.
        is_sequence: there is a place, so that each frame has a file of its own.
    """

    def __init__(self, text: str, option: str) -> None:
        """Read a pattern; `option` is what it was said by, for messages.

        Raises:
            ConfigError: no name, two places, a place in a folder's name, or a lone percent sign.
        """
        self.text = text
        path = Path(text)
        if not text or not path.name or text.endswith(("/", "\\")):
            raise ConfigError(f"{option} {text!r} is not a file's name")
        self._folder = path.parent
        places = [match for match in _PLACE.finditer(path.name) if match[0] != "%%"]
        if len(places) > 1:
            raise ConfigError(f"{option} {text!r} has {len(places)} places for the frame's number; one is right")
        if "%" in _PLACE.sub("", path.name):
            raise ConfigError(f"{option} {text!r}: a frame's number is written %04d or ####, a percent sign %%")
        if any(match[0] != "%%" for match in re.finditer(r"%0?\d{0,2}d|%%", str(self._folder))):
            raise ConfigError(f"{option} {text!r}: the frame's number goes into the file's name, not into a folder's")
        self.is_sequence = bool(places)
        self._name = path.name

    def __str__(self) -> str:
        return self.text

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    @property
    def suffix(self) -> str:
        """The name's end, in small letters: `.png`."""
        return Path(self._name).suffix.lower()

    @property
    def stem(self) -> str:
        """The name without number and suffix: `shot` for `shot.%04d.png`, empty for `%04d.png`."""
        bare = _PLACE.sub(lambda match: "%" if match[0] == "%%" else "", Path(self._name).stem)
        return bare.strip("._- ")

    def path(self, frame: int) -> Path:
        """Give a frame's file; the same one for all where there is no place."""

        def number(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            digits = len(match[3]) if match[3] else int(match[2] or 0)
            zeros = bool(match[3]) or match[1] == "0"
            return str(frame).zfill(digits) if zeros else str(frame).rjust(digits)

        return self._folder / _PLACE.sub(number, self._name)
