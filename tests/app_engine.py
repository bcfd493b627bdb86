"""A raw engine and a raw controller for tests of the whole bridge: the wire by `bridge.codec`, and nothing more of it.

`Engine` speaks the engine link over TCP or WebSocket and keeps all that it gets, in order. `OscSocket` sends OSC and
hears what is sent to its own port.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

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
from bridge.types import Delivery, FrameFlags, Mode, Origin

LIMIT_S = 20.0


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
        except ConnectionClosedError:
            pass  # the close code tells
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
            whole = frame.has(FrameFlags.LAST_OF_SET) and not frame.has(FrameFlags.PREVIEW)
            if self.acks and not frame.held and whole:
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
        await wait_until(self._moved, condition, what, lambda: f"the log ends with {self._tail()}")

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
        await wait_until(self._moved, condition, what, lambda: f"heard {self.heard[-8:]}")

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def wait_until(moved: asyncio.Event, condition: Callable[[], bool], what: str, story: Callable[[], str]) -> None:
    """Wait until `moved` was set and `condition` is true; AssertionError with `story()` after 20 s."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                moved.clear()
                await moved.wait()
    except TimeoutError:
        raise AssertionError(f"waited {LIMIT_S:g} s for {what}; {story()}") from None
