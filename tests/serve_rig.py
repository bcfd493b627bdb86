"""The bridge and a ComfyUI as processes of their own, and an engine that knows the wire by its bytes alone.

Nothing of the bridge is imported here: messages are packed by msgpack, headers read by struct, as the pages say.
"""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

import msgpack
from aiohttp import ClientSession
from ports import ReservedPort
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LIMIT_S = 60.0
REPOSITORY = Path(__file__).parents[1]
REAL_START = os.environ.get("COMFYUI_START", "")
"""The command line that starts a real ComfyUI, with `{port}` in it; empty where there is none."""
HEADER = struct.Struct("<4sHHIIQIBBHIIIIQII")
HELD, BOTTOM_LEFT, LAST_OF_SET = 4, 8, 64
DOORS = ("--osc", "127.0.0.1:0", "--link", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")


def clean_environment():
    """Ours without what would configure a bridge, and with this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TEXBRIDGE_")}
    paths = [str(REPOSITORY), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


class Child:
    """A process whose lines are read all the time; the last ones are shown when something is waited for in vain."""

    def __init__(self, *command, folder=None):
        self.command = command
        self.folder = folder
        self.process = None
        self.lines = deque(maxlen=200)
        self._reader = None
        self._moved = asyncio.Event()

    async def start(self, ready):
        """Start it, and wait for the line that holds `ready`; gives that line."""
        self.lines.clear()
        options = {} if sys.platform == "win32" else {"start_new_session": True}
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            cwd=self.folder,
            limit=1 << 20,
            **options,
        )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(LIMIT_S):
            while not (found := [line for line in self.lines if ready in line]):
                assert not self._reader.done(), self._story("ended before it was ready")
                self._moved.clear()
                await self._moved.wait()
        return found[0]

    async def _read(self):
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            self._moved.set()
        self._moved.set()

    def _story(self, what):
        return f"{shlex.join(map(str, self.command))} {what}:\n" + "\n".join(list(self.lines)[-30:])

    def send(self, number):
        """Send a signal to it."""
        self.process.send_signal(number)

    async def ended(self, limit_s=LIMIT_S):
        """Wait for its end; gives the exit code."""
        try:
            async with asyncio.timeout(limit_s):
                code = await self.process.wait()
        except TimeoutError:
            raise AssertionError(self._story(f"did not end in {limit_s:g} s")) from None
        await self._forget()
        return code

    async def kill(self):
        """SIGKILL, and wait until it is gone. One that is gone already is fine."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            await self._forget()

    async def _forget(self):
        await asyncio.gather(self._reader, return_exceptions=True)
        self.process._transport.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.kill()


async def queue_is_empty(url):
    """Whether a ComfyUI has nothing waiting and nothing running."""
    async with ClientSession() as session, session.get(f"{url}/prompt") as answer:
        return not (await answer.json())["exec_info"]["queue_remaining"]


class Comfy(Child):
    """A ComfyUI that can be killed and started again at the same port: the embedded one, or what `command` starts.

    `command` is a command line with `{port}` in it. With `started` false it waits for `start`. What a prompt takes may
    be less from the second start on: who is to be killed with work in hand needs some, however late that is done.
    """

    def __init__(self, *, port=0, step_delay_ms=0.0, later_delay_ms=None, command=None, started=True):
        super().__init__()
        self.port = port
        self._reserved = None
        self._delay, self._later_delay = step_delay_ms, later_delay_ms
        self._real = command
        self._started = started

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def start(self):
        if self._real:
            self.command = shlex.split(self._real.format(port=self.port))
            await super().start("To see the GUI go to")
            return
        if not self.port:
            self._reserved = ReservedPort()
            self.port = self._reserved.port
        delay = ("--step-delay-ms", str(self._delay))
        self._delay = self._delay if self._later_delay is None else self._later_delay
        self.command = (sys.executable, "-m", "bridge", "embedded", "--port", str(self.port), *delay)
        line = await super().start("embedded ComfyUI at ")
        self.port = int(line.split("embedded ComfyUI at ")[1].split()[0].rsplit(":", 1)[1])

    async def __aenter__(self):
        if self._started:
            try:
                await self.start()
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *_):
        await self.kill()
        if self._reserved is not None:
            self._reserved.close()


class Serve(Child):
    """`texbridge serve` on free ports. `osc`, `link`, `tcp`, `http` are its addresses once it runs."""

    def __init__(self, *options, config=None):
        super().__init__()
        self._options = options
        self._config = config
        self._folder = None

    async def __aenter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name  # no texbridge.toml of somebody else's
        options = list(self._options)
        if self._config is not None:
            path = Path(self.folder) / "serve.toml"
            path.write_text(self._config, encoding="utf-8")
            options += ["--config", str(path)]
        self.command = (sys.executable, "-m", "bridge", "serve", "--json", *DOORS, *options)
        try:
            told = json.loads(await self.start('{"ready": true'))
        except BaseException:
            await self.__aexit__()
            raise
        self.osc, self.link, self.tcp, self.http = (told[door] for door in ("osc", "link", "tcp", "http"))
        return self

    async def __aexit__(self, *_):
        await self.kill()
        self._folder.cleanup()

    async def get(self, path):
        """(status, body) of an HTTP GET."""
        host, _, port = self.http.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.timeout(LIMIT_S):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.http}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    async def health(self):
        status, body = await self.get("/healthz")
        assert status == 200, body
        return json.loads(body)

    async def stop(self):
        """SIGTERM (Ctrl+C where there is none); gives the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()


class Frame(NamedTuple):
    """A frame as it came: the header's fields, and the payload."""

    magic: bytes
    header_bytes: int
    flags: int
    stream: int
    number: int
    request: int
    index: int
    output: int
    mips: int
    format: int
    width: int
    height: int
    row_pitch: int
    payload_bytes: int
    client_time: int
    comfy_us: int
    bridge_us: int
    payload: bytes

    @property
    def held(self):
        return bool(self.flags & HELD)


class _TcpWire:
    async def open(self, address):
        host, _, port = address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))

    async def send(self, message):
        self._writer.write(struct.pack("<I", len(message)) + message)
        await self._writer.drain()

    async def messages(self):
        try:
            while True:
                (length,) = struct.unpack("<I", await self._reader.readexactly(4))
                yield await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def close(self):
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class _WebSocketWire:
    async def open(self, address):
        options = {"subprotocols": ["texbridge.v1"], "compression": None, "max_size": None, "proxy": None}
        self._socket = await connect(f"ws://{address}/link", close_timeout=1.0, **options)

    async def send(self, message):
        await self._socket.send(message)

    async def messages(self):
        try:
            async for message in self._socket:
                assert isinstance(message, bytes)
                yield message
        except ConnectionClosed:
            return

    async def close(self):
        await self._socket.close()


class Engine:
    """A client of the engine link over `tcp` or `websocket`, which keeps all that comes.

    `finished` holds every `finished` message by request; `frames` the frames by stream number, held ones too. Each
    set is acked as it comes, unless `acks` is false.
    """

    def __init__(self, kind, address, *, acks=True, keep=None):
        self._wire = {"tcp": _TcpWire, "websocket": _WebSocketWire}[kind]()
        self._address = address
        self._acks = acks
        self._keep = keep
        self._next_id = 0
        self._reader = None
        self._moved = asyncio.Event()
        self.answers = {}
        self.accepted = []
        self.finished = {}
        self.frames = {}
        self.others = []
        self.states = []
        self.end = None

    async def __aenter__(self):
        async with asyncio.timeout(LIMIT_S):
            await self._wire.open(self._address)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._wire.close()

    async def hello(self, **fields):
        return await self.ask("hello", version=1, client="a test", **fields)

    async def tell(self, op, **fields):
        """Send a message that is not answered."""
        await self._wire.send(msgpack.packb({"op": op, **fields}))

    async def ask(self, op, **fields):
        """Send a message and give its answer, an `error` too."""
        self._next_id += 1
        number = self._next_id
        await self.tell(op, id=number, **fields)
        await self.until(lambda: number in self.answers, f"answer to {op}")
        return self.answers.pop(number)

    async def run(self, stream, **fields):
        """Ask for a picture; gives the request's number."""
        answer = await self.ask("run", stream=stream, **fields)
        assert answer["op"] == "accepted", answer
        return answer["request"]

    async def until(self, condition, what="a change", limit_s=LIMIT_S):
        """Wait for a condition, asked again after each message; gives its value."""
        try:
            async with asyncio.timeout(limit_s):
                while not (result := condition()):
                    if self._reader.done():
                        self._reader.result()
                        raise AssertionError(f"the link ended while waiting for {what}; its last word: {self.end}")
                    self._moved.clear()
                    await self._moved.wait()
                return result
        except TimeoutError:
            raise AssertionError(
                f"no {what} in {limit_s:g} s; accepted {len(self.accepted)}, {self.outcomes()}, states {self.states}"
            ) from None

    async def closed(self):
        """Wait until the bridge has ended the link; gives its fatal error, or None."""
        async with asyncio.timeout(LIMIT_S):
            await self._reader
        return self.end

    async def _read(self):
        async for message in self._wire.messages():
            if message[:2] == b"TX":
                await self._frame(message)
            else:
                self._message(msgpack.unpackb(message))
            self._moved.set()
        self._moved.set()

    async def _frame(self, message):
        frame = Frame(*HEADER.unpack_from(message), message[HEADER.size :])
        assert (frame.magic, frame.header_bytes) == (b"TXB1", HEADER.size), message[:64].hex()
        assert len(frame.payload) == frame.payload_bytes
        frames = self.frames.setdefault(frame.stream, [])
        frames.append(frame)
        if self._keep is not None:
            del frames[: -self._keep]
        if self._acks and not frame.held and frame.flags & LAST_OF_SET:
            await self.tell("ack", stream=frame.stream, number=frame.number)

    def _message(self, message):
        op = message["op"]
        if op == "accepted":
            self.accepted.append(message["request"])
        if op == "finished":
            self.finished.setdefault(message["request"], []).append(message)
        elif message.get("id") is not None:
            self.answers[message["id"]] = message
        elif op == "changed":
            if "state" in message:
                self.states.append((message["stream"], message["state"]))
        elif message.get("fatal"):
            self.end = message
        else:
            self.others.append(message)

    def new_frames(self, stream):
        """Frames of a stream that are results, in the order in which they came."""
        return [frame for frame in self.frames.get(stream, ()) if not frame.held]

    def frame_counts(self):
        """How many frames came, results and held ones."""
        frames = [frame for stream in self.frames.values() for frame in stream]
        held = sum(frame.held for frame in frames)
        return {"results": len(frames) - held, "held": held}

    def outcome(self, request):
        """The outcome of a request, None while it has none."""
        answers = self.finished.get(request)
        return None if answers is None else answers[0]["outcome"]

    def outcomes(self):
        """How many of our requests ended how."""
        return Counter(self.outcome(request) or "none" for request in set(self.accepted))

    def assert_one_answer_each(self):
        """Every accepted request has exactly one terminal answer."""
        assert len(set(self.accepted)) == len(self.accepted)
        for request in self.accepted:
            assert len(self.finished.get(request, ())) == 1, (request, self.finished.get(request))
        assert sum(self.outcomes().values()) == len(self.accepted)


async def polled(condition, limit_s=LIMIT_S):
    """Ask again and again, over a socket, until an awaitable condition holds: for what nobody tells of by itself."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.02)


def run(scenario, limit_s=110.0):
    """Run an async test with a limit on the whole of it."""

    async def limited():
        async with asyncio.timeout(limit_s):
            await scenario()

    asyncio.run(limited())
