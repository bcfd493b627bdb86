"""`binding.toml` written: a proposal in, commented TOML out that `binding_file` reads back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bridge.types import ParameterType, WorkflowSpec
from bridge.workflow.proposal import Proposal, Proposed

WIDTH: Final = 116

HEAD: Final = """\
# Made by `texbridge workflows bind`. Change labels and ranges as you like, take out what you don't want, rename what
# stands after "parameters.": binding again after a new export keeps all of it (but for comments of your own). A range
# with a # is the node's: narrow it to what a fader should reach; /norm over OSC maps 0..1 to it.
# All keys: protocols/workflow-binding.md
"""


def write_binding(proposal: Proposal, label: str, workflow: WorkflowSpec | None = None) -> str:
    """The text of the file. `label` is used where the proposal has none.

    With `workflow`, what the proposal makes, parameters without a range of their own have the node's as a remark.
    """
    lines = [HEAD, f"label = {_value(proposal.label or label)}"]
    if proposal.description:
        lines.append(f"description = {_value(proposal.description)}")
    size = proposal.size
    if size is not None and (size.width_refs or size.keys):
        lines += ["", *_comment(size.reason), "[size]"]
        if size.width_refs:
            lines += [f"width = {_refs(size.width_refs)}", f"height = {_refs(size.height_refs)}"]
        lines += _pairs(size.keys)
    elif size is not None:
        lines += ["", *_comment(f"size: {size.reason}")]
    seed = proposal.seed
    if seed is not None and seed.refs:
        lines += ["", *_comment(seed.reason), "[seed]", _input(seed.refs)]
    elif seed is not None:
        lines += ["", *_comment(f"seed: {seed.reason}")]
    for each in proposal.parameters:
        if _is_said(each):
            lines += ["", *_comment(f"{each.name}: {each.reason}")]
    for each in proposal.parameters:
        if _is_said(each):
            continue
        lines += ["", *_comment(each.reason), f"[parameters.{each.name}]"]
        if each.refs:
            lines.append(_input(each.refs))
        lines += _pairs(each.keys)
        lines += _own_range(each, workflow)
    if proposal.feedback is not None:
        lines += ["", "# the last picture goes back into the next one", "[feedback]", *_pairs(proposal.feedback)]
    for output in proposal.outputs:
        lines += ["", *_comment(output.reason), f"[outputs.{output.name}]", f"node = {_value(output.ref)}"]
        if output.kind:
            lines.append(f"kind = {_value(str(output.kind))}")
        if output.bits:
            lines.append(f"bits = {output.bits}")
    return "\n".join(lines) + "\n"


def _own_range(proposed: Proposed, workflow: WorkflowSpec | None) -> list[str]:
    """The range that holds while the file says none, as lines that need only their # taken away."""
    spec = (
        None if workflow is None else next((each for each in workflow.parameters if each.name == proposed.name), None)
    )
    if spec is None or spec.type not in (ParameterType.INT, ParameterType.FLOAT):
        return []
    ends = (("min", spec.minimum), ("max", spec.maximum))
    return [f"# {key} = {_value(end)}" for key, end in ends if end is not None and key not in proposed.keys]


def _is_said(each: Proposed) -> bool:
    """Whether a title says all of it, so that the file has only a remark."""
    return not each.refs and not each.keys


def _comment(text: str) -> list[str]:
    """Comment lines no wider than the page; control characters, which TOML forbids there, become spaces."""
    lines: list[str] = []
    line = "#"
    for word in "".join(char if char.isprintable() else " " for char in text).split():
        if len(line) + len(word) > WIDTH and line != "#":
            lines.append(line)
            line = "#  "
        line += f" {word}"
    return [*lines, line]


def _input(refs: tuple[str, ...]) -> str:
    return f"input = {_value(refs[0])}" if len(refs) == 1 else f"inputs = {_value(list(refs))}"


def _refs(refs: tuple[str, ...]) -> str:
    return _value(refs[0] if len(refs) == 1 else list(refs))


def _pairs(keys: Mapping[str, Any]) -> Iterable[str]:
    for key, value in keys.items():
        yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    """A value as TOML has it: texts, numbers, truth, and lists of them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's; TOML wants one more character escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
