"""Tracks as people write them, to the shape that the link has: {parameter: [[frame, value, easing?], ...]}.

    denoise=1001:0.3,1048:0.8:cubic_in_out          --track
    {"denoise": [[1001, 0.3], [1048, 0.8, "cubic_in_out"]]}   a .json file
    frame,denoise,denoise:easing                    a .csv file; an empty cell says nothing
    1001,0.3,
    1048,0.8,cubic_in_out

An easing is that of the way to its key. What the values are is checked with the workflow at hand, in `shot`.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError
from bridge.streams.easings import EASINGS

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
EASING_WORDS: Final = ", ".join((*EASINGS, "bezier(x1,y1,x2,y2)"))
_NEXT_KEY: Final = re.compile(r",(?=\s*-?\d+\s*:)")
_EASING: Final = re.compile(r"(.*?):\s*(" + "|".join(EASINGS) + r"|bezier\([^()]*\))\s*", re.S)
_NUMBER_EASING: Final = re.compile(r"\s*-?\d+\s*:\s*(?:" + "|".join(EASINGS) + r"|bezier\([^()]*\))\s*")
_NUMBERS: Final = re.compile(r"[-+.,eE\d\s]*\d[-+.,eE\d\s]*")
_BEZIER: Final = re.compile(r"bezier\(([^()]*)\)")


class Text(str):
    """A value as it was typed, which its parameter's type says how to read."""

    __slots__ = ()


class Key(NamedTuple):
    """One key. `value` is a `Text`, or what JSON says."""

    frame: int
    value: Any
    easing: Any = None


TrackKeys = dict[str, list[Key]]


def parse_track(text: str) -> tuple[str, list[Key]]:
    """Read `NAME=FRAME:VALUE[:EASING],...`. A new key begins at a comma before a number and a colon, so values may have
    commas of their own.

    Raises:
        ConfigError: another form, or a frame twice.
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name or not rest.strip():
        raise ConfigError(f"--track {text!r} must be NAME=FRAME:VALUE[:EASING],..., as in denoise=1001:0.3,1048:0.8")
    keys = []
    for piece in _pieces(rest):
        frame, colon, value = piece.strip().partition(":")
        if not colon or not re.fullmatch(r"-?\d{1,9}", frame.strip()):
            raise ConfigError(f"--track {name}: {piece.strip()!r} is not FRAME:VALUE or FRAME:VALUE:EASING")
        easing = None
        match = _EASING.fullmatch(value)
        if match:
            value, easing = match[1], _easing(match[2], f"--track {name}")
        keys.append(Key(int(frame), Text(value.strip()), easing))
    return name, _sorted(keys, f"--track {name}")


def _pieces(text: str) -> list[str]:
    """Cut at the keys. In `9:0,0,1:step` the last comma begins none: numbers stand before it, an easing behind."""
    pieces: list[str] = []
    for piece in _NEXT_KEY.split(text):
        if pieces and _NUMBER_EASING.fullmatch(piece) and _NUMBERS.fullmatch(pieces[-1].partition(":")[2]):
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece)
    return pieces


def read_tracks(path: Path) -> TrackKeys:
    """Read a .json or .csv file of tracks. Raises ConfigError: it can't be read, or says something else."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"--tracks {path} is larger than {MAX_FILE_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--tracks: can't read {path}: {error}") from error
    if path.suffix.lower() == ".json":
        return _from_json(text, f"--tracks {path}")
    if path.suffix.lower() == ".csv":
        return _from_csv(text, f"--tracks {path}")
    raise ConfigError(f"--tracks {path} must be a .json or a .csv file")


def merge_tracks(parts: Iterable[tuple[str, list[Key]]]) -> TrackKeys:
    """Put tracks together. Raises ConfigError: a parameter has two."""
    merged: TrackKeys = {}
    for name, keys in parts:
        if name in merged:
            raise ConfigError(f"{name} has two tracks; put the keys of both into one")
        merged[name] = keys
    return merged


def _from_json(text: str, where: str) -> TrackKeys:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from error
    if not isinstance(document, Mapping):
        raise ConfigError(f"{where} must be {{parameter: [[frame, value, easing?], ...]}}")
    tracks: TrackKeys = {}
    for name, raw in document.items():
        keys = []
        for key in raw if isinstance(raw, list) else [raw]:
            if not isinstance(key, list) or len(key) not in (2, 3) or not _is_frame(key[0]):
                raise ConfigError(
                    f"{where}: {name}: {json.dumps(key)[:80]} is not [frame, value] or [frame, value, easing]"
                )
            easing = key[2] if len(key) == 3 else None
            if isinstance(easing, str):
                easing = _easing(easing, f"{where}: {name}")
            keys.append(Key(int(key[0]), key[1], easing))
        if not keys:
            raise ConfigError(f"{where}: {name} has no keys")
        tracks[name] = _sorted(keys, f"{where}: {name}")
    return tracks


def _is_frame(raw: Any) -> bool:
    if isinstance(raw, float):
        return raw.is_integer() and abs(raw) < 1e9
    return isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 10**9


def _from_csv(text: str, where: str) -> TrackKeys:
    # Spreadsheets of half the world write semicolons.
    head = text.splitlines()[0] if text.strip() else ""
    delimiter = ";" if head.count(";") > head.count(",") else ","
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ConfigError(f"{where}: {error}") from error
    names = [cell.strip() for cell in rows[0]] if rows else []
    if not names or names[0].lower() != "frame" or len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"{where}: the first line must be frame,NAME,..., with NAME:easing for easings")
    values = names[1:]
    for name in values:
        if (name.endswith(":easing") and name.removesuffix(":easing") not in values) or not name:
            raise ConfigError(f"{where}: column {name!r} has no column {name.removesuffix(':easing')!r} beside it")
    tracks: TrackKeys = {name: [] for name in values if not name.endswith(":easing")}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(names) or not re.fullmatch(r"-?\d{1,9}", row[0].strip()):
            raise ConfigError(f"{where}: line {number} must begin with a frame and have at most {len(names)} cells")
        cells = dict(zip(names, (cell.strip() for cell in row), strict=False))
        for name, keys in tracks.items():
            if cells.get(name):
                easing = cells.get(f"{name}:easing") or None
                spot = f"{where}: line {number}"
                keys.append(Key(int(row[0]), Text(cells[name]), None if easing is None else _easing(easing, spot)))
    empty = [name for name, keys in tracks.items() if not keys]
    if empty:
        raise ConfigError(f"{where}: column {empty[0]!r} has no values")
    return {name: _sorted(keys, f"{where}: {name}") for name, keys in tracks.items()}


def _easing(text: str, where: str) -> Any:
    match = _BEZIER.fullmatch(text.strip())
    if match is None:
        if text.strip() not in EASINGS:
            raise ConfigError(f"{where}: easing {text!r} is not one of {EASING_WORDS}")
        return text.strip()
    try:
        numbers = [float(part) for part in match[1].split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise ConfigError(f"{where}: {text!r} must be bezier(x1,y1,x2,y2), as in CSS")
    return ["bezier", *numbers]


def _sorted(keys: list[Key], where: str) -> list[Key]:
    keys.sort(key=lambda key: key.frame)
    for before, key in itertools.pairwise(keys):
        if before.frame == key.frame:
            raise ConfigError(f"{where}: frame {key.frame} is there twice")
    return keys
