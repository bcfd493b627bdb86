"""Which pack brings a node: the shipped table, and how it is read."""

import pytest
from ui_files import INFO, PACKS
from workflow_files import graph, node

from bridge.errors import WorkflowError
from bridge.workflow.check import check_against
from bridge.workflow.packs import NodePacks
from bridge.workflow.template import parse_template


@pytest.mark.parametrize(
    ("class_type", "pack"),
    [
        ("UnetLoaderGGUF", "ComfyUI-GGUF"),
        ("VHS_LoadVideo", "ComfyUI-VideoHelperSuite"),
        ("DepthAnythingV2Preprocessor", "comfyui_controlnet_aux"),
        ("FaceKeypointsPreprocessor", "ComfyUI_InstantID"),
        ("SomeNewPreprocessor", "comfyui_controlnet_aux"),
        ("Power Lora Loader (rgthree)", "rgthree-comfy"),
        ("IPAdapterAdvanced", "ComfyUI_IPAdapter_plus"),
        ("ImageResizeKJv2", "ComfyUI-KJNodes"),
        ("NobodyKnows", None),
    ],
)
def test_find(class_type, pack):
    found = PACKS.find(class_type)
    assert (found.name if found else None) == pack


def test_comfyuis_own_nodes_are_of_no_pack():
    assert [name for name in INFO.nodes if PACKS.find(name) is not None] == []


def test_a_missing_node_names_its_pack():
    data = graph(n1=node("UnetLoaderGGUF", unet_name="x.gguf"))
    (problem,) = check_against(parse_template(data), INFO, PACKS)
    assert "ComfyUI-GGUF (https://github.com/city96/ComfyUI-GGUF): install it" in problem


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"packs": [3]}', b'{"packs": [{"name": "x"}]}', b'{"packs": 3}'])
def test_a_damaged_table(data):
    with pytest.raises(WorkflowError):
        NodePacks.from_json(data)
