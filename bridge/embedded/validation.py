"""Checks a prompt as ComfyUI does before it is queued, with the same error types, words and fields."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.embedded.catalog import CATALOG, InputSpec, NodeType
from bridge.embedded.files import FileStore

CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
LONG_CHOICE: Final = 20
"""A choice of more than this is not listed in an error."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outputs` are the output nodes that can run; with none, `error` says why. `node_errors` may be there anyway."""

    outputs: tuple[str, ...] = ()
    error: dict[str, Any] | None = None
    node_errors: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _NodeState:
    valid: bool
    errors: list[dict[str, Any]]


def prompt_error(kind: str, message: str, details: str = "") -> dict[str, Any]:
    """The `error` of a refused prompt."""
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


def validate_prompt(prompt: dict[str, Any], files: FileStore) -> Verdict:
    """Check a prompt; literal values are converted in place to the type of their input.

    Raises TypeError or AttributeError for a prompt of the wrong shape (a 500 in ComfyUI).
    """
    outputs = []
    for node_id in prompt:
        if "class_type" not in prompt[node_id]:
            message = "Cannot execute because a node is missing the class_type property."
            return Verdict(error=prompt_error("invalid_prompt", message, f"Node ID '#{node_id}'"))
        name = prompt[node_id]["class_type"]
        if name not in CATALOG:
            message = f"Cannot execute because node {name} does not exist."
            return Verdict(error=prompt_error("invalid_prompt", message, f"Node ID '#{node_id}'"))
        if CATALOG[name].is_output:
            outputs.append(node_id)
    if not outputs:
        return Verdict(error=prompt_error("prompt_no_outputs", "Prompt has no outputs"))

    validation = _Validation(prompt, files)
    good: list[str] = []
    lines: list[str] = []
    node_errors: dict[str, Any] = {}
    for output in outputs:
        state = validation.check_output(output)
        if state.valid:
            good.append(output)
            continue
        lines += [f"{error['message']}: {error['details']}" for error in state.errors]
        for node_id, failed in validation.states.items():
            if failed.valid or not failed.errors:
                continue  # every fault found so far counts for this output, its own or not, as in ComfyUI
            entry = node_errors.setdefault(
                node_id,
                {"errors": failed.errors, "dependent_outputs": [], "class_type": prompt[node_id]["class_type"]},
            )
            entry["dependent_outputs"].append(output)
    if good:
        return Verdict(tuple(good), None, node_errors)
    message = "Prompt outputs failed validation"
    return Verdict((), prompt_error("prompt_outputs_failed_validation", message, "\n".join(lines)), node_errors)


def link_of(value: Any) -> tuple[str, int] | None:
    """(node id, output index) when an input's value is a link of the API format, else None."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return value[0], value[1]
    return None


class _Validation:
    """One pass over a prompt; a node that several outputs need is checked once."""

    def __init__(self, prompt: dict[str, Any], files: FileStore) -> None:
        self.states: dict[str, _NodeState] = {}
        self._prompt = prompt
        self._files = files
        self._open: set[str] = set()

    def check_output(self, node_id: str) -> _NodeState:
        """The state of an output node; whatever its check raises becomes one more error of it."""
        try:
            return self._check(node_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, ComfyUI reports it as the node's
            self._open.clear()
            details = {"exception_type": type(error).__name__, "traceback": traceback.format_tb(error.__traceback__)}
            state = _NodeState(
                False, [_error("exception_during_validation", "Exception when validating node", str(error), details)]
            )
            self.states[node_id] = state
            return state

    def _check(self, node_id: str) -> _NodeState:
        if node_id in self.states:
            return self.states[node_id]
        if node_id in self._open:
            return _NodeState(False, [])  # a cycle: refused without a word, as ComfyUI does
        self._open.add(node_id)
        entry = self._prompt[node_id]
        inputs, node_type = entry["inputs"], CATALOG[entry["class_type"]]
        errors: list[dict[str, Any]] = []
        valid = True
        for name in (*node_type.required, *node_type.optional):
            spec = node_type.input_spec(name)
            assert spec is not None
            if name not in inputs:
                if name in node_type.required:
                    message = "Required input is missing"
                    errors.append(_error("required_input_missing", message, name, {"input_name": name}))
            elif isinstance(inputs[name], list):
                valid &= self._check_link(name, spec, inputs[name], errors)
            else:
                self._check_literal(name, spec, inputs, name not in node_type.checked, errors)
        self._check_custom(node_type, inputs, errors)
        self._open.discard(node_id)
        state = _NodeState(valid and not errors, errors)
        self.states[node_id] = state
        return state

    def _check_link(self, name: str, spec: InputSpec, value: list[Any], errors: list[dict[str, Any]]) -> bool:
        facts = {"input_name": name, "input_config": _config(spec)}
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(_error("bad_linked_input", message, name, {**facts, "received_value": value}))
            return True
        source = value[0]
        source_type = CATALOG[self._prompt[source]["class_type"]]
        outputs: Any = list(source_type.outputs) if source_type.schema else source_type.outputs
        received = outputs[value[1]]
        if not _types_match(received, spec[0]):
            details = f"{name}, received_type({received}) mismatch input_type({spec[0]})"
            facts |= {"received_type": received, "linked_node": value}
            errors.append(_error("return_type_mismatch", "Return type mismatch between linked nodes", details, facts))
            return True
        try:
            return self._check(source).valid
        except Exception as error:  # noqa: BLE001 - as in check_output
            facts |= {
                "exception_message": str(error),
                "exception_type": type(error).__name__,
                "traceback": traceback.format_tb(error.__traceback__),
                "linked_node": value,
            }
            message = "Exception when validating inner node"
            found = _error("exception_during_inner_validation", message, str(error), facts)
            self.states[source] = _NodeState(False, [found])
            return False

    def _check_literal(
        self, name: str, spec: InputSpec, inputs: dict[str, Any], in_range: bool, errors: list[dict[str, Any]]
    ) -> None:
        value = inputs[name]
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        kind, options = spec[0], spec[1] if len(spec) > 1 else {}
        facts: dict[str, Any] = {"input_name": name, "input_config": _config(spec)}
        if isinstance(kind, str) and (convert := CONVERTERS.get(kind)):
            try:
                value = inputs[name] = convert(value)
            except Exception as error:  # noqa: BLE001 - int() raises several kinds, and the text is the message
                message = f"Failed to convert an input value to a {kind} value"
                facts |= {"received_value": value, "exception_message": str(error)}
                errors.append(_error("invalid_input_type", message, f"{name}, {value}, {error}", facts))
                return
        if not in_range:
            return
        facts["received_value"] = value
        if "min" in options and value < options["min"]:
            message = f"Value {value} smaller than min of {options['min']}"
            errors.append(_error("value_smaller_than_min", message, name, facts))
        elif "max" in options and value > options["max"]:
            message = f"Value {value} bigger than max of {options['max']}"
            errors.append(_error("value_bigger_than_max", message, name, facts))
        elif isinstance(kind, list) and value not in kind:
            # The choices of a COMBO, the newer kind, are not checked: the node fails when it runs.
            shown = str(kind)
            if len(kind) > LONG_CHOICE:
                facts["input_config"], shown = None, f"(list of length {len(kind)})"
            details = f"{name}: '{value}' not in {shown}"
            errors.append(_error("value_not_in_list", "Value not in list", details, facts))

    def _check_custom(self, node_type: NodeType, inputs: Mapping[str, Any], errors: list[dict[str, Any]]) -> None:
        if node_type.check is None:
            return
        for name in node_type.checked:
            if name not in inputs:
                raise TypeError(f"{node_type.name}.VALIDATE_INPUTS() missing 1 required positional argument: '{name}'")
        if (wrong := node_type.check(self._files, inputs)) is not None:
            name = node_type.checked[0]
            message = "Custom validation failed for node"
            errors.append(_error("custom_validation_failed", message, f"{name} - {wrong}", {"input_name": name}))


def _error(kind: str, message: str, details: str, extra_info: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def _config(spec: InputSpec) -> list[Any]:
    return [spec[0], spec[1] if len(spec) > 1 else {}]


def _types_match(received: str, wanted: Any) -> bool:
    """Types match when equal, when one is "*", or when they share one of several separated by commas."""
    if not isinstance(wanted, str):
        return False
    if received == wanted or "*" in (received, wanted):
        return True
    return not {part.strip() for part in received.split(",")}.isdisjoint(part.strip() for part in wanted.split(","))
