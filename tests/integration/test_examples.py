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
