"""`texbridge workflows` in this process."""

import json
import shutil

import pytest

from bridge.app.data import data_folder
from bridge.cli import main

UI_EXPORT = {
    "last_node_id": 1,
    "last_link_id": 0,
    "nodes": [{"id": 1, "type": "KSampler", "inputs": [], "widgets_values": []}],
    "links": [],
    "version": 0.4,
}


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("TEXBRIDGE_CONFIG", raising=False)


def ran(capsys, *words):
    code = main(["workflows", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_list(capsys):
    code, out, err = ran(capsys, "list")
    assert (code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == sorted(names)
    assert {"gradient", "shapes", "txt2img_turbo", "txt2img_lcm", "img2img_turbo", "depth_controlnet"} <= set(names)
    code, out, err = ran(capsys, "list", "--json")
    assert (code, err) == (0, "")
    assert [row["name"] for row in json.loads(out)] == names
    assert all(row["error"] is None for row in json.loads(out))


def test_list_names_the_broken_one_too(capsys, tmp_path):
    folder = tmp_path / "workflows" / "broken"
    folder.mkdir(parents=True)
    (folder / "workflow_api.json").write_text(json.dumps(UI_EXPORT), encoding="utf-8")
    code, out, err = ran(capsys, "list", "--workflows", "workflows")
    assert (code, err) == (1, "")
    assert "broken" in out
    assert "NOT USED" in out
    code, out, _ = ran(capsys, "list", "--workflows", "workflows", "--json")
    assert code == 1
    assert {row["name"]: row["error"] for row in json.loads(out)}["broken"]


@pytest.mark.parametrize("name", ["gradient", "shapes", "txt2img_turbo", "img2img_turbo", "depth_controlnet"])
def test_show(capsys, name):
    code, out, err = ran(capsys, "show", name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: ")
    code, text, err = ran(capsys, "show", name, "--json")
    assert (code, err) == (0, "")
    told = json.loads(text)
    assert told["workflow"] == name
    for parameter in told["parameters"]:
        assert f"\n  {parameter['name']} " in out


def test_check_all(capsys):
    code, out, err = ran(capsys, "check")
    assert (code, err) == (0, "")
    assert "BAD" not in out
    assert "--comfy" in out
    code, out, err = ran(capsys, "check", "--json")
    assert (code, err) == (0, "")
    assert all(row["ok"] for row in json.loads(out))


def test_check_a_file_a_folder_and_a_name(capsys, tmp_path):
    shutil.copytree(data_folder("workflows") / "shapes", tmp_path / "My Shapes")
    code, out, _ = ran(capsys, "check", "My Shapes", "My Shapes/workflow_api.json", "gradient")
    assert code == 0
    assert out.count("ok ") == 3


def test_check_uses_the_folders_of_the_configuration_and_says_which(capsys, tmp_path):
    shutil.copytree(data_folder("workflows") / "shapes", tmp_path / "mine" / "squares")
    config = tmp_path / "texbridge.toml"
    config.write_text('[workflows]\nfolders = ["mine"]\n', encoding="utf-8")
    code, out, err = ran(capsys, "check", "squares")
    assert (code, err) == (0, f"configuration: {config}\n")
    assert "ok   squares" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps(UI_EXPORT), "Workflow > Export (API)"),
        ("[]", "Workflow > Export (API)"),
        ("{", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_check_a_file_that_is_no_api_export(capsys, tmp_path, content, words):
    path = tmp_path / "export.json"
    path.write_text(content, encoding="utf-8")
    code, out, err = ran(capsys, "check", "export.json")
    assert (code, err) == (1, "")
    assert "BAD  export.json" in out
    assert words in out
    code, out, err = ran(capsys, "check", "export.json", "--json")
    assert (code, err) == (1, "")
    row = json.loads(out)[0]
    assert row["ok"] is False
    assert words in row["problems"][0]


def test_check_finds_a_node_that_no_comfyui_has(capsys, tmp_path):
    graph = json.loads((data_folder("workflows") / "shapes" / "workflow_api.json").read_text(encoding="utf-8"))
    next(iter(graph.values()))["class_type"] = "EmptyImagee"
    path = tmp_path / "w.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    code, out, _ = ran(capsys, "check", "w.json")
    assert code == 1
    assert "EmptyImagee" in out
