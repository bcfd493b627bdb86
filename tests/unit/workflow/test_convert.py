"""UI format to API format: tables of what the editor alone knows, and whole files."""

import json

import pytest
from ui_files import INFO, NAMES, PACKS, ui_file, ui_graph, ui_node

from bridge.errors import WorkflowError
from bridge.workflow.check import ProblemKind, check_against
from bridge.workflow.convert import convert_workflow
from bridge.workflow.template import parse_template
from bridge.workflow.ui_format import is_ui_format

IMAGE = ("images", "IMAGE", 9)
SAVE = ui_node(99, "SaveImage", [IMAGE], values=["x"])
CANVAS = ui_node(1, "EmptyImage", outputs=["IMAGE"], values=[64, 32, 1, 255])


def converted(name):
    return convert_workflow(ui_file(name), INFO).prompt


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_and_lacks_only_models_and_pictures(name):
    conversion = convert_workflow(ui_file(name), INFO)
    problems = check_against(parse_template(conversion.to_json()), INFO)
    assert {problem.kind for problem in problems} <= {ProblemKind.MISSING_MODEL, ProblemKind.MISSING_PICTURE}
    assert conversion.notes == ()


def test_the_default_graph_as_comfyui_exports_it():
    prompt = converted("sd15_txt2img")
    assert prompt["3"] == {
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "class_type": "KSampler",
        "_meta": {"title": "KSampler"},
    }
    assert prompt["6"]["inputs"] == {"text": "a lighthouse in fog, film grain", "clip": ["4", 1]}
    assert set(prompt) == {"3", "4", "5", "6", "7", "8", "9"}


def test_reroutes_primitives_bypassed_and_muted_nodes():
    conversion = convert_workflow(ui_file("reroutes_and_primitives"), INFO)
    prompt = conversion.prompt
    assert prompt["3"]["inputs"] == {"text": "a paper boat", "clip": ["1", 1]}  # LoraLoader bypassed, two reroutes
    assert prompt["6"]["inputs"]["model"] == ["1", 0]
    assert [prompt[node]["inputs"]["seed"] for node in "67"] == [7, 7]
    assert [prompt[node]["inputs"]["sampler_name"] for node in "67"] == ["euler", "euler"]
    assert prompt["10"]["inputs"]["image"] == ["8", 0]  # ImageSharpen bypassed
    assert prompt["8"]["inputs"]["vae"] == ["1", 2]
    assert set(prompt) == {"1", "3", "4", "5", "6", "7", "8", "10", "11"}
    assert conversion.titles == {("3", "text"): "Words", ("6", "seed"): "Same seed", ("7", "seed"): "Same seed"}
    assert "node 13 (VAELoader): leads to no output" in conversion.left_out


def test_one_subgraph_twice_and_another_inside():
    prompt = converted("subgraphs")
    assert prompt["10:8:1"]["inputs"] == {"text": "a kite over dunes", "clip": ["1", 1]}
    assert prompt["11:8:1"]["inputs"]["text"] == "a whale under ice"
    assert [prompt[f"{host}:5"]["inputs"]["steps"] for host in (10, 11)] == [18, 30]
    assert prompt["11:5"]["inputs"]["positive"] == ["11:8:1", 0]
    assert prompt["11:5"]["inputs"]["seed"] == 99
    assert prompt["20"]["inputs"]["images"] == ["10:6", 0]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("EmptyImage", [64, 32, 1, 255], {"width": 64, "height": 32, "batch_size": 1, "color": 255}),
        ("EmptyImage", [64, 32], {"width": 64, "height": 32, "batch_size": 1, "color": 0}),
        ("EmptyImage", {"width": 8, "height": 16, "videopreview": {}}, {"width": 8, "height": 16, "batch_size": 1}),
        ("RandomNoise", [5, "randomize"], {"noise_seed": 5}),
        ("RandomNoise", [5], {"noise_seed": 5}),
        ("PrimitiveInt", [3, "fixed"], {"value": 3}),
        ("LoadImage", ["a.png", "image"], {"image": "a.png"}),
        ("LoadImageMask", ["a.png", "alpha", "image"], {"image": "a.png", "channel": "alpha"}),
        ("KSamplerSelect", [None], {"sampler_name": "euler"}),
        ("CLIPLoader", ["a.safetensors", "sd3"], {"clip_name": "a.safetensors", "type": "sd3", "device": "default"}),
    ],
)
def test_saved_values_get_their_names(kind, values, expected):
    node = ui_node(1, kind, outputs=["IMAGE"], values=values)
    prompt = convert_workflow(ui_graph([node, SAVE], [[9, 1, 0, 99, 0, "IMAGE"]]), INFO).prompt
    assert {name: prompt["1"]["inputs"].get(name) for name in expected} == expected


def test_names_of_the_file_hold_where_the_order_of_the_class_does_not_fit():
    """The class had another order on the day the file was saved."""
    names = ("width", "height", "upscale_method", "crop")
    slots = [("image", "IMAGE", 8), *((name, "*", None, name) for name in names)]
    node = ui_node(2, "ImageScale", slots, ["IMAGE"], [64, 32, "area", "center"])
    links = [[8, 1, 0, 2, 0, "IMAGE"], [9, 2, 0, 99, 0, "IMAGE"]]
    inputs = convert_workflow(ui_graph([CANVAS, node, SAVE], links), INFO).prompt["2"]["inputs"]
    assert inputs == {"width": 64, "height": 32, "upscale_method": "area", "crop": "center", "image": ["1", 0]}


def problems_of(nodes, links=(), **more):
    with pytest.raises(WorkflowError) as caught:
        convert_workflow(ui_graph(nodes, list(links), **more), INFO, PACKS)
    return caught.value.problems


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (ui_node(1, "workflow>My group", outputs=["IMAGE"]), "Convert to Nodes"),
        (ui_node(1, "Anything Everywhere", [("anything", "*", 1)]), "links are made by an extension"),
        (ui_node(1, "KSampler (Efficient)", outputs=["IMAGE"], values=[1, 2]), "efficiency-nodes-comfyui"),
        (ui_node(1, "NobodyKnows", outputs=["IMAGE"], values=[1, 2]), "install the node pack that brings it"),
        (ui_node(1, "EmptyImage", outputs=["IMAGE"], values=["a", 2]), "input 'width' would be 'a'"),
    ],
)
def test_what_only_the_editor_can_convert(node, words):
    (problem,) = problems_of([node, SAVE], [[9, 1, 0, 99, 0, "IMAGE"]])
    assert words in problem


def test_a_class_that_nobody_knows_is_converted_by_the_names_in_the_file():
    slots = [("image", "IMAGE", 8), ("seed", "INT", None, "seed"), ("glow", "FLOAT", None, "glow")]
    node = ui_node(2, "Glow+", slots, ["IMAGE"], [5, "randomize", 0.5])
    links = [[8, 1, 0, 2, 0, "IMAGE"], [9, 2, 0, 99, 0, "IMAGE"]]
    prompt = convert_workflow(ui_graph([CANVAS, node, SAVE], links), INFO).prompt
    assert prompt["2"]["inputs"] == {"seed": 5, "glow": 0.5, "image": ["1", 0]}


def test_a_link_lost_to_a_muted_node_is_told():
    links = [[9, 1, 0, 99, 0, "IMAGE"]]
    conversion = convert_workflow(ui_graph([{**CANVAS, "mode": 2}, SAVE], links), INFO)
    assert conversion.notes == (
        "node 99 (SaveImage): input 'images' has no link now, for node 1 (EmptyImage) is muted",
    )


def test_set_and_get_nodes():
    nodes = [
        CANVAS,
        ui_node(2, "SetNode", [("IMAGE", "IMAGE", 1)], ["*"], ["sky"]),
        ui_node(3, "GetNode", (), ["IMAGE"], ["sky"]),
        SAVE,
    ]
    conversion = convert_workflow(ui_graph(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [9, 3, 0, 99, 0, "IMAGE"]]), INFO)
    assert conversion.prompt["99"]["inputs"]["images"] == ["1", 0]


def test_a_node_id_twice_is_named():
    (words,) = problems_of([ui_node(1, "LoadImage"), ui_node(1, "EmptyImage"), SAVE])
    assert "id 1 twice (LoadImage and EmptyImage)" in words


def test_circles_end():
    loop = [ui_node(n, "Reroute", [("", "*", n)], ["*"]) for n in (1, 2)]
    links = [[1, 2, 0, 1, 0, "*"], [2, 1, 0, 2, 0, "*"], [9, 1, 0, 99, 0, "*"]]
    assert "in a circle" in problems_of([*loop, SAVE], links)[0]
    inner = {"id": "a", "nodes": [ui_node(1, "a"), ui_node(2, "a")], "links": [], "inputs": [], "outputs": []}
    assert problems_of([ui_node(1, "a")], definitions={"subgraphs": [inner]})


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"nodes": 3}', b'{"nodes": [3]}', b'{"nodes": [], "links": [[1, 2]]}', b'{"nodes": []}'],
)
def test_malformed_files(data):
    with pytest.raises(WorkflowError):
        convert_workflow(data, INFO)


def test_which_format_it_is():
    assert is_ui_format(ui_file("flux"))
    assert not is_ui_format(json.dumps(converted("flux")).encode())
    assert not is_ui_format(b"no json")
