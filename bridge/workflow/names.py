"""Names of parameters, workflows and outputs: what is allowed, what is reserved, what was probably meant.

Source: wire contract, Words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

RESERVED_PARAMETERS: Final = {
    "run": "run_amount",
    "live": "live_amount",
    "cancel": "cancel_amount",
    "status": "status_text",
    "progress": "progress_amount",
    "frame": "frame_index",
    "error": "error_amount",
    "workflow": "workflow_name",
    "norm": "norm_amount",
    "freeze": "freeze_amount",
    "blackout": "blackout_amount",
}
"""Words that are OSC addresses of a stream, each with a name to use in its place."""

CONTROLS: Final = ("seed", "size")
"""Controls of every stream: never parameters."""

DEVICE_NAMES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)
"""Windows opens a device, not a file, under these names, whatever folder they stand in."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, or None."""
    matches = get_close_matches(name, list(known), 1, 0.6)
    return str(matches[0]) if matches else None


def plain_name(text: str) -> str:
    """The nearest allowed name to a free text, e.g. `Top Left!` -> `top_left`, `Höhe` -> `hohe`; "" if none is left."""
    letters = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    words = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")
    return re.sub(r"^[0-9_]+", "", words)[:64]


def name_problem(name: str, what: str) -> str | None:
    """What is wrong with a name as such, with a better one, or None. `what` opens the sentence."""
    if NAME_PATTERN.fullmatch(name):
        return None
    better = plain_name(name)
    hint = f"; call it {better!r}" if better else ""
    shown = name if len(name) <= 80 else name[:77] + "..."
    return (
        f"{what} {shown!r}: names are a to z, 0 to 9 and _, begin with a letter, and have at most 64 characters{hint}"
    )


def parameter_name_problem(name: str) -> str | None:
    """What is wrong with a parameter's name, or None: the pattern, reserved words, controls."""
    if name in RESERVED_PARAMETERS:
        return f"parameter {name!r}: the word is reserved; call it {RESERVED_PARAMETERS[name]!r}"
    if name == "seed":
        return "parameter 'seed': the seed is a control of every stream; write it as [seed], or as the title @seed"
    if name == "size":
        return "parameter 'size': size is a control of every stream; write [size], or the titles @width and @height"
    return name_problem(name, "parameter")


def workflow_name_problem(name: str) -> str | None:
    """What is wrong with a workflow's name (it is a folder's name too), or None."""
    if name.lower() in DEVICE_NAMES:
        return f"workflow {name!r}: Windows keeps this name for a device; call it '{name.lower()}_workflow'"
    return name_problem(name, "workflow")


def label_of(name: str) -> str:
    """A label for a name that has none, e.g. `top_left` -> `Top left`."""
    return name.replace("_", " ").capitalize()
