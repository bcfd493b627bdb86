"""Looks at OSC without a bridge: messages are read against the configured streams, nothing is done with them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace

from bridge.app.config.config import Config, is_loopback
from bridge.app.config.map import map_specs
from bridge.app.osc.monitor import Entry, failure_entry, message_entry, read_packet
from bridge.app.serve import catch_signals, make_library
from bridge.codec.osc import OscMessage
from bridge.codec.osc_pattern import match_part
from bridge.errors import ConfigError, OscDecodeError, TexbridgeError
from bridge.links.osc_udp import OscDoor
from bridge.streams.controls import StreamParameters
from bridge.streams.doubled_runs import DoubledRuns
from bridge.streams.mapping import Mappings
from bridge.workflow.library import Library

logger = logging.getLogger("bridge.app.osc")


class LoneMonitor:
    """The `OscHub` of an OSC door that only looks: messages are read against the configured streams, nothing is done.

    Args:
        config: its streams and their workflows.
        library: the workflows.
        tell: takes each entry.

    Raises:
        ConfigError: a map is wrong.
    """

    def __init__(self, config: Config, library: Library, tell: Callable[[Entry], None]) -> None:
        self._tell = tell
        self.streams: dict[str, StreamParameters] = {}
        for name, stream in config.streams.items():
            try:
                parameters = library.get(stream.workflow).spec.parameters
            except TexbridgeError as error:
                logger.warning("stream %s: %s", name, error.message)
                continue
            self.streams[name] = SimpleNamespace(parameters={spec.name: spec for spec in parameters})
        self._doubled_runs = DoubledRuns(config.osc.doubled_run_ms / 1000)
        self._mappings = Mappings(map_specs(config.map, self.streams), match_part)

    def osc(self, messages: tuple[OscMessage, ...], sender: tuple[str, int]) -> None:
        """Tell what each message means."""
        now = time.perf_counter()
        read = read_packet(messages, self.streams, self._mappings, now, sender, doubled_runs=self._doubled_runs)
        for message, controls in read:
            self._tell(message_entry(message, sender, controls))

    def bad_packet(self, error: OscDecodeError, sender: tuple[str, int]) -> None:
        """Tell of a packet that can't be read."""
        self._tell(failure_entry(sender, None, error))


async def listen_alone(config: Config, host: str, port: int, tell: Callable[[Entry], None]) -> None:
    """Listen until a signal, and tell each message. Beyond loopback everybody may send: nothing is done with it.

    Raises:
        ConfigError: the port is taken, or the address can't be used.
    """
    library, _ = make_library(config.workflows.folders, log_errors=False)
    stopped = asyncio.Event()
    undo = catch_signals(asyncio.get_running_loop(), stopped.set)
    try:
        lone = LoneMonitor(config, library, tell)
        door = OscDoor(lone, allowed=() if is_loopback(host) else None)
        try:
            await door.start(host, port)
        except ConfigError as error:
            raise ConfigError(
                f"{error}. If a bridge has this port, let it tell: name its HTTP door with --http HOST:PORT; or listen"
                " at another port with --listen HOST:PORT"
            ) from None
        try:
            tell({"listening": True, "osc": door.address, "streams": sorted(lone.streams)})
            await stopped.wait()
        finally:
            await door.close()
    finally:
        undo()
