"""`texbridge workflows bind` in this process."""

import json

import pytest
from ui_files import ui_file

from bridge.cli import main


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("TEXBRIDGE_CONFIG", raising=False)
    (tmp_path / "My Ink (3).json").write_bytes(ui_file("img2img_controlnet"))


def ran(capsys, *words, recorded=True):
    code = main(["workflows", "bind", *words, *(["--recorded"] if recorded else [])])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_made_and_everything_is_told(capsys, tmp_path):
    code, out, err = ran(capsys, "My Ink (3).json")
    assert (code, err) == (0, "")
    assert set(files(tmp_path / "workflows" / "my_ink_3")) == {"workflow_api.json", "binding.toml"}
    for words in (
        "my_ink_3: UI format, converted; nodes by recorded answers",
        "feeds positive of node 11 (KSampler), through ControlNetApplyAdvanced",
        "(seed)",
        "768 x 512",
        "which model file",
        "next: texbridge serve --workflows workflows --stream main=my_ink_3",
    ):
        assert words in out
    assert main(["workflows", "show", "my_ink_3", "--workflows", "workflows"]) == 0
    assert "control_image" in capsys.readouterr().out


def test_json(capsys):
    code, out, _ = ran(capsys, "My Ink (3).json", "--name", "ink", "--into", "mine", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["name"], told["format"], told["object_info"], told["written"]) == ("ink", "ui", "recorded", True)
    assert {each["name"] for each in told["parameters"]} >= {"prompt", "negative", "denoise", "camera"}
    assert told["size"]["default"] == [768, 512]
    assert told["problems"] == []
    assert [each["change"] for each in told["files"]] == ["new", "new"]


def test_a_dry_run_writes_nothing(capsys, tmp_path):
    code, out, _ = ran(capsys, "My Ink (3).json", "--dry-run")
    assert code == 0
    assert "would be new" in out
    assert not (tmp_path / "workflows").exists()


def test_again_keeps_what_was_there_beside(capsys, tmp_path):
    folder = tmp_path / "workflows" / "my_ink_3"
    ran(capsys, "My Ink (3).json")
    first = files(folder)
    code, out, _ = ran(capsys, "My Ink (3).json")
    assert (code, files(folder)) == (0, first)
    assert out.count("unchanged:") == 2
    for round_ in (1, 2):
        mine = first["binding.toml"].replace(b'label = "Steps"', b'label = "Care %d"' % round_) + b"# my own words\n"
        (folder / "binding.toml").write_bytes(mine)
        code, out, _ = ran(capsys, "My Ink (3).json")
        assert code == 0
        assert "binding.toml.bak)" in out if round_ == 1 else "binding.toml.2.bak)" in out
        assert b"Care %d" % round_ in (folder / "binding.toml").read_bytes()
        assert mine in files(folder).values()
    assert "workflow_api.json.bak" not in files(folder)


def test_another_workflow_of_that_name_is_left_alone(capsys, tmp_path):
    ran(capsys, "My Ink (3).json", "--name", "ink")
    before = files(tmp_path / "workflows" / "ink")
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    (tmp_path / "other.json").write_text(json.dumps(graph), encoding="utf-8")
    code, _, err = ran(capsys, "other.json", "--name", "ink")
    assert code == 2
    assert "holds another workflow" in err
    assert files(tmp_path / "workflows" / "ink") == before


@pytest.mark.parametrize(
    ("file", "name"),
    [("workflow_api.json", "sky"), ("Unsaved Workflow (2).json", "sky"), ("haze_api.json", "haze"), ("空.json", "sky")],
)
def test_the_name_comes_of_the_file_or_its_folder(capsys, tmp_path, file, name):
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / file).write_bytes(ui_file("sd15_txt2img"))
    assert ran(capsys, f"sky/{file}")[0] == 0
    assert (tmp_path / "workflows" / name / "binding.toml").is_file()


def test_the_folder_of_the_configuration(capsys, tmp_path):
    (tmp_path / "texbridge.toml").write_text('[workflows]\nfolders = ["show"]\n', encoding="utf-8")
    assert ran(capsys, "My Ink (3).json")[0] == 0
    assert (tmp_path / "show" / "my_ink_3").is_dir()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nothing.json"], 2, "can't read nothing.json"),
        (["My Ink (3).json", "--name", "con"], 2, "Windows keeps this name"),
        (["My Ink (3).json", "--name", "Ink!"], 2, "call it 'ink'"),
        (["picture.json"], 2, "is a picture"),
        (["broken.json"], 1, "is not JSON"),
        (["packs.json"], 1, "ComfyUI-GGUF (https://github.com/city96/ComfyUI-GGUF)"),
    ],
)
def test_what_can_not_be_bound(capsys, tmp_path, words, code, told):
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "broken.json").write_bytes(b"{")
    data = json.loads(ui_file("flux"))
    data["nodes"][0] |= {"type": "UnetLoaderGGUF", "widgets_values": ["flux1-dev-Q4_K_S.gguf"]}
    (tmp_path / "packs.json").write_text(json.dumps(data), encoding="utf-8")
    found, _, err = ran(capsys, *words)
    assert (found, told in err) == (code, True), err
    assert not (tmp_path / "workflows").exists()


def test_a_node_that_only_a_pack_has(capsys, tmp_path):
    """The file of a newer editor names the widgets itself."""
    data = json.loads(ui_file("flux"))
    data["nodes"][0] |= {"type": "UnetLoaderGGUF", "widgets_values": ["flux1-dev-Q4_K_S.gguf", "x"]}
    (tmp_path / "packs.json").write_text(json.dumps(data), encoding="utf-8")
    code, out, _ = ran(capsys, "packs.json")
    assert code == 0
    assert "UnetLoaderGGUF is not among the recorded nodes" in out
    assert "it is of the node pack ComfyUI-GGUF" in out


def test_a_named_comfyui_must_answer(capsys):
    code, _, err = ran(capsys, "My Ink (3).json", "--comfy", "http://127.0.0.1:9", recorded=False)
    assert code == 1
    assert "no ComfyUI answers" in err
