"""One stream of a bridge, read by a thread of its own. The network's thread touches no operator of TouchDesigner.

    link = Link(address="127.0.0.1:9402", stream="sky", workflow="gradient")
    link.start()
    link.set({"noise": 0.2})
    frame = link.take()          # once a cook: the newest set, or None if there is no newer one

A lost bridge is looked for again, with growing pauses; the session goes on if it still lives, otherwise the stream is
opened again with the values that were set. Source: protocols/engine-link.md.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from texbridge_td import wire
from texbridge_td.memory import MemoryReader
from texbridge_td.wire import Header, LengthReader, PartAssembler, WireError

LARGEST_MESSAGE_BYTES = 512 * 1024 * 1024
CONNECT_WITHIN_S = 5.0
SILENCE_S = 5.0
"""Heard nothing for so long: ping. For three times as long: the link is taken as lost."""
LONGEST_PAUSE_S = 5.0
LAYOUTS = {1: (np.uint8, 4), 4: (np.uint8, 1), 6: (np.float32, 4), 7: (np.uint16, 1), 9: (np.float32, 1)}
"""What copyNumpyArray takes: uint8, uint16 or float32."""


class Frame(NamedTuple):
    """One texture: `pixels` as copyNumpyArray wants them, [height, width, channel], the lowest row first."""

    header: Header
    pixels: np.ndarray


class Link:
    """The newest frames of one stream, and what is said to it. Every method may be called from any thread.

    Args:
        address: HOST:PORT of the bridge's TCP door.
        stream: its name.
        workflow: makes the stream if it isn't there; "" only looks at one that is.
        mode: `live`, `latest` or `oneshot`, for a stream that is made.
        format: `rgba8`, `rgba32f`, `r8`, `r16` or `r32f`.
        size: (w, h) that frames are to have; None as they are made.
        token: the bridge's secret, if it has one.
        shared_memory: read from memory where bridge and TouchDesigner are on one machine.

    Attributes:
        state: `connecting`, `connected` or `closed`.
        trouble: why there is no picture, for people; "" if all is well.
        described: what `described` said of the stream: parameters, outputs, size. None before.
        finished: the last answers to `run`: maps as on the wire, newest last.
        values: what was set until now.
        copied, torn: frames out of shared memory, and those that were taken from us.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:9402",
        stream: str = "main",
        workflow: str = "",
        mode: str = "live",
        format: str = "rgba8",
        size: tuple[int, int] | None = None,
        token: str = "",
        shared_memory: bool = True,
        max_message_bytes: int = 0,
    ) -> None:
        self.settings = {name: value for name, value in locals().items() if name != "self"}
        if wire.FORMATS.get(format) not in LAYOUTS:
            raise ValueError(f"format {format!r} can't be copied into a TOP; rgba8, rgba32f, r8, r16 or r32f can")
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"address {address!r} must be HOST:PORT, e.g. 127.0.0.1:9402")
        self._door = (host.strip("[]"), int(port))
        self.state, self.trouble = "connecting", ""
        self.described: dict[str, Any] | None = None
        self.finished: deque[dict[str, Any]] = deque(maxlen=256)
        self.copied = self.torn = 0
        self._lock = threading.Lock()
        self._closing = False
        self._may_share = bool(shared_memory)
        self.values: dict[str, Any] = {}
        self._runs: dict[Any, dict[str, Any]] = {}
        self._next_key = 0
        self._waiting: deque[bytes] = deque(maxlen=1024)  # for the socket; only while there is a link
        self._is_open = False
        self._session = self._boot = ""
        self._number: int | None = None
        self._building: list[Frame] = []
        self._newest: list[Frame] | None = None
        self._shown: list[Frame] = []
        self._memory: MemoryReader | None = None
        self._in_hand = 0
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"texbridge {stream}", daemon=True)

    # --- for the cook ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. TouchDesigner goes on at once, whether there is a bridge or not."""
        self._thread.start()

    def close(self, wait: bool = True) -> None:
        """End the link and the thread; without `wait` the thread ends by itself, soon. Safe to call twice."""
        self._closing = True
        self._wake()
        if wait and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * CONNECT_WITHIN_S)

    def take(self, output: int = 0) -> Frame | None:
        """Give the newest frame of an output if it is newer than what was given last; None otherwise.

        This also says to the bridge that the next set may come: so call it once a cook, not more often.
        """
        with self._lock:
            if self._in_hand:
                self._send({"op": "ack", "stream": self._number, "number": self._in_hand})
                self._in_hand = 0
            if self._newest is None:
                return None
            self._shown, self._newest = self._newest, None
            header = self._shown[0].header
            if not header.flags & wire.PREVIEW:
                self._in_hand = header.number
            return next((frame for frame in self._shown if frame.header.output == output), None)

    def set(self, params: dict[str, Any]) -> None:
        """Set values; those of a `live` stream are seen in its next picture."""
        with self._lock:
            self.values.update(params)
            self._send({"op": "set", "stream": self.settings["stream"], "params": params})

    def run(self, params: dict[str, Any] | None = None, seed: int | None = None) -> str:
        """Ask for one picture; gives the key that its `finished` and nothing else has."""
        with self._lock:
            self._next_key += 1
            key = f"td-{self._next_key}"
            message = {"op": "run", "stream": self.settings["stream"], "key": key}
            if params:
                message["params"] = params
                self.values.update(params)
            if seed is not None:
                message["seed"] = seed
            self._runs[key] = message
            self._send(message)
            return key

    def tell(self, op: str, **fields: Any) -> None:
        """Say anything else: `tell("panic")`, `tell("blackout", stream="main", on=True, fade_s=1.0)`."""
        with self._lock:
            self._send({"op": op, **fields})

    # --- the thread ------------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        """Queue a message if there is a link; values and runs are said again at the next one anyway."""
        if self._is_open:
            data = wire.pack(message)
            self._waiting.append(len(data).to_bytes(4, "little") + data)
            self._wake()

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"!")
        except OSError:
            pass  # it is full, so the thread wakes anyway; or closed

    def _run(self) -> None:
        pause = 0.1
        while not self._closing:
            began = time.monotonic()
            try:
                self._talk()
            except (OSError, WireError) as error:
                self.trouble = f"{self.settings['address']}: {error}"
            with self._lock:
                self._is_open = False
                self._waiting.clear()
                self._building, self._in_hand = [], 0
            self._use_memory(None)
            self.state = "connecting"
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = 0.1
            if not self._closing:
                select.select([self._wake_in], [], [], pause * random.uniform(0.5, 1.0))
                self._drain_wake()
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self.state = "closed"
        self._wake_in.close()
        self._wake_out.close()

    def _drain_wake(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except OSError:
            pass  # empty

    def _talk(self) -> None:
        """One connection, from hello to its end. Raises OSError or WireError."""
        with socket.create_connection(self._door, CONNECT_WITHIN_S) as door:
            door.setblocking(False)
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = LengthReader(LARGEST_MESSAGE_BYTES)
            parts = PartAssembler(LARGEST_MESSAGE_BYTES)
            with self._lock:
                self._waiting.clear()
                self._is_open = True
                self._send(self._hello())
                self._is_open = False  # nothing else before the welcome
            out = memoryview(b"")
            heard, pinged = time.monotonic(), False
            while not self._closing:
                if not out and self._waiting:
                    out = memoryview(self._waiting.popleft())
                may_read, may_write, _ = select.select([door, self._wake_in], [door] if out else [], [], SILENCE_S)
                self._drain_wake()
                if may_write:
                    out = out[door.send(out) :]
                if door in may_read:
                    count = door.recv_into(reader.buffer())
                    if not count:
                        raise ConnectionError("the bridge closed the link")
                    heard, pinged = time.monotonic(), False
                    message = reader.filled(count)
                    if message is not None:
                        self._take(message, parts)
                silent = time.monotonic() - heard
                if silent > 3 * SILENCE_S:
                    raise ConnectionError(f"nothing was heard for {silent:.0f} s")
                if silent > SILENCE_S and not pinged:
                    pinged = True
                    self.tell("ping")

    def _hello(self) -> dict[str, Any]:
        hello = {"op": "hello", "version": 1, "client": "texbridge-touchdesigner 0.1.0"}
        hello["shared_memory"] = self._may_share
        for name, value in (
            ("token", self.settings["token"]),
            ("session", self._session),
            ("max_message_bytes", self.settings["max_message_bytes"]),
        ):
            if value:
                hello[name] = value
        return hello

    def _take(self, message: memoryview, parts: PartAssembler) -> None:
        if bytes(message[:4]) == b"TXBP":
            whole = parts.feed(message)
            if whole is None:
                return
            message = whole
        if bytes(message[:2]) == b"TX":
            try:
                self._frame(*wire.read_frame(message))
            except WireError as error:
                self.trouble = f"a frame was dropped: {error}"
            return
        told = wire.unpack_map(message)
        handler = getattr(self, f"_on_{told.get('op')}", None)
        if handler is not None:
            try:
                handler(told)
            except (KeyError, TypeError, ValueError) as error:
                self.trouble = f"a message {told.get('op')!r} was dropped: {error!r}"

    def _on_welcome(self, told: dict[str, Any]) -> None:
        with self._lock:
            restarted = bool(self._boot) and told["boot"] != self._boot
            self._boot, self._session = told["boot"], told["session"]
            self._is_open, self.state, self.trouble = True, "connected", ""
            settings = self.settings
            if told.get("resumed") and self._number is not None:
                if self.values:
                    self._send({"op": "set", "stream": settings["stream"], "params": dict(self.values)})
            else:
                self._number = None
                if settings["workflow"]:
                    opening = {"op": "open", "id": 1, "stream": settings["stream"], "workflow": settings["workflow"]}
                    opening["mode"] = settings["mode"]
                    if self.values:
                        opening["params"] = dict(self.values)
                    self._send(opening)
                elif self.values:
                    self._send({"op": "set", "id": 1, "stream": settings["stream"], "params": dict(self.values)})
                subscribe = {"op": "subscribe", "id": 2, "stream": settings["stream"], "format": settings["format"]}
                subscribe.update(origin="bottom_left", delivery="latest", credit=1)
                if settings["size"]:
                    subscribe["size"] = list(settings["size"])
                if self._may_share and "shared_memory" in told.get("features", ()):
                    subscribe["shared_memory"] = True
                self._send(subscribe)
            self._send({"op": "describe", "id": 3, "stream": settings["stream"]})
            if restarted:
                lost, self._runs = self._runs, {}
                for key in lost:
                    self.finished.append({"op": "finished", "key": key, "outcome": "failed", "name": "link_lost"})
            for run in self._runs.values():
                self._send(run)  # the same key: what is known already makes nothing new

    def _on_subscribed(self, told: dict[str, Any]) -> None:
        self._number = told["number"]

    def _on_described(self, told: dict[str, Any]) -> None:
        self.described = told

    def _on_changed(self, told: dict[str, Any]) -> None:
        if "workflow" in told:
            self.tell("describe", id=3, stream=self.settings["stream"])

    def _on_finished(self, told: dict[str, Any]) -> None:
        with self._lock:
            self._runs.pop(told.get("key"), None)
            self.finished.append(told)
        if told.get("outcome") == "failed":
            self.trouble = f"{told.get('name')}: {told.get('message')}"

    def _on_error(self, told: dict[str, Any]) -> None:
        self.trouble = f"{told.get('name')}: {told.get('message')}"
        if told.get("fatal"):
            if told.get("code") == 409:
                self._session = ""  # another socket has it: begin anew instead of taking it back and forth
            raise ConnectionError(self.trouble)
        if told.get("id") in (1, 2):
            self._session = ""
            raise ConnectionError(self.trouble)  # no stream yet: tried again after a pause

    def _on_memory(self, told: dict[str, Any]) -> None:
        try:
            self._use_memory(MemoryReader(told))
        except (OSError, WireError) as error:
            self._use_memory(None)
            self.trouble = f"no shared memory, frames come over the link: {error}"
            self._may_share = False
            self._session = ""
            raise ConnectionError(self.trouble) from None

    def _use_memory(self, memory: MemoryReader | None) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = memory

    def _frame(self, header: Header, payload: memoryview) -> None:
        if header.stream != self._number:
            return
        if header.flags & wire.SHARED_MEMORY:
            copy = None if self._memory is None else self._memory.copy(header)
            if copy is None:
                self.torn += 1
                self._drop(header)
                return
            self.copied += 1
            payload = copy
        layout = LAYOUTS.get(header.format)
        if layout is None:
            raise WireError(103, f"format {header.format} was not asked for")
        dtype, channels = layout
        count = header.width * header.height * channels
        pixels = np.frombuffer(payload, np.dtype(dtype).newbyteorder("<"), count)
        frame = Frame(header, pixels.reshape(header.height, header.width, channels))
        with self._lock:
            building = self._building
            if building and _set_of(building[0].header) != _set_of(header):  # it was broken off
                building.clear()
            building.append(frame)
            if header.flags & wire.LAST_OF_SET:
                self._newest, self._building = building, []
                if not header.flags & wire.HELD:
                    self.trouble = ""

    def _drop(self, header: Header) -> None:
        """A frame that can't be had any more: its set is none, and is acked so that others follow."""
        with self._lock:
            self._building = []
            if header.flags & wire.LAST_OF_SET and header.number:
                self._send({"op": "ack", "stream": self._number, "number": header.number})


def _set_of(header: Header) -> tuple[int, int, int, int]:
    return header.number, header.request, header.index, header.flags & (wire.HELD | wire.PREVIEW)
