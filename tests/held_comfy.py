"""An embedded ComfyUI in a thread of the test, for programs: how many prompts it makes, the test says."""

import asyncio
import threading
from concurrent.futures import Future

from bridge.embedded import EmbeddedServer

LIMIT_S = 110.0


class HeldComfy:
    """`with HeldComfy(3) as comfy`: three prompts are made, the others wait at their first node until `release`."""

    def __init__(self, prompts=0):
        self._left = prompts
        self._is_held = True
        self._seen = set()
        self._moved = threading.Condition()
        self._started = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with EmbeddedServer(before_node=self._before_node) as server:
                self._started.set_result(server.url)
                await self._stop.wait()
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    def _before_node(self, prompt_id, node_id):
        with self._moved:
            if prompt_id not in self._seen:
                self._seen.add(prompt_id)
                self._moved.wait_for(lambda: self._left > 0 or not self._is_held, LIMIT_S)
                self._left -= 1

    def release(self):
        """All that wait are made, and all that come."""
        with self._moved:
            self._is_held = False
            self._moved.notify_all()

    def __enter__(self):
        self._thread.start()
        self.url = self._started.result(LIMIT_S)
        return self

    def __exit__(self, *_):
        self.release()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
