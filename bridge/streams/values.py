"""A stream's current values: each change makes a new revision, a set takes all its values or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.streams.checks import DEFAULT_LIMITS, ValueLimits, check_value, clamp_value
from bridge.streams.names import nearest, plain, shown
from bridge.types import ParameterSpec, Value

__all__ = ["Snapshot", "ValueLimits", "Values", "check_value", "clamp_value"]

_MAX_CLIENT_TIMES: Final = 256

CONTROLS: Final = {
    "seed": "the seed is a control, not a parameter: `run` takes `seed`, OSC has /texbridge/<stream>/seed",
    "size": "the size is a control, not a parameter: `open` takes `size`, OSC has /texbridge/<stream>/size",
}
"""What to say of a control that somebody takes for a parameter."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of one moment: they never change afterwards.

    `client_times` has the newest `client_time` of each session that is bound into these values.
    """

    revision: int
    values: Mapping[str, Value]
    client_times: Mapping[int, int]


class Values:
    """Current values of a stream's parameters, one for each spec, the defaults at first.

    `revision` begins at 1 and grows by one with each set that changes something, and with each change of the
    workflow; it never goes back.
    """

    def __init__(self, specs: tuple[ParameterSpec, ...], *, limits: ValueLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._revision = 1
        self._client_times: dict[int, int] = {}
        self._touched: frozenset[str] = frozenset()
        self._snapshot: Snapshot | None = None
        self._use(specs, {})

    def _use(self, specs: tuple[ParameterSpec, ...], carried: Mapping[str, Value]) -> None:
        self._specs: Mapping[str, ParameterSpec] = MappingProxyType({spec.name: spec for spec in specs})
        self._names = tuple(self._specs)
        self._values: dict[str, Value] = {spec.name: carried.get(spec.name, spec.default) for spec in specs}

    @property
    def specs(self) -> Mapping[str, ParameterSpec]:
        """The parameters by name, in the workflow's order."""
        return self._specs

    @property
    def revision(self) -> int:
        """Grows by one with each change, from 1."""
        return self._revision

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def check(self, params: Mapping[str, object], *, clamp: bool = False) -> dict[str, Value]:
        """Give `params` as checked values and change nothing; with `clamp`, as OSC takes them.

        Raises: UnknownNameError (204 unknown_parameter) with the nearest name, and what `check_value` raises.
        """
        checked: dict[str, Value] = {}
        for name, raw in params.items():
            spec = self._specs.get(name)
            if spec is None:
                close = nearest(name, self._names)
                control = CONTROLS.get(name) if isinstance(name, str) else None
                known = f"nearest is {close!r}" if close else f"there are: {', '.join(self._names[:20]) or 'none'}"
                hint = f"; {control or known}"
                raise UnknownNameError(
                    f"no parameter {shown(name)}{hint}",
                    code=ErrorCode.UNKNOWN_PARAMETER,
                    field=str(plain(name)),
                    value=plain(name),
                    limit=close,
                )
            checked[name] = check_value(spec, raw, clamp=clamp and spec.clamp, limits=self._limits)
        return checked

    def set(
        self,
        params: Mapping[str, object],
        *,
        session: int | None = None,
        client_time: int = 0,
        clamp: bool = False,
    ) -> tuple[str, ...]:
        """Take all of `params`, or none if one is wrong. Give the names whose value is another one now.

        `client_time` (0 = none, else u64) of `session` is kept even when no value changed: the next picture
        carries it. Nothing changed means an empty tuple and the same revision.
        Raises as `check`, and InvalidValueError (302) for a `client_time` that is no u64.
        """
        if not 0 <= client_time < 2**64:
            raise InvalidValueError(
                f"client_time {shown(client_time)} is not 0..2^64-1",
                code=ErrorCode.OUT_OF_RANGE,
                field="client_time",
                value=plain(client_time),
                limit="0..2^64-1",
            )
        checked = self.check(params, clamp=clamp)
        changed = tuple(name for name, value in checked.items() if self._values[name] != value)
        if changed:
            # An equal value stays the object that it is: a picture that was prepared is known again by that.
            self._values = {**self._values, **{name: checked[name] for name in changed}}
            self._revision += 1
            self._snapshot = None
        if checked:
            self._touched |= checked.keys()
        if session is not None and client_time and self._client_times.get(session) != client_time:
            self._note_client_time(session, client_time)
        return changed

    def _note_client_time(self, session: int, client_time: int) -> None:
        times = dict(self._client_times)
        times.pop(session, None)
        if len(times) >= _MAX_CLIENT_TIMES:
            del times[next(iter(times))]
        times[session] = client_time
        self._client_times = times
        self._snapshot = None

    def forget_session(self, session: int) -> None:
        """Drop the `client_time` of a session that is gone."""
        if session in self._client_times:
            self._client_times = {known: time for known, time in self._client_times.items() if known != session}
            self._snapshot = None

    def change_specs(self, specs: tuple[ParameterSpec, ...], *, carry: bool = True) -> None:
        """Go over to another workflow's parameters; the revision grows.

        With `carry`, a value that somebody set stays where the new workflow has a parameter of the same name that
        takes it; one that was never set, or doesn't fit, becomes the new default.
        """
        carried: dict[str, Value] = {}
        for spec in specs if carry else ():
            if spec.name in self._touched and spec.name in self._values:
                try:
                    carried[spec.name] = check_value(spec, self._values[spec.name], limits=self._limits)
                except (InvalidValueError, NotAllowedError):
                    continue
        self._use(specs, carried)
        self._touched = frozenset(carried)
        self._revision += 1
        self._snapshot = None

    def snapshot(self) -> Snapshot:
        """Give the values of this moment: the same object until the next change."""
        if self._snapshot is None:
            # Both dicts are replaced, never written to, once they are in use: no copy is needed.
            self._snapshot = Snapshot(
                self._revision, MappingProxyType(self._values), MappingProxyType(self._client_times)
            )
        return self._snapshot
