"""What a ComfyUI says of its nodes, asked for once, without a bridge."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from bridge.backends.address import parse_address
from bridge.backends.foreign_answers import foreign_answer
from bridge.errors import BackendError, ErrorCode, TexbridgeError
from bridge.workflow.object_info import ObjectInfo

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 30.0


async def fetch_object_info(
    url: str, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> ObjectInfo:
    """Give the node types of the ComfyUI at `url`. No redirect is followed: the headers are for this host alone.

    Raises:
        BackendError: it doesn't answer, or not as a ComfyUI does. ConfigError: the URL is bad.
    """
    address = parse_address(url, headers)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(
                address.route("/object_info"),
                headers=dict(address.headers),
                allow_redirects=False,
                ssl=True if tls is None else tls,
            ) as answer,
        ):
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    raise BackendError(
                        f"{address.http} is no ComfyUI: its object_info has over {MAX_ANSWER_BYTES:,} bytes",
                        code=ErrorCode.BAD_ANSWER,
                    )
            strange = foreign_answer(address, "/object_info", answer.status, answer.headers, bytes(data))
            if strange is not None:
                raise strange
            answer.raise_for_status()
        return ObjectInfo.from_json(bytes(data))
    except aiohttp.ClientResponseError as error:
        raise BackendError(
            f"{address.http} answers {error.status} {error.message} to /object_info; is it a ComfyUI?",
            code=ErrorCode.BAD_ANSWER,
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        words = address.hide(str(error)) or f"nothing came in {TIMEOUT_S:g} s"
        raise BackendError(
            f"no ComfyUI answers at {address.http}: {words}; is it running?",
            code=ErrorCode.BACKEND_UNAVAILABLE,
        ) from None
    except BackendError:
        raise
    except TexbridgeError as error:
        raise BackendError(
            f"{address.http} does not answer like a ComfyUI: {error.message}", code=ErrorCode.BAD_ANSWER
        ) from None
