"""A workflow of one's own from ComfyUI's file to a picture, with a ComfyUI that answers for its nodes."""

import asyncio
import json

import pytest
from cli_rig import Home
from PIL import Image
from ui_files import ui_graph, ui_node

from bridge.embedded import EmbeddedServer

HAZE = ui_graph(
    [
        ui_node(1, "PrimitiveNode", (), ["INT"], [96, "fixed"], title="width"),
        ui_node(2, "EmptyImage", [("width", "INT", 1, "width")], ["IMAGE"], [64, 64, 1, 0x336699], title="Sky"),
        ui_node(3, "Reroute", [("", "*", 2)], ["*"]),
        ui_node(4, "ImageBlur", [("image", "IMAGE", 3)], ["IMAGE"], [3, 1.5], title="Haze"),
        ui_node(5, "SaveImage", [("images", "IMAGE", 4)], (), ["haze"]),
    ],
    [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"], [4, 4, 0, 5, 0, "IMAGE"]],
)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def with_comfy(work):
    """Run `work(url)` in a thread while an embedded server answers."""

    async def run():
        async with EmbeddedServer() as server:
            return await asyncio.to_thread(work, server.url)

    return asyncio.run(run())


def test_from_a_saved_file_to_a_picture(home):
    (home.work / "Haze.json").write_bytes(HAZE)

    def work(url):
        bound = home.run("workflows", "bind", "Haze.json", "--comfy", url, "--json")
        where = ("--workflows", "workflows", "--comfy", url)
        made = home.run("run", "haze", *where, "-p", "sky=#ff0000", "--size", "32x16", "-o", "out.png")
        return bound, made

    bound, made = with_comfy(work)
    assert bound.code == 0, bound.err
    told = json.loads(bound.out)
    assert {each["name"]: each["type"] for each in told["parameters"]}["sky"] == "color"
    assert told["size"]["default"] == [96, 64]
    assert told["problems"] == []
    assert made.code == 0, made.err
    with Image.open(home.work / "out.png") as picture:
        assert picture.size == (32, 16)
        assert picture.convert("RGB").getpixel((16, 8)) == (255, 0, 0)


def test_a_missing_picture_is_told(home):
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "nowhere.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    (home.work / "look.json").write_text(json.dumps(graph), encoding="utf-8")
    done = with_comfy(lambda url: home.run("workflows", "bind", "look.json", "--comfy", url))
    assert done.code == 0, done.err
    assert "isn't in ComfyUI's input folder; put it there, or send a picture" in done.out


def test_a_bound_workflow_that_nobody_was_told_of(home):
    (home.work / "Haze.json").write_bytes(HAZE)
    assert home.run("workflows", "bind", "Haze.json", "--recorded").code == 0
    for words in (("workflows", "show", "haze"), ("run", "haze", "-o", "out.png"), ("serve", "--stream", "main=haze")):
        done = home.run(*words)
        assert done.code == 2
        assert done.err.rstrip().endswith("; workflows/haze is here: add --workflows workflows")
    assert home.run("workflows", "show", "haze", "--workflows", "workflows").code == 0
    assert "is here" not in home.run("workflows", "show", "fog").err
