"""`serve --until-input-ends`: the bridge ends with the program that started it."""

import json
import os
import subprocess
import sys

import pytest
from cli_rig import REPOSITORY

DOORS = [word for door in ("osc", "link", "tcp", "http") for word in (f"--{door}", "127.0.0.1:0")]


@pytest.mark.parametrize("said", [b"", b"whatever is said is dropped\n"])
def test_it_ends_in_order_when_its_input_does(tmp_path, said):
    words = [sys.executable, "-m", "bridge", "serve", "--embedded", "--json", "--until-input-ends", *DOORS]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TEXBRIDGE_CONFIG": ""},
    ) as child:
        assert json.loads(child.stdout.readline())["ready"] is True
        _, errors = child.communicate(said, timeout=60)
        assert child.returncode == 0, errors.decode()
