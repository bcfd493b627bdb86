"""Edited workflow files: taken over, and read again when another program held them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bridge.app.data import data_folder
from bridge.app.watch import Watch, load_library
from bridge.workflow.library import Library
from bridge.workflow.object_info import ObjectInfo

GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
        "_meta": {"title": "@fill:color"},
    },
    "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}, "_meta": {"title": "@out image"}},
}


class Rig:
    """A library with one workflow, and a watch over its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mine"
        self.folder.mkdir()
        self.write("@fill:color")
        self.library = Library(ObjectInfo.from_json((data_folder("workflows") / "object_info.json").read_bytes()))
        load_library(self.library, [folder])
        self.edited: list[str] = []
        self.watch = Watch(self.library, [folder], self.edited.append)

    def write(self, title: str) -> None:
        graph = {**GRAPH, "1": {**GRAPH["1"], "_meta": {"title": title}}}
        (self.folder / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")

    def look(self) -> None:
        self.watch.take_over_changes(self.watch._look())

    @property
    def parameters(self) -> list[str]:
        return [spec.name for spec in self.library.get("mine").spec.parameters]


def test_an_edit_is_taken_over_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.look()
    assert rig.edited == []
    rig.write("@colour:color")
    rig.look()
    rig.look()
    assert rig.edited == ["mine"]
    assert rig.parameters == ["colour"]


def test_a_file_that_another_program_holds_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Windows: the program that saves it has it for itself. The old workflow stays until it lets go."""
    rig = Rig(tmp_path)
    rig.write("@another:color")
    read_bytes = Path.read_bytes

    def held(path: Path) -> bytes:
        raise PermissionError(13, "The process cannot access the file because it is being used by another process")

    monkeypatch.setattr(Path, "read_bytes", held)
    with caplog.at_level(logging.WARNING, "bridge.app.watch"):
        for _ in range(3):
            rig.look()
    assert rig.edited == []
    assert rig.parameters == ["fill"]
    assert len(caplog.records) == 1, "one warning, not one a second"
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    rig.look()
    assert rig.edited == ["mine"]
    assert rig.parameters == ["another"]


def test_a_binding_that_is_held_does_not_make_a_workflow_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    (rig.folder / "binding.toml").write_text('[parameters.fill]\nlabel = "The colour"\n', encoding="utf-8")
    rig.look()
    assert rig.library.get("mine").spec.parameters[0].label == "The colour"
    rig.write("Fill @fill:color")
    read_bytes = Path.read_bytes

    def held(path: Path) -> bytes:
        if path.name == "binding.toml":
            raise PermissionError(13, "held")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", held)
    rig.look()
    assert rig.library.get("mine").spec.parameters[0].label == "The colour"
