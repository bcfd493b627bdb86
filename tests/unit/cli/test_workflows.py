"""`texbridge workflows` in this process."""

import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

from bridge.app.data import data_folder
from bridge.cli import main

UI_EXPORT = {
    "last_node_id": 1,
    "last_link_id": 0,
    "nodes": [{"id": 1, "type": "KSampler", "inputs": [], "widgets_values": []}],
    "links": [],
    "version": 0.4,
}


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("TEXBRIDGE_CONFIG", raising=False)


def ran(capsys, *words):
    code = main(["workflows", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_list(capsys):
    code, out, err = ran(capsys, "list")
    assert (code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == sorted(names)
    assert {"gradient", "shapes", "txt2img_turbo", "txt2img_lcm", "img2img_turbo", "depth_controlnet"} <= set(names)
    code, out, err = ran(capsys, "list", "--json")
    assert (code, err) == (0, "")
    assert [row["name"] for row in json.loads(out)] == names
    assert all(row["error"] is None for row in json.loads(out))


def test_list_names_the_broken_one_too(capsys, tmp_path):
    folder = tmp_path / "workflows" / "broken"
    folder.mkdir(parents=True)
    (folder / "workflow_api.json").write_text(json.dumps(UI_EXPORT), encoding="utf-8")
    code, out, err = ran(capsys, "list", "--workflows", "workflows")
    assert (code, err) == (1, "")
    assert "broken" in out
    assert "NOT USED" in out
    code, out, _ = ran(capsys, "list", "--workflows", "workflows", "--json")
    assert code == 1
    assert {row["name"]: row["error"] for row in json.loads(out)}["broken"]


@pytest.mark.parametrize("name", ["gradient", "shapes", "txt2img_turbo", "img2img_turbo", "depth_controlnet"])
def test_show(capsys, name):
    code, out, err = ran(capsys, "show", name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: ")
    code, text, err = ran(capsys, "show", name, "--json")
    assert (code, err) == (0, "")
    told = json.loads(text)
    assert told["workflow"] == name
    for parameter in told["parameters"]:
        assert f"\n  {parameter['name']} " in out


def test_check_all(capsys):
    code, out, err = ran(capsys, "check")
    assert (code, err) == (0, "")
    assert "BAD" not in out
    assert "--comfy" in out
    code, out, err = ran(capsys, "check", "--json")
    assert (code, err) == (0, "")
    assert all(row["ok"] for row in json.loads(out))


def test_check_a_file_a_folder_and_a_name(capsys, tmp_path):
    shutil.copytree(data_folder("workflows") / "shapes", tmp_path / "My Shapes")
    code, out, _ = ran(capsys, "check", "My Shapes", "My Shapes/workflow_api.json", "gradient")
    assert code == 0
    assert out.count("ok ") == 3


def test_check_uses_the_folders_of_the_configuration_and_says_which(capsys, tmp_path):
    shutil.copytree(data_folder("workflows") / "shapes", tmp_path / "mine" / "squares")
    config = tmp_path / "texbridge.toml"
    config.write_text('[workflows]\nfolders = ["mine"]\n', encoding="utf-8")
    code, out, err = ran(capsys, "check", "squares")
    assert (code, err) == (0, f"configuration: {config}\n")
    assert "ok   squares" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps(UI_EXPORT), "Workflow > Export (API)"),
        ("[]", "Workflow > Export (API)"),
        ("{", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_check_a_file_that_is_no_api_export(capsys, tmp_path, content, words):
    path = tmp_path / "export.json"
    path.write_text(content, encoding="utf-8")
    code, out, err = ran(capsys, "check", "export.json")
    assert (code, err) == (1, "")
    assert "BAD  export.json" in out
    assert words in out
    code, out, err = ran(capsys, "check", "export.json", "--json")
    assert (code, err) == (1, "")
    row = json.loads(out)[0]
    assert row["ok"] is False
    assert words in row["problems"][0]


def test_check_finds_a_node_that_no_comfyui_has(capsys, tmp_path):
    graph = json.loads((data_folder("workflows") / "shapes" / "workflow_api.json").read_text(encoding="utf-8"))
    next(iter(graph.values()))["class_type"] = "EmptyImagee"
    path = tmp_path / "w.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    code, out, _ = ran(capsys, "check", "w.json")
    assert code == 1
    assert "EmptyImagee" in out


# --- what looks like a workflow ------------------------------------------------------------------------------


def test_list_names_what_is_not_a_workflow_yet(capsys, tmp_path):
    api = (data_folder("workflows") / "gradient" / "workflow_api.json").read_text(encoding="utf-8")
    folder = tmp_path / "mine"
    for name in ("good", "renamed", "saved", "notes", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "good" / "workflow_api.json").write_text(api, encoding="utf-8")
    (folder / "good" / "as_saved.json").write_text(json.dumps(UI_EXPORT), encoding="utf-8")
    (folder / "renamed" / "my sky_api.json").write_text(api, encoding="utf-8")
    (folder / "saved" / "sky.JSON").write_text(json.dumps(UI_EXPORT), encoding="utf-8")
    (folder / "notes" / "package.json").write_text('{"name": "notes"}', encoding="utf-8")
    (folder / "loose.json").write_text(api, encoding="utf-8")
    (folder / "broken.json").write_bytes(b"\xff{")
    code, out, err = ran(capsys, "list", "--workflows", "mine")
    assert (code, err) == (0, "")
    told = {line.split()[0]: line for line in out.splitlines() if "NOT YET" in line}
    assert set(told) == {"renamed", "saved", "loose"}
    assert f"{Path('mine/renamed/my sky_api.json')} looks like a workflow: rename it to" in told["renamed"]
    assert "`texbridge workflows bind" in told["saved"]
    assert "`texbridge workflows bind" in told["loose"]
    code, out, _ = ran(capsys, "list", "--workflows", "mine/good")
    assert code == 0
    assert f"is a workflow itself: name the folder above it, {folder}" in out
    code, out, _ = ran(capsys, "list", "--workflows", "mine", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert "rename it" in rows["renamed"]["hint"]
    assert "hint" not in rows["good"]


# --- which ComfyUI is asked ----------------------------------------------------------------------------------

TOKEN = "Bearer abc"


class Comfy(http.server.BaseHTTPRequestHandler):
    """A ComfyUI behind a login, as far as `object_info` goes."""

    data = (data_folder("workflows") / "object_info.json").read_bytes()

    def do_GET(self):
        allowed = self.headers.get("Authorization") == TOKEN and self.path == "/object_info"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(self.data if allowed else b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def comfy():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Comfy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def configured(tmp_path, *backends):
    lines = [f'[[backend]]\nurl = "{url}"\nheaders = {{Authorization = "{token}"}}\n' for url, token in backends]
    (tmp_path / "texbridge.toml").write_text("".join(lines), encoding="utf-8")


def test_check_asks_the_configured_comfyui(capsys, tmp_path, comfy):
    configured(tmp_path, (comfy, TOKEN))
    code, out, err = ran(capsys, "check", "gradient")
    assert (code, out.splitlines()) == (0, ["ok   gradient", f"checked against {comfy}"])
    assert err.startswith("configuration:")
    code, out, _ = ran(capsys, "check", "gradient", "--recorded")
    assert code == 0
    assert "the recorded object_info" in out
    # A model is there or not: recorded answers can't tell.
    code, out, _ = ran(capsys, "check", "txt2img_turbo")
    assert code == 1
    assert "models/checkpoints" in out


def test_check_goes_on_where_a_configured_one_does_not_answer(capsys, tmp_path, comfy):
    configured(tmp_path, ("http://127.0.0.1:9", "x"), (comfy, TOKEN))
    code, out, err = ran(capsys, "check", "gradient")
    assert (code, out.splitlines()[-1]) == (0, f"checked against {comfy}")
    assert "not checked against http://127.0.0.1:9: no ComfyUI answers" in err
    configured(tmp_path, (comfy, "wrong"))
    code, out, err = ran(capsys, "check", "gradient")
    assert code == 0
    assert "the recorded object_info" in out
    assert f"not checked against {comfy}" in err


def test_check_tells_two_comfyuis_apart(capsys, tmp_path, comfy):
    configured(tmp_path, (comfy, TOKEN), (comfy.replace("127.0.0.1", "localhost"), TOKEN))
    code, out, _ = ran(capsys, "check", "txt2img_turbo")
    assert code == 1
    assert f"{comfy}: " in out
    assert out.splitlines()[-1] == f"checked against {comfy} and {comfy.replace('127.0.0.1', 'localhost')}"


@pytest.mark.parametrize("verb", [["check", "gradient"], ["bind", "FILE", "--name", "sky"]])
def test_headers_for_a_named_comfyui(capsys, tmp_path, monkeypatch, comfy, verb):
    file = tmp_path / "sky.json"
    file.write_bytes((data_folder("workflows") / "gradient" / "workflow_api.json").read_bytes())
    words = [str(file) if word == "FILE" else word for word in verb]
    code, _, err = ran(capsys, *words, "--comfy", comfy)
    assert code == 1
    assert "401" in err
    code, out, _ = ran(capsys, *words, "--comfy", comfy, "--comfy-header", f"Authorization: {TOKEN}")
    assert code == 0
    assert comfy in out
    monkeypatch.setenv("COMFY_KEY", TOKEN)
    (tmp_path / "headers.txt").write_text("Authorization: env:COMFY_KEY\n", encoding="utf-8")
    assert ran(capsys, *words, "--comfy", comfy, "--comfy-header-file", "headers.txt")[0] == 0
    code, _, err = ran(capsys, *words, "--comfy-header", f"Authorization: {TOKEN}")
    assert code == 2
    assert "go with --comfy URL" in err


def test_bind_asks_the_configured_comfyui_with_its_headers(capsys, tmp_path, comfy):
    configured(tmp_path, (comfy, TOKEN))
    file = tmp_path / "sky.json"
    file.write_bytes((data_folder("workflows") / "gradient" / "workflow_api.json").read_bytes())
    code, out, _ = ran(capsys, "bind", str(file))
    assert code == 0
    assert f"nodes by {comfy}" in out
