"""The examples run as they stand."""

import subprocess
import sys

import numpy as np
from cli_rig import REPOSITORY
from PIL import Image
from serve_rig import clean_environment


def test_a_camera_through_a_workflow(tmp_path):
    """With a bridge and a ComfyUI of its own: what comes back is the camera's picture, painted over."""
    sheet = tmp_path / "sheet.png"
    script = REPOSITORY / "examples" / "camera_img2img.py"
    command = [sys.executable, str(script), "--seconds", "3", "--fps", "30", "--size", "128", "--out", str(sheet)]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"camera", "frames", "latency", "sheet"} <= words.keys()
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] >= 200
    above, below = pixels[8:140, 8:190], pixels[208:390, 8:190]
    assert above.std() > 20
    assert below.std() > 10


def test_a_keyframed_sequence(tmp_path):
    """Complete, in order, and each frame as its keys say."""
    script = REPOSITORY / "examples" / "keyframed_sequence.py"
    command = [sys.executable, str(script), "--frames", "25", "--size", "64", "--out", "frames", "--sheet", "sheet.png"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "25 of 25, in order, 64x64" in done.stdout
    assert "answer   done" in done.stdout
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == [f"{index:04d}.png" for index in range(25)]
    corners = []
    for file in files:
        with Image.open(file) as picture:
            corners.append(np.asarray(picture).astype(int)[0, 0])
    first, middle, last = corners[0], corners[12], corners[24]
    assert abs(first - (0xFF, 0x60, 0x40)).max() <= 24
    assert abs(middle - (0xFF, 0xD0, 0x60)).max() <= 48
    assert last[2] > last[0]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 120, 4 * 120)


def test_colour_depth_and_mask_as_one_set(tmp_path):
    """Every set is whole, and shows one picture three times."""
    script = REPOSITORY / "examples" / "depth_and_colour.py"
    command = [sys.executable, str(script), "--pictures", "12", "--out", "sheet.png"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12, each of image, depth, matte" in done.stdout
    assert "12 of 12 show one and the same picture" in done.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 132, 3 * 132)


def test_zooming_feedback(tmp_path):
    """With a bridge and a ComfyUI of its own: many pictures, each of them of the one before, and blends between."""
    sheet = tmp_path / "sheet.png"
    script = REPOSITORY / "examples" / "feedback_zoom.py"
    command = [sys.executable, str(script), "--seconds", "4", "--size", "96", "--blend-fps", "60", "--out", str(sheet)]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert int(words["pictures"][1]) >= 3
    assert int(words["blends"][1]) >= 1
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape[1] >= 400
    first, second = pixels[8:190, 8:190], pixels[8:190, 208:390]
    assert second.std() > 2  # clouds in it by now
    assert abs(second - first).mean() > 1
