"""What a binding says of an image parameter's pictures: how depth becomes grey, how they are turned and fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.types import Fill, Fit, PictureRule
from bridge.workflow.names import nearest
from bridge.workflow.targets import Target
from bridge.workflow.template import Graph, Link, Node

PICTURE_KEYS: Final = ("near", "far", "invert", "fill", "rotate", "mirror_x", "fit", "lossless", "min_change")
"""Keys of `[parameters.NAME]` that are for pictures alone."""

_ROTATIONS: Final = (0, 90, 180, 270)
_MASK_OUTPUT: Final = 1
"""Of LoadImage: the picture's alpha."""


def read_picture_keys(table: Mapping[str, Any], fault: Callable[[str], object]) -> dict[str, Any]:
    """The picture keys of one table, those that are right; each that is wrong is told to `fault`, key first."""
    keys: dict[str, Any] = {}
    for key in PICTURE_KEYS:
        if key not in table:
            continue
        value = table[key]
        problem = _problem(key, value)
        if problem:
            fault(f"{key} {problem}")
        else:
            keys[key] = value
    near, far = keys.get("near", 0), keys.get("far")
    if "near" in keys and "far" not in table:
        fault("near needs far beside it: formats end at different numbers")
    if far is not None and near == far:
        fault(f"near and far are both {far}: nothing lies between them")
    return keys


def _problem(key: str, value: Any) -> str:
    """What is wrong with a key's value, "" if nothing is."""
    shown = str(value)[:80]
    if key in ("near", "far"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or abs(value) > 3.4e38:  # what a 32-bit float holds
            return f"must be a finite number, not {shown!r}"
    elif key == "min_change":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            return f"must be a number 0..1, not {shown!r}"
    elif key in ("invert", "mirror_x", "lossless"):
        if not isinstance(value, bool):
            return f"must be true or false, not {shown!r}"
    elif key == "rotate":
        if isinstance(value, bool) or value not in _ROTATIONS:
            return f"is {shown!r}; it is one of 0, 90, 180, 270 degrees clockwise"
    else:
        words = tuple(Fill) if key == "fill" else ("none", *Fit)
        if not isinstance(value, str) or value not in words:
            near = nearest(value, words) if isinstance(value, str) else None
            hint = f" (did you mean {near!r}?)" if near else ""
            return f"is {shown!r}; it is one of {', '.join(words)}{hint}"
    return ""


def rule_words(rule: PictureRule) -> str:
    """A rule in short, for people: `near 0.3, far 20, invert, fit cover`; "" if nothing is done."""
    parts = [] if rule.near is None else [f"near {rule.near:g}"]
    parts += [] if rule.far is None else [f"far {rule.far:g}"]
    parts += ["invert"] if rule.invert else []
    parts += [] if rule.fill is Fill.NONE else [f"fill {rule.fill}"]
    parts += [f"rotate {rule.rotate}"] if rule.rotate else []
    parts += ["mirror_x"] if rule.mirror_x else []
    parts += [] if rule.fit is None else [f"fit {rule.fit}"]
    parts += ["lossless"] if rule.lossless else []
    return ", ".join([*parts, f"min_change {rule.min_change:g}"] if rule.min_change else parts)


def picture_rule(keys: Mapping[str, Any], targets: tuple[Target, ...], graph: Graph) -> PictureRule:
    """The rule of an image parameter: its keys, and whether the graph uses the picture's alpha."""
    fit = keys.get("fit", "none")
    nodes = [target.node for target in targets]
    return PictureRule(
        near=None if "near" not in keys else float(keys["near"]),
        far=None if "far" not in keys else float(keys["far"]),
        invert=keys.get("invert", False),
        fill=Fill(keys.get("fill", Fill.NONE)),
        rotate=keys.get("rotate", 0),
        mirror_x=keys.get("mirror_x", False),
        fit=None if fit == "none" else Fit(fit),
        lossless=keys.get("lossless", False) or any(node.class_type == "LoadImageMask" for node in nodes),
        alpha=any(_uses_alpha(node, graph) for node in nodes),
        min_change=float(keys.get("min_change", 0.0)),
    )


def _uses_alpha(node: Node, graph: Graph) -> bool:
    """Whether anything takes the alpha of this loader's picture; of a loader that isn't known, it may be."""
    if node.class_type == "LoadImage":
        link = Link(node.id, _MASK_OUTPUT)
        return any(link == value for other in graph.nodes.values() for value in other.inputs.values())
    return node.class_type != "LoadImageMask" or node.inputs.get("channel") == "alpha"
