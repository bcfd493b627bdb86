"""Frames asked of a bridge: as a sequence, or several where one message can't hold all keys."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from bridge.client import Client
from bridge.client.sequence import SequenceEndedError
from bridge.errors import BackendError, ErrorCode
from bridge.render.job import Job
from bridge.render.plates import Plates
from bridge.render.rendering import WRITERS, FrameSet
from bridge.render.shot import Piece
from bridge.types import Outcome

CREDIT: Final = WRITERS + 2
"""Sets on their way: those that are written, and some behind them."""

_FRAME: Final = re.compile(r"\bframe (\d+)(?: of 0\.\.\d+)?")
"""A bridge counts the frames of a sequence from 0."""


async def sets(client: Client, stream: str, job: Job, *, priority: int) -> AsyncIterator[FrameSet]:
    """Give the frames of `job.todo` in order. What is left is cancelled when the iterator is closed.

    Raises:
        BackendError: a frame failed for good, or all was cancelled; the message names the frame by the shot's number.
        ConfigError: a picture that goes in can't be read. LinkLostError: the bridge is gone.
    """
    await client.set(stream, {name: plate.value for name, plate in job.still_plates.items()})
    for piece in job.shot.pieces(job.todo):
        facts: dict[int, dict[str, dict[str, Any]]] = {}
        async with await client.sequence(
            stream,
            len(piece.frames),
            piece.tracks,
            first=piece.first,
            images={plates.name: _reader(plates, piece, facts) for plates in job.order.plates if plates.is_sequence},
            priority=priority,
            format="rgba32f" if job.wants_more else "rgba8",
            outputs=job.outputs,
            credit=CREDIT,
        ) as sequence:
            try:
                async for came in sequence:
                    pixels = {frame.header.output: frame.pixels for frame in came.frames}
                    yield FrameSet(piece.frames[came.index], pixels, facts.pop(came.index, {}))
            except SequenceEndedError as ended:
                raise BackendError(_words(ended, piece), code=_code(ended)) from ended


def _reader(
    plates: Plates, piece: Piece, facts: dict[int, dict[str, dict[str, Any]]]
) -> Callable[[int], dict[str, Any]]:
    """Give what reads one frame's picture; it is called in a thread, a little ahead of the frame."""

    def read(index: int) -> dict[str, Any]:
        plate = plates.read(piece.frames[index])
        facts.setdefault(index, {})[plates.name] = plate.facts
        return plate.value

    return read


def _words(ended: SequenceEndedError, piece: Piece) -> str:
    """Why it ended, frames by the shot's numbers."""
    answer = ended.finished
    if answer.outcome is Outcome.CANCELLED and not answer.message:
        return "the bridge cancelled the rest: somebody asked it to, or there was a panic"

    def number(found: re.Match[str]) -> str:
        place = int(found[1])
        return f"frame {piece.frames[place]}" if place < len(piece.frames) else found[0]

    return _FRAME.sub(number, answer.message or str(ended))


def _code(ended: SequenceEndedError) -> ErrorCode:
    try:
        return ErrorCode(ended.finished.code or ErrorCode.NO_IMAGE)
    except ValueError:  # of a later version
        return ErrorCode.NO_IMAGE
