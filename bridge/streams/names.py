"""What names may look like, the nearest right one, and how a wrong value is shown in a message."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError

STREAM_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of streams. Source: wire contract, Words."""

RESERVED_STREAMS: Final = frozenset({"reply", "error", "panic", "resume", "cue", "refresh"})
"""Words that stand in the stream's place of an OSC address and mean something else there."""

_SHOWN: Final = 60


def check_stream_name(name: object) -> str:
    """Give `name` if a stream may have it: `[A-Za-z0-9_-]{1,64}` and not reserved.

    Raises: InvalidValueError (307 bad_name) that says what is wrong and suggests a name.
    Source: wire contract, Words.
    """
    if not isinstance(name, str):
        raise InvalidValueError(
            f"a stream's name is text, not {shown(name)}", code=ErrorCode.WRONG_TYPE, field="stream", value=plain(name)
        )
    if not STREAM_NAME.fullmatch(name):
        raise InvalidValueError(
            f"stream name {shown(name)} is not 1 to 64 characters of A-Z a-z 0-9 _ -",
            code=ErrorCode.BAD_NAME,
            field="stream",
            value=shown(name),
            limit="[A-Za-z0-9_-]{1,64}",
        )
    if name in RESERVED_STREAMS:
        raise InvalidValueError(
            f"stream name {name!r} is reserved for an OSC address; try '{name}_1'",
            code=ErrorCode.BAD_NAME,
            field="stream",
            value=name,
            limit="not one of " + " ".join(sorted(RESERVED_STREAMS)),
        )
    return name


def nearest(name: object, names: tuple[str, ...]) -> str | None:
    """Give the one of `names` that looks most like `name`, or None if none does.

    A name that goes on after it with `_` comes first: `haze` for `haze_sigma`, as a node's title is written in ComfyUI.
    Remembered for the last few: a sender with a wrong address sends it again and again.
    """
    if not isinstance(name, str):
        return None
    return _nearest(name[:64], names)


@lru_cache(maxsize=128)
def _nearest(name: str, names: tuple[str, ...]) -> str | None:
    folded = {known.lower(): known for known in names}
    if name.lower() not in folded:
        for known, right in folded.items():
            if name and known.startswith(f"{name.lower()}_"):
                return right
    close = get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def shown(value: object) -> str:
    """Give `value` as a short printable text for a message: at most about 60 characters, whatever came in."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        # repr() escapes what can't be printed or encoded: lone surrogates, control characters.
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}... ({len(value)} characters)"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple):
        some = ", ".join(shown(one) if not isinstance(one, list | tuple | dict) else "..." for one in value[:4])
        return f"[{some}]" if len(value) <= 4 else f"[{some}, ...] ({len(value)} items)"
    if isinstance(value, dict):
        return f"a map of {len(value)}"
    return f"a {type(value).__name__}"


def plain(value: object) -> object:
    """Give what may stand in an error's `value` field on the wire: a number, true, false, none or short text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        return shown(value)[1:-1] if len(value) <= _SHOWN else shown(value)
    return shown(value)
