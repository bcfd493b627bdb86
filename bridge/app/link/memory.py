"""Shared memory as engine connections use it: who may read from it, and engines' own files with their pictures.

`image`, `set` and `run` give their parameters to `with_pixels(connection, params)` first: `{slot, seq}` becomes the
pixels that lie there now, in the words of a picture that came in the message itself.
Source: protocols/shared-memory.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Any

from bridge.app.bridge import Bridge
from bridge.app.viewers.memory import ViewerMemory
from bridge.codec.messages import EngineMemory, error_message
from bridge.errors import BridgeError, ErrorCode, FrameDecodeError, InvalidValueError, NotAllowedError
from bridge.links.connection import Connection
from bridge.links.engine_memory import EngineFile
from bridge.streams.session import Session, Subscription
from bridge.streams.stream import Stream
from bridge.types import ENCODED_FORMATS, Delivery, FrameFlags, Origin, PixelFormat

logger = logging.getLogger("bridge.app.memory")


class LinkMemory:
    """The shared memory of all engine connections. `find(session id)` gives a session's present connection."""

    def __init__(self, bridge: Bridge, find: Callable[[int], Connection | None]) -> None:
        self._bridge = bridge
        self._find = find
        self._files: dict[Connection, EngineFile] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        bridge.memory.tell = self._tell_refused

    # --- from the bridge -----------------------------------------------------------------------------------

    def reader(self, session: Session, stream: Stream, subscription: Subscription) -> ViewerMemory | None:
        """What a subscription needs to read from shared memory; None if it is to go without."""
        if not (subscription.shared_memory and session.shared_memory):
            return None
        if subscription.delivery is not Delivery.LATEST:
            return None  # its window may be larger than any file, and a slot that is taken would be a set that is lost
        self._loop = asyncio.get_running_loop()
        outputs = len(stream.workflow.outputs) if subscription.outputs is None else len(subscription.outputs)
        memory = ViewerMemory(self._bridge.memory, stream.number)
        spec, credit = subscription.payload, subscription.credit
        if self._bridge.memory.join(memory, session.id, stream.number, spec, outputs, credit):
            return memory
        return None

    def _tell_refused(self, sessions: frozenset[int], error: BridgeError) -> None:
        """In any thread: the frames of these sessions come over the link."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._say_refused, sessions, error)

    def _say_refused(self, sessions: frozenset[int], error: BridgeError) -> None:
        for session in sessions:
            connection = self._find(session)
            if connection is not None:
                connection.send(error_message(error))

    # --- to the bridge -------------------------------------------------------------------------------------

    def take_file(self, connection: Connection, message: EngineMemory) -> None:
        """An engine tells of its own file, in the place of one before.

        Raises:
            NotAllowedError: not from loopback, or a file that is not to be opened (411).
            FrameDecodeError: not the file that is meant, or none of ours (103).
        """
        limit = self._bridge.config.limits.shared_memory_mb << 20
        if not limit or not is_loopback(connection.address):
            raise NotAllowedError(
                "memory: engines on this machine alone, connected over loopback, can share a file"
                if limit
                else "memory: shared memory is switched off here (limits.shared_memory_mb is 0)",
                code=ErrorCode.NOT_SUPPORTED,
                field="file",
            )
        file = EngineFile.open(message.file, message.nonce, message.slots, message.stride, limit)
        self.gone(connection)
        self._files[connection] = file

    def gone(self, connection: Connection) -> None:
        """The connection has ended, and with it the use of its file."""
        file = self._files.pop(connection, None)
        if file is not None:
            file.close()

    def with_pixels(self, connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
        """The same parameters, `{slot, seq}` replaced by a copy of what lies there. The slots are free then.

        Each slot is copied once, whatever the message says: it takes no more memory than the engine's file has.
        On a connection that has told of no file they stay as they are, for the parameter's check to refuse.

        Raises:
            FrameDecodeError: a slot that isn't there, or was written over meanwhile (103).
            InvalidValueError: slot or seq are no numbers (301), a picture too large (309), or of an unknown format
                (306).
        """
        file = self._files.get(connection)
        if file is None:
            return dict(params)
        copied: dict[tuple[int, int], dict[str, Any]] = {}
        values = dict(params)
        for name, value in params.items():
            if not isinstance(value, Mapping) or "slot" not in value:
                continue
            place = _whole(name, "slot", value.get("slot")), _whole(name, "seq", value.get("seq"))
            if place not in copied:
                copied[place] = self._pixels(file, name, *place)
            values[name] = copied[place]
        return values

    def _pixels(self, file: EngineFile, name: str, slot: int, seq: int) -> dict[str, Any]:
        try:
            header, data = file.read_slot(slot, seq, self._bridge.config.limits.max_message_bytes)
        except FrameDecodeError as error:
            raise FrameDecodeError(f"{name}: {error.message}", field=name, value=error.value) from error
        try:
            pixel_format = PixelFormat(header.format)
        except ValueError as error:
            raise InvalidValueError(
                f"{name}: slot {slot} has pixel format {header.format}, which is unknown here",
                code=ErrorCode.UNSUPPORTED_FORMAT,
                field=name,
                value=header.format,
            ) from error
        if pixel_format in ENCODED_FORMATS:
            return {"encoded": data}
        bottom_left = header.flags & FrameFlags.BOTTOM_LEFT
        return {
            "width": header.width,
            "height": header.height,
            "format": pixel_format.word,
            "origin": (Origin.BOTTOM_LEFT if bottom_left else Origin.TOP_LEFT).value,
            "data": data[: header.row_pitch * header.height] if header.mips > 1 else data,
        }

    def close(self) -> None:
        """Let go of all files."""
        for connection in list(self._files):
            self.gone(connection)


def is_loopback(address: str) -> bool:
    """Whether a peer, `host:port`, is on this machine for sure."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        peer = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
    return (mapped or peer).is_loopback


def _whole(name: str, field: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidValueError(
            f"{name}: {field} must be a whole number, 0 or more, as in {{slot, seq}}", field=name, value=field
        )
    return value
