"""What a binding for a graph could be: records, each with the reason of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bridge.workflow.names import RESERVED_PARAMETERS, plain_name
from bridge.workflow.template import Node
from bridge.workflow.workflow import Place

Origin: TypeAlias = Literal["title", "kept", "proposed"]
"""A title's `@` word, the binding.toml that was there before, or a proposal."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """One parameter: where it is written, why, and what binding.toml says of it besides.

    `keys` are keys of `[parameters.NAME]` but for the input. `refs` are the inputs as binding.toml has them; () where
    the title says it.
    """

    name: str
    places: tuple[Place, ...]
    reason: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    refs: tuple[str, ...] = ()
    origin: Origin = "proposed"


@dataclass(frozen=True, slots=True)
class ProposedSeed:
    """The inputs that the stream's seed is written to."""

    places: tuple[Place, ...]
    reason: str
    refs: tuple[str, ...] = ()
    origin: Origin = "proposed"


@dataclass(frozen=True, slots=True)
class ProposedSize:
    """The inputs that the stream's size is written to. `keys` are step and maximum where the binding says them."""

    widths: tuple[Place, ...]
    heights: tuple[Place, ...]
    reason: str
    width_refs: tuple[str, ...] = ()
    height_refs: tuple[str, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = "proposed"


@dataclass(frozen=True, slots=True)
class ProposedOutput:
    """An output that gets a name in binding.toml."""

    name: str
    node_id: str
    ref: str
    reason: str
    kind: str | None = None
    origin: Origin = "proposed"
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An input that holds a value and isn't bound."""

    place: Place
    words: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A whole binding. `label` and `description` are those of the file; `notes` is what should be known besides.

    `feedback` are the keys of its table, None without one.
    """

    parameters: tuple[Proposed, ...]
    seed: ProposedSeed | None
    size: ProposedSize | None
    outputs: tuple[ProposedOutput, ...]
    left_out: tuple[LeftOut, ...]
    label: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    feedback: Mapping[str, Any] | None = None


def free_name(wanted: str, taken: set[str] | frozenset[str] | Mapping[str, Any]) -> str:
    """A parameter's name near to `wanted` that is allowed and not taken."""
    base = plain_name(wanted)[:56].rstrip("_") or "value"
    if base in ("seed", "size"):
        base = f"{base}_value"
    base = RESERVED_PARAMETERS.get(base, base)
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def place_words(node: Node, name: str) -> str:
    """How tables name an input, e.g. `6.text "Prompt" (CLIPTextEncode)`."""
    title = f' "{node.title}"' if node.title and node.title != node.class_type else ""
    return f"{node.id}.{name}{title} ({node.class_type})"
