"""`texbridge doctor` as a process: exit codes, what it recognises, the test card through a bridge that runs."""

import asyncio
import json
import re
import socket
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from cli_rig import FREE, Home, one_line
from PIL import Image

from bridge.app.doctor.machine import who_is_there
from bridge.app.pictures.card import SIDE

FREE_PORTS = {f"TEXBRIDGE_{door}_LISTEN": FREE for door in ("OSC", "LINK", "TCP", "HTTP")}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def checks(done):
    told = json.loads(done.out)
    return told, {check["topic"]: check for check in told["checks"]}


def test_all_is_well(home):
    done = home.run("doctor", "--json", **FREE_PORTS)
    assert (done.code, done.err) == (0, "")
    told, lines = checks(done)
    assert told["ok"] is True
    assert {"python", "packages", "decoders", "timer", "localhost", "osc buffer", "configuration"} <= set(lines)
    assert {"osc door", "link door", "tcp door", "http door", "comfyui", "workflows", "round trip"} <= set(lines)
    assert lines["comfyui"]["verdict"] == "warn"  # none is named, and none is looked for here
    assert "--embedded" in lines["comfyui"]["advice"]
    assert "every pixel right" in lines["round trip"]["found"]
    assert "test_card" in lines["workflows"]["found"]
    assert all(check["verdict"] != "bad" for check in lines.values())


def test_the_table_is_for_people(home):
    done = home.run("doctor", COLUMNS="80", **FREE_PORTS)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("ok    python")
    assert all(len(line) <= 80 for line in lines)
    assert re.fullmatch(r"\d+ ok, \d+ warn, 0 bad", lines[-1])
    assert any(line.strip().startswith("-> ") for line in lines)


def test_a_console_of_western_europe(home):
    """cp1252, as a Windows console has it: nothing there can't be printed, or it comes out changed."""
    for words in (("doctor",), ("doctor", "--orientation"), ("doctor", "--help")):
        done = home.run(*words, PYTHONUTF8="0", PYTHONIOENCODING="cp1252", **FREE_PORTS)
        assert (done.code, done.err) == (0, "")
        assert done.out


def test_the_doors_of_a_running_bridge(home):
    with home.serve("--embedded") as running:
        doors = {
            f"TEXBRIDGE_{door.upper()}_LISTEN": address
            for door, address in running.addresses.items()
            if door != "ready"
        }
        done = home.run("doctor", "--json", **doors)
        _, lines = checks(done)
        for door in ("osc", "link", "tcp", "http"):
            assert lines[f"{door} door"]["verdict"] == "ok", lines[f"{door} door"]
            assert "texbridge" in lines[f"{door} door"]["found"]
        assert lines["comfyui"]["found"] == "the embedded one of the running bridge"
        assert done.code == 0, done.out


def test_the_comfyui_of_a_running_bridge(home):
    """Who has said --comfy to `serve` needn't say it again, nor read of an address that nobody named."""
    with home.start("embedded", "--port", "0") as comfy:
        url = comfy.line().split()[3]
        with home.serve("--comfy", url) as running:
            http = {"TEXBRIDGE_HTTP_LISTEN": running.addresses["http"]}
            _, lines = checks(home.run("doctor", "--json", **{**FREE_PORTS, **http}))
            assert (lines["comfyui"]["verdict"], lines["comfyui"]["found"].split(": ")[0]) == ("ok", url)
            assert lines["comfyui output"]["verdict"] == "ok"
            assert url in lines["workflows"]["found"]
            comfy.stop()
            _, lines = checks(home.run("doctor", "--json", **{**FREE_PORTS, **http}))
            assert lines["comfyui"]["verdict"] == "warn"
            assert "the running bridge uses it" in lines["comfyui"]["found"]


def test_a_restart_command_and_what_a_running_bridge_warns_of(home, tmp_path):
    """Nobody is at the named address: the bridge warns, and doctor passes it on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        config = tmp_path / "show.toml"
        config.write_text(
            f'[[backend]]\nurl = "{url}"\nname = "gpu"\n'
            f'restart_command = ["{Path(sys.executable).as_posix()}", "-V"]\n',
            encoding="utf-8",
        )
        with home.serve("--config", str(config)) as running:
            running.wait_for_error("backend gpu: nobody answers at")
            doors = {
                f"TEXBRIDGE_{door.upper()}_LISTEN": at for door, at in running.addresses.items() if door != "ready"
            }
            done = home.run("doctor", "--json", "--config", str(config), **doors)
    _, lines = checks(done)
    assert lines["running bridge"]["verdict"] == "warn"
    assert lines["running bridge"]["found"].startswith("gpu: nobody answers at")
    assert lines["restart command"]["verdict"] == "ok"
    assert "restarts gpu when it is mute, or away for 180 s" in lines["restart command"]["found"]


def test_a_port_that_another_program_has(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = home.run("doctor", "--json", **{**FREE_PORTS, "TEXBRIDGE_TCP_LISTEN": address})
    assert done.code == 1
    _, lines = checks(done)
    assert lines["tcp door"]["verdict"] == "bad"
    assert f"{address} is in use by another program" in lines["tcp door"]["found"]
    assert lines["round trip"]["verdict"] == "ok"


def test_a_comfyui_that_is_there_and_one_that_is_not(home):
    with home.start("embedded", "--port", "0") as comfy:
        url = comfy.line().split()[3]
        done = home.run("doctor", "--json", "--comfy", url, **FREE_PORTS)
        _, lines = checks(done)
        assert lines["comfyui"]["verdict"] == "ok"
        assert url in lines["comfyui"]["found"]
        assert lines["comfyui output"]["verdict"] == "ok"
        assert lines["workflow txt2img_turbo"]["verdict"] == "warn"
        assert done.code == 0
    gone = home.run("doctor", "--json", "--comfy", url, **FREE_PORTS)
    assert gone.code == 1
    assert checks(gone)[1]["comfyui"]["verdict"] == "bad"


def test_a_stream_whose_workflow_lacks_its_nodes(home):
    (home.work / "texbridge.toml").write_text(
        '[streams.sky]\nworkflow = "txt2img_turbo"\n[streams.sea]\nworkflow = "gradent"\n', encoding="utf-8"
    )
    with home.start("embedded", "--port", "0") as comfy:
        url = comfy.line().split()[3]
        done = home.run("doctor", "--json", "--comfy", url, **FREE_PORTS)
    assert done.code == 1
    _, lines = checks(done)
    assert lines["workflow txt2img_turbo"]["verdict"] == "bad"
    assert "CheckpointLoaderSimple" in lines["workflow txt2img_turbo"]["advice"]
    assert lines["workflow gradent"]["verdict"] == "bad"


def test_a_configuration_with_a_mistake_is_one_line_of_the_table(home):
    (home.work / "texbridge.toml").write_text('[osc]\nlisen = "127.0.0.1:1"\n', encoding="utf-8")
    done = home.run("doctor", "--json", **FREE_PORTS)
    assert done.code == 1
    _, lines = checks(done)
    assert lines["configuration"]["verdict"] == "bad"
    assert "did you mean 'listen'?" in lines["configuration"]["found"]
    assert lines["round trip"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--out", "sheet.png"), "--orientation"),
        (("--orientation", "--out", "sheet.jpg"), ".png"),
        (("--orientation", "--out", "no/such/sheet.png"), "can't write"),
        (("--nonsense",), "unrecognized"),
    ],
)
def test_bad_use(home, words, expected):
    done = home.run("doctor", *words)
    assert done.code == 2
    assert expected in done.err
    assert "Traceback" not in done.err


# --- orientation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_the_card_in_every_format_and_origin(home, running):
    def ask(tcp):
        done = home.run("doctor", "--orientation", "--json", "--out", "sheet.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert (done.code, done.err) == (0, ""), done.out
        return checks(done)

    if running:
        with home.serve("--embedded") as bridge:
            tcp = bridge.addresses["tcp"]
            told, lines = ask(tcp)
            assert f"the bridge at {tcp}" in lines["orientation"]["found"]
            assert bridge.stop().code == 0
    else:
        told, lines = ask(FREE)
        assert "a bridge of its own, on the embedded ComfyUI" in lines["orientation"]["found"]
    assert told["sheet"] == "sheet.png"
    for form in ("rgba8", "bgra8", "rgb8", "r8", "r16", "jpeg", "png"):
        assert "the top row first" in lines[f"{form} top_left"]["found"]
        rows = "the top row first, as in every file" if form in ("jpeg", "png") else "the bottom row first"
        assert rows in lines[f"{form} bottom_left"]["found"]
    for form in ("rgba8", "bgra8", "rgb8", "png"):
        assert "every level exact" in lines[f"{form} top_left"]["found"]
    with Image.open(home.work / "sheet.png") as sheet:
        assert np.asarray(sheet).shape[1] > 3 * SIDE


def test_a_card_that_comes_as_jpeg_is_looked_at_as_a_whole(home):
    """Through a tunnel pictures come as JPEG: no fault of anybody, and upside down is seen all the same."""
    with home.start("embedded", "--port", "0") as comfy:
        url = re.search(r"http://[0-9.:]+", comfy.line())[0]
        (home.work / "texbridge.toml").write_text(f'[[backend]]\nurl = "{url}"\ntransfer = "jpeg"\n', encoding="utf-8")
        done = home.run("doctor", "--orientation", "--json", "--out", "sheet.png")
    assert (done.code, done.err) == (0, ""), done.out
    _, lines = checks(done)
    assert "as jpeg" in lines["transfer"]["found"]
    assert "on average within" in lines["rgba8 bottom_left"]["found"]


def test_what_engines_subscribe_to_is_told(home):
    done = home.run("doctor", "--orientation")
    assert done.code == 0, done.err
    for engine in ("Unity", "Unreal", "Godot", "TouchDesigner", "WebGL2"):
        assert re.search(rf"  {engine} +format=\w+8, origin=\w+", done.out)
    assert "test_card_sheet.png" in done.out
    assert (home.work / "test_card_sheet.png").is_file()


def test_a_token_that_is_refused_is_said(home):
    with home.serve("--embedded", TEXBRIDGE_LINK_TOKEN="a token of some length") as running:
        tcp = running.addresses["tcp"]
        done = home.run("doctor", "--orientation", TEXBRIDGE_TCP_LISTEN=tcp)
        assert done.code == 1
        assert "token" in one_line(done.err)


def test_a_bridge_that_wants_a_token_is_known_however_often_it_is_asked(home):
    """Doctor may be run by a supervisor, each minute: its looks are no wrong tokens, after which engines wait."""
    with home.serve("--embedded", TEXBRIDGE_LINK_TOKEN="a token of some length") as running:
        host, port = running.addresses["tcp"].split(":")
        for _ in range(12):
            assert asyncio.run(who_is_there("tcp", host, int(port))) == "texbridge"
        with urllib.request.urlopen(f"http://{running.addresses['http']}/healthz") as answer:
            doors = json.load(answer)["doors"]
        assert not {"closed_bad_token", "hello_delayed"} & set(doors["tcp"])


def test_a_sheet_that_can_not_be_written_is_one_line(home):
    """A viewer that holds the file open keeps Windows from writing it; a folder of that name does so everywhere."""
    (home.work / "sheet.png").mkdir()
    done = home.run("doctor", "--orientation", "--out", "sheet.png")
    assert done.code == 2
    assert "can't write sheet.png" in one_line(done.err)


# --- names -----------------------------------------------------------------------------------------------------


def test_a_user_whose_name_has_spaces_and_other_letters(tmp_path):
    """C:\\Users\\Jörg Müller 山田: configuration, workflows and pictures in such a home."""
    folder = tmp_path / "Jörg Müller 山田"
    folder.mkdir()
    home = Home(folder)
    show = home.work / "meine Show é"
    assert home.run("init", show).code == 0
    config = show / "texbridge.toml"
    home.user_config.parent.mkdir(parents=True)
    home.user_config.write_bytes(config.read_bytes().replace(b"# folders = []", b'folders = ["C o\xc3\xb6"]'))
    (home.user_config.parent / "C oö").mkdir()
    done = home.run("doctor", "--json", folder=show, **FREE_PORTS)
    assert (done.code, done.err) == (0, "")
    assert checks(done)[1]["configuration"]["found"] == str(config)
    by_name = home.run("doctor", "--json", **FREE_PORTS)
    assert checks(by_name)[1]["configuration"]["found"] == str(home.user_config)
    out = show / "ein Bild é 絵.png"
    made = home.run("run", "gradient", "--size", "64x64", "-o", out, folder=show)
    assert made.code == 0, made.err
    assert out.is_file()
    demo = home.run("demo", "--seconds", "0.5", "--out", show / "Demo 出力", "--json")
    assert demo.code == 0, demo.err
