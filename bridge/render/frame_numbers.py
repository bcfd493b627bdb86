"""Frame numbers as farms spell them: `1001-1100`, `1001-1100x2`, `1001,1005,1010-1020`; and chunks of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bridge.errors import ConfigError

MAX_FRAMES: Final = 100_000
"""Frames of one render."""

_PIECE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?:x(\d{1,6}))?)?")
_CHUNK: Final = re.compile(r"(\d{1,6})/(\d{1,6})")


def parse_frames(text: str) -> tuple[int, ...]:
    """Give the frame numbers of `1001`, `1001-1100`, `1001-1100x2` (every second one), or several with commas between.

    In order, each once. Raises:
        ConfigError: another form, a span that runs backwards, a step of 0, or more than 100,000 frames.
    """
    found: set[int] = set()
    for piece in text.replace(",", " ").split():
        match = _PIECE.fullmatch(piece)
        if match is None:
            raise ConfigError(
                f"--frames {text!r}: {piece!r} is not a frame, FIRST-LAST or FIRST-LASTxSTEP, as in 1001-1100x2"
            )
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first:
            raise ConfigError(f"--frames {text!r}: {piece!r} runs backwards; write {last}-{first}")
        if not step:
            raise ConfigError(f"--frames {text!r}: {piece!r} has a step of 0")
        if (last - first) // step >= MAX_FRAMES:
            raise ConfigError(f"--frames {text!r}: more than {MAX_FRAMES:,} frames in one render")
        found.update(range(first, last + 1, step))
    if not found:
        raise ConfigError("--frames names no frame; write FIRST-LAST, as in 1001-1100")
    if len(found) > MAX_FRAMES:
        raise ConfigError(f"--frames {text!r}: {len(found):,} frames are over {MAX_FRAMES:,} in one render")
    return tuple(sorted(found))


def frames_text(frames: Iterable[int]) -> str:
    """Give frame numbers in the shortest spelling that `parse_frames` reads back; empty for none."""
    left = sorted(set(frames))
    pieces: list[str] = []
    at = 0
    while at < len(left):
        step = left[at + 1] - left[at] if at + 1 < len(left) else 1
        end = at
        while end + 1 < len(left) and left[end + 1] - left[end] == step:
            end += 1
        if end == at:
            pieces.append(str(left[at]))
        elif end - at == 1 and step > 1:  # two that stand apart are no span; the second may begin one
            pieces.append(str(left[at]))
            end = at
        else:
            pieces.append(f"{left[at]}-{left[end]}" + (f"x{step}" if step > 1 else ""))
        at = end + 1
    return ",".join(pieces)


class Chunk(NamedTuple):
    """The `place`-th `of` so many parts of a shot, counted from 1."""

    place: int
    of: int

    def __str__(self) -> str:
        return f"{self.place}/{self.of}"

    @property
    def word(self) -> str:
        """The chunk in a file's name."""
        return f"{self.place}of{self.of}"

    def take(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Give this chunk's frames: consecutive ones, all chunks as long as each other or one shorter."""
        begin = len(frames) * (self.place - 1) // self.of
        end = len(frames) * self.place // self.of
        return tuple(frames[begin:end])


def parse_chunk(text: str) -> Chunk:
    """Read `2/4`. Raises ConfigError: another form, or a place that is not 1 to the count."""
    match = _CHUNK.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--chunk {text!r} must be PLACE/COUNT, the first is 1/COUNT: 2/4 is the second of four")
    return Chunk(int(match[1]), int(match[2]))
