"""A ComfyUI that does what a test says: an aiohttp server with the routes, a queue and a worker that can misbehave.

It is for what the embedded server, which behaves, can't show: wrong answers, dead workers, mute sockets.
"""

import asyncio
import contextlib
import json
import struct

from aiohttp import WSMsgType, web
from ports import ReservedPort

PNG = b"\x89PNG\r\n\x1a\n scripted"
STATUS = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}}


class Item:
    """One prompt in the queue."""

    def __init__(self, number, body):
        self.number = number
        self.prompt_id = body["prompt_id"]
        self.client_id = body.get("client_id")
        self.prompt = body["prompt"]
        self.interrupted = asyncio.Event()

    def row(self):
        return [self.number, self.prompt_id, self.prompt, {"client_id": self.client_id}, ["9"]]


class ScriptedComfy:
    """Knobs: `answers[(method, path)] = handler`, `script` (what running a prompt does), `dead`, `mute`, `start_gate`,
    `finish_gate`, `cancel_route`, `has_features`, `on_post(body)` -> response or None, `tls`, `prefix`."""

    def __init__(self, *, prefix="", cancel_route=False, has_features=True, tls=None):
        self.prefix = prefix
        self.cancel_route = cancel_route
        self.has_features = has_features
        self.tls = tls
        self.port = 0
        self.calls = []
        self.posts = []
        self.uploads = []
        self.handshakes = []
        self.requests = []
        self.first_messages = []
        self.sockets = {}
        self.answers = {}
        self.on_post = None
        self.after_post = None
        self.script = run_normally
        self.dead = False
        self.mute = False
        self.start_gate = asyncio.Event()
        self.start_gate.set()
        self.finish_gate = asyncio.Event()
        self.finish_gate.set()
        self.pending = []
        self.running = None
        self.history = {}
        self.files = {}
        """What /view has, by (type, subfolder, filename)."""
        self.outputs_of = lambda item: {}
        """What the history says of a prompt's outputs."""
        self.moved = asyncio.Event()
        self._counter = 0
        self._reserved = None
        self._runner = None
        self._site = None
        self._worker = None

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.prefix}"

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.close()
        if self._reserved is not None:
            self._reserved.close()

    async def start(self):
        if not self.port:
            self._reserved = ReservedPort()
            self.port = self._reserved.port
        app = web.Application(client_max_size=1 << 27)
        app.router.add_route("*", "/{tail:.*}", self._route)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        self._site = site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._worker = asyncio.ensure_future(self._work())

    async def close(self):
        """End; queue and history are gone with it, as with ComfyUI."""
        await self._site.stop()  # the door first: whoever is cut comes back at once
        await asyncio.sleep(0.01)  # who was taken in just before has its turn, so that it is cut like the others
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        for ws in list(self.sockets.values()):
            with contextlib.suppress(Exception):
                ws._req.transport.abort()
        await self._runner.cleanup()
        self.pending, self.running, self.history = [], None, {}

    async def until(self, condition, what="a change", limit_s=20.0):
        """Wait for a condition on this server's state, asked after every call and every move of the queue."""
        try:
            async with asyncio.timeout(limit_s):
                while not (result := condition()):
                    self.moved.clear()
                    await self.moved.wait()
                return result
        except TimeoutError:
            raise AssertionError(f"no {what} in {limit_s} s; calls: {self.calls}") from None

    def paths(self):
        return [f"{method} {path}" for method, path, _ in self.calls]

    async def send(self, client_id, message):
        """To one client, or to all with None."""
        targets = [self.sockets.get(client_id)] if client_id is not None else list(self.sockets.values())
        for ws in targets:
            if ws is not None and not ws.closed:
                with contextlib.suppress(ConnectionError):
                    await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(json.dumps(message)))

    # --- routes --------------------------------------------------------------------------------------------

    async def _route(self, request):
        path = request.path
        if self.prefix:
            if not path.startswith(self.prefix + "/"):
                return web.Response(status=418, text="outside the prefix")
            path = path[len(self.prefix) :]
        self.requests.append((path, dict(request.headers)))
        if path == "/ws":
            return await self._socket(request)
        content = None
        if request.content_type == "application/json" and request.can_read_body:
            content = await request.json()
        self.calls.append((request.method, path, content))
        self.moved.set()
        handler = self.answers.get((request.method, path))
        if handler is not None:
            answer = handler(request)
            return await answer if asyncio.iscoroutine(answer) else answer
        name = path.strip("/").split("/")[0]
        method = getattr(self, f"_{request.method.lower()}_{name}", None)
        if method is None:
            return web.Response(status=405 if request.method == "POST" else 404, text="no such route")
        answer = method(request, content)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def _socket(self, request):
        self.handshakes.append(dict(request.headers))
        if (handler := self.answers.get(("GET", "/ws"))) is not None:
            return handler(request)
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        client_id = request.query["clientId"]
        self.sockets[client_id] = ws
        self.moved.set()
        try:
            await ws.send_json({**STATUS, "sid": client_id})
            first = True
            async for message in ws:
                if message.type is WSMsgType.TEXT and first:
                    self.first_messages.append(message.data)
                    if self.has_features:
                        await ws.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
                first = False
        finally:
            self.sockets.pop(client_id, None)  # whoever has that id now: trap 1
        return ws

    def _get_prompt(self, request, content):
        return web.json_response({"exec_info": {"queue_remaining": len(self.pending) + bool(self.running)}})

    async def _post_prompt(self, request, content):
        self.posts.append(content)
        self.moved.set()
        if self.on_post is not None:
            answer = self.on_post(content)
            answer = await answer if asyncio.iscoroutine(answer) else answer
            if answer is not None:
                return answer
        self._counter += 1
        self.pending.append(Item(self._counter, content))
        self.moved.set()
        if self.after_post is not None:
            answer = self.after_post(content)
            answer = await answer if asyncio.iscoroutine(answer) else answer
            if answer is not None:
                return answer
        return web.json_response({"prompt_id": content["prompt_id"], "number": self._counter, "node_errors": {}})

    def _get_queue(self, request, content):
        running = [self.running.row()] if self.running else []
        return web.json_response({"queue_running": running, "queue_pending": [item.row() for item in self.pending]})

    def _post_queue(self, request, content):
        self.pending = [item for item in self.pending if item.prompt_id not in content.get("delete", ())]
        self.moved.set()
        return web.Response()

    def _post_interrupt(self, request, content):
        if self.running is not None and self.running.prompt_id == content.get("prompt_id"):
            self.running.interrupted.set()
        return web.Response()

    def _get_history(self, request, content):
        prompt_id = request.path.rsplit("/", 1)[-1]
        entry = self.history.get(prompt_id)
        return web.json_response({prompt_id: entry} if entry else {})

    def _get_view(self, request, content):
        query = request.query
        data = self.files.get((query.get("type"), query.get("subfolder"), query.get("filename")))
        return web.Response(status=404) if data is None else web.Response(body=data, content_type="image/png")

    def _get_object_info(self, request, content):
        return web.json_response({"SaveImageWebsocket": {}})

    def _get_system_stats(self, request, content):
        return web.json_response({"system": {"comfyui_version": "0.0.1"}, "devices": [{"name": "cpu"}]})

    def _get_features(self, request, content):
        if not self.has_features:
            return web.Response(status=404, text="no such route")
        return web.json_response({"supports_preview_metadata": True})

    def _post_free(self, request, content):
        return web.Response()

    async def _post_upload(self, request, content):
        form = await request.post()
        upload = form["image"]
        data = upload.file.read()
        upload.file.close()
        self.uploads.append((upload.filename, form["subfolder"], form["overwrite"], form["type"], data))
        return web.json_response({"name": upload.filename, "subfolder": form["subfolder"], "type": "input"})

    def _post_api(self, request, content):
        parts = request.path.removeprefix(self.prefix).strip("/").split("/")
        if not self.cancel_route or parts[:2] != ["api", "jobs"]:
            return web.Response(status=405, text="no such route")
        prompt_id = parts[2]
        known = len(self.pending)
        self.pending = [item for item in self.pending if item.prompt_id != prompt_id]
        if self.running is not None and self.running.prompt_id == prompt_id:
            self.running.interrupted.set()
        elif known == len(self.pending):
            return web.json_response({"error": "no such job"}, status=404)
        self.moved.set()
        return web.json_response({"cancelled": True})

    # --- the worker ----------------------------------------------------------------------------------------

    async def _work(self):
        while True:
            await self.until(lambda: self.pending and not self.dead and self.start_gate.is_set(), limit_s=3600)
            self.running = self.pending.pop(0)
            try:
                error = await self.script(self, self.running)
            finally:
                item, self.running = self.running, None
            status = {"status_str": "success", "completed": True, "messages": []}
            if error is not None:
                status = {"status_str": "error", "completed": False, "messages": [list(error)]}
            self.history[item.prompt_id] = {"prompt": item.row(), "outputs": self.outputs_of(item), "status": status}
            self.moved.set()
            await self.tell(item, "executing", node=None)

    async def tell(self, item, kind, **data):
        """One JSON event of this prompt to its client."""
        if not self.mute:
            await self.send(item.client_id, {"type": kind, "data": {**data, "prompt_id": item.prompt_id}})

    async def picture(self, item, node="9", data=PNG):
        if not self.mute:
            await self.send(item.client_id, picture_message(item.prompt_id, node, data))

    def open_gates(self):
        self.start_gate.set()
        self.finish_gate.set()
        self.moved.set()


def picture_message(prompt_id, node, data=PNG):
    """A type 4 message."""
    header = {"node_id": node, "prompt_id": prompt_id, "display_node_id": node, "image_type": "image/png"}
    encoded = json.dumps(header).encode()
    return struct.pack(">II", 4, len(encoded)) + encoded + data


async def run_normally(comfy, item):
    """One picture of node 9, once `finish_gate` is open; an interrupt ends it sooner."""
    await comfy.tell(item, "execution_start", timestamp=1)
    await comfy.tell(item, "execution_cached", nodes=[], timestamp=1)
    await comfy.tell(item, "executing", node="9", display_node="9")
    waits = [asyncio.ensure_future(event.wait()) for event in (comfy.finish_gate, item.interrupted)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if item.interrupted.is_set():
        data = {"node_id": "9", "node_type": "SaveImageWebsocket", "executed": []}
        await comfy.tell(item, "execution_interrupted", **data)
        return "execution_interrupted", data
    await comfy.picture(item)
    await comfy.tell(item, "progress", value=0, max=1, node="9")
    await comfy.tell(item, "execution_success", timestamp=1)
    return None
