"""What OSC says of how a seed goes on: words at `/seed`, and numbers and buttons below it.

/texbridge/<stream>/seed          "fixed" | "increment" | "random" | "lock" | "unlock"
/texbridge/<stream>/seed/lock     0|1
/texbridge/<stream>/seed/every    pictures
/texbridge/<stream>/seed/every_s  seconds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError, UnknownNameError
from bridge.streams.arguments import read_number, read_switch
from bridge.streams.control_records import SeedSteered
from bridge.streams.names import nearest, plain, shown
from bridge.streams.seeds import check_seed_every, check_seed_every_s
from bridge.types import SeedPolicy

LOCKS: Final = {"lock": True, "unlock": False}
BELOW: Final = ("lock", "every", "every_s")


def read_steering(stream: str, rest: Sequence[str], arguments: Sequence[object]) -> SeedSteered | None:
    """Give what a message at `/seed`, or below it, says of how the seed goes on; None for one that is a seed itself.

    Raises:
        UnknownNameError: nothing of that name is below (207).
        InvalidValueError: not what stands there takes (301, 302, 303).
    """
    if not rest:
        word = arguments[0] if len(arguments) == 1 else None
        if not isinstance(word, str) or read_number(word) is not None:
            return None
        return _word(stream, word)
    if len(rest) > 1 or rest[0] not in BELOW:
        close = nearest(rest[0], BELOW) or "lock"
        raise UnknownNameError(
            f"below seed there are {', '.join(BELOW)}, not {shown('/'.join(rest))}",
            code=ErrorCode.UNKNOWN_ADDRESS,
            field="address",
            value=plain("/".join(rest)),
            limit=f"/texbridge/{stream}/seed/{close}",
        )
    number = read_number(arguments[0]) if len(arguments) == 1 else None
    if rest[0] == "lock":
        on = read_switch(arguments[0]) if len(arguments) == 1 else None
        if on is None:
            raise _wrong("seed/lock takes 0 or 1", arguments)
        return SeedSteered(stream, lock=on)
    if number is None:
        raise _wrong(f"seed/{rest[0]} takes one number", arguments)
    if rest[0] == "every":
        return SeedSteered(stream, every=check_seed_every(number))
    return SeedSteered(stream, every_s=check_seed_every_s(number))


def _word(stream: str, word: str) -> SeedSteered:
    if word in LOCKS:
        return SeedSteered(stream, lock=LOCKS[word])
    if word in tuple(SeedPolicy):
        return SeedSteered(stream, policy=SeedPolicy(word))
    words = (*SeedPolicy, *LOCKS)
    close = nearest(word, words)
    raise InvalidValueError(
        f"seed takes a whole number 0..2^64-1, or one of {', '.join(words)}; got {shown(word)}"
        + (f", nearest is {close}" if close else ""),
        field="seed",
        value=plain(word),
        limit=", ".join(words),
    )


def _wrong(what: str, arguments: Sequence[object]) -> InvalidValueError:
    given = shown(tuple(arguments)) if arguments else "nothing"
    return InvalidValueError(f"{what}; got {given}", field="seed", value=given)
