"""Maps at work: what moves by itself is set as time goes on, and exactly when a picture is bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.app.actions import Actions
from bridge.codec.osc_pattern import match_part
from bridge.errors import TexbridgeError
from bridge.streams.components import whole_values
from bridge.streams.control_records import Control, Rejected, SetValues
from bridge.streams.mapping import Mappings, MapSpec
from bridge.streams.stream import Stream


class OscMaps:
    """The maps of one bridge.

    While a smoothed value moves it is set 30 times a second, so that a live stream goes on generating; each picture
    takes the value of the moment at which it is bound.

    Args:
        actions: whose streams move.
        carry_out: does what controls say, in the name of a source.
    """

    def __init__(self, actions: Actions, carry_out: Callable[[Sequence[Control], object], None]) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._carry_out = carry_out
        self.mappings = Mappings((), match_part)

    def use(self, specs: Sequence[MapSpec]) -> None:
        """Take these maps. Called once, before any message comes."""
        self.mappings = Mappings(specs, match_part)
        if specs:
            self._bridge.add_deadline(self.mappings.next_deadline, self._due)
            self._bridge.before_bind = self._bind

    def _due(self, now: float) -> None:
        for mapping, numbers in self.mappings.due(now):
            controls = self.mappings.controls(mapping, numbers, self._actions.streams.by_name)
            if any(isinstance(control, Rejected) for control in controls):
                mapping.stop()  # the stream has another workflow now; say it once
            self._carry_out(controls, mapping.source)

    def _bind(self, stream: Stream) -> None:
        """Bring a stream's moving values up to this moment. No further picture follows from that."""
        for mapping, numbers in self.mappings.moving_to(stream.name, self._bridge.clock()):
            for control in self.mappings.controls(mapping, numbers, self._actions.streams.by_name):
                if isinstance(control, SetValues) and control.stream == stream.name:
                    self._set(stream, control, mapping.source)

    def _set(self, stream: Stream, control: SetValues, source: object) -> None:
        try:
            params = whole_values(control.params, stream.values.snapshot().values)
            changed = stream.values.set(params, clamp=True)
        except TexbridgeError:
            return  # the next tick says what is wrong
        if changed:
            for watcher in self._actions.watchers:
                watcher.values_changed(stream, changed, source)
