"""Names for the nameless: a UI-format node's saved widget values put to the inputs of its class.

The editor saves values in the order of the widgets, which is that of the inputs that have one, with some that are no
inputs in between: "control after generate" behind a seed, an upload button behind the required inputs of LoadImage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bridge.workflow.object_info import InputInfo, NodeInfo, ObjectInfo
from bridge.workflow.ui_format import UiNode

CONTROL_WORDS: Final = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
UPLOAD_WORDS: Final = frozenset({"image", "upload"})


class MisfitError(Exception):
    """The saved values don't belong to these inputs; the text says which one doesn't fit."""


def name_values(node: UiNode, info: NodeInfo | None, object_info: ObjectInfo) -> dict[str, Any]:
    """The node's widget values by input name. `info` is None for a class that object_info doesn't know.

    Values that the file has not, or as null, are the class's defaults, as the editor itself would show them.

    Raises:
        MisfitError: the values don't fit, or nothing says how the inputs are called.
    """
    values = node.values
    if isinstance(values, dict):
        # Some node packs save names themselves, with settings of the editor among them.
        named = {name: value for name, value in values.items() if info is None or name in info.inputs}
        return {**_defaults(node, info, object_info), **named}
    if info is None:
        return _by_sockets(node, values)
    specs = list(widget_inputs(node, info, object_info))
    try:
        return _by_order(specs, values, info)
    except MisfitError:
        # Newer editors list every widget as a socket too, in the order of the day the file was saved.
        names = [slot.widget for slot in node.inputs if slot.widget is not None]
        if names and names != [spec.name for spec in specs] and set(names) <= set(info.inputs):
            return {**_defaults(node, info, object_info), **_by_order([info.inputs[n] for n in names], values, info)}
        raise


def widget_inputs(node: UiNode, info: NodeInfo, object_info: ObjectInfo) -> Iterator[InputInfo]:
    """The inputs that have a widget in the editor, in its order."""
    sockets = {slot.name for slot in node.inputs if slot.widget is None}
    for spec in info.inputs.values():
        if spec.is_socket or spec.name in sockets:
            continue
        if spec.is_widget or object_info.takes_value(spec):
            yield spec


def default_of(spec: InputInfo) -> Any:
    """What the editor shows in a fresh widget; None if there is nothing to show."""
    if spec.default is not None:
        return spec.default
    if spec.type == "COMBO":
        return spec.choices[0] if spec.choices else None
    if spec.type in ("INT", "FLOAT"):
        return spec.minimum if spec.minimum is not None and spec.minimum > 0 else 0
    return {"STRING": "", "BOOLEAN": False}.get(spec.type)


def _defaults(node: UiNode, info: NodeInfo | None, object_info: ObjectInfo) -> dict[str, Any]:
    if info is None:
        return {}
    found = {spec.name: default_of(spec) for spec in widget_inputs(node, info, object_info)}
    return {name: value for name, value in found.items() if value is not None}


def _by_order(specs: list[InputInfo], values: list[Any], info: NodeInfo) -> dict[str, Any]:
    named: dict[str, Any] = {}
    at = 0
    has_upload = any(spec.is_picture and spec.required for spec in info.inputs.values())
    for place, spec in enumerate(specs):
        if has_upload and not spec.required:
            has_upload = False
            if at < len(values) and values[at] in (*UPLOAD_WORDS, None) and len(values) - at > len(specs) - place:
                at += 1
        if at >= len(values):
            value = default_of(spec)
        else:
            value = values[at]
            at += 1
            if value is None:
                value = default_of(spec)
            elif not _fits(spec, value):
                raise MisfitError(f"input {spec.name!r} would be {_shown(value)}, which is no {_wanted(spec)}")
        if value is not None:
            named[spec.name] = value
        left = specs[place + 1 :]
        at += _extras(spec, left[0] if left else None, len(left), values[at:])
    return named


def _extras(spec: InputInfo, following: InputInfo | None, left: int, values: list[Any]) -> int:
    """How many of the next values belong to widgets that only the editor has."""
    if spec.type not in ("INT", "COMBO") or not values or values[0] not in CONTROL_WORDS:
        return 0
    expected = spec.has_control or spec.name in ("seed", "noise_seed")
    if not expected and (following is None or _fits(following, values[0])):
        return 0
    # Behind the control of a choice stands a filter.
    is_filtered = spec.type == "COMBO" and len(values) > left + 1 and isinstance(values[1], str | None)
    return 2 if is_filtered else 1


def _by_sockets(node: UiNode, values: list[Any]) -> dict[str, Any]:
    """Names from the sockets that newer editors save for every widget."""
    slots = [slot for slot in node.inputs if slot.widget is not None]
    left = list(values)
    named: dict[str, Any] = {}
    for place, slot in enumerate(slots):
        if not left:
            break
        named[slot.widget or slot.name] = left.pop(0)
        if left and slot.type == "INT" and left[0] in CONTROL_WORDS and len(left) > len(slots) - place - 1:
            left.pop(0)
    if left or len(named) < len(slots):
        raise MisfitError(f"{len(values)} values are saved for {len(slots)} named widgets")
    return {name: value for name, value in named.items() if value is not None}


def _fits(spec: InputInfo, value: Any) -> bool:
    if spec.type == "INT":
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if spec.type == "FLOAT":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if spec.type == "BOOLEAN":
        return isinstance(value, bool)
    if spec.type == "STRING":
        return isinstance(value, str)
    if spec.type != "COMBO":
        return True
    if value in spec.choices:
        return True
    # A model that isn't here is still a text; a number or a control word where texts are offered has slipped.
    if not isinstance(value, str | int | float) or value in CONTROL_WORDS:
        return False
    return not spec.choices or isinstance(value, str) == isinstance(spec.choices[0], str)


def _wanted(spec: InputInfo) -> str:
    return "choice of it" if spec.type == "COMBO" else spec.type


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
