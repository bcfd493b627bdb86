"""Sends events to a prompt's client, in buffers that are used again; waits when the client doesn't read."""

import sys
import time

MAX_WAITING_BYTES = 256 << 20
MAX_WAITING = 32
GIVE_UP_AFTER_S = 30.0
MAX_MESSAGE_BYTES = (256 << 20) - 4
"""Clients take no more, with ComfyUI's event number before it: a larger one would cut their connection."""

_KEPT = 4
_UNREFERENCED = 3
"""References to a buffer that only the sender holds: its list, the loop's variable, the argument of getrefcount."""


class SlowClientError(RuntimeError):
    """The client reads nothing: the prompt fails instead of filling the memory."""


class Sender:
    """Belongs to ComfyUI's execution thread.

    ComfyUI's queue of messages has no bound, and its publisher waits for each socket. So messages that are not yet
    written are counted here, by who still refers to their buffers.
    """

    def __init__(
        self, server, *, max_waiting_bytes=MAX_WAITING_BYTES, give_up_after_s=GIVE_UP_AFTER_S, pause=None, let_go=None
    ):
        self._server = server
        self._max_waiting_bytes = max_waiting_bytes
        self._give_up_after_s = give_up_after_s
        self._pause = pause or _pause
        self._let_go = let_go or _let_go
        self._buffers = []

    def buffer(self, size):
        """A bytearray of `size` bytes with arbitrary contents, to be given to `send`.

        Raises ValueError (too large), SlowClientError, and whatever an interrupt raises.
        """
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"a picture of {size} bytes > limit {MAX_MESSAGE_BYTES}: send 8 bits, or a file")
        self._wait_for_room(size)
        free = []
        for buffer in self._buffers:
            if sys.getrefcount(buffer) <= _UNREFERENCED:
                free.append(buffer)
        for buffer in free:
            if len(buffer) == size:
                return buffer
        # Other sizes are of no use any more: pictures of a prompt are mostly of one size.
        for buffer in free[: max(0, len(self._buffers) + 1 - _KEPT)]:
            self._buffers = [kept for kept in self._buffers if kept is not buffer]
        buffer = bytearray(size)
        self._buffers.append(buffer)
        return buffer

    def send(self, event, buffer, client_id):
        """Put a message into ComfyUI's queue. Nothing may be written to the buffer after that."""
        self._server.send_sync(event, buffer, client_id)
        self._let_go()

    def _waiting(self):
        count = size = 0
        for buffer in self._buffers:
            if sys.getrefcount(buffer) > _UNREFERENCED:
                count += 1
                size += len(buffer)
        return count, size

    def _wait_for_room(self, size):
        began = None
        while True:
            count, waiting = self._waiting()
            # ComfyUI holds the message that it wrote last until the next one: one alone is no backlog.
            if count <= 1 or (count < MAX_WAITING and waiting + size <= self._max_waiting_bytes):
                return
            now = time.perf_counter()
            began = now if began is None else began
            if now - began > self._give_up_after_s:
                raise SlowClientError(
                    f"the client has not read {count} pictures of {waiting} bytes for {self._give_up_after_s:g} s"
                )
            self._pause()


def _let_go():
    """Give ComfyUI's event loop the interpreter, which it else has to wait 5 ms for: the picture goes out at once."""
    time.sleep(0.0002)


def _pause():
    time.sleep(0.002)
