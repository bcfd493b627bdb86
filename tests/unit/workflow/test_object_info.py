"""object_info: both forms of COMBO, ranges, what is dropped, what is survived."""

import json

import pytest

from bridge.errors import WorkflowError
from bridge.workflow import object_info
from bridge.workflow.object_info import InputInfo, ObjectInfo


def parse(**classes: object) -> ObjectInfo:
    return ObjectInfo.from_json(json.dumps(classes).encode())


def one_input(spec: object, class_type: str = "A", name: str = "x") -> InputInfo:
    node = parse(**{class_type: {"input": {"required": {name: spec}}, "output": []}}).get(class_type)
    assert node is not None
    return node.inputs[name]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            ["INT", {"default": 3, "min": 0, "max": 9, "step": 1, "tooltip": "words"}],
            InputInfo("x", "INT", True, default=3, minimum=0, maximum=9, step=1),
        ),
        (["FLOAT", {"min": 0.5, "max": "many"}], InputInfo("x", "FLOAT", True, minimum=0.5)),
        # Python's writer says Infinity and NaN, and node authors write float("inf") or 2 ** 100: no bound at all.
        (["FLOAT", {"min": -float("inf"), "max": float("inf"), "step": float("nan")}], InputInfo("x", "FLOAT", True)),
        (["INT", {"min": -float("inf"), "max": 10**400, "step": 2**100}], InputInfo("x", "INT", True)),
        (
            ["INT", {"min": -(2**63), "max": 2**64 - 1}],
            InputInfo("x", "INT", True, minimum=-(2**63), maximum=2**64 - 1),
        ),
        (["STRING", {"multiline": True}], InputInfo("x", "STRING", True, multiline=True)),
        (["BOOLEAN"], InputInfo("x", "BOOLEAN", True)),
        (["IMAGE"], InputInfo("x", "IMAGE", True)),
        ([["a", "b"], {"default": "b"}], InputInfo("x", "COMBO", True, default="b", choices=("a", "b"))),
        (["COMBO", {"options": ["a", 2]}], InputInfo("x", "COMBO", True, choices=("a", 2))),
        (["COMBO", {}], InputInfo("x", "COMBO", True)),
        ([[], {}], InputInfo("x", "COMBO", True)),
        ([["a.png"], {"image_upload": True}], InputInfo("x", "COMBO", True, choices=("a.png",), is_picture=True)),
        (["INT", {"display": "color"}], InputInfo("x", "INT", True, is_color=True)),
        (["INT", {"default": {"no": 1}}], InputInfo("x", "INT", True)),
    ],
)
def test_inputs(spec: object, expected: InputInfo) -> None:
    assert one_input(spec) == expected


def test_an_old_empty_image_has_a_colour_too() -> None:
    assert one_input(["INT", {"default": 0}], "EmptyImage", "color").is_color
    assert not one_input(["INT", {"default": 0}], "Other", "color").is_color


def test_seeds_are_known_by_their_names() -> None:
    assert one_input(["INT"], name="noise_seed").is_seed
    # Other whole numbers change by themselves in ComfyUI too.
    assert one_input(["INT", {"control_after_generate": True}], name="value").is_seed is False


def test_required_comes_first_hidden_is_left_out_and_outputs_are_kept() -> None:
    info = parse(
        A={
            "input": {"optional": {"o": ["INT"]}, "required": {"r": ["INT"]}, "hidden": {"prompt": "PROMPT"}},
            "output": ["IMAGE", ["a", "b"]],
            "output_node": True,
        }
    ).get("A")
    assert info is not None
    assert [(spec.name, spec.required) for spec in info.inputs.values()] == [("r", True), ("o", False)]
    assert info.outputs == ("IMAGE", "COMBO")
    assert info.is_output


@pytest.mark.parametrize("entry", [None, [], {}, {"input": []}])
def test_a_class_that_cannot_be_read_is_left_out(entry: object) -> None:
    assert dict(parse(A=entry).nodes) == {}


def test_inputs_that_cannot_be_read_are_left_out() -> None:
    info = parse(A={"input": {"required": {"a": [], "b": "INT", "c": [3], "d": ["INT", 3]}, "optional": 3}}).get("A")
    assert info is not None
    assert list(info.inputs) == ["d"]


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"\xff", b"<html>", b"[" * 100_000])
def test_what_is_no_object_info_is_refused(data: bytes) -> None:
    with pytest.raises(WorkflowError, match="object_info is not"):
        ObjectInfo.from_json(data)


def test_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_info, "MAX_OBJECT_INFO_BYTES", 1)
    with pytest.raises(WorkflowError, match="has 2 bytes, more than 1"):
        ObjectInfo.from_json(b"{}")


def test_merged_takes_the_other_ones_word() -> None:
    old = parse(A={"input": {}, "output": ["X"]}, B={"input": {}, "output": ["X"]})
    new = parse(A={"input": {}, "output": ["Y"]})
    merged = old.merged(new)
    assert {name: node.outputs for name, node in merged.nodes.items()} == {"A": ("Y",), "B": ("X",)}


def test_united_has_the_choices_of_both_and_the_first_ones_word_on_the_rest() -> None:
    def loader(*choices: object, top: int = 9) -> dict[str, object]:
        return {"input": {"required": {"file": [list(choices)], "n": ["INT", {"max": top}]}}, "output": ["X"]}

    one = parse(A=loader("a", "b", 1), B={"input": {}, "output": []})
    more = parse(A=loader("b", "c", True, top=5), C={"input": {}, "output": []})
    united = one.united(more)
    assert set(united.nodes) == {"A", "B", "C"}
    inputs = united.nodes["A"].inputs
    assert list(inputs["file"].choices) == ["a", "b", 1, "c", True]
    assert inputs["n"].maximum == 9
    assert one.nodes["A"].inputs["file"].choices == ("a", "b", 1)
    assert one.united(one).nodes == one.nodes
