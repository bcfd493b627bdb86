"""The bridge as OSC senders see it: controls become actions, changes become small messages to registered targets.

Answers go to targets alone, from the config or registered by `/texbridge/reply`, never to a packet's source.
Source: wire contract, OSC.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge.app.actions import Actions
from bridge.app.osc_maps import OscMaps
from bridge.app.osc_monitor import OscMonitor, failure_entry, message_entry, read_packet
from bridge.app.records import ReleasedSet, Request
from bridge.codec.osc import OscMessage, encode_osc_message
from bridge.errors import BackendError, ErrorCode, OscDecodeError, TexbridgeError
from bridge.scheduler.events import Finish
from bridge.streams.components import whole_values
from bridge.streams.control_records import (
    BlackoutSwitched,
    CancelRequested,
    Control,
    FreezeSwitched,
    Ignored,
    LiveSwitched,
    Moving,
    PanicPressed,
    RefreshRequested,
    Rejected,
    ReplyRegistered,
    ResumePressed,
    RunRequested,
    SeedSet,
    SetValues,
    ShapeSet,
    SizeSet,
    WorkflowSet,
    merge_controls,
)
from bridge.streams.sizes import check_size, shaped_size
from bridge.streams.stream import Stream
from bridge.types import Outcome, Picture, RawPicture, Size, Value

logger = logging.getLogger("bridge.app.osc")

MAX_TARGETS: Final = 8
MAX_PACKET_BYTES: Final = 1_400
MAX_TEXT_BYTES: Final = 1_000
CONTROLS: Final = ("workflow", "size", "seed")
"""Told like parameters: what holds after snapping and clamping is what a controller wants to show."""

FEEDBACK_EVERY_S: Final = 1 / 30
MAX_WARNED: Final = 100
INT32_MAX: Final = 2**31 - 1

Address: TypeAlias = tuple[str, int]
OscValue: TypeAlias = int | float | str | bool


@dataclass(slots=True)
class _Target:
    """Where answers go. `registrant` is the sender that asked for it, None if the config did."""

    address: Address
    registrant: Address | None = None
    pending: dict[tuple[str, str], Stream] = field(default_factory=dict)


class OscHub:
    """The `OscHub` of the OSC door.

    Args:
        actions: what controls become.
        targets: fixed targets, from the config.
        may_register: tells whether a sender's address may register a reply port.
    """

    def __init__(
        self, actions: Actions, targets: tuple[Address, ...] = (), may_register: Callable[[str], bool] | None = None
    ) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._targets = [_Target(address) for address in targets]
        self._may_register = may_register or (lambda _: True)
        self._send: Callable[[bytes, Address], object] | None = None
        self._feedback_timer: asyncio.TimerHandle | None = None
        self._warned: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.monitor = OscMonitor()
        self.maps = OscMaps(actions, self._carry_out)
        self._bridge.listeners.append(self)
        actions.watchers.append(self)

    def monitor_lines(self) -> AsyncIterator[bytes]:
        """Give what `GET /admin/osc` sends: a line of JSON for each message from now on."""
        return self.monitor.lines({"listening": True, "streams": sorted(self._actions.streams.by_name)})

    def use(self, send: Callable[[bytes, Address], object]) -> None:
        """Send by this door from now on."""
        self._send = send

    def close(self) -> None:
        """Send nothing more, and end what watchers read."""
        self._send = None
        self.monitor.close()
        if self._feedback_timer is not None:
            self._feedback_timer.cancel()

    # --- in ------------------------------------------------------------------------------------------------

    def osc(self, messages: tuple[OscMessage, ...], sender: Address) -> None:
        """Take the messages of one packet, in order; neighbouring values of a stream are one revision."""
        mappings = self.maps.mappings
        read = read_packet(messages, self._actions.streams.by_name, mappings, self._bridge.clock(), sender)
        if self.monitor.watched:
            for message, controls in read:
                self.monitor.tell(message_entry(message, sender, controls, self._size_held))
        self._carry_out([control for _, controls in read for control in controls], sender)
        if len(mappings):
            self._bridge.set_timer()

    def _carry_out(self, controls: Sequence[Control], source: object) -> None:
        """Do what controls say; what goes wrong is told."""
        sender = source if isinstance(source, tuple) else ("", 0)
        for control in merge_controls(controls):
            try:
                self._do(control, sender)
            except TexbridgeError as error:
                if self.monitor.watched:
                    self.monitor.tell(failure_entry(sender, getattr(control, "stream", None), error))
                self._reject(getattr(control, "stream", None), error.code, error.message)

    def _do(self, control: Control, sender: Address) -> None:
        actions = self._actions
        match control:
            case SetValues():
                stream = self._stream(control.stream)
                params = whole_values(control.params, stream.values.snapshot().values)
                actions.set_values(stream, params, clamp=True, source=sender)
            case RunRequested():
                actions.run(self._stream(control.stream), control.params, seed=control.seed, clamp=True, source=sender)
            case CancelRequested():
                stream = self._stream(control.stream)
                actions.cancel(
                    lambda request: request.stream is stream and request.session is None and not request.generation
                )
            case LiveSwitched():
                actions.switch_live(self._stream(control.stream), control.on, control.fade_s)
            case FreezeSwitched():
                actions.covers.freeze(self._stream(control.stream), control.on, control.fade_s)
            case BlackoutSwitched():
                actions.covers.blackout(self._stream(control.stream), control.on, control.fade_s)
            case SeedSet():
                actions.set_seed(self._stream(control.stream), control.seed, source=sender)
            case SizeSet():
                actions.set_size(self._stream(control.stream), control.size, snap=True)
            case ShapeSet():
                actions.set_shape(self._stream(control.stream), control.shape)
            case WorkflowSet():
                actions.set_workflow(self._stream(control.stream), control.workflow)
            case PanicPressed():
                actions.panic()
            case ResumePressed():
                actions.resume()
            case ReplyRegistered():
                self._register(control.port, sender)
            case RefreshRequested():
                self._refresh()
            case Moving():
                self.counts["moving"] += 1
            case Ignored():
                self.counts["ignored"] += 1
            case Rejected():
                self._reject(self._stream_of(control.address), control.code, control.message)

    def bad_packet(self, error: OscDecodeError, sender: Address) -> None:
        """A packet that could not be read did nothing: say so to the targets."""
        if self.monitor.watched:
            self.monitor.tell(failure_entry(sender, None, error))
        self._reject(None, error.code, error.message)

    def _size_held(self, control: Control) -> Size | None:
        """The size that a control leads to, for who watches."""
        stream = self._actions.streams.by_name.get(getattr(control, "stream", ""))
        if stream is None or stream.workflow.size is None:
            return None
        if isinstance(control, ShapeSet):
            return shaped_size(stream.workflow, stream.whole_shape(control.shape))
        return check_size(stream.workflow, control.size, snap=True) if isinstance(control, SizeSet) else None

    def _stream(self, name: str) -> Stream:
        return self._actions.streams.find(name)

    def _stream_of(self, address: str) -> str | None:
        """The stream that an address names, if it is there."""
        parts = address.split("/", 3)
        ours = len(parts) > 3 and parts[1] == "texbridge"
        return parts[2] if ours and parts[2] in self._actions.streams.by_name else None

    def _reject(self, stream: str | None, code: ErrorCode, message: str) -> None:
        self.counts[f"rejected_{code.word}"] += 1
        if code is ErrorCode.UNKNOWN_ADDRESS or code is ErrorCode.UNKNOWN_STREAM:
            self.counts["unknown"] += 1
        if message not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(message)
            logger.warning("OSC: %s", message)
        self._tell("/texbridge/error" if stream is None else f"/texbridge/{stream}/error", int(code), message)

    def _register(self, port: int, sender: Address) -> None:
        host = sender[0]
        if not self._may_register(host):
            self.counts["reply_refused"] += 1
            return
        if port:
            gone = [known for known in self._targets if known.registrant == sender or known.address == (host, port)]
        else:  # a sender that uses a port per message can only mean all of its host
            gone = [known for known in self._targets if known.registrant == sender] or [
                known for known in self._targets if known.registrant is not None and known.registrant[0] == host
            ]
        kept = [target for target in self._targets if target.registrant is None or target not in gone]
        if port:
            if len(kept) >= MAX_TARGETS:
                self.counts["reply_full"] += 1
                logger.warning("OSC: %d reply targets are the limit; %s:%d is not added", MAX_TARGETS, host, port)
                return
            kept.append(_Target((host, port), sender))
        self._targets = kept
        if port:
            for stream in self._actions.streams.by_name.values():
                self._tell_one((host, port), f"/texbridge/{stream.name}/status", stream.state.value)

    def _refresh(self) -> None:
        for target in self._targets:
            for stream in self._actions.streams.by_name.values():
                self._tell_one(target.address, f"/texbridge/{stream.name}/status", stream.state.value)
                for name in (*CONTROLS, *stream.parameters):
                    target.pending[(stream.name, name)] = stream
        self._feed_back()

    # --- out -----------------------------------------------------------------------------------------------

    def _tell(self, address: str, *arguments: OscValue) -> None:
        for target in self._targets:
            self._tell_one(target.address, address, *arguments)

    def _tell_one(self, target: Address, address: str, *arguments: OscValue) -> None:
        if self._send is None:
            return
        short = tuple(_shortened(argument) if isinstance(argument, str) else argument for argument in arguments)
        packet = encode_osc_message(address, *short)
        if len(packet) <= MAX_PACKET_BYTES:
            self.counts["sent"] += 1
            self._send(packet, target)

    def _feed_back(self) -> None:
        """Send the values that changed, each with its present value, at most 30 times a second."""
        self._feedback_timer = None
        for target in self._targets:
            pending, target.pending = target.pending, {}
            for (stream_name, name), stream in pending.items():
                arguments = _feedback(stream, name)
                if arguments is not None:
                    self._tell_one(target.address, f"/texbridge/{stream_name}/{name}", *arguments)

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """An OSC sender's failed request, and a live stream's, is told as an error."""
        if command.outcome is Outcome.FAILED and request.session is None and command.error is not None:
            self._tell(f"/texbridge/{request.stream.name}/error", int(command.error.code), command.error.message)

    def request_progress(self, request: Request, value: float, maximum: float, node: str) -> None:
        """How far the running request is, 0..1."""
        self._tell(f"/texbridge/{request.stream.name}/progress", float(value / maximum) if maximum else 0.0)

    def set_released(self, stream: Stream, shared: ReleasedSet, size: Size) -> None:
        """Tell of a new picture: number, width, height, milliseconds from the request to here."""
        self._tell(
            f"/texbridge/{stream.name}/frame",
            min(shared.number, INT32_MAX),
            size.width,
            size.height,
            (shared.comfy_us + shared.bridge_us) / 1000.0,
        )

    def backends_changed(self) -> None:
        """Told per stream."""

    def values_changed(self, stream: Stream, names: tuple[str, ...], source: object) -> None:
        """Feed the new values back to every target but the sender's own."""
        for target in self._targets:
            if self._is_own(target, source):
                for name in names:  # what somebody else set before is overtaken by its own
                    target.pending.pop((stream.name, name), None)
                continue
            for name in names:
                target.pending[(stream.name, name)] = stream
        self._feed_back_soon()

    def control_changed(self, stream: Stream, name: str, source: object) -> None:
        """Feed a control back as a value."""
        self.values_changed(stream, (name,), source)

    def _feed_back_soon(self) -> None:
        if self._feedback_timer is None and any(target.pending for target in self._targets):
            self._feedback_timer = asyncio.get_running_loop().call_later(FEEDBACK_EVERY_S, self._feed_back)

    def _is_own(self, target: _Target, source: object) -> bool:
        """True if a target belongs to who set a value: by address, or, as many senders use a port per message, by host.

        The host tells only where it has but one target.
        """
        if not isinstance(source, tuple):
            return False
        if source in (target.registrant, target.address):
            return True
        host = target.address[0]
        return source[0] == host and sum(other.address[0] == host for other in self._targets) == 1

    def stream_changed(self, stream: Stream) -> None:
        """Tell of a stream's state."""
        self._tell(f"/texbridge/{stream.name}/status", stream.state.value)

    def stream_trouble(self, stream: Stream, error: BackendError) -> None:
        """Tell why a stream's workflow can't run."""
        self._tell(f"/texbridge/{stream.name}/error", int(error.code), error.message)

    def stream_closed(self, stream: Stream) -> None:
        """Nothing is told of a stream that is gone."""
        for target in self._targets:
            target.pending = {key: other for key, other in target.pending.items() if other is not stream}


def _feedback(stream: Stream, name: str) -> tuple[OscValue, ...] | None:
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
