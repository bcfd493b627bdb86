"""Who hears of what happens over OSC, and how: reply targets, value feedback in real units and 0..1, and of maps.

Targets come from the configuration or register by `/texbridge/reply`; nothing ever goes to a packet's source by itself.
Source: protocols/osc.md, What comes back.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge.codec.osc import encode_osc_message
from bridge.streams.feedback import FeedbackQueue
from bridge.streams.mapping import Mappings
from bridge.streams.norm import norm_of
from bridge.streams.stream import Stream
from bridge.types import Picture, RawPicture, Value

logger = logging.getLogger("bridge.app.osc")

MAX_TARGETS: Final = 8
MAX_PACKET_BYTES: Final = 1_400
MAX_TEXT_BYTES: Final = 1_000
INT32_MAX: Final = 2**31 - 1

CONTROLS: Final = ("workflow", "size", "seed")
"""Told like parameters: what holds after snapping and clamping is what a controller wants to show."""

STATUS: Final = "status"
MAX_TOLD: Final = 4_096

Address: TypeAlias = tuple[str, int]
OscValue: TypeAlias = int | float | str | bool


@dataclass(slots=True)
class Target:
    """Where answers go. `registrant` is the sender that asked for it, None if the config did.

    `norm`: values come as 0..1 at `/norm` too.
    """

    address: Address
    registrant: Address | None = None
    norm: bool = False
    queue: FeedbackQueue = field(default_factory=FeedbackQueue)


class OscTargets:
    """The targets of one bridge.

    Args:
        fixed: targets of the configuration.
        streams: all streams by name.
        mappings: gives the maps.
        counts: where what goes out is counted.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fixed: Sequence[Target],
        streams: Mapping[str, Stream],
        mappings: Callable[[], Mappings],
        counts: Counter[str],
        clock: Callable[[], float],
    ) -> None:
        self.targets = list(fixed)
        self._streams = streams
        self._mappings = mappings
        self._counts = counts
        self._clock = clock
        self._send: Callable[[bytes, Address], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told: dict[str, tuple[tuple[object, ...], str, str, Value]] = {}
        """What went out last at an address that isn't in real units: numbers as float32, and the value they mean."""

    def use(self, send: Callable[[bytes, Address], object]) -> None:
        """Send by this door from now on."""
        self._send = send

    def close(self) -> None:
        """Send nothing more."""
        self._send = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- who ---------------------------------------------------------------------------------------------------

    def register(self, port: int, norm: bool, sender: Address) -> None:
        """Send answers to this port of the sender's host from now on; 0 takes it back."""
        host = sender[0]
        if port:
            gone = [known for known in self.targets if known.registrant == sender or known.address == (host, port)]
        else:  # a sender that uses a port per message can only mean all of its host
            gone = [known for known in self.targets if known.registrant == sender] or [
                known for known in self.targets if known.registrant is not None and known.registrant[0] == host
            ]
        kept = [target for target in self.targets if target.registrant is None or target not in gone]
        if port:
            if len(kept) >= MAX_TARGETS:
                self._counts["reply_full"] += 1
                logger.warning("OSC: %d reply targets are the limit; %s:%d is not added", MAX_TARGETS, host, port)
                return
            target = Target((host, port), sender, norm)
            for known in gone:
                if known.address == target.address:
                    target.queue = known.queue  # what it is still to be told, and when it may ask for all again
            kept.append(target)
            target.queue.tell([(name, STATUS) for name in self._streams], self._clock())
        self.targets = kept
        self._work()

    def refresh(self) -> None:
        """Tell all values again, to each target once a second at most."""
        for target in self.targets:
            if not self._refresh(target):
                self._counts["refresh_later"] += 1
        self._work()

    def _refresh(self, target: Target) -> bool:
        keys = [(name, STATUS) for name in self._streams]
        keys += [(name, what) for name, stream in self._streams.items() for what in (*CONTROLS, *stream.parameters)]
        return target.queue.refresh(keys, self._clock())

    def _is_own(self, target: Target, source: object) -> bool:
        """True if a target belongs to who set a value: by address, or, as many senders use a port per message, by host.

        The host tells only where it has but one target.
        """
        if not isinstance(source, tuple):
            return False
        if source in (target.registrant, target.address):
            return True
        host = target.address[0]
        return source[0] == host and sum(other.address[0] == host for other in self.targets) == 1

    # --- what --------------------------------------------------------------------------------------------------

    def changed(self, stream: Stream, names: Sequence[str], source: object) -> None:
        """Values changed: every target but the sender's own is told a moment later."""
        now = self._clock()
        for target in self.targets:
            own = self._is_own(target, source)
            for name in names:
                if own:  # what somebody else set before is overtaken by its own
                    target.queue.drop((stream.name, name))
                else:
                    target.queue.add((stream.name, name), now)
        self._set_timer()

    def stream_closed(self, stream: Stream) -> None:
        """Nothing is told of a stream that is gone."""
        for target in self.targets:
            target.queue.drop_stream(stream.name)
        self._told = {address: told for address, told in self._told.items() if told[1] != stream.name}

    def is_echo(self, address: str, arguments: Sequence[object]) -> bool:
        """Whether a message at `/norm`, or for a map, says what went out there last, of a value that still holds.

        A motor fader sends back what it was told; through a curve that needn't be the very same number.
        """
        told = self._told.get(address)
        if told is None or told[0] != tuple(map(_as_sent, arguments)):
            return False
        stream = self._streams.get(told[1])
        return stream is not None and told[2] in stream.parameters and stream.values[told[2]] == told[3]

    def tell(self, address: str, *arguments: OscValue) -> None:
        """Send a message to every target, at once."""
        for target in self.targets:
            self._tell_one(target.address, address, *arguments)

    def _tell_one(self, target: Address, address: str, *arguments: OscValue) -> None:
        if self._send is None:
            return
        short = tuple(_shortened(argument) if isinstance(argument, str) else argument for argument in arguments)
        packet = encode_osc_message(address, *short)
        if len(packet) <= MAX_PACKET_BYTES:
            self._counts["sent"] += 1
            self._send(packet, target)

    def _work(self) -> None:
        """Send what is due now, each value as it is at this moment."""
        now = self._clock()
        for target in self.targets:
            if target.queue.is_refresh_due(now):
                self._refresh(target)
            for name, what in target.queue.take(now):
                stream = self._streams.get(name)
                if stream is not None:
                    self._feed_back(target, stream, what)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [due for target in self.targets if (due := target.queue.next_deadline()) is not None]
        if deadlines and self._send is not None:
            delay_s = max(0.0, min(deadlines) - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._work)

    def _feed_back(self, target: Target, stream: Stream, what: str) -> None:
        if what == STATUS:
            self._tell_one(target.address, f"/texbridge/{stream.name}/status", stream.state.value)
            return
        arguments = _arguments(stream, what)
        if arguments is None:
            return
        address = f"/texbridge/{stream.name}/{what}"
        self._tell_one(target.address, address, *arguments)
        spec = stream.parameters.get(what)
        if spec is None:
            return
        value = stream.values[what]
        if target.norm and (shares := norm_of(spec, value)) is not None:
            self._tell_other(target, f"{address}/norm", shares, stream, what, value)
        for foreign, numbers in self._mappings().told(stream.name, spec, value):
            self._tell_other(target, foreign, numbers, stream, what, value)

    def _tell_other(
        self, target: Target, address: str, arguments: tuple[float | str, ...], stream: Stream, what: str, value: Value
    ) -> None:
        """Send a value in other units, and remember what it means there."""
        if address in self._told or len(self._told) < MAX_TOLD:
            self._told[address] = (tuple(map(_as_sent, arguments)), stream.name, what, value)
        self._tell_one(target.address, address, *arguments)


def _as_sent(argument: object) -> object:
    """Give a number as it is after its way as a float32."""
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        return argument
    try:
        return struct.unpack("<f", struct.pack("<f", argument))[0]
    except OverflowError:
        return argument


def _arguments(stream: Stream, name: str) -> tuple[OscValue, ...] | None:
    """Give what a parameter or control of a stream is now, as OSC arguments; None if there is nothing to tell."""
    if name == "seed":
        return (str(stream.seed),)
    if name == "size":
        size = stream.picture_size
        return None if size is None else (size.width, size.height)
    if name == "workflow":
        return (stream.workflow.name,)
    return _osc_arguments(stream.values[name]) if name in stream.parameters else None


def _osc_arguments(value: Value) -> tuple[OscValue, ...] | None:
    """Give a value as OSC arguments of types i, f, s, T and F; None for a picture."""
    if isinstance(value, Picture | RawPicture):
        return None
    if isinstance(value, tuple):
        return tuple(float(number) for number in value)
    if isinstance(value, int) and not -INT32_MAX - 1 <= value <= INT32_MAX:
        return (str(value),)  # many receivers know i, f and s alone
    return (value,)


def _shortened(text: str) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= MAX_TEXT_BYTES else data[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
