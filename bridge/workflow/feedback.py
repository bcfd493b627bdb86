"""`[feedback]` of a binding: the last picture goes back into an image parameter, by parameters of its own.

They are parameters like any other (OSC, the link and maps move them), but write no input of the graph: the bridge, or
its nodes, move the picture by them on its way. Source: protocols/workflow-binding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bridge.types import (
    Curve,
    FeedbackRule,
    OutputSpec,
    ParameterSpec,
    ParameterType,
    PictureMove,
    PictureRule,
    Value,
)
from bridge.workflow.feedback_entry import FEEDBACK_RANGES, FeedbackEntry
from bridge.workflow.parameters import Parameter

FEEDBACK: Final = FeedbackRule("").switch
"""The parameter that switches the loop; those that move the picture have it before their own word."""


def feedback_parameters(entry: FeedbackEntry) -> tuple[Parameter, ...]:
    """The parameters that a loop brings with it. They write no input."""
    switch = ParameterSpec(FEEDBACK, "Feedback", ParameterType.BOOL, entry.on)
    moves = (
        ParameterSpec(
            f"{FEEDBACK}_{key}",
            label,
            ParameterType.FLOAT,
            entry.numbers.get(key, default),
            minimum=least,
            maximum=most,
            step=0.001,
            unit=unit,
            curve=Curve.LOG if key == "zoom" else Curve.LINEAR,  # half of a fader is no zoom
        )
        for key, (least, most, default, unit, label) in FEEDBACK_RANGES.items()
    )
    return tuple(Parameter(spec, ()) for spec in (switch, *moves))


def feedback_rule(
    entry: FeedbackEntry,
    parameters: tuple[Parameter, ...],
    outputs: tuple[OutputSpec, ...],
    pictures: Mapping[str, PictureRule],
    fault: Callable[[str], object],
) -> FeedbackRule | None:
    """The loop among the graph's own parameters and outputs; what is wrong is told to `fault`.

    `pictures` are the rules of the image parameters.
    """
    taken = {spec.spec.name for spec in parameters}
    for made in feedback_parameters(entry):
        if made.spec.name in taken:
            fault(f"makes the parameter {made.spec.name!r}, and the graph has one of that name; call that another name")
            return None
    if not pictures:
        fault("needs an image parameter, into which the picture goes back: name one of a LoadImage")
        return None
    name = entry.parameter if entry.parameter is not None or len(pictures) > 1 else next(iter(pictures))
    if name is None or name not in pictures:
        said = "parameter must be said" if name is None else f"parameter {name[:80]!r} is no image parameter"
        fault(f"{said}; there are {', '.join(pictures)}")
        return None
    names = [output.name for output in outputs]
    if entry.output is not None and entry.output not in names:
        fault(f"output {entry.output[:80]!r} is none of {', '.join(names)}")
        return None
    output = 0 if entry.output is None else names.index(entry.output)
    return FeedbackRule(name, output, entry.edge, sized=pictures[name].fit is not None)


def feedback_is_on(rule: FeedbackRule | None, values: Mapping[str, Value]) -> bool:
    """Whether a workflow with this rule feeds its last picture back, by the values of its stream."""
    return rule is not None and values.get(rule.switch) is True


def feedback_move(rule: FeedbackRule, values: Mapping[str, Value]) -> PictureMove:
    """How the picture moves on its way back, by the values of its stream."""
    zoom, rotate, x, y = (_number(values, key) for key in ("zoom", "rotate", "x", "y"))
    return PictureMove(zoom, rotate, x, y, rule.edge)


def feedback_match(values: Mapping[str, Value]) -> float:
    """How far colours are held, 0..1."""
    return _number(values, "match")


def _number(values: Mapping[str, Value], key: str) -> float:
    value = values.get(f"{FEEDBACK}_{key}")
    return float(value) if isinstance(value, int | float) else FEEDBACK_RANGES[key][2]
