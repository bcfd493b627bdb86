"""`binding.toml`: bytes in, checked records out; nothing here knows the graph.

Every key is optional but the inputs. Unknown keys are refused with the nearest right one. The page is
`protocols/workflow-binding.md`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bridge.errors import WorkflowError
from bridge.types import Curve, OutputKind, ParameterType
from bridge.workflow.feedback_entry import FEEDBACK_KEYS, FeedbackEntry, read_feedback
from bridge.workflow.names import name_problem, nearest, parameter_name_problem
from bridge.workflow.picture_rules import PICTURE_KEYS, read_picture_keys

MAX_BINDING_BYTES: Final = 256 * 1024
MAX_PARAMETERS: Final = 256

Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """`[parameters.NAME]`. None: not said, take it from the graph and object_info."""

    name: str
    inputs: tuple[str, ...] = ()
    label: str | None = None
    type: ParameterType | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    step: Number | None = None
    default: Any = None
    unit: str | None = None
    curve: Curve | None = None
    clamp: bool | None = None
    choices: tuple[str, ...] | None = None
    multiline: bool | None = None
    picture: Mapping[str, Any] = field(default_factory=dict)
    """Keys for pictures alone, checked (see `picture_rules`)."""


@dataclass(frozen=True, slots=True)
class OutputEntry:
    """`[outputs.NAME]`."""

    name: str
    node: str
    kind: OutputKind | None = None
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class BindingFile:
    """The whole file. An empty one says nothing: titles hold."""

    label: str | None = None
    description: str = ""
    width: tuple[str, ...] = ()
    height: tuple[str, ...] = ()
    size_step: int | None = None
    size_maximum: int | None = None
    seed: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterEntry] = field(default_factory=dict)
    outputs: tuple[OutputEntry, ...] = ()
    feedback: FeedbackEntry | None = None


_TOP_KEYS: Final = ("label", "description", "size", "seed", "parameters", "outputs", "feedback")
_SIZE_KEYS: Final = ("width", "height", "step", "maximum")
_SEED_KEYS: Final = ("input", "inputs")
_PARAMETER_KEYS: Final = (
    "input",
    "inputs",
    "label",
    "type",
    "min",
    "max",
    "step",
    "default",
    "unit",
    "curve",
    "out_of_range",
    "choices",
    "multiline",
    *PICTURE_KEYS,
)
_OUTPUT_KEYS: Final = ("node", "kind", "bits")
_BITS: Final = (8, 16)


def parse_binding_file(data: bytes) -> BindingFile:
    """Parse `binding.toml`.

    Raises:
        WorkflowError: not UTF-8 TOML, over `MAX_BINDING_BYTES`, unknown keys, wrong types, bad or reserved names.
            `problems` has one line for each.
    """
    if len(data) > MAX_BINDING_BYTES:
        raise WorkflowError(f"binding.toml has {len(data)} bytes, more than {MAX_BINDING_BYTES}")
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise WorkflowError(f"binding.toml is not UTF-8 text (byte {error.start})") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise WorkflowError(f"binding.toml is not TOML: {error}") from None
    _check_numbers(document)
    reader = _Reader()
    result = reader.file(document)
    if reader.problems:
        raise WorkflowError("binding.toml is not usable:", tuple(reader.problems))
    return result


def _check_numbers(document: Any) -> None:
    """Raise WorkflowError for a whole number that 64 bits can't hold: TOML, as Python reads it, has no limit."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise WorkflowError(f"binding.toml has the number {hex(value)[:40]}, which is over 64 bits")


class _Reader:
    """Reads tables and collects every problem, so that one look shows them all."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def file(self, document: dict[str, Any]) -> BindingFile:
        self._keys(document, _TOP_KEYS, "binding.toml")
        size = self._table(document, "size", _SIZE_KEYS)
        seed = self._table(document, "seed", _SEED_KEYS)
        if (("width" in size) != ("height" in size)) and size:
            self.problems.append("[size]: needs both width and height")
        return BindingFile(
            label=self._text(document, "label", "binding.toml"),
            description=self._text(document, "description", "binding.toml") or "",
            width=self._targets(size, "width", "[size]"),
            height=self._targets(size, "height", "[size]"),
            size_step=self._positive(size, "step", "[size]"),
            size_maximum=self._positive(size, "maximum", "[size]"),
            seed=self._inputs(seed, "[seed]"),
            parameters=self._parameters(document),
            outputs=self._outputs(document),
            feedback=self._feedback(document),
        )

    def _feedback(self, document: dict[str, Any]) -> FeedbackEntry | None:
        if "feedback" not in document:
            return None
        table = self._table(document, "feedback", FEEDBACK_KEYS)
        return read_feedback(table, lambda fault: self.problems.append(f"[feedback]: {fault}"))

    def _parameters(self, document: dict[str, Any]) -> dict[str, ParameterEntry]:
        result: dict[str, ParameterEntry] = {}
        tables = self._named_tables(document, "parameters")
        if len(tables) > MAX_PARAMETERS:
            self.problems.append(f"[parameters]: has {len(tables)}, more than {MAX_PARAMETERS}")
            return result
        for name, table in tables.items():
            problem = parameter_name_problem(name)
            if problem:
                self.problems.append(problem)
                continue
            where = f"[parameters.{name}]"
            self._keys(table, _PARAMETER_KEYS, where)
            word = self._word(table, "out_of_range", where, ("clamp", "reject"))
            kind = self._word(table, "type", where, tuple(ParameterType))
            curve = self._word(table, "curve", where, tuple(Curve))
            result[name] = ParameterEntry(
                name=name,
                inputs=self._inputs(table, where),
                label=self._text(table, "label", where),
                type=ParameterType(kind) if kind else None,
                minimum=self._number(table, "min", where),
                maximum=self._number(table, "max", where),
                step=self._number(table, "step", where),
                default=table.get("default"),
                unit=self._text(table, "unit", where),
                curve=Curve(curve) if curve else None,
                clamp=None if word is None else word == "clamp",
                choices=self._choices(table, where),
                multiline=self._flag(table, "multiline", where),
                picture=self._picture(table, where),
            )
        return result

    def _picture(self, table: dict[str, Any], where: str) -> dict[str, Any]:
        return read_picture_keys(table, lambda fault: self.problems.append(f"{where}: {fault}"))

    def _outputs(self, document: dict[str, Any]) -> tuple[OutputEntry, ...]:
        result: list[OutputEntry] = []
        for name, table in self._named_tables(document, "outputs").items():
            where = f"[outputs.{name}]"
            problem = name_problem(name, "output")
            if problem:
                self.problems.append(problem)
            self._keys(table, _OUTPUT_KEYS, where)
            node = self._text(table, "node", where)
            if node is None:
                self.problems.append(f'{where}: needs node, e.g. node = "7" or node = "title:Depth"')
            kind = self._word(table, "kind", where, tuple(OutputKind))
            bits = self._bits(table, where)
            result.append(OutputEntry(name, node or "", OutputKind(kind) if kind else None, bits))
        return tuple(result)

    def _keys(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                near = nearest(key, known)
                hint = f"did you mean {near!r}?" if near else f"keys here are {', '.join(known)}"
                self.problems.append(f"{where}: unknown key {key!r}; {hint}")

    def _table(self, document: dict[str, Any], key: str, known: tuple[str, ...]) -> dict[str, Any]:
        table = document.get(key, {})
        if not isinstance(table, dict):
            self.problems.append(f"[{key}]: must be a table, not {table!r}")
            return {}
        self._keys(table, known, f"[{key}]")
        return table

    def _named_tables(self, document: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
        outer = document.get(key, {})
        if not isinstance(outer, dict):
            self.problems.append(f"[{key}]: must hold tables like [{key}.name], not {outer!r}")
            return {}
        result: dict[str, dict[str, Any]] = {}
        for name, table in outer.items():
            if isinstance(table, dict):
                result[name] = table
            else:
                self.problems.append(f"[{key}.{name}]: must be a table, not {table!r}")
        return result

    def _wrong(self, table: dict[str, Any], key: str, where: str, want: str) -> None:
        self.problems.append(f"{where}: {key} must be {want}, not {str(table[key])[:80]!r}")

    def _text(self, table: dict[str, Any], key: str, where: str) -> str | None:
        value = table.get(key)
        if value is None or isinstance(value, str):
            return value
        self._wrong(table, key, where, "a text")
        return None

    def _flag(self, table: dict[str, Any], key: str, where: str) -> bool | None:
        value = table.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(table, key, where, "true or false")
        return None

    def _number(self, table: dict[str, Any], key: str, where: str) -> Number | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        self._wrong(table, key, where, "a finite number")
        return None

    def _positive(self, table: dict[str, Any], key: str, where: str) -> int | None:
        value = table.get(key)
        if value is None:
            return None
        if type(value) is int and 1 <= value <= 16384:
            return value
        self._wrong(table, key, where, "a whole number 1..16384")
        return None

    def _bits(self, table: dict[str, Any], where: str) -> int | None:
        value = table.get("bits")
        if value is None or (type(value) is int and value in _BITS):
            return value
        self._wrong(table, "bits", where, "8 or 16")
        return None

    def _word(self, table: dict[str, Any], key: str, where: str, known: tuple[str, ...]) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value in known:
            return value
        near = nearest(value, known) if isinstance(value, str) else None
        hint = f" (did you mean {near!r}?)" if near else ""
        self.problems.append(f"{where}: {key} is {str(value)[:80]!r}; it is one of {', '.join(known)}{hint}")
        return None

    def _texts(self, table: dict[str, Any], key: str, where: str, want: str) -> tuple[str, ...] | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._wrong(table, key, where, want)
        return None

    def _choices(self, table: dict[str, Any], where: str) -> tuple[str, ...] | None:
        return self._texts(table, "choices", where, "a list of texts")

    def _targets(self, table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = table.get(key)
        if isinstance(value, str):
            return (value,)
        return self._texts(table, key, where, 'an input like "3.width", or a list of them') or ()

    def _inputs(self, table: dict[str, Any], where: str) -> tuple[str, ...]:
        if "input" in table and "inputs" in table:
            self.problems.append(f"{where}: has input and inputs; keep one")
        return self._targets(table, "inputs" if "inputs" in table else "input", where)
