"""Records a real ComfyUI: runs named cases against its URL and writes what went out and what came back.

    python tests/record_comfyui.py http://127.0.0.1:8188             all cases and the object_info
    python tests/record_comfyui.py http://127.0.0.1:8188 cached      one case
    python tests/record_comfyui.py http://127.0.0.1:8188 --list      their names

Start ComfyUI for it with `--cpu --disable-api-nodes --database-url sqlite:///:memory:` and OMP_NUM_THREADS=1, in
folders of its own. `worker_death` leaves it without a worker: it is run last, and only when named.

What is written is facts alone: ids and times are replaced by counted ones, tracebacks and tooltips left out, paths
shortened. Start ComfyUI anew for a full recording, so that prompt numbers begin at 0.
"""

import argparse
import asyncio
import base64
import io
import json
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from PIL import Image

FOLDER = Path(__file__).parent / "recordings"
KEPT_HEADERS = ("content-type", "content-disposition", "etag", "connection", "upgrade", "sec-websocket-extensions")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
PREVIEW_TAG = re.compile(r"_temp_[a-z]{5}_")
PATIENCE_S = 60
INTO_NODE_S = 0.05
"""A node says that it runs a moment before it does."""


class Recorder:
    """Speaks to a ComfyUI and writes down both sides, in the order seen here."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.lines: list[dict] = [{"dir": "note", "text": "recorded from ComfyUI v0.3.64", "order": "strict"}]
        self._sockets: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self._readers: list[asyncio.Task] = []
        self._arrived = asyncio.Condition()
        self._requests = 0
        self._clients = 0
        self.session = aiohttp.ClientSession()

    def _write(self, **line: object) -> None:
        self.lines.append(line)

    def note(self, text: str) -> None:
        self._write(dir="note", text=text)

    async def http(self, method: str, path: str, body: object = None, **more: object) -> dict:
        """One request and its answer. `body` is JSON, or bytes; `form` a list of parts; `headers`."""
        self._requests += 1
        headers = dict(more.get("headers", {}))
        line: dict = {"dir": "send", "channel": "http", "id": self._requests, "method": method, "path": path}
        line["headers"] = dict(headers)
        data: object = None
        if "form" in more:
            line["form"] = more["form"]
            data = aiohttp.FormData()
            for part in more["form"]:
                value = base64.b64decode(part["b64"]) if "b64" in part else part["value"]
                data.add_field(
                    part["name"], value, filename=part.get("filename"), content_type=part.get("content_type")
                )
        elif isinstance(body, bytes):
            line["b64"] = base64.b64encode(body).decode()
            data = body
        elif body is not None:
            line["json"] = body
            data = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        self._write(**line)
        skip = () if "form" in more or "Content-Type" in headers else ("Content-Type",)
        async with self.session.request(
            method, self.url + path, data=data, headers=headers, skip_auto_headers=skip
        ) as answer:
            content = await answer.read()
            got: dict = {"dir": "recv", "channel": "http", "id": line["id"], "status": answer.status}
            got["headers"] = {k.lower(): v for k, v in answer.headers.items() if k.lower() in KEPT_HEADERS}
        kind = got["headers"].get("content-type", "")
        if not content:
            got["body_len"] = 0
        elif "json" in kind:
            got["json"] = json.loads(content)
        elif "text" in kind:
            got["text"] = content.decode()
        else:
            got["b64"] = base64.b64encode(content).decode()
        self._write(**got)
        return got.get("json", {})

    async def upload(self, name: str, data: bytes, **fields: str) -> dict:
        """POST /upload/image."""
        form: list[dict] = [
            {"name": "image", "filename": name, "content_type": "image/png", "b64": base64.b64encode(data).decode()}
        ]
        form += [{"name": key, "filename": None, "content_type": None, "value": value} for key, value in fields.items()]
        return await self.http("POST", "/upload/image", form=form)

    async def connect(self, conn: str, client_id: str | None = None, anonymous: bool = False) -> str:
        """Open a WebSocket and wait for its first message; gives its client id."""
        if client_id is None and not anonymous:
            self._clients += 1
            client_id = f"{self._clients:032x}"
        path = "/ws" if anonymous else f"/ws?clientId={client_id}"
        self._write(dir="send", channel="ws", conn=conn, event="open", path=path)
        socket = await self.session.ws_connect(self.url + path, max_msg_size=0)
        self._sockets[conn] = socket
        headers = {k.lower(): v for k, v in socket._response.headers.items() if k.lower() in KEPT_HEADERS}
        self._write(dir="recv", channel="ws", conn=conn, event="open", status=101, headers=headers)
        self._readers.append(asyncio.create_task(self._read(conn, socket)))
        first = await self.wait(conn, lambda line: line.get("json", {}).get("type") == "status")
        return first["json"]["data"]["sid"]

    async def say(self, conn: str, message: object) -> None:
        """Send a text message: JSON, or a str as it is."""
        if isinstance(message, str):
            self._write(dir="send", channel="ws", conn=conn, event="text", text=message)
            await self._sockets[conn].send_str(message)
        else:
            self._write(dir="send", channel="ws", conn=conn, event="text", json=message)
            await self._sockets[conn].send_json(message)

    async def close(self, conn: str) -> None:
        self._write(dir="send", channel="ws", conn=conn, event="close")
        await self._sockets.pop(conn).close()

    async def abort(self, conn: str) -> None:
        """Cut the TCP connection."""
        self._write(dir="send", channel="ws", conn=conn, event="abort_tcp")
        self._sockets.pop(conn)._response.connection.transport.abort()

    async def wait(self, conn: str, predicate: Callable[[dict], bool], since: int = 0) -> dict:
        """The first message on a connection, from line `since` on, that a predicate holds for."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            while True:
                for line in self.lines[since:]:
                    if line.get("conn") == conn and line["dir"] == "recv" and predicate(line):
                        return line
                await self._arrived.wait()

    async def prompt(self, graph: dict, client_id: str | None = None, **more: object) -> str:
        """POST /prompt; gives the prompt id ("" when it was refused)."""
        body = {"prompt": graph, **more}
        if client_id is not None:
            body["client_id"] = client_id
        return (await self.http("POST", "/prompt", body)).get("prompt_id", "")

    async def run(self, graph: dict, client_id: str, conn: str = "A", **more: object) -> str:
        """POST /prompt and wait for its end."""
        since = len(self.lines)
        prompt_id = await self.prompt(graph, client_id, **more)
        if prompt_id:
            await self.ended(conn, prompt_id, since)
        return prompt_id

    async def ended(self, conn: str, prompt_id: str, since: int = 0) -> None:
        await self.wait(conn, is_event("executing", prompt_id=prompt_id, node=None), since)

    async def at_node(self, conn: str, prompt_id: str, node: str) -> None:
        """Wait until a node runs and is past its own look at interrupts."""
        await self.wait(conn, is_event("executing", prompt_id=prompt_id, node=node))
        await asyncio.sleep(INTO_NODE_S)  # ComfyUI tells that a node runs a moment before it does

    async def settle(self, seconds: float = 1.0) -> None:
        """Let things happen that nobody is told of."""
        self._write(dir="note", text="settle", settle_s=seconds)
        await asyncio.sleep(seconds)

    async def _read(self, conn: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            line: dict = {"dir": "recv", "channel": "ws", "conn": conn}
            if message.type is aiohttp.WSMsgType.TEXT:
                line |= {"event": "text", "json": json.loads(message.data)}
            elif message.type is aiohttp.WSMsgType.BINARY:
                line |= {"event": "binary", "b64": base64.b64encode(message.data).decode()}
            async with self._arrived:
                self._write(**line)
                self._arrived.notify_all()

    async def end(self) -> None:
        for conn in list(self._sockets):
            await self.close(conn)
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.session.close()


def is_event(kind: str, **data: object) -> Callable[[dict], bool]:
    """A predicate: a JSON message of this type whose data has these values."""

    def check(line: dict) -> bool:
        message = line.get("json", {})
        return message.get("type") == kind and all(
            key in message["data"] and message["data"][key] == value for key, value in data.items()
        )

    return check


def reduce(lines: list[dict]) -> list[dict]:
    """A recording with counted ids, no clock, no tracebacks, no paths of the machine."""
    ids: dict[str, str] = {}
    tags: dict[str, str] = {}

    def text(value: str) -> str:
        value = UUID.sub(lambda m: ids.setdefault(m[0], f"00000000-0000-4000-8000-{len(ids) + 1:012x}"), value)
        value = HEX.sub(lambda m: ids.setdefault(m[0], f"{len(ids) + 1:032x}"), value)
        value = PREVIEW_TAG.sub(lambda m: tags.setdefault(m[0], f"_temp_aaaa{'abcdefghijklmnop'[len(tags)]}_"), value)
        return re.sub(r"'[^']*/(input|temp|output)/", r"'/comfyui/\1/", value)

    def walk(value: object, field: str = "") -> object:
        if field == "timestamp":
            return 0
        if field == "traceback":
            return ["(removed)"]
        if field == "etag":
            return "(some)"
        if field == "argv":
            return ["main.py"]
        if field.endswith("_version") and field != "comfyui_version" and value is not None:
            return "(some)"
        if field.startswith(("ram_", "vram_", "torch_vram_")):
            return 0
        if field in ("current_inputs",) and isinstance(value, dict):
            return {
                k: [v if not str(v).startswith("tensor(") else "tensor(...)" for v in vs] for k, vs in value.items()
            }
        if field == "b64" and isinstance(value, str):
            return _reduce_binary(value, text)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, dict):
            return {text(key): walk(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return value

    return [walk(line) for line in lines]  # type: ignore[misc]


def _reduce_binary(value: str, text: Callable[[str], str]) -> str:
    """A frame of type 4 has ids in its header, of the same length as the counted ones."""
    data = base64.b64decode(value)
    if data[:4] != b"\0\0\0\4":
        return value
    length = int.from_bytes(data[4:8], "big")
    header = text(data[8 : 8 + length].decode()).encode()
    return base64.b64encode(data[:8] + header + data[8 + length :]).decode()


def reduce_object_info(info: dict, names: list[str]) -> str:
    """object_info of these nodes without tooltips, descriptions and lists of files, one node a line."""
    lines = []
    for name in sorted(names):
        entry = json.loads(json.dumps(info[name]))
        entry["description"] = ""
        entry.pop("output_tooltips", None)
        for group in entry["input"].values():
            for spec in group.values():
                if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict):
                    spec[1].pop("tooltip", None)
                    if "image_upload" in spec[1] and isinstance(spec[0], list):
                        spec[0] = []
        lines.append(f"{json.dumps(name)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def picture(seed: int = 1, size: int = 64, mode: str = "RGB") -> bytes:
    """A PNG with smooth ramps and a few edges, small in bytes."""
    bands = []
    for band in range(len(mode)):
        values = [
            (x * (3 + band) + y * (2 + seed) + (90 if (x // 16 + y // 16 + band) % 2 else 0)) % 256
            for y in range(size)
            for x in range(size)
        ]
        bands.append(Image.frombytes("L", (size, size), bytes(values)))
    buffer = io.BytesIO()
    Image.merge(mode, bands).save(buffer, "PNG")
    return buffer.getvalue()


Case = Callable[[Recorder], Awaitable[None]]


async def record(url: str, name: str, case: Case) -> None:
    """Run one case and write its recording."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/free", json={"free_memory": True}):
        await asyncio.sleep(0.5)  # done by the worker at its next look, which nobody is told of
    recorder = Recorder(url)
    try:
        await case(recorder)
    finally:
        await recorder.end()
    path = FOLDER / f"{name}.jsonl"
    text = "".join(json.dumps(line) + "\n" for line in reduce(recorder.lines))
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(recorder.lines)} lines, {len(text)} bytes")


async def record_object_info(url: str) -> None:
    """Write the two object_info files anew, for the nodes that they already have."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/object_info") as answer:
        info = await answer.json()
    for name in ("object_info.json", "object_info_models.json"):
        path = FOLDER / name
        path.write_text(reduce_object_info(info, list(json.loads(path.read_text()))), encoding="utf-8", newline="\n")
        print(path.name)


async def main() -> int:
    from comfyui_cases import CASES, LAST

    parser = argparse.ArgumentParser(description="Record a real ComfyUI.")
    parser.add_argument("url")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    url = options.url.rstrip("/")
    for name in options.names or [name for name in CASES if name not in LAST]:
        await record(url, name, CASES[name])
    if not options.names:
        await record_object_info(url)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
