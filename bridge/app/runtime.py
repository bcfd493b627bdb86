"""How Python runs the bridge: how often threads change places, and which event loop.

**Switch interval.** A thread that wants to run asks the running one to stop only after `sys.getswitchinterval()`, 5 ms
by default: as long as a whole frame may take. Decoders release the interpreter's lock for most of their work and take
it back for a moment some dozen times; each time they may wait that long behind a busy loop, and the loop behind block
compression. On a quiet machine, with a main thread that never rests, Pillow's decoding of a PNG of 1024 x 1024 in a
thread fell from 63 to 10 ms when this went from 5 ms to 0.2; on one that is busy with other programs it made no
difference.

**Event loop.** uvloop (Linux, macOS) or winloop (Windows) is used where the extra `[fast]` brought it and the
configuration doesn't say otherwise; anything else, or one that can't be imported, is asyncio's own.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")
logger = logging.getLogger("bridge.app")

SWITCH_INTERVAL_MS: Final = 0.2


class RuntimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How Python runs the bridge."""

    switch_interval_ms: Annotated[
        float,
        Meta(ge=0, le=100, description="how long a thread waits at most for another to stop; 0 leaves Python's 5 ms"),
    ] = SWITCH_INTERVAL_MS
    loop: Annotated[
        Literal["auto", "asyncio"],
        Meta(description="auto uses uvloop or winloop where installed; asyncio never does"),
    ] = "auto"


class LoopChoice(NamedTuple):
    """An event loop: what makes one (None: asyncio's own), and its words for people."""

    factory: Callable[[], asyncio.AbstractEventLoop] | None
    words: str


def choose_loop(word: str = "auto", platform: str = sys.platform) -> LoopChoice:
    """Give uvloop, or on Windows winloop, where it is installed and may be used; else asyncio's own."""
    name = "winloop" if platform == "win32" else "uvloop"
    own = LoopChoice(None, "asyncio")
    if word != "auto" or importlib.util.find_spec(name) is None:
        return own
    try:
        module = importlib.import_module(name)
        factory = module.new_event_loop
    except Exception as error:  # noqa: BLE001 - a broken installation is no reason not to run
        logger.warning("%s is installed and can't be used, asyncio's own loop runs: %s", name, error)
        return own
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return LoopChoice(factory, f"{name} {version}")


@contextmanager
def quick_switching(interval_ms: float = SWITCH_INTERVAL_MS) -> Iterator[None]:
    """Threads change places this often inside; what was before holds again afterwards. 0 changes nothing."""
    before = sys.getswitchinterval()
    if interval_ms > 0:
        sys.setswitchinterval(interval_ms / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_bridge(main: Coroutine[Any, Any, T], config: RuntimeConfig) -> T:
    """Run `main` to its end on the chosen loop, as `asyncio.run` does, with quick switching."""
    choice = choose_loop(config.loop)
    logger.debug("event loop %s", choice.words)
    with quick_switching(config.switch_interval_ms), asyncio.Runner(loop_factory=choice.factory) as runner:
        return runner.run(main)
