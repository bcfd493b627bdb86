"""One ComfyUI: the connection to it, and the judgement whether it is there.

A missed ping is a doubt, not a death. While in doubt nothing new is taken and HTTP is asked: if nobody listens there
the backend is down at once, if it answers and the socket doesn't the socket is made anew under a fresh client id, and
if nothing answers it is waited for, up to `doubt_timeout_s`. What was posted before is never posted again here: its
fate is read from /queue and /history and reported, and the scheduler decides.

A ComfyUI that runs prompts and whose socket tells nothing of them, twice in a row and over two sockets, is *mute*:
prompts are then posted with outputs that write files, and `polling` fetches those, until the socket speaks again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from bridge.backends.address import ComfyAddress, parse_address
from bridge.backends.attempts import Attempts
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.comfy_socket import SocketOpener, open_socket
from bridge.backends.connection import Connection
from bridge.backends.faults import AccessRefused, BackendCut, BackendGone, BackendSilent
from bridge.backends.node_pack import NodePack
from bridge.backends.prompts import Prompts, Verdict
from bridge.backends.records import BackendMute, BackendRecord, BackendState, BackendWarning, ComfyLimits, Counts
from bridge.backends.tasks import TaskSet
from bridge.backends.transfer import FAR_ROUND_TRIP_S, Transfer, TransferMode
from bridge.backends.uploads import UploadRing
from bridge.backends.watch import Watch
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import BackendDoubted, BackendDown, BackendUp

logger = logging.getLogger("bridge.backends")
UPLOAD_FOLDER = "texbridge"
PREVIEW_METHOD: Final = "auto"
MUTE_SOCKETS: Final = 2
MUTE_WORDS: Final = (
    "ComfyUI runs prompts, but its WebSocket tells nothing of them: restart ComfyUI. Until then pictures are asked for "
    "over HTTP, which takes longer and fills its temp folder"
)
HEALED_EVERY_S: Final = 10.0
"""A line of the log for a cut that healed, at most so often."""


class ComfyBackend:
    """A ComfyUI at `url`, which is kept connected from `start` to `close`.

    `on_event` is called on the event loop with each `BackendRecord`, never from within `submit` or `withdraw`; it
    must not block. For an attempt the order is: posted and started in any order, pictures and progress, then exactly
    one of AttemptRefused, AttemptEnded, AttemptWithdrawn and AttemptLost, whatever happens.

    Raises ConfigError for a bad `url` or header.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        on_event: Callable[[BackendRecord], None],
        limits: ComfyLimits | None = None,
        tls: ssl.SSLContext | None = None,
        transfer: Transfer | None = None,
        upload_tag: str = "",
        opener: SocketOpener = open_socket,
    ) -> None:
        self.name = name
        self.state = BackendState.CONNECTING
        self._on_event = on_event
        self._address = parse_address(url, headers)
        self._limits = limits or ComfyLimits()
        self._counts = Counts()
        self._attempts = Attempts(name, self._emit, self._counts)
        self._http = ComfyHttp(self._address, self._limits, tls)
        self.nodes = NodePack(self._http, transfer or Transfer(TransferMode.AUTO, far=self._address.is_remote))
        """The node pack there, by which pictures come raw and go into memory."""
        self._attempts.on_node_failed = self.nodes.failed
        self._connection = Connection(
            self._http, self._address, self._limits, self._counts, self._attempts.handle, opener, tls
        )
        self._connection.on_arrival = self._arrived
        self._connection.on_broken_picture = self._attempts.broken_picture
        self._watch = Watch(self._http, self._limits, self._doubt, self._trust)
        self._prompts = Prompts(
            self._http,
            self._attempts,
            self._limits,
            self._emit,
            self._watch.suspect,
            self._watch.break_off,
            self._doubt,
        )
        self._prompts.on_refused = self.nodes.refused
        self._chores = TaskSet()
        self._task: asyncio.Task[None] | None = None
        self._fresh = True
        self._up_told = False
        self._failures = 0
        self.failure: BackendError | None = None
        """Why it could not be reached at the last try; None once it could."""
        self._doubted_at = 0.0
        self._healed_at = -HEALED_EVERY_S
        self._stuck_at = 0.0
        self._warned: str | None = None
        self._files = UploadRing(upload_tag or secrets.token_hex(4))
        self._probe_after_s = self._limits.mute_probe_s
        self.mute = False
        """True while prompts have to be submitted with `files`."""
        self.away_since: float | None = time.perf_counter()
        """Since when it takes no prompts, for whatever reason (`time.perf_counter`); None while it does."""
        self._attempts.on_voice = self._speaks

    @property
    def address(self) -> ComfyAddress:
        """Where it is, and what was understood of the address that was given; its `repr` shows no secret."""
        return self._address

    # --- what the app calls --------------------------------------------------------------------------------

    @property
    def object_info(self) -> bytes | None:
        """All node types as ComfyUI's JSON; there before the first BackendUp, read anew when ComfyUI was down."""
        return self._connection.object_info

    async def refresh(self) -> bytes:
        """Ask for all node types anew: model files may have come. Raises BackendError, and keeps what was known."""
        self._connection.object_info = data = await self._http.object_info()
        return data

    async def node_class(self, class_type: str) -> bytes:
        """Give what ComfyUI says of one node class now, as its JSON; an empty map without it. Raises BackendError."""
        return await self._http.object_info(class_type)

    def start(self) -> None:
        """Begin to connect; BackendUp tells when it is there."""
        if self._task is None and self.state is not BackendState.CLOSED:
            self._http.open()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take our prompts off ComfyUI, settle every attempt, end the connections; bounded by `close_s` and a bit."""
        if self.state is BackendState.CLOSED:
            return
        self.state = BackendState.CLOSED
        if self._up_told:
            self._emit(BackendDoubted(self.name))  # before anything is waited for: nothing more is submitted here
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._up_told:
            try:
                async with asyncio.timeout(self._limits.close_s):
                    await self._prompts.clear()
                    await self.nodes.close()
            except TimeoutError:
                logger.info("backend %s did not take its prompts back in time", self.name)
        await self._prompts.close()
        await self._chores.close()
        if self._up_told:
            self._up_told = False
            self._emit(BackendDown(self.name))
        await self._http.close()

    def submit(
        self,
        attempt: int,
        prompt: Mapping[str, Any],
        output_nodes: Mapping[str, int],
        files: bool = False,
        previews: bool = False,
    ) -> None:
        """Post `prompt` (API format) at once; pictures of `output_nodes` (node id -> output) are reported.

        With `files` those nodes write files, as while `mute`; what the socket tells is not needed then. With `previews`
        samplers are asked to show their work, unless ComfyUI was started with a `--preview-method` of its own.

        Raises ValueError if `attempt` is live here already.
        """
        method = PREVIEW_METHOD if previews and not self._connection.has_preview_method else ""
        self._prompts.submit(attempt, prompt, output_nodes, files, method)

    def withdraw(self, attempt: int) -> None:
        """Get a prompt out of the way, wherever it is; unknown and ended ones are ignored."""
        self._prompts.withdraw(attempt)

    # --- pictures in ComfyUI's input folder ----------------------------------------------------------------

    def find_picture(self, digest: str, attempt: int) -> str | None:
        """Give what a LoadImage input takes if a file with this hash is there; `attempt` uses it from now on."""
        slot = self._files.find(digest, attempt)
        return None if slot is None else slot.stored

    async def store_picture(self, data: bytes | bytearray, digest: str, owner: Hashable, attempt: int) -> str:
        """Store a picture in ComfyUI's input folder and give what a LoadImage input takes.

        What is there already under the same hash is not sent again. `owner` is whose picture it is (a stream's
        parameter): each has a few names, which go round. Nothing is written over the file until `release_pictures`.

        Raises:
            BackendError: the backend is gone, silent, or refuses the picture.
        """
        known = self.find_picture(digest, attempt)
        if known is not None:
            return known
        slot = self._files.take(owner, attempt)
        try:
            stored = await self._http.upload(data, slot.name, UPLOAD_FOLDER)
        except BaseException as error:
            self._files.failed(slot, attempt)
            if isinstance(error, BackendGone | BackendCut):
                # Not to be tried again at once: that would use up a request's tries within milliseconds.
                self._doubt()
                self._watch.suspect()
            raise
        self._files.went_up(slot, digest, stored)
        return stored

    def release_pictures(self, attempt: int, *, trusted: bool = True) -> None:
        """An attempt is over, its files may be written over; if it failed, their being there is not `trusted`."""
        self._files.release(attempt, trusted=trusted)
        self.nodes.release(attempt)

    def forget_pictures(self, owner: Hashable) -> None:
        """An owner of pictures is gone: its names are for others, and what the node pack keeps of it goes."""
        self._files.forget_owner(owner)
        if self.nodes.facts is not None and self.state is not BackendState.CLOSED:
            self._chores.spawn(self.nodes.forget(owner))

    def info(self) -> dict[str, Any]:
        """State, address without secrets, version, devices and counters, for people and /healthz."""
        round_trip_s = self._watch.round_trips.smoothed_s
        return {
            "name": self.name,
            "url": self._address.http,
            "state": "mute" if self.mute and self.state is BackendState.UP else self.state.value,
            "round_trip_ms": None if round_trip_s is None else round(round_trip_s * 1000, 1),
            **self._connection.describe(),
            "transfer": self.nodes.transfer.word() if self.nodes.usable else "png",
            "nodes": self.nodes.describe(),
            "attempts": len(self._attempts),
            "warning": self._warned,
            "counts": {name: getattr(self._counts, name) for name in Counts.__slots__},
        }

    # --- connecting ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        brief = 0
        while True:
            try:
                await self._connect()
                self._failures = 0
                self.failure = None
                opened_at = time.perf_counter()
                reason = await self._serve()
            except Exception as error:
                await self._disconnect()
                if not isinstance(error, BackendError):
                    logger.exception("backend %s: connection failed", self.name)
                    error = BackendError(f"connection failed: {type(error).__name__}: {error}")
                await self._after_failure(error)
                continue
            except asyncio.CancelledError:
                await self._disconnect()
                raise
            await self._disconnect()
            logger.info("backend %s: socket ended: %s", self.name, reason)
            self._doubt()
            brief = brief + 1 if time.perf_counter() - opened_at < 1.0 else 0
            if self._watch.broken is not None:
                self._go_down(self._watch.broken)
                self._watch.broken = None
                await asyncio.sleep(self._limits.reconnect_most_s * (0.5 + random.random() / 2))
            elif brief > 1:  # sockets that open and end at once: no hurry
                await self._pause(brief)

    def _arrived(self, message_bytes: int, took_s: float, raw_bytes: int, since_last_s: float) -> None:
        """Near ones are read piece by piece: what ComfyUI itself took there must not look like a slow link."""
        far = (self._watch.round_trips.least_s or 0.0) >= FAR_ROUND_TRIP_S
        self.nodes.transfer.came(message_bytes, took_s, raw_bytes, since_last_s if far else 0.0)

    async def _disconnect(self) -> None:
        self._prompts.go_blind()
        await self._connection.close()

    async def _pause(self, turns: int) -> None:
        """Longer at each turn, and never the same for two bridges."""
        most = min(self._limits.reconnect_first_s * 2.0 ** min(turns, 16), self._limits.reconnect_most_s)
        await asyncio.sleep(most * (0.5 + random.random() / 2))

    async def _connect(self) -> None:
        """Everything up to BackendUp. Raises BackendError."""
        await self._http.probe()
        await self._notice_restart()
        if self._fresh:
            self._files.forget_files()
            await self._connection.learn()
            await self.nodes.learn(self._connection.object_info)
        client_id = await self._connection.open()
        await self._prompts.recover(client_id)
        self._fresh = False
        self._go_up()

    async def _notice_restart(self) -> None:
        """See whether a mute ComfyUI was started anew, too quickly to be missed: its history is gone then."""
        done = self._attempts.last_done
        if self.mute and done is not None and await self._http.history(done) is None:
            self._fresh = True
            self._attempts.silent_sockets = 0
            self._speaks()

    async def _after_failure(self, error: BackendError) -> None:
        """Decide whether a failed connect means down, then wait a little."""
        self._failures += 1
        self.failure = error
        if self._up_told or len(self._attempts):
            final = (
                isinstance(error, BackendGone | AccessRefused)
                or (not isinstance(error, BackendSilent) and self._failures >= self._limits.max_failures)
                or time.perf_counter() - self._doubted_at >= self._limits.doubt_timeout_s
            )
            if not final:
                await asyncio.sleep(min(self._limits.reconnect_first_s * self._failures, 1.0))
                return
        self._go_down(error)
        await self._pause(self._failures)

    # --- connected -----------------------------------------------------------------------------------------

    async def _serve(self) -> str:
        """Until the socket ends or is to be given up; the result says why."""
        loop = asyncio.get_running_loop()
        reader = self._connection.reader
        watchers = [loop.create_task(self._watch.over(self._connection.socket)), loop.create_task(self._check())]
        try:
            done, _ = await asyncio.wait([reader, *watchers], return_when=asyncio.FIRST_COMPLETED)
            ended = reader if reader in done else next(iter(done))
            return ended.result()
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _check(self) -> str:
        """Look at the queue now and then. Returns when only a new socket can help."""
        opened_at = time.perf_counter()
        while True:
            await asyncio.sleep(self._limits.check_interval_s)
            if self.state is BackendState.STUCK:
                if await self._works_again():
                    self._go_up()
                continue
            verdict = await self._prompts.check()
            if verdict is Verdict.STUCK:
                await self._declare_stuck()
            elif verdict in (Verdict.MUTE, Verdict.SILENT):
                self._attempts.silent_sockets += verdict is Verdict.MUTE
                if self._attempts.silent_sockets >= MUTE_SOCKETS:
                    self._become_mute()
                return str(verdict.value)
            if self.mute and time.perf_counter() - opened_at >= self._probe_after_s:
                self._probe_after_s = min(2 * self._probe_after_s, self._limits.mute_probe_most_s)
                return "mute, a new one is tried"

    def _become_mute(self) -> None:
        if not self.mute:
            self.mute = True
            self._probe_after_s = self._limits.mute_probe_s
            self._warn(ErrorCode.BACKEND_MUTE, MUTE_WORDS)
            self._emit(BackendMute(self.name, True))

    def _speaks(self) -> None:
        if self.mute:
            self.mute = False
            self._warned = None
            logger.info("backend %s: its socket speaks again, or it was started anew", self.name)
            self._emit(BackendMute(self.name, False))

    async def _declare_stuck(self) -> None:
        self._warn(
            ErrorCode.BACKEND_STUCK,
            "ComfyUI takes prompts (200) but runs none: its worker thread is dead. Restart ComfyUI",
        )
        self._doubt()
        await self._prompts.clear()
        self._prompts.lose_all()
        self.state = BackendState.STUCK
        self._stuck_at = time.perf_counter()
        self._up_told = False
        self._emit(BackendDown(self.name))

    async def _works_again(self) -> bool:
        if time.perf_counter() - self._stuck_at >= self._limits.stuck_retry_s:
            return True
        try:
            return bool((await self._http.queue()).running)
        except BackendError:
            self._watch.suspect()
            return False

    # --- state ---------------------------------------------------------------------------------------------

    def _go_up(self) -> None:
        self.state = BackendState.UP
        now, away_since, self.away_since = time.perf_counter(), self.away_since, None
        if self._up_told and away_since is not None and now - self._healed_at >= HEALED_EVERY_S:
            self._healed_at = now
            logger.info("backend %s is back after %.1f s; it was never given up", self.name, now - away_since)
        if not self.mute:
            self._warned = None
        if not self._up_told:
            logger.info("backend %s is up at %s", self.name, self._address.http)
        self._up_told = True
        self._emit(BackendUp(self.name))

    def _trust(self) -> None:
        if self.state is BackendState.DOUBTED:
            self._go_up()

    def _doubt(self) -> None:
        if self.state is BackendState.UP:
            self.state = BackendState.DOUBTED
            self._doubted_at = self.away_since = time.perf_counter()
            self._counts.doubts += 1
            self._emit(BackendDoubted(self.name))

    def _go_down(self, error: BackendError) -> None:
        self.state = BackendState.DOWN
        self._fresh = True
        self.away_since = self.away_since or time.perf_counter()
        self._attempts.silent_sockets = 0
        self._prompts.go_blind()
        self._prompts.lose_all()
        self._warn(error.code, error.message)
        if self._up_told:
            self._up_told = False
            logger.warning("backend %s is down: %s", self.name, error.message)
            self._emit(BackendDown(self.name))
        if self.mute:  # whatever answers next is another one
            self.mute = False
            self._emit(BackendMute(self.name, False))

    def _warn(self, code: ErrorCode, message: str) -> None:
        if self._warned != message:
            self._warned = message
            self._emit(BackendWarning(self.name, code, message))

    def _emit(self, record: BackendRecord) -> None:
        try:
            self._on_event(record)
        except Exception:
            # The socket must be read on: a fault of the listener is shown, and stays its own.
            logger.exception("on_event failed for %s", type(record).__name__)
