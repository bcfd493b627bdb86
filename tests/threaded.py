"""An async context manager in a thread of its own, for tests and clients that block."""

import asyncio
import threading
from concurrent.futures import Future

LIMIT_S = 110.0


class Threaded:
    """`with Threaded(make) as it`: what `make()`'s `async with` gives, on a loop that runs beside the test."""

    def __init__(self, make):
        self._make = make
        self._started = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._make() as it:
                self._started.set_result(it)
                await self._stop.wait()
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    def __enter__(self):
        self._thread.start()
        return self._started.result(LIMIT_S)

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
