"""What the recordings don't say about the check of a prompt. The rest is in tests/conformance."""

from typing import Any

import pytest

import bridge.embedded  # noqa: F401 - fills the catalog
from bridge.embedded.files import FileKey, FileStore
from bridge.embedded.validation import link_of, validate_prompt


def flat(**changes: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0, **changes}},
        "9": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }


def first_error(prompt: dict[str, Any]) -> str:
    verdict = validate_prompt(prompt, FileStore())
    assert verdict.error is not None
    return next(iter(verdict.node_errors.values()))["errors"][0]["type"]


def test_good() -> None:
    verdict = validate_prompt(flat(), FileStore())
    assert (verdict.outputs, verdict.error, verdict.node_errors) == (("9",), None, {})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": "12"}, 12),
        ({"width": 12.9}, 12),
        ({"width": True}, 1),
        ({"width": {"__value__": 7}}, 7),
    ],
)
def test_literals_become_their_inputs_type(changes: dict[str, Any], expected: int) -> None:
    prompt = flat(**changes)
    assert validate_prompt(prompt, FileStore()).error is None
    assert prompt["1"]["inputs"]["width"] == expected
    assert type(prompt["1"]["inputs"]["width"]) is int


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": 0}, "value_smaller_than_min"),
        ({"width": 2**70}, "value_bigger_than_max"),
        ({"width": float("inf")}, "invalid_input_type"),
        ({"width": float("nan")}, "invalid_input_type"),
        ({"width": {}}, "invalid_input_type"),
        ({"width": ["1"]}, "bad_linked_input"),
        ({"width": ["zz", 0]}, "exception_during_inner_validation"),
    ],
)
def test_bad_literals(changes: dict[str, Any], expected: str) -> None:
    if expected.startswith("exception"):
        verdict = validate_prompt(flat(**changes), FileStore())
        assert verdict.error is not None
        assert "1" in verdict.node_errors
    else:
        assert first_error(flat(**changes)) == expected


def test_load_image_needs_a_file() -> None:
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "../x.png"}},
        "9": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    assert first_error(prompt) == "custom_validation_failed"
    files = FileStore()
    files.write(FileKey("input", "", "x.png"), b"")
    prompt["1"]["inputs"]["image"] = "x.png"
    assert validate_prompt(prompt, files).error is None


def test_a_chain_longer_than_the_stack() -> None:
    """Python's recursion ends somewhere: a refusal, not a crash."""
    prompt: dict[str, Any] = flat()
    for index in range(2, 3000):
        prompt[f"n{index}"] = {"class_type": "ImageInvert", "inputs": {"image": [f"n{index - 1}", 0]}}
    prompt["n1"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}
    prompt["9"]["inputs"]["images"] = ["n2999", 0]
    assert validate_prompt(prompt, FileStore()).error is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["4", 0], ("4", 0)),
        (["4", 0, 1], None),
        ([4, 0], None),
        (["4", "0"], None),
        ("4", None),
        ({"4": 0}, None),
    ],
)
def test_link_of(value: Any, expected: tuple[str, int] | None) -> None:
    assert link_of(value) == expected
