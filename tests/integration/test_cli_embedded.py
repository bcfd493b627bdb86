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


def test_workflows_are_checked_against_a_comfyui(home):
    """`workflows check --comfy`: what that one lacks is named; the rest is right."""
    with home.start("embedded", "--port", "0") as running:
        url = running.line().split()[3]
        done = home.run("workflows", "check", "gradient", "shapes", "--comfy", url)
        assert (done.code, done.err) == (0, "")
        assert done.out == f"ok   gradient\nok   shapes\nchecked against {url}\n"
        done = home.run("workflows", "check", "gradient", "txt2img_turbo", "--comfy", url, "--json")
        assert (done.code, done.err) == (1, "")
        good, bad = json.loads(done.out)
        assert (good["ok"], good["problems"], bad["ok"]) == (True, [], False)
        assert any("CheckpointLoaderSimple" in problem for problem in bad["problems"])
        assert running.stop().code == 0
