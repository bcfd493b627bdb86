"""The blocking face of the client: the same verbs, carried out by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from bridge.client.client import Client, StreamName
from bridge.client.faults import LinkLostError
from bridge.client.frames import Frame, Frames
from bridge.client.picture_memory import PictureMemory
from bridge.client.requests import Run
from bridge.client.sequence import FrameSet
from bridge.client.sequence import Sequence as FrameSequence
from bridge.codec import messages as m
from bridge.types import Fit, Mode, Origin, SeedPolicy

Result = TypeVar("Result")


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._lock = threading.Lock()
        self._is_open = True
        self._calls: set[concurrent.futures.Future[Any]] = set()
        started = threading.Event()
        # A daemon: a client that was never closed doesn't keep the interpreter from ending.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started)), name="texbridge client", daemon=True
        )
        self._thread.start()
        started.wait()

    async def _run(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Carry out a coroutine on the loop and give its result, or raise what it raises."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call from on_event would wait for itself: use another thread")
        with self._lock:
            if not self._is_open:
                work.close()
                raise LinkLostError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._calls.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LinkLostError("the client was closed meanwhile") from None
        except BaseException:
            future.cancel()  # Ctrl+C: nobody waits for it any more
            raise
        finally:
            with self._lock:
                self._calls.discard(future)

    def close(self) -> None:
        """End the loop and the thread; calls of other threads that still wait raise LinkLostError."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        with self._lock:
            left = list(self._calls)
        for future in left:
            future.cancel()


class BlockingRun:
    """One accepted request, see `Run`."""

    def __init__(self, loop: _Loop, run: Run) -> None:
        self._loop = loop
        self._run = run

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
        """The newest progress, None before the first."""
        return self._run.progress

    @property
    def is_finished(self) -> bool:
        """True once `finished` gives its answer at once."""
        return self._run.is_finished

    def finished(self, timeout_s: float | None = None) -> m.Finished:
        """Wait for the terminal answer. Raises as `Run.finished`."""
        return self._loop.call(self._run.finished(timeout_s))


class BlockingFrames:
    """The frames of one stream: `frames.next(timeout_s)`, or `for frame in frames`. See `Frames`."""

    def __init__(self, loop: _Loop, frames: Frames) -> None:
        self._loop = loop
        self._frames = frames

    @property
    def subscribed(self) -> m.Subscribed:
        """The bridge's answer: number, format, origin, credit ... that hold."""
        return self._frames.subscribed

    @property
    def missed(self) -> int:
        """Whole sets that came, and that a newer one replaced before they were asked for."""
        return self._frames.missed

    def next(self, timeout_s: float | None = None) -> Frame:
        """Give the next frame. Raises as `Frames.next`."""
        return self._loop.call(self._frames.next(timeout_s))

    def next_set(self, timeout_s: float | None = None) -> tuple[Frame, ...]:
        """Give the next whole set, a frame for each output. Raises as `Frames.next`."""
        return self._loop.call(self._frames.next_set(timeout_s))

    def __iter__(self) -> Iterator[Frame]:
        while True:
            try:
                yield self._loop.call(anext(self._frames))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        """Unsubscribe; iteration ends. Safe to call twice."""
        if self._frames.is_open:
            self._loop.call(self._frames.close())

    def __enter__(self) -> BlockingFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingSequence:
    """One accepted sequence: `for frame_set in sequence`. See `Sequence`."""

    def __init__(self, loop: _Loop, sequence: FrameSequence) -> None:
        self._loop = loop
        self._sequence = sequence

    @property
    def request(self) -> int:
        """Its number, which its frames carry too."""
        return self._sequence.request

    @property
    def frames(self) -> int:
        """How many sets there will be."""
        return self._sequence.frames

    @property
    def progress(self) -> m.Progress | None:
        """The newest progress over the whole sequence, None before the first."""
        return self._sequence.progress

    @property
    def is_finished(self) -> bool:
        """True once `finished` gives its answer at once."""
        return self._sequence.is_finished

    def finished(self, timeout_s: float | None = None) -> m.Finished:
        """Wait for the terminal answer. See `Sequence.finished`."""
        return self._loop.call(self._sequence.finished(timeout_s))

    def next(self, timeout_s: float | None = None) -> FrameSet | None:
        """Give the next set, None after the last. Raises as `Sequence.next`."""
        return self._loop.call(self._next(timeout_s))

    async def _next(self, timeout_s: float | None) -> FrameSet | None:
        try:
            return await self._sequence.next(timeout_s)
        except StopAsyncIteration:
            return None

    def __iter__(self) -> Iterator[FrameSet]:
        while (frame_set := self.next()) is not None:
            yield frame_set

    def close(self) -> None:
        """Cancel what is left, and end the subscription. Safe to call twice."""
        self._loop.call(self._sequence.close())

    def __enter__(self) -> BlockingSequence:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingClient:
    """`Client` for programs without an event loop; connected as soon as it is made.

        with BlockingClient("127.0.0.1:9402") as client:
            frames = client.subscribe("main", origin="bottom_left")
            client.set("main", {"blur": 0.5})
            print(frames.next(timeout_s=5).pixels.shape)

    Options and errors are those of `Client`. May be used from several threads. `on_event` is called in the client's
    own thread and must not call the client.
    """

    def __init__(self, address: str, **options: Any) -> None:
        self._client = Client(address, **options)
        self._loop = _Loop()
        try:
            self._loop.call(self._client.start())
        except BaseException:
            self._loop.close()
            raise

    def close(self) -> None:
        """End the link and the thread. Safe to call twice."""
        try:
            self._loop.call(self._client.close())
        except LinkLostError:
            pass  # closed before
        self._loop.close()

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def welcome(self) -> m.Welcome:
        """The newest welcome: session, limits, formats, workflows, streams."""
        return self._client.welcome

    @property
    def is_connected(self) -> bool:
        """True while there is a link; false during a cut and after the end."""
        return self._client.is_connected

    def describe(self, stream: StreamName | None = None, *, workflow: str | None = None) -> m.Described:
        """Give parameters, outputs, size and state of a stream, or those of a workflow."""
        return self._loop.call(self._client.describe(stream, workflow=workflow))

    def open(
        self,
        stream: str,
        workflow: str,
        mode: Mode | str = Mode.LIVE,
        params: Mapping[str, Any] | None = None,
        *,
        seed_policy: SeedPolicy | str | None = None,
        seed_every: int | None = None,
        seed_every_s: float | None = None,
        min_change: float | None = None,
        max_fps: float | None = None,
        size: tuple[int, int] | None = None,
        aspect: str | float | tuple[float, float] | None = None,
        megapixels: float | None = None,
        replace: bool = False,
    ) -> m.Opened:
        """Make a stream, or attach to the one of this name. See `Client.open`."""
        return self._loop.call(
            self._client.open(
                stream,
                workflow,
                mode,
                params,
                seed_policy=seed_policy,
                seed_every=seed_every,
                seed_every_s=seed_every_s,
                min_change=min_change,
                max_fps=max_fps,
                size=size,
                aspect=aspect,
                megapixels=megapixels,
                replace=replace,
            )
        )

    def set(self, stream: StreamName, params: Mapping[str, Any], client_time: int | None = None) -> None:
        """Set values, all or none. See `Client.set`."""
        self._loop.call(self._client.set(stream, params, client_time))

    def image(self, stream: StreamName, param: str, picture: Any, **options: Any) -> None:
        """Give an image parameter a picture; options as `Client.image` has them."""
        self._loop.call(self._client.image(stream, param, picture, **options))

    def run(
        self,
        stream: StreamName,
        params: Mapping[str, Any] | None = None,
        *,
        key: int | str | None = None,
        seed: int | None = None,
        priority: int = 5,
        deadline_ms: float | None = None,
        client_time: int | None = None,
    ) -> BlockingRun:
        """Ask for one picture. See `Client.run`."""
        run = self._client.run(
            stream,
            params,
            key=key,
            seed=seed,
            priority=priority,
            deadline_ms=deadline_ms,
            client_time=client_time,
        )
        return BlockingRun(self._loop, self._loop.call(run))

    def sequence(
        self,
        stream: StreamName,
        frames: int,
        tracks: Mapping[str, Sequence[Sequence[Any]]] | None = None,
        **options: Any,
    ) -> BlockingSequence:
        """Ask for pictures along keyframed tracks; options as `Client.sequence` has them."""
        sequence = self._loop.call(self._client.sequence(stream, frames, tracks, **options))
        return BlockingSequence(self._loop, sequence)

    def share_pictures(self, max_bytes: int, slots: int = 4) -> PictureMemory:
        """Give a file in shared memory: what its `write` gives is an image value. See `Client.share_pictures`."""
        return self._loop.call(self._client.share_pictures(max_bytes, slots))

    def cancel(
        self, request: BlockingRun | int | None = None, *, stream: StreamName | None = None, all: bool = False
    ) -> list[int]:
        """Cancel one request, or one's own of a stream (`all`: everybody's); gives those that it reached."""
        number = request.request if isinstance(request, BlockingRun) else request
        return self._loop.call(self._client.cancel(number, stream=stream, all=all))

    def live(self, stream: StreamName, on: bool = True) -> None:
        """Let a stream go on by itself, or end that."""
        self._loop.call(self._client.live(stream, on))

    def seed(self, stream: StreamName, seed: int | None = None, **options: Any) -> None:
        """Set the seed that comes next or how it goes on, or lock it; options as `Client.seed` has them."""
        self._loop.call(self._client.seed(stream, seed, **options))

    def freeze(self, stream: StreamName, on: bool = True, fade_s: float = 0.0) -> None:
        """Hold the picture of a stream, or let it go on."""
        self._loop.call(self._client.freeze(stream, on, fade_s))

    def blackout(self, stream: StreamName, on: bool = True, fade_s: float = 0.0) -> None:
        """Show black in place of a stream, or its picture again."""
        self._loop.call(self._client.blackout(stream, on, fade_s))

    def panic(self) -> None:
        """Stop everything, for everybody, until `resume`."""
        self._loop.call(self._client.panic())

    def resume(self) -> None:
        """End a panic."""
        self._loop.call(self._client.resume())

    def stats(self, stream: StreamName) -> m.StatsAnswer:
        """Give what this client's subscription to a stream was sent, and what was dropped."""
        return self._loop.call(self._client.stats(stream))

    def ping(self) -> float:
        """Give the seconds that a message takes to the bridge and back."""
        return self._loop.call(self._client.ping())

    def close_stream(self, stream: StreamName) -> None:
        """Detach from a stream: the other half of `open`."""
        self._loop.call(self._client.close_stream(stream))

    def subscribe(
        self,
        stream: StreamName,
        format: str = "rgba8",
        origin: Origin | str = Origin.TOP_LEFT,
        *,
        size: tuple[int, int] | None = None,
        fit: Fit | str | None = None,
        credit: int = 1,
        outputs: Sequence[int] | None = None,
        mips: bool = False,
        color: Literal["native", "linear"] = "native",
        previews: bool = False,
        blend_fps: float | None = None,
    ) -> BlockingFrames:
        """Ask for a stream's frames. See `Client.subscribe`."""
        frames = self._client.subscribe(
            stream,
            format,
            origin,
            size=size,
            fit=fit,
            credit=credit,
            outputs=outputs,
            mips=mips,
            color=color,
            previews=previews,
            blend_fps=blend_fps,
        )
        return BlockingFrames(self._loop, self._loop.call(frames))
