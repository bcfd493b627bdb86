"""Converted prompts before a real ComfyUI (COMFYUI_URL): it misses nothing in them but models and pictures.

Its own validation is the judge: names, types and links of every input. Model lists there may be empty.
"""

import json
import os
import urllib.error
import urllib.request
import uuid

import pytest
from ui_files import NAMES, PACKS, ui_file

from bridge.workflow.bind import bind_workflow
from bridge.workflow.check import ProblemKind, check_against
from bridge.workflow.convert import convert_workflow
from bridge.workflow.object_info import ObjectInfo

COMFYUI_URL = os.environ.get("COMFYUI_URL", "").rstrip("/")
pytestmark = pytest.mark.skipif(not COMFYUI_URL, reason="COMFYUI_URL names no ComfyUI")

MODELS = {"ckpt_name", "lora_name", "control_net_name", "vae_name", "unet_name", "clip_name1", "clip_name2"}


def live_info():
    with urllib.request.urlopen(f"{COMFYUI_URL}/object_info", timeout=30) as answer:
        return ObjectInfo.from_json(answer.read())


def refusals(prompt):
    """(class, error type, input) of every error in ComfyUI's answer."""
    body = {"prompt": prompt, "prompt_id": str(uuid.uuid4())}
    request = urllib.request.Request(f"{COMFYUI_URL}/prompt", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            told = json.loads(error.read())
        assert told["error"]["type"] == "prompt_outputs_failed_validation", told["error"]
    return {
        (entry["class_type"], error["type"], error["extra_info"].get("input_name"))
        for entry in told["node_errors"].values()
        for error in entry["errors"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_only_models_and_pictures_are_missing(name):
    info = live_info()
    data = ui_file(name)
    prompt = convert_workflow(data, info).prompt
    errors = refusals(prompt)
    allowed = {("value_not_in_list", field) for field in MODELS} | {("custom_validation_failed", "image")}
    assert {(kind, field) for _, kind, field in errors} <= allowed
    # ComfyUI names one missing thing after the other; ours are all of them, with the folder.
    problems = check_against(bind_workflow("try", data, info, None, PACKS).workflow, info)
    assert {problem.kind for problem in problems} <= {ProblemKind.MISSING_MODEL, ProblemKind.MISSING_PICTURE}
    assert len(problems) >= len(errors)


def test_it_would_say_what_is_wrong():
    """The judge judges: a value put under the wrong name is found."""
    prompt = convert_workflow(ui_file("sd15_txt2img"), live_info()).prompt
    prompt["3"]["inputs"]["steps"] = "euler"
    assert ("KSampler", "invalid_input_type", "steps") in refusals(prompt)
