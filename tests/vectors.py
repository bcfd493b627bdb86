"""Reads `protocols/vectors/**/*.hex`. It imports nothing of the bridge: codecs are judged by it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import referencing
from jsonschema import Draft202012Validator

PROTOCOLS = Path(__file__).resolve().parent.parent / "protocols"
VECTORS = PROTOCOLS / "vectors"

SCHEMA = json.loads((PROTOCOLS / "schema" / "link.json").read_text(encoding="utf-8"))

_TOKEN = re.compile(r'"([^"]*)"|#.*|((?:[0-9a-f]{2})+)(?:\*([0-9]+))?(?=\s|$)|(\S+)')


@dataclass
class Vector:
    """One vector: its items as bytes, what must come out, and how to read it. `error` is (code, name), or None."""

    name: str
    shows: str = ""
    error: tuple[int, str] | None = None
    canonical: bool = False
    direction: str = ""
    reader: str = ""
    cuts: list[int] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    items: list[bytes] = field(default_factory=list)


def read_value(text: str) -> Any:
    """Give a VALUE of the vector format: h'..' as bytes, the rest as JSON has it (no nesting)."""
    if text.startswith("h'") and text.endswith("'"):
        return bytes.fromhex(text[2:-1])
    return json.loads(text)


def parse_vector(name: str, text: str) -> Vector:
    """Give one vector. Raises ValueError for a line that isn't of the format: a typing error must not pass."""
    vector = Vector(name)
    items = [bytearray()]
    expected = False
    for line in text.splitlines():
        if line.startswith("#: "):
            directive = line[3:]
            word, _, rest = directive.partition(" ")
            if word == "shows":
                vector.shows = rest
            elif directive == "expect ok":
                expected = True
            elif match := re.fullmatch(r"expect error (\d{3}) ([a-z_0-9]+)", directive):
                vector.error, expected = (int(match[1]), match[2]), True
            elif directive == "canonical":
                vector.canonical = True
            elif word == "direction" and rest in ("engine", "bridge"):
                vector.direction = rest
            elif directive == "reader bridge":
                vector.reader = "bridge"
            elif word == "cut":
                vector.cuts = [int(cut) for cut in rest.split()]
            elif match := re.fullmatch(r"limit (\w+) = (\d+)", directive):
                vector.limits[match[1]] = int(match[2])
            elif match := re.fullmatch(r"([\w.]+) = (.+)", directive):
                if match[1] in vector.values:
                    raise ValueError(f"{name}: {match[1]} is given twice")
                vector.values[match[1]] = read_value(match[2])
            else:
                raise ValueError(f"{name}: unknown directive {line!r}")
        elif line.strip() == "---":
            items.append(bytearray())
        else:
            for token in _TOKEN.finditer(line):
                if token[0].startswith("#"):
                    break
                if token[1] is not None:
                    items[-1] += token[1].encode("ascii")
                elif token[2] is not None:
                    items[-1] += bytes.fromhex(token[2]) * int(token[3] or 1)
                else:
                    raise ValueError(f"{name}: {token[0]!r} is neither hex nor text")
    if not expected or not vector.shows:
        raise ValueError(f"{name}: 'expect' or 'shows' is missing")
    vector.items = [bytes(item) for item in items]
    return vector


def load(folder: str) -> list[Vector]:
    """Give every vector of a folder, in the order of names. An empty folder is an error."""
    paths = sorted((VECTORS / folder).glob("*.hex"))
    if not paths:
        raise ValueError(f"no vectors in {VECTORS / folder}")
    return [parse_vector(f"{folder}/{path.stem}", path.read_text(encoding="utf-8")) for path in paths]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Give {PATH: leaf} of nested maps and lists; an empty map or list is a leaf."""
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and value:
        pairs = ((str(place), inner) for place, inner in enumerate(value))  # type: ignore[assignment]
    else:
        return {path: value}
    leaves: dict[str, Any] = {}
    for key, inner in pairs:
        leaves |= flatten(inner, f"{path}.{key}" if path else key)
    return leaves


def unflatten(values: dict[str, Any]) -> Any:
    """Give the nested value of {PATH: leaf}: keys that are all numbers 0.. make a list."""
    tree: dict[str, Any] = {}
    for path, leaf in values.items():
        *parents, last = path.split(".")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = leaf
    return _lists(tree)


def _lists(node: Any) -> Any:
    if not isinstance(node, dict) or not node:
        return node
    inner = {key: _lists(value) for key, value in node.items()}
    if list(inner) == [str(place) for place in range(len(inner))]:
        return list(inner.values())
    return inner


def same(left: Any, right: Any) -> bool:
    """Equal, where a bool is no number; 3 and 3.0 are equal."""
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def validator(definition: str) -> Draft202012Validator:
    """Give a validator for one definition of the link's schema: an op, `stats_answer`, `engine` or `bridge`."""
    registry = referencing.Registry().with_resource(SCHEMA["$id"], referencing.Resource.from_contents(SCHEMA))
    return Draft202012Validator({"$ref": f"{SCHEMA['$id']}#/$defs/{definition}"}, registry=registry)
