"""Plays a recording's sends to a server, in order, and compares every answer with the recorded one.

A recording is JSON lines: `{dir: send|recv|note, channel: http|ws, id | conn, ...}` (see tests/recordings/README.md).
The answers of one connection must come in the recorded order; how HTTP answers and the messages of several sockets
interleave is up to the network and isn't compared.

Against the embedded server a prompt is stepped: its worker stands still before each node until the player needs an
event that has not come, so that a request meets a running prompt at the very node where the recording has it,
however slow the machine is. Against a real ComfyUI the timing is the server's own.
"""

import asyncio
import base64
import contextlib
import json
import threading
from collections import deque
from pathlib import Path

import aiohttp
from comfy_comparison import Names, answer_differences, binary_differences, differences

from bridge.embedded import EmbeddedServer

PATIENCE_S = 30
"""How long an answer may take before the player gives up."""
PAUSE_S = 0.9
"""A recorder that waited this long (by `t`, where lines have it) wanted everything before to be over."""


class Gate:
    """Holds the worker before each node until it is let through."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._permits = 0
        self._open = False
        self.holds = False

    def __call__(self, prompt_id: str, node_id: str) -> None:
        with self._changed:
            self.holds = True
            self._changed.wait_for(lambda: self._open or self._permits)
            self._permits = max(0, self._permits - 1)
            self.holds = False

    def let_one_through(self) -> None:
        with self._changed:
            self._permits += 1
            self.holds = False
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()


class EmbeddedTarget:
    """A fresh embedded server, stepped."""

    def __init__(self) -> None:
        self._gate = Gate()
        self._server = EmbeddedServer(before_node=self._gate)

    async def __aenter__(self) -> "EmbeddedTarget":
        await self._server.start()
        self.url = self._server.url
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gate.open()
        await self._server.close()

    async def quiet(self) -> None:
        """Wait until the worker stands before a node or rests, and everything told is on the wire."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self._server.resting or (self._gate.holds and self._server.all_sent)):  # noqa: ASYNC110
                await asyncio.sleep(0.0005)

    async def into_node(self) -> None:
        """Wait until the node that is said to run is past its own look at interrupts."""
        await self.quiet()

    async def advance(self) -> bool:
        """Let the worker do one more node; False when it rests."""
        if not self._gate.holds:
            return False
        self._gate.let_one_through()
        await self.quiet()
        return True

    async def pause(self, seconds: float) -> None:
        """Let the worker do all that it has."""
        await self.quiet()
        while await self.advance():
            pass

    async def kill(self) -> None:
        self._gate.open()
        await self._server.abort()


class RealTarget:
    """A real ComfyUI that somebody started, and that nobody else uses meanwhile."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    async def __aenter__(self) -> "RealTarget":
        await self._wait_until_idle()
        # Empty its cache: the last recording may have ended with this one's first prompt.
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/free", json={"free_memory": True}):
            await asyncio.sleep(0.5)  # done by the worker at its next look, which nobody is told of
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def quiet(self) -> None:
        """A real ComfyUI tells nobody when it rests: nothing is promised, a moment is left."""
        await asyncio.sleep(0.001)

    async def into_node(self) -> None:
        """A node says that it runs a moment before it does."""
        await asyncio.sleep(0.05)

    async def advance(self) -> bool:
        await asyncio.sleep(0.01)
        return True

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._wait_until_idle()

    async def kill(self) -> None:
        raise NotImplementedError("a recording that kills its server is not for a real ComfyUI")

    async def _wait_until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/prompt") as answer:
                    if (await answer.json())["exec_info"]["queue_remaining"] == 0:
                        return
                await asyncio.sleep(0.1)


class Connection:
    """One WebSocket of the recording, and what came on it and was not yet compared."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: deque[aiohttp.WSMessage] = deque()
        self.closed: int | None = None
        self._pongs = 0
        self._arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            message = await self.socket.receive()
            if message.type is aiohttp.WSMsgType.PONG:
                self._pongs += 1
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self.messages.append(message)
            else:
                if message.type is aiohttp.WSMsgType.CLOSE:
                    await self.socket.close()
                self.closed = self.socket.close_code or 1006
            self._arrived.set()
            if self.closed is not None:
                return

    async def wait(self, timeout_s: float) -> None:
        self._arrived.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()

    async def sync(self) -> None:
        """Wait until all that the server wrote before now has arrived."""
        if self.closed is not None:
            return
        before = self._pongs
        try:
            await self.socket.ping()
        except ConnectionError:
            return
        async with asyncio.timeout(PATIENCE_S):
            while self._pongs == before and self.closed is None:
                await self.wait(1)

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.socket.close()

    async def abort(self) -> None:
        """Cut the TCP connection."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        transport = self.socket.get_extra_info("socket") and self.socket._response.connection.transport
        transport.abort()
        await self.socket.close()


class Player:
    """Plays one recording. `loose` lets `status` events float among the others: they come from two threads, and a
    recorder that didn't wait between its requests caught them in an order that holds for that run alone.
    """

    def __init__(self, target: EmbeddedTarget | RealTarget, loose: bool) -> None:
        self._target = target
        self._loose = loose
        self._names = Names()
        self._connections: dict[str, Connection] = {}
        self._answers: dict[int, asyncio.Task] = {}
        self._found: list[str] = []

    async def play(self, lines: list[dict]) -> list[str]:
        """Every difference, one line each."""
        last_t = 0.0
        async with aiohttp.ClientSession(max_field_size=65536) as session:
            try:
                for number, line in enumerate(lines, 1):
                    if line["dir"] != "note" and "t" in line:
                        if line["dir"] == "send" and line["t"] - last_t > PAUSE_S:
                            await self._target.pause(line["t"] - last_t)
                        last_t = line["t"]
                    for difference in await self._step(session, line):
                        self._found.append(f"line {number}: {difference}")
                    if len(self._found) > 20:
                        break
                else:
                    await self._end()
            finally:
                for task in self._answers.values():
                    task.cancel()
                await asyncio.gather(*self._answers.values(), return_exceptions=True)
                for connection in self._connections.values():
                    await connection.close()
        return self._found

    async def _step(self, session: aiohttp.ClientSession, line: dict) -> list[str]:
        if line["dir"] == "note":
            if "settle_s" in line:
                await self._target.pause(line["settle_s"])
            if "SIGKILL" in line["text"]:
                await self._target.kill()
            return []
        if line["channel"] == "http":
            if line["dir"] == "send":
                await (self._target.into_node() if line["path"] == "/interrupt" else self._target.quiet())
                self._answers[line["id"]] = asyncio.create_task(self._request(session, line))
                return []
            return await self._compare_answer(line)
        if line["dir"] == "send":
            return await self._send(session, line)
        return await self._compare_message(line)

    async def _request(self, session: aiohttp.ClientSession, line: dict) -> tuple[int, dict, bytes]:
        url = self._target.url + self._names.to_actual(line["path"])
        body: object = None
        headers = dict(line["headers"])
        if "json" in line:
            body = self._names.to_actual(json.dumps(line["json"]))
            headers.setdefault("Content-Type", "application/json")
        elif "b64" in line:
            body = self._names.to_actual(base64.b64decode(line["b64"]).decode())
        elif "form" in line:
            body = aiohttp.FormData()
            for part in line["form"]:
                value = base64.b64decode(part["b64"]) if "b64" in part else part["value"]
                body.add_field(
                    part["name"], value, filename=part.get("filename"), content_type=part.get("content_type")
                )
        skip = () if "Content-Type" in headers else ("Content-Type",)
        skip = () if "form" in line else skip
        async with session.request(line["method"], url, data=body, headers=headers, skip_auto_headers=skip) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read()

    async def _compare_answer(self, line: dict) -> list[str]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, headers, body = await self._answers.pop(line["id"])
        except aiohttp.ClientConnectionError as error:
            return [] if "error" in line else [f"no answer: {error}"]
        await self._target.quiet()
        if "error" in line:
            return [f"{line['error']} is now status {status}"]
        return answer_differences(line, status, headers, body, self._names)

    async def _send(self, session: aiohttp.ClientSession, line: dict) -> list[str]:
        await self._target.quiet()
        conn = line["conn"]
        if line["event"] == "open":
            url = self._target.url + self._names.to_actual(line["path"])
            socket = await session.ws_connect(url, max_msg_size=0, autoping=False, compress=0)
            self._connections[conn] = Connection(socket)
            return []
        connection = self._connections[conn]
        if line["event"] == "text":
            text = line["text"] if "text" in line else json.dumps(line["json"])
            await connection.socket.send_str(text)
            await connection.sync()
        elif line["event"] == "binary":
            await connection.socket.send_bytes(base64.b64decode(line["b64"]))
        elif line["event"] == "abort_tcp":
            await connection.abort()
            connection.closed = 1006
        else:
            found = await self._leftovers(conn)
            await connection.close()
            connection.closed = connection.socket.close_code
            return found
        return []

    async def _compare_message(self, line: dict) -> list[str]:
        connection = self._connections[line["conn"]]
        if line["event"] == "open":
            headers = {name.lower(): value for name, value in connection.socket._response.headers.items()}
            found = [] if "sec-websocket-extensions" not in headers else ["an extension that nobody offered"]
            return found + answer_differences(line, connection.socket._response.status, headers, b"", self._names)
        if line["event"] == "close":
            if line.get("code") is not None:
                for _ in range(50):
                    if connection.closed is None:
                        await connection.wait(0.1)
                if connection.closed != line["code"]:
                    return [f"close {line['code']} is now {connection.closed}"]
            return []
        message = await self._next(connection, line)
        if message is None:
            return [f"nothing came for {str(line.get('json') or 'a binary message')[:300]}"]
        if line["event"] == "binary":
            if message.type is not aiohttp.WSMsgType.BINARY:
                return [f"a binary message is now {message.data}"]
            return binary_differences(base64.b64decode(line["b64"]), message.data, self._names)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return [f"{line['json']} is now binary"]
        return differences(line["json"], json.loads(message.data), self._names)

    async def _next(self, connection: Connection, line: dict) -> aiohttp.WSMessage | None:
        """The next message to compare with a line; the worker goes on as far as it must to make one."""
        wants_status = is_status(line.get("json"))
        for _ in range(PATIENCE_S * 100):
            for message in list(connection.messages):
                if self._loose and wants_status != is_status(message):
                    continue
                connection.messages.remove(message)
                return message
            await self._target.quiet()
            await connection.sync()
            if not any(not self._loose or wants_status == is_status(message) for message in connection.messages):
                if not await self._target.advance():
                    return None
                await connection.sync()
        return None

    async def _leftovers(self, conn: str) -> list[str]:
        """Messages that the recording doesn't have."""
        connection = self._connections[conn]
        await self._target.quiet()
        await connection.sync()
        left = list(connection.messages)
        connection.messages.clear()
        return [f"{conn} also got {message.data[:300]!r}" for message in left]

    async def _end(self) -> None:
        await self._target.pause(0.5)
        for conn in self._connections:
            self._found += await self._leftovers(conn)


def is_status(message: object) -> bool:
    """Whether a message, or its JSON, is a `status` without a session id: the broadcast one."""
    if isinstance(message, aiohttp.WSMessage):
        return (
            message.type is aiohttp.WSMsgType.TEXT
            and message.data.startswith('{"type": "status"')
            and ('"sid"' not in message.data)
        )
    return isinstance(message, dict) and message.get("type") == "status" and "sid" not in message["data"]


def load(path: Path) -> list[dict]:
    """The lines of a recording."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def is_strict(lines: list[dict]) -> bool:
    """Whether the recorder waited between its requests, so that even `status` events have a fixed place."""
    return lines[0]["dir"] == "note" and lines[0].get("order") == "strict"


async def play(lines: list[dict], target: EmbeddedTarget | RealTarget) -> list[str]:
    """Play a recording to a target that is entered and left here; gives the differences."""
    async with target:
        return await Player(target, loose=not is_strict(lines)).play(lines)
