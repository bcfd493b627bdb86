"""The bridge as OSC senders see it: controls become actions, changes become small messages to registered targets.

Answers go to targets alone, from the config or registered by `/texbridge/reply`, never to a packet's source.
Source: wire contract, OSC.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from bridge.app.actions import Actions
from bridge.app.osc.maps import OscMaps
from bridge.app.osc.monitor import OscMonitor, failure_entry, message_entry, read_packet
from bridge.app.osc.targets import INT32_MAX, Address, OscTargets, OscValue, Target
from bridge.app.records import ReleasedSet, Request
from bridge.codec.osc import OscMessage
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
    RunDoubled,
    RunRequested,
    SeedSet,
    SeedSteered,
    SetValues,
    ShapeSet,
    SizeSet,
    WorkflowSet,
    merge_controls,
)
from bridge.streams.doubled_runs import DoubledRuns
from bridge.streams.sizes import check_size, shaped_size
from bridge.streams.stream import Stream
from bridge.types import Outcome, Size

logger = logging.getLogger("bridge.app.osc")

MAX_WARNED: Final = 100
MAX_TOLD_OF_PACKET: Final = 8
"""So many wrong messages of one packet are told each with its words; of the rest their number."""


class OscHub:
    """The `OscHub` of the OSC door.

    Args:
        actions: what controls become.
        targets: fixed targets, from the config.
        may_register: tells whether a sender's address may register a reply port.
        doubled_run_s: seconds in which the same run packet of a sender, said again, is the same press; 0: never.
    """

    def __init__(
        self,
        actions: Actions,
        targets: Sequence[Target] = (),
        may_register: Callable[[str], bool] | None = None,
        *,
        doubled_run_s: float = 0.0,
    ) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._may_register = may_register or (lambda _: True)
        self._doubled_runs = DoubledRuns(doubled_run_s)
        self._refused: list[tuple[str | None, ErrorCode, str]] = []
        self._warned: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.monitor = OscMonitor()
        self.maps = OscMaps(actions, self._carry_out)
        self.targets = OscTargets(
            targets, actions.streams.by_name, lambda: self.maps.mappings, self.counts, self._bridge.clock
        )
        self._bridge.listeners.append(self)
        actions.watchers.append(self)

    def monitor_lines(self) -> AsyncIterator[bytes]:
        """Give what `GET /admin/osc` sends: a line of JSON for each message from now on."""
        return self.monitor.lines({"listening": True, "streams": sorted(self._actions.streams.by_name)})

    def use(self, send: Callable[[bytes, Address], object]) -> None:
        """Send by this door from now on."""
        self.targets.use(send)

    def close(self) -> None:
        """Send nothing more, and end what watchers read."""
        self.targets.close()
        self.monitor.close()

    # --- in ------------------------------------------------------------------------------------------------

    def osc(self, messages: tuple[OscMessage, ...], sender: Address) -> None:
        """Take the messages of one packet, in order; neighbouring values of a stream are one revision."""
        mappings = self.maps.mappings
        read = read_packet(
            messages,
            self._actions.streams.by_name,
            mappings,
            self._bridge.clock(),
            sender,
            doubled_runs=self._doubled_runs,
            is_echo=self.targets.is_echo,
        )
        if self.monitor.watched:
            for message, controls in read:
                self.monitor.tell(message_entry(message, sender, controls, self._size_held))
        self._carry_out([control for _, controls in read for control in controls], sender)
        if len(mappings):
            self._bridge.set_timer()

    def _carry_out(self, controls: Sequence[Control], source: object) -> None:
        """Do what controls say; what goes wrong is told."""
        sender = source if isinstance(source, tuple) else ("", 0)
        self._actions.switches.by = ("OSC", f"{sender[0]}:{sender[1]}")
        for control in merge_controls(controls):
            try:
                self._do(control, sender)
            except TexbridgeError as error:
                if self.monitor.watched:
                    self.monitor.tell(failure_entry(sender, getattr(control, "stream", None), error))
                self._refused.append((getattr(control, "stream", None), error.code, error.message))
        self._tell_refused()

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
                actions.seeds.set_seed(self._stream(control.stream), control.seed, source=sender)
            case SeedSteered():
                stream = self._stream(control.stream)
                actions.seeds.steer(stream, control.policy, control.every, control.every_s, control.lock)
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
                if self._may_register(sender[0]):
                    self.targets.register(control.port, control.norm, sender)
                else:
                    self.counts["reply_refused"] += 1
            case RefreshRequested():
                self.targets.refresh()
            case Moving():
                self.counts["moving"] += 1
            case Ignored():
                self.counts["ignored"] += 1
            case RunDoubled():
                self.counts["doubled_run"] += 1
            case Rejected():
                self._refused.append((self._stream_of(control.address), control.code, control.message))

    def bad_packet(self, error: OscDecodeError, sender: Address) -> None:
        """A packet that could not be read did nothing: say so to the targets."""
        if self.monitor.watched:
            self.monitor.tell(failure_entry(sender, None, error))
        self._refused.append((None, error.code, error.message))
        self._tell_refused()

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

    def _tell_refused(self) -> None:
        """Count what was refused, and tell the targets: a packet of a thousand wrong messages gets a few answers."""
        refused, self._refused = self._refused, []
        for place, (stream, code, message) in enumerate(refused):
            self.counts[f"rejected_{code.word}"] += 1
            if code is ErrorCode.UNKNOWN_ADDRESS or code is ErrorCode.UNKNOWN_STREAM:
                self.counts["unknown"] += 1
            if place >= MAX_TOLD_OF_PACKET:
                continue
            if message not in self._warned and len(self._warned) < MAX_WARNED:
                self._warned.add(message)
                logger.warning("OSC: %s", message)
            self._tell("/texbridge/error" if stream is None else f"/texbridge/{stream}/error", int(code), message)
        more = len(refused) - MAX_TOLD_OF_PACKET
        if more > 0:
            self._tell("/texbridge/error", int(refused[-1][1]), f"{more} more messages of this packet were refused")

    # --- out -----------------------------------------------------------------------------------------------

    def _tell(self, address: str, *arguments: OscValue) -> None:
        self.targets.tell(address, *arguments)

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """An OSC sender's failed request, and a live stream's, is told as an error."""
        if command.outcome is Outcome.FAILED and request.session is None and command.error is not None:
            self._tell(f"/texbridge/{request.stream.name}/error", int(command.error.code), command.error.message)

    def request_progress(self, request: Request, value: float, maximum: float, node: str, whole: float) -> None:
        """How far the running request is, 0..1 of the whole."""
        self._tell(f"/texbridge/{request.stream.name}/progress", float(whole))

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
        self.targets.changed(stream, names, source)

    def control_changed(self, stream: Stream, name: str, source: object) -> None:
        """Feed a control back as a value."""
        self.values_changed(stream, (name,), source)

    def stream_changed(self, stream: Stream) -> None:
        """Tell of a stream's state."""
        self._tell(f"/texbridge/{stream.name}/status", stream.state.value)

    def stream_trouble(self, stream: Stream, error: BackendError) -> None:
        """Tell why a stream's workflow can't run."""
        self._tell(f"/texbridge/{stream.name}/error", int(error.code), error.message)

    def stream_closed(self, stream: Stream) -> None:
        """Nothing is told of a stream that is gone."""
        self.targets.stream_closed(stream)
