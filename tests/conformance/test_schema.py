"""The examples of `engine-link.md` and the good message vectors against `protocols/schema/link.json`."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from vectors import PROTOCOLS, SCHEMA, Vector, load, unflatten, validator

PAGE = (PROTOCOLS / "engine-link.md").read_text(encoding="utf-8")
DEFINITIONS: dict[str, dict[str, Any]] = SCHEMA["$defs"]
ENGINE = [item["$ref"].rpartition("/")[2] for item in DEFINITIONS["engine"]["oneOf"]]
BRIDGE = [item["$ref"].rpartition("/")[2] for item in DEFINITIONS["bridge"]["oneOf"]]
VECTORS = [vector for vector in load("message") if vector.error is None]


def examples() -> list[tuple[str, str, dict[str, Any]]]:
    """(direction, heading, message) of each fenced JSON block of the page."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    direction = heading = ""
    for part in re.split(r"^(?=#{2,3} )", PAGE, flags=re.MULTILINE):
        title = part.splitlines()[0]
        if title.startswith("## "):
            direction = {"## Messages, engine to bridge": "engine", "## Messages, bridge to engine": "bridge"}.get(
                title, ""
            )
        heading = title.removeprefix("### ")
        for block in re.findall(r"^```json\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL):
            found.append((direction, heading, json.loads(block)))
    return found


EXAMPLES = examples()


def definition(direction: str, op: str) -> str:
    return "stats_answer" if (direction, op) == ("bridge", "stats") else op


def as_json(value: Any) -> Any:
    """Bytes as JSON has them: text."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.hex() if isinstance(value, bytes) else value


def unknown_fields(rules: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """Fields that the schema doesn't name: allowed on the wire, a typing error in an example."""
    if "$ref" in rules:
        return unknown_fields(DEFINITIONS[rules["$ref"].rpartition("/")[2]], value, path)
    if isinstance(value, list) and "items" in rules:
        return [name for inner in value for name in unknown_fields(rules["items"], inner, f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in rules:
        return []
    found = [f"{path}.{key}" for key in value if key not in rules["properties"]]
    for key, inner in value.items():
        found += unknown_fields(rules["properties"].get(key, {}), inner, f"{path}.{key}")
    return found


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert {definition("engine", name) for name in ENGINE} == set(ENGINE)
    for name in (*ENGINE, *BRIDGE):
        assert DEFINITIONS[name]["properties"]["op"]["const"] == ("stats" if name == "stats_answer" else name)


def test_every_message_has_an_example_under_its_heading() -> None:
    assert {op for direction, _, example in EXAMPLES if direction == "engine" for op in [example["op"]]} == set(ENGINE)
    answers = {definition("bridge", example["op"]) for direction, _, example in EXAMPLES if direction == "bridge"}
    assert answers == set(BRIDGE)
    for _, heading, example in EXAMPLES:
        assert heading.split()[0] == example["op"] or (heading, example["op"]) == ("image", "set")


@pytest.mark.parametrize(("direction", "heading", "example"), EXAMPLES, ids=lambda value: str(value)[:24])
def test_examples_are_right(direction: str, heading: str, example: dict[str, Any]) -> None:
    name = definition(direction, example["op"])
    validator(name).validate(example)
    validator(direction).validate(example)
    assert unknown_fields(DEFINITIONS[name], example) == []


def test_examples_together_show_every_field() -> None:
    shown = {(direction, example["op"], key) for direction, _, example in EXAMPLES for key in example}
    # Told in words only: several ways to say the same, what no build has yet, and answers that echo what was asked.
    not_shown = {
        ("engine", "describe", "workflow"),
        ("engine", "cancel", "request"),
        ("engine", "subscribe", "fps"),
        ("engine", "subscribe", "max_mbps"),
        ("engine", "subscribe", "blend_fps"),
        ("engine", "memory", "stream"),
        *(
            ("bridge", "subscribed", name)
            for name in ("mips", "previews", "color", "fps", "max_mbps", "blend_fps", "shared_memory")
        ),
    }
    for direction, names in (("engine", ENGINE), ("bridge", BRIDGE)):
        for name in names:
            rules = DEFINITIONS[name]["properties"]
            for key in rules:
                place = (direction, rules["op"]["const"], key)
                if key == "id":
                    continue
                assert (place in shown) != (place in not_shown), place


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_good_vectors_are_right(vector: Vector) -> None:
    message = as_json(unflatten(vector.values))
    validator(definition(vector.direction, message["op"])).validate(message)
    validator(vector.direction).validate(message)


@pytest.mark.parametrize(("direction", "heading", "example"), EXAMPLES, ids=lambda value: str(value)[:24])
def test_a_spoiled_example_is_seen(direction: str, heading: str, example: dict[str, Any]) -> None:
    """Each required field left out, each field with a list of lists for a value, and another op."""
    name = definition(direction, example["op"])
    one = validator(name)
    for key in DEFINITIONS[name]["required"]:
        assert not one.is_valid({field: value for field, value in example.items() if field != key}), key
    for key in example:
        if key in ("value", "limit") and name == "error":
            continue  # anything at all
        spoiled = copy.deepcopy(example)
        spoiled[key] = [[[None]]]
        assert not one.is_valid(spoiled), key
    assert not one.is_valid(example | {"op": "other"})
    assert not validator(direction).is_valid(example | {"op": "other"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ack", {"op": "ack", "stream": 1, "number": 2**32}),
        ("ack", {"op": "ack", "stream": 1, "number": True}),
        ("ack", {"op": "ack", "stream": "a b", "number": 1}),
        ("run", {"op": "run", "stream": 1, "priority": 10}),
        ("run", {"op": "run", "stream": 1, "seed": 2**64}),
        ("run", {"op": "run", "stream": 1, "key": True}),
        ("run", {"op": "run", "stream": 1, "deadline_ms": -1}),
        ("cancel", {"op": "cancel"}),
        ("hello", {"op": "hello", "version": 1, "client": "x", "max_message_bytes": 1023}),
        ("open", {"op": "open", "stream": "a", "workflow": "b", "mode": "live", "size": [512]}),
        ("finished", {"op": "finished", "request": 1, "outcome": "failed", "frames": 0, "number": 0}),
        ("changed", {"op": "changed", "stream": 1}),
        ("memory", {"op": "memory", "stream": 1, "file": "x", "nonce": 1, "slots": 4, "stride": 4097}),
    ],
    ids=str,
)
def test_values_outside_their_range_are_refused(name: str, message: dict[str, Any]) -> None:
    assert not validator(name).is_valid(message)


def test_the_field_tables_name_only_real_fields() -> None:
    """Each `field` in the first column of a message's table is one of its schema, with `?` exactly if not required."""
    direction = ""
    seen = 0
    for part in re.split(r"^(?=#{2,3} )", PAGE, flags=re.MULTILINE):
        title = part.splitlines()[0]
        if title.startswith("## "):
            direction = "engine" if "engine to bridge" in title else "bridge" if "bridge to engine" in title else ""
            continue
        if not direction:
            continue
        name = definition(direction, title.removeprefix("### ").split()[0])
        rules = DEFINITIONS[name]
        for row in re.findall(r"^\| ((?:`[a-z_]+\??`(?:, )?)+) \|", part, flags=re.MULTILINE):
            for field, optional in re.findall(r"`([a-z_]+)(\??)`", row):
                assert field in rules["properties"], (title, field)
                # `delivery` and `credit` have a default, but every client sends them.
                if field not in ("delivery", "credit"):
                    assert bool(optional) != (field in rules["required"]), (title, field)
                seen += 1
    assert seen > 80
