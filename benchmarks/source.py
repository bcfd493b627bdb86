"""A ComfyUI whose pictures are ready: what the relay costs is measured without what making them costs.

It speaks the part of ComfyUI's HTTP and WebSocket that the bridge, the example script and a poller use. The number in
the workflow's `picture` says which picture (its hundred thousands) and which run (the rest). When a prompt came and
when its picture was handed to the socket is kept, in `time.perf_counter`, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from pictures import jpeg, photo, png  # noqa: E402 - the folder above comes first

RUNS = 100_000
KINDS = ("png512", "jpeg512", "pass512", "png1024", "jpeg1024", "pass1024", "raw512", "raw1024", "raw128")
"""Pictures by number. `pass`: a PNG with a chunk that nobody reads, as large as the mean of PNG and raw pixels: passed
through as it is, it costs what relaying costs without decoding. `raw`: what the node pack sends."""


def padded_png(data: bytes, size: int) -> bytes:
    """The same PNG with a private chunk before its end, `size` bytes in all."""
    spare = max(0, size - len(data) - 12)
    body = b"teXb" + bytes(spare)
    chunk = struct.pack(">I", spare) + body + struct.pack(">I", zlib.crc32(body))
    return data[:-12] + chunk + data[-12:]


def make_pictures() -> list[tuple[str, bytes]]:
    """(mime type, file) in the order of KINDS."""
    made = []
    for side in (512, 1024):
        array = photo(side, side)
        file = png(array)
        whole = (len(file) + side * side * 4) // 2
        made += [("image/png", file), ("image/jpeg", jpeg(array)), ("image/png", padded_png(file, whole))]
    return made + [("raw", photo(side, side).tobytes()) for side in (512, 1024, 128)]


def node_message(pixels: bytes, prompt_id: str, node_id: str) -> bytes:
    """The node pack's message of one square RGB picture (protocols/comfyui-nodes.md)."""
    side = round((len(pixels) / 3) ** 0.5)
    names = prompt_id.encode() + node_id.encode()
    header_bytes = -(-(48 + len(names)) // 16) * 16
    head = struct.pack(">I", 0x54584E31) + struct.pack("<HHHBB", header_bytes, 2, 3, 3, 0)
    head += struct.pack("<IIIIIII", 0, 1, side, side, side * 3, len(pixels), 0)
    head += struct.pack("<HHI", len(prompt_id), len(node_id), 0) + names
    return head.ljust(header_bytes, b"\0") + pixels


class Source:
    """The server. `/bench/stamps` gives and forgets what was noted, `/bench/settings` sets `delay_s` and `fps`."""

    def __init__(self) -> None:
        self.pictures = make_pictures()
        self.object_info = (ROOT / "workflows" / "object_info.json").read_bytes()
        self.sockets: dict[str, tuple[web.WebSocketResponse, list[bool]]] = {}
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.history: dict[str, Any] = {}
        self.stamps: dict[int, list[float]] = {}
        self.spans: list[list[float]] = []
        """When each prompt began and ended."""
        self.delay_s = 0.0
        self.count = 0

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=1 << 26)
        app.add_routes(
            [
                web.get("/ws", self._ws),
                web.post("/prompt", self._post),
                web.get("/prompt", self._prompt),
                web.get("/queue", self._queue),
                web.post("/queue", self._ok),
                web.post("/interrupt", self._ok),
                web.get("/history/{id}", self._history),
                web.get("/view", self._view),
                web.get("/object_info", self._info),
                web.get("/system_stats", self._stats),
                web.get("/features", self._features),
                web.get("/bench/stamps", self._stamps),
                web.get("/bench/spans", self._spans),
                web.post("/bench/settings", self._settings),
            ]
        )
        return app

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        client = request.query.get("clientId", "")
        metadata = [False]
        self.sockets[client] = (socket, metadata)
        await socket.send_json(
            {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client}}
        )
        async for message in socket:
            if message.type is WSMsgType.TEXT and "supports_preview_metadata" in message.data:
                metadata[0] = True
        self.sockets.pop(client, None)
        return socket

    async def _post(self, request: web.Request) -> web.Response:
        at = time.perf_counter()
        body = await request.json()
        self.count += 1
        body.setdefault("prompt_id", f"{self.count:032x}")
        body["at"] = at
        self.queue.put_nowait(body)
        return web.json_response({"prompt_id": body["prompt_id"], "number": self.count, "node_errors": {}})

    async def work(self) -> None:
        """One prompt after the other, for ever."""
        while True:
            body = await self.queue.get()
            prompt_id, prompt = body["prompt_id"], body["prompt"]
            picture = next(node for node in prompt.values() if node["class_type"] == "EmptyImage")
            number = int(picture["inputs"]["color"])
            saver = next(key for key, node in prompt.items() if node["class_type"] == "SaveImageWebsocket")
            kind, run = divmod(number, RUNS)
            mime, data = self.pictures[kind]
            socket, metadata = self.sockets.get(body.get("client_id", ""), (None, [False]))

            async def tell(
                what: str, socket: web.WebSocketResponse | None = socket, prompt_id: str = prompt_id, **fields: Any
            ) -> None:
                if socket is not None and not socket.closed:
                    await socket.send_str(json.dumps({"type": what, "data": {**fields, "prompt_id": prompt_id}}))

            began = time.perf_counter()
            await tell("execution_start", timestamp=1)
            await tell("execution_cached", nodes=[], timestamp=1)
            await tell("executing", node=saver, display_node=saver)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await tell("progress", value=0, max=1, node=saver)
            if mime == "raw":
                message = node_message(data, prompt_id, saver)
            elif metadata[0]:
                facts = {"node_id": saver, "prompt_id": prompt_id, "display_node_id": saver, "image_type": mime}
                head = json.dumps(facts).encode()
                message = struct.pack(">II", 4, len(head)) + head + data
            else:
                message = struct.pack(">II", 1, 1 if mime == "image/jpeg" else 2) + data
            sent = time.perf_counter()
            self.stamps[run] = [body["at"], sent]
            if socket is not None and not socket.closed:
                try:
                    await socket.send_bytes(message)
                except ConnectionError:
                    pass
            await tell("execution_success", timestamp=1)
            image = {"filename": f"{kind}.png", "subfolder": "", "type": "output"}
            self.history[prompt_id] = {
                "outputs": {saver: {"images": [image]}},
                "status": {"status_str": "success", "completed": True, "messages": []},
            }
            while len(self.history) > 64:
                self.history.pop(next(iter(self.history)))
            await tell("executing", node=None)
            self.spans = [*self.spans[-999:], [began, time.perf_counter()]]

    async def _prompt(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self.queue.qsize()}})

    async def _queue(self, request: web.Request) -> web.Response:
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def _ok(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        return web.json_response({key: self.history[key]} if key in self.history else {})

    async def _view(self, request: web.Request) -> web.Response:
        mime, data = self.pictures[int(request.query["filename"].partition(".")[0])]
        return web.Response(body=data, content_type=mime)

    async def _info(self, request: web.Request) -> web.Response:
        return web.Response(body=self.object_info, content_type="application/json")

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response({"system": {"comfyui_version": "0.3.64"}, "devices": [{"name": "cpu", "type": "cpu"}]})

    async def _features(self, request: web.Request) -> web.Response:
        return web.json_response({"supports_preview_metadata": True})

    async def _stamps(self, request: web.Request) -> web.Response:
        stamps, self.stamps = self.stamps, {}
        return web.json_response(stamps)

    async def _spans(self, request: web.Request) -> web.Response:
        spans, self.spans = self.spans, []
        return web.json_response(spans)

    async def _settings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.delay_s = float(body.get("delay_s", self.delay_s))
        return web.Response()


async def serve() -> None:
    """Run until killed; the first line on stdout is the port."""
    source = Source()
    runner = web.AppRunner(source.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
    await source.work()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    asyncio.run(serve())
