"""What was asked of the bridge and is not answered yet: messages, and runs with their one terminal answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from bridge.client.faults import LinkLostError
from bridge.codec.messages import BridgeMessage, Finished, Message, Progress
from bridge.codec.messages import Run as RunMessage
from bridge.codec.messages import Sequence as SequenceMessage
from bridge.errors import ErrorCode, NotAllowedError, TexbridgeError

MAX_ASKS: Final = 1_024
MAX_RUNS: Final = 1_024
"""The bridge remembers no more keys of one session."""


class Run:
    """One accepted request for a picture, or for a sequence.

    Attributes:
        request: its number, which its frames carry too. It is another one if the run had to be asked for anew.
        key: the client's own name for it.
        progress: the newest `Progress`, None before the first.
    """

    def __init__(self, message: RunMessage | SequenceMessage) -> None:
        self.message = message
        self.request = 0
        self.key = message.key
        self.progress: Progress | None = None
        self._finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()

    @property
    def is_finished(self) -> bool:
        """True once `finished` gives its answer, or raises, at once."""
        return self._finished.done()

    async def finished(self, timeout_s: float | None = None) -> Finished:
        """Wait for the terminal answer: `outcome` is done, superseded, expired, cancelled or failed.

        A failed one is given, not raised: `code`, `name` and `message` say why.

        Raises:
            TimeoutError: none within `timeout_s`. LinkLostError: the bridge was restarted, or the link is gone for
                longer than a session lives. TexbridgeError: the link ended for good.
        """
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self._finished)

    def on_finished(self, told: Callable[[], None]) -> None:
        """Have `told` called once `finished` gives its answer, or raises, at once."""
        self._finished.add_done_callback(lambda _: told())

    def finish(self, answer: Finished) -> None:
        """The answer came."""
        if not self._finished.done():
            self._finished.set_result(answer)

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        if not self._finished.done():
            self._finished.set_exception(error)
            self._finished.exception()  # it is told to whoever asks; nobody has to


class Runs:
    """The runs that have no terminal answer yet, by key and by request number."""

    def __init__(self) -> None:
        self._by_key: dict[int | str, Run] = {}
        self._by_request: dict[int, Run] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, run: Run) -> None:
        """Take a run in before it is sent. Raises NotAllowedError (405) at the limit, or for a key that is in use."""
        assert run.key is not None
        if len(self._by_key) >= MAX_RUNS or run.key in self._by_key:
            what = f"key {run.key!r} is" if run.key in self._by_key else f"{MAX_RUNS} runs of this client are"
            raise NotAllowedError(
                f"{what} unfinished; wait for answers, or cancel", code=ErrorCode.TOO_MANY_WAITING, limit=MAX_RUNS
            )
        self._by_key[run.key] = run

    def accept(self, run: Run, request: int) -> None:
        """The bridge gave it a number."""
        self._by_request.pop(run.request, None)
        run.request = request
        if not run.is_finished:
            self._by_request[request] = run

    def remove(self, run: Run) -> None:
        """Forget a run; unknown ones are ignored."""
        if run.key is not None and self._by_key.get(run.key) is run:
            del self._by_key[run.key]
        if self._by_request.get(run.request) is run:
            del self._by_request[run.request]

    def find(self, message: Finished | Progress) -> Run | None:
        """Give the run that a message is about, None for one that is not ours."""
        run = self._by_request.get(message.request)
        return self._by_key.get(message.key) if run is None and message.key is not None else run

    def unfinished(self) -> list[Run]:
        """Give all, in the order in which they were asked for."""
        return list(self._by_key.values())

    def fail_all(self, error: Exception) -> None:
        """No answer will come for any of them."""
        for run in self.unfinished():
            self.remove(run)
            run.fail(error)


class Ask:
    """One message that wants an answer.

    `sent`: it went out on some link, so the bridge may have done it. `is_own`: nobody asked for it, the session says it
    after a cut, and says it again after the next one.
    """

    def __init__(
        self, message: Message, data: bytes, on_answer: Callable[[BridgeMessage], None], *, is_own: bool = False
    ) -> None:
        self.message = message
        self.data = data
        self.sent = False
        self.is_own = is_own
        self.on_answer = on_answer
        self.answer: asyncio.Future[BridgeMessage] = asyncio.get_running_loop().create_future()

    def settle(self, message: BridgeMessage) -> None:
        """The answer came. `on_answer` is called first, before anything that follows on the link is looked at."""
        if not self.answer.done():
            try:
                self.on_answer(message)
            except TexbridgeError as error:
                self.fail(error)
            else:
                self.answer.set_result(message)

    def fail(self, error: Exception) -> None:
        """No answer will come, or an error came."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()


class Asks:
    """The messages that wait for their answers, in the order in which they were asked."""

    def __init__(self) -> None:
        self._by_id: dict[int, Ask] = {}
        self._next_id = 1

    def take_id(self) -> int:
        """Give an id for the next message."""
        id = self._next_id
        self._next_id += 1
        return id

    def add(self, ask: Ask) -> None:
        """Take one in. Raises NotAllowedError (405) at the limit, which is not for those of our own."""
        assert ask.message.id is not None
        if len(self._by_id) >= MAX_ASKS and not ask.is_own:
            raise NotAllowedError(
                f"{MAX_ASKS} messages of this client wait for answers, the limit; wait for some",
                code=ErrorCode.TOO_MANY_WAITING,
                limit=MAX_ASKS,
            )
        self._by_id[ask.message.id] = ask

    def pop(self, id: int | None) -> Ask | None:
        """Give the one with this id and forget it."""
        return None if id is None else self._by_id.pop(id, None)

    def waiting(self) -> list[Ask]:
        """Give all, oldest first."""
        return list(self._by_id.values())

    def fail_all(self, error: Exception) -> None:
        """No answer will come for any of them."""
        asks = self.waiting()
        self._by_id.clear()
        for ask in asks:
            ask.fail(error)

    def drop_own(self) -> None:
        """Forget what the session said of its own after an earlier cut."""
        self._by_id = {id: ask for id, ask in self._by_id.items() if not ask.is_own}

    def fail_sent(self, error: LinkLostError) -> None:
        """Those that went out on a link that is gone get no answer; those that wait to be sent stay."""
        for id, ask in list(self._by_id.items()):
            if ask.sent:
                del self._by_id[id]
                ask.fail(error)


def with_id(message: Message, id: int) -> Message:
    """Give the same message with an id."""
    return msgspec.structs.replace(message, id=id)
