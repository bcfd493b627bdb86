"""The pack's HTTP routes, at ComfyUI's own door and under its own rules (Origin, TLS, proxies)."""

import asyncio
import logging

from aiohttp import web
from server import PromptServer

from . import event
from .nodes import ENCODED_FORMATS as OUT_ENCODED
from .nodes import KEPT, PICTURES, RAW_FORMATS
from .pictures import ENCODED_FORMATS, ORIGINS, PIXEL_FORMATS, Description, RefusedPicture, session_of
from .version import VERSION, WIRE

logger = logging.getLogger("texbridge.nodes")

SESSION_HEADER = "X-TexBridge-Session"


def info():
    """What `/texbridge/info` answers."""
    return {
        "name": "texbridge",
        "version": VERSION,
        "wire": WIRE,
        "event": event.EVENT,
        "output": {"formats": [*RAW_FORMATS, *OUT_ENCODED]},
        "input": {"formats": [*PIXEL_FORMATS, *ENCODED_FORMATS], "origins": list(ORIGINS)},
        "feedback": 1,
        "limits": PICTURES.limits(),
    }


async def get_info(request):
    return web.json_response(info())


async def post_image(request):
    """Take a picture: described by the query, its bytes the body. Answers what a node's input takes."""
    try:
        secret = request.headers.get(SESSION_HEADER, "")
        session_of(secret)
        description = Description(request.query, PICTURES.max_pixels)
        length = _length(request, description.payload_bytes)
        PICTURES.forget(secret, request.query.getall("drop", []))
        with PICTURES.under_way(secret, length):
            data = await _body(request, length)
        ticket = PICTURES.put(secret, description, data)
    except RefusedPicture as refused:
        return web.json_response({"error": str(refused)}, status=refused.status)
    _look_again()
    return web.json_response({"picture": ticket, "keep_s": PICTURES.keep_s})


_timer = None


def _look_again():
    """Have what has ended dropped, also when nobody sends or asks any more."""
    global _timer
    if _timer is None:
        _timer = asyncio.get_running_loop().call_later(PICTURES.keep_s / 2, _expire)


def _expire():
    global _timer
    _timer = None
    PICTURES.expire()
    KEPT.expire()
    if len(PICTURES) or len(KEPT):
        _look_again()


async def delete_images(request):
    """Forget a session's pictures: all, or those that the query names."""
    try:
        names = request.query.getall("name", None)
        return web.json_response({"forgotten": PICTURES.forget(request.headers.get(SESSION_HEADER, ""), names)})
    except RefusedPicture as refused:
        return web.json_response({"error": str(refused)}, status=refused.status)


def _length(request, wanted):
    """How many bytes the body has; never more than the limit. Raises RefusedPicture."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedPicture(400, "the body must come as it is, without a Content-Encoding")
    length = request.content_length
    if length is None:
        raise RefusedPicture(411, "the request needs a Content-Length")
    if length > PICTURES.max_bytes:
        raise RefusedPicture(413, f"{length} bytes > limit {PICTURES.max_bytes}")
    if wanted is not None and length != wanted:
        raise RefusedPicture(400, f"the body has {length} bytes, the picture {wanted}")
    return length


async def _body(request, length):
    """The body, read into one buffer. Raises RefusedPicture."""
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > length:
            break
    if len(data) != length:
        raise RefusedPicture(400, f"the body ended after {len(data)} of {length} bytes")
    return data


def add_routes(routes):
    """Add all of them to ComfyUI's route table, which serves each under /api too."""
    KEPT.on_keep = lambda: PromptServer.instance.loop.call_soon_threadsafe(_look_again)
    routes.get("/texbridge/info")(get_info)
    routes.post("/texbridge/image")(post_image)
    routes.delete("/texbridge/image")(delete_images)
