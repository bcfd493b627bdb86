"""OSC over UDP: datagrams in, one tuple of messages for the hub each; small packets out. Source: wire contract, OSC.

A bundle is handed over as one tuple, in order, when its time tag says so. Errors are counted and never answered:
a packet's source may be forged. What goes out leaves by sockets of its own, so that an ICMP answer to it (on
Windows: WSAECONNRESET) can't disturb what comes in.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import logging
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from bridge.codec.osc import OscBundle, OscLimits, OscMessage, decode_packet, time_tag_to_unix
from bridge.errors import ConfigError, OscDecodeError, TexbridgeError
from bridge.links.listener import bind_listener, format_address, socket_address, unmapped

logger = logging.getLogger("bridge.links.osc")

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Messages: TypeAlias = tuple[OscMessage, ...]
Sender: TypeAlias = tuple[str, int]

DATAGRAM_BYTES: Final = 65_536
DATAGRAMS_A_TURN: Final = 32
"""So many waiting datagrams are taken before everybody else has a turn."""

TURN_S: Final = 0.002
"""And no further one after so long: a datagram may hold a thousand messages."""

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
MAX_WARNED: Final = 256
OPEN_AGAIN_AFTER_S: Final = 0.05
"""Windows' own event loop stops reading from a UDP socket after an error: the door is opened anew, not in a frenzy."""

OPEN_AGAIN_AT_LEAST_S: Final = 5.0

EARLY_S: Final = 0.0005
"""A timer may fire this early; waiting again would cost more than it gains."""


class OscHub(Protocol):
    """The bridge as the OSC door sees it."""

    def osc(self, messages: Messages, sender: Sender) -> None:
        """Take the messages of one packet, all of one moment, in order. `sender` is (address, port), for feedback
        rules and words only: never answer to it by itself.
        """
        ...

    def bad_packet(self, error: OscDecodeError, sender: Sender) -> None:
        """Hear of a packet that could not be read and did nothing."""
        ...


@dataclass(frozen=True, slots=True)
class OscTimes:
    """What time tags do.

    Attributes:
        enabled: False does every bundle on arrival.
        max_hold_ms: a bundle is held at most so long; one further ahead is done on arrival, and its sender's clock
            offset told once.
        max_held: bundles held at a time; further ones are done on arrival, and counted.
    """

    enabled: bool = True
    max_hold_ms: float = 1000.0
    max_held: int = 256


class OscDoor:
    """Listens for OSC. `start`, then `address`, then `close`; `send` works in between.

    `allowed` are the networks that may send beside loopback: none by default, None for everybody.
    """

    def __init__(
        self,
        hub: OscHub,
        *,
        allowed: Iterable[Network] | None = (),
        times: OscTimes | None = None,
        limits: OscLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub = hub
        self._allowed = None if allowed is None else tuple(allowed)
        self._times = OscTimes() if times is None else times
        self._limits = OscLimits() if limits is None else limits
        self._wall_clock = wall_clock
        self._counts: Counter[str] = Counter()
        self._known_sources: OrderedDict[str, bool] = OrderedDict()
        self._warned: OrderedDict[str, None] = OrderedDict()
        self._held: list[tuple[int, int, float, Messages, Sender]] = []
        self._held_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._reads_on = True
        self._opening: asyncio.Task[None] | None = None
        self._out: dict[socket.AddressFamily, socket.socket] = {}
        self._address = ""

    @property
    def address(self) -> str:
        """Where the door really listens, `host:port`."""
        return self._address

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the start: packets, malformed, not_allowed, held, held_full, too_far_ahead, failed, sent,
        send_failed, socket_error.
        """
        return dict(self._counts)

    async def start(self, host: str, port: int) -> None:
        """Listen at `host:port`; port 0 takes a free one.

        Raises:
            ConfigError: the port is taken, or the address can't be used.
        """
        sock = bind_listener("OSC", "--osc", host, port, socket.SOCK_DGRAM)
        raise_receive_buffer(sock)
        self._address = socket_address(sock.getsockname())
        loop = asyncio.get_running_loop()
        # Only selector loops let us read from the socket beside them (on Windows a read is always under way), and go
        # on reading after an error.
        self._reads_on = isinstance(loop, asyncio.SelectorEventLoop)
        self._socket = sock if self._reads_on else None
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)

    async def close(self) -> None:
        """Stop listening. Bundles still held are dropped."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()
        self._socket = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            await asyncio.sleep(0)  # the transport closes its socket in the next turn
        for out in self._out.values():
            out.close()
        self._out.clear()

    # --- in --------------------------------------------------------------------------------------------------

    def _drain(self, data: bytes, sender: Any) -> None:
        """Take one datagram, and those that wait behind it: asyncio alone hands over one a turn."""
        until = time.perf_counter() + TURN_S
        self._take(data, sender)
        for _ in range(DATAGRAMS_A_TURN - 1):
            if self._socket is None or time.perf_counter() >= until:
                return
            try:
                data, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionResetError:  # Windows: an answer to something sent earlier; what came stands behind it
                self._counts["socket_error"] += 1
                continue
            except OSError:
                self._counts["socket_error"] += 1
                return
            self._take(data, sender)

    def _take(self, data: bytes, sender: Any) -> None:
        source: Sender = (str(sender[0]), int(sender[1]))
        self._counts["packets"] += 1
        if not self._may_send(source[0]):
            self._counts["not_allowed"] += 1
            return
        try:
            packet = decode_packet(data, self._limits)
        except OscDecodeError as error:
            self._counts["malformed"] += 1
            logger.debug("a packet of %d bytes from %s: %s", len(data), format_address(*source), error.message)
            self._hub.bad_packet(error, source)
            return
        if isinstance(packet, OscMessage):
            self._hand_over((packet,), source)
        elif not self._times.enabled:
            self._hand_over(tuple(_flat(packet)), source)
        else:
            for tag, messages in _moments(packet, self._wall_clock()):
                self._at(tag, messages, source)

    def _may_send(self, host: str) -> bool:
        if self._allowed is None:
            return True
        known = self._known_sources.get(host)
        if known is None:
            try:
                address = ipaddress.ip_address(unmapped(host))
                known = address.is_loopback or any(address in network for network in self._allowed)
            except ValueError:
                known = False
            self._known_sources[host] = known
            if len(self._known_sources) > MAX_WARNED:
                self._known_sources.popitem(last=False)
        return known

    def _hand_over(self, messages: Messages, sender: Sender) -> None:
        if not messages:
            return
        try:
            self._hub.osc(messages, sender)
        except TexbridgeError as error:
            self._counts["failed"] += 1
            logger.debug("OSC from %s: %s", format_address(*sender), error.message)
        except Exception:
            self._counts["failed"] += 1
            logger.exception("OSC from %s failed", format_address(*sender))

    def _failed(self, error: Exception) -> None:
        """Count an error of the socket: it says nothing about what is still to come. Read on in any case."""
        self._counts["socket_error"] += 1
        logger.debug("OSC socket: %s", error)
        if not self._reads_on and self._transport is not None and self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_again(), name="texbridge OSC again")

    async def _open_again(self) -> None:
        """Put a new socket in the place of one that is no longer read, at the same address."""
        host, _, port = self._address.rpartition(":")
        after_s = OPEN_AGAIN_AFTER_S
        try:
            while True:
                if self._transport is not None:
                    self._transport.abort()
                    self._transport = None
                await asyncio.sleep(after_s)
                try:
                    await self.start(host, int(port))
                    return
                except ConfigError as error:
                    logger.warning("the OSC door can't be opened again yet: %s", error.message)
                after_s = min(2 * after_s, OPEN_AGAIN_AT_LEAST_S)
        finally:
            self._opening = None

    # --- time tags -------------------------------------------------------------------------------------------

    def _at(self, tag: int, messages: Messages, sender: Sender) -> None:
        """Hand messages over when their time tag says, or at once."""
        when = time_tag_to_unix(tag)
        ahead_s = 0.0 if when is None else when - self._wall_clock()
        if ahead_s <= 0:
            self._hand_over(messages, sender)
        elif ahead_s * 1000 > self._times.max_hold_ms:
            self._counts["too_far_ahead"] += 1
            self._warn_once(sender, ahead_s)
            self._hand_over(messages, sender)
        elif len(self._held) >= self._times.max_held:
            self._counts["held_full"] += 1
            self._hand_over(messages, sender)
        else:
            self._counts["held"] += 1
            self._held_number += 1
            # Ordered by tag and arrival, so that equal tags keep their order; due on the monotonic clock, so that
            # a jump of the wall clock changes nothing for what is held.
            due = asyncio.get_running_loop().time() + ahead_s
            heapq.heappush(self._held, (tag, self._held_number, due, messages, sender))
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self._timer = asyncio.get_running_loop().call_at(self._held[0][2], self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + EARLY_S
        while self._held and self._held[0][2] <= now:
            _, _, _, messages, sender = heapq.heappop(self._held)
            self._hand_over(messages, sender)
        self._set_timer()

    def _warn_once(self, sender: Sender, ahead_s: float) -> None:
        if sender[0] in self._warned:
            return
        self._warned[sender[0]] = None
        if len(self._warned) > MAX_WARNED:
            self._warned.popitem(last=False)
        logger.warning(
            "OSC time tags of %s are %.3f s ahead of this machine's clock, the limit is %.3f s: its bundles are done"
            " on arrival; set both clocks by NTP, or switch time tags off",
            sender[0],
            ahead_s,
            self._times.max_hold_ms / 1000,
        )

    # --- out -------------------------------------------------------------------------------------------------

    def send(self, packet: bytes, target: Sender) -> bool:
        """Send one packet to a numeric address and port; False if the system took it not. Keep it under 1,400 bytes.

        Nothing waits: a full send buffer drops the packet, as UDP may anyway.
        """
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        try:
            out = self._out.get(family)
            if out is None:
                out = socket.socket(family, socket.SOCK_DGRAM)
                out.setblocking(False)
                self._out[family] = out
            out.sendto(packet, target)
        except (OSError, OverflowError):
            self._counts["send_failed"] += 1
            return False
        self._counts["sent"] += 1
        return True


class _Datagrams(asyncio.DatagramProtocol):
    """asyncio's call-backs."""

    def __init__(self, door: OscDoor) -> None:
        self._door = door

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._door._drain(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._door._failed(exc)


def raise_receive_buffer(sock: socket.socket) -> None:
    """Ask for room for bursts; systems that refuse the size get half of it, and so on down to their own."""
    size = RECEIVE_BUFFER_BYTES
    while size >= 64 * 1024:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            return
        except OSError:
            size //= 2


def _flat(bundle: OscBundle) -> Iterable[OscMessage]:
    for element in bundle.elements:
        if isinstance(element, OscBundle):
            yield from _flat(element)
        else:
            yield element


def _moments(bundle: OscBundle, now: float) -> Iterable[tuple[int, Messages]]:
    """Give the bundle's messages by their moment: what is due by `now` (tag 0 then) or has one time tag is one tuple,
    in the order sent.

    An inner bundle counts with its own tag only if that is later than the outer one, as OSC 1.0 asks of senders.
    """
    moments: dict[int, list[OscMessage]] = {}

    def gather(inner: OscBundle, outer_tag: int) -> None:
        when = time_tag_to_unix(inner.time_tag)
        tag = outer_tag if when is None or when <= now else max(inner.time_tag, outer_tag)
        for element in inner.elements:
            if isinstance(element, OscBundle):
                gather(element, tag)
            else:
                moments.setdefault(tag, []).append(element)

    gather(bundle, 0)
    return [(tag, tuple(messages)) for tag, messages in sorted(moments.items())]
