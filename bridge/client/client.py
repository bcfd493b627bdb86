"""The asynchronous client: verbs of the link, and a link that comes back by itself."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.client.frames import Frames
from bridge.client.picture_memory import PictureMemory
from bridge.client.pictures import picture_value
from bridge.client.requests import Run
from bridge.client.sequence import OrderedFrames
from bridge.client.sequence import Sequence as FrameSequence
from bridge.client.session import Event, Session
from bridge.client.transport import parse_address
from bridge.codec import messages as m
from bridge.errors import ErrorCode, InvalidValueError
from bridge.types import Delivery, Fit, Mode, Origin, SeedPolicy

VERSION: Final = 1

StreamName: TypeAlias = str | int
Word = TypeVar("Word", bound=StrEnum)


class Client:
    """One engine's link to a bridge.

        async with Client("127.0.0.1:9402") as client:
            frames = await client.subscribe("main", origin="bottom_left")
            await client.set("main", {"blur": 0.5})
            frame = await frames.next(timeout_s=5)

    Every verb waits for the bridge's answer. All raise the TexbridgeError that the bridge answers with (its `code`
    says which), TimeoutError after `timeout_s` without an answer, and LinkLostError when the link is gone for good, or
    the bridge was restarted before it answered.

    With `reconnect` a cut is healed: the session goes on, what was not answered is sent again, frames go on, and runs
    get their answers. Where the bridge was restarted meanwhile, or the cut was longer than a session lives, unanswered
    messages and runs fail with LinkLostError, streams that this client opened are opened again with the values that it
    set, and subscriptions are made anew.

    Args:
        address: `HOST:PORT` for TCP, or `ws://HOST:PORT/link`, `wss://...` for WebSocket.
        token: the bridge's secret, if it has one.
        client: who you are, for people.
        events: `("live",)` to hear of the pictures that live streams make by themselves.
        max_message_bytes: the largest single message to receive, 1,024 or more; larger ones then come in parts.
        timeout_s: for each answer, and for connecting.
        reconnect: come back after a cut.
        shared_memory: read frames from memory that is shared with a bridge on this machine. Where that can't be had
            they come over the link by themselves.
        on_event: called on the event loop with each `Welcome` (one per connection), the exception that ended one,
            `Changed`, `Progress`, each `Finished` that belongs to no run of this client, and each `Error` that answers
            nothing.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        client: str = "texbridge-python",
        events: Sequence[str] = (),
        max_message_bytes: int | None = None,
        timeout_s: float = 10.0,
        reconnect: bool = True,
        shared_memory: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._shared_memory = shared_memory
        self._session = Session(
            parse_address(address),
            m.Hello(
                version=VERSION,
                client=client,
                token=token,
                events=tuple(events) or None,
                max_message_bytes=max_message_bytes,
                shared_memory=shared_memory or None,
            ),
            timeout_s=timeout_s,
            reconnect=reconnect,
            on_event=on_event,
        )
        self._key_prefix = secrets.token_hex(6)
        self._keys = itertools.count(1)

    # --- begin and end -------------------------------------------------------------------------------------

    @classmethod
    async def connect(cls, address: str, **options: Any) -> Client:
        """Give a client that is connected. Options as the class has them; raises as `start`."""
        client = cls(address, **options)
        await client.start()
        return client

    async def start(self) -> None:
        """Connect and say hello.

        Raises:
            LinkLostError: nobody answers there. TimeoutError: no welcome within `timeout_s`. TexbridgeError: the bridge
                refuses, e.g. 401 bad_token.
        """
        await self._session.start()

    async def close(self) -> None:
        """End the link. What waits for an answer gets a LinkLostError, iteration over frames ends."""
        await self._session.close()

    async def __aenter__(self) -> Client:
        if not self._session.is_started:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def welcome(self) -> m.Welcome:
        """The newest welcome: session, limits, formats, workflows, streams. Raises LinkLostError before the first."""
        return self._session.welcome

    @property
    def is_connected(self) -> bool:
        """True while there is a link; false during a cut and after the end."""
        return self._session.is_connected

    # --- verbs ---------------------------------------------------------------------------------------------

    async def describe(self, stream: StreamName | None = None, *, workflow: str | None = None) -> m.Described:
        """Give parameters, outputs, size and state of a stream, or those of a workflow."""
        return await self._session.ask(m.Describe(stream=self._name(stream), workflow=workflow), m.Described)

    async def open(
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
        """Make a stream, or attach to the one of this name; gives the size of its pictures too.

        `aspect` ("16:9", 1.85, (16, 9)) and `megapixels` (of 1,048,576 pixels), one of them or both, stand for the
        nearest size that the workflow makes; `size` must be one of those. `seed_every` pictures, and `seed_every_s`
        seconds at least, a seed stays; a picture in that differs by less than `min_change` makes none.
        """
        message = m.Open(
            stream=stream,
            workflow=workflow,
            mode=_word(Mode, "mode", mode),
            params=None if params is None else _plain_params(params),
            seed_policy=None if seed_policy is None else _word(SeedPolicy, "seed_policy", seed_policy),
            seed_every=seed_every,
            seed_every_s=seed_every_s,
            min_change=min_change,
            max_fps=max_fps,
            size=None if size is None else (int(size[0]), int(size[1])),
            aspect=aspect,
            megapixels=megapixels,
            replace=replace,
        )
        return await self._session.ask(
            message, m.Opened, lambda answer: self._session.opened.opened(message, answer.number, answer.size)
        )

    async def set(self, stream: StreamName, params: Mapping[str, Any], client_time: int | None = None) -> None:
        """Set values, all or none. `client_time` comes back in the first frame that they went into.

        An image parameter takes `{"encoded": bytes}` of a PNG, JPEG or WebP file, or an array as `image` does. numpy's
        numbers and arrays will do for all.
        """
        values = _plain_params(params)
        name = self._name(stream)
        message = m.Set(stream=name, params=values, client_time=client_time)
        await self._session.ask(message, m.Ok, lambda _: self._session.opened.values_set(name, values))

    async def image(
        self,
        stream: StreamName,
        param: str,
        picture: bytes | bytearray | memoryview | NDArray[Any] | Mapping[str, Any],
        *,
        format: str | None = None,
        origin: Origin | str = Origin.TOP_LEFT,
        client_time: int | None = None,
    ) -> None:
        """Give an image parameter a picture: a file's bytes, or an array `[height, width]` or `[height, width, 4]`.

        The newest one counts: one that no prompt has taken yet is replaced. `format` and `origin` are for arrays, see
        `pictures.picture_value`.
        """
        name, value = self._name(stream), picture_value(picture, format=format, origin=origin)
        message = m.Image(stream=name, param=param, value=value, client_time=client_time)
        await self._session.ask(message, m.Ok, lambda _: self._session.opened.values_set(name, {param: value}))

    async def run(
        self,
        stream: StreamName,
        params: Mapping[str, Any] | None = None,
        *,
        key: int | str | None = None,
        seed: int | None = None,
        priority: int = 5,
        deadline_ms: float | None = None,
        client_time: int | None = None,
    ) -> Run:
        """Ask for one picture; gives the accepted run, whose `finished()` waits for the terminal answer.

        Without `key` the run gets one of its own, so that asking again after a cut is the same request.
        """
        name = self._name(stream)
        values = None if params is None else _plain_params(params)
        run = Run(
            m.Run(
                stream=name,
                params=values,
                key=f"{self._key_prefix}-{next(self._keys)}" if key is None else key,
                seed=seed,
                priority=priority,
                deadline_ms=deadline_ms,
                client_time=client_time,
            )
        )

        def accepted(answer: m.Accepted) -> None:
            self._session.runs.accept(run, answer.request)
            self._session.opened.values_set(name, values or {})

        self._session.runs.add(run)
        try:
            await self._session.ask(run.message, m.Accepted, accepted)
        except BaseException:
            self._session.runs.remove(run)
            raise
        return run

    async def sequence(
        self,
        stream: StreamName,
        frames: int,
        tracks: Mapping[str, Sequence[Sequence[Any]]] | None = None,
        *,
        fps: float | None = None,
        first: int = 0,
        images: Mapping[str, Any] | None = None,
        key: int | str | None = None,
        seed: int | None = None,
        priority: int = 5,
        deadline_ms: float | None = None,
        format: str = "rgba8",
        origin: Origin | str = Origin.TOP_LEFT,
        size: tuple[int, int] | None = None,
        fit: Fit | str | None = None,
        outputs: Sequence[int] | None = None,
        mips: bool = False,
        color: Literal["native", "linear"] = "native",
        credit: int = 4,
        paced: bool = False,
    ) -> FrameSequence:
        """Ask for `frames` pictures along keyframed tracks; gives the accepted sequence, whose sets come in order.

        `tracks` maps a parameter to `[[frame, value, easing], ...]`; frame i is number `first + i` there. `images` maps
        an image parameter to each frame's own picture: a list, or a function of the index, async or called in a
        thread; pictures are what `image` takes. Leave the sequence with `async with`, or `close()` it.

        It subscribes for itself with `lossless` delivery (`paced`: released at `fps`): an earlier subscription of this
        client to the same stream ends.
        """
        name = self._name(stream)
        message = m.Subscribe(
            stream=name,
            format=format,
            origin=_word(Origin, "origin", origin),
            delivery=Delivery.PACED if paced else Delivery.LOSSLESS,
            credit=credit,
            size=None if size is None else (int(size[0]), int(size[1])),
            fit=None if fit is None else _word(Fit, "fit", fit),
            outputs=None if outputs is None else tuple(outputs),
            mips=mips or None,
            color=None if color == "native" else color,
            fps=fps if paced else None,
        )
        run = Run(
            m.Sequence(
                stream=name,
                frames=frames,
                tracks={param: _keys(param, keys) for param, keys in (tracks or {}).items()},
                first=first,
                fps=fps,
                images=tuple(images) if images else None,
                key=f"{self._key_prefix}-{next(self._keys)}" if key is None else key,
                deadline_ms=deadline_ms,
                priority=priority,
                seed=seed,
            )
        )
        ordered = OrderedFrames(self._session, message)
        sequence = FrameSequence(self._session, run, ordered, frames)
        self._session.runs.add(run)
        try:
            await self._session.ask(message, m.Subscribed, lambda answer: self._session.subscribed(ordered, answer))
            await self._session.ask(
                run.message, m.Accepted, lambda answer: self._session.runs.accept(run, answer.request)
            )
        except BaseException:
            self._session.runs.remove(run)
            if hasattr(ordered, "subscribed"):
                await ordered.close()
            raise
        if images:
            sequence.send_pictures(images)
        return sequence

    async def share_pictures(self, max_bytes: int, slots: int = 4) -> PictureMemory:
        """Give a file in shared memory: what its `write` gives is an image value. One before is closed.

        `max_bytes` is the largest picture's. It ends with the client; on a new connection the bridge is told again.
        Raises OSError where no file can be made, and 411 from a bridge that is not on this machine.
        """
        memory = PictureMemory(max_bytes, slots)
        try:
            await self._session.ask(memory.message, m.Ok, lambda _: self._session.use_pictures(memory))
        except BaseException:
            memory.close()
            raise
        return memory

    async def cancel(
        self, request: Run | int | None = None, *, stream: StreamName | None = None, all: bool = False
    ) -> list[int]:
        """Cancel one request, or one's own of a stream (`all`: everybody's); gives those that it reached."""
        number = request.request if isinstance(request, Run) else request
        message = m.Cancel(request=number, stream=self._name(stream), all=all)
        return list((await self._session.ask(message, m.Ok)).cancelled or ())

    async def live(self, stream: StreamName, on: bool = True) -> None:
        """Let a stream go on by itself, or end that."""
        name = self._name(stream)
        await self._session.ask(
            m.Live(stream=name, on=on), m.Ok, lambda _: self._session.opened.live_switched(name, on)
        )

    async def seed(
        self,
        stream: StreamName,
        seed: int | None = None,
        *,
        policy: SeedPolicy | str | None = None,
        every: int | None = None,
        every_s: float | None = None,
        lock: bool | None = None,
    ) -> None:
        """Set the seed that comes next or how it goes on; with `lock` keep that of the picture that is shown."""
        message = m.Seed(
            stream=self._name(stream),
            seed=seed,
            policy=None if policy is None else _word(SeedPolicy, "policy", policy),
            every=every,
            every_s=every_s,
            lock=lock,
        )
        await self._session.ask(message, m.Ok)

    async def freeze(self, stream: StreamName, on: bool = True, fade_s: float = 0.0) -> None:
        """Hold the picture of a stream, or let it go on."""
        await self._session.ask(m.Freeze(stream=self._name(stream), on=on, fade_s=fade_s), m.Ok)

    async def blackout(self, stream: StreamName, on: bool = True, fade_s: float = 0.0) -> None:
        """Show black in place of a stream, or its picture again."""
        await self._session.ask(m.Blackout(stream=self._name(stream), on=on, fade_s=fade_s), m.Ok)

    async def panic(self) -> None:
        """Stop everything, for everybody, until `resume`."""
        await self._session.ask(m.Panic(), m.Ok, lambda _: self._session.opened.all_live_off())

    async def resume(self) -> None:
        """End a panic."""
        await self._session.ask(m.Resume(), m.Ok)

    async def stats(self, stream: StreamName) -> m.StatsAnswer:
        """Give what this client's subscription to a stream was sent, and what was dropped."""
        return await self._session.ask(m.Stats(stream=self._name(stream)), m.StatsAnswer)

    async def ping(self) -> float:
        """Give the seconds that a message takes to the bridge and back."""
        begin = time.perf_counter()
        await self._session.ask(m.Ping(), m.Pong)
        return time.perf_counter() - begin

    async def close_stream(self, stream: StreamName) -> None:
        """Detach from a stream: the other half of `open`."""
        name = self._name(stream)
        await self._session.ask(m.Close(stream=name), m.Ok, lambda _: self._session.opened.closed(name))

    async def subscribe(
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
    ) -> Frames:
        """Ask for a stream's frames. An earlier subscription of this client to the same stream ends.

        With `previews` the pictures of samplers at work come too, as frames whose `preview` is true; a waiting result
        is never put behind one. With `blend_fps` held blends come between two sets, so many a second, and each set one
        interval later.
        """
        message = m.Subscribe(
            stream=self._name(stream),
            format=format,
            origin=_word(Origin, "origin", origin),
            delivery=Delivery.LATEST,
            credit=credit,
            size=None if size is None else (int(size[0]), int(size[1])),
            fit=None if fit is None else _word(Fit, "fit", fit),
            outputs=None if outputs is None else tuple(outputs),
            shared_memory=(self._shared_memory and "shared_memory" in self.welcome.features) or None,
            mips=mips or None,
            previews=previews or None,
            blend_fps=blend_fps,
            color=None if color == "native" else color,
        )
        frames = Frames(self._session, message)
        await self._session.ask(message, m.Subscribed, lambda answer: self._session.subscribed(frames, answer))
        return frames

    def _name(self, stream: Any) -> Any:
        """Give a stream's name where only its number was given: names outlive a restart of the bridge."""
        return self._session.opened.names.get(stream, stream)


def _word(words: type[Word], field: str, given: str) -> Word:
    """Give the word of an enumeration. Raises InvalidValueError (303) with the choices."""
    try:
        return words(given)
    except ValueError:
        choices = ", ".join(words)
        raise InvalidValueError(
            f"{field} {given!r} must be one of {choices}",
            code=ErrorCode.NOT_A_CHOICE,
            field=field,
            value=given,
            limit=choices,
        ) from None


def _plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give values as msgpack has them: numpy's numbers and rows become plain ones, arrays of rows pictures."""
    return {name: _plain(value) for name, value in params.items()}


def _keys(param: str, keys: Any) -> list[list[Any]]:
    try:
        return [[_plain(part) for part in key] for key in keys]
    except TypeError:
        raise InvalidValueError(
            f"tracks: {param}: {str(keys)[:80]} is no list of keys, [[frame, value, easing], ...]", field="tracks"
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return picture_value(value)
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
