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
from bridge.app.pictures.held_forms import HeldForms
from bridge.app.pictures.last_frames import LastFrames
from bridge.app.pictures.placeholder import Still, black_payload, drawn_still
from bridge.app.records import ReleasedSet, ViewerSet, release_all
from bridge.app.viewers.viewers import Viewer
from bridge.codec.payloads import BLOCK_FORMATS
from bridge.errors import TexbridgeError
from bridge.frames.packets import Payload
from bridge.streams.stream import Stream
from bridge.types import OutputKind, Size

logger = logging.getLogger("bridge.app")

DEFAULT_SIZE: Final = Size(512, 512)
"""Of a placeholder, where the graph alone knows its size."""

PIXELS_ON_LOOP: Final = 512 * 1024
"""A placeholder up to here takes a few milliseconds; a larger one, or one of blocks, is made in a decoder's thread."""


class HeldPictures:
    """The held pictures of one bridge. `panicked` and `black` (stream numbers) are kept by who switches them."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.panicked = False
        self.black: set[int] = set()
        self.placeholders: dict[int, Still] = {}
        """Pictures that the configuration names, by stream; they come before the last one that was kept."""
        self.placeholder = drawn_still("test_card")
        """The picture for everybody else."""
        self.forms = HeldForms(bridge.decoders, bridge.buffers)
        self.last_frames = LastFrames(bridge, lambda stream: not self.is_covered(stream), self.forms.forget)
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
        return self._bridge.shown.get(stream.number) is not None

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
            return self._bridge.shown.held_now(stream.number, viewer)
        if self.last_frames.is_loading(stream):
            return None
        outputs, spec = viewer.wants
        width, height = spec.size or self._size(stream)
        is_large = width * height * len(outputs) > PIXELS_ON_LOOP or spec.format in BLOCK_FORMATS
        if self.is_black(stream):
            return None if is_large else self._black(stream, viewer)
        payloads: list[tuple[int, Payload]] = []
        try:
            for output, kind in self._outputs(stream, viewer):
                still = self._still(stream, output)
                form = self.forms.form(still, spec, self._size(stream), kind)
                # A photograph of 33 megapixels takes half a second to be made small.
                from_large = still.pixels.size.width * still.pixels.size.height > PIXELS_ON_LOOP
                payload = self.forms.ready(form) if is_large or from_large else self.forms.make_now(form)
                if payload is None:
                    break
                payloads.append((output, payload))
            else:
                return _placeholder_set(payloads)
        except TexbridgeError as error:
            logger.debug("stream %s: no placeholder: %s", stream.name, error)
        release_all(payloads)
        return None

    async def make(self, stream: Stream, viewer: Viewer) -> ViewerSet | None:
        """The held picture in a viewer's form, owned by the caller, made in a decoder's thread.

        Raises:
            TexbridgeError: the form can't be made, or no buffer is left.
        """
        if not self._holds_last(stream):
            await self.last_frames.loaded(stream)
        if self._holds_last(stream):
            return await self._bridge.shown.held_set(stream.number, viewer.wants)
        if self.is_black(stream):
            return await self._bridge.decoders.run(partial(self._black, stream, viewer), _release)
        payloads: list[tuple[int, Payload]] = []
        try:
            for output, kind in self._outputs(stream, viewer):
                form = self.forms.form(self._still(stream, output), viewer.wants[1], self._size(stream), kind)
                payload = await self.forms.make(form)
                if payload is not None:
                    payloads.append((output, payload))
        except BaseException:
            release_all(payloads)
            raise
        return _placeholder_set(payloads)

    def _outputs(self, stream: Stream, viewer: Viewer) -> list[tuple[int, OutputKind]]:
        there = stream.workflow.outputs
        return [(output, there[output].kind) for output in viewer.wants[0] if output < len(there)]

    def _still(self, stream: Stream, output: int) -> Still:
        """What stands in for a stream's own picture. Not its last one in a panic, which may be what has to go."""
        own = self.placeholders.get(stream.number)
        if own is None and not self.panicked:
            own = self.last_frames.still(stream, output)
        return self.placeholder if own is None else own

    def _size(self, stream: Stream) -> Size:
        shown = self._bridge.shown.get(stream.number)
        if shown is not None and shown[1]:
            return next(iter(shown[1].values())).size  # the engine's texture has this size by now
        if stream.picture_size is not None:
            return stream.picture_size
        still = self._still(stream, 0)
        return DEFAULT_SIZE if still is self.placeholder else still.pixels.size

    def _black(self, stream: Stream, viewer: Viewer) -> ViewerSet | None:
        """Black for each output of a viewer; None if there is no room for it."""
        size = self._size(stream)
        payloads: list[tuple[int, Payload]] = []
        try:
            for output, kind in self._outputs(stream, viewer):
                payloads.append((output, black_payload(viewer.wants[1], size, self._bridge.buffers, kind)))
        except TexbridgeError as error:
            logger.debug("stream %s: no black picture: %s", stream.name, error)
            release_all(payloads)
            return None
        return _placeholder_set(payloads)

    # --- the end -------------------------------------------------------------------------------------------

    def forget_stream(self, stream: Stream) -> None:
        """The stream is gone."""
        number = stream.number
        self.last_frames.forget_stream(stream)
        self.black.discard(number)
        own = self.placeholders.pop(number, None)
        if own is not None:
            self.forms.forget(own)
        self._turns.pop(number, None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is still being prepared for viewers."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.forms.close()


def _release(held: ViewerSet | None) -> None:
    if held is not None:
        held.release()


def _placeholder_set(payloads: list[tuple[int, Payload]]) -> ViewerSet | None:
    """A set that is none of the stream's own; None without payloads."""
    if not payloads:
        return None
    return ViewerSet(ReleasedSet(number=0, request=0, index=0, last=False), tuple(payloads), held=True)
