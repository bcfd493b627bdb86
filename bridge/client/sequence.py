"""A sequence as its asker sees it: sets in the order of their index, each acknowledged when the next one is asked for.

A cut is healed by the session: the bridge sends again from the first set that was not acknowledged, and what is here
already is not given twice.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.client.faults import LinkLostError
from bridge.client.frames import Frame, Frames, FramesOwner
from bridge.client.pictures import picture_value
from bridge.client.requests import Run
from bridge.codec import messages as m
from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Outcome

PICTURES_AHEAD: Final = 16
"""Where the bridge doesn't say how far ahead pictures are taken."""
LOOK_AGAIN_S: Final = 0.5
ANSWER_WITHIN_S: Final = 10.0


class SequenceEndedError(Exception):
    """A sequence ended otherwise than `done`. `finished` is its terminal answer, whose `code` and `message` say why."""

    def __init__(self, finished: m.Finished, what: str = "") -> None:
        why = what or finished.message or ""
        name = f" ({finished.name})" if finished.name else ""
        super().__init__(f"the sequence ended {finished.outcome}{name}{': ' if why else ''}{why}")
        self.finished = finished


@dataclass(frozen=True, slots=True)
class FrameSet:
    """One frame of a sequence: its index, the set's number, and a `Frame` for each output that was subscribed to."""

    index: int
    number: int
    frames: tuple[Frame, ...]

    @property
    def pixels(self) -> NDArray[np.generic]:
        """The first output's pixels, see `Frame.pixels`."""
        return self.frames[0].pixels


class OrderedFrames(Frames):
    """The sets of a lossless subscription, oldest first. Held pictures and what came already are left out."""

    def __init__(self, owner: FramesOwner, message: m.Subscribe) -> None:
        super().__init__(owner, message)
        self._sets: deque[list[Frame]] = deque()
        self.newest = 0
        """The highest number of all that came, held pictures too."""
        self.on_set: Callable[[Frame], None] = lambda frame: None
        """Called with the last frame of each set as it comes."""

    def take(self, frame: Frame) -> None:
        """A frame came. With the last of its set, the set waits behind the others."""
        super().take(frame)
        if not self._waiting:
            return
        whole, self._waiting = self._waiting, []
        number = whole[-1].number
        if frame.preview:
            return
        known = number <= self.newest
        self.newest = max(self.newest, number)
        if frame.held:
            return
        if known:
            if number <= self._acked:  # the ack was lost with the old link
                self._owner.send_ack(self.number, number)
            return
        self._sets.append(whole)
        self.on_set(frame)
        self._came.set()

    def restart(self, subscribed: m.Subscribed | None = None) -> None:
        """On another link: what waits here still waits. `subscribed` is the answer to a new subscription."""
        acked, in_hand, done = self._acked, self._in_hand, self._done
        super().restart(subscribed)
        if subscribed is None:
            self._acked, self._in_hand, self._done = acked, in_hand, done
        else:
            self.newest = 0
            self._sets.clear()

    def take_set(self) -> list[Frame] | None:
        """Give the next set and acknowledge the one before; None if none is here."""
        self._done = max(self._done, self._in_hand)
        self._in_hand = 0
        self._send_ack(False)
        if not self._sets:
            return None
        whole = self._sets.popleft()
        self._in_hand = whole[-1].number
        return whole

    async def wait(self) -> None:
        """Wait until something came. Raises as `Frames.next`."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._closed:
            raise LinkLostError(f"the subscription to stream {self.stream!r} is closed")
        if not self._sets:
            self._came.clear()
            await self._came.wait()

    def wake(self) -> None:
        """Whoever waits looks again."""
        self._came.set()


class Asker(Protocol):
    """The client's session, as a sequence uses it."""

    @property
    def welcome(self) -> m.Welcome:
        """The newest welcome."""
        ...

    async def ask(self, message: m.Message, kind: type[m.Ok]) -> m.Ok:
        """Send a message and wait for its answer."""
        ...


class Sequence:
    """One accepted sequence: `async for frame_set in sequence`, or `await sequence.next()`.

        async with await client.sequence("main", 24, {"blur": [[0, 0.1], [23, 1.0, "cubic_in"]]}) as sequence:
            async for frame_set in sequence:
                save(frame_set.index, frame_set.pixels)

    A set is acknowledged when the next one is asked for: so the bridge makes no more than its window ahead of who
    reads. Leaving the block before the end cancels what is left.

    Attributes:
        frames: how many sets there will be.
    """

    def __init__(self, session: Asker, run: Run, ordered: OrderedFrames, frames: int) -> None:
        self.frames = frames
        self._session = session
        self._run = run
        self._ordered = ordered
        self._next_index = 0
        self._arrived = 0
        self._sending: asyncio.Task[None] | None = None
        self._more_arrived = asyncio.Event()
        ordered.on_set = self._set_came
        run.on_finished(self._wake)

    @property
    def request(self) -> int:
        """Its number, which its frames carry too."""
        return self._run.request

    @property
    def key(self) -> int | str | None:
        """The client's own name for it."""
        return self._run.key

    @property
    def progress(self) -> m.Progress | None:
        """The newest progress over the whole sequence, `value` of `max` frames; None before the first."""
        return self._run.progress

    @property
    def is_finished(self) -> bool:
        """True once `finished` gives its answer at once; sets may still be here, or on their way."""
        return self._run.is_finished

    @property
    def subscribed(self) -> m.Subscribed:
        """What holds for its sets: format, origin, size ..."""
        return self._ordered.subscribed

    async def finished(self, timeout_s: float | None = None) -> m.Finished:
        """Wait for the terminal answer. Raises as `Run.finished`. Read the sets meanwhile: it pauses if nobody does."""
        return await self._run.finished(timeout_s)

    async def next(self, timeout_s: float | None = None) -> FrameSet:
        """Give the next set.

        Raises:
            StopAsyncIteration: all were given. SequenceEndedError: it failed, was cancelled or has expired, and what
                it released before was given. TimeoutError: none came within `timeout_s`. LinkLostError: the bridge was
                restarted, or the client is closed. What a function of `images` raised.
        """
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._next()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"no set of stream {self._ordered.stream!r} within {timeout_s} s") from None

    async def _next(self) -> FrameSet:
        while True:
            whole = self._ordered.take_set()
            if whole is not None:
                header = whole[0].header
                if header.request != self.request or header.index < self._next_index:
                    continue  # somebody's run in between
                self._next_index = header.index + 1
                return FrameSet(header.index, header.number, tuple(whole))
            if self._next_index >= self.frames:
                await self._wait_for_answer()
                raise StopAsyncIteration
            if self._sending is not None and self._sending.done() and not self._sending.cancelled():
                self._sending.result()
            if self._run.is_finished:
                self._look_for_end(await self._run.finished())
            await self._ordered.wait()

    async def _wait_for_answer(self) -> None:
        """All sets are here, and ComfyUI is just about to end its last prompt: that is no time to cancel."""
        try:
            await self._run.finished(ANSWER_WITHIN_S)
        except (TimeoutError, LinkLostError):
            pass  # nothing is missing all the same

    def _look_for_end(self, finished: m.Finished) -> None:
        """Raise if no more sets come."""
        if finished.outcome is Outcome.CANCELLED or (
            finished.outcome is not Outcome.DONE and self._next_index >= finished.frames
        ):
            raise SequenceEndedError(finished)
        if finished.number and self._ordered.newest > finished.number:
            # Later ones are here: what is missing was withheld.
            raise SequenceEndedError(finished, "not all sets came: the stream was black, frozen or in panic meanwhile")

    def __aiter__(self) -> Sequence:
        return self

    async def __anext__(self) -> FrameSet:
        return await self.next()

    async def close(self) -> None:
        """Cancel what is left, and end the subscription. Safe to call twice."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        try:
            if self._next_index >= self.frames:
                await self._wait_for_answer()
            if not self._run.is_finished:
                await self._session.ask(m.Cancel(request=self.request), m.Ok)
        except (LinkLostError, TimeoutError):
            pass  # then the session ends, and the sequence with it
        finally:
            await self._ordered.close()

    async def __aenter__(self) -> Sequence:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- for the client ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._ordered.wake()
        self._more_arrived.set()

    def _set_came(self, frame: Frame) -> None:
        if frame.header.request == self.request:
            self._arrived = max(self._arrived, frame.header.index + 1)
            self._more_arrived.set()

    def send_pictures(self, images: Mapping[str, Any]) -> None:
        """Send each frame's own pictures in a task of its own, as far ahead as the bridge takes them."""
        self._sending = asyncio.get_running_loop().create_task(self._send_pictures(images))
        self._sending.add_done_callback(lambda _: self._wake())

    async def _send_pictures(self, images: Mapping[str, Any]) -> None:
        ahead = int(self._session.welcome.limits.get("sequence_pictures", PICTURES_AHEAD))
        for index in range(self.frames):
            pictures = {param: picture_value(await _picture_of(source, index)) for param, source in images.items()}
            if not self._run.is_finished and index >= self._arrived + ahead:
                await self._wait_for_more()
            for param, value in pictures.items():
                await self._send_picture(param, index, value)

    async def _wait_for_more(self) -> None:
        """Wait for a set; not for ever, since under a blackout none comes though they are made."""
        self._more_arrived.clear()
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._more_arrived.wait()
        except TimeoutError:
            pass

    async def _send_picture(self, param: str, index: int, value: dict[str, Any]) -> None:
        while not self._run.is_finished:
            try:
                await self._session.ask(
                    m.Image(stream=self._ordered.stream, param=param, value=value, request=self.request, index=index),
                    m.Ok,
                )
                return
            except TimeoutError:
                continue  # there is no link at the moment
            except NotAllowedError as error:
                if error.code is not ErrorCode.TOO_MANY_WAITING:
                    raise
                await self._wait_for_more()


async def _picture_of(source: Any, index: int) -> Any:
    """Give one frame's picture: that of a list, or what a function of the index gives, called in a thread."""
    if not callable(source):
        return source[index]
    if inspect.iscoroutinefunction(source):
        return await source(index)
    return await asyncio.to_thread(source, index)
