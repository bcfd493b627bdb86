"""What a viewer is shown besides new sets: the last set, a placeholder, the panic picture, black. All `held` frames.

What can be had at once goes out at once; what would hold up the loop is made in a decoder's thread and follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from bridge.app.bridge import Bridge
from bridge.app.placeholder import black_payload, picture_payload, placeholder_payload
from bridge.app.records import ReleasedSet, ViewerSet
from bridge.app.viewers import Viewer
from bridge.codec.pixels import Pixels
from bridge.errors import TexbridgeError
from bridge.frames.packets import Payload
from bridge.streams.stream import Stream
from bridge.types import Size

logger = logging.getLogger("bridge.app")

DEFAULT_SIZE: Final = Size(512, 512)
"""Of a placeholder, where the graph alone knows its size."""

PIXELS_ON_LOOP: Final = 512 * 1024
"""A placeholder up to here takes a few milliseconds; a larger one is made in a decoder's thread."""


class HeldPictures:
    """The held pictures of one bridge. `panicked` and `black` (stream numbers) are kept by who switches them."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.panicked = False
        self.black: set[int] = set()
        self.placeholders: dict[int, Pixels] = {}
        """Pictures that stand in for a stream's own, by its number; a checkerboard where there is none."""
        self._turns: Counter[int] = Counter()
        """By stream: how often everything that waited was thrown out; what was begun before is late."""
        self._tasks: set[asyncio.Task[None]] = set()

    def is_black(self, stream: Stream) -> bool:
        """Whether nothing of this stream may be seen now."""
        return stream.number in self.black or (self.panicked and self._bridge.config.panic.picture == "black")

    def is_covered(self, stream: Stream) -> bool:
        """Whether a picture that no workflow made is the right one to show, panic or blackout."""
        return self.panicked or stream.number in self.black

    def _holds_last(self, stream: Stream) -> bool:
        """Whether a held picture of this stream is its last set now, and not one that no workflow made."""
        if stream.number in self.black or (self.panicked and self._bridge.config.panic.picture != "hold"):
            return False
        return self._bridge.results.shown(stream.number) is not None

    # --- to viewers ----------------------------------------------------------------------------------------

    def show_newcomer(self, stream: Stream, viewer: Viewer) -> None:
        """Give a viewer the stream's last set, the placeholder, or what covers the stream, as its held picture."""
        held = self._now(stream, viewer)
        if held is not None:
            self._give(stream, viewer, held)
        else:
            self._spawn(self._give_later(stream, viewer))

    def show_all(self, stream: Stream) -> None:
        """Throw out whatever waits for this stream's viewers: what it shows now is the next frame of each."""
        self._turns[stream.number] += 1
        for viewer in self._bridge.viewers.of_stream(stream.number):
            held = self._now(stream, viewer)
            viewer.panic(held if held is not None and not held.number else None)
            if held is None:
                self._spawn(self._give_later(stream, viewer))
            elif held.number:
                self._give(stream, viewer, held)

    def _give(self, stream: Stream, viewer: Viewer, held: ViewerSet) -> None:
        if self.is_covered(stream):
            viewer.panic(held)
        else:
            viewer.hold(held)

    async def _give_later(self, stream: Stream, viewer: Viewer) -> None:
        """Give a viewer the held picture that can't be had at once."""
        turn = self._turns[stream.number]
        try:
            held = await self.make(stream, viewer)
        except TexbridgeError as error:
            logger.debug("stream %s: no held picture: %s", stream.name, error)
            return
        if held is None:
            return
        gone = self._bridge.viewers.get(stream.number, viewer.key) is not viewer
        if gone or self._turns[stream.number] != turn:
            held.release()  # nobody looks any more, or has another picture by now, after which this may not come
        else:
            self._give(stream, viewer, held)

    # --- making --------------------------------------------------------------------------------------------

    def _now(self, stream: Stream, viewer: Viewer) -> ViewerSet | None:
        """The held picture in a viewer's form; None if it would hold up the loop."""
        if self._holds_last(stream):
            return self._bridge.results.held_now(stream.number, viewer)
        width, height = viewer.wants[1].size or self._size(stream)
        if width * height * len(viewer.wants[0]) > PIXELS_ON_LOOP:
            return None
        return self._placeholder(stream, viewer, self.is_black(stream))

    async def make(self, stream: Stream, viewer: Viewer) -> ViewerSet | None:
        """The held picture in a viewer's form, owned by the caller, made in a decoder's thread.

        Raises:
            TexbridgeError: the form can't be made, or no buffer is left.
        """
        if self._holds_last(stream):
            return await self._bridge.results.held_set(stream.number, viewer.wants)
        work = partial(self._placeholder, stream, viewer, self.is_black(stream))
        return await self._bridge.decoders.run(work, _release)

    def _size(self, stream: Stream) -> Size:
        shown = self._bridge.results.shown(stream.number)
        if shown is not None and shown[1]:
            return next(iter(shown[1].values())).size  # the engine's texture has this size by now
        own = self.placeholders.get(stream.number)
        return stream.picture_size or (DEFAULT_SIZE if own is None else own.size)

    def _placeholder(self, stream: Stream, viewer: Viewer, black: bool) -> ViewerSet | None:
        """A picture that is none of the stream's own, for each output of a viewer; None if there is no room for it."""
        size = self._size(stream)
        own = self.placeholders.get(stream.number)
        make = black_payload if black else placeholder_payload if own is None else partial(picture_payload, own)
        payloads: list[tuple[int, Payload]] = []
        try:
            for output in viewer.wants[0]:
                if output < len(stream.workflow.outputs):
                    kind = stream.workflow.outputs[output].kind
                    payloads.append((output, make(viewer.wants[1], size, self._bridge.buffers, kind)))
        except TexbridgeError as error:
            logger.debug("stream %s: no placeholder: %s", stream.name, error)
            for _, payload in payloads:
                payload.release()
            return None
        if not payloads:
            return None
        return ViewerSet(ReleasedSet(number=0, request=0, index=0, last=False), tuple(payloads), held=True)

    # --- the end -------------------------------------------------------------------------------------------

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        self.black.discard(stream)
        self.placeholders.pop(stream, None)
        self._turns.pop(stream, None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is still being prepared for viewers."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _release(held: ViewerSet | None) -> None:
    if held is not None:
        held.release()
