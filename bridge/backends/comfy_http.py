"""ComfyUI's HTTP routes by aiohttp: one session, kept alive, every answer bounded in time and size."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from bridge.backends.address import ComfyAddress
from bridge.backends.faults import BackendCut, BackendGone, BackendSilent, WrongAnswer, is_refusal
from bridge.backends.foreign_answers import NOT_FOUND_ADVICE, foreign_answer
from bridge.backends.records import ComfyLimits
from bridge.errors import BackendError, ErrorCode

_PIECE_BYTES: Final = 1 << 20
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class QueueState:
    """The prompt ids that run and that wait, of all clients."""

    running: frozenset[str]
    pending: frozenset[str]


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """The answer to a POST of a prompt: status, and the JSON object in it."""

    status: int
    content: dict[str, Any]


class _Queue(msgspec.Struct):
    queue_running: list[list[msgspec.Raw]]
    queue_pending: list[list[msgspec.Raw]]


_decode_queue: Final = msgspec.json.Decoder(_Queue).decode
_decode_id: Final = msgspec.json.Decoder(str).decode


class ComfyHttp:
    """The routes of one ComfyUI. Every method raises the errors of `faults`, and nothing else, when it fails."""

    def __init__(self, address: ComfyAddress, limits: ComfyLimits, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._limits = limits
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(total=limits.http_timeout_s, sock_connect=limits.open_timeout_s)
        # A prompt posted into a stall is answered when the stall is over; the doubt decides when to give up.
        self._post_timeout = aiohttp.ClientTimeout(
            total=limits.doubt_timeout_s + limits.http_timeout_s, sock_connect=limits.open_timeout_s
        )
        self._has_cancel_route: bool | None = None

    async def __aenter__(self) -> ComfyHttp:
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def open(self) -> None:
        """Make the session; needs a running loop."""
        connector = aiohttp.TCPConnector(
            limit=32, keepalive_timeout=30.0, ssl=self._tls if self._tls is not None else True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=dict(self._address.headers),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=False,
        )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def forget_features(self) -> None:
        """Another ComfyUI may answer from now on: find out again what it has."""
        self._has_cancel_route = None

    # --- prompts -------------------------------------------------------------------------------------------

    async def post_prompt(self, body: bytes) -> PromptAnswer:
        """The answer to POST /prompt, which is 200 or a 4xx that carries JSON."""
        status, data = await self._call("POST", "/prompt", data=body, headers=_JSON, timeout=self._post_timeout)
        return PromptAnswer(status, _json_object(status, data, "/prompt"))

    async def queue(self) -> QueueState:
        """What runs and what waits, of all clients."""
        status, data = await self._call("GET", "/queue")
        try:
            queue = _decode_queue(data)
            running = frozenset(_decode_id(entry[1]) for entry in queue.queue_running)
            pending = frozenset(_decode_id(entry[1]) for entry in queue.queue_pending)
        except (msgspec.MsgspecError, IndexError, ValueError, RecursionError):
            raise _wrong(status, data, "/queue") from None
        return QueueState(running, pending)

    async def history(self, prompt_id: str) -> dict[str, Any] | None:
        """The history entry of one prompt; None for unknown, waiting, running and deleted alike."""
        status, data = await self._call("GET", f"/history/{prompt_id}")
        entry = _json_object(status, data, "/history").get(prompt_id)
        return entry if isinstance(entry, dict) else None

    async def delete(self, *prompt_ids: str) -> None:
        """Take prompts out of the queue; no effect on one that runs."""
        await self._call("POST", "/queue", data=msgspec.json.encode({"delete": prompt_ids}), headers=_JSON)

    async def interrupt(self, prompt_id: str) -> None:
        """Interrupt this prompt if it runs."""
        await self._call("POST", "/interrupt", data=msgspec.json.encode({"prompt_id": prompt_id}), headers=_JSON)

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a prompt, waiting or running, in one step; False if this ComfyUI has no such route (asked once)."""
        if self._has_cancel_route is False:
            return False
        status, data = await self._call("POST", f"/api/jobs/{prompt_id}/cancel", foreign=False)
        # A 404 in JSON speaks of the job; one without is the server's own, for want of a route.
        self._has_cancel_route = status < 300 or (status != 405 and data.lstrip()[:1] == b"{")
        return self._has_cancel_route

    async def free(self) -> None:
        """Unload models and free memory before the next prompt."""
        body = b'{"unload_models":true,"free_memory":true}'
        await self._call("POST", "/free", data=body, headers=_JSON)

    async def view(self, filename: str, subfolder: str, folder: str) -> tuple[str, memoryview]:
        """A picture of ComfyUI's folder "temp", "output" or "input": its format, and the file as it is.

        Raises:
            BackendError: also with NO_IMAGE when the file is not there.
        """
        query = urlencode({"filename": filename, "subfolder": subfolder, "type": folder})
        status, data = await self._call("GET", f"/view?{query}")
        if status != 200 or not data:
            raise BackendError(
                f"ComfyUI has no picture {filename[:200]!r} in its folder {folder[:20]!r} any more (status {status})",
                code=ErrorCode.NO_IMAGE,
                value=status,
            )
        formats = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "image/webp"}
        kind = next((kind for magic, kind in formats.items() if data.startswith(magic)), "unknown")
        return kind, memoryview(data)

    # --- the server ----------------------------------------------------------------------------------------

    async def probe(self) -> int:
        """How many prompts wait or run: the cheapest sign of life."""
        timeout = aiohttp.ClientTimeout(total=self._limits.probe_timeout_s)
        status, data = await self._call("GET", "/prompt", timeout=timeout)
        info = _json_object(status, data, "/prompt").get("exec_info")
        remaining = info.get("queue_remaining") if isinstance(info, dict) else None
        if not isinstance(remaining, int):
            raise _wrong(status, data, "/prompt")
        return remaining

    async def object_info(self, class_type: str = "") -> bytes:
        """All node types with their inputs, or one of them, as ComfyUI's own JSON."""
        timeout = aiohttp.ClientTimeout(total=self._limits.long_timeout_s, sock_connect=self._limits.open_timeout_s)
        route = f"/object_info/{quote(class_type, safe='')}" if class_type else "/object_info"
        status, data = await self._call("GET", route, timeout=timeout)
        if data.lstrip()[:1] != b"{":
            raise _wrong(status, data, "/object_info")
        return data

    async def facts(self, route: str) -> dict[str, Any]:
        """The JSON object of a route that an older ComfyUI may lack (/features, /system_stats): then empty."""
        try:
            status, data = await self._call("GET", route)
            return _json_object(status, data, route) if status == 200 else {}
        except WrongAnswer:
            return {}

    async def upload(self, data: bytes | bytearray, name: str, subfolder: str) -> str:
        """Store a picture in ComfyUI's input folder; the result is what a LoadImage input takes.

        `name` and `subfolder` are words of ours, without quotes. The form is written by hand: the library's own copies
        the picture, and warns of large ones.

        Raises:
            BackendError: also with PROMPT_REJECTED when ComfyUI does not take the file.
        """
        boundary = secrets.token_hex(16)
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in (("subfolder", subfolder), ("type", "input"), ("overwrite", "true"))
        )
        head = (
            f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + len(data) + len(tail)),
        }
        timeout = aiohttp.ClientTimeout(total=self._limits.long_timeout_s, sock_connect=self._limits.open_timeout_s)
        body_pieces = _pieces(memoryview(head), memoryview(data), memoryview(tail))
        status, body = await self._call("POST", "/upload/image", data=body_pieces, headers=headers, timeout=timeout)
        if status != 200:
            raise BackendError(
                f"ComfyUI refused the picture {name!r} of {len(data)} bytes with status {status}",
                code=ErrorCode.PROMPT_REJECTED,
                value=status,
            )
        stored = _json_object(status, body, "/upload/image")
        stored_name, folder = stored.get("name"), stored.get("subfolder")
        if not isinstance(stored_name, str):
            raise _wrong(status, body, "/upload/image")
        return f"{folder}/{stored_name}" if folder else stored_name

    async def send_picture(
        self, data: bytes | bytearray | memoryview, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """Send a picture to the node pack; status and JSON object of its answer."""
        timeout = aiohttp.ClientTimeout(total=self._limits.long_timeout_s, sock_connect=self._limits.open_timeout_s)
        status, body = await self._call(
            "POST",
            f"/texbridge/image?{urlencode(query)}",
            data=_pieces(memoryview(data).cast("B")),
            headers={
                **headers,
                "Content-Type": "application/octet-stream",
                "Content-Length": str(memoryview(data).nbytes),
            },
            timeout=timeout,
            foreign=False,  # 503 is the pack's own word for "no room"
        )
        return status, _json_object(status, body, "/texbridge/image")

    async def forget_pictures(self, names: Sequence[str], headers: Mapping[str, str]) -> None:
        """Have the node pack drop pictures of a session: those of these names, or all without any."""
        query = f"?{urlencode([('name', name) for name in names])}" if names else ""
        await self._call("DELETE", f"/texbridge/image{query}", headers=dict(headers))

    # --- one call ------------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | AsyncIterator[memoryview] | None = None,
        headers: dict[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
        foreign: bool = True,
    ) -> tuple[int, bytes]:
        """Status and body. With `foreign`, what isn't ComfyUI's own answer and its server errors are raised."""
        if self._session is None:
            raise BackendGone("the backend is closed")
        try:
            async with self._session.request(
                method,
                self._address.route(path),
                data=data,
                headers=headers,
                timeout=timeout or self._timeout,
                allow_redirects=False,
            ) as response:
                body = await self._read(response, path)
                status = response.status
                told = response.headers
        except aiohttp.ClientSSLError as error:
            raise WrongAnswer(
                f"no trusted TLS at {self._address.http}: {self._words(error)}; `ca_file` in its"
                " [[backend]], or --comfy-ca-file, names an own certificate"
            ) from None
        except aiohttp.ClientConnectorError as error:
            words = self._words(error.os_error)  # aiohttp's own say "ssl:default" where there is no TLS at all
            if is_refusal(error.os_error):
                raise BackendGone(f"nobody answers at {self._address.http}: {words}") from None
            raise BackendSilent(f"no way to {self._address.http}: {words}") from None
        except aiohttp.ClientResponseError as error:
            raise WrongAnswer(f"{method} {path}: answer can't be read: {self._words(error)}") from None
        except TimeoutError:
            raise BackendSilent(f"{method} {path} at {self._address.http}: no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BackendCut(f"{method} {path} at {self._address.http}: {self._words(error)}") from None
        if foreign and (strange := foreign_answer(self._address, path, status, told, body)) is not None:
            raise strange
        if status >= 500 and foreign:
            raise _wrong(status, body, path)
        return status, body

    def _words(self, error: BaseException) -> str:
        return self._address.hide(str(error) or type(error).__name__)[:200]

    async def _read(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        limit = self._limits.max_answer_bytes
        if (response.content_length or 0) <= limit:
            if response.content_length is not None and "Content-Encoding" not in response.headers:
                return await response.read()
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        response.close()
        raise WrongAnswer(f"answer of {path} is over {limit} bytes", limit=limit)


async def _pieces(*parts: memoryview) -> AsyncIterator[memoryview]:
    """A body of these parts, one after the other, without a copy of them."""
    for part in parts:
        for start in range(0, len(part), _PIECE_BYTES):
            yield part[start : start + _PIECE_BYTES]


def _json_object(status: int, data: bytes, path: str) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        try:  # Python's writer lets NaN through, for instance as a value in node_errors
            content = json.loads(data, parse_constant=lambda constant: None)
        except (ValueError, RecursionError):
            raise _wrong(status, data, path) from None
    if not isinstance(content, dict):
        raise _wrong(status, data, path)
    return content


def _wrong(status: int, data: bytes, path: str) -> WrongAnswer:
    start = data[:60].decode("utf-8", "replace").strip().replace("\n", " ")
    what = f"starting with {start!r}" if start else "that is empty"
    advice = NOT_FOUND_ADVICE if status == 404 else "is this ComfyUI?"
    return WrongAnswer(f"{path} gave status {status} and an answer {what}: {advice}", value=status)
