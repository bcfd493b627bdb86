"""docs/multi-gpu.md: its commands typed, its configuration loaded, its scripts read."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from cli_rig import FREE_DOORS, REPOSITORY, Home

from bridge.app.config.config import load_config
from bridge.cli.backend_lines import COLUMNS

PAGE = (REPOSITORY / "docs" / "multi-gpu.md").read_text(encoding="utf-8")
COMFYUI_OPTIONS = {
    # Of ComfyUI v0.3.64, comfy/cli_args.py.
    "--port",
    "--cuda-device",
    "--base-directory",
    "--extra-model-paths-config",
    "--input-directory",
    "--output-directory",
    "--temp-directory",
    "--user-directory",
    "--database-url",
    "--disable-auto-launch",
    "--windows-standalone-build",
    "--cpu",
}


SIX = """
import asyncio, contextlib, sys
from bridge.embedded import EmbeddedServer

async def serve():
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(EmbeddedServer()) for _ in range(6)]
        print(*(server.port for server in servers), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(serve())
"""


def fenced(language):
    """The contents of every fenced block of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


TYPED = [line.partition(" #")[0].strip() for block in fenced("sh") for line in block.splitlines() if line.strip()]
SERVE = [line for line in TYPED if line.startswith("texbridge serve ")]
BACKENDS = [line for line in TYPED if line.startswith("texbridge backends ")]


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def ports(home):
    """Of six ComfyUIs, in the place of 8188 to 8191, 8192 and 8193."""
    with subprocess.Popen(
        [sys.executable, "-c", SIX], env=home.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as comfies:
        yield comfies.stdout.readline().split()
        comfies.stdin.close()


def with_ports(text, ports):
    """Text of the page for ComfyUIs at these ports."""
    text = text.replace("8188-8191", ",".join(ports[:4])).replace("8192-8193", ",".join(ports[4:]))
    text = text.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{ports[4]}")
    return re.sub(r"\b81(?:8[89]|9[0-3])\b", lambda port: ports[int(port[0]) - 8188], text)


def test_every_command_is_tried():
    assert [line for line in TYPED if line in SERVE + BACKENDS] == TYPED
    assert {line.split()[2] for line in BACKENDS} == {"list", "add", "drain", "undrain", "refresh", "remove"}


@pytest.mark.parametrize("line", SERVE)
def test_serve(home, ports, line):
    words = shlex.split(with_ports(line, ports))[1:]
    with home.start(*words, *FREE_DOORS) as running:
        lines = []
        while "Ctrl+C" not in (told := running.line()):
            assert told, running.errors
            lines.append(told)
        assert sum(f":{port}" in "".join(lines) for port in ports) == (4 if ",http" not in line else 5)
        assert running.stop().code == 0


def test_the_configuration_and_the_other_commands_one_after_the_other(home, ports):
    (toml,) = fenced("toml")
    (home.work / "texbridge.toml").write_text(with_ports(toml, ports), encoding="utf-8")
    with home.serve() as running:
        where = ("--http", running.addresses["http"])

        def listed():
            return {one["name"]: one for one in json.loads(home.run("backends", "list", "--json", *where).out)}

        while {one["state"] for one in listed().values()} != {"up"}:
            assert running.process.poll() is None
        assert list(listed()) == [f"gpu-{port}" for port in ports[:4]]
        for line in BACKENDS:
            done = home.run(*shlex.split(with_ports(line, ports))[1:], *where)
            assert done.code == 0, (line, done)
            if "drain" in line:
                drained = [name for name, one in listed().items() if one["drained"]]
                assert drained == ([] if "undrain" in line else [f"gpu-{ports[1]}"])
        assert list(listed()) == [*(f"gpu-{port}" for port in ports[:4]), f"spare-{ports[5]}"]


def test_the_configuration_as_it_stands(tmp_path):
    (toml,) = fenced("toml")
    file = tmp_path / "texbridge.toml"
    file.write_text(toml, encoding="utf-8")
    backends = load_config(file, {}).backend
    assert [one.name for one in backends] == ["gpu-8188", "gpu-8189", "gpu-8190", "gpu-8191"]
    assert backends[3].url == "http://127.0.0.1:8191"
    assert backends[3].restart_command[-1] == "comfyui@{port}"


def test_the_scripts_know_comfyuis_options():
    found = [set(re.findall(r"--[a-z][a-z-]+", "\n".join(fenced(kind)))) for kind in ("bat", "powershell", "ini")]
    found.append(set(re.findall(r"--[a-z][a-z-]+", fenced("bash")[0])))
    needed = {"--port", "--cuda-device", "--temp-directory", "--user-directory", "--database-url", "--input-directory"}
    for options in found:
        assert needed <= options <= COMFYUI_OPTIONS


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_shell_scripts_can_be_read():
    for script in fenced("bash"):
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_the_unit_can_be_read():
    (unit,) = fenced("ini")
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(unit.replace("\\\n", " "))
    assert parser["Service"]["ExecStart"].count("'") == 2
    assert "$$((%i - 8188))" in parser["Service"]["ExecStart"]


def test_the_table_is_as_it_is_printed():
    (head,) = [line for line in PAGE.splitlines() if line.split()[:2] == ["name", "state"]]
    assert head.split() == list(COLUMNS)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (REPOSITORY / "docs" / target).exists(), target
