"""What tells one version of a workflow from another."""

import json

import pytest

from bridge.workflow.digest import workflow_digest

GRAPH = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 32}, "_meta": {"title": "@size"}}}
BINDING = b'label = "Sky"\n[parameters.blur]\nnode = "1"\n'
PLAIN = workflow_digest(json.dumps(GRAPH).encode(), BINDING)


def test_layout_counts_for_nothing() -> None:
    spread = json.dumps(GRAPH, indent=4, sort_keys=True).encode()
    assert workflow_digest(spread, b"\xef\xbb\xbf# said by hand\n" + BINDING) == PLAIN
    assert len(PLAIN) == 64


@pytest.mark.parametrize(
    ("graph", "binding"),
    [
        (GRAPH, None),
        (GRAPH, b'label = "Sea"\n[parameters.blur]\nnode = "1"\n'),
        ({"1": {**GRAPH["1"], "inputs": {"width": 64, "height": 33}}}, BINDING),
        ({"2": GRAPH["1"]}, BINDING),
    ],
)
def test_what_makes_another_picture_counts(graph: object, binding: bytes | None) -> None:
    assert workflow_digest(json.dumps(graph).encode(), binding) != PLAIN


def test_dates_of_toml_are_taken() -> None:
    assert workflow_digest(b"{}", b"made = 2026-11-25\n") != workflow_digest(b"{}", None)
