"""`[[map]]` of the configuration: an address that some controller sends, and what of ours it moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from bridge.errors import ConfigError
from bridge.streams.controls import StreamParameters
from bridge.streams.mapping import NO_VALUES, MapSpec, check_target
from bridge.types import Curve

_PATTERN: Final = frozenset("*?[]{}")
Address = Annotated[str, Meta(min_length=2, max_length=1000)]


class MapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a controller sends by an address of its own, as one of ours: as it comes, unless more keys are given."""

    address: Annotated[
        Address, Meta(description="OSC address that comes, with patterns if wanted: /1/fader3, /sensor/*/x")
    ]
    to: Annotated[
        Address, Meta(description="main/blur, main/tint/r, main/noise/norm, main/run, panic: below /texbridge")
    ]
    argument: Annotated[
        Annotated[int, Meta(ge=0, le=1023)] | None, Meta(description="place of the argument that counts; else all")
    ] = None
    range_in: Annotated[
        tuple[float, float] | None, Meta(description="[low, high] of what comes; by default [0.0, 1.0]")
    ] = field(default=None, name="in")
    range_out: Annotated[
        tuple[float, float] | None, Meta(description="[low, high] of what it becomes; by default [0.0, 1.0]")
    ] = field(default=None, name="out")
    curve: Annotated[Curve, Meta(description="linear, log (both ends of out over 0) or exp")] = Curve.LINEAR
    clamp: Annotated[bool, Meta(description="keep within out; false only with a linear curve")] = True
    invert: Annotated[bool, Meta(description="the low end becomes the high one")] = False
    smoothing_s: Annotated[
        float, Meta(ge=0, le=600, description="time constant in seconds: 63% of the way is done after it; 0 is at once")
    ] = 0.0
    deadband: Annotated[
        float, Meta(ge=0, description="smaller moves than this, in units of out, are ignored; the ends never")
    ] = 0.0
    silent_after_s: Annotated[
        Annotated[float, Meta(gt=0, le=86_400)] | None,
        Meta(description="seconds without a message after which silent_value holds; by default never"),
    ] = None
    silent_value: Annotated[float | None, Meta(description="in units of out; by default out's low end")] = None
    feedback: Annotated[
        bool, Meta(description="tell reply targets at `address` what it would have to send, when somebody else sets it")
    ] = False


def map_spec(number: int, entry: MapConfig) -> MapSpec:
    """Give one map as it is used; `number` counts from 1, for words.

    Raises:
        ConfigError: an address without a slash, an empty or endless range, a curve that the range can't have.
    """
    where = f"[[map]] {number} ({entry.address})"
    if not entry.address.startswith("/"):
        raise ConfigError(f"{where}: an OSC address begins with /, e.g. /{entry.address}")
    to = entry.to if entry.to.startswith("/texbridge/") else f"/texbridge/{entry.to.lstrip('/')}"
    low, high = entry.range_in or (0.0, 1.0)
    out_low, out_high = entry.range_out or (0.0, 1.0)
    if not all(map(math.isfinite, (low, high, out_low, out_high, high - low, out_high - out_low))):
        raise ConfigError(f"{where}: in and out are finite numbers")
    if low == high:
        raise ConfigError(f"{where}: in is [{low:g}, {high:g}], which is no range; give two different numbers")
    if entry.curve is Curve.LOG and (out_low <= 0 or out_high <= 0):
        raise ConfigError(f"{where}: curve log needs both ends of out over 0, not [{out_low:g}, {out_high:g}]")
    if not entry.clamp and entry.curve is not Curve.LINEAR:
        raise ConfigError(f"{where}: without clamp the curve is linear, not {entry.curve}")
    if entry.silent_value is not None and entry.silent_after_s is None:
        raise ConfigError(f"{where}: silent_value needs silent_after_s: after how many seconds it holds")
    silent_value = out_low if entry.silent_value is None else entry.silent_value
    if not all(map(math.isfinite, (silent_value, entry.smoothing_s, entry.deadband))):
        raise ConfigError(f"{where}: silent_value, smoothing_s and deadband are finite numbers")
    if entry.feedback and (entry.argument is not None or not _PATTERN.isdisjoint(entry.address)):
        raise ConfigError(f"{where}: feedback needs one address with one value: neither a pattern nor argument")
    if entry.feedback and out_low == out_high:
        raise ConfigError(f"{where}: feedback needs two different numbers for out, not [{out_low:g}, {out_high:g}]")
    if entry.feedback and to.rpartition("/")[2] in NO_VALUES:
        raise ConfigError(f"{where}: feedback is for parameters; {entry.to} has no value")
    plain = entry == MapConfig(address=entry.address, to=entry.to, argument=entry.argument, feedback=entry.feedback)
    return MapSpec(
        address=entry.address,
        to=to,
        argument=entry.argument,
        plain=plain,
        low=low,
        high=high,
        out_low=out_low,
        out_high=out_high,
        curve=entry.curve,
        clamp=entry.clamp,
        invert=entry.invert,
        smoothing_s=entry.smoothing_s,
        deadband=entry.deadband,
        silent_after_s=entry.silent_after_s,
        silent_value=silent_value,
        feedback=entry.feedback,
    )


def map_specs(entries: Sequence[MapConfig], streams: Mapping[str, StreamParameters]) -> tuple[MapSpec, ...]:
    """Give all maps as they are used, their targets found among the configured streams.

    Raises:
        ConfigError: as `map_spec`; a target that isn't there, with the nearest right one.
    """
    specs = tuple(map_spec(number, entry) for number, entry in enumerate(entries, 1))
    for number, spec in enumerate(specs, 1):
        wrong = check_target(spec.to, streams)
        if wrong is not None:
            raise ConfigError(f"[[map]] {number} ({spec.address}): {wrong}")
    return specs
