"""What an OSC message means: an address and its arguments become typed control records. Nothing is done here.

    /texbridge/<stream>/<parameter>  value(s)        SetValues; /norm and components below it: see `components`
    /texbridge/<stream>/run          (name value)... RunRequested, or Ignored for a button's release
    /texbridge/<stream>/live         0|1 (fade_s)    LiveSwitched
    /texbridge/<stream>/freeze       0|1 (fade_s)    FreezeSwitched, /blackout likewise
    /texbridge/<stream>/cancel                       CancelRequested
    /texbridge/<stream>/seed         number          SeedSet, or a word: SeedSteered; and below it, see `seed_controls`
    /texbridge/<stream>/size         w h             SizeSet
    /texbridge/<stream>/size         "16:9" (1.0)    ShapeSet
    /texbridge/<stream>/workflow     name            WorkflowSet
    /texbridge/panic, /resume, /refresh              PanicPressed, ResumePressed, RefreshRequested
    /texbridge/reply                 port ("norm")   ReplyRegistered

Whatever is wrong becomes a Rejected record with an error code: nothing is raised. Patterns match parameters only.
Source: wire contract, OSC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, TexbridgeError, UnknownNameError
from bridge.streams.arguments import is_impulse, read_number, read_switch, read_value, spread
from bridge.streams.components import find_below, read_below, words_below
from bridge.streams.control_records import (
    BlackoutSwitched,
    CancelRequested,
    Components,
    Control,
    FreezeSwitched,
    Ignored,
    LiveSwitched,
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
from bridge.streams.names import nearest, plain, shown
from bridge.streams.pattern_budget import Matches, PatternBudget
from bridge.streams.seed_controls import read_steering
from bridge.streams.sizes import Shape, check_aspect, check_megapixels
from bridge.streams.stream import check_seed
from bridge.types import COMPONENTS, ParameterSpec, Size, Value

__all__ = [
    "BlackoutSwitched",
    "CancelRequested",
    "Components",
    "Control",
    "FreezeSwitched",
    "Ignored",
    "LiveSwitched",
    "PanicPressed",
    "PatternBudget",
    "RefreshRequested",
    "Rejected",
    "ReplyRegistered",
    "ResumePressed",
    "RunRequested",
    "SeedSet",
    "SetValues",
    "ShapeSet",
    "SizeSet",
    "StreamParameters",
    "WorkflowSet",
    "merge_controls",
    "read_controls",
]

PREFIX: Final = "texbridge"
STREAM_WORDS: Final = ("run", "live", "cancel", "seed", "size", "workflow", "freeze", "blackout")
BRIDGE_WORDS: Final = ("panic", "resume", "refresh", "reply")
TOLD: Final = frozenset({"status", "progress", "frame", "error"})
"""What a bridge tells. It comes in where somebody sends back what he heard, or two bridges tell each other; an error
for it would come back in turn, without an end."""

_MAX_ADDRESS: Final = 1_024
_PATTERN: Final = frozenset("*?[]{}")


class StreamParameters(Protocol):
    """What must be known of a stream: its parameters by name. `Stream` has it."""

    @property
    def parameters(self) -> Mapping[str, ParameterSpec]: ...


def read_controls(
    address: str,
    arguments: Sequence[object],
    streams: Mapping[str, StreamParameters],
    match_part: Callable[[str, str], bool],
    budget: PatternBudget | None = None,
) -> tuple[Control, ...]:
    """Give what one OSC message asks for: mostly one record; a pattern may give one SetValues for each stream.

    `match_part(pattern, name)` tells whether one part of an OSC pattern matches a name, in bounded time. `budget`
    is shared by the messages of a packet; without one the message has its own. A message over it is rejected (106
    message_too_complex). Raises nothing, whatever the arguments are.
    """
    try:
        return _read(address, arguments, streams, match_part, budget or PatternBudget())
    except TexbridgeError as error:
        return (_rejected(address, error),)


def _rejected(address: str, error: TexbridgeError) -> Rejected:
    close = error.limit if isinstance(error, UnknownNameError) and isinstance(error.limit, str) else None
    return Rejected(address[:200], error.code, error.message, close)


def _read(
    address: str,
    arguments: Sequence[object],
    streams: Mapping[str, StreamParameters],
    match_part: Callable[[str, str], bool],
    budget: PatternBudget,
) -> tuple[Control, ...]:
    parts = address.split("/", 6)
    if len(address) > _MAX_ADDRESS or parts[0] or len(parts) < 2 or parts[1] != PREFIX:
        ours = len(address) <= _MAX_ADDRESS and len(parts) > 2 and parts[1] in streams
        raise _unknown_address(address, f"/{PREFIX}/<stream>/<parameter>", f"/{PREFIX}{address}" if ours else None)
    if (len(parts) == 4 and parts[3] in TOLD) or parts[2:] == ["error"]:
        return (Ignored(f"{parts[-1]}: what a bridge tells"),)
    if len(parts) == 3:
        return (_bridge_control(address, parts[2], arguments, streams),)
    if len(parts) < 4:
        raise _unknown_address(address, f"/{PREFIX}/<stream>/<parameter>", None)
    name, word, *rest = parts[2:]
    if not _PATTERN.isdisjoint(name) or not _PATTERN.isdisjoint(word):
        return _pattern_controls(address, name, word, rest, arguments, streams, match_part, budget)
    stream = streams.get(name)
    if stream is None:
        close = nearest(name, tuple(streams)) if budget.spend_hint() else None
        right = None if close is None else "/".join(("", PREFIX, close, word, *rest))
        known = ", ".join(sorted(streams)[:10]) or "none"
        raise UnknownNameError(
            f"no stream {shown(name)}; {f'nearest is {right}' if right else f'there are: {known}'}",
            code=ErrorCode.UNKNOWN_STREAM,
            field="stream",
            value=plain(name),
            limit=right,
        )
    if word in STREAM_WORDS:
        if word == "seed" and (steered := read_steering(name, rest, arguments)) is not None:
            return (steered,)
        if rest:
            raise _unknown_address(address, "nothing stands below it", f"/{PREFIX}/{name}/{word}")
        return (_stream_control(name, word, arguments, stream),)
    spec = stream.parameters.get(word)
    if spec is None:
        raise _unknown_parameter(name, word, stream, hint=budget.spend_hint())
    below = find_below(spec, rest)
    if below is None:
        has, path = words_below(spec, rest)
        raise _unknown_address(address, has, f"/{PREFIX}/{name}/{word}{path}", has)
    return (SetValues(name, {word: read_below(spec, below, arguments)}),)


def _bridge_control(
    address: str, word: str, arguments: Sequence[object], streams: Mapping[str, StreamParameters]
) -> Control:
    """Give what an address of two parts asks for: these words mean the bridge, never a stream."""
    if word == "reply":
        norm = len(arguments) == 2 and arguments[1] == "norm"
        return ReplyRegistered(_port(arguments[:1] if norm else arguments), norm)
    if word not in BRIDGE_WORDS:
        close = nearest(word, BRIDGE_WORDS)
        if word in STREAM_WORDS and streams:
            close = f"{next(iter(streams))}/{word}"
        hint = f"/{PREFIX}/{shown(word)[1:-1]}/<parameter>" if word in streams else f"/{PREFIX}/<stream>/<parameter>"
        raise _unknown_address(address, hint, None if close is None else f"/{PREFIX}/{close}")
    if not _pressed(word, arguments):
        return Ignored(f"{word}: a button's release")
    if word == "panic":
        return PanicPressed()
    return ResumePressed() if word == "resume" else RefreshRequested()


def _stream_control(name: str, word: str, arguments: Sequence[object], stream: StreamParameters) -> Control:
    match word:
        case "run":
            return _run(name, arguments, stream)
        case "cancel":
            if not _pressed(word, arguments):
                return Ignored("cancel: a button's release")
            return CancelRequested(name)
        case "live":
            return LiveSwitched(name, *_switch(word, arguments))
        case "freeze":
            return FreezeSwitched(name, *_switch(word, arguments))
        case "blackout":
            return BlackoutSwitched(name, *_switch(word, arguments))
        case "seed":
            return SeedSet(name, _seed(arguments))
        case "size":
            return _size(name, arguments)
        case "workflow":
            return WorkflowSet(name, _workflow(arguments))
        case _:
            raise _unknown_parameter(name, word, stream)


def _pressed(word: str, arguments: Sequence[object]) -> bool:
    """Tell a button's press from its release: nothing, `T I N` or a number but 0 is a press; 0 and `F` a release."""
    if not arguments:
        return True
    if len(arguments) > 1:
        raise InvalidValueError(
            f"{word} takes nothing, or a button's 0 or 1; got {len(arguments)} arguments",
            code=ErrorCode.WRONG_COMPONENTS,
            field=word,
            value=len(arguments),
            limit="0 or 1 argument",
        )
    argument = arguments[0]
    if argument is None or is_impulse(argument):
        return True
    if isinstance(argument, int | float):  # a bool too: F is 0
        if argument != argument:
            raise InvalidValueError(f"{word}: nan is not a press", code=ErrorCode.NOT_FINITE, field=word, value="nan")
        return argument != 0
    raise InvalidValueError(
        f"{word} takes nothing, or a button's 0 or 1; got {shown(argument)}",
        field=word,
        value=plain(argument),
        limit="nothing, 0 or 1",
    )


def _run(name: str, arguments: Sequence[object], stream: StreamParameters) -> Control:
    """Give a run: no or one argument is a button, more are names with their values."""
    if len(arguments) < 2:
        if arguments and isinstance(arguments[0], str):
            raise InvalidValueError(
                f"run takes nothing, or name value ...; got {shown(arguments[0])} alone",
                code=ErrorCode.WRONG_COMPONENTS,
                field="run",
                value=plain(arguments[0]),
                limit="name value ...",
            )
        return RunRequested(name) if _pressed("run", arguments) else Ignored("run: a button's release")
    params: dict[str, Value] = {}
    seed: int | None = None
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if not isinstance(word, str):
            raise InvalidValueError(
                f"run takes name value ...; argument {position + 1} is {shown(word)}, not a name",
                field="run",
                value=plain(word),
                limit="name value ...",
            )
        if word == "seed":
            seed = _seed(arguments[position + 1 : position + 2])
            position += 2
            continue
        spec = stream.parameters.get(word)
        if spec is None:
            raise _unknown_parameter(name, word, stream)
        count = _values_of(spec, arguments, position + 1)
        params[word] = read_value(spec, arguments[position + 1 : position + 1 + count])
        position += 1 + count
    return RunRequested(name, params, seed)


def _values_of(spec: ParameterSpec, arguments: Sequence[object], start: int) -> int:
    """Give how many arguments from `start` are this parameter's value: as many numbers as its type takes, or one.

    Text is one argument here: further words could be the next name.
    """
    most = COMPONENTS.get(spec.type, 1)
    if most == 1 or start >= len(arguments) or not _is_component(arguments[start]):
        return 1
    count = 1
    while count < most and start + count < len(arguments) and _is_component(arguments[start + count]):
        count += 1
    return count


def _is_component(argument: object) -> bool:
    return read_number(argument) is not None


def _switch(word: str, arguments: Sequence[object]) -> tuple[bool, float]:
    """Give on or off, and the seconds of the fade."""
    on = read_switch(arguments[0]) if arguments else None
    if on is None or len(arguments) > 2:
        given = shown(arguments[0] if len(arguments) == 1 else tuple(arguments)) if arguments else "nothing"
        raise InvalidValueError(f"{word} takes 0 or 1; got {given}", field=word, value=given, limit="0 or 1")
    fade_s = read_number(arguments[1]) if len(arguments) == 2 else 0.0
    if fade_s is None or not 0 <= fade_s <= 3600:
        raise InvalidValueError(
            f"{word}: fade of {shown(arguments[1])} is not 0..3600 seconds",
            code=ErrorCode.OUT_OF_RANGE,
            field="fade_s",
            value=plain(arguments[1]),
            limit="0..3600",
        )
    return on, float(fade_s)


def _seed(arguments: Sequence[object]) -> int:
    number = read_number(arguments[0]) if len(arguments) == 1 else None
    if number is None:
        given = shown(tuple(arguments)) if arguments else "nothing"
        raise InvalidValueError(
            f"seed takes one whole number 0..2^64-1 (i, h or text); got {given}",
            field="seed",
            value=given,
            limit="0..2^64-1",
        )
    return check_seed(number)


def _size(name: str, arguments: Sequence[object]) -> SizeSet | ShapeSet:
    """Give a size in pixels, or the shape that a text such as "16:9" begins, with or without megapixels."""
    given = spread(arguments)
    sides = [read_number(argument) for argument in given]
    if 0 < len(sides) < 3 and isinstance(given[0], str) and sides[0] is None and sides[1:] != [None]:
        return ShapeSet(name, Shape(check_aspect(given[0]), check_megapixels(sides[1]) if sides[1:] else None))
    numbers = [side for side in sides if side is not None and side == side and abs(side) != float("inf")]
    if len(sides) != 2 or len(numbers) != 2:
        told = shown(tuple(arguments)) if arguments else "nothing"
        raise InvalidValueError(
            f"size takes width and height in pixels, or an aspect such as 16:9 and megapixels; got {told}",
            code=ErrorCode.BAD_SIZE,
            field="size",
            value=told,
            limit="width height, or aspect (megapixels)",
        )
    # Snapped to the workflow's step later; the bounds here only keep the numbers small.
    return SizeSet(name, Size(*(int(min(max(number, 1), 2**20)) for number in numbers)))


def _workflow(arguments: Sequence[object]) -> str:
    if len(arguments) == 1 and isinstance(arguments[0], str) and 0 < len(arguments[0]) <= 64:
        return arguments[0]
    given = shown(tuple(arguments)) if arguments else "nothing"
    raise InvalidValueError(
        f"workflow takes one name of at most 64 characters; got {given}",
        code=ErrorCode.BAD_NAME,
        field="workflow",
        value=given,
        limit="[a-z][a-z0-9_]{0,63}",
    )


def _port(arguments: Sequence[object]) -> int:
    number = read_number(arguments[0]) if len(arguments) == 1 else None
    if number is None or not 0 <= number <= 65535 or number != int(number):
        given = shown(arguments[0] if len(arguments) == 1 else tuple(arguments)) if arguments else "nothing"
        raise InvalidValueError(
            f"reply takes one port, 1..65535, or 0 to take it back; got {given}",
            code=ErrorCode.OUT_OF_RANGE,
            field="reply",
            value=given,
            limit="0..65535",
        )
    return int(number)


def _pattern_controls(
    address: str,
    name: str,
    word: str,
    rest: Sequence[str],
    arguments: Sequence[object],
    streams: Mapping[str, StreamParameters],
    match_part: Callable[[str, str], bool],
    budget: PatternBudget,
) -> tuple[Control, ...]:
    """Give what a pattern sets: each parameter that it matches and whose type takes the arguments.

    Parameters that don't take them are told in one record behind, so that the answer stays small. What stands below
    (`/norm`, a component) has no pattern; a parameter that has no such component isn't matched.
    """
    found: list[Control] = []
    refused: list[TexbridgeError] = []
    matches = _matches(address, name, word, rest, streams, match_part, budget)
    if not budget.spend_pairs(sum(len(pairs) for _, pairs in matches)):
        raise _too_complex(address)
    for stream_name, pairs in matches:
        params: dict[str, Value | Components] = {}
        for spec, below in pairs:
            try:
                params[spec.name] = read_below(spec, below, arguments)
            except (InvalidValueError, NotAllowedError) as error:
                refused.append(error)
        if params:
            found.append(SetValues(stream_name, params))
    if not found and not refused:
        hint = f"a pattern matches parameters only, never {word}" if word in STREAM_WORDS else "it matches no parameter"
        raise _unknown_address(address, hint, None)
    if refused:
        others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        found.append(replace(_rejected(address, refused[0]), message=refused[0].message + others))
    return tuple(found)


def _matches(
    address: str,
    name: str,
    word: str,
    rest: Sequence[str],
    streams: Mapping[str, StreamParameters],
    match_part: Callable[[str, str], bool],
    budget: PatternBudget,
) -> Matches:
    """Give the parameters that a pattern matches, looked for once in a packet."""
    key = (name, word, *rest)
    known = budget.known.get(key)
    if known is not None:
        return known
    if not budget.spend_names(name, len(streams)):
        raise _too_complex(address)
    found = []
    for stream_name in [known for known in streams if match_part(name, known)]:
        parameters = streams[stream_name].parameters
        if not budget.spend_names(word, len(parameters)):
            raise _too_complex(address)
        pairs = tuple(
            (spec, below)
            for parameter, spec in parameters.items()
            if (below := find_below(spec, rest)) is not None and match_part(word, parameter)
        )
        if pairs:
            found.append((stream_name, pairs))
    budget.known[key] = tuple(found)
    return budget.known[key]


def _too_complex(address: str) -> NotAllowedError:
    return NotAllowedError(
        f"{shown(address)}: the patterns of one packet reach too many names; name the streams, or send fewer",
        code=ErrorCode.MESSAGE_TOO_COMPLEX,
        field="address",
    )


def _unknown_address(address: str, hint: str, right: str | None, more: str = "") -> UnknownNameError:
    return UnknownNameError(
        f"no address {shown(address)}; {f'nearest is {right}' if right else hint}{more and f'; {more}'}",
        code=ErrorCode.UNKNOWN_ADDRESS,
        field="address",
        value=shown(address),
        limit=right,
    )


def _unknown_parameter(name: str, word: str, stream: StreamParameters, hint: bool = True) -> UnknownNameError:
    known = (*stream.parameters, *STREAM_WORDS)
    close = nearest(word, known) if hint else None
    right = None if close is None else f"/{PREFIX}/{name}/{close}"
    if word in BRIDGE_WORDS:
        right = f"/{PREFIX}/{word}"
    return UnknownNameError(
        f"stream {name!r} has no parameter {shown(word)}; "
        f"{f'nearest is {right}' if right else 'there are: ' + ', '.join(known[:20])}",
        code=ErrorCode.UNKNOWN_PARAMETER,
        field=str(plain(word)),
        value=plain(word),
        limit=right,
    )
