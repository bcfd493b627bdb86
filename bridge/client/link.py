"""One greeted connection to a bridge: hello and welcome, then frames and answers as records."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from bridge.client.faults import error_of
from bridge.client.transport import Address, Transport, open_transport
from bridge.codec.frame import FrameHeader, decode_frame
from bridge.codec.messages import (
    BridgeMessage,
    Error,
    Hello,
    Message,
    MessageLimits,
    Welcome,
    decode_answer,
    encode_message,
)
from bridge.codec.parts import PartAssembler
from bridge.errors import DecodeError, ErrorCode, FrameDecodeError, MessageDecodeError

logger = logging.getLogger("bridge.client")

LARGEST_MESSAGE_BYTES: Final = 512 * 1024 * 1024
"""Of one frame or map, all its parts together: more than any texture of 8192 x 8192 in 8 bits."""


class Owner(Protocol):
    """The client, as its link sees it. Every method returns at once."""

    def link_opened(self, link: Link, welcome: Welcome) -> None:
        """The bridge has greeted us. Whatever came behind the welcome follows after this call."""
        ...

    def frame_came(self, header: FrameHeader, data: memoryview) -> None:
        """A frame; `data` stays as it is for as long as somebody holds it."""
        ...

    def answer_came(self, message: BridgeMessage) -> None:
        """Any other message."""
        ...

    def answer_failed(self, id: int, error: DecodeError) -> None:
        """The answer to our message `id` came, and can't be read."""
        ...

    def link_ended(self, link: Link, error: Exception) -> None:
        """A link that was opened is closed. Called once."""
        ...


class Link:
    """The `Receiver` of one transport.

    Attributes:
        malformed: messages that could not be read, and were dropped.
    """

    def __init__(self, owner: Owner, max_message_bytes: int | None) -> None:
        self.malformed = 0
        self._owner = owner
        self._socket_limit = LARGEST_MESSAGE_BYTES if max_message_bytes is None else max_message_bytes
        self._parts = PartAssembler(LARGEST_MESSAGE_BYTES)
        self._limits = MessageLimits()
        self._greeting: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._transport: Transport | None = None
        self._fatal: Exception | None = None
        self._ended = False

    async def open(self, address: Address, hello: Hello) -> Welcome:
        """Connect and say hello; gives the welcome after `Owner.link_opened`.

        Raises:
            TexbridgeError: the bridge refuses (401, 402, 407, 601). LinkLostError: nobody is there, or the link was
                cut first. Put a time limit around it.
        """
        try:
            self._transport = await open_transport(address, self, self._socket_limit)
            self._transport.send(encode_message(hello))
            return await asyncio.shield(self._greeting)
        except BaseException:
            self._ended = True
            self.abort()
            if self._greeting.done() and not self._greeting.cancelled():
                self._greeting.exception()  # seen: nobody waits for it any more
            raise

    @property
    def heard(self) -> int:
        """Grows with what comes in; equal at two moments: silence between them."""
        return 0 if self._transport is None else self._transport.heard

    def send(self, message: Message) -> None:
        """Send one message. Raises TypeError and ValueError as `encode_message`."""
        self.send_bytes(encode_message(message))

    def send_bytes(self, data: bytes) -> None:
        """Send one encoded message; nothing happens if the link has ended."""
        if self._transport is not None and not self._ended:
            self._transport.send(data)

    async def drain(self) -> None:
        """Wait until the socket takes more, or the link has ended."""
        if self._transport is not None and not self._ended:
            await self._transport.drain()

    async def close(self) -> None:
        """End the link in order."""
        if self._transport is not None and not self._ended:
            await self._transport.close()

    def abort(self) -> None:
        """End the link at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- Receiver ------------------------------------------------------------------------------------------

    def message(self, data: bytes | memoryview) -> None:
        """Take one whole message off the wire."""
        if self._ended or self._fatal is not None:
            return
        try:
            self._take(data)
        except FrameDecodeError as error:
            self.malformed += 1
            logger.warning("a frame was dropped: %s", error)
        except DecodeError as error:
            self.malformed += 1
            if error.code in (ErrorCode.UNKNOWN_OP, ErrorCode.BAD_MESSAGE):
                logger.debug("a message was dropped: %s", error)
                if isinstance(error, MessageDecodeError) and error.id is not None:
                    self._owner.answer_failed(error.id, error)
                return
            logger.warning("the bridge and this client don't speak the same language: %s", error)
            self._fatal = error
            self.abort()

    def _take(self, data: bytes | memoryview) -> None:
        if data[:4] == b"TXBP":
            whole = self._parts.feed(data)
            if whole is None:
                return
            data = whole
        if data[:2] == b"TX":
            header, payload = decode_frame(data)
            if self._greeting.done():
                self._owner.frame_came(header, payload.toreadonly())
            return
        message = decode_answer(data, self._limits)
        if isinstance(message, Error) and message.fatal:
            self._fatal = error_of(message)
        elif self._greeting.done():
            self._owner.answer_came(message)
        elif isinstance(message, Welcome):
            self._greeting.set_result(message)
            self._owner.link_opened(self, message)

    def ended(self, error: Exception) -> None:
        """The socket is closed."""
        if self._fatal is not None:
            error = self._fatal
        if not self._greeting.done():
            self._greeting.set_exception(error)
            self._greeting.exception()  # it is raised by `open`, or nobody wants it any more
        elif not self._ended:
            self._ended = True
            self._owner.link_ended(self, error)
        self._ended = True
