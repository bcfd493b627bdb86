"""Binding values into a prompt: what is written, what is shared, what is refused."""

import copy
from typing import Any

import pytest
from workflow_files import blurred, empty_image, graph, load, node

from bridge.errors import ErrorCode, InvalidValueError, UnknownNameError
from bridge.types import Picture, Size

DATA = graph(
    n1=empty_image("@tint:color"),
    n2=node("ImageBlur", "@soft:sigma", image=["1", 0], blur_radius=3, sigma=1.5),
    n3=node("Noise", "@seed", image=["2", 0], seed=42, strength=0.5),
    n4=node("Place", image=["3", 0], x=0.0, y=0.0, clip=False, size=1, tint="#ffffff"),
    n5=node("SaveImageWebsocket", images=["4", 0]),
    n6=node("Text", "@words", value="hello"),
)
BINDING = """
[size]
width = "1.width"
height = "1.height"
[parameters.at]
inputs = ["4.x", "4.y"]
type = "vec2"
[parameters.soft]
default = 2.5
"""
WORKFLOW = load(DATA, BINDING)
PHOTO = load(graph(n1=node("LoadImage", "@photo", image="a.png"), n2=node("SaveImage", images=["1", 0])))
PICTURE = Picture(b"\x89PNG", "00")


def inputs(node_id: str, values: dict[str, Any], seed: int = 0, size: Size | None = None) -> dict[str, Any]:
    return WORKFLOW.bind(values, seed, size).prompt[node_id]["inputs"]


def test_values_go_where_they_belong() -> None:
    values: dict[str, Any] = {"tint": (1.0, 0.0, 1.0, 0.5), "soft": 0.5, "at": (1.5, -2.0), "words": '["4", 0]'}
    prompt = WORKFLOW.bind(values, 7, Size(128, 256)).prompt
    assert prompt["1"]["inputs"] == {"width": 128, "height": 256, "batch_size": 1, "color": 0xFF00FF}
    assert prompt["2"]["inputs"] == {"image": ["1", 0], "blur_radius": 3, "sigma": 0.5}
    assert prompt["3"]["inputs"]["seed"] == 7
    assert (prompt["4"]["inputs"]["x"], prompt["4"]["inputs"]["y"]) == (1.5, -2.0)
    assert prompt["6"]["inputs"]["value"] == '["4", 0]'


def test_a_default_of_the_binding_holds_where_no_value_is_given() -> None:
    assert inputs("2", {})["sigma"] == 2.5
    assert inputs("2", {"soft": 1.0})["sigma"] == 1.0


def test_no_size_is_the_graphs_own() -> None:
    assert (inputs("1", {})["width"], inputs("1", {})["height"]) == (64, 64)


def test_the_same_values_give_the_same_prompt_and_leave_no_trace() -> None:
    before = copy.deepcopy(WORKFLOW.bind({}, 0).prompt)
    first = WORKFLOW.bind({"soft": 0.5}, 7, Size(8, 8)).prompt
    assert WORKFLOW.bind({"soft": 0.5}, 7, Size(8, 8)).prompt == first
    assert WORKFLOW.bind({}, 0).prompt == before


def test_untouched_nodes_are_shared_and_touched_ones_are_not() -> None:
    one, two = WORKFLOW.bind({"soft": 0.5}, 1).prompt, WORKFLOW.bind({"soft": 0.6}, 2).prompt
    assert one["5"] is two["5"]
    assert one["2"] is not two["2"]
    assert list(one) == ["1", "2", "3", "4", "5", "6"]


def test_output_nodes_map_to_their_places() -> None:
    assert dict(WORKFLOW.bind({}, 0).output_nodes) == {"5": 0}


def test_a_workflow_without_a_seed_takes_any() -> None:
    assert PHOTO.bind({}, 2**64 - 1).prompt["1"]["inputs"] == {"image": "a.png"}


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (Size(0, 8), "width 0 must be 1..4096 in steps of 8"),
        (Size(65536, 8), "width 65536 must be 1..4096 in steps of 8"),
        (Size(513, 8), "width 513 must be 1..4096 in steps of 8"),
        (Size(8, -8), "height -8 must be 1..4096 in steps of 8"),
        (Size(8, 8.0), "height 8.0 must be 1..4096 in steps of 8"),  # type: ignore[arg-type]
        (Size(True, 8), "width True must be 1..4096 in steps of 8"),
    ],
)
def test_bad_sizes(size: Size, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        WORKFLOW.bind({}, 0, size)
    assert (caught.value.message, caught.value.code, caught.value.field) == (words, ErrorCode.BAD_SIZE, "size")


def test_a_size_for_a_graph_without_one() -> None:
    with pytest.raises(InvalidValueError, match="has no size inputs; bind them with @width and @height") as caught:
        PHOTO.bind({}, 0, Size(8, 8))
    assert caught.value.code is ErrorCode.BAD_SIZE


def test_an_unknown_parameter() -> None:
    with pytest.raises(UnknownNameError) as caught:
        WORKFLOW.bind({"sofd": 1.0}, 0)
    assert caught.value.message == "workflow 'try' has no parameter 'sofd'; did you mean 'soft'?"
    assert caught.value.code is ErrorCode.UNKNOWN_PARAMETER


@pytest.mark.parametrize("value", [["4", 0], ("4", 0), 3, None])
def test_a_value_never_becomes_a_link(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="words must be a text"):
        WORKFLOW.bind({"words": value}, 0)


def test_pictures_go_by_the_name_of_their_upload() -> None:
    prompt = PHOTO.bind({"photo": PICTURE}, 0, None, {"photo": "texbridge/00.png"}).prompt
    assert prompt["1"]["inputs"]["image"] == "texbridge/00.png"
    assert PHOTO.bind({"photo": "a.png"}, 0).prompt["1"]["inputs"]["image"] == "a.png"
    assert PHOTO.picture_inputs == {"photo": (("1", "image"),)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (PICTURE, "photo: the picture has not been uploaded to this ComfyUI"),
        ("../../etc/passwd", "photo must be a picture, not str"),
        (3, "photo must be a picture, not int"),
    ],
)
def test_what_is_no_uploaded_picture_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        PHOTO.bind({"photo": value}, 0)
    assert caught.value.message == words


def test_a_picture_for_something_else_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="words must be a text, not Picture"):
        WORKFLOW.bind({"words": PICTURE}, 0, None, {"words": "x.png"})


def test_what_a_comfyui_must_have() -> None:
    assert load(blurred()).required_class_types == {"EmptyImage", "ImageBlur", "SaveImageWebsocket"}
