"""A client's own shared memory file, from which the bridge takes pictures. Source: protocols/shared-memory.md, To the
bridge.

    async with Client("127.0.0.1:9402") as client:
        pictures = await client.share_pictures(1280 * 720 * 4)
        await client.set("main", {"picture": pictures.write(pixels, "rgba8")})
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np

from bridge.codec.frame import FrameHeader, encode_frame_header, tight_row_pitch
from bridge.codec.messages import EngineMemory
from bridge.codec.shared_memory import MIN_SLOTS, SLOT_HEADER_AT, SLOT_PAYLOAD_AT, encode_page, page_for
from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import BYTES_PER_PIXEL, FORMATS_BY_WORD, FrameFlags, Origin

_ZEROS: Final = bytes(1 << 20)


class PictureMemory:
    """A file of slots, written in turn. A slot is free again when the message that names it is answered.

    Attributes:
        message: what the bridge is told of it, on each connection.
        max_bytes: how large a picture may be.
    """

    def __init__(self, max_bytes: int, slots: int = MIN_SLOTS, folder: str | os.PathLike[str] | None = None) -> None:
        """Make the file, readable by this user alone, in `folder` (memory where the system has such a place).

        Raises:
            OSError: no space, or no rights. ValueError: no file can have such slots.
        """
        page = page_for(max_bytes, slots, generation=1, nonce=secrets.randbits(64), pid=os.getpid())
        if folder is None:
            shm = sys.platform.startswith("linux") and os.access("/dev/shm", os.W_OK)
            folder = "/dev/shm" if shm else tempfile.gettempdir()
        self.max_bytes = max_bytes
        self._path = Path(folder).resolve() / f"texbridge-pictures-{secrets.token_hex(16)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        file = os.open(self._path, flags, 0o600)
        try:
            left = page.file_bytes
            while left:  # real bytes: a file with holes on a full disk would end this process later
                left -= os.write(file, _ZEROS[:left] if left < len(_ZEROS) else _ZEROS)
            self._mapping = mmap.mmap(file, page.file_bytes)
        except BaseException:
            os.close(file)
            self._path.unlink()
            raise
        os.close(file)
        begin = encode_page(page)
        self._mapping[: len(begin)] = begin
        self._page = page
        self._bytes = memoryview(self._mapping)
        self._words = self._bytes.cast("Q")
        self._fence = threading.Lock()
        self._next = 0
        self._closed = False
        self.message = EngineMemory(file=str(self._path), nonce=page.nonce, slots=page.slots, stride=page.slot_stride)

    def write(self, pixels: Any, format: str = "rgba8", origin: Origin | str = Origin.TOP_LEFT) -> dict[str, int]:
        """Write a picture into the next slot; gives what stands for it as an image parameter's value.

        `pixels` is an array [height, width, channel] (or [height, width] of one channel) whose bytes are those of
        `format`, rows in the order of `origin`. With so many messages unanswered as there are slots, the oldest
        picture is written over, and the bridge refuses it (103).

        Raises:
            InvalidValueError: a format that is no raw one (306), or pixels that don't fit it or the slot (301, 309).
            OSError: another program made the file shorter; `Client.share_pictures` makes another.
        """
        if self._closed:
            raise ValueError("the memory is closed")
        # To write beyond the end of a file ends the process (SIGBUS).
        if self._mapping.size() < self._page.file_bytes:
            words = "another program made this file shorter; share_pictures makes a new one"
            raise OSError(errno.EIO, words, str(self._path))
        array = np.ascontiguousarray(pixels)
        pixel_format = FORMATS_BY_WORD.get(format)
        if pixel_format is None or pixel_format not in BYTES_PER_PIXEL:
            raise InvalidValueError(
                f"format {format!r} is no raw one", code=ErrorCode.UNSUPPORTED_FORMAT, field="format", value=format
            )
        if array.ndim not in (2, 3) or array.nbytes != array.shape[0] * array.shape[1] * BYTES_PER_PIXEL[pixel_format]:
            raise InvalidValueError(
                f"an array of {array.shape} {array.dtype} is not [height, width, channel] of {format}", field="pixels"
            )
        if not 0 < array.nbytes <= self.max_bytes:
            raise InvalidValueError(
                f"a picture of {array.nbytes} bytes, 1 to {self.max_bytes} fit a slot",
                code=ErrorCode.TOO_LONG,
                field="pixels",
                value=array.nbytes,
                limit=self.max_bytes,
            )
        height, width = array.shape[:2]
        flags = int(FrameFlags.BOTTOM_LEFT) if Origin(origin) is Origin.BOTTOM_LEFT else 0
        pitch = tight_row_pitch(pixel_format, width)
        header = encode_frame_header(
            FrameHeader(flags, 0, 0, 0, 0, 0, 1, int(pixel_format), width, height, pitch, array.nbytes)
        )
        slot = self._next
        self._next = (slot + 1) % self._page.slots
        begin = self._page.slot_at(slot)
        seq = self._words[begin // 8] + 2
        self._words[begin // 8] = seq - 1
        with self._fence:
            pass  # Python's only fence: no byte goes out before the odd seq
        self._bytes[begin + SLOT_HEADER_AT : begin + SLOT_PAYLOAD_AT] = header
        at = begin + SLOT_PAYLOAD_AT
        self._bytes[at : at + array.nbytes] = array.reshape(-1).view(np.uint8).data
        with self._fence:
            pass
        self._words[begin // 8] = seq
        return {"slot": slot, "seq": seq}

    def close(self) -> None:
        """Remove the file. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._words.release()
        self._bytes.release()
        self._mapping.close()
        self._path.unlink(missing_ok=True)
