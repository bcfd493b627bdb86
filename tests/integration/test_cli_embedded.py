"""`texbridge embedded` as a process."""

import json
import urllib.request

import pytest
from cli_rig import Home, one_line


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_it_runs_says_where_and_ends(home):
    with home.start("embedded", "--port", "0", "--step-delay-ms", "5") as running:
        line = running.line()
        assert line.startswith("embedded ComfyUI at http://127.0.0.1:")
        url = line.split()[3]
        with urllib.request.urlopen(f"{url}/prompt", timeout=30) as answer:
            assert json.loads(answer.read()) == {"exec_info": {"queue_remaining": 0}}
        port = url.rpartition(":")[2]
        second = home.run("embedded", "--port", port)
        assert (second.code, second.out) == (2, "")
        line = one_line(second.err)
        assert f"port {port} is in use by another program" in line
        assert "--port" in line
        done = running.stop()
    assert (done.code, done.out) == (0, "")
    assert "Traceback" not in done.err
