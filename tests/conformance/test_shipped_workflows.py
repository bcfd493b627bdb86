"""The workflows that ship: they load, run on ComfyUI's own nodes, and say what their READMEs say."""

import json
import os
import re
import urllib.request
from pathlib import Path

import pytest

from bridge.app.data import data_folder
from bridge.types import ParameterType, Size
from bridge.workflow.check import ProblemKind, check_against
from bridge.workflow.library import Library
from bridge.workflow.object_info import ObjectInfo

ROOT = data_folder("workflows")
RECORDINGS = Path(__file__).parent.parent / "recordings"
SHIPPED_INFO = ObjectInfo.from_json((ROOT / "object_info.json").read_bytes())

MODEL_FREE = ("camera_blend", "feedback_zoom", "gradient", "shapes", "test_card")
FIXED = ("test_card",)
"""Neither a seed nor a size."""

WITH_MODELS = {
    "depth_controlnet": {
        "v1-5-pruned-emaonly-fp16.safetensors",
        "lcm-lora-sdv1-5.safetensors",
        "control_v11f1p_sd15_depth_fp16.safetensors",
    },
    "img2img_turbo": {"sd_turbo.safetensors"},
    "txt2img_lcm": {"v1-5-pruned-emaonly-fp16.safetensors", "lcm-lora-sdv1-5.safetensors"},
    "txt2img_turbo": {"sd_turbo.safetensors"},
}
NAMES = (*MODEL_FREE, *WITH_MODELS)
ALLOWED = {
    **{name: {ProblemKind.MISSING_MODEL, ProblemKind.MISSING_PICTURE} for name in WITH_MODELS},
    "camera_blend": {ProblemKind.MISSING_PICTURE},
    "feedback_zoom": {ProblemKind.MISSING_PICTURE},
}
"""What a ComfyUI as it is installed may lack of a workflow."""


def recorded() -> ObjectInfo:
    """What a real ComfyUI v0.3.64 said of its nodes; its model lists are empty."""
    info = ObjectInfo({})
    for file in ("object_info.json", "object_info_models.json"):
        info = info.merged(ObjectInfo.from_json((RECORDINGS / file).read_bytes()))
    return info


def library(info: ObjectInfo) -> Library:
    made = Library(info)
    folders = {
        folder.name: {file.name: file.read_bytes() for file in folder.iterdir()}
        for folder in ROOT.iterdir()
        if folder.is_dir()
    }
    assert made.load(folders) == {}
    return made


LIBRARY = library(SHIPPED_INFO)


def test_these_ship() -> None:
    assert LIBRARY.names == tuple(sorted(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_comfyui_has_every_node_and_takes_every_input(name: str) -> None:
    problems = check_against(LIBRARY.get(name), recorded())
    allowed = ALLOWED.get(name, set())
    assert [problem for problem in problems if problem.kind not in allowed] == []
    missing = [problem for problem in problems if problem.kind is ProblemKind.MISSING_MODEL]
    wanted = WITH_MODELS.get(name, set())
    assert {file for file in wanted if any(f"put {file} into" in problem for problem in missing)} == wanted
    assert len(missing) == len(wanted)


def test_the_shipped_object_info_says_what_was_recorded() -> None:
    real = recorded()
    for class_type, node in SHIPPED_INFO.nodes.items():
        assert node == real.get(class_type), class_type
    for name in NAMES:
        assert LIBRARY.get(name).required_class_types <= set(SHIPPED_INFO.nodes)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_in_the_readme(name: str) -> None:
    readme = (ROOT / name / "README.md").read_text("utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    explained = {word for row in rows for word in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}
    spec = LIBRARY.get(name).spec
    assert explained == {
        *(parameter.name for parameter in spec.parameters),
        *(() if name in FIXED else ("seed", "size")),
    }
    for file in WITH_MODELS.get(name, ()):
        assert f"`{file}`" in readme
    assert ("Not tried here" in readme) == (name in WITH_MODELS)
    assert "v0.3.64" in readme


@pytest.mark.parametrize("name", NAMES)
def test_all_but_the_card_have_a_seed_and_a_size_and_all_one_colour_output(name: str) -> None:
    spec = LIBRARY.get(name).spec
    assert spec.has_seed == (name not in FIXED)
    assert spec.size == (None if name in FIXED else Size(512, 512))
    assert [(output.name, output.kind) for output in spec.outputs] == [("image", "color")]
    assert LIBRARY.get(name).notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_defaults_bind_to_the_graph_as_it_ships(name: str) -> None:
    workflow = LIBRARY.get(name)
    values = {spec.name: spec.default for spec in workflow.spec.parameters}
    graph = json.loads((ROOT / name / "workflow_api.json").read_text("utf-8"))
    assert workflow.bind(values, workflow.spec.default_seed, workflow.spec.size).prompt == graph


def test_models_never_stand_in_the_parameters_of_a_shipped_workflow() -> None:
    """Changing a model takes seconds to minutes: not a thing to move by a slider."""
    for name in WITH_MODELS:
        kinds = {spec.name: spec.type for spec in LIBRARY.get(name).spec.parameters}
        assert ParameterType.CHOICE not in kinds.values(), name


@pytest.mark.real_comfyui
@pytest.mark.skipif("COMFYUI_URL" not in os.environ, reason="COMFYUI_URL names no ComfyUI")
@pytest.mark.parametrize("name", NAMES)
def test_a_running_comfyui_has_every_node_and_takes_every_input(name: str) -> None:
    with urllib.request.urlopen(os.environ["COMFYUI_URL"].rstrip("/") + "/object_info", timeout=30) as answer:
        live = ObjectInfo.from_json(answer.read())
    allowed = ALLOWED.get(name, set())
    assert [problem for problem in check_against(library(live).get(name), live) if problem.kind not in allowed] == []
