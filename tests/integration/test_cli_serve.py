"""`texbridge serve` as a process: what it prints, which configuration applies, and how it ends."""

import json
import signal
import socket
import sys
import urllib.request

import pytest
from cli_rig import DOORS, FREE_DOORS, Home, one_line
from ports import ReservedPort

from bridge.client import BlockingClient


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def get(http, path):
    with urllib.request.urlopen(f"http://{http}{path}", timeout=60) as answer:
        return answer.read()


@pytest.fixture
def closed_port():
    with ReservedPort() as port:
        yield port


def write_config(path, stream):
    """A configuration whose only stream has this name, so that one sees which file was read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[streams.{stream}]\nworkflow = "gradient"\nmode = "oneshot"\n', encoding="utf-8")


# --- ready, and the end ----------------------------------------------------------------------------------------


def test_json_is_one_line_with_the_doors(home):
    with home.start("serve", "--embedded", "--json", *FREE_DOORS) as running:
        line = running.line()
        told = json.loads(line)
        assert list(told) == ["ready", *DOORS]
        assert told["ready"] is True
        for door in DOORS:
            host, _, port = told[door].rpartition(":")
            assert host == "127.0.0.1"
            assert 0 < int(port) < 65536
        assert len({told[door] for door in DOORS}) == len(DOORS)
        assert json.loads(get(told["http"], "/healthz"))["status"] == "ok"
        with BlockingClient(told["tcp"]) as tcp, BlockingClient(f"ws://{told['link']}/link") as link:
            assert tcp.welcome.boot == link.welcome.boot
        done = running.stop()
    assert done.code == 0, done.err
    assert done.out == ""
    assert "Traceback" not in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program can catch")
def test_sigterm_ends_it_with_zero_and_leaves_nothing_open(home):
    """With a client connected and a stream at work; development mode would tell of what stays open."""
    with (
        home.serve("--embedded", PYTHONDEVMODE="1") as running,
        BlockingClient(running.addresses["tcp"], reconnect=False) as client,
    ):
        client.subscribe("main").next(timeout_s=30)
        done = running.stop(signal.SIGTERM)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert "Warning" not in done.err


def test_a_signal_while_it_waits_for_comfy(home, closed_port):
    """--wait-comfy waits for one that isn't there; Ctrl+C doesn't wait with it."""
    url = f"http://127.0.0.1:{closed_port}"
    with home.start("serve", "--comfy", url, "--wait-comfy", "600", *FREE_DOORS) as running:
        running.wait_for_error("nobody answers")
        done = running.stop()
    assert (done.code, done.out) == (0, "")
    assert "Traceback" not in done.err


def test_the_block_for_people(home):
    with home.start("serve", "--embedded", *FREE_DOORS, "--stream", "sky=shapes:latest") as running:
        lines = []
        while "Ctrl+C" not in (line := running.line()):
            assert line, running.errors
            lines.append(line)
        block = "".join(lines)
        done = running.stop()
    assert done.code == 0
    for words in (
        "configuration  the defaults (no file)",
        "(embedded)",
        "udp://127.0.0.1:",
        "texbridge send --to 127.0.0.1:",
        "/link",
        "tcp://127.0.0.1:",
        "http://127.0.0.1:",
        "main = gradient (live)",
        "sky = shapes (latest)",
    ):
        assert words in block


def test_a_door_that_is_off(home):
    with home.serve("--embedded", "--osc", "", "--link", "") as running:
        assert running.addresses["osc"] is None
        assert running.addresses["link"] is None
        assert running.addresses["tcp"]
        assert running.stop().code == 0


@pytest.mark.parametrize("door", DOORS)
def test_a_port_in_use(home, door):
    kind = socket.SOCK_DGRAM if door == "osc" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        done = home.run("serve", "--embedded", *FREE_DOORS, f"--{door}", f"127.0.0.1:{port}")
    assert done.code == 2
    assert done.out == ""
    line = one_line(done.err)
    assert f"127.0.0.1:{port} is in use" in line
    assert f"--{door} HOST:PORT" in line


@pytest.mark.parametrize("door", ["link", "tcp", "http"])
def test_a_port_that_another_texbridge_has(home, door):
    with home.start("serve", "--embedded", "--json", *FREE_DOORS) as running:
        address = json.loads(running.line())[door]
        address = address.removeprefix("ws://").removeprefix("http://").partition("/")[0]
        done = home.run("serve", "--embedded", *FREE_DOORS, f"--{door}", address)
    assert done.code == 2
    line = one_line(done.err)
    assert f"{address} is in use" in line
    assert "it is texbridge" in line


# --- ComfyUI ---------------------------------------------------------------------------------------------------


def test_no_comfy_where_one_is_required(home, closed_port):
    place = f"http://127.0.0.1:{closed_port}"
    done = home.run("serve", "--require-comfy", *FREE_DOORS, TEXBRIDGE_SEARCH_PLACES=json.dumps([place]))
    assert (done.code, done.out) == (2, "")
    line = one_line(done.err)
    assert f"no ComfyUI at {place}" in line
    assert "--comfy URL" in line
    assert "--embedded" in line


def test_nobody_listens_where_a_comfy_is_required(home, closed_port):
    """Refused at each try: that is known after two seconds, and said."""
    url = f"http://127.0.0.1:{closed_port}"
    done = home.run("serve", "--require-comfy", "--comfy", url, *FREE_DOORS)
    assert (done.code, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert f"no ComfyUI answers at {url} (nobody listens there)" in line
    assert "--wait-comfy S" in line


@pytest.mark.parametrize("named", [True, False])
def test_a_comfy_that_starts_later_is_waited_for(home, closed_port, named):
    """Refused until it is there; by its address, or where one is looked for."""
    url = f"http://127.0.0.1:{closed_port}"
    where = {} if named else {"TEXBRIDGE_SEARCH_PLACES": json.dumps([url])}
    words = ["--comfy", url] if named else []
    with home.start("serve", "--json", "--wait-comfy", "60", *words, *FREE_DOORS, **where) as running:
        running.wait_for_error("nobody answers" if named else "no ComfyUI at")
        with home.start("embedded", "--port", str(closed_port)) as comfy:
            assert json.loads(running.line())["ready"] is True
            assert running.stop().code == 0
            assert comfy.stop().code == 0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e9"])
def test_wait_comfy_is_bounded(home, seconds):
    done = home.run("serve", f"--wait-comfy={seconds}", *FREE_DOORS)
    assert done.code == 2
    assert "--wait-comfy" in one_line(done.err)


def test_a_wait_that_is_over(home, closed_port):
    place = f"http://127.0.0.1:{closed_port}"
    done = home.run("serve", "--wait-comfy", "0.3", *FREE_DOORS, TEXBRIDGE_SEARCH_PLACES=json.dumps([place]))
    assert done.code == 2
    assert f"no ComfyUI at {place}" in done.err.splitlines()[-1]


def test_it_waits_for_comfy_says_so_and_takes_it_when_it_comes(home, closed_port):
    port = closed_port
    places = json.dumps([f"http://127.0.0.1:{port}"])
    with home.serve(TEXBRIDGE_SEARCH_PLACES=places) as running:
        running.wait_for_error(f"no ComfyUI at http://127.0.0.1:{port}: start it, name it with --comfy URL")
        with home.start("embedded", "--port", str(port)) as comfy:
            assert comfy.line().startswith(f"embedded ComfyUI at http://127.0.0.1:{port}")
            assert get(running.addresses["http"], "/streams/main.jpg?wait=30").startswith(b"\xff\xd8")
            running.wait_for_error(f"found ComfyUI at http://127.0.0.1:{port}")
            assert running.stop().code == 0
            assert comfy.stop().code == 0


def test_named_comfys_and_a_required_one(home):
    """By flag and by environment; the flag wins. --require-comfy is content with one that answers."""
    with home.start("embedded", "--port", "0") as comfy:
        url = comfy.line().split()[3]
        with home.serve("--comfy", url, "--require-comfy", TEXBRIDGE_COMFY="http://127.0.0.1:1") as running:
            backends = json.loads(get(running.addresses["http"], "/healthz"))["backends"]
            assert [backend["url"] for backend in backends] == [url]
            assert running.stop().code == 0
        with home.serve(TEXBRIDGE_COMFY=url) as running:
            assert get(running.addresses["http"], "/streams/main.jpg?wait=30").startswith(b"\xff\xd8")


def test_the_step_delay_is_for_every_prompt(home):
    """A slower GPU is played: the time at ComfyUI is at least that, for an unchanged and wholly cached prompt too."""
    with home.serve("--embedded", "--step-delay-ms", "150", "--stream", "once=gradient:oneshot") as running:
        with BlockingClient(running.addresses["tcp"]) as client:
            frames = client.subscribe("once", credit=4)
            for _ in range(2):
                run = client.run("once", {"noise": 0.0})
                frame = frames.next(timeout_s=60)
                while frame.header.request != run.request:
                    frame = frames.next(timeout_s=60)
                assert frame.header.comfy_us >= 150_000
        assert running.stop().code == 0


# --- configuration ---------------------------------------------------------------------------------------------


def test_the_configuration_that_applies_and_that_it_is_printed(home):
    """--config, then $TEXBRIDGE_CONFIG, then ./texbridge.toml, then the user's own."""
    flag, variable = home.home / "flag.toml", home.home / "variable.toml"
    here, user = home.work / "texbridge.toml", home.user_config
    for path, stream in ((flag, "flag"), (variable, "variable"), (here, "here"), (user, "user")):
        write_config(path, stream)
    cases = [
        ("flag", flag, ("--config", str(flag)), {"TEXBRIDGE_CONFIG": str(variable)}),
        ("variable", variable, (), {"TEXBRIDGE_CONFIG": str(variable)}),
        ("here", here, (), {}),
        ("user", user, (), {}),
    ]
    for stream, path, options, environment in cases:
        if stream == "user":
            here.unlink()
        with home.serve("--embedded", *options, **environment) as running:
            running.wait_for_error(f"configuration: {path}\n")
            with BlockingClient(running.addresses["tcp"]) as client:
                assert [found.name for found in client.welcome.streams] == [stream]
            assert running.stop().code == 0


def test_streams_and_workflows_of_the_command_line(home):
    assert home.run("init", "show").code == 0
    with home.serve(
        "--embedded", "--workflows", "show/workflows", "--stream", "a=my_first:oneshot", "--stream", "b=shapes"
    ) as running:
        with BlockingClient(running.addresses["tcp"]) as client:
            assert {stream.name for stream in client.welcome.streams} == {"main", "a", "b"}
            assert "my_first" in {workflow.name for workflow in client.welcome.workflows}
            assert client.describe("a").mode == "oneshot"
            assert client.describe("b").mode == "live"
        assert running.stop().code == 0


def test_an_unknown_key_is_named_with_the_nearest(home):
    path = home.work / "texbridge.toml"
    path.write_text('[osc]\nlissten = "127.0.0.1:0"\n', encoding="utf-8")
    done = home.run("serve", "--embedded", *FREE_DOORS)
    assert (done.code, done.out) == (2, "")
    line = one_line(done.err)
    assert "texbridge.toml [osc]: unknown key 'lissten'; did you mean 'listen'?" in line


def test_init_then_serve(home):
    """What `init` writes works as it is, and its workflow is there."""
    made = home.run("init", "my_show")
    assert (made.code, made.err) == (0, "")
    assert "my_show" in made.out
    folder = home.work / "my_show"
    with home.start("serve", "--json", "--embedded", *FREE_DOORS, folder=folder) as running:
        told = json.loads(running.line())
        running.wait_for_error(f"configuration: {folder / 'texbridge.toml'}\n")
        with BlockingClient(told["tcp"]) as client:
            assert "my_first" in {workflow.name for workflow in client.welcome.workflows}
        assert running.stop().code == 0
    again = home.run("init", "my_show")
    assert again.code == 2
    assert "is there already" in one_line(again.err)
