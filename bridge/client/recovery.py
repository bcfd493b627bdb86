"""What a client has to say again to a bridge that was restarted: the streams that it opened, with their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from bridge.codec.messages import Live, Message, Open, StreamSummary
from bridge.types import Mode

_NO_SIZE: Final[Mapping[str, Any]] = {"size": None, "aspect": None, "megapixels": None}


class Opened:
    """The streams that this client opened, each as one `Open` with the values set since.

    Attributes:
        names: streams by number, those of others too, as far as they are known.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._streams: dict[str, Open] = {}
        self._live: dict[str, bool] = {}

    def learn(self, streams: Iterable[StreamSummary], anew: bool = False) -> None:
        """Take the numbers of a welcome; `anew` if those of before mean nothing any more."""
        if anew:
            self.names.clear()
        self.names.update((stream.number, stream.name) for stream in streams)

    def opened(self, message: Open, number: int, size: tuple[int, int] | None = None) -> None:
        """A stream was opened: what was given holds, and what was set before, where it was not replaced.

        `size` is what its pictures have now: an aspect alone, said later, means nothing without the size before it.
        """
        name = str(message.stream)
        self.names[number] = name
        before = None if message.replace else self._streams.pop(name, None)
        if before is not None:
            message = msgspec.structs.replace(
                message,
                params={**(before.params or {}), **(message.params or {})} or None,
                seed_policy=message.seed_policy or before.seed_policy,
                seed_every=message.seed_every or before.seed_every,
                seed_every_s=before.seed_every_s if message.seed_every_s is None else message.seed_every_s,
                min_change=before.min_change if message.min_change is None else message.min_change,
                max_fps=message.max_fps or before.max_fps,
                **(_size(before) if _size(message) == _NO_SIZE else {**_NO_SIZE, "size": size or message.size}),
            )
        else:
            self._live.pop(name, None)
        # `replace` once said shall not throw out what somebody else made of the name meanwhile.
        self._streams[name] = msgspec.structs.replace(message, replace=False, id=None)

    def values_set(self, stream: str | int, params: Mapping[str, Any]) -> None:
        """Values of a stream were set."""
        name = self._name(stream)
        message = self._streams.get(name)
        # What lay in a slot of ours is long written over: a picture is to be sent again, not its place.
        params = {key: value for key, value in params.items() if not (isinstance(value, Mapping) and "slot" in value)}
        if message is not None and params:
            self._streams[name] = msgspec.structs.replace(message, params={**(message.params or {}), **params})

    def live_switched(self, stream: str | int, on: bool) -> None:
        """Live was switched."""
        name = self._name(stream)
        if name in self._streams:
            self._live[name] = on

    def all_live_off(self) -> None:
        """A panic: nothing goes on by itself."""
        self._live.update(dict.fromkeys(self._streams, False))

    def closed(self, stream: str | int) -> None:
        """This client is no longer attached."""
        name = self._name(stream)
        self._streams.pop(name, None)
        self._live.pop(name, None)

    def messages(self) -> Iterator[Message]:
        """Give what to send to a new bridge."""
        for name, message in self._streams.items():
            yield message
            live = self._live.get(name)
            if live is not None and live is not (message.mode is Mode.LIVE):
                yield Live(stream=name, on=live)

    def _name(self, stream: str | int) -> str:
        return stream if isinstance(stream, str) else self.names.get(stream, "")


def _size(message: Open) -> dict[str, Any]:
    return {"size": message.size, "aspect": message.aspect, "megapixels": message.megapixels}
