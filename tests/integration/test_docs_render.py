"""docs/render.md: its commands typed, one after the other, and its words held to the program's."""

import json
import re
import shlex

import pytest
from cli_rig import REPOSITORY, Home

from bridge.render.manifest_keeper import ManifestKeeper
from bridge.render.plates import _SUFFIXES
from bridge.render.progress import EVERY_S
from bridge.render.video import CODECS
from bridge.streams.easings import EASINGS

PAGE = (REPOSITORY / "docs" / "render.md").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)]


def typed(home, lines):
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["texbridge", "render"]
        done = home.run(*words[1:])
        assert done.code == 0, (line, done.err)


def test_the_first_commands(tmp_path):
    home = Home(tmp_path)
    typed(home, BLOCKS[0])
    assert len(list((home.work / "out").glob("*.png"))) == 24
    assert len(list((home.work / "seeds").glob("*.jpg"))) == 8
    assert not (home.work / "two" / "1.png").exists()


def test_a_farm(tmp_path):
    home = Home(tmp_path)
    assert len(BLOCKS) == 2
    typed(home, BLOCKS[1])
    assert len(list((home.work / "farm").glob("*.png"))) == 12
    told = json.loads((home.work / "farm" / "manifest.json").read_text(encoding="utf-8"))
    assert len(told["done"]) == 12
    assert {f"`{key}`" for key in told} <= set(re.findall(r"`\w+`", PAGE.split("## manifest.json")[1]))


def test_words_are_the_programs():
    for easing in EASINGS:
        assert f"`{easing}`" in PAGE
    for suffix in _SUFFIXES - {".jpeg", ".tiff"}:
        assert f"`{suffix}`" in PAGE
    assert set(CODECS) == {"h264", "prores"}
    assert (ManifestKeeper.EVERY_S, EVERY_S) == (1.0, 5.0)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)", PAGE))
def test_links(target):
    assert (REPOSITORY / "docs" / target).exists()
