"""`texbridge demo` as a process."""

import json

import pytest
from cli_rig import Home, one_line
from PIL import Image

LATENCY = {"osc_to_pixels", "comfy", "bridge"}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_json_and_the_contact_sheet(home):
    done = home.run("demo", "--seconds", "2", "--json", "--out", "shown")
    assert done.code == 0, done.err
    report = json.loads(one_line(done.out))
    assert report["ok"] is True
    assert report["wrong"] == 0
    assert report["worst_difference"] <= 1
    assert 0 < report["frames"] <= report["sent"]
    assert report["fps"] > 0 if report["frames"] > 1 else report["fps"] is None  # one picture has no speed
    assert set(report["latency_ms"]) == LATENCY
    assert all(report["latency_ms"][stage] > 0 for stage in LATENCY)
    assert report["contact_sheet"].endswith("contact_sheet.png")
    with Image.open(home.work / "shown" / "contact_sheet.png") as sheet:
        assert sheet.width == 640
        assert len(sheet.getcolors(sheet.width * sheet.height)) > 100


def test_for_people(home):
    done = home.run("demo", "--seconds", "1")
    assert (done.code, done.err) == (0, "")
    for words in ("frames from", "OSC bundles", ", 256x256 rgba8 bottom_left", "latency", "every frame is what was"):
        assert words in done.out
    assert (home.work / "demo-out" / "contact_sheet.png").stat().st_size > 1000


def test_one_corrupted_byte(home):
    done = home.run("demo", "--seconds", "1", "--json", "--corrupt")
    assert done.code == 1, done.err
    report = json.loads(one_line(done.out))
    assert (report["ok"], report["wrong"]) == (False, 1)
    assert report["first_wrong"]["number"] > 0
    shown = home.run("demo", "--seconds", "1", "--corrupt")
    assert shown.code == 1
    assert "WRONG: 1 of them" in shown.out


def test_a_folder_that_cannot_be(home):
    """Told before the demo runs, not after it."""
    (home.work / "file").write_text("", encoding="utf-8")
    (home.work / "taken" / "contact_sheet.png").mkdir(parents=True)
    for out in ("file", "taken"):
        done = home.run("demo", "--seconds", "600", "--out", out)
        assert (done.code, done.out) == (2, "")
        assert "can't write to" in one_line(done.err)
