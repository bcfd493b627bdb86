"""Pictures sent to `/texbridge/image`, kept in memory for prompts. The node pack's behaviour, written anew.

Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_PICTURE_BYTES: Final = 64 << 20
MAX_PICTURE_PIXELS: Final = 64 << 20
MAX_PICTURES: Final = 256
KEEP_S: Final = 120.0

RAW: Final[Mapping[str, tuple[str, int]]] = {
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "rgb8": ("u1", 3),
    "r8": ("u1", 1),
    "r16": ("<u2", 1),
    "r16f": ("<f2", 1),
    "r32f": ("<f4", 1),
    "rgba16f": ("<f2", 4),
    "rgba32f": ("<f4", 4),
}
FILES: Final = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
ORIGINS: Final = ("top_left", "bottom_left")
_FULL: Final = {"u1": 255, "<u2": 65535}

Floats = NDArray[np.float32]


class RefusedPictureError(Exception):
    """Not taken; `status` is the HTTP answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class SentPicture:
    """One picture as it came. `width` and `height` are 0 for a file."""

    format: str
    width: int
    height: int
    bottom_up: bool
    data: bytes
    ends_at: float = 0.0


def describe(query: Mapping[str, str], data: bytes) -> tuple[str, SentPicture]:
    """The name and the picture that a POST carries. Raises RefusedPictureError."""
    name, word = query.get("name", ""), query.get("format", "")
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is None:
        raise RefusedPictureError(400, "name must be 1 to 64 letters, digits, - or _")
    if word not in RAW and word not in FILES:
        raise RefusedPictureError(400, f"format {word[:40]!r} is none of {', '.join((*RAW, *FILES))}")
    origin = query.get("origin", "top_left")
    if origin not in ORIGINS:
        raise RefusedPictureError(400, f"origin {origin[:40]!r} is none of {', '.join(ORIGINS)}")
    if len(data) > MAX_PICTURE_BYTES:
        raise RefusedPictureError(413, f"{len(data)} bytes > limit {MAX_PICTURE_BYTES}")
    if not data:
        raise RefusedPictureError(400, "a picture of 0 bytes")
    if word in FILES:
        return name, SentPicture(word, 0, 0, False, data)
    width, height = (_side(query, side) for side in ("width", "height"))
    if width * height > MAX_PICTURE_PIXELS:
        raise RefusedPictureError(413, f"{width} x {height} pixels > limit {MAX_PICTURE_PIXELS}")
    dtype, depth = RAW[word]
    wanted = width * height * depth * np.dtype(dtype).itemsize
    if len(data) != wanted:
        raise RefusedPictureError(400, f"{len(data)} bytes for {width} x {height} {word}, which has {wanted}")
    return name, SentPicture(word, width, height, origin == "bottom_left", data)


def _side(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not int(text):
        raise RefusedPictureError(400, f"{name} {text[:40]!r} is no whole number from 1")
    return int(text)


class PictureStore:
    """What was sent, by ticket: the session's public name and the sender's name for it. Thread-safe, bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pictures: dict[str, SentPicture] = {}
        self._lock = Lock()

    @property
    def limits(self) -> dict[str, int | float]:
        """What `/texbridge/info` tells."""
        return {
            "picture_bytes": min(MAX_PICTURE_BYTES, self._limit_bytes),
            "picture_pixels": MAX_PICTURE_PIXELS,
            "session_bytes": self._limit_bytes,
            "total_bytes": self._limit_bytes,
            "pictures": MAX_PICTURES,
            "keep_s": KEEP_S,
        }

    def put(self, secret: str, name: str, picture: SentPicture) -> str:
        """Keep it, and give its ticket; one that is there stays as it is. Raises RefusedPictureError."""
        session = session_name(secret)
        ticket = f"{session}/{name}"
        with self._lock:
            self._expire()
            kept = self._pictures.pop(ticket, picture)
            if kept is picture:
                self._make_room(session, len(picture.data))
            kept.ends_at = time.monotonic() + KEEP_S
            self._pictures[ticket] = kept
        return ticket

    def get(self, ticket: str) -> SentPicture | None:
        """The picture, kept a while longer from now."""
        with self._lock:
            self._expire()
            picture = self._pictures.pop(ticket, None)
            if picture is not None:
                picture.ends_at = time.monotonic() + KEEP_S
                self._pictures[ticket] = picture
            return picture

    def forget(self, secret: str, names: Sequence[str] | None = None) -> int:
        """Drop a session's pictures, all or those of these names; how many there were. Raises RefusedPictureError."""
        start = session_name(secret) + "/"
        with self._lock:
            mine = [ticket for ticket in self._pictures if ticket.startswith(start)]
            if names is not None:
                mine = [ticket for ticket in mine if ticket.removeprefix(start) in names]
            for ticket in mine:
                del self._pictures[ticket]
        return len(mine)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._pictures.clear()

    def _expire(self) -> None:
        now = time.monotonic()
        while self._pictures and self._pictures[next(iter(self._pictures))].ends_at <= now:
            self._pictures.pop(next(iter(self._pictures)))

    def _make_room(self, session: str, size: int) -> None:
        """At the cost of the session's own older pictures, never of another's."""
        held = sum(len(picture.data) for picture in self._pictures.values())
        for ticket in [ticket for ticket in self._pictures if ticket.startswith(session + "/")]:
            if held + size <= self._limit_bytes and len(self._pictures) < MAX_PICTURES:
                return
            held -= len(self._pictures.pop(ticket).data)
        if held + size > self._limit_bytes or len(self._pictures) >= MAX_PICTURES:
            raise RefusedPictureError(503, f"no room for {size} bytes: other sessions take {held} bytes of memory")


def session_name(secret: str) -> str:
    """The public name of a session. Raises RefusedPictureError for a secret that is none."""
    if re.fullmatch(r"[!-~]{16,128}", secret) is None:
        raise RefusedPictureError(401, "the header X-TexBridge-Session must hold 16 to 128 printable characters")
    return hashlib.sha256(b"texbridge session\0" + secret.encode()).hexdigest()[:16]


def as_floats(picture: SentPicture) -> tuple[Floats, Floats]:
    """IMAGE `[1, height, width, 3]` and MASK `[1, height, width]`, as LoadImage gives them. Raises ValueError."""
    array, full = _file_array(picture) if picture.format in FILES else _raw_array(picture)
    image = np.empty((*array.shape[:2], 3), np.float32)
    if array.shape[2] >= 3:  # channel by channel: numpy is four times as slow with three of four at once
        for channel in range(3):
            image[..., channel] = array[..., 2 - channel if picture.format == "bgra8" else channel]
    else:
        image[...] = array[..., :1]
    alpha = array[..., -1].astype(np.float32) if array.shape[2] in (2, 4) else None
    if full:
        image /= np.float32(full)
        alpha = None if alpha is None else alpha / np.float32(full)
    elif not np.isfinite(image).all():
        raise ValueError(f"the {picture.format} picture has values that are no finite numbers")
    return image[None], np.zeros((1, 64, 64), np.float32) if alpha is None else 1 - alpha[None]


def _raw_array(picture: SentPicture) -> tuple[NDArray[np.generic], int]:
    dtype, depth = RAW[picture.format]
    array = np.frombuffer(picture.data, dtype).reshape(picture.height, picture.width, depth)
    return (array[::-1] if picture.bottom_up else array), _FULL.get(dtype, 0)


def _file_array(picture: SentPicture) -> tuple[NDArray[np.generic], int]:
    try:
        with Image.open(io.BytesIO(picture.data), formats=(FILES[picture.format],)) as image:
            if image.width * image.height > MAX_PICTURE_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels > limit {MAX_PICTURE_PIXELS}")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                return np.asarray(upright).astype(np.float32)[..., None], 65535
            has_alpha = "A" in upright.getbands() or "transparency" in upright.info
            return np.asarray(upright.convert("RGBA" if has_alpha else "RGB")), 255
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow lets OSError, SyntaxError, struct.error and more through
        raise ValueError(
            f"the {picture.format} picture of {len(picture.data)} bytes does not decode: {error}"
        ) from None
