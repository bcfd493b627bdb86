"""The whole bridge in one event loop, over real sockets: server, embedded ComfyUI, and a raw engine for tests.

`AppRig` starts an embedded ComfyUI and a `bridge.app.serve.Server` on free ports. `Engine` speaks the engine link over
TCP or WebSocket with `bridge.codec` alone, and keeps all that it gets, in order. `Gate` holds prompts in ComfyUI, so
that a test decides when each runs and nothing has to be timed.
"""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bridge.app.config import load_config
from bridge.app.serve import Server
from bridge.codec.bridge_messages import Accepted, Error, Finished, Subscribed, Welcome
from bridge.codec.frame import FrameHeader, decode_frame
from bridge.codec.framing import LengthDecoder, encode_length
from bridge.codec.messages import (
    Ack,
    Hello,
    Message,
    Open,
    Run,
    Set,
    Subscribe,
    decode_answer,
    encode_message,
)
from bridge.codec.osc import OscMessage, decode_packet, encode_osc_message
from bridge.codec.parts import PartAssembler
from bridge.embedded import EmbeddedServer
from bridge.types import Delivery, FrameFlags, Mode, Origin

LIMIT_S = 20.0


# --- workflows for tests --------------------------------------------------------------------------------------


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """One node as ComfyUI exports it."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def solid(title: str = "Fill @fill:color @width @height", **more: Any) -> dict[str, Any]:
    """A picture of one colour; with the colour a number, each picture tells which values went into it."""
    return node("EmptyImage", title, **{"width": 32, "height": 16, "batch_size": 1, "color": 0, **more})


WORKFLOWS: dict[str, dict[str, Any]] = {
    # One colour, a text that is not drawn (a value's name), and a seed that is not drawn either.
    "solid": {
        "1": solid(),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
        "3": node("PrimitiveString", "@note", value=""),
    },
    "clouds": {
        "1": solid("Fill @fill:color"),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
    "batch": {
        "1": solid("Fill @fill:color @count:batch_size"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    "pair": {
        "1": solid("Colour @fill:color"),
        "2": solid("Depth @depth:color"),
        "3": node("SaveImageWebsocket", "@out image", images=["1", 0]),
        "4": node("SaveImageWebsocket", "@out depth", images=["2", 0]),
    },
    "saved": {"1": solid("Fill @fill:color"), "2": node("SaveImage", "", images=["1", 0], filename_prefix="x")},
    # A file that is no picture fails when it runs, not when it is posted.
    "photo": {
        "1": node("LoadImage", "@picture:image", image="a.png"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    # Two pictures can't be blended with three: with count 3 it fails when it runs, not when it is posted.
    "brittle": {
        "1": solid("Fill @fill:color", batch_size=2),
        "2": solid("Other @count:batch_size"),
        "3": node("ImageBlend", "", image1=["1", 0], image2=["2", 0], blend_factor=0.0, blend_mode="normal"),
        "4": node("SaveImageWebsocket", "@out image", images=["3", 0]),
    },
}


def write_workflow(folder: Path, name: str, graph: Mapping[str, Any], binding: str | None = None) -> None:
    """Write a workflow's files below `folder`."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    if binding is not None:
        (folder / name / "binding.toml").write_text(binding, encoding="utf-8")


def color(number: int) -> list[float]:
    """A number 0..2^24-1 as a colour; `number_of` reads it back from a picture."""
    return [(number >> shift & 0xFF) / 255 for shift in (16, 8, 0)]


# --- ComfyUI ---------------------------------------------------------------------------------------------------


class Gate:
    """Holds prompts at their first node that runs. Open at first."""

    def __init__(self) -> None:
        self.graphs: list[dict[str, Any]] = []
        """The graphs of the prompts that began, in order."""
        self._seen: set[str] = set()
        self._free = threading.Condition()
        self._is_open = True
        self._steps = 0
        self._look: Callable[[], dict[str, dict[str, Any]]] = dict
        self._wake: Callable[[], object] = int

    def connect(self, look: Callable[[], dict[str, dict[str, Any]]], wake: Callable[[], object]) -> None:
        self._look, self._wake = look, wake

    def before_node(self, prompt_id: str, node_id: str) -> None:
        """Called in ComfyUI's worker."""
        if prompt_id in self._seen:
            return
        self._seen.add(prompt_id)
        self.graphs.append(self._look().get(prompt_id, {}))
        self._wake()
        with self._free:
            self._free.wait_for(lambda: self._is_open or self._steps > 0, LIMIT_S)
            if not self._is_open:
                self._steps -= 1

    def shut(self) -> None:
        with self._free:
            self._is_open, self._steps = False, 0

    def step(self, prompts: int = 1) -> None:
        """Let so many prompts pass."""
        with self._free:
            self._steps += prompts
            self._free.notify_all()

    def open(self) -> None:
        with self._free:
            self._is_open = True
            self._free.notify_all()

    @property
    def begun(self) -> int:
        return len(self.graphs)

    def inputs(self, name: str, node_id: str = "1") -> list[Any]:
        """One input of one node in every prompt that began."""
        return [graph[node_id]["inputs"][name] for graph in self.graphs]


class Ears:
    """A listener inside the bridge: which requests ended, which sets were released."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.finished: list[tuple[int, str]] = []
        self.released: list[tuple[str, int]] = []
        self._wake = wake

    def request_finished(self, request: Any, command: Any, now: float) -> None:
        self.finished.append((request.number, str(command.outcome)))
        self._wake()

    def request_progress(self, request: Any, value: float, maximum: float, node: str) -> None:
        pass

    def set_released(self, stream: Any, shared: Any, size: Any) -> None:
        self.released.append((stream.name, shared.number))
        self._wake()

    def backends_changed(self) -> None:
        self._wake()


class AppRig:
    """An embedded ComfyUI, a bridge that uses it, and whoever connects; all is closed at the end.

    `streams` and `config` are as in texbridge.toml; every workflow of `WORKFLOWS` is there.
    """

    def __init__(
        self,
        folder: Path,
        streams: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        step_delay_ms: float = 0,
        comfy: bool = True,
        **config: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        for name, graph in WORKFLOWS.items():
            write_workflow(folder, name, graph)
        self.gate = Gate()
        self._moved = asyncio.Event()
        self.comfy = EmbeddedServer(step_delay_ms=step_delay_ms, before_node=self.gate.before_node) if comfy else None
        self._streams = {"main": {"workflow": "solid", "mode": "oneshot"}} if streams is None else streams
        self._config = config
        self.server: Server = None  # type: ignore[assignment]
        self._engines: list[Engine] = []
        self._sockets: list[OscSocket] = []

    async def __aenter__(self) -> "AppRig":
        loop = asyncio.get_running_loop()
        overrides: dict[str, Any] = {
            door: {"listen": "127.0.0.1:0", **self._config.pop(door, {})} for door in ("osc", "link", "tcp", "http")
        }
        overrides["workflows"] = {"folders": [str(self.folder)], **self._config.pop("workflows", {})}
        if self.comfy is not None:
            await self.comfy.start()
            queue = self.comfy._queue
            self.gate.connect(
                lambda: {prompt.prompt_id: prompt.prompt for prompt in queue.snapshot()[0]},
                lambda: loop.call_soon_threadsafe(self._moved.set),
            )
            overrides["backend"] = [{"url": self.comfy.url, "name": "comfy"}]
        config = load_config(None, {}, {**overrides, **self._config, "streams": self._streams})
        self.server = Server(config)
        self.ears = Ears(self._moved.set)
        self.server.bridge.listeners.append(self.ears)
        tell = self.server.bridge.tell

        def tell_and_wake(event: Any) -> None:
            tell(event)
            self._moved.set()

        self.server.bridge.tell = tell_and_wake  # type: ignore[method-assign]
        await self.server.start()
        if self.comfy is not None:
            await self.until(lambda: bool(self.bridge.backends_up), "a backend that is up")
            # The node types of this ComfyUI are taken over beside: after that nothing moves by itself.
            settling = [task for task in self.server._tasks if "object_info" in repr(task.get_coro())]
            await asyncio.gather(*settling)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.open()
        for engine in self._engines:
            await engine.close()
        for osc in self._sockets:
            osc.close()
        if self.server is not None:
            await self.server.close()
        if self.comfy is not None:
            await self.comfy.close()

    @property
    def bridge(self) -> Any:
        return self.server.bridge

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Wait until something moved that makes `condition` true."""
        await _until(self._moved, condition, what, lambda: f"released {self.ears.released[-5:]}")

    async def begun(self, prompts: int) -> None:
        """Wait until so many prompts began at ComfyUI."""
        await self.until(lambda: self.gate.begun >= prompts, f"prompt {prompts} to begin, of {self.gate.begun}")

    async def engine(
        self, kind: str = "tcp", *, greet: bool = True, hello: Mapping[str, Any] | None = None
    ) -> "Engine":
        """A connected engine, greeted unless said otherwise."""
        address = self.server.addresses.tcp if kind == "tcp" else self.server.addresses.link
        assert address is not None
        engine = await Engine.connect(kind, address)
        self._engines.append(engine)
        if greet:
            await engine.greet(**(hello or {}))
        return engine

    def osc(self) -> "OscSocket":
        """A socket that sends OSC to the bridge, and hears what is sent to its own port."""
        address = self.server.addresses.osc
        assert address is not None
        osc = OscSocket(address)
        self._sockets.append(osc)
        return osc


# --- an engine -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """A frame as it came."""

    header: FrameHeader
    data: bytes

    @property
    def held(self) -> bool:
        return bool(self.header.flags & FrameFlags.HELD)

    def has(self, flag: FrameFlags) -> bool:
        return bool(self.header.flags & flag)

    @property
    def pixels(self) -> np.ndarray:
        """Rows as they come in the bytes; 8-bit formats only."""
        return np.frombuffer(self.data, np.uint8).reshape(self.header.height, self.header.width, -1)

    @property
    def number(self) -> int:
        """The number that `color` put into an rgba8 picture; all its pixels must be the same."""
        pixels = self.pixels
        assert (pixels == pixels[0, 0]).all(), "the picture is not of one colour"
        red, green, blue = (int(channel) for channel in pixels[0, 0, :3])
        return red << 16 | green << 8 | blue


class LinkError(Exception):
    """The bridge answered with `error`."""

    def __init__(self, message: Error) -> None:
        super().__init__(f"{message.code} {message.name}: {message.message}")
        self.error = message
        self.code = message.code


@dataclass
class Engine:
    """One connection to the engine link. `log` has everything that came, in order: messages and frames."""

    kind: str
    log: list[Any] = field(default_factory=list)
    acks: bool = True
    """Ack every frame that is not held as soon as the last one of its set is here."""
    ended: bool = False
    close_code: int | None = None
    welcome: Welcome = None  # type: ignore[assignment]
    _next_id: int = 1

    @classmethod
    async def connect(cls, kind: str, address: str) -> "Engine":
        engine = cls(kind)
        engine._moved = asyncio.Event()
        engine._parts = PartAssembler(1 << 28)
        if kind == "tcp":
            host, _, port = address.rpartition(":")
            engine._reader, engine._writer = await asyncio.open_connection(host, int(port), limit=4 << 20)
            engine._task = asyncio.create_task(engine._read_tcp())
        else:
            engine._socket = await connect(
                f"ws://{address}/link",
                subprotocols=["texbridge.v1"],  # type: ignore[list-item]
                compression=None,
                max_size=None,
                proxy=None,
                ping_interval=None,
                close_timeout=0.5,
            )
            engine._task = asyncio.create_task(engine._read_websocket(engine._socket))
        return engine

    # --- in ------------------------------------------------------------------------------------------------

    async def _read_tcp(self) -> None:
        lengths = LengthDecoder(1 << 28)
        try:
            while data := await self._reader.read(1 << 20):
                for message in lengths.feed(data):
                    self._take(message)
        except ConnectionError:
            pass
        finally:
            self._writer.close()
            self.ended = True
            self._moved.set()

    async def _read_websocket(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                assert isinstance(message, bytes)
                self._take(message)
        finally:
            self.close_code = socket.close_code
            self.ended = True
            self._moved.set()

    def _take(self, message: bytes | memoryview) -> None:
        start = bytes(message[:4])
        if start == b"TXBP":
            whole = self._parts.feed(message)
            if whole is None:
                return
            message, start = whole, whole[:4]
        if start == b"TXB1":
            header, payload = decode_frame(message)
            frame = Frame(header, bytes(payload))
            self.log.append(frame)
            if self.acks and not frame.held and frame.has(FrameFlags.LAST_OF_SET):
                self.send(Ack(stream=header.stream, number=header.number))
        else:
            self.log.append(decode_answer(message))
        self._moved.set()

    def of(self, kind: type[Any]) -> list[Any]:
        return [item for item in self.log if isinstance(item, kind)]

    @property
    def frames(self) -> list[Frame]:
        """All frames but held ones."""
        return [frame for frame in self.of(Frame) if not frame.held]

    @property
    def held(self) -> list[Frame]:
        return [frame for frame in self.of(Frame) if frame.held]

    @property
    def finished(self) -> dict[int, Finished]:
        """The terminal answers by request. A second one of the same request is an error at once."""
        answers: dict[int, Finished] = {}
        for message in self.of(Finished):
            assert message.request not in answers, f"request {message.request} has two terminal answers"
            answers[message.request] = message
        return answers

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        await _until(self._moved, condition, what, lambda: f"the log ends with {self._tail()}")

    def _tail(self) -> list[Any]:
        return [item.header if isinstance(item, Frame) else item for item in self.log[-8:]]

    async def frame(self, condition: Callable[[Frame], bool] = bool, held: bool = False) -> Frame:
        """Wait for a frame, or a held one, that `condition` is true of."""
        found: list[Frame] = []

        def look() -> bool:
            found.extend(frame for frame in (self.held if held else self.frames) if condition(frame))
            return bool(found)

        await self.until(look, "a held frame" if held else "a frame")
        return found[0]

    async def finish(self, *requests: int) -> list[Finished]:
        """Wait for the terminal answers of these requests."""
        await self.until(lambda: self.finished.keys() >= set(requests), f"finished of {requests}")
        return [self.finished[request] for request in requests]

    async def closed(self) -> None:
        await self.until(lambda: self.ended, "the end of the connection")

    # --- out -----------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        self.send_bytes(encode_message(message))

    def send_bytes(self, data: bytes) -> None:
        """Send one message that may be anything."""
        if self.kind == "tcp":
            if not self._writer.is_closing():
                self._writer.write(encode_length(len(data)) + data)
        else:
            self._background(self._socket.send(data))

    def _background(self, work: Any) -> None:
        # websockets' send takes its turn in the order of the tasks.
        task = asyncio.ensure_future(work)
        self._sends: set[Any] = getattr(self, "_sends", set())
        self._sends.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: Any) -> None:
        self._sends.discard(task)
        task.exception()  # the socket may be gone

    async def ask(self, kind: type[Message], /, **fields: Any) -> Any:
        """Send a message with an id and give its answer. Raises LinkError."""
        id = self._next_id
        self._next_id += 1
        self.send(kind(id=id, **fields))
        answers: list[Any] = []

        def look() -> bool:
            answers.extend(m for m in self.log if not isinstance(m, Frame) and m.id == id)
            return bool(answers)

        await self.until(look, f"the answer to {kind.__name__} {id}")
        if isinstance(answers[0], Error):
            raise LinkError(answers[0])
        return answers[0]

    async def refused(self, kind: type[Message], /, **fields: Any) -> Error:
        """Send a message that must be answered with an error, and give it."""
        try:
            answer = await self.ask(kind, **fields)
        except LinkError as error:
            return error.error
        raise AssertionError(f"{kind.__name__} was not refused: {answer}")

    async def greet(self, **fields: Any) -> Welcome:
        self.welcome = await self.ask(Hello, **{"version": 1, "client": "test", **fields})
        return self.welcome

    async def open(self, stream: str, workflow: str, mode: str = "oneshot", **fields: Any) -> Any:
        return await self.ask(Open, stream=stream, workflow=workflow, mode=Mode(mode), **fields)

    async def subscribe(
        self, stream: Any = "main", format: str = "rgba8", origin: str = "top_left", credit: int = 1, **fields: Any
    ) -> Subscribed:
        return await self.ask(
            Subscribe,
            stream=stream,
            format=format,
            origin=Origin(origin),
            credit=credit,
            **{"delivery": Delivery.LATEST, **fields},
        )

    async def run(self, stream: Any = "main", **fields: Any) -> int:
        """Ask for a picture; gives the request's number."""
        answer = await self.ask(Run, stream=stream, **fields)
        assert isinstance(answer, Accepted)
        return answer.request

    async def set(self, stream: Any = "main", **fields: Any) -> None:
        await self.ask(Set, stream=stream, **fields)

    def pause(self) -> None:
        """Read nothing more from the socket."""
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    @property
    def _transport(self) -> Any:
        return self._writer.transport if self.kind == "tcp" else self._socket.transport

    async def cut(self) -> None:
        """Lose the connection without a word."""
        self._transport.abort()
        await asyncio.wait([self._task])
        await self.close()

    async def close(self) -> None:
        if self.kind == "tcp":
            self._writer.close()
            try:
                await self._writer.wait_closed()
            except ConnectionError:
                pass
        else:
            await self._socket.close()
        await asyncio.wait([self._task])


# --- OSC -------------------------------------------------------------------------------------------------------


class OscSocket:
    """A UDP socket of a controller."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.heard: list[OscMessage] = []
        self._moved = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        try:
            while True:
                packet = decode_packet(self._socket.recv(65536))
                assert isinstance(packet, OscMessage)
                self.heard.append(packet)
                self._moved.set()
        except BlockingIOError:
            pass

    def send(self, address: str, *arguments: Any) -> None:
        self.send_bytes(encode_osc_message(address, *arguments))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendto(data, self._target)

    def bundle(self, *messages: tuple[Any, ...]) -> None:
        """Send messages, each (address, arguments ...), as one moment."""
        data = b"#bundle\0" + struct.pack(">Q", 1)
        for address, *arguments in messages:
            element = encode_osc_message(address, *arguments)
            data += struct.pack(">i", len(element)) + element
        self.send_bytes(data)

    def at(self, address: str) -> list[tuple[Any, ...]]:
        """The arguments of all that came for this address."""
        return [message.arguments for message in self.heard if message.address == address]

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        await _until(self._moved, condition, what, lambda: f"heard {self.heard[-8:]}")

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def _until(moved: asyncio.Event, condition: Callable[[], bool], what: str, story: Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                moved.clear()
                await moved.wait()
    except TimeoutError:
        raise AssertionError(f"waited {LIMIT_S:g} s for {what}; {story()}") from None


def run(test: Callable[[], Any]) -> None:
    """Run an async test with a limit on the whole of it."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())
