"""Keyframed tracks of a sequence: what each parameter is at each frame. Pure, and the same on every machine.

The shape on the wire, and of whoever makes tracks from text or files:

    {parameter: [[frame, value], [frame, value, easing], ...]}

- A key's `frame` is a whole number, -2^31..2^31-1, each key of a track later than the one before. Frame numbers count
  from the sequence's `first` (0 unless said): frame i of the sequence is number `first + i`. Keys may lie outside the
  frames that are made, so a part of a shot has the shot's own tracks.
- `value` is the parameter's, as `set` takes it (`Values.check`).
- `easing` is that of the way **to this key** from the one before: `[[0, 0.3], [24, 0.8, "cubic_in"]]` starts slowly at
  frame 0. That of a first key says nothing. `linear` unless said; words and `["bezier", x1, y1, x2, y2]` are in
  `easings`.
- Before the first key and after the last the value holds.
- Numbers, ints, vectors and colours go over; colours by their sRGB numbers as given, ints are rounded, n.5 up. Bools,
  texts, choices, seeds and pictures switch: at their key, not before; they take no easing but `step`.
- `seed` (where the workflow has one) is the stream's seed control, and switches as a seed parameter does.

`check_tracks` gives `Tracks`; `Tracks.at(number)` the checked values of a frame; `frame_seed` its seed. Frames depend
on nothing but these. Source: wire contract, `sequence`; protocols/engine-link.md.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from bridge.errors import ErrorCode, InvalidValueError, TexbridgeError
from bridge.streams.checks import MAX_SEED
from bridge.streams.easings import LINEAR, STEP, Easing, check_easing, eased
from bridge.streams.names import plain, shown
from bridge.streams.seeds import RANDOM_SEED_BITS
from bridge.streams.stream import check_seed
from bridge.streams.values import Values
from bridge.types import ParameterSpec, ParameterType, SeedPolicy, Value

MAX_FRAMES: Final = 1_000_000
"""Of one sequence."""

MAX_KEYS: Final = 16_384
"""Of one sequence, all tracks together."""

FRAME_NUMBERS: Final = (-(2**31), 2**31 - 1)
SEED: Final = "seed"
"""The track of the stream's seed control; no parameter may have this name."""

MOVING: Final = frozenset(
    {
        ParameterType.INT,
        ParameterType.FLOAT,
        ParameterType.COLOR,
        ParameterType.VEC2,
        ParameterType.VEC3,
        ParameterType.VEC4,
    }
)
"""Types whose values go over from key to key; all others switch."""


@dataclass(frozen=True, slots=True)
class TrackKey:
    """One key: from here on (and at this frame exactly) the value; `easing` is that of the way to it."""

    frame: int
    value: Value
    easing: Easing


class Track:
    """One parameter over time. `spec` None is the seed control."""

    def __init__(self, spec: ParameterSpec | None, keys: tuple[TrackKey, ...]) -> None:
        self.spec = spec
        self.keys = keys
        self._frames = [key.frame for key in keys]

    def at(self, frame: int) -> Value:
        """Give the value at a frame number. A key's own value is given as it is."""
        after = bisect_right(self._frames, frame)
        if after == 0:
            return self.keys[0].value
        before = self.keys[after - 1]
        if after == len(self.keys) or before.frame == frame:
            return before.value
        target = self.keys[after]
        if self.spec is None or self.spec.type not in MOVING:
            return before.value
        done = eased(target.easing, (frame - before.frame) / (target.frame - before.frame))
        return _between(self.spec, before.value, target.value, done)


class Tracks:
    """The tracks of one sequence by parameter name; `seed` is beside them."""

    def __init__(self, tracks: Mapping[str, Track], seed: Track | None = None) -> None:
        self._tracks = dict(tracks)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._tracks)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def __contains__(self, name: object) -> bool:
        return name in self._tracks

    def at(self, frame: int) -> dict[str, Value]:
        """Give the checked values of all tracked parameters at a frame number."""
        return {name: track.at(frame) for name, track in self._tracks.items()}

    def seed_at(self, frame: int) -> int | None:
        """Give the seed that a track of the seed control says, None without one."""
        seed = None if self._seed is None else self._seed.at(frame)
        return seed if isinstance(seed, int) else None

    def values(self) -> Iterator[Value]:
        """Give every value of every key, for counting what they take."""
        for track in self._tracks.values():
            for key in track.keys:
                yield key.value


def check_tracks(values: Values, raw: Mapping[str, object], *, has_seed: bool = False) -> Tracks:
    """Give the checked tracks of a stream whose parameters are those of `values`. Nothing is changed.

    Raises:
        UnknownNameError: 204 unknown_parameter, with the nearest name.
        InvalidValueError: 301 a track, key or frame of the wrong type; 302 frames unsorted, twice or out of range, or
            too many keys, or a value out of range; 304 a key that is not `[frame, value, easing?]`; what else
            `Values.check` and `check_easing` raise. The message names parameter and frame.
    """
    if not isinstance(raw, Mapping):
        _refuse(f"tracks {shown(raw)} is not a map of parameter to keys", ErrorCode.WRONG_TYPE, raw, "a map")
    count = sum(len(keys) for keys in raw.values() if isinstance(keys, list | tuple))
    if count > MAX_KEYS:
        _refuse(
            f"tracks have {count} keys, more than {MAX_KEYS}; send the shot in parts, or leave out keys that say "
            "nothing new",
            ErrorCode.OUT_OF_RANGE,
            count,
            MAX_KEYS,
        )
    tracks: dict[str, Track] = {}
    seed: Track | None = None
    for name, keys in raw.items():
        if name == SEED and has_seed and name not in values.specs:
            seed = Track(None, tuple(_keys(None, name, keys, values)))
            continue
        if name not in values.specs:
            values.check({name: None})  # raises, and says which is nearest
        spec = values.specs[name]
        tracks[name] = Track(spec, tuple(_keys(spec, name, keys, values)))
    return Tracks(tracks, seed)


def _keys(spec: ParameterSpec | None, name: str, raw: object, values: Values) -> Iterable[TrackKey]:
    if not isinstance(raw, list | tuple) or not raw:
        _refuse(
            f"{name}: track {shown(raw)} is not a list of one or more keys [frame, value, easing?]",
            ErrorCode.WRONG_TYPE,
            raw,
            "[[frame, value, easing?], ...]",
        )
    before: int | None = None
    for place, key in enumerate(raw):
        if not isinstance(key, list | tuple) or len(key) not in (2, 3):
            _refuse(
                f"{name}: key {place} {shown(key)} is not [frame, value] or [frame, value, easing]",
                ErrorCode.WRONG_COMPONENTS,
                key,
                "[frame, value, easing?]",
            )
        frame = _frame(name, place, key[0])
        if before is not None and frame <= before:
            again = "is there twice" if frame == before else f"stands after frame {before}"
            _refuse(
                f"{name}: frame {frame} {again}; keys are in the order of their frames, each once",
                ErrorCode.OUT_OF_RANGE,
                frame,
                f"over {before}",
            )
        before = frame
        where = f"{name} at frame {frame}"
        moves = spec is not None and spec.type in MOVING
        easing: Easing = LINEAR if moves else STEP
        if len(key) == 3 and key[2] is not None:
            easing = check_easing(key[2], where)
            if not moves and easing != STEP and place:
                kind = "seed" if spec is None else spec.type
                _refuse(
                    f"{where}: a {kind} switches, it can't go over by {shown(key[2])}; leave the easing out, or say "
                    "'step'",
                    ErrorCode.NOT_A_CHOICE,
                    key[2],
                    STEP,
                )
        yield TrackKey(frame, _value(spec, name, frame, key[1], values), easing)


def _frame(name: str, place: int, raw: object) -> int:
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        _refuse(
            f"{name}: key {place}: frame {shown(raw)} is not a whole number",
            ErrorCode.WRONG_TYPE,
            raw,
            "a whole number",
        )
    low, high = FRAME_NUMBERS
    if not low <= raw <= high:
        _refuse(
            f"{name}: key {place}: frame {shown(raw)} is outside {low}..{high}",
            ErrorCode.OUT_OF_RANGE,
            raw,
            f"{low}..{high}",
        )
    return raw


def _value(spec: ParameterSpec | None, name: str, frame: int, raw: object, values: Values) -> Value:
    try:
        return check_seed(raw) if spec is None else values.check({name: raw})[name]
    except TexbridgeError as error:
        # Which of a hundred keys it is nobody sees from the value alone.
        raise type(error)(
            f"frame {frame}: {error.message}",
            code=error.code,
            field="tracks",
            value=error.value,
            limit=error.limit,
        ) from error


def _refuse(message: str, code: ErrorCode, value: object, limit: object) -> NoReturn:
    raise InvalidValueError(message, code=code, field="tracks", value=plain(value), limit=limit)


def _between(spec: ParameterSpec, before: Value, after: Value, done: float) -> Value:
    if isinstance(before, tuple) and isinstance(after, tuple):
        low, high = (0.0, 1.0) if spec.type is ParameterType.COLOR else (spec.minimum, spec.maximum)
        return tuple(_clamped(_mixed(a, b, done), low, high) for a, b in zip(before, after, strict=True))
    assert isinstance(before, int | float)
    assert isinstance(after, int | float)
    if spec.type is ParameterType.INT:
        return _whole_between(spec, int(before), int(after), done)
    return _clamped(_mixed(before, after, done), spec.minimum, spec.maximum)


def _mixed(before: float, after: float, done: float) -> float:
    return before + (after - before) * done


def _whole_between(spec: ParameterSpec, before: int, after: int, done: float) -> int:
    # The distance alone becomes a float: so what is large stays exact near its keys.
    moved = before + math.floor((after - before) * done + 0.5)
    low = -(2**63) if spec.minimum is None else math.ceil(spec.minimum)
    high = 2**63 - 1 if spec.maximum is None else math.floor(spec.maximum)
    return max(low, min(high, moved))


def _clamped(number: float, low: float | int | None, high: float | int | None) -> float:
    if low is not None and number < low:
        return float(low)
    if high is not None and number > high:
        return float(high)
    return float(number)


def frame_seed(policy: SeedPolicy, base: int, frame: int) -> int:
    """Give the seed of frame number `frame` of a sequence whose first seed is `base`: 0..2^64-1.

    fixed: `base`. increment: `base + frame`, beyond 2^64-1 from 0 on. random: 32 bits of a hash of both (splitmix64 of
    `base + (frame + 1) * 0x9e3779b97f4a7c15`, its upper half), so that a frame made alone is as it is among the others.
    """
    if policy is SeedPolicy.INCREMENT:
        return (base + frame) & MAX_SEED
    if policy is SeedPolicy.RANDOM:
        mixed = (base + (frame + 1) * 0x9E3779B97F4A7C15) & MAX_SEED
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MAX_SEED
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MAX_SEED
        return (mixed ^ (mixed >> 31)) >> (64 - RANDOM_SEED_BITS)
    return base
