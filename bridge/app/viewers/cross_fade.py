"""One subscriber's cross-fade: blends at a steady rate between the sets that it is offered.

When what happens is `delivery/cross_fade`'s affair, how two payloads are mixed `frames/mixing`'s; here are the timer
and the decoders' threads between them. Whatever covers the stream (panic, blackout, freeze) ends the fade at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from bridge.app.records import ViewerSet, release_all
from bridge.app.timer import Handle
from bridge.delivery.cross_fade import Blend, CrossFade, Turn
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.frames.mixing import MIXED_FORMATS, can_mix, mix_payloads
from bridge.frames.packets import Payload
from bridge.types import PixelFormat, Sink, Size

logger = logging.getLogger("bridge.app")

MOST_BLEND_FPS: Final = 240

CallLater = Callable[[float, Callable[[], None]], Handle]


class Screen(Protocol):
    """Whoever sees the fade: a viewer."""

    def show(self, item: ViewerSet, now: float) -> None:
        """A set's turn has come; it is the screen's from now on."""
        ...

    def blend(self, item: ViewerSet, now: float) -> None:
        """A blend; it is the screen's from now on."""
        ...

    def takes_blend(self, number: int) -> bool:
        """Whether a blend of the set with this number would be sent before anything that matters more."""
        ...


def check_blend_fps(fps: float | None, pixel_format: PixelFormat) -> None:
    """Whether a subscription of this format can be blended at this rate.

    Raises:
        InvalidValueError: not over 0, or more than 240 (302).
        NotAllowedError: a format of blocks or files (411).
    """
    if fps is None:
        return
    if not 0 < fps <= MOST_BLEND_FPS:
        raise InvalidValueError(
            f"blend_fps {fps:g} is outside 0..{MOST_BLEND_FPS}",
            code=ErrorCode.OUT_OF_RANGE,
            field="blend_fps",
            value=fps,
            limit=f"0..{MOST_BLEND_FPS}",
        )
    if pixel_format not in MIXED_FORMATS:
        can = ", ".join(known.word for known in MIXED_FORMATS)
        raise NotAllowedError(
            f"blend_fps with {pixel_format.word}: each blend would be compressed anew; blended are {can}",
            code=ErrorCode.NOT_SUPPORTED,
            field="blend_fps",
            value=pixel_format.word,
            limit=can,
        )


class ViewerFade:
    """The cross-fade of one viewer. It owns the sets that it holds."""

    def __init__(
        self,
        fps: float,
        pool: DecodePool,
        sink_for: Callable[[Size], Sink],
        call_later: CallLater,
        clock: Callable[[], float],
    ) -> None:
        """`sink_for(size)` names the sink of this viewer's payloads for pictures of a size; it is asked in a thread."""
        self.fps = fps
        self._fade: CrossFade[ViewerSet] = CrossFade(fps)
        self._pool = pool
        self._sink_for = sink_for
        self._call_later = call_later
        self._clock = clock
        self._screen: Screen | None = None
        self._timer: Handle | None = None
        self._mixing: asyncio.Task[None] | None = None
        self._turn = 0
        """Grows whenever what is being mixed becomes too late."""

    def attach(self, screen: Screen) -> None:
        """The fade is this viewer's."""
        self._screen = screen

    def offer(self, item: ViewerSet, now: float) -> None:
        """A new set, the fade's from now on. One of another size or format is shown at once: nothing fades into it."""
        newest = self._fade.newest
        if newest is not None and not _pairs(newest, item):
            self.start_from(None)
        self._take(self._fade.offer(item, now), now)

    def start_from(self, item: ViewerSet | None) -> None:
        """The viewer is shown another picture: what fades, fades no more, and the next set fades from it.

        None, or a placeholder: the next set comes at once. The item stays the caller's.
        """
        self._turn += 1
        kept = None
        if item is not None and item.number:
            kept = ViewerSet(item.shared, item.share().payloads)
        self._take(self._fade.start_from(kept), self._clock())

    def settle(self) -> None:
        """The fade is over now: the newest set comes at once."""
        self._turn += 1
        self._take(self._fade.settle(), self._clock())

    def close(self) -> None:
        """Let go of everything."""
        self.start_from(None)
        self._screen = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, turn: Turn[ViewerSet], now: float) -> None:
        screen = self._screen
        if turn.show is not None and screen is not None:
            self._turn += 1
            screen.show(ViewerSet(turn.show.shared, turn.show.share().payloads), now)
        if turn.blend is not None and screen is not None:
            self._begin(turn.blend, screen)
        for item in turn.dropped:
            item.release()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._fade.next_deadline()
        if at is not None and self._screen is not None:
            self._timer = self._call_later(max(0.0, at - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        self._take(self._fade.handle_timer(now), now)

    def _begin(self, blend: Blend[ViewerSet], screen: Screen) -> None:
        """Mix a blend in a thread, unless one is still being mixed, or nobody would get it."""
        if self._mixing is not None or not screen.takes_blend(blend.old.number):
            return
        pairs = _pairs(blend.old, blend.new)
        if not pairs:
            return
        for one, two in pairs:
            one[1].retain()
            two[1].retain()
        self._mixing = asyncio.get_running_loop().create_task(self._mix(blend.old, pairs, blend.share, self._turn))

    async def _mix(
        self, shown: ViewerSet, pairs: list[tuple[tuple[int, Payload], tuple[int, Payload]]], share: float, turn: int
    ) -> None:
        made: tuple[tuple[int, Payload], ...] | None = None
        try:
            made = await self._pool.run(partial(_mixed, pairs, share, self._sink_for), release_all)
        except TexbridgeError as error:
            logger.debug("a blend is left out: %s", error)
        finally:
            self._mixing = None
            for one, two in pairs:
                one[1].release()
                two[1].release()
        if made is None:
            return
        if self._screen is None or turn != self._turn or not self._screen.takes_blend(shown.number):
            release_all(made)
            return
        self._screen.blend(ViewerSet(shown.shared, made, held=True), self._clock())


def _pairs(old: ViewerSet, new: ViewerSet) -> list[tuple[tuple[int, Payload], tuple[int, Payload]]]:
    """The payloads of two sets, output by output; none where one of them can't be mixed."""
    if [output for output, _ in old.payloads] != [output for output, _ in new.payloads]:
        return []
    pairs = list(zip(old.payloads, new.payloads, strict=True))
    return pairs if all(can_mix(one[1], two[1]) for one, two in pairs) else []


def _mixed(
    pairs: list[tuple[tuple[int, Payload], tuple[int, Payload]]], share: float, sink_for: Callable[[Size], Sink]
) -> tuple[tuple[int, Payload], ...]:
    """In a thread: a blend of each output."""
    made: list[tuple[int, Payload]] = []
    try:
        for (output, one), (_, two) in pairs:
            made.append((output, mix_payloads(one, two, share, sink_for(Size(two.width, two.height)))))
    except BaseException:
        release_all(made)
        raise
    return tuple(made)
