"""What each OSC message was and what became of it, for who looks: `texbridge osc monitor`.

A running bridge tells its watchers by HTTP (`GET /admin/osc`); without one, `osc_alone` listens. An entry is
a JSON object, one a line; its keys stand in protocols/osc.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from bridge.codec.osc import OscColor, OscMessage
from bridge.codec.osc_pattern import match_part
from bridge.errors import ErrorCode, NotAllowedError, TexbridgeError
from bridge.links.listener import format_address
from bridge.streams.control_records import Control, Ignored, Rejected, RunDoubled, RunRequested
from bridge.streams.control_words import control_words
from bridge.streams.controls import PatternBudget, StreamParameters, read_controls
from bridge.streams.doubled_runs import DoubledRuns
from bridge.streams.mapping import Mappings
from bridge.types import Size

Entry = dict[str, Any]

MAX_WATCHERS: Final = 8
MAX_WAITING: Final = 1_000
"""Entries that wait for one watcher; older ones are dropped then, and their number is told."""

ALIVE_EVERY_S: Final = 10.0
MAX_TEXT: Final = 200
MAX_ARGUMENTS: Final = 32
MAX_MEANINGS: Final = 16


class OscMonitor:
    """Tells watchers of OSC messages. Costs nothing while nobody watches."""

    def __init__(self) -> None:
        self._watchers: list[_Watcher] = []
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return bool(self._watchers)

    def tell(self, entry: Entry) -> None:
        """Give an entry to every watcher."""
        line = json.dumps(entry).encode() + b"\n"
        for watcher in self._watchers:
            watcher.put(line)

    async def lines(self, first: Entry) -> AsyncIterator[bytes]:
        """Give `first`, then each entry from now on, as lines of JSON; an empty one now and then, to see who has gone.

        Raises: NotAllowedError (408): 8 look already.
        """
        if len(self._watchers) >= MAX_WATCHERS:
            raise NotAllowedError(
                f"{MAX_WATCHERS} look at OSC already; end one of them",
                code=ErrorCode.TOO_MANY_SUBSCRIPTIONS,
                limit=MAX_WATCHERS,
            )
        watcher = _Watcher()
        watcher.put(json.dumps(first).encode() + b"\n")
        self._watchers.append(watcher)
        try:
            while not self._closed:
                yield await watcher.take()
        finally:
            self._watchers.remove(watcher)

    def close(self) -> None:
        """End every watcher's lines."""
        self._closed = True
        for watcher in self._watchers:
            watcher.woken.set()


class _Watcher:
    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._lines: deque[bytes] = deque()
        self._missed = 0

    def put(self, line: bytes) -> None:
        if len(self._lines) >= MAX_WAITING:
            self._lines.popleft()
            self._missed += 1
        self._lines.append(line)
        self.woken.set()

    async def take(self) -> bytes:
        """Give all lines that wait, or an empty one when nothing came for a while."""
        try:
            async with asyncio.timeout(ALIVE_EVERY_S):
                await self.woken.wait()
        except TimeoutError:
            return b"\n"
        self.woken.clear()
        missed = json.dumps({"missed": self._missed}).encode() + b"\n" if self._missed else b""
        lines = missed + b"".join(self._lines)
        self._lines.clear()
        self._missed = 0
        return lines or b"\n"


# --- entries ---------------------------------------------------------------------------------------------------


def message_entry(
    message: OscMessage,
    sender: tuple[str, int],
    controls: Sequence[Control],
    size_held: Callable[[Control], Size | None] = lambda _: None,
) -> Entry:
    """Give the entry of a message and of what it was read as. `size_held` gives the size that a control leads to."""
    entry: Entry = {
        "time": round(time.time(), 3),
        "sender": format_address(*sender),
        "address": _cut(repr(message.address)[1:-1]),
        "tags": message.tags[:MAX_ARGUMENTS],
        "arguments": [_plain(argument) for argument in message.arguments[:MAX_ARGUMENTS]],
    }
    if len(message.arguments) > MAX_ARGUMENTS:
        entry["more_arguments"] = len(message.arguments) - MAX_ARGUMENTS
    meanings = [control_words(control, size_held(control)) for control in controls if not isinstance(control, Rejected)]
    if meanings:
        entry["meaning"] = [_cut(words, 400) for words in meanings[:MAX_MEANINGS]]
    if len(meanings) > MAX_MEANINGS:
        entry["more_meanings"] = len(meanings) - MAX_MEANINGS
    for control in controls:
        if isinstance(control, Rejected):
            entry["error"] = _error(control.code, control.message, control.nearest)
    return entry


def failure_entry(sender: tuple[str, int], stream: str | None, error: TexbridgeError) -> Entry:
    """Give the entry of something that was read well and could not be done, or of a packet that can't be read."""
    entry: Entry = {"time": round(time.time(), 3), "sender": format_address(*sender)}
    if stream is not None:
        entry["stream"] = stream
    return {**entry, "error": _error(error.code, error.message, None)}


def _error(code: ErrorCode, message: str, nearest: str | None) -> Entry:
    error: Entry = {"code": int(code), "name": code.word, "message": _cut(message, 400)}
    if nearest is not None:
        error["nearest"] = nearest
    return error


def _plain(argument: object) -> Any:
    """Give an argument as JSON can have it."""
    if isinstance(argument, OscColor):
        return "#" + bytes(argument).hex()
    if isinstance(argument, tuple):
        return [_plain(item) for item in argument[:MAX_ARGUMENTS]]
    if argument is None or isinstance(argument, bool | int):
        return argument
    if isinstance(argument, float):
        return round(argument, 7) if math.isfinite(argument) else str(argument)
    if isinstance(argument, str):
        return _cut(argument)
    return "impulse" if not isinstance(argument, bytes) else f"{len(argument)} bytes"


def _cut(text: str, most: int = MAX_TEXT) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def read_packet(
    messages: Sequence[OscMessage],
    streams: Mapping[str, StreamParameters],
    mappings: Mappings,
    now: float,
    sender: tuple[str, int],
    *,
    doubled_runs: DoubledRuns | None = None,
    is_echo: Callable[[str, Sequence[object]], bool] | None = None,
) -> list[tuple[OscMessage, tuple[Control, ...]]]:
    """Give each message of a packet with what it asks for, by the maps that take its address or else by its own.

    `doubled_runs` tells which runs came twice, `is_echo` which messages only say what was told to their sender.
    Raises nothing.
    """
    budget = PatternBudget()
    read: list[tuple[OscMessage, tuple[Control, ...]]] = []
    for message in messages:
        controls: tuple[Control, ...]
        if is_echo is not None and is_echo(message.address, message.arguments):
            read.append((message, (Ignored("what it was told"),)))
            continue
        mapped = mappings.find(message.address)
        if mapped:
            controls = tuple(
                control
                for mapping in mapped
                for control in mappings.read(mapping, message.arguments, streams, now, sender)
            )
        else:
            controls = read_controls(message.address, message.arguments, streams, match_part, budget)
        read.append((message, controls))
    if doubled_runs is not None:
        if not any(isinstance(control, RunRequested) for _, controls in read for control in controls):
            doubled_runs.other_packet(sender)
        elif doubled_runs.is_doubled(sender, messages, now):
            return [(message, tuple(map(_doubled, controls))) for message, controls in read]
    return read


def _doubled(control: Control) -> Control:
    return RunDoubled(control.stream) if isinstance(control, RunRequested) else control
