"""What README.md and CONTRIBUTING.md tell people to type, typed."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from cli_rig import DOORS, FREE, FREE_DOORS, LIMIT_S, REPOSITORY, Home
from ui_files import ui_file

from bridge.app.config.config import Config
from bridge.client import BlockingClient

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def fenced(text, language):
    """The contents of every fenced block of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(text):
    """Every command of the shell blocks, without its comment."""
    lines = [line for block in fenced(text, "sh") for line in block.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def typed(word):
    """A word of a command line as OSC has it."""
    try:
        return float(word)
    except ValueError:
        return word


def dev_commands():
    spec = importlib.util.spec_from_file_location("dev_of_readme", REPOSITORY / "dev.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.COMMANDS


TYPED = commands(README)

ELSEWHERE = {
    # These need the network, or would run these very tests again.
    "make demo": "makes a .venv from the network; CI runs `make check`, which makes one the same way",
    "make check": "is what runs these tests",
    "pip install .": "needs the network; test_wheel.py builds, installs and uses the wheel",
}
FREE_LISTENS = {f"TEXBRIDGE_{door.upper()}_LISTEN": FREE for door in DOORS}
ANOTHER_HOST = "http://192.168.1.20:8188"


@pytest.fixture
def home(tmp_path):
    """An empty folder but for the file that a person has saved in ComfyUI."""
    made = Home(tmp_path)
    (made.work / "my_sky.json").write_bytes(ui_file("sd15_txt2img"))
    return made


def test_the_first_screen_has_the_two_commands_and_the_windows_way():
    screen = "\n".join(README.splitlines()[:30])
    for words in (
        "make demo",
        "make check",
        "uvx --from . texbridge demo",
        "python dev.py demo",
        "python dev.py check",
    ):
        assert words in screen


@pytest.mark.parametrize("line", sorted(ELSEWHERE))
def test_commands_that_are_tried_elsewhere(line):
    """They are in the README, and `make` hands its word to a command that dev.py has."""
    assert line in TYPED
    words = line.split()
    if words[0] == "make":
        assert words[1] in dev_commands()
        if shutil.which("make"):
            outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARGS", "PYTHON")  # `make check` may be running this
            environment = {name: value for name, value in os.environ.items() if name not in outer}
            shown = subprocess.run(
                ["make", "-n", words[1]],
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                check=True,
            )
            assert shown.stdout.split() == ["python3", "dev.py", words[1]]


def test_every_other_command_is_ours():
    others = [line for line in TYPED if line not in ELSEWHERE]
    assert others
    for line in others:
        assert line.startswith("texbridge ")


SERVE = [line for line in TYPED if line.startswith("texbridge serve")]


@pytest.mark.parametrize("line", SERVE)
def test_serve(home, line):
    """On free ports instead of the usual ones; another host's ComfyUI is replaced by one that is nowhere."""
    words = [word.replace(ANOTHER_HOST, "http://127.0.0.1:1") for word in shlex.split(line)[1:]]
    if "my_sky" in line:  # the command before makes it
        (bind,) = [line for line in TYPED if line.startswith("texbridge workflows bind")]
        assert home.run(*shlex.split(bind)[1:]).code == 0
    with home.start(*words, *FREE_DOORS) as running:
        lines = []
        while "Ctrl+C" not in (told := running.line()):
            assert told, running.errors
            lines.append(told)
        assert "texbridge is ready\n" in lines
        assert running.stop().code == 0


SWITCHED = {
    "panic": lambda told: told.state == "paused",
    "resume": lambda told: told.state != "paused",
    "live": lambda told: told.mode == "live",
}


def test_send_moves_the_picture_and_the_page_is_there(home):
    """Every `texbridge send` of the README, to a bridge on free ports; the configuration says where it listens."""
    lines = [line for line in TYPED if line.startswith("texbridge send")]
    assert lines
    with home.serve("--embedded") as running, BlockingClient(running.addresses["tcp"]) as client:
        for line in lines:
            words = shlex.split(line)[1:]
            osc = running.addresses["osc"]
            assert home.run(*words, TEXBRIDGE_OSC_LISTEN=osc) == (0, "", "")
            name, arguments = words[1].rpartition("/")[2], [typed(word) for word in words[2:]]
            if name in ("run", "blackout"):
                continue
            if name == "norm":
                name = words[1].split("/")[-2]
                (spec,) = (one for one in client.describe("main").parameters if one.name == name)
                arguments = [spec.min + arguments[0] * (spec.max - spec.min)]
            end = time.monotonic() + LIMIT_S
            if name == "size":  # about one megapixel of that shape: which one is the bridge's to say
                while (size := client.describe("main").size) == (512, 512):
                    assert time.monotonic() < end, f"size is {size} after {line}"
                assert size[0] / size[1] == pytest.approx(16 / 9, rel=0.01)
                continue
            if name in ("panic", "resume", "live"):
                while not SWITCHED[name](client.describe("main")):
                    assert time.monotonic() < end, f"nothing came of {line}"
                continue
            value = None
            wanted = arguments if len(arguments) > 1 else arguments[0]
            while value != (wanted if isinstance(wanted, str) else pytest.approx(wanted)):
                assert time.monotonic() < end, f"{name} is {value} after {line}"
                values = {parameter.name: parameter.value for parameter in client.describe("main").parameters}
                value = values[name][: len(arguments)] if len(arguments) > 1 else values[name]
        with urllib.request.urlopen(f"http://{running.addresses['http']}/", timeout=LIMIT_S) as page:
            assert b"/streams/main" in page.read()


def test_the_other_commands_one_after_the_other(home):
    """init, workflows, run and render, in one folder, as a person would."""
    names = ("init", "workflows", "run", "render", "doctor")
    lines = [line for line in TYPED if line.startswith(tuple(f"texbridge {name}" for name in names))]
    assert {line.split()[1] for line in lines} == set(names)
    for line in lines:
        done = home.run(*shlex.split(line)[1:], **FREE_LISTENS)
        assert done.code == 0, f"{line}\n{done.out}\n{done.err}"
        assert done.out
    assert (home.work / "my_show" / "texbridge.toml").is_file()
    assert (home.work / "out.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((home.work / "shot").glob("10*.png"))) == 24


def test_the_ten_lines_of_python(home):
    """As they stand, but for the address."""
    code = fenced(README, "python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert '"127.0.0.1:9402"' in code
    with home.serve("--embedded") as running:
        done = subprocess.run(
            [sys.executable, "-c", code.replace("127.0.0.1:9402", running.addresses["tcp"])],
            cwd=home.work,
            env=home.environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[1-9]\d* \(512, 512, 4\)\n", done.stdout)


def test_the_line_with_an_array(home):
    (line,) = fenced(README, "python")[1:]
    with (
        home.serve("--embedded", "--stream", "camera=camera_blend:oneshot") as running,
        BlockingClient(running.addresses["tcp"]) as client,
    ):
        exec(line.strip(), {"client": client, "numpy": np})
        frames = client.subscribe("camera", format="rgb8")
        client.run("camera", {"amount": 0.0, "noise": 0.0})
        frame = frames.next(timeout_s=LIMIT_S)
        while frame.held:
            frame = frames.next(timeout_s=LIMIT_S)
        assert frame.pixels.shape == (512, 512, 3)
        assert not frame.pixels.any()


def test_the_doors_of_the_table_are_the_defaults():
    config = Config()
    listens = {door: getattr(config, door).listen for door in DOORS}
    for row, expected in (
        ("OSC over UDP", listens["osc"]),
        ("engine link over WebSocket", f"ws://{listens['link']}/link"),
        ("engine link over TCP", listens["tcp"]),
        ("HTTP", f"http://{listens['http']}/"),
    ):
        cells = [cell.strip() for cell in re.search(rf"^\| {row} \|(.*)\|$", README, re.M)[1].split("|")]
        assert cells[0] == expected


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(name):
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith(("http://", "https://")):
            assert (REPOSITORY / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README.md", "CONTRIBUTING.md"])
def test_commands_in_sentences(text):
    """`python dev.py ...` names a command that there is and tests that there are; other scripts say what they do."""
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).replace("\n", " ")
    found = re.findall(r"`(?:[A-Z_]+=\S+ )?python ([^`]+)`", sentences)
    assert found
    for line in found:
        words = line.split()
        if words[0] == "dev.py":
            assert words[1] in dev_commands()
            for word in words[2:]:
                assert not word.startswith("tests/") or (REPOSITORY / word).exists()
        elif words[0] != "-m":
            assert words[1:] in ([], ["--help"])
            done = subprocess.run(
                [sys.executable, words[0], "--help"],
                cwd=REPOSITORY,
                capture_output=True,
                encoding="utf-8",
                timeout=LIMIT_S,
                check=True,
            )
            assert "usage" in done.stdout
