"""Opens the doors, finds ComfyUI, and ends everything in order."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.app.actions import Actions
from bridge.app.bridge import Bridge
from bridge.app.config.config import BackendConfig, Config, is_loopback, parse_listen
from bridge.app.config.map import map_specs
from bridge.app.configured_streams import snapped_words, stream_options
from bridge.app.data import data_folder
from bridge.app.doctor.machine import who_is_there
from bridge.app.http.hub import HttpHub
from bridge.app.link.hub import LinkHub
from bridge.app.osc.hub import OscHub
from bridge.app.osc.targets import Target
from bridge.app.parent import when_input_ends
from bridge.app.pictures.placeholder import find_still
from bridge.app.pool.backends import Backends, find_comfy, no_comfy
from bridge.app.pool.node_types import NodeTypes
from bridge.app.pool.restarts import watch_over
from bridge.app.timer import PreciseTimer, needs_precise_timer
from bridge.app.watch import Watch, load_library
from bridge.backends.faults import BackendGone
from bridge.embedded import EmbeddedServer
from bridge.errors import ConfigError, TexbridgeError, WorkflowError
from bridge.frames.decoders import decoders
from bridge.links.connection import LinkLimits
from bridge.links.gate import TokenDelays
from bridge.links.http import HttpDoor
from bridge.links.http_guard import HttpLimits
from bridge.links.osc_udp import OscDoor, OscTimes
from bridge.links.tcp import TcpDoor
from bridge.links.websocket import WebSocketDoor
from bridge.workflow.library import Library
from bridge.workflow.object_info import ObjectInfo

logger = logging.getLogger("bridge.app")

DRAIN_S: Final = 10.0
UP_WITHIN_S: Final = 10.0
"""How long a ComfyUI that has to be there may take to answer."""
REFUSED_WITHIN_S: Final = 2.0
"""How long it is tried again where every host refuses: nobody listens there, and `--wait-comfy` was not said."""
LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the doors really are, `host:port` each, None for one that is switched off."""

    osc: str | None
    link: str | None
    tcp: str | None
    http: str | None


def make_library(folders: tuple[str, ...] = (), *, log_errors: bool = True) -> tuple[Library, tuple[Path, ...]]:
    """Give the library with the shipped workflows and those of `folders`, and every folder that was read.

    `log_errors`: log why a workflow can't be used; the library keeps it in any case.

    Raises:
        ConfigError: a folder doesn't exist, or the installation is damaged.
    """
    shipped = data_folder("workflows")
    library = Library(ObjectInfo.from_json((shipped / "object_info.json").read_bytes()))
    paths = (shipped, *(Path(folder).expanduser() for folder in folders))
    for path in paths:
        if not path.is_dir():
            raise ConfigError(f"workflow folder {path} does not exist; `texbridge init DIR` makes one")
    load_library(library, paths, log_errors=log_errors)
    return library, paths


class Server:
    """A running bridge with its doors. `start`, then `addresses`, then `close`.

    Args:
        config: the checked configuration.
        require_comfy: raise in `start` if no ComfyUI answers.
        wait_comfy_s: the same, but give it so many seconds to start, whatever its host says meanwhile.
        log_errors: log why a workflow can't be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        require_comfy: bool = False,
        wait_comfy_s: float | None = None,
        log_errors: bool = True,
    ) -> None:
        self.config = config
        self.addresses = Addresses(None, None, None, None)
        self._require_comfy = require_comfy or wait_comfy_s is not None
        self._wait_comfy_s = wait_comfy_s
        library, self._folders = make_library(config.workflows.folders, log_errors=log_errors)
        self.bridge = Bridge(config, library)
        self.actions = Actions(self.bridge)
        self.node_types = NodeTypes(self.actions, library.object_info, self._spawn)
        self.backends = Backends(self.bridge, config, self.actions.places, self.node_types)
        self.embedded: EmbeddedServer | None = None
        self._link_hub = LinkHub(self.actions)
        self._osc_hub = OscHub(
            self.actions,
            [
                *(Target(parse_listen(target, "osc.reply")) for target in config.osc.reply),
                *(Target(parse_listen(target, "osc.reply_norm"), norm=True) for target in config.osc.reply_norm),
            ],
            self._may_register,
            doubled_run_s=config.osc.doubled_run_ms / 1000,
        )
        self._http_hub = HttpHub(self.actions)
        self._osc: OscDoor | None = None
        self._links: list[WebSocketDoor | TcpDoor] = []
        self._http: HttpDoor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: tuple[str, str, int] | None = None
        """The door that could not be opened."""
        self._allowed = tuple(ipaddress.ip_network(network, strict=False) for network in config.osc.allow)

    async def start(self) -> None:
        """Open the configured streams, the backends and the doors.

        Raises:
            ConfigError: a port is taken, a stream's workflow or values are wrong, a backend's address is bad, or no
                ComfyUI answers though one is required.
        """
        try:
            await self._start()
        except BaseException as error:
            await self.close()
            if isinstance(error, ConfigError) and self._refused is not None:
                there = await who_is_there(*self._refused)
                if there:
                    raise ConfigError(f"{error.message}; it is {there} that runs there already") from None
            raise

    async def _start(self) -> None:
        config = self.config
        if await needs_precise_timer():
            self.bridge.precise_timer = PreciseTimer()
            logger.info("the system's timers tick slowly: deadlines have a thread of their own")
        self._http_hub.lag.start()
        self.bridge.memory.open(config.link.memory_folder)
        self._open_streams()
        self._osc_hub.maps.use(map_specs(config.map, self.actions.streams.by_name))
        self.bridge.on_object_info = self.node_types.came
        if config.embedded.enabled:
            self.embedded = EmbeddedServer(step_delay_ms=config.embedded.step_delay_ms)
            await self.embedded.start()
            # Raw, however slowly they come: between two ends of one process a JPEG only costs, and pixels with it.
            self.backends.add(BackendConfig(url=self.embedded.url, name="embedded", transfer="raw"))
        for backend in config.backend:
            added = self.backends.add(backend)
            if backend.restart_command:
                self._spawn(watch_over(self.bridge, added, backend))
        if not len(self.bridge.backends):
            if self._require_comfy and not self._wait_comfy_s and await find_comfy(config.search.places) is None:
                raise ConfigError(no_comfy(config.search.places))
            self._spawn(self.backends.search())
        self.bridge.backends.start()
        if self._require_comfy:
            await self._comfy_required()
        for stream in self.actions.streams.by_name.values():
            await self.actions.held.last_frames.loaded(stream)
        self._spawn(asyncio.to_thread(decoders.load))
        self._spawn(self.node_types.watch())
        await self._open_doors()
        if config.workflows.reload:
            self._spawn(Watch(self.bridge.library, self._folders, self.actions.workflow_edited).run())

    def _open_streams(self) -> None:
        self.actions.held.placeholder = find_still(self.config.pictures.placeholder, "[pictures]")
        for name, stream in self.config.streams.items():
            try:
                opened = self.actions.open_stream(
                    name, stream.workflow, stream.mode, configured=True, **stream_options(stream)
                )
                words = snapped_words(stream, opened.stream)
                if words:
                    logger.info("stream %s: %s", name, words)
                opened.stream.idle_after_s = stream.idle_after_s
                self.actions.configure(opened.stream)
                held = self.actions.held
                held.last_frames.use(opened.stream, stream.keep_last_frame)
                if stream.placeholder:
                    held.placeholders[opened.stream.number] = find_still(stream.placeholder, f"[streams.{name}]")
            except WorkflowError as error:
                raise ConfigError(f"stream {name!r}: {error}") from error
            except TexbridgeError as error:
                raise ConfigError(f"stream {name!r}: {error.message}") from error

    # --- ComfyUI -------------------------------------------------------------------------------------------

    async def _comfy_required(self) -> None:
        """Wait until a ComfyUI is up. Raises ConfigError, with what each said, if none is in time."""
        wait_s = self._wait_comfy_s
        up = await (self.wait_for_comfy() if wait_s is None else self.wait_for_comfy(wait_s, refused_s=None))
        if up:
            return
        if not len(self.bridge.backends):
            raise ConfigError(no_comfy(self.config.search.places))
        found = []
        for backend in self.bridge.backends:
            said = "nobody listens there" if isinstance(backend.failure, BackendGone) else backend.failure
            found.append(f"{backend.info()['url']} ({said or 'no answer'})")
        advice = "start it" if wait_s is not None else "start it first, or have it waited for with --wait-comfy S"
        raise ConfigError(f"no ComfyUI answers at {'; '.join(found)}: {advice}")

    async def wait_for_comfy(
        self, timeout_s: float = UP_WITHIN_S, *, refused_s: float | None = REFUSED_WITHIN_S
    ) -> bool:
        """Give True as soon as a ComfyUI is up, False if none is within `timeout_s`.

        Also False once every host has refused at each try for `refused_s`: nobody listens there. With None it waits on.
        Seconds in which this process had no turn, on a busy or a sleeping machine, don't count: ComfyUI, which may be
        one of its own, had none to be heard in either.
        """
        loop = asyncio.get_running_loop()
        waited_s = refused_for_s = 0.0
        looked_at = loop.time()
        while not self.bridge.backends_up:
            passed_s = min(loop.time() - looked_at, 2 * LOOK_EVERY_S)
            looked_at = loop.time()
            waited_s += passed_s
            backends = list(self.bridge.backends)
            refused = bool(backends) and all(isinstance(backend.failure, BackendGone) for backend in backends)
            refused_for_s = refused_for_s + passed_s if refused else 0.0
            if waited_s >= timeout_s or (refused_s is not None and refused_for_s >= refused_s):
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    # --- doors ---------------------------------------------------------------------------------------------

    def _may_register(self, host: str) -> bool:
        if is_loopback(host):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._allowed)

    async def _open(self, door: str, start: Callable[[str, int], Coroutine[Any, Any, None]], listen: str) -> None:
        host, port = parse_listen(listen, f"{door}.listen")
        try:
            await start(host, port)
        except ConfigError:
            self._refused = (door, host, port) if port else None
            raise

    async def _open_doors(self) -> None:
        config, limits = self.config, self.config.limits
        link_limits = LinkLimits(
            max_message_bytes=limits.max_message_bytes,
            max_connections=limits.sessions * 2,
            max_connections_per_address=limits.connections_per_address,
        )
        delays = TokenDelays()
        found: dict[str, str | None] = {"osc": None, "link": None, "tcp": None, "http": None}
        if config.http.listen:
            http = self._http = HttpDoor(
                self._http_hub,
                HttpLimits(max_connections_per_address=limits.connections_per_address),
                hosts=config.link.hosts,
                origins=config.link.origins,
                token=config.link.token,
                admin=self.backends,
                osc_lines=self._osc_hub.monitor_lines,
            )
            await self._open("http", self._http.start, config.http.listen)
            found["http"] = self._http.address
            self._http_hub.door_counts["http"] = lambda: http.counts
        if config.link.listen:
            websocket = WebSocketDoor(
                self._link_hub, link_limits, hosts=config.link.hosts, origins=config.link.origins, delays=delays
            )
            await self._open("link", websocket.start, config.link.listen)
            self._links.append(websocket)
            found["link"] = websocket.address
            self._http_hub.door_counts["link"] = lambda: websocket.counts
        if config.tcp.listen:
            tcp = TcpDoor(self._link_hub, link_limits, delays=delays)
            await self._open("tcp", tcp.start, config.tcp.listen)
            self._links.append(tcp)
            found["tcp"] = tcp.address
            self._http_hub.door_counts["tcp"] = lambda: tcp.counts
        if config.osc.listen:
            osc = self._osc = OscDoor(
                self._osc_hub,
                allowed=self._allowed,
                times=OscTimes(enabled=config.osc.time_tags, max_hold_ms=config.osc.max_hold_ms),
            )
            await self._osc.start(*parse_listen(config.osc.listen, "osc.listen"))
            self._osc_hub.use(self._osc.send)
            found["osc"] = self._osc.address
            self._http_hub.door_counts["osc"] = lambda: {**osc.counts, **self._osc_hub.counts}
        self.addresses = Addresses(**found)

    # --- the end -------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of the bridge failed", exc_info=task.exception())

    async def close(self) -> None:
        """Take nothing new, answer every request, close the doors, then everything behind them."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._osc is not None:
            await self._osc.close()
        await self.backends.close()
        self.actions.drain()
        self._osc_hub.close()
        await asyncio.gather(*(link.close() for link in self._links))
        self._link_hub.close()
        self._http_hub.close()
        if self._http is not None:
            await self._http.close()
        await self.actions.close()
        await self.bridge.close()
        if self.embedded is not None:
            await self.embedded.close()


async def serve_until_stopped(
    server: Server, ready: Callable[[Server], None], *, until_input_ends: bool = False
) -> None:
    """Start a server, say that it is ready, and close it on SIGINT or SIGTERM (on Windows: Ctrl+C, Ctrl+Break).

    With `until_input_ends` also when standard input has ended: with the program that started this one.

    Raises:
        ConfigError: as `Server.start`.
    """
    stopped = asyncio.Event()
    undo = catch_signals(asyncio.get_running_loop(), stopped.set)
    if until_input_ends:
        when_input_ends(stopped.set)
    try:
        if not await _start_unless_stopped(server, stopped):
            return
        try:
            ready(server)
            await stopped.wait()
            logger.info("stopping")
        finally:
            try:
                async with asyncio.timeout(DRAIN_S):
                    await server.close()
            except TimeoutError:
                logger.error("not everything ended within %g s; leaving all the same", DRAIN_S)
    finally:
        undo()


async def _start_unless_stopped(server: Server, stopped: asyncio.Event) -> bool:
    """Start the server; a signal in the middle, while it waits for ComfyUI for instance, ends that: False."""
    starting = asyncio.create_task(server.start())
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        return False
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def catch_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Callable[[], None]:
    """Call `stop` on the loop at the first SIGINT or SIGTERM; gives a function that undoes it.

    Where the loop can't (Windows), plain signal handlers do it.
    """
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    try:
        for number in wanted:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        before = {number: signal.getsignal(number) for number in wanted}
        for number in wanted:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    def remove() -> None:
        for number in wanted:
            loop.remove_signal_handler(number)

    return remove
