"""The embedded server's lifecycle: its doors, its worker thread, its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from bridge.embedded import file_nodes, image_nodes, mask_nodes, sampler_node, texbridge_nodes  # noqa: F401 - they fill the catalog
from bridge.embedded.execution import Executor
from bridge.embedded.files import FileStore
from bridge.embedded.prompts import History, PromptQueue
from bridge.embedded.routes import MAX_BODY_BYTES, Routes, guard
from bridge.embedded.sockets import Sockets

logger = logging.getLogger("bridge.embedded")


class EmbeddedServer:
    """A ComfyUI of numpy and Pillow inside the calling event loop; nodes run in one worker thread.

    `step_delay_ms` makes each prompt take longer, a fully cached one included, as a model would; it may be changed
    at any time and ends early on an interrupt. Everything is in memory: `store_bytes` bounds uploads and results,
    `history_limit` finished prompts, `max_pixels` a batch (images x height x width). A client that doesn't read for
    `send_timeout_s` is cut. `before_node(prompt_id, node_id)` is called in the worker thread when a node is about to
    run: a test that waits there steps through a prompt. Use it as `async with EmbeddedServer() as server`, or
    `start` and `close`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        step_delay_ms: float = 0,
        *,
        store_bytes: int = 256 << 20,
        history_limit: int = 1000,
        max_pixels: int = 64 << 20,
        send_timeout_s: float = 30,
        before_node: Callable[[str, str], None] | None = None,
    ) -> None:
        self.host = host
        self.step_delay_ms = step_delay_ms
        self._port = port
        self._store_bytes = store_bytes
        self._history_limit = history_limit
        self._max_pixels = max_pixels
        self._send_timeout_s = send_timeout_s
        self._before_node = before_node
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port it listens on; with port 0, known after `start`."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    @property
    def resting(self) -> bool:
        """Whether nothing runs or waits to run, and all events so far are sent. A worker that ended rests."""
        return (self._queue.resting or not self._worker.is_alive()) and self.all_sent

    @property
    def all_sent(self) -> bool:
        """Whether all events so far are written to their sockets."""
        return self._sockets.unsent == 0

    async def start(self) -> None:
        """Open the door and start the worker. Raises OSError when the port is taken."""
        self._files = FileStore(self._store_bytes)
        self._sockets = Sockets(self._send_timeout_s)
        self._executor = Executor(self._sockets, self._files, self._max_pixels, self._before_node)
        self._queue = PromptQueue(self._tell_remaining)
        self._history = History(self._history_limit)
        routes = Routes(self._queue, self._history, self._files, self._executor, self._sockets)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[guard])
        routes.add_to(app)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self._port).start()
        except OSError:
            await self._sockets.close()
            await self._runner.cleanup()
            self._runner = None
            raise
        self._port = self._runner.addresses[0][1]
        self._worker = threading.Thread(target=self._work, name="embedded worker", daemon=True)
        self._worker.start()

    async def close(self) -> None:
        """Interrupt what runs, end the worker, close every connection, forget all files."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        await self._close_door(runner)
        self._queue.close()
        self._executor.interrupt.set()
        await self._sockets.close()
        await asyncio.to_thread(self._worker.join)
        await runner.cleanup()
        self._files.clear()
        self._executor.forget()

    async def abort(self) -> None:
        """End as if killed: every WebSocket is cut without a closing handshake, queue and history are gone."""
        if self._runner is not None:
            await self._close_door(self._runner)
            self._sockets.abort_all()
            await self.close()

    @staticmethod
    async def _close_door(runner: web.AppRunner) -> None:
        """Take nobody new: a client that is cut must not be back before everything has ended."""
        for site in list(runner.sites):
            await site.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _tell_remaining(self, remaining: int) -> None:
        self._sockets.tell_all("status", {"status": {"exec_info": {"queue_remaining": remaining}}})

    def _work(self) -> None:
        """The worker thread: one prompt after the other."""
        queue, executor = self._queue, self._executor
        while not queue.closed:
            try:
                prompt = queue.take()
            except TypeError:
                # Two prompts of equal number and id: ComfyUI's worker ends here too, and its server goes on
                # answering. See QueuedPrompt.
                logger.warning("two waiting prompts have the same number and id: nothing runs any more")
                return
            if prompt is not None:
                executor.delay_s = self.step_delay_ms / 1000
                result = executor.run(prompt)
                self._history.add(
                    prompt.prompt_id,
                    {
                        "prompt": list(prompt),
                        "outputs": result.outputs,
                        "status": {
                            "status_str": "success" if result.completed else "error",
                            "completed": result.completed,
                            "messages": result.messages,
                        },
                        "meta": result.meta,
                    },
                )
                queue.finish(prompt)
                if executor.client_id is not None:
                    data = {"node": None, "prompt_id": prompt.prompt_id}
                    self._sockets.send("executing", data, executor.client_id)
            if queue.must_forget():
                executor.forget()
