"""One engine's session over reconnects: what was asked, what is subscribed, and how it goes on after a cut.

Source: protocols/engine-link.md, Keys and Resume.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from bridge.client.faults import LinkLostError, error_of, may_pass
from bridge.client.frames import Frame, Frames
from bridge.client.link import Link
from bridge.client.picture_memory import PictureMemory
from bridge.client.recovery import Opened
from bridge.client.requests import Ask, Asks, Run, Runs, with_id
from bridge.client.shared_memory import MemoryReader
from bridge.client.transport import Address
from bridge.codec import messages as m
from bridge.codec.frame import FrameHeader
from bridge.errors import (
    DecodeError,
    ErrorCode,
    InvalidValueError,
    MessageDecodeError,
    NotAllowedError,
    TexbridgeError,
    UnknownNameError,
)

logger = logging.getLogger("bridge.client")

SESSION_LIVES_S: Final = 30.0
"""So long after a cut the bridge keeps a session. Source: wire contract, Resume."""
FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 2.0
PING_EVERY_S: Final = 15.0
"""Of silence, before the client asks whether the bridge is still there."""

Event: TypeAlias = m.Welcome | m.Progress | m.Finished | m.Changed | m.Error | Exception
"""What `on_event` is told: a welcome begins a link, an exception says what ended it."""
Answer = TypeVar("Answer", bound=m.Message)


class Session:
    """The `Owner` of one link after the other. Arguments as `Client` has them; `hello` is said on each link.

    Attributes:
        opened: the streams that were opened here, and the names of streams.
        runs: those that have no terminal answer yet.
    """

    def __init__(
        self,
        address: Address,
        hello: m.Hello,
        *,
        timeout_s: float,
        reconnect: bool,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.opened = Opened()
        self.runs = Runs()
        self._hello = hello
        self._reconnects = reconnect
        self._on_event = on_event
        self._welcome: m.Welcome | None = None
        self._link: Link | None = None
        self._fault: Exception | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asks = Asks()
        self._subscriptions: list[Frames] = []
        self._by_number: dict[int, Frames] = {}
        self._pictures: PictureMemory | None = None

    @property
    def welcome(self) -> m.Welcome:
        """The newest welcome. Raises LinkLostError before the first."""
        if self._welcome is None:
            raise LinkLostError("the client is not connected: `await client.start()`, or use `async with`")
        return self._welcome

    @property
    def is_started(self) -> bool:
        """True from the first welcome on."""
        return self._welcome is not None

    @property
    def is_connected(self) -> bool:
        """True while there is a link."""
        return self._link is not None

    async def start(self) -> None:
        """Connect and say hello. Raises as `Client.start`."""
        try:
            await self._open_link()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the link, and fail what waits."""
        self._give_up(None)
        self.use_pictures(None)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # --- asking --------------------------------------------------------------------------------------------

    async def ask(
        self, message: m.Message, kind: type[Answer], on_answer: Callable[[Answer], object] | None = None
    ) -> Answer:
        """Send a message and wait for its answer. `on_answer` is called before anything behind the answer is read."""
        if self._fault is not None:
            raise self._fault.with_traceback(None)  # it may be raised again and again
        ask = self._make_ask(message, kind, on_answer)
        try:
            async with asyncio.timeout(self.timeout_s) as limit:
                if self._link is not None:
                    await self._link.drain()
                self._send(ask)
                answer = await ask.answer
        except TimeoutError as error:
            if not limit.expired():
                raise
            where = "" if self.is_connected else " (there is no link to the bridge at the moment)"
            raise TimeoutError(f"{message.op}: no answer within {self.timeout_s:g} s{where}") from error
        finally:
            self._asks.pop(ask.message.id)
        assert isinstance(answer, kind)
        return answer

    def _make_ask(
        self,
        message: m.Message,
        kind: type[Answer],
        on_answer: Callable[[Answer], object] | None = None,
        *,
        is_own: bool = False,
    ) -> Ask:
        message = with_id(message, self._asks.take_id())
        try:
            data = m.encode_message(message)
        except (TypeError, ValueError) as error:
            raise InvalidValueError(f"{message.op}: {error}", value=message.op) from error
        limit = self.welcome.limits.get("max_message_bytes", len(data))
        if len(data) > limit:
            raise InvalidValueError(
                f"{message.op} of {len(data)} bytes > the bridge's limit of {limit}",
                code=ErrorCode.MESSAGE_TOO_LARGE,
                value=len(data),
                limit=limit,
            )

        def check(answer: m.BridgeMessage) -> None:
            if not isinstance(answer, kind):
                raise MessageDecodeError(f"{message.op} was answered with {answer.op}", value=answer.op)
            if on_answer is not None:
                on_answer(answer)

        ask = Ask(message, data, check, is_own=is_own)
        self._asks.add(ask)
        return ask

    def _send(self, ask: Ask) -> None:
        """Send once; without a link it waits for the next one."""
        if self._link is not None and not ask.sent:
            ask.sent = True
            self._link.send_bytes(ask.data)

    def send_ack(self, stream: int, number: int) -> None:
        """For `Frames`: ready for the next set."""
        if self._link is not None:
            self._link.send(m.Ack(stream=stream, number=number))

    async def unsubscribe(self, frames: Frames) -> None:
        """End a subscription: what `frames.close()` does."""
        frames.end()
        if self._fault is not None or frames not in self._subscriptions:
            return
        self._subscriptions.remove(frames)
        if self._link is None:
            self._forget(frames)  # `frame_came` tells the bridge, if it still has it after the cut
            return
        try:
            await self.ask(m.Unsubscribe(stream=frames.stream), m.Ok, lambda _: self._forget(frames))
        except (LinkLostError, UnknownNameError):
            self._forget(frames)
        except NotAllowedError as error:
            if error.code is not ErrorCode.NOT_SUBSCRIBED:
                raise
            self._forget(frames)

    # --- what comes in -------------------------------------------------------------------------------------

    def frame_came(self, header: FrameHeader, data: memoryview) -> None:
        """For the link: a frame."""
        frames = self._by_number.get(header.stream)
        if frames is not None:
            if header.slot is None:
                frames.take(Frame(header, data))
            else:
                self._doorbell(frames, header)
        elif self._link is not None and not any(isinstance(ask.message, m.Subscribe) for ask in self._asks.waiting()):
            # A subscription whose asker has given up: nobody shall make pictures for it.
            self._link.send(m.Unsubscribe(stream=header.stream))

    def use_pictures(self, memory: PictureMemory | None) -> None:
        """Our own pictures are in this file from now on."""
        if self._pictures is not None and self._pictures is not memory:
            self._pictures.close()
        self._pictures = memory

    def _doorbell(self, frames: Frames, header: FrameHeader) -> None:
        try:
            copied = None if frames.memory is None else frames.memory.copy(header)
        except DecodeError as error:
            logger.warning("a doorbell of stream %s points nowhere: %s", frames.stream, error)
            copied = None
        if copied is None:
            frames.tear(header)
        else:
            frames.take(Frame(*copied))

    def _memory_came(self, message: m.Memory) -> None:
        """The next doorbells point into this file. Where it can't be had, frames come over the link from now on."""
        number = message.stream if isinstance(message.stream, int) else -1
        frames = self._by_number.get(number)
        if frames is None:
            return
        frames.use_memory(None)
        try:
            frames.use_memory(MemoryReader(message))
        except (OSError, DecodeError, ValueError) as error:
            logger.info("shared memory of stream %s can't be used, frames come over the link: %s", frames.stream, error)
            frames.message = msgspec.structs.replace(frames.message, shared_memory=None)
            self._say_again(frames.message, frames=frames)

    def answer_came(self, message: m.BridgeMessage) -> None:
        """For the link: any other message."""
        ask = self._asks.pop(message.id)
        if isinstance(message, m.Error) and ask is not None:
            ask.fail(error_of(message))
        elif ask is not None:
            ask.settle(message)
        elif isinstance(message, m.Finished | m.Progress):
            self._tell_run(message)
        elif isinstance(message, m.Memory):
            self._memory_came(message)
        elif isinstance(message, m.Changed | m.Error):
            self._tell(message)

    def answer_failed(self, id: int, error: DecodeError) -> None:
        """For the link: an answer that can't be read."""
        ask = self._asks.pop(id)
        if ask is not None:
            ask.fail(error)

    def _tell_run(self, message: m.Finished | m.Progress) -> None:
        run = self.runs.find(message)
        if isinstance(message, m.Progress):
            if run is not None:
                run.progress = message
            self._tell(message)
        elif run is not None:
            self.runs.remove(run)
            run.finish(message)
        else:
            self._tell(message)

    def _tell(self, event: Event) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                logger.exception("on_event failed at %s", type(event).__name__)

    def subscribed(self, frames: Frames, answer: m.Subscribed) -> None:
        """A subscription holds; one of the same stream before ends."""
        before = self._by_number.get(answer.number)
        if before is not None and before is not frames:
            self._subscriptions.remove(before)
            before.end()
        frames.restart(answer)
        self._by_number[answer.number] = frames
        if frames not in self._subscriptions:
            self._subscriptions.append(frames)

    def _forget(self, frames: Frames) -> None:
        if self._by_number.get(frames.number) is frames:
            del self._by_number[frames.number]

    # --- the link comes and goes ---------------------------------------------------------------------------

    async def _open_link(self) -> None:
        hello = self._hello
        if self._welcome is not None:
            hello = msgspec.structs.replace(hello, session=self._welcome.session)
        link = Link(self, hello.max_message_bytes)
        try:
            async with asyncio.timeout(self.timeout_s):
                await link.open(self.address, hello)
        except TimeoutError as error:
            raise TimeoutError(f"no welcome from {self.address} within {self.timeout_s:g} s") from error

    def link_opened(self, link: Link, welcome: m.Welcome) -> None:
        """For the link: the bridge has greeted us. All that has to be said now is sent before this returns."""
        before = self._welcome
        self._asks.drop_own()
        self._link = link
        self._welcome = welcome
        if self._pictures is not None:
            self._say_again(self._pictures.message)
        if before is None or welcome.resumed:
            self.opened.learn(welcome.streams)
            for frames in self._subscriptions:
                frames.restart()
            for ask in self._asks.waiting():
                ask.sent = False
                self._send(ask)
            for run in self.runs.unfinished():
                if run.request:  # those without a number are among the asks
                    self._say_again(run.message, run=run)
        else:
            why = "the session was over" if welcome.boot == before.boot else "the bridge was restarted"
            self._begin_anew(LinkLostError(f"{why} before the answer came"), welcome)
        self._spawn(self._watch(link))
        self._tell(welcome)

    def _begin_anew(self, lost: LinkLostError, welcome: m.Welcome) -> None:
        """Another session: what was under way is lost, streams are opened and subscribed again."""
        self._asks.fail_sent(lost)
        self.runs.fail_all(lost)
        self._by_number.clear()
        waiting = self._asks.waiting()
        self.opened.learn(welcome.streams, anew=True)
        for message in self.opened.messages():
            self._say_again(message)
        for frames in list(self._subscriptions):
            self._say_again(frames.message, frames=frames)
        for ask in waiting:
            self._send(ask)

    def _say_again(self, message: m.Message, *, run: Run | None = None, frames: Frames | None = None) -> None:
        """Send a message of our own accord. A refusal ends the run or subscription that it is for.

        A run's key is known to the bridge: it makes nothing, and brings the answer if that was lost with the old link.
        """

        def came(answer: m.Message) -> None:
            if isinstance(answer, m.Accepted) and run is not None:
                self.runs.accept(run, answer.request)
            elif isinstance(answer, m.Subscribed) and frames is not None and frames.is_open:
                self.subscribed(frames, answer)
            elif isinstance(answer, m.Opened) and isinstance(message, m.Open):
                self.opened.names[answer.number] = str(message.stream)

        def answered(answer: asyncio.Future[m.BridgeMessage]) -> None:
            if not answer.cancelled() and isinstance(error := answer.exception(), TexbridgeError):
                refused(error)

        def refused(error: TexbridgeError) -> None:
            logger.warning("after a cut, %s was refused: %s", message.op, error)
            if run is not None:
                self.runs.remove(run)
                run.fail(error)
            if frames is not None and frames in self._subscriptions:
                self._subscriptions.remove(frames)
                frames.end(error)

        try:
            ask = self._make_ask(message, m.Message, came, is_own=True)
        except TexbridgeError as error:
            refused(error)
        else:
            ask.answer.add_done_callback(answered)
            self._send(ask)

    def link_ended(self, link: Link, error: Exception) -> None:
        """For the link: it is closed."""
        if link is not self._link:
            return
        self._link = None
        if self._fault is not None:
            return
        if self._reconnects and may_pass(error):
            logger.info("the link to %s was cut, connecting again: %s", self.address, error)
            self._spawn(self._connect_again())
        else:
            self._give_up(error)
        self._tell(error)

    async def _connect_again(self) -> None:
        cut_at = time.perf_counter()
        delay_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(delay_s * 2, LAST_RETRY_S)
            try:
                await self._open_link()
                return
            except (TexbridgeError, OSError) as error:
                if not may_pass(error):
                    self._give_up(error)
                    return
                logger.debug("no link yet: %s", error)
            if time.perf_counter() - cut_at > SESSION_LIVES_S:
                lost = LinkLostError(f"no link to {self.address} for longer than a session lives")
                self._asks.fail_sent(lost)
                self.runs.fail_all(lost)

    async def _watch(self, link: Link) -> None:
        """Cut a link whose other end is silent, even when it is asked."""
        while link is self._link:
            heard = link.heard
            await asyncio.sleep(PING_EVERY_S)
            if link.heard != heard or link is not self._link:
                continue
            link.send(m.Ping())
            await asyncio.sleep(self.timeout_s)
            if link.heard == heard:
                logger.info("no sign of life from %s for %g s", self.address, PING_EVERY_S + self.timeout_s)
                link.abort()

    def _give_up(self, error: Exception | None) -> None:
        """It is over: for good with an error, or by `close` without."""
        if self._fault is None:
            self._fault = error or LinkLostError("the client is closed")
        self._asks.fail_all(self._fault)
        self.runs.fail_all(self._fault)
        subscriptions, self._subscriptions = self._subscriptions, []
        self._by_number.clear()
        for frames in subscriptions:
            frames.end(error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
