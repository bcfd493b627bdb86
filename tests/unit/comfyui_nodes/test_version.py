"""The pack says one version everywhere, the one of texbridge."""

from __future__ import annotations

import tomllib

from node_pack import PACK, load

import bridge


def test_one_version() -> None:
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    assert load("version").VERSION == project["project"]["version"] == bridge.__version__
    assert project["project"]["dependencies"] == []
    assert "comfy" in project["tool"]
