"""`[feedback]` as a binding file says it: keys in, a checked record out. Source: protocols/workflow-binding.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.types import Edge
from bridge.workflow.names import nearest

FEEDBACK_RANGES: Final[Mapping[str, tuple[float, float, float, str, str]]] = {
    "zoom": (0.5, 2.0, 1.0, "", "Feedback zoom"),
    "rotate": (-180.0, 180.0, 0.0, "deg", "Feedback turn"),
    "x": (-1.0, 1.0, 0.0, "", "Feedback shift right"),
    "y": (-1.0, 1.0, 0.0, "", "Feedback shift down"),
    "match": (0.0, 1.0, 0.0, "", "Feedback colour match"),
}
"""Least, greatest and default number, unit and label, by key."""

FEEDBACK_KEYS: Final = ("parameter", "output", "edge", "on", *FEEDBACK_RANGES)


@dataclass(frozen=True, slots=True)
class FeedbackEntry:
    """`[feedback]`. None: the only image parameter, the first output."""

    parameter: str | None = None
    output: str | None = None
    edge: Edge = Edge.MIRROR
    on: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Defaults of the parameters, by key."""

    def keys(self) -> dict[str, Any]:
        """What the table says, as it says it; what is not said, or as it is without being said, is left out."""
        named = {"parameter": self.parameter, "output": self.output}
        keys: dict[str, Any] = {key: name for key, name in named.items() if name is not None}
        if self.edge is not Edge.MIRROR:
            keys["edge"] = self.edge.value
        if not self.on:
            keys["on"] = False
        return {**keys, **self.numbers}


def read_feedback(table: Mapping[str, Any], fault: Callable[[str], object]) -> FeedbackEntry:
    """The table's record; each key that is wrong is told to `fault`, key first. Unknown keys are the caller's."""
    texts: dict[str, str] = {}
    for key in ("parameter", "output", "edge"):
        value = table.get(key)
        if isinstance(value, str):
            texts[key] = value
        elif value is not None:
            fault(f"{key} must be a text, not {str(value)[:80]!r}")
    edge = texts.get("edge", Edge.MIRROR)
    if edge not in tuple(Edge):
        near = nearest(edge, tuple(Edge))
        fault(f"edge is {edge[:80]!r}; it is one of {', '.join(Edge)}" + (f" (did you mean {near!r}?)" if near else ""))
        edge = Edge.MIRROR
    on = table.get("on", True)
    if not isinstance(on, bool):
        fault(f"on must be true or false, not {str(on)[:80]!r}")
        on = True
    numbers: dict[str, float] = {}
    for key, (least, most, *_) in FEEDBACK_RANGES.items():
        value = table.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            fault(f"{key} must be a finite number, not {str(value)[:80]!r}")
        elif not least <= value <= most:
            fault(f"{key} {value:g} is outside {least:g}..{most:g}")
        else:
            numbers[key] = float(value)
    return FeedbackEntry(texts.get("parameter"), texts.get("output"), Edge(edge), on, numbers)
