"""The node pack brought into a ComfyUI's folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bridge.app.data import data_folder
from bridge.app.pool.node_install import custom_nodes_of, install_pack, pack_status
from bridge.cli import main
from bridge.errors import BridgeError, ConfigError


@pytest.fixture
def comfy(tmp_path: Path) -> Path:
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    (tmp_path / "ComfyUI" / "main.py").write_text("", encoding="utf-8")
    return tmp_path / "ComfyUI"


def test_the_folder_is_found_from_where_people_point(comfy: Path) -> None:
    for path in (comfy, comfy / "custom_nodes", comfy.parent):
        assert custom_nodes_of(path) == comfy / "custom_nodes"
    for path in (comfy / "main.py", comfy / "nowhere"):
        with pytest.raises(ConfigError, match="is no ComfyUI"):
            custom_nodes_of(path)


def test_installed_then_unchanged(comfy: Path) -> None:
    before, done = install_pack(comfy)
    assert (before.installed, done) == (None, "installed")
    source = data_folder("comfyui_nodes")
    for path in source.rglob("*.py"):
        assert (comfy / "custom_nodes" / "texbridge" / path.name).read_bytes() == path.read_bytes()
    assert install_pack(comfy)[1] == "unchanged"
    assert pack_status(comfy).is_current
    assert [path.name for path in (comfy / "custom_nodes").iterdir()] == ["texbridge"]


def test_an_older_one_is_replaced_whole_and_settings_stay(comfy: Path) -> None:
    install_pack(comfy)
    folder = comfy / "custom_nodes" / "texbridge"
    (folder / "version.py").write_text('VERSION = "0.0.1"\n', encoding="utf-8")
    (folder / "left_over.py").write_text("", encoding="utf-8")
    (folder / "autostart.json").write_text("{}", encoding="utf-8")
    assert not pack_status(comfy).is_current
    before, done = install_pack(comfy)
    assert (before.installed, done) == ("0.0.1", "replaced")
    assert pack_status(comfy).is_current
    assert not (folder / "left_over.py").exists()
    assert (folder / "autostart.json").read_text(encoding="utf-8") == "{}"


def test_one_that_somebody_changed_is_brought_back(comfy: Path) -> None:
    install_pack(comfy)
    (comfy / "custom_nodes" / "texbridge" / "nodes.py").write_text("", encoding="utf-8")
    assert install_pack(comfy)[1] == "replaced"


def test_something_else_of_that_name_is_left_alone(comfy: Path) -> None:
    (comfy / "custom_nodes" / "texbridge").mkdir()
    (comfy / "custom_nodes" / "texbridge" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match="something else"):
        install_pack(comfy)
    assert (comfy / "custom_nodes" / "texbridge" / "mine.txt").exists()


def test_when_it_cannot_be_put_in_place_the_old_one_is_back(comfy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_pack(comfy)
    folder = comfy / "custom_nodes" / "texbridge"
    (folder / "version.py").write_text('VERSION = "0.0.1"\n', encoding="utf-8")
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(source).name == "fresh":
            raise PermissionError(13, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(BridgeError, match="end ComfyUI"):
        install_pack(comfy)
    assert pack_status(comfy).installed == "0.0.1"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_checkout_stays(comfy: Path) -> None:
    (comfy / "custom_nodes" / "texbridge").symlink_to(data_folder("comfyui_nodes"), target_is_directory=True)
    before, done = install_pack(comfy)
    assert (before.linked, done) == (True, "linked")


def test_the_command(comfy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "status", str(comfy), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["installed"] is None
    assert main(["nodes", "install", str(comfy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["before"]) == ("installed", None)
    assert main(["nodes", "status", str(comfy)]) == 0
    assert told["installed"] in capsys.readouterr().out
    assert main(["nodes", "install", str(comfy / "nowhere")]) == 2
    assert "is no ComfyUI" in capsys.readouterr().err
