"""Graphs against an object_info: the exact line for each way that a ComfyUI can't run one."""

import json

import pytest
from workflow_files import INFO, blurred, empty_image, graph, load, node

from bridge.workflow.binding import load_workflow
from bridge.workflow.check import Problem, ProblemKind, check_against
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.template import parse_template

K = ProblemKind
PLACE = {"image": ["1", 0], "x": 0.0, "y": 0.0, "clip": False, "size": 1, "tint": "#000000"}

CLEAN = [
    blurred(),
    blurred(n4=node("Place", **PLACE, mask=["4x", 1]), n4x=node("Place", **PLACE)),
    blurred(n4=node("PreviewAny", source=["2", 0])),
    blurred(n4=node("Place", **{**PLACE, "x": "1.5", "clip": 1, "tint": 3})),
    # No class gives a MY_CURVE: it is a custom node's own widget.
    blurred(n4=node("Curve", image=["1", 0], curve="0,0 1,1", either=["4x", 1]), n4x=node("Place", **PLACE)),
    graph(n1=node("LoadImage", image="a.png"), n2=node("SaveImageWebsocket", images=["1", 0])),
]


@pytest.mark.parametrize("data", CLEAN)
def test_clean(data: bytes) -> None:
    assert check_against(parse_template(data), INFO) == ()


PROBLEMS = [
    (
        {"n4": node("ImageBlurr", "Mine", image=["1", 0])},
        K.MISSING_NODE,
        "node 4 \"Mine\" (ImageBlurr): this ComfyUI has no such node; did you mean 'ImageBlur'?",
    ),
    (
        {"n4": node("Zzz")},
        K.MISSING_NODE,
        "node 4 (Zzz): this ComfyUI has no such node; install the custom node that brings it, or update ComfyUI",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 0], blur_radus=3, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'blur_radius' is missing; the graph has 'blur_radus': rename it",
    ),
    (
        {"n4": node("ImageBlur", blur_radius=3, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'image' is missing; it takes a link to IMAGE",
    ),
    (
        {"n4": node("ImageFlip", image=["1", 0])},
        K.ERROR,
        "node 4 (ImageFlip): input 'flip_method' is missing; it takes one of x-axis, y-axis",
    ),
    (
        {"n4": node("Place", **PLACE, amont=0.5)},
        K.UNUSED_INPUT,
        "node 4 (Place): has no input 'amont', ComfyUI ignores it; did you mean 'amount'?",
    ),
    (
        {"n4": node("Text", value="x", upload="image")},
        K.UNUSED_INPUT,
        "node 4 (Text): has no input 'upload', ComfyUI ignores it",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 1], blur_radius=3, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'image' is linked to output 1 of node 1 (EmptyImage), which has 0 IMAGE",
    ),
    (
        {"n4": node("ImageBlur", image=["3", 0], blur_radius=3, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'image' is linked to output 0 of node 3 (SaveImageWebsocket), which has none",
    ),
    (
        {"n4": node("Place", **PLACE), "n5": node("ImageBlur", image=["4", 1], blur_radius=3, sigma=1.0)},
        K.ERROR,
        "node 5 (ImageBlur): input 'image' takes IMAGE, output 1 of node 4 (Place) is MASK; its output 0 is one",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 0], blur_radius=["1", 0], sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'blur_radius' takes INT, output 0 of node 1 (EmptyImage) is IMAGE",
    ),
    (
        {"n4": node("ImageBlur", image="1", blur_radius=3, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'image' holds '1', but takes IMAGE over a link",
    ),
    (
        {"n4": node("Curve", image=["1", 0], curve="0,0 1,1", either="x")},
        K.ERROR,
        "node 4 (Curve): input 'either' holds 'x', but takes MASK,MY_CURVE over a link",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 0], blur_radius=32, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'blur_radius' holds 32, outside 1..31",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 0], blur_radius="many", sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'blur_radius' holds 'many', which is no INT",
    ),
    (
        {"n4": node("ImageBlur", image=["1", 0], blur_radius=None, sigma=1.0)},
        K.ERROR,
        "node 4 (ImageBlur): input 'blur_radius' holds None, which is no INT",
    ),
    (
        {"n4": node("ImageFlip", image=["1", 0], flip_method="x-axes")},
        K.ERROR,
        "node 4 (ImageFlip): input 'flip_method' holds 'x-axes', which isn't offered; did you mean 'x-axis'?",
    ),
    (
        {"n4": node("ImageBlend", image1=["1", 0], image2=["1", 0], blend_factor=0.5, blend_mode=3)},
        K.ERROR,
        "node 4 (ImageBlend): input 'blend_mode' holds 3, which isn't offered; it offers normal, screen",
    ),
    (
        {"n4": node("CheckpointLoaderSimple", ckpt_name="my model.safetensors")},
        K.MISSING_MODEL,
        "node 4 (CheckpointLoaderSimple): input 'ckpt_name': put my model.safetensors into models/checkpoints of "
        "ComfyUI",
    ),
    (
        {"n4": node("LoadImage", image="b.png")},
        K.MISSING_PICTURE,
        "node 4 (LoadImage): input 'image': 'b.png' isn't in ComfyUI's input folder; put it there, or send a picture",
    ),
]


@pytest.mark.parametrize(("more", "kind", "line"), PROBLEMS)
def test_problems(more: dict[str, dict[str, object]], kind: ProblemKind, line: str) -> None:
    (problem,) = check_against(parse_template(blurred(**more)), INFO)
    assert (problem.kind, problem) == (kind, line)


def loader(choices: list[str], class_type: str = "CheckpointLoaderSimple", name: str = "ckpt_name") -> ObjectInfo:
    entry = '{"%s": {"input": {"required": {"%s": [%s]}}, "output": ["MODEL"]}}'
    listed = "[" + ", ".join(f'"{choice}"' for choice in choices) + "]"
    return ObjectInfo.from_json((entry % (class_type, name, listed)).encode())


def test_a_missing_model_names_one_like_it() -> None:
    parsed = parse_template(graph(n1=node("CheckpointLoaderSimple", ckpt_name="sd_turbo.safetensors")))
    (problem,) = check_against(parsed, loader(["sd_turbo_fp16.safetensors"]))
    assert problem.kind is K.MISSING_MODEL
    assert problem.endswith("(there is 'sd_turbo_fp16.safetensors')")
    assert check_against(parsed, loader(["sd_turbo.safetensors"])) == ()


def test_a_model_of_an_unknown_loader() -> None:
    parsed = parse_template(graph(n1=node("Mine", thing="x.gguf")))
    (problem,) = check_against(parsed, loader(["y.gguf"], "Mine", "thing"))
    assert problem == (
        "node 1 (Mine): input 'thing': put x.gguf into its folder under models of ComfyUI (there is 'y.gguf')"
    )


def test_which_kinds_stop_a_graph() -> None:
    assert {kind for kind in K if Problem(kind, "x").stops} == {K.ERROR, K.MISSING_NODE, K.MISSING_MODEL}


def test_a_workflow_is_checked_as_it_will_be_posted() -> None:
    data = graph(n1=empty_image(), n2=node("SaveImage", images=["1", 0], filename_prefix=None))
    # SaveImage is replaced in memory, its file name with it.
    assert check_against(load(data), INFO) == ()
    assert len(check_against(parse_template(data), INFO)) == 1


def test_values_that_name_other_files_are_checked_in_place_of_the_graphs_own() -> None:
    data = graph(
        n1=node("CheckpointLoaderSimple", "@model:ckpt_name", ckpt_name="a.safetensors"),
        n2=empty_image("@tint:color"),
        n3=node("SaveImageWebsocket", images=["2", 0]),
    )

    def having(*files: str) -> ObjectInfo:
        entry = {"input": {"required": {"ckpt_name": [list(files), {}]}}, "output": ["MODEL", "CLIP", "VAE"]}
        return INFO.merged(ObjectInfo.from_json(json.dumps({"CheckpointLoaderSimple": entry}).encode()))

    workflow = load_workflow("try", data, None, having("a.safetensors", "b.safetensors"))
    (problem,) = check_against(workflow, having("b.safetensors"))
    assert (problem.kind, problem.class_type) == (K.MISSING_MODEL, "CheckpointLoaderSimple")
    other = workflow.graph_with({"model": "b.safetensors", "nothing": 1, "tint": "no"})
    assert check_against(other, having("b.safetensors")) == ()
    assert check_against(other, having("a.safetensors")) != ()
    assert workflow.graph.nodes["1"].inputs["ckpt_name"] == "a.safetensors"
