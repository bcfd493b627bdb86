"""Every test here needs a real ComfyUI, named by COMFYUI_URL; without one they are skipped, and say so."""

import json
import os
import urllib.error
import urllib.request

import pytest

COMFYUI_URL = os.environ.get("COMFYUI_URL", "").rstrip("/")


def pytest_collection_modifyitems(items):
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.real_comfyui)
            if not COMFYUI_URL:
                item.add_marker(pytest.mark.skip(reason="COMFYUI_URL names no real ComfyUI"))


@pytest.fixture
def comfyui_url():
    """The base URL of the real ComfyUI."""
    return COMFYUI_URL


@pytest.fixture
def with_pack(comfyui_url):
    """What the node pack there says of itself."""
    try:
        with urllib.request.urlopen(f"{comfyui_url}/texbridge/info", timeout=30) as got:
            return json.load(got)
    except urllib.error.HTTPError as error:
        error.close()
        pytest.skip("the ComfyUI of COMFYUI_URL has no texbridge nodes")
