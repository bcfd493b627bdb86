"""What every frame of a shot is made of: constants, tracks and seeds, checked before anything is rendered.

Tracks are those of `streams.tracks`, by the shot's own frame numbers, and a frame's seed is its policy's for its own
number. So a frame made alone, in a chunk or after a pause is the frame that it is among the others. What goes to the
bridge are the values of each position, as keys where they change: any list of frames is one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.codec.messages import Described, ParameterDescription
from bridge.errors import ConfigError, TexbridgeError
from bridge.render.track_texts import EASING_WORDS, Key, Text, TrackKeys
from bridge.streams.tracks import SEED, Tracks, check_tracks, frame_seed
from bridge.streams.values import Values
from bridge.types import ParameterSpec, ParameterType, SeedPolicy, Value

MAX_PIECE_KEYS: Final = 6_000
"""Keys of one sequence: what a message may have (65,536 nodes) is never reached."""

MAX_PIECE_FRAMES: Final = 5_000

Typed = Callable[[str, str | None], Any]
"""Gives a text as the value that a parameter's type wants."""

_DEFAULTS: Final[dict[ParameterType, Value]] = {
    ParameterType.INT: 0,
    ParameterType.FLOAT: 0.0,
    ParameterType.BOOL: False,
    ParameterType.SEED: 0,
    ParameterType.COLOR: (0.0, 0.0, 0.0, 1.0),
    ParameterType.VEC2: (0.0, 0.0),
    ParameterType.VEC3: (0.0, 0.0, 0.0),
    ParameterType.VEC4: (0.0, 0.0, 0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one sequence asks for: so many of the frames, the values of each position as keys where they change.

    Keys count from `first`, the first frame's number. Where frames are left out, later ones stand at earlier places.
    """

    frames: tuple[int, ...]
    tracks: dict[str, list[list[Any]]]

    @property
    def first(self) -> int:
        """The number of the first position."""
        return self.frames[0]


class Shot:
    """The values of each frame.

    Attributes:
        constants: values that hold for all frames, as the link takes them.
        track_facts: the tracks as they were given, with typed values, for the manifest.
        seed, seed_policy: what a frame's seed is made of; a track of seeds comes before them.
    """

    def __init__(
        self,
        described: Described,
        constants: Mapping[str, str],
        tracks: TrackKeys,
        *,
        typed: Typed,
        seed: int,
        seed_policy: SeedPolicy,
        pictures: Sequence[str] = (),
    ) -> None:
        """Check everything against the workflow; `pictures` names the parameters that get pictures.

        Raises:
            ConfigError: a parameter is given twice, or a picture to what takes none. TexbridgeError: an unknown name,
                a value of the wrong type or out of range, an easing that can't be.
        """
        specs = {spec.name: spec for spec in map(_spec, described.parameters)}
        self._values = Values(tuple(specs.values()))
        self._has_seed = described.has_seed is not False
        self.seed, self.seed_policy = seed, seed_policy
        _refuse_twice(constants, tracks, pictures)
        for name in pictures:
            if name in specs and specs[name].type is not ParameterType.IMAGE:
                takers = ", ".join(spec.name for spec in specs.values() if spec.type is ParameterType.IMAGE)
                raise ConfigError(
                    f"--image {name}: that is {specs[name].type}, set by -p or --track; {described.workflow} takes "
                    f"pictures in {takers or 'none of its parameters'}"
                )
        for name in (*constants, *pictures):
            if name not in specs:
                self._values.check({name: None})  # raises, and says which is nearest
        for name in (*constants, *tracks):
            if name in specs and specs[name].type is ParameterType.IMAGE:
                raise ConfigError(f"{name} is a picture: --image {name}=FILE, with %04d for the frame's number")
        kinds = {name: spec.type.value for name, spec in specs.items()} | {SEED: "int"}
        checked = self._values.check({name: typed(text, kinds.get(name)) for name, text in constants.items()})
        self.constants = {name: plain(value) for name, value in checked.items()}
        self.track_facts = {
            name: [_typed_key(key, typed, kinds.get(name)) for key in keys] for name, keys in tracks.items()
        }
        try:
            self._tracks: Tracks = check_tracks(self._values, self.track_facts, has_seed=self._has_seed)
        except TexbridgeError as error:
            if SEED in tracks and not self._has_seed and SEED not in specs:
                raise ConfigError(f"{described.workflow} has no seed, so there is no track of it") from error
            if (word := _no_easing(tracks, str(error))) is not None:
                raise ConfigError(f"{error}; {word!r} is no easing: {EASING_WORDS} are") from error
            raise
        self.names = tuple(self._tracks)

    def values(self, frame: int) -> dict[str, Any]:
        """Give the tracked values of a frame, as the link takes them."""
        return {name: plain(value) for name, value in self._tracks.at(frame).items()}

    def frame_seed(self, frame: int) -> int | None:
        """Give the seed of a frame, None if the workflow has none."""
        if not self._has_seed:
            return None
        tracked = self._tracks.seed_at(frame)
        return frame_seed(self.seed_policy, self.seed, frame) if tracked is None else tracked

    def pieces(self, frames: Sequence[int]) -> Iterator[Piece]:
        """Give what to ask for, in order: one piece unless there is more than a message holds."""
        first = 0
        while first < len(frames):
            tracks: dict[str, list[list[Any]]] = {}
            count = 0
            before: dict[str, Any] = {}
            place = first
            while place < len(frames) and place - first < MAX_PIECE_FRAMES:
                # The constants too: somebody else may set the stream's values meanwhile.
                now = {**self.constants, **self.values(frames[place])}
                seed = self.frame_seed(frames[place])
                if seed is not None:
                    now[SEED] = seed
                changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
                if place > first and count + len(changed) > MAX_PIECE_KEYS:
                    break
                for name, value in changed.items():
                    tracks.setdefault(name, []).append([frames[first] + place - first, value, "step"])
                count += len(changed)
                before = now
                place += 1
            yield Piece(tuple(frames[first:place]), tracks)
            first = place


def _no_easing(tracks: TrackKeys, refused: str) -> str | None:
    """Give the last word of a value as it was typed that was refused: meant as an easing, but none."""
    texts = (str(key.value) for keys in tracks.values() for key in keys if isinstance(key.value, Text))
    return next((text.rpartition(":")[2].strip() for text in texts if ":" in text and repr(text) in refused), None)


def _typed_key(key: Key, typed: Typed, kind: str | None) -> list[Any]:
    value = typed(str(key.value), kind) if isinstance(key.value, Text) else key.value
    return [key.frame, value] if key.easing is None else [key.frame, value, key.easing]


def plain(value: Value) -> Any:
    """Give a checked value as JSON and the link have it."""
    return list(value) if isinstance(value, tuple) else value


def _spec(told: ParameterDescription) -> ParameterSpec:
    try:
        kind = ParameterType(told.type)
    except ValueError:  # of a later version: its own bridge judges
        kind = ParameterType.STRING
    return ParameterSpec(
        told.name,
        told.label,
        kind,
        _DEFAULTS.get(kind, ""),
        told.min,
        told.max,
        told.step,
        choices=tuple(told.choices or ()),
    )


def _refuse_twice(constants: Mapping[str, str], tracks: TrackKeys, pictures: Sequence[str]) -> None:
    given: dict[str, str] = {}
    for option, names in (("-p", constants), ("a track", tracks), ("--image", pictures)):
        for name in names:
            if name in given:
                raise ConfigError(f"{name} is given by {given[name]} and by {option}; one is right")
            given[name] = option
