"""How Python runs the bridge: how often threads change places, and which event loop.

**Switch interval.** A thread that wants to run asks the running one to stop only after `sys.getswitchinterval()`, 5 ms
by default: as long as a whole frame may take. Decoders release the interpreter's lock for most of their work and take
it back for a moment some dozen times; each time they may wait that long behind a busy loop, and the loop behind block
compression. On a quiet machine, with a main thread that never rests, Pillow's decoding of a PNG of 1024 x 1024 in a
thread fell from 63 to 10 ms when this went from 5 ms to 0.2; on one that is busy with other programs it made no
difference.

**Priority.** Where other programs use all processors, each of the few times that a picture wakes the bridge it waits
for its turn behind them, some milliseconds. Measured with four programs that never rest on two processors, raw pictures
of 512 x 512 from ComfyUI to the engine by shared memory: a median of 3.8 to 4.7 ms, and 1.6 ms with a nice value of -5,
where a plain socket takes 0.7. The process as a whole is raised: a decoder's thread of lower priority would be kept
from giving the interpreter's lock back (up to 640 ms were seen).

**Event loop.** uvloop (Linux, macOS) or winloop (Windows) is used where the extra `[fast]` brought it and the
configuration doesn't say otherwise; anything else, or one that can't be imported, is asyncio's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")
logger = logging.getLogger("bridge.app")

SWITCH_INTERVAL_MS: Final = 0.2
NICE: Final = -5
_ABOVE_NORMAL_PRIORITY_CLASS: Final = 0x8000


class RuntimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How Python runs the bridge."""

    switch_interval_ms: Annotated[
        float,
        Meta(ge=0, le=100, description="how long a thread waits at most for another to stop; 0 leaves Python's 5 ms"),
    ] = SWITCH_INTERVAL_MS
    priority: Annotated[
        Literal["normal", "raised"],
        Meta(description="raised: before other programs, if the system lets it (Linux, macOS: CAP_SYS_NICE or root)"),
    ] = "normal"
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


def raise_priority(platform: str = sys.platform) -> None:
    """Put this process, with all threads that are still to come, before those of normal priority.

    Raises OSError: the system doesn't let it.
    """
    if platform != "win32":
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        return
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.SetPriorityClass.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    if not kernel.SetPriorityClass(kernel.GetCurrentProcess(), _ABOVE_NORMAL_PRIORITY_CLASS):
        raise OSError(f"SetPriorityClass failed: Windows error {ctypes.get_last_error()}")  # type: ignore[attr-defined,unused-ignore]


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
    if config.priority == "raised":
        try:
            raise_priority()
        except OSError as error:
            logger.warning(
                "[runtime] priority raised: the system doesn't let this user (%s); on Linux a service's `Nice=%d` "
                "does, or the capability CAP_SYS_NICE",
                error,
                NICE,
            )
    choice = choose_loop(config.loop)
    logger.debug("event loop %s", choice.words)
    with quick_switching(config.switch_interval_ms), asyncio.Runner(loop_factory=choice.factory) as runner:
        return runner.run(main)
