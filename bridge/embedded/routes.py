"""ComfyUI's HTTP routes, each under `/api` too."""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from PIL import Image

from bridge.embedded.catalog import CATALOG
from bridge.embedded.execution import Executor
from bridge.embedded.files import FOLDERS, EscapeError, FileKey, FileStore, FullError
from bridge.embedded.pictures import RefusedPictureError, describe, session_name
from bridge.embedded.prompts import History, PromptQueue, QueuedPrompt
from bridge.embedded.sockets import FEATURES, Sockets
from bridge.embedded.texbridge_nodes import info
from bridge.embedded.validation import prompt_error, validate_prompt

logger = logging.getLogger("bridge.embedded")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES: Final = 100 << 20
COMFYUI_VERSION: Final = "0.3.64"
"""The version whose behaviour this server shows."""
MODEL_FOLDERS: Final = (
    *("checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models"),
    *("embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes"),
    *("hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders"),
)
SESSION_HEADER: Final = "X-TexBridge-Session"
MIME_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other sites' requests; answer 500 as ComfyUI does when a handler fails.

    An Origin must equal the Host. A Host must be this machine's when the connection comes from it: that is stricter
    than ComfyUI, and stops DNS rebinding.
    """
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return web.Response(status=403)
    if _is_loopback(request) and not _is_own_host(host):
        return web.Response(status=403)
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, headers={"Content-Type": "application/octet-stream"})
    except web.HTTPException:
        raise
    except Exception:
        logger.debug("%s %s failed", request.method, request.path, exc_info=True)
        response = web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")
        response.force_close()
        return response


def _is_loopback(request: web.Request) -> bool:
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return address is not None and ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def _is_own_host(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Routes:
    """The handlers, and what they work on."""

    def __init__(
        self, queue: PromptQueue, history: History, files: FileStore, executor: Executor, sockets: Sockets
    ) -> None:
        self._queue = queue
        self._history = history
        self._files = files
        self._executor = executor
        self._sockets = sockets
        self._number = 0

    def add_to(self, app: web.Application) -> None:
        """Add every route, with and without `/api`."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/ws", self.get_ws),
            ("GET", "/prompt", self.get_prompt),
            ("POST", "/prompt", self.post_prompt),
            ("GET", "/queue", self.get_queue),
            ("POST", "/queue", self.post_queue),
            ("POST", "/interrupt", self.post_interrupt),
            ("POST", "/free", self.post_free),
            ("GET", "/history", self.get_history),
            ("GET", "/history/{prompt_id}", self.get_history_of),
            ("POST", "/history", self.post_history),
            ("POST", "/upload/image", self.post_upload),
            ("GET", "/view", self.get_view),
            ("GET", "/object_info", self.get_object_info),
            ("GET", "/object_info/{name}", self.get_object_info_of),
            ("GET", "/system_stats", self.get_system_stats),
            ("GET", "/features", self.get_features),
            ("GET", "/models", self.get_models),
            ("GET", "/models/{folder}", self.get_models_of),
            ("GET", "/embeddings", self.get_nothing),
            ("GET", "/extensions", self.get_nothing),
            ("GET", "/texbridge/info", self.get_texbridge_info),
            ("POST", "/texbridge/image", self.post_texbridge_image),
            ("DELETE", "/texbridge/image", self.delete_texbridge_images),
        ]
        for method, path, handler in table:
            app.router.add_route(method, path, handler)
            app.router.add_route(method, f"/api{path}", handler)
        app.router.add_route("GET", "/", self.get_root)

    async def get_root(self, request: web.Request) -> web.Response:
        return web.Response(text="texbridge's embedded ComfyUI-compatible server. It has no front end.\n")

    async def get_ws(self, request: web.Request) -> web.StreamResponse:
        return await self._sockets.handle(request, self._greeting)

    def _greeting(self, client_id: str) -> list[dict[str, Any]]:
        status = {"exec_info": {"queue_remaining": self._queue.remaining}}
        messages: list[dict[str, Any]] = [{"type": "status", "data": {"status": status, "sid": client_id}}]
        node_id = self._executor.last_node_id
        if node_id is not None and client_id == self._executor.client_id:
            messages.append({"type": "executing", "data": {"node": node_id}})
        return messages

    # --- prompts ----------------------------------------------------------------------------------------

    async def get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self._queue.remaining}})

    async def post_prompt(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        if "number" in body:
            number = float(body["number"])
        else:
            number = -self._number if body.get("front") else self._number
            self._number += 1
        if "prompt" not in body:
            error = prompt_error("no_prompt", "No prompt provided", "No prompt provided")
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        prompt = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        verdict = validate_prompt(prompt, self._files)
        if verdict.error is not None:
            return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
        extra_data = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        self._queue.put(QueuedPrompt(number, prompt_id, prompt, extra_data, verdict.outputs))
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def get_queue(self, request: web.Request) -> web.Response:
        running, waiting = self._queue.snapshot()
        return web.json_response({"queue_running": running, "queue_pending": waiting})

    async def post_queue(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        if body.get("clear"):
            self._queue.clear()
        for prompt_id in body.get("delete", ()):
            self._queue.delete(prompt_id)
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
        except ValueError:
            body = {}
        prompt_id = body.get("prompt_id")
        if not prompt_id or self._queue.is_running(prompt_id):
            self._executor.interrupt.set()
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        if body.get("free_memory"):
            self._queue.ask_to_forget()
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        maximum = request.query.get("max_items")
        offset = request.query.get("offset")
        some = self._history.some(int(maximum) if maximum else None, int(offset) if offset else -1)
        return web.json_response(some)

    async def get_history_of(self, request: web.Request) -> web.Response:
        return web.json_response(self._history.one(request.match_info["prompt_id"]))

    async def post_history(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        if body.get("clear"):
            self._history.clear()
        for prompt_id in body.get("delete", ()):
            self._history.delete(prompt_id)
        return web.Response()

    # --- files ------------------------------------------------------------------------------------------

    async def post_upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        upload = form.get("image")
        if not isinstance(upload, web.FileField) or not upload.filename:
            return web.Response(status=400)
        folder = form.get("type") or "input"
        if folder not in FOLDERS:
            raise ValueError(f"type {folder!r} is none of {FOLDERS}")
        subfolder = form.get("subfolder") or ""
        try:
            key = self._files.key(str(folder), str(subfolder), upload.filename)
            overwrite = form.get("overwrite") in ("true", "1")
            key = self._files.write_upload(key, upload.file.read(), overwrite)
        except EscapeError:
            return web.Response(status=400)
        except FullError as error:
            raise web.HTTPRequestEntityTooLarge(max_size=0, actual_size=0, text=str(error)) from None
        return web.json_response({"name": key.name, "subfolder": subfolder, "type": folder})

    async def get_view(self, request: web.Request) -> web.Response:
        name = request.query.get("filename")
        if name is None:
            return web.Response(status=404)
        if not name or name.startswith("/") or ".." in name:
            return web.Response(status=400)
        folder = request.query.get("type", "output")
        try:
            key = self._files.annotated_key(name, folder)
            if subfolder := request.query.get("subfolder"):
                key = self._files.key(key.folder, subfolder, key.name)
        except EscapeError:
            return web.Response(status=403)
        if key.folder not in FOLDERS:
            return web.Response(status=400)
        data = self._files.read(key)
        if data is None:
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{key.name}"'}
        if preview := request.query.get("preview"):
            data, kind = _smaller(data, preview)
            return web.Response(body=data, content_type=kind, headers=headers)
        headers["ETag"] = f'"{self._files.digest(key)[:16]}-{len(data):x}"'
        return web.Response(body=data, content_type=_mime_type(key), headers=headers)

    async def get_texbridge_info(self, request: web.Request) -> web.Response:
        return web.json_response(info(self._files.pictures.limits))

    async def post_texbridge_image(self, request: web.Request) -> web.Response:
        try:
            secret = request.headers.get(SESSION_HEADER, "")
            session_name(secret)
            if request.content_length is None:
                raise RefusedPictureError(411, "the request needs a Content-Length")
            name, picture = describe(request.query, await request.read())
            self._files.pictures.forget(secret, request.query.getall("drop", []))
            ticket = self._files.pictures.put(secret, name, picture)
        except RefusedPictureError as refused:
            return web.json_response({"error": str(refused)}, status=refused.status)
        return web.json_response({"picture": ticket, "keep_s": self._files.pictures.limits["keep_s"]})

    async def delete_texbridge_images(self, request: web.Request) -> web.Response:
        try:
            names = request.query.getall("name", None)
            forgotten = self._files.pictures.forget(request.headers.get(SESSION_HEADER, ""), names)
        except RefusedPictureError as refused:
            return web.json_response({"error": str(refused)}, status=refused.status)
        return web.json_response({"forgotten": forgotten})

    # --- facts ------------------------------------------------------------------------------------------

    async def get_object_info(self, request: web.Request) -> web.Response:
        return web.json_response({name: node.object_info(self._files) for name, node in CATALOG.items()})

    async def get_object_info_of(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: CATALOG[name].object_info(self._files)} if name in CATALOG else {})

    async def get_system_stats(self, request: web.Request) -> web.Response:
        total, free = _memory()
        system = {
            "os": os.name,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": "",
            "installed_templates_version": "",
            "required_templates_version": "",
            "python_version": sys.version,
            "pytorch_version": "none: texbridge embedded server",
            "embedded_python": False,
            "argv": ["texbridge-embedded"],
        }
        device = {"name": "cpu", "type": "cpu", "index": None, "vram_total": total}
        device |= {"vram_free": free, "torch_vram_total": total, "torch_vram_free": free}
        return web.json_response({"system": system, "devices": [device]})

    async def get_features(self, request: web.Request) -> web.Response:
        return web.json_response(FEATURES)

    async def get_models(self, request: web.Request) -> web.Response:
        return web.json_response(MODEL_FOLDERS)

    async def get_models_of(self, request: web.Request) -> web.Response:
        known = request.match_info["folder"] in MODEL_FOLDERS
        return web.json_response([]) if known else web.Response(status=404)

    async def get_nothing(self, request: web.Request) -> web.Response:
        return web.json_response([])


def _smaller(data: bytes, preview: str) -> tuple[bytes, str]:
    """A picture as `webp;90` or `jpeg;80` says, and its content type."""
    words = preview.split(";")
    kind = words[0] if words[0] in ("webp", "jpeg") else "webp"
    quality = int(words[-1]) if words[-1].isdigit() else 90
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGB") if kind == "jpeg" else image
        picture.save(buffer, kind, quality=min(quality, 100))
    return buffer.getvalue(), f"image/{kind}"


def _mime_type(key: FileKey) -> str:
    suffix = os.path.splitext(key.name)[1].lower()
    return MIME_TYPES.get(suffix, "application/octet-stream")


def _memory() -> tuple[int, int]:
    """Bytes of memory in all and free; zeros where the system doesn't tell."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0, 0
