"""A small hub and raw clients for the engine link's tests. The clients use msgpack and struct, no codec of ours."""

import asyncio
import struct
from collections import deque
from collections.abc import Callable

import msgpack
from websockets.asyncio.client import ClientConnection, connect

from bridge.codec.messages import Accepted, Hello, Ok, Ping, Pong, Run, Set, Stats, Subscribe, Welcome
from bridge.errors import ErrorCode, NotAllowedError, UnknownNameError
from bridge.links.connection import Connection, LinkLimits, OutgoingFrame
from bridge.links.tcp import TcpDoor
from bridge.links.websocket import WebSocketDoor

LIMIT_S = 20.0
WELCOME = Welcome(
    version=1,
    server="test",
    boot="b",
    session="0" * 32,
    resumed=False,
    unfinished=[],
    features=[],
    limits={},
    formats=["rgba8"],
    workflows=[],
    streams=[],
)


def frame_bytes(number: int, payload_bytes: int) -> tuple[bytes, bytes]:
    """A header (only its magic and number matter here) and a payload whose every byte depends on its place."""
    header = b"TXB1" + struct.pack("<HHII", 64, 64, 1, number) + bytes(48)
    pattern = bytes((place * 7 + number * 13) & 0xFF for place in range(256))
    return header, (pattern * (payload_bytes // 256 + 1))[:payload_bytes]


class RigHub:
    """Greets everybody (with a token, if one is set), answers a few ops, hands out the frames put into `frames`."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.hellos: list[Hello] = []
        self.messages: list[object] = []
        self.connections: list[Connection] = []
        self.ended: list[Connection] = []
        self.frames: deque[tuple[bytes, bytes]] = deque()
        self.supply: Callable[[], tuple[bytes, bytes] | None] | None = None
        self.taken = 0
        self.done = 0
        self.on_message: Callable[[Connection, object], None] | None = None
        self._changed = asyncio.Event()

    def hello(self, connection: Connection, message: Hello) -> Welcome:
        self.hellos.append(message)
        if self.token is not None and message.token != self.token:
            raise NotAllowedError("wrong token", code=ErrorCode.BAD_TOKEN, field="token")
        if message.version < 1:
            raise NotAllowedError("version 0 is not spoken", code=ErrorCode.UNSUPPORTED_VERSION, field="version")
        self.connections.append(connection)
        self._changed.set()
        return WELCOME

    def message(self, connection: Connection, message: object) -> None:
        self.messages.append(message)
        self._changed.set()
        if self.on_message is not None:
            self.on_message(connection, message)
        elif isinstance(message, Ping):
            connection.send(Pong(id=message.id))
        elif isinstance(message, Set):
            connection.send(Ok(id=message.id))
        elif isinstance(message, Run):
            connection.send(Accepted(id=message.id, request=1))
        elif isinstance(message, Subscribe):
            raise UnknownNameError("no stream 'nope'", code=ErrorCode.UNKNOWN_STREAM, field="stream", value="nope")
        elif isinstance(message, Stats):
            raise ZeroDivisionError("a bug in the hub")

    def gone(self, connection: Connection) -> None:
        self.ended.append(connection)
        self._changed.set()

    def next_frame(self, connection: Connection) -> OutgoingFrame | None:
        item = self.frames.popleft() if self.frames else self.supply() if self.supply is not None else None
        if item is None:
            return None
        self.taken += 1
        self._changed.set()
        return OutgoingFrame(item[0], memoryview(item[1]), self._count_done)

    def _count_done(self) -> None:
        self.done += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class TcpClient:
    kind = "tcp"

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str, **_: object) -> "TcpClient":
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    async def send_bytes(self, message: bytes) -> None:
        self.writer.write(struct.pack("<I", len(message)) + message)
        await self.writer.drain()

    async def receive(self) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            (length,) = struct.unpack("<I", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)

    async def closed(self) -> int | None:
        """Wait for the end of the stream; TCP has no close code."""
        async with asyncio.timeout(LIMIT_S):
            try:
                rest = await self.reader.read()
            except ConnectionError:
                rest = b""
        assert rest == b"", rest[:100]
        await self.close()
        return None

    def pause(self) -> None:
        """Read nothing more from the socket."""
        self.writer.transport.pause_reading()

    def resume(self) -> None:
        self.writer.transport.resume_reading()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


class WebSocketClient:
    kind = "websocket"

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    @classmethod
    async def connect(cls, address: str, **options: object) -> "WebSocketClient":
        options = {"subprotocols": ["texbridge.v1"], "compression": None, "max_size": None, "max_queue": 1} | options
        # The library's client can't finish a close over messages that it holds unread: don't wait for it long.
        options |= {"proxy": None, "ping_interval": None, "close_timeout": 0.2}
        return cls(await connect(f"ws://{address}/link", **options))  # type: ignore[arg-type]

    async def send_bytes(self, message: bytes) -> None:
        await self.socket.send(message)

    async def receive(self) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            message = await self.socket.recv()
        assert isinstance(message, bytes)
        return message

    async def closed(self) -> int | None:
        async with asyncio.timeout(LIMIT_S):
            await self.socket.wait_closed()
        return self.socket.close_code

    def pause(self) -> None:
        """Read nothing more from the socket."""
        self.socket.transport.pause_reading()

    def resume(self) -> None:
        self.socket.transport.resume_reading()

    async def close(self) -> None:
        await self.socket.close()


Client = TcpClient | WebSocketClient
DOORS = {"tcp": (TcpDoor, TcpClient), "websocket": (WebSocketDoor, WebSocketClient)}


async def send(client: Client, /, **fields: object) -> None:
    await client.send_bytes(msgpack.packb(fields))


async def receive(client: Client) -> dict:
    return msgpack.unpackb(await client.receive())


async def say_hello(client: Client, /, **fields: object) -> dict:
    await send(client, **({"op": "hello", "version": 1, "client": "test", "id": 1} | fields))
    return await receive(client)


class Rig:
    """A door of one kind with its hub, and the clients that were opened on it; closes everything at the end."""

    def __init__(
        self, kind: str, limits: LinkLimits | None = None, token: str | None = None, **options: object
    ) -> None:
        self.door_class, self.client_class = DOORS[kind]
        self.kind = kind
        self.hub = RigHub(token)
        self.door = self.door_class(self.hub, limits, **options)  # type: ignore[arg-type]
        self.clients: list[Client] = []

    async def __aenter__(self) -> "Rig":
        await self.door.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.close()
        await self.door.close()

    async def connect(self, *, greet: bool = True, hello: dict | None = None, **options: object) -> Client:
        client = await self.client_class.connect(self.door.address, **options)
        self.clients.append(client)
        if greet:
            answer = await say_hello(client, **(hello or {}))
            assert answer["op"] == "welcome", answer
        return client


def run(test: Callable[[], object]) -> None:
    """Run an async test with a limit on the whole of it."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()  # type: ignore[misc]

    asyncio.run(limited())
