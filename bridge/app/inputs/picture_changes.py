"""A camera that shows the same for hours makes no pictures: what hardly changed since the last used one is passed over.

Of a live stream alone, and of pictures alone: another value, or a run, always makes a picture, and then the newest one
goes in. What counts is the mean absolute difference between two small pictures of 32 by 32, 0..1, with the one that
went into a prompt last: so what changes slowly adds up, and a sensor's noise averages out. It is measured in a
decoder's thread, one picture of a stream at a time, the newest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridge.app.bridge import Bridge
from bridge.app.records import Request
from bridge.codec.engine_pictures import picture_pixels
from bridge.codec.picture_header import PictureLimits
from bridge.codec.pixels import image_of
from bridge.errors import TexbridgeError
from bridge.streams.stream import Stream
from bridge.types import Mode, Picture, PictureRule, RawPicture, Size

logger = logging.getLogger("bridge.app")

SIDE: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """A picture made small, and how large it was."""

    size: Size
    pixels: NDArray[Any]


@dataclass(slots=True, eq=False)
class _Seen:
    """A picture of a parameter, with its small one once that was needed."""

    picture: Picture | RawPicture
    small: Small | None = None


class PictureChanges:
    """Which pictures of which streams are passed over. `skipped` counts them by stream."""

    def __init__(self, bridge: Bridge, touch: Callable[[Stream], None]) -> None:
        """`touch` is called with a stream whose next picture will be another one after all."""
        self.skipped: Counter[int] = Counter()
        self._touch = touch
        self._bridge = bridge
        self._used: dict[tuple[int, str], _Seen] = {}
        """Those that went into a prompt last."""
        self._newest: dict[tuple[int, str], _Seen] = {}
        """Those that were measured last."""
        self._measuring: dict[int, asyncio.Task[None]] = {}
        self._bridge.pictures.on_bring = self._brought

    def limits(self, stream: Stream) -> dict[str, float]:
        """By image parameter: how much its picture has to change; those of which any change counts are left out."""
        rules = self._bridge.library.get(stream.workflow.name).picture_rules
        limits = {
            name: rule.min_change if stream.min_change is None else stream.min_change for name, rule in rules.items()
        }
        return {name: limit for name, limit in limits.items() if limit > 0}

    def holds_back(self, stream: Stream, changed: tuple[str, ...]) -> bool:
        """Whether it is to be seen first if these values make another picture; `touch` follows if they do."""
        if stream.mode is not Mode.LIVE:
            return False
        limits = self.limits(stream)
        if not all(name in limits and (stream.number, name) in self._used for name in changed):
            return False
        if stream.number not in self._measuring:
            task = asyncio.get_running_loop().create_task(self._measure(stream, limits))
            self._measuring[stream.number] = task
            task.add_done_callback(lambda _: self._measuring.pop(stream.number, None))
        return True

    async def _measure(self, stream: Stream, limits: Mapping[str, float]) -> None:
        """Measure the newest pictures of a stream until there is no newer one."""
        while True:
            pictures = self._pictures(stream, limits)
            try:
                differs = await self._differs(stream, pictures, limits)
            except TexbridgeError as error:
                logger.debug("stream %s: a picture could not be measured: %s", stream.name, error)
                differs = True  # whatever is wrong with it, its prompt will tell
            if self._bridge.streams.by_number.get(stream.number) is not stream:
                return
            if differs:
                self._touch(stream)
            else:
                self.skipped[stream.number] += 1
            newer = self._pictures(stream, limits)
            if all(newer.get(name) is picture for name, picture in pictures.items()):
                return

    @staticmethod
    def _pictures(stream: Stream, limits: Mapping[str, float]) -> dict[str, Picture | RawPicture]:
        values = stream.values.snapshot().values
        return {name: value for name in limits if isinstance(value := values.get(name), Picture | RawPicture)}

    async def _differs(
        self, stream: Stream, pictures: Mapping[str, Picture | RawPicture], limits: Mapping[str, float]
    ) -> bool:
        rules = self._bridge.library.get(stream.workflow.name).picture_rules
        for name, picture in pictures.items():
            key = (stream.number, name)
            used, seen = self._used.get(key), self._newest.get(key)
            if used is None:
                return True
            if used.picture is picture:
                continue
            if seen is None or seen.picture is not picture:
                seen = self._newest[key] = _Seen(picture)
            for each in (used, seen):
                if each.small is None:
                    each.small = await self._small(each.picture, rules[name])
            if used.small is None or seen.small is None or difference(used.small, seen.small) >= limits[name]:
                return True
        return False

    async def _small(self, picture: Picture | RawPicture, rule: PictureRule) -> Small | None:
        limits = self._bridge.picture_limits
        return await self._bridge.decoders.submit(lambda: small_picture(picture, rule, limits))

    def _brought(self, request: Request, pictures: Mapping[str, Picture | RawPicture]) -> None:
        """Pictures go into a prompt: what comes is measured by these."""
        stream = request.stream
        for name in self.limits(stream):
            key, picture = (stream.number, name), pictures.get(name)
            seen = self._newest.get(key)
            if picture is not None and not request.warm_up:
                self._used[key] = seen if seen is not None and seen.picture is picture else _Seen(picture)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        task = self._measuring.pop(stream, None)
        if task is not None:
            task.cancel()
        self.skipped.pop(stream, None)
        for known in (self._used, self._newest):
            for key in [key for key in known if key[0] == stream]:
                del known[key]

    async def close(self) -> None:
        """Measure nothing more."""
        tasks = list(self._measuring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def small_picture(picture: Picture | RawPicture, rule: PictureRule, limits: PictureLimits) -> Small:
    """In a thread: the picture small, measures as the grey that they become. Raises PictureDecodeError."""
    pixels = picture_pixels(picture, replace(rule, rotate=0, mirror_x=False, fit=None), None, limits)
    image = image_of(pixels, alpha=False)
    if image.mode == "I;16":
        image = Image.fromarray(np.ascontiguousarray(pixels.array[..., 0] >> 8).astype(np.uint8))
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX).convert("RGB")
    return Small(pixels.size, np.asarray(small).astype(np.int16))


def difference(one: Small, two: Small) -> float:
    """How much two pictures differ, 0..1; pictures of different sizes are different ones."""
    if one.size != two.size:
        return 1.0
    return float(np.abs(one.pixels - two.pixels).mean()) / 255
