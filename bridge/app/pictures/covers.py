"""Freeze and blackout of streams, at once or with a fade, and the fade into a live stream's pictures.

Source: wire contract, Delivery.

Frozen: the picture stays for everybody, newcomers too, and a live stream rests; sets that runs make meanwhile raise
`number` and wait, the newest alone, for the end. Blacked out: black is the next frame of every viewer, before any
credit; a live stream goes on, sets raise `number` but aren't sent. At the end of both the newest set comes as `held`.
Live with a fade: the picture that stands stays until the first new one is there, and fades into it and those behind it.

A fade is a row of held blends, 30 a second at most, each made in a decoder's thread from the newest set and offered
to who has credit; the last picture, black or the set itself, comes before any credit. A fade makes one blend at a
time: where that takes longer than a thirtieth of a second there are fewer of them, and it ends at the same moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bridge.app.bridge import Bridge
from bridge.app.pictures.held import HeldPictures
from bridge.app.pictures.sets import PictureSet
from bridge.app.records import ViewerSet, release_all
from bridge.app.viewers.viewers import Viewer, Wants
from bridge.codec.blends import mix_pixels, shade_pixels
from bridge.codec.pixels import Pixels
from bridge.errors import ErrorCode, InvalidValueError, TexbridgeError
from bridge.frames.packets import Payload, PayloadSource
from bridge.streams.stream import Stream

logger = logging.getLogger("bridge.app")

BLENDS_PER_S: Final = 30
MAX_FADE_S: Final = 3600.0


@dataclass(slots=True, eq=False)
class _Fade:
    """One fade on its way. `level` 0 is black (or the frozen picture, if there is an `old` set), 1 the newest set."""

    level: float
    end: float
    fade_s: float
    keys: frozenset[Hashable] | None = None
    """Who sees it; None: everybody."""
    old: PictureSet | None = None
    task: asyncio.Task[None] | None = None
    decoded: dict[PayloadSource, Pixels] = field(default_factory=dict)


class Covers:
    """What covers the pictures of streams. `changed(stream)` is called when a stream was frozen or goes on, and
    `log(words)` when something was switched.
    """

    def __init__(
        self, bridge: Bridge, held: HeldPictures, changed: Callable[[Stream], None], log: Callable[[str], None]
    ) -> None:
        self._bridge = bridge
        self._held = held
        self._changed = changed
        self._log = log
        self._frozen: dict[int, int] = {}
        """Number of the last set before the freeze, by stream."""
        self._dark: set[int] = set()
        """Streams whose blackout is on; one that fades in again is off already, and still covered."""
        self._armed: dict[int, float] = {}
        """Seconds of the fade that begins with a stream's next set."""
        self._fades: dict[int, _Fade] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = bridge.clock
        """The time of fades."""
        bridge.results.withholds = self._withholds

    def is_frozen(self, stream: Stream) -> bool:
        """True between freeze on and off."""
        return stream.number in self._frozen

    def is_black(self, stream: Stream) -> bool:
        """True between blackout on and off."""
        return stream.number in self._dark

    def _withholds(self, stream: int, number: int) -> bool:
        if stream in self._held.black or stream in self._fades or stream in self._armed:
            return True
        last = self._frozen.get(stream)
        return last is not None and number > last

    # --- the two switches ----------------------------------------------------------------------------------

    def freeze(self, stream: Stream, on: bool, fade_s: float | None = None) -> None:
        """Hold the picture, or let it go on; with a fade the newest set fades in. Raises: as `blackout`.

        A fade from one picture to another is over with it: the newer one stays.
        """
        fade_s = check_fade(fade_s)
        number = stream.number
        if on == self.is_frozen(stream):
            return
        self._log(f"freeze {'on' if on else 'off'}: stream {stream.name}")
        self._disarm(number)
        if on:
            for viewer in self._bridge.viewers.of_stream(number):
                viewer.settle()
            self._frozen[number] = stream.last_number
            self._bridge.shown.freeze(number)
            fade = self._fades.get(number)
            if fade is not None and fade.old is not None:  # between two pictures nothing can stay but the newer one
                self._stop(number)
                self._held.show_all(stream)
            self._changed(stream)
            return
        del self._frozen[number]
        newer, old = self._bridge.shown.thaw(number)
        if newer and number not in self._held.black and number not in self._fades:
            if old is not None and self._can_fade(stream, fade_s):
                self._begin(stream, _Fade(0.0, 1.0, fade_s, self._keys(stream), old))
                old = None
            else:
                self._held.show_all(stream)
        if old is not None:
            old.close()
        self._changed(stream)

    def blackout(self, stream: Stream, on: bool, fade_s: float | None = None) -> None:
        """Show black, or the picture again.

        Raises:
            InvalidValueError: the fade is not 0 to 3,600 seconds (302, 308).
        """
        fade_s = check_fade(fade_s)
        number = stream.number
        fade = self._fades.get(number)
        if on == self.is_black(stream) and (fade is None or fade_s):
            return  # said twice; without a fade the second time it is black now
        if on != self.is_black(stream):
            self._log(f"blackout {'on' if on else 'off'}: stream {stream.name}")
        self._disarm(number)
        level = 1.0 if on else 0.0
        if fade is not None:
            level = fade.level if fade.old is None else level
            self._stop(number)
        if on:
            self._dark.add(number)
        else:
            self._dark.discard(number)
        fades = self._can_fade(stream, fade_s)
        if on or fades:
            self._held.black.add(number)  # who comes in the middle of a fade gets black: anything else would flash
        else:
            self._held.black.discard(number)
        if fades:
            self._begin(stream, _Fade(level, 0.0 if on else 1.0, fade_s, self._keys(stream) if on else None))
        else:
            self._held.show_all(stream)

    def fade_in(self, stream: Stream, fade_s: float) -> None:
        """The stream was switched to live: the picture that stands fades into the new ones, from the first of them on.

        Without effect where nothing stands that could fade: no picture yet, frozen, black, panic, another fade.
        """
        number = stream.number
        busy = number in self._fades or self.is_frozen(stream) or number in self._held.black or self._held.panicked
        if fade_s > 0 and not busy and self._bridge.shown.get(number) is not None:
            self._bridge.shown.freeze(number)
            self._armed[number] = fade_s

    def stay(self, stream: Stream) -> None:
        """The stream is no longer live: what comes next comes at once."""
        self._disarm(stream.number)

    def set_released(self, stream: Stream) -> None:
        """A set was released, and not yet offered: a fade that waited for it begins."""
        fade_s = self._armed.pop(stream.number, None)
        if fade_s is None:
            return
        _, old = self._bridge.shown.thaw(stream.number)
        if old is not None and self._can_fade(stream, fade_s):
            self._begin(stream, _Fade(0.0, 1.0, fade_s, self._keys(stream), old))
        elif old is not None:
            old.close()

    def _disarm(self, stream: int) -> None:
        if self._armed.pop(stream, None) is not None:
            _, old = self._bridge.shown.thaw(stream)
            if old is not None:
                old.close()

    def _keys(self, stream: Stream) -> frozenset[Hashable]:
        return frozenset(viewer.key for viewer in self._bridge.viewers.of_stream(stream.number))

    def _can_fade(self, stream: Stream, fade_s: float) -> bool:
        return (
            fade_s > 0
            and not self._held.panicked
            and bool(self._bridge.viewers.of_stream(stream.number))
            and self._bridge.shown.get(stream.number) is not None
        )

    # --- fades ---------------------------------------------------------------------------------------------

    def _begin(self, stream: Stream, fade: _Fade) -> None:
        for viewer in self._bridge.viewers.of_stream(stream.number):
            viewer.settle()
        self._fades[stream.number] = fade
        task = fade.task = asyncio.get_running_loop().create_task(self._run(stream, fade))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, stream: Stream, fade: _Fade) -> None:
        begun, begin = self._clock(), fade.level
        step = 1
        try:
            while (left := begun + fade.fade_s - self._clock()) > 0:
                await asyncio.sleep(min(left, max(0.0, begun + step / BLENDS_PER_S - self._clock())))
                passed = self._clock() - begun
                if passed >= fade.fade_s:
                    break
                step = int(passed * BLENDS_PER_S) + 1
                fade.level = begin + (fade.end - begin) * passed / fade.fade_s
                await self._blend(stream, fade)
        except TexbridgeError as error:
            logger.warning("stream %s: the fade is cut short: %s", stream.name, error)
        except Exception:
            logger.exception("stream %s: the fade is cut short", stream.name)
        # However it went, the stream is where the fade was to end: never left half covered.
        if self._fades.get(stream.number) is fade:
            self._stop(stream.number)
            self._held.show_all(stream)

    async def _blend(self, stream: Stream, fade: _Fade) -> None:
        """Make one blend of the set that the stream shows now, in every form, and offer it to its viewers."""
        known = self._bridge.shown.get(stream.number)
        groups: dict[Wants, list[Viewer]] = {}
        for viewer in self._bridge.viewers.of_stream(stream.number):
            if fade.keys is None or viewer.key in fade.keys:
                groups.setdefault(viewer.wants, []).append(viewer)
        if known is None or not groups:
            return
        shared, sources = known
        blends: dict[int, PayloadSource] = {}
        try:
            for wants, viewers in groups.items():
                payloads: list[tuple[int, Payload]] = []
                try:
                    for output in wants[0]:
                        if output not in blends and output in sources:
                            blends[output] = await self._blended(stream.number, fade, output, sources[output])
                        if output in blends and (payload := await blends[output].payload(wants[1])) is not None:
                            payloads.append((output, payload))
                    if self._fades.get(stream.number) is fade and payloads:
                        self._offer(stream, viewers, ViewerSet(shared, tuple(payloads), held=True))
                finally:
                    release_all(payloads)
        except RuntimeError:
            logger.debug("stream %s: a newer set came while its blend was made", stream.name)
        finally:
            for source in blends.values():
                source.close()

    async def _blended(self, stream: int, fade: _Fade, output: int, source: PayloadSource) -> PayloadSource:
        bridge = self._bridge
        new = await self._pixels(fade, source)
        before = None if fade.old is None else fade.old.sources.get(output)
        work = (
            partial(shade_pixels, new, fade.level)
            if before is None
            else partial(mix_pixels, await self._pixels(fade, before), new, fade.level)
        )
        pixels = await bridge.decoders.submit(work)
        assert pixels is not None  # only closing drops it, which cancels the fade first
        return PayloadSource(
            pixels,
            bridge.decoders,
            bridge.buffers,
            kind=source.kind,
            jpeg_quality=bridge.config.http.jpeg_quality,
            sink_for=partial(bridge.memory.sink_for, stream),
        )

    @staticmethod
    async def _pixels(fade: _Fade, source: PayloadSource) -> Pixels:
        """The pixels of a source, decoded once for a fade and kept while it shows them."""
        known = fade.decoded.get(source)
        if known is None:
            for other in [other for other in fade.decoded if other.closed]:
                del fade.decoded[other]
            known = fade.decoded[source] = await source.pixels()
        return known

    def _offer(self, stream: Stream, viewers: list[Viewer], item: ViewerSet) -> None:
        now = self._bridge.clock()
        for viewer in viewers:
            if self._bridge.viewers.get(stream.number, viewer.key) is viewer:
                viewer.blend(item.share(), now)

    def _stop(self, stream: int) -> None:
        fade = self._fades.pop(stream, None)
        if fade is None:
            return
        if stream not in self._dark:
            self._held.black.discard(stream)
        if fade.old is not None:
            fade.old.close()
        if fade.task is not None and fade.task is not asyncio.current_task():
            fade.task.cancel()

    def end_fades(self) -> None:
        """Every fade ends now; what it led to is the caller's to show."""
        for stream in list(self._armed):
            self._disarm(stream)
        for stream in list(self._fades):
            self._stop(stream)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        self._stop(stream)
        self._armed.pop(stream, None)
        self._frozen.pop(stream, None)
        self._dark.discard(stream)
        _, old = self._bridge.shown.thaw(stream)
        if old is not None:
            old.close()

    async def close(self) -> None:
        """End all fades."""
        self.end_fades()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def check_fade(fade_s: float | None) -> float:
    """Give a fade's seconds, 0 if absent. Raises InvalidValueError (302) for what is not 0 to 3,600."""
    if fade_s is None:
        return 0.0
    if not 0 <= fade_s <= MAX_FADE_S:
        raise InvalidValueError(
            f"fade_s: {fade_s:g} is outside 0..{MAX_FADE_S:g} seconds",
            code=ErrorCode.OUT_OF_RANGE,
            field="fade_s",
            value=fade_s,
            limit=f"0..{MAX_FADE_S:g}",
        )
    return float(fade_s)
